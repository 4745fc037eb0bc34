"""The chain: what its owner wrote is whole, and whatever anybody else did to it is found, and named by its entries.

Every edit below is made without the private key, on every entry that it can be made on.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import pytest

from monitor.evidence import chain, entries, keys
from monitor.evidence.chain import (
    EMPTY,
    GENESIS,
    ChainFault,
    Checked,
    Entry,
    Evidence,
    FaultKind,
    Head,
    contains,
    verify_journal,
)
from monitor.evidence.words import catalogue, say_all
from tests.evidence.chain_builder import KEY, MINUTE, OTHER_KEY, OTHER_PUBLIC, PUBLIC, T, chained, drafts

WHOLE = chained(drafts())
ALL = range(len(WHOLE.entries))


def checked(what: Sequence[Entry], head: Head = WHOLE.head, public: str = PUBLIC) -> Checked:
    return verify_journal(Evidence(tuple(what), head), public)


def faults(what: Sequence[Entry], head: Head = WHOLE.head, public: str = PUBLIC) -> list[tuple[str, int, int]]:
    found = checked(what, head, public)
    assert found.ok == (not found.faults), "none of these is a mere note"
    return [(fault.kind, fault.seq, fault.last) for fault in found.faults]


def with_one(index: int, **changes: object) -> list[Entry]:
    made = list(WHOLE.entries)
    made[index] = replace(made[index], **changes)  # type: ignore[arg-type]
    return made


def flipped(digits: str, at: int = 0) -> str:
    return digits[:at] + ("0" if digits[at] != "0" else "1") + digits[at + 1 :]


def edited_bodies(body: str) -> list[str]:
    """Each of its values changed, one at a time, and the same JSON in another form."""
    data = json.loads(body)
    made = [entries.canonical_json(data | {name: 7}) for name, value in data.items() if value != 7]
    made += [entries.canonical_json({key: data[key] for key in data if key != name}) for name in data]
    return [*made, entries.canonical_json(data | {"more": 1}), json.dumps(data), body + " ", "", "[]", "\ud800"]


def rehashed(what: Sequence[Entry], first: int) -> list[Entry]:
    """The hashes from one entry on computed anew, as anybody can."""
    made = list(what)
    for at in range(first, len(made)):
        prev = made[at - 1].hash if at else GENESIS
        one = replace(made[at], prev=prev)
        made[at] = replace(one, hash=chain.entry_hash(one.seq, one.at_ms, one.kind, one.body, prev))
    return made


# ---- what is whole ---------------------------------------------------------------------------------------------------


def test_a_chain_as_it_was_written_is_whole() -> None:
    assert faults(WHOLE.entries) == []
    for length in range(1, len(WHOLE.entries)):
        one = chained(drafts()[:length])
        assert faults(one.entries, one.head) == []
    assert {entry.kind for entry in WHOLE.entries} >= {"start", "watch", "break", "mended", "report", "stop"}
    said = say_all("en", checked(WHOLE.entries).words)
    assert said.startswith("The journal's chain is whole: 9 entries (1 to 9)")
    assert WHOLE.head.hash in said


def test_no_two_entries_have_the_same_hash() -> None:
    fields = [(1, 23, "stop", "{}", GENESIS), (12, 3, "stop", "{}", GENESIS), (1, 23, "stop{", "}", GENESIS)]
    fields += [(1, 23, 'stop","', "{}", GENESIS), (1, 23, "stop", '","{}', GENESIS), (1, 23, "stop", "{}", "")]
    assert len({chain.entry_hash(*each) for each in fields}) == len(fields)


# ---- one entry edited ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", ALL)
def test_every_field_of_every_entry(index: int) -> None:
    entry = WHOLE.entries[index]
    edits: list[dict[str, object]] = [{"body": body} for body in edited_bodies(entry.body)]
    edits += [{"at_ms": entry.at_ms + by} for by in (-1, 1, -MINUTE, 10**15)]
    edits += [{"kind": kind} for kind in (*entries.KINDS, "", "Start") if kind != entry.kind]
    edits += [{"prev": flipped(entry.prev, at)} for at in (0, 63)]
    edits += [{"hash": flipped(entry.hash, at)} for at in (0, 63)] + [{"hash": ""}]
    for edit in edits:
        found = faults(with_one(index, **edit))
        assert ("edited", entry.seq, entry.seq) in found, edit
        assert {kind for kind, _, _ in found} <= {"edited", "link", "head", "clock"}, "nothing else is accused"
    for signature in (flipped(entry.signature), flipped(entry.signature, 127), "", "no hexadecimal", "ä", "00" * 64):
        assert faults(with_one(index, signature=signature)) == [("signature", entry.seq, entry.seq)]
    for seq in (entry.seq - 1, entry.seq + 1, 0, -1, 1000):
        if seq != entry.seq:
            assert ("edited", seq, seq) in faults(with_one(index, seq=seq)), "its number is hashed too"


@pytest.mark.parametrize("index", ALL)
def test_an_edit_with_its_hash_made_to_fit(index: int) -> None:
    entry = WHOLE.entries[index]
    made = with_one(index, body="{}")
    digest = chain.entry_hash(entry.seq, entry.at_ms, entry.kind, "{}", entry.prev)
    made[index] = replace(made[index], hash=digest)
    after = ("link", entry.seq + 1, entry.seq + 1) if index < len(made) - 1 else ("head", entry.seq, entry.seq)
    assert faults(made) == [("signature", entry.seq, entry.seq), after]


@pytest.mark.parametrize("index", ALL)
def test_all_hashes_made_to_fit_without_the_key(index: int) -> None:
    made = rehashed(with_one(index, at_ms=WHOLE.entries[index].at_ms + 1), index)
    last = made[-1].seq
    unsigned = [("signature", seq, seq) for seq in range(index + 1, last + 1)]
    assert faults(made) == [*unsigned, ("head", last, last)]
    head = Head(last, made[-1].hash, WHOLE.head.signature)
    assert faults(made, head) == [*unsigned, ("head-signature", last, last)]


def test_all_written_anew_with_another_key() -> None:
    """Whether the forger leaves the site's key in the `start` entries, or names his own."""
    last = len(WHOLE.entries)
    forged = chained(drafts(), OTHER_KEY)
    head = ("head-signature", last, last)
    assert faults(forged.entries, forged.head) == [*(("signature", seq, seq) for seq in range(1, last + 1)), head]
    named = chained([entries.start("0.4.0", OTHER_PUBLIC, T, 0), *drafts()[1:]], OTHER_KEY)
    assert faults(named.entries, named.head) == [*(("other-key", seq, seq) for seq in range(1, last + 1)), head]
    assert faults(named.entries, named.head, OTHER_PUBLIC) == [], "to that key's owner it is whole: compare public keys"


