"""What changed between two reports: every field of a report, changed on purpose, gives its sentence and no other."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.audit.diff import Change, contained, diff
from monitor.audit.report import Break, Camera, Canary, Chain, Report, told
from monitor.evidence.chain import EMPTY, Evidence, make_entry
from monitor.evidence.entries import start
from monitor.evidence.finding import broken, holds, impossible, said, skipped
from monitor.evidence.keys import public_hex
from monitor.evidence.words import LANGUAGES, catalogue, row_name
from tests.audit.sample_reports import ALL, BREAKS, DAY, MADE, RECORDS, SWAP, VIRTUAL, camera, findings, period, report

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NOTHING = [(said("report.diff.nothing"),)]
ROOT = said("process.needs-root")

BASE = report(period=period(BREAKS[0], BREAKS[2]))
NOT_COMPARED = {"made_ms", "utc_offset_minutes", "language"}


def _versions(**changes: str | None) -> dict[str, str]:
    return {name: value for name, value in (BASE.versions | changes).items() if value is not None}


def _settings(**changes: str | None) -> dict[str, str]:
    return {name: value for name, value in (BASE.settings | changes).items() if value is not None}


def _canary(**changes: object) -> Canary:
    assert BASE.canary is not None
    return BASE.canary.model_copy(update=changes)


def _chain(**changes: object) -> Chain:
    assert BASE.chain is not None
    return BASE.chain.model_copy(update=changes)


def _one_camera(**changes: object) -> tuple[Camera, ...]:
    return (camera(1).model_copy(update=changes), camera(2))


ENDED = Break(row=5, from_ms=BREAKS[2].from_ms, to_ms=MADE - 1000, why=SWAP.why)

# what is changed: (fields of the second report, the sentences that name it, in order)
PLANTED: dict[str, tuple[dict[str, object], list[str]]] = {
    "clinic": ({"clinic": "Another"}, ["clinic"]),
    "host": ({"public_host": "other.example"}, ["host"]),
    "auditor": ({"auditor_uid": 1000}, ["auditor"]),
    "vigil": ({"versions": _versions(vigil="0.5.0")}, ["vigil"]),
    "program": ({"versions": _versions(program="1" * 64)}, ["program"]),
    "version": ({"versions": _versions(av="99")}, ["version.changed"]),
    "version gone": ({"versions": _versions(av=None)}, ["version.removed"]),
    "version new": ({"versions": _versions(zeep="4")}, ["version.added"]),
    "enforce": ({"settings": _settings(enforce="warn")}, ["setting.changed"]),
    "setting gone": ({"settings": _settings(processes=None)}, ["setting.removed"]),
    "setting new": ({"settings": _settings(onvif="0")}, ["setting.added"]),
    "row breaks": ({"findings": findings(SWAP)}, ["row.broke"]),
    "two rows": ({"findings": findings(SWAP, RECORDS)}, ["row.broke", "row.broke"]),
    "row dropped": ({"findings": findings(skipped(5, ROOT))}, ["row.dropped"]),
    "row seen": ({"findings": findings(holds(6, said("process.core-zero")))}, ["row.seen"]),
    "another pattern": (
        {"findings": findings(holds(6, said("process.core-zero"), said("machine.core-pattern", pattern="core")))},
        ["row.seen"],
    ),
    "row 14's signs": (
        {"findings": findings(impossible(14, said("machine.operator"), said("machine.bare")))},
        ["row.seen"],
    ),
    "row 14's reason": (
        {"findings": findings(impossible(14, ROOT, *VIRTUAL.seen))},
        ["row.why"],
    ),
    "row 14 skipped": ({"findings": findings(skipped(14, VIRTUAL.why[0], *VIRTUAL.seen))}, ["row.possible"]),
    "camera gone": ({"cameras": (camera(1),)}, ["camera.removed"]),
    "camera new": ({"cameras": (camera(1), camera(2), camera(3))}, ["camera.added"]),
    "camera moved": ({"cameras": _one_camera(bay="leje-9")}, ["camera.removed", "camera.added"]),
    "camera address": ({"cameras": _one_camera(address="rtsp://192.0.2.99/")}, ["camera.address"]),
    "camera name": ({"cameras": _one_camera(name="Leje X")}, ["camera.name"]),
    "camera records": ({"cameras": (camera(1, RECORDS), camera(2))}, ["camera.storage row.broke"]),
    "camera not asked": ({"cameras": _one_camera(findings=())}, ["camera.storage was", "camera.storage was"]),
    "period gone": ({"period": None}, ["period.none"]),
    "break new": ({"period": period(BREAKS[0], BREAKS[1], BREAKS[2])}, ["break.new"]),
    "break new and open": (
        {"period": period(*BREAKS[::2], Break(row=3, from_ms=MADE - 5, to_ms=None))},
        ["break.open"],
    ),
    "break ended": ({"period": period(BREAKS[0], ENDED)}, ["break.ended"]),
    "break gone": ({"period": period(BREAKS[2])}, ["break.gone"]),
    "break shorter": (
        {"period": period(BREAKS[0].model_copy(update={"to_ms": BREAKS[0].from_ms + 1}), BREAKS[2])},
        ["break.new"],
    ),
    "canary gone": ({"canary": None}, ["canary.none"]),
    "canary witness": ({"canary": _canary(witness="listing")}, ["canary.witness"]),
    "canary hits": ({"canary": _canary(hits=1)}, ["canary.hits"]),
    "duty gone": ({"duties": BASE.duties[1:]}, ["duty.removed"]),
    "duty new": ({"duties": (*BASE.duties, "more")}, ["duty.added"]),
    "chain gone": ({"chain": None}, ["chain.none"]),
    "chain broken": ({"chain": _chain(ok=False, words=(ROOT,))}, ["chain.broke"]),
    "chain shorter": ({"chain": _chain(seq=8640)}, ["chain.shorter"]),
    "chain rewritten": ({"chain": _chain(head="cd" * 32)}, ["chain.rewritten"]),
}


def _names(changes: list[Change]) -> list[str]:
    """The sentences of the difference itself, without the findings that follow them."""
    return [
        " ".join(
            each.key.removeprefix("report.diff.")
            for each in change
            if each.key.startswith("report.diff.") and each.key not in {"report.diff.now"}
        )
        for change in changes
    ]


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_change_is_named_and_nothing_else(what: str) -> None:
    changes, expected = PLANTED[what]
    found = diff(BASE, report(**({"period": BASE.period} | changes)), "da")
    names = _names(found)
    assert [name.removesuffix(" was") if not name.startswith("camera") else name for name in names] == expected
    for language in LANGUAGES:
        for change in found:
            line = told(language, change)
            assert "[report." not in line
            assert "{" not in line


@pytest.mark.parametrize("what", PLANTED)
def test_the_way_back_is_named_too(what: str) -> None:
    changes, _ = PLANTED[what]
    found = diff(report(**({"period": BASE.period} | changes)), BASE, "en")
    # A chain that grew, and a break that fell out of a period, are how it should be.
    assert (found == NOTHING) == (what == "chain shorter")


@pytest.mark.parametrize("name", ALL)
def test_nothing_changed(name: str) -> None:
    assert diff(ALL[name](), ALL[name](), "da") == NOTHING
    later = ALL[name]().model_copy(update={"made_ms": MADE + 1, "utc_offset_minutes": 0, "language": "en"})
    assert diff(ALL[name](), later, "da") == NOTHING


def test_every_field_is_compared_or_named_as_not_compared() -> None:
    planted = {field for changes, _ in PLANTED.values() for field in changes}
    assert planted | NOT_COMPARED == set(Report.model_fields)
    for model, fields in (
        (Camera, {"bay", "name", "address", "findings"}),
        (Chain, {"entries", "seq", "head", "ok", "words"}),
    ):
        assert set(model.model_fields) == fields
    assert set(Canary.model_fields) == {"witness", "tokens", "files", "octets", "memory_octets", "hits"}


def test_every_sentence_of_a_difference_is_used() -> None:
    used = set()
    for changes, _ in PLANTED.values():
        other = report(**({"period": BASE.period} | changes))
        for pair in ((BASE, other), (other, BASE)):
            used |= {each.key for change in diff(*pair, "da") for each in change}
    elsewhere = {
        "order", "key", "row.lost-sight", "row.found-broken", "chain.pruned", "chain.missing", "chain.contained",
        "chain.faults",
    }  # fmt: skip
    names = {key.removeprefix("report.diff.") for key in catalogue("da") if key.startswith("report.diff.")}
    assert names - {key.removeprefix("report.diff.") for key in used} == elsewhere


def test_what_is_only_counted_is_no_change() -> None:
    more = findings(holds(2, said("process.descriptors", count=47), said("process.fsize-zero")))
    assert (
        diff(BASE, report(period=BASE.period, findings=more, canary=_canary(files=99, octets=9, tokens=1)), "da")
        == NOTHING
    )


def test_a_broken_row_says_why() -> None:
    (change,) = diff(BASE, report(period=BASE.period, findings=findings(SWAP)), "en")
    line = told("en", change)
    assert line.startswith(f"{row_name('en', 5)} (no. 5) held and is now broken.")
    assert "/swap.img" in line


def test_rows_that_were_not_checked() -> None:
    unchecked = report(period=BASE.period, findings=findings(skipped(5, ROOT)))
    swap = report(period=BASE.period, findings=findings(SWAP))
    assert _names(diff(unchecked, swap, "da")) == ["row.found-broken"]
    assert _names(diff(swap, unchecked, "da")) == ["row.lost-sight"]
    worse = broken(5, said("machine.swap-open", paths="/dev/sda2", pid=1), *SWAP.seen)
    assert _names(diff(swap, report(period=BASE.period, findings=findings(worse)), "da")) == ["row.why was"]


def test_only_what_differs_of_a_row_is_repeated() -> None:
    (change,) = diff(BASE, report(period=BASE.period, findings=findings(holds(6, said("process.core-zero")))), "en")
    assert [each.key for each in change] == [
        "row.6.name",
        "report.diff.row.seen",
        "report.diff.was",
        "machine.core-pattern",
    ]


def test_a_break_before_the_second_period_is_not_missed() -> None:
    full = period(BREAKS[2])
    later = full.model_copy(
        update={"from_ms": full.from_ms + 10 * DAY, "held_ms": full.held_ms - 10 * DAY, "breaks": (BREAKS[2],)}
    )
    assert diff(BASE, report(period=later), "da") == NOTHING


def test_order_and_keys() -> None:
    other = public_hex(Ed25519PrivateKey.from_private_bytes(bytes(32)))
    assert _names(diff(BASE, BASE, "da", keys=(public_hex(KEY), other))) == ["key"]
    assert diff(BASE, BASE, "da", keys=(other, other)) == NOTHING
    older = BASE.model_copy(update={"made_ms": MADE - 1})
    assert _names(diff(BASE, older, "da")) == ["order"]


def test_chain_faults_that_change() -> None:
    one, two = (BASE.model_copy(update={"chain": _chain(ok=False, words=(word,))}) for word in (ROOT, SWAP.why[0]))
    assert _names(diff(one, two, "da")) == ["chain.faults"]
    assert diff(one, one, "da") == NOTHING


def test_the_first_reports_newest_entry_must_be_in_the_journal() -> None:
    entries, head, heads = [], EMPTY, []
    for number in range(6):
        entry, head = make_entry(KEY, head, start("0.4.0", public_hex(KEY), number, 0), number)
        entries.append(entry)
        heads.append(head)
    journal = Evidence(tuple(entries), head)

    def of(number: int, digest: str) -> Report:
        return report(chain=Chain(entries=number, seq=number, head=digest, ok=True))

    third = of(3, heads[2].hash)
    now = of(6, heads[5].hash)
    assert _names(diff(third, now, "da", evidence=journal)) == ["nothing", "chain.contained"]
    assert _names(diff(of(3, "ab" * 32), now, "da", evidence=journal)) == ["nothing", "chain.missing"]
    without = Evidence((*entries[:2], *entries[3:]), head)
    assert _names(diff(third, now, "da", evidence=without)) == ["nothing", "chain.missing"]
    assert _names(diff(third, now, "da", evidence=Evidence(tuple(entries[:2]), heads[1]))) == [
        "nothing",
        "chain.missing",
    ]
    assert _names(diff(third, now, "da", evidence=Evidence(tuple(entries[5:]), head))) == ["nothing", "chain.pruned"]
    assert diff(of(0, ""), now, "da", evidence=journal) == NOTHING
    assert contained(report(chain=None), journal) is None
    oks = [contained(third, each) for each in (journal, Evidence(tuple(entries[5:]), head), without)]
    assert [each is not None and each[0] for each in oks] == [True, True, False]
    for language in LANGUAGES:
        for each in (journal, without, Evidence(tuple(entries[5:]), head)):
            assert all("[report" not in told(language, change) for change in diff(third, now, "da", evidence=each))
