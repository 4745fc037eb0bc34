"""The chain: whatever is edited, removed, moved or added without the key is found. Each fault is planted on a chain
that is whole, which is checked first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.evidence import entries as kinds
from monitor.evidence.chain import (
    CLOCK_SLACK_MS,
    EMPTY,
    MAX_SAID,
    ChainFault,
    Entry,
    Evidence,
    FaultKind,
    Head,
    anchor_of,
    contains,
    entry_hash,
    make_entry,
    verify_chain,
    verify_journal,
)
from monitor.evidence.entries import Draft, canonical_json
from monitor.evidence.finding import broken, said
from monitor.evidence.keys import SigningKey, fingerprint, public_hex
from monitor.evidence.words import LANGUAGES, say

KEY, OTHER = SigningKey.generate(), SigningKey.generate()
PUBLIC = public_hex(KEY)
T0 = 1_800_000_000_000


def drafts() -> list[Draft]:
    return [
        kinds.start("1.0", PUBLIC, T0, 0),
        kinds.watch(T0, T0 + 300_000, 11, True, [], [12]),
        kinds.row_broken(broken(6, said("machine.core-pattern", pattern="|x")), T0 + 300_000, T0 + 330_000),
        kinds.watch(T0 + 300_000, T0 + 360_000, 3, True, [6], []),
        kinds.row_mended(6, T0 + 300_000, T0 + 360_000),
        kinds.report("ab" * 32, True, []),
        kinds.stop(T0 + 400_000),
    ]


def chained(what: list[Draft], key: SigningKey = KEY, head: Head = EMPTY, step: int = 1000) -> Evidence:
    entries: list[Entry] = []
    for number, draft in enumerate(what):
        entry, head = make_entry(key, head, draft, T0 + number * step)
        entries.append(entry)
    return Evidence(tuple(entries), head)


WHOLE = chained(drafts())


def faults_of(evidence: Evidence, public: str = PUBLIC) -> list[ChainFault]:
    return verify_chain(evidence.entries, public, evidence.head, anchor_of(evidence.entries, public))


def found(evidence: Evidence) -> set[FaultKind]:
    return {fault.kind for fault in faults_of(evidence)}


def rehashed(entries: list[Entry], key: SigningKey | None = None) -> Evidence:
    """What an editor can do who knows the form but not the key: all numbers and hashes fit again."""
    if key is not None:
        return chained([Draft(each.kind, each.body) for each in entries], key)  # type: ignore[arg-type]
    head, fitted = EMPTY, []
    for seq, entry in enumerate(entries, 1):
        digest = entry_hash(seq, entry.at_ms, entry.kind, entry.body, head.hash)
        fitted.append(replace(entry, seq=seq, prev=head.hash, hash=digest))
        head = Head(seq, digest, WHOLE.head.signature)
    return Evidence(tuple(fitted), head)


def test_a_chain_as_it_was_written_is_whole() -> None:
    assert faults_of(WHOLE) == []
    assert [entry.seq for entry in WHOLE.entries] == [1, 2, 3, 4, 5, 6, 7]
    checked = verify_journal(WHOLE, PUBLIC)
    assert checked.ok
    assert [word.key for word in checked.words] == ["chain.ok"]
    assert checked.words[0].values == {"count": 7, "first": 1, "last": 7, "head": WHOLE.head.hash}


def edits(entry: Entry) -> Iterator[Entry]:
    """Every field, in more than one way; numbers up and down, each text by one character, gone, and longer."""
    for field in fields(Entry):
        value = getattr(entry, field.name)
        if isinstance(value, int):
            others: list[object] = [value + 1, value - 1, 0, 10**18]
        else:
            flipped = ("1" if value[0] != "1" else "2") + value[1:]
            others = [flipped, value[:-1], value + "0", "", value + " "]
        for other in others:
            if other != value:
                yield replace(entry, **{field.name: other})


def planted() -> Iterator[tuple[str, Evidence]]:
    whole = list(WHOLE.entries)
    for at, entry in enumerate(whole):
        for number, edited in enumerate(edits(entry)):
            yield f"entry {at + 1} edit {number}", Evidence((*whole[:at], edited, *whole[at + 1 :]), WHOLE.head)
        rest = whole[:at] + whole[at + 1 :]
        yield f"entry {at + 1} removed", Evidence(tuple(rest), WHOLE.head)
        yield f"entry {at + 1} removed, the rest fitted", rehashed(rest)
        yield f"entry {at + 1} twice", Evidence((*whole[: at + 1], *whole[at:]), WHOLE.head)
        yield f"from {at + 1} on removed", Evidence(tuple(whole[:at]), WHOLE.head)
        yield f"from {at + 1} on removed, and the head", Evidence(tuple(whole[:at]), head_of(whole[:at]))
        yield f"up to {at + 1} removed", Evidence(tuple(whole[at + 1 :]), WHOLE.head)
    for a in range(len(whole)):
        for b in range(a + 1, len(whole)):
            swapped = whole.copy()
            swapped[a], swapped[b] = swapped[b], swapped[a]
            yield f"{a + 1} and {b + 1} swapped", Evidence(tuple(swapped), WHOLE.head)
            yield f"{a + 1} and {b + 1} swapped, fitted", rehashed(swapped)
            numbered = whole.copy()
            numbered[a], numbered[b] = replace(whole[b], seq=a + 1), replace(whole[a], seq=b + 1)
            yield f"{a + 1} and {b + 1} swapped, renumbered", Evidence(tuple(numbered), WHOLE.head)
    for name, head in (
        ("number", replace(WHOLE.head, seq=6)),
        ("next number", replace(WHOLE.head, seq=8)),
        ("hash", replace(WHOLE.head, hash=whole[5].hash)),
        ("signature", replace(WHOLE.head, signature=whole[6].signature)),
        ("no signature", replace(WHOLE.head, signature="")),
        ("gone", EMPTY),
    ):
        yield f"head: {name}", Evidence(WHOLE.entries, head)
    forged, _ = make_entry(OTHER, WHOLE.head, kinds.stop(T0), T0 + 8000)
    yield "one added", Evidence((*whole, forged), WHOLE.head)
    yield "one added, and the head", Evidence((*whole, forged), Head(8, forged.hash, WHOLE.head.signature))
    ok = [replace(each, body=each.body.replace('"broken":[6]', '"broken":[]')) for each in whole]
    assert ok != whole
    yield "a break made to have held, all fitted", rehashed(ok)
    yield "the same, signed with another key", rehashed(ok, OTHER)
    named = [replace(each, body=each.body.replace(PUBLIC, public_hex(OTHER))) for each in ok]
    yield "the same, and the key named at the start", rehashed(named, OTHER)
    pruned, head = make_entry(OTHER, WHOLE.head, kinds.pruned(3, whole[2].hash, T0), T0 + 8000)
    yield "a beginning cut off, allowed by another key", Evidence((*whole[3:], pruned), head)


def head_of(entries: list[Entry]) -> Head:
    """The best head that can be made without the key: signatures of entries are all that there is."""
    return Head(entries[-1].seq, entries[-1].hash, entries[-1].signature) if entries else EMPTY


PLANTED = list(planted())


def test_every_edit_is_found() -> None:
    missed = [name for name, evidence in PLANTED if verify_journal(evidence, PUBLIC).ok]
    assert missed == []
    assert len(PLANTED) > 250, "negative control: there is something to find"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fault_can_be_said(language: str) -> None:
    told: set[str] = set()
    for _, evidence in PLANTED:
        for word in verify_journal(evidence, PUBLIC).words:
            assert say(language, word)  # type: ignore[arg-type]
            told.add(word.key.removeprefix("chain.fault."))
    assert told >= {
        "edited",
        "signature",
        "other-key",
        "link",
        "missing",
        "beginning",
        "inserted",
        "order",
        "tail",
        "head",
        "head-signature",
        "empty",
    }


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        (lambda e: [*e[:2], replace(e[2], body=e[2].body + " "), *e[3:]], [("edited", 3, 3)]),
        (lambda e: [*e[:2], *e[4:]], [("missing", 3, 4)]),
        (lambda e: e[:4], [("tail", 5, 7)]),
        (lambda e: e[2:], [("beginning", 1, 2)]),
        (lambda e: [*e[:2], replace(e[2], signature=e[3].signature), *e[3:]], [("signature", 3, 3)]),
        (lambda e: [], [("empty", 0, 0), ("tail", 1, 7)]),
    ],
)
def test_a_fault_is_named_where_it_is(
    change: Callable[[list[Entry]], list[Entry]], faults: list[tuple[str, int, int]]
) -> None:
    changed = Evidence(tuple(change(list(WHOLE.entries))), WHOLE.head)
    assert [(fault.kind, fault.seq, fault.last) for fault in faults_of(changed)] == faults


def test_a_replaced_key_is_called_that() -> None:
    ours = chained(drafts()[:3])
    later = [kinds.start("1.1", public_hex(OTHER), T0, T0), kinds.stop(T0)]
    evidence = Evidence(
        (*ours.entries, *chained(later, OTHER, ours.head).entries), chained(later, OTHER, ours.head).head
    )
    checked = verify_journal(evidence, public_hex(OTHER))
    assert not checked.ok
    assert {fault.kind for fault in checked.faults} == {"other-key"}
    assert [fault.seq for fault in checked.faults] == [1, 2, 3]
    assert checked.words[0].values["other"] == fingerprint(PUBLIC)


def test_a_clock_that_was_set_back_is_named_and_is_no_edit() -> None:
    evidence = chained(drafts(), step=-CLOCK_SLACK_MS - 1)
    checked = verify_journal(evidence, PUBLIC)
    assert checked.ok
    assert {fault.kind for fault in checked.faults} == {"clock"}
    assert [word.key for word in checked.words[:2]] == ["chain.ok", "chain.fault.clock"]
    assert faults_of(chained(drafts(), step=-CLOCK_SLACK_MS)) == [], "two processes may wait for each other"


def test_what_the_server_missed_is_a_fault() -> None:
    evidence = chained([*drafts(), kinds.rolled_back(9, "cd" * 32)])
    assert [(fault.kind, fault.seq, fault.last) for fault in faults_of(evidence)] == [("rolled-back", 9, 8)]
    assert not verify_journal(evidence, PUBLIC).ok


def test_only_a_signed_entry_lets_the_chain_begin_later() -> None:
    whole = list(WHOLE.entries)
    pruned, head = make_entry(KEY, WHOLE.head, kinds.pruned(3, whole[2].hash, T0), T0 + 8000)
    kept = Evidence((*whole[3:], pruned), head)
    assert faults_of(kept) == []
    assert anchor_of(kept.entries, PUBLIC) == Head(3, whole[2].hash, "")
    assert found(Evidence((*whole[4:], pruned), head)) == {"beginning"}, "one more is gone"
    assert found(Evidence((*whole[2:], pruned), head)) == {"inserted"}, "one is there that was deleted"
    only = Evidence((make_entry(KEY, WHOLE.head, kinds.pruned(7, whole[6].hash, T0), T0)[0],), head)
    assert found(replace(only, head=make_entry(KEY, WHOLE.head, kinds.pruned(7, whole[6].hash, T0), T0)[1])) == set()
    wrong, head = make_entry(KEY, WHOLE.head, kinds.pruned(3, "ef" * 32, T0), T0 + 8000)
    assert found(Evidence((*whole[3:], wrong), head)) == {"link"}


def test_a_report_s_head_is_looked_up() -> None:
    whole = list(WHOLE.entries)
    for entry in whole:
        assert contains(WHOLE, entry.seq, entry.hash) is True
        assert contains(WHOLE, entry.seq, "ab" * 32) is False
    assert contains(WHOLE, 0, EMPTY.hash) is True
    assert contains(WHOLE, 8, "ab" * 32) is False, "the chain is shorter than when the report was made"
    later = Evidence(tuple(whole[3:]), WHOLE.head)
    assert contains(later, 2, whole[1].hash) is None
    assert contains(later, 3, whole[2].hash) is True
    assert contains(later, 3, "ab" * 32) is False
    assert contains(Evidence((), EMPTY), 3, whole[2].hash) is False


def test_a_chain_that_is_all_wrong_is_said_in_few_words() -> None:
    stopped = [kinds.stop(T0)] * (MAX_SAID * 3)
    words = verify_journal(chained(stopped, OTHER), PUBLIC).words
    assert len(words) == MAX_SAID + 1
    assert words[-1].key == "chain.fault.more"
    assert words[-1].values["count"] == 2 * MAX_SAID + 1, "the head's signature too"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3),
    max_leaves=6,
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=3), min_size=1, max_size=3), st.data())
def test_any_body_is_held_to_the_letter(bodies: list[dict[str, object]], data: st.DataObject) -> None:
    evidence = chained([Draft("stop", canonical_json(body)) for body in bodies])
    assert faults_of(evidence) == []
    at = data.draw(st.integers(0, len(bodies) - 1))
    body = evidence.entries[at].body
    where = data.draw(st.integers(0, len(body) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda one: one != body[where]))
    edited = replace(evidence.entries[at], body=body[:where] + other + body[where + 1 :])
    entries = (*evidence.entries[:at], edited, *evidence.entries[at + 1 :])
    assert [(fault.kind, fault.seq) for fault in faults_of(Evidence(entries, evidence.head))] == [("edited", at + 1)]


def test_no_two_entries_have_one_encoding() -> None:
    """Fields next to each other cannot lend each other characters."""
    assert entry_hash(1, 12, "ab", "c", "d") != entry_hash(1, 12, "a", "bc", "d")
    assert entry_hash(1, 12, "a", "b", "c") != entry_hash(11, 2, "a", "b", "c")
    assert entry_hash(1, 2, 'a","b', "c", "d") != entry_hash(1, 2, "a", 'b","c', "d")


def test_a_body_has_a_bound_and_no_fractions() -> None:
    with pytest.raises(ValueError, match="characters"):
        Draft("stop", "x" * (kinds.MAX_BODY + 1))
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"x": float("nan")})