# ---- entries removed, moved, added -----------------------------------------------------------------------------------


def test_every_run_of_entries_removed() -> None:
    for first, end in itertools.combinations(range(len(WHOLE.entries) + 1), 2):
        left = [*WHOLE.entries[:first], *WHOLE.entries[end:]]
        if not left:
            expected = [("empty", 0, 0), ("tail", 1, end)]
        elif end == len(WHOLE.entries):
            expected = [("tail", first + 1, end)]
        else:
            expected = [("beginning" if first == 0 else "missing", first + 1, end)]
        assert faults(left) == expected, (first, end)


def test_a_removed_entry_with_the_others_moved_up() -> None:
    for index in ALL[:-1]:
        left = [*WHOLE.entries[:index], *WHOLE.entries[index + 1 :]]
        moved = [replace(entry, seq=number) for number, entry in enumerate(left, 1)]
        found = faults(rehashed(moved, index))
        assert [each for each in found if each[0] == "signature"] == [
            ("signature", seq, seq) for seq in range(index + 1, len(left) + 1)
        ]
        assert ("tail", len(WHOLE.entries), len(WHOLE.entries)) in found


def test_every_two_swapped() -> None:
    for a, b in itertools.combinations(ALL, 2):
        made = list(WHOLE.entries)
        made[a], made[b] = made[b], made[a]
        assert "order" in {kind for kind, _, _ in faults(made)}, (a, b)
        # The same with their numbers swapped too, as one UPDATE would do it.
        made[a], made[b] = replace(made[a], seq=a + 1), replace(made[b], seq=b + 1)
        assert {("edited", a + 1, a + 1), ("edited", b + 1, b + 1)} <= set(faults(made)), (a, b)


def test_an_entry_that_is_there_twice_or_was_added() -> None:
    for index in ALL:
        twice = [*WHOLE.entries[: index + 1], *WHOLE.entries[index:]]
        assert faults(twice) == [("order", index + 1, index + 1)]
    more = chained([entries.stop(T)], after=WHOLE)
    assert faults(more.entries) == [("inserted", 10, 10)], "the head does not know it, though its signature is good"
    assert ("inserted", 0, 0) in faults([replace(WHOLE.entries[0], seq=0), *WHOLE.entries])


# ---- the head --------------------------------------------------------------------------------------------------------


def test_a_tail_that_was_cut_off_needs_a_head_that_nobody_else_can_sign() -> None:
    last = len(WHOLE.entries)
    for length in ALL[1:]:
        left = WHOLE.entries[:length]
        assert faults(left) == [("tail", length + 1, last)]
        for signature in (WHOLE.head.signature, left[-1].signature, "", "00" * 64):
            head = Head(length, left[-1].hash, signature)
            assert faults(left, head) == [("head-signature", length, length)]
        earlier = chained(drafts()[:length]).head
        assert faults(left, earlier) == [], "who kept an earlier head: not to be seen from the file alone"
        assert contains(Evidence(left, earlier), last, WHOLE.head.hash) is False, "a report that has it shows it"


def test_every_field_of_the_head() -> None:
    last, head = len(WHOLE.entries), WHOLE.head
    signature = ("head-signature", last, last)
    assert faults(WHOLE.entries, replace(head, hash=flipped(head.hash))) == [("head", last, last), signature]
    assert faults(WHOLE.entries, replace(head, signature=flipped(head.signature))) == [signature]
    assert faults(WHOLE.entries, replace(head, seq=last + 1)) == [("tail", 10, 10), ("head-signature", 10, 10)]
    assert faults(WHOLE.entries, replace(head, seq=1)) == [("inserted", 2, 9), ("head-signature", 1, 1)]
    assert faults(WHOLE.entries, EMPTY) == [("inserted", 1, 9), ("head-signature", 0, 0)]


def test_an_emptied_journal_is_not_whole() -> None:
    assert faults([], EMPTY) == [("empty", 0, 0)]


# ---- what retention leaves -------------------------------------------------------------------------------------------

KEPT = 4
"""The entry from which on a pruned chain has them."""


def pruned() -> Evidence:
    before = WHOLE.entries[KEPT - 2]
    full = chained([entries.pruned(before.seq, before.hash, T)], after=WHOLE)
    return Evidence(full.entries[KEPT - 1 :], full.head)


def test_a_pruned_chain_begins_where_its_last_signed_entry_says() -> None:
    one = pruned()
    assert faults(one.entries, one.head) == []
    assert "9 entries" not in say_all("en", checked(one.entries, one.head).words)
    assert faults(one.entries[1:], one.head) == [("beginning", KEPT, KEPT)], "one more was removed"
    restored = (WHOLE.entries[KEPT - 2], *one.entries)
    assert faults(restored, one.head) == [("inserted", KEPT - 1, KEPT - 1)]
    again = chained([entries.pruned(6, WHOLE.entries[5].hash, T)], after=one)
    assert faults(again.entries[3:], again.head) == [], "the last one counts"
    assert faults(again.entries, again.head) == [("inserted", KEPT, 6)]


def test_only_a_signed_entry_moves_the_beginning() -> None:
    left = WHOLE.entries[KEPT - 1 :]
    assert faults(left) == [("beginning", 1, KEPT - 1)]
    before = WHOLE.entries[KEPT - 2]
    forged = chained([entries.pruned(before.seq, before.hash, T)], OTHER_KEY, after=WHOLE)
    assert ("beginning", 1, KEPT - 1) in faults(forged.entries[KEPT - 1 :], forged.head)
    one = pruned()
    edited = replace(one.entries[-1], body=entries.pruned(KEPT, WHOLE.entries[KEPT - 1].hash, T).body)
    assert ("beginning", 1, KEPT) in faults([*one.entries[1:-1], edited], one.head)
    wrong = chained([entries.pruned(before.seq, GENESIS, T)], after=WHOLE)
    assert faults(wrong.entries[KEPT - 1 :], wrong.head) == [("link", KEPT, KEPT)]


# ---- what is only named ----------------------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_is_named_and_is_no_edit() -> None:
    one = chained(drafts()[:2])
    back = chained([entries.stop(T)], at_ms=T - 3 * MINUTE, after=one)
    found = checked(back.entries, back.head)
    assert [(fault.kind, fault.seq) for fault in found.faults] == [("clock", 3)]
    assert found.ok
    assert [each.key for each in found.words] == ["chain.ok", "chain.fault.clock"]
    near = chained([entries.stop(T)], at_ms=T - MINUTE - chain.CLOCK_SLACK_MS, after=one)
    assert checked(near.entries, near.head).faults == (), "one process waited for the other"


def test_what_the_server_remembered_and_the_journal_lost() -> None:
    for lost in (3, 7):
        one = chained([entries.rolled_back(lost, "ab" * 32)], after=chained(drafts()[:4]))
        assert faults(one.entries, one.head) == [("rolled-back", lost, lost)]
        assert f"had written entry {lost}," in say_all("en", checked(one.entries, one.head).words)


def test_a_key_that_was_replaced_is_one_sentence_and_hides_nothing() -> None:
    old = chained([entries.start("0.4.0", OTHER_PUBLIC, T, 0), *drafts()[1:] * 9], OTHER_KEY)
    new = chained(drafts(), after=old)
    made = list(new.entries)
    made[70] = replace(made[70], body="{}")
    found = checked(made, new.head)
    assert not found.ok
    said = say_all("en", found.words)
    assert keys.fingerprint(OTHER_PUBLIC) in said
    assert "Entry 1-70 " in said
    assert "Entry 71 (" in said
    assert "Entry 72-73 " in said
    assert len(found.words) == 3


def test_a_great_many_faults_are_counted() -> None:
    long = chained(drafts() * 10)
    made = [replace(entry, at_ms=0) if entry.seq % 2 else entry for entry in long.entries]
    words = checked(made, long.head).words
    assert len(words) == chain.MAX_SAID + 1
    total = len(chain._runs(checked(made, long.head).faults))
    assert dict(words[-1].values) == {"count": total - chain.MAX_SAID}


def test_a_head_that_a_report_printed() -> None:
    assert contains(WHOLE, 0, GENESIS) is True
    for entry in WHOLE.entries:
        assert contains(WHOLE, entry.seq, entry.hash) is True
        assert contains(WHOLE, entry.seq, flipped(entry.hash)) is False
    assert contains(WHOLE, 10, WHOLE.head.hash) is False
    assert contains(Evidence((), EMPTY), 3, WHOLE.entries[2].hash) is False
    one = pruned()
    assert contains(one, KEPT - 2, WHOLE.entries[KEPT - 3].hash) is None, "no longer kept"
    assert contains(one, KEPT - 1, WHOLE.entries[KEPT - 2].hash) is True, "the first entry still says it"
    assert contains(one, KEPT - 1, flipped(WHOLE.entries[KEPT - 2].hash)) is False


def test_there_are_words_for_every_fault() -> None:
    for kind in get_args(FaultKind):
        for at_ms in (0, T, -1, 10**18):
            said = chain._said_of(ChainFault(kind, 3, 5, at_ms, PUBLIC))
            for language in ("da", "en"):
                text = say_all(language, [said])  # type: ignore[arg-type]
                assert "{" not in text
                assert "3-5" in text or kind in {"empty", "head-signature"}
    assert {name for name in catalogue("da") if name.startswith("chain.fault.")} == {
        "chain.fault.more",
        *(f"chain.fault.{kind}" for kind in get_args(FaultKind)),
    }


# ---- what is written -------------------------------------------------------------------------------------------------


def test_an_entry_that_would_be_too_long_is_no_draft_and_a_break_is_cut_to_fit() -> None:
    from monitor.evidence.finding import broken, from_json, said

    with pytest.raises(ValueError, match="characters"):
        entries.Draft("stop", "x" * (entries.MAX_BODY + 1))
    long = [said("process.child", pid=number, child="\N{GRINNING FACE}" * 500) for number in range(300)]
    finding = replace(broken(2, long[0]), why=tuple(long), seen=tuple(long))
    draft = entries.row_broken(finding, T, T)
    kept = from_json(json.loads(draft.body)["finding"])
    assert kept.verdict == "broken"
    assert 1 <= len(kept.why) < 300
    small = broken(2, long[0])
    assert from_json(json.loads(entries.row_broken(small, T, T).body)["finding"]) == small, "negative control"


def test_what_was_edited_is_read_without_trust() -> None:
    for body in ("", "[]", "7", "{", "[" * 60_000, '{"a":' * 10_000, '{"a": %s}' % ("9" * 5000), '{"a": NaN}'):
        data = entries.read_body(body)
        assert (entries.number(data, "a"), entries.text(data, "a"), entries.rows(data, "a")) == (None, "", frozenset())
    data = entries.read_body('{"a": true, "b": -1, "c": 1e3, "d": 9999999999999999, "e": 7, "f": [1, true, "x"]}')
    assert [entries.number(data, name) for name in "abcde"] == [None, None, None, None, 7]
    assert entries.rows(data, "f") == {1}
    made, _ = chain.make_entry(KEY, EMPTY, entries.stop(T), T)
    assert entries.number(entries.read_body(made.body), "ended_ms") == T
