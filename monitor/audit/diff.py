"""What changed from one report to the next.

It must never say that nothing changed where something did that bears on the guarantee: a test changes every field of a
report and looks for a sentence. Not compared are the moment, the clock and the language, and what is merely counted: a
number in a sentence (descriptors, attempts, octets) differs each time, a word in it (a path, a pattern) does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from monitor.audit.report import Break, Camera, Canary, Chain, Period, Report
from monitor.audit.report_words import Words
from monitor.evidence.chain import Evidence, contains
from monitor.evidence.finding import Finding, Said, Verdict, said
from monitor.evidence.keys import fingerprint
from monitor.evidence.words import Language

Change = tuple[Said, ...]
"""Sentences that are said in one breath: `report.told` makes a line of them."""

_VERDICTS: dict[tuple[Verdict, Verdict], str] = {
    ("broken", "holds"): "report.diff.row.mended",
    ("not_checked", "holds"): "report.diff.row.now-checked",
    ("holds", "broken"): "report.diff.row.broke",
    ("not_checked", "broken"): "report.diff.row.found-broken",
    ("holds", "not_checked"): "report.diff.row.dropped",
    ("broken", "not_checked"): "report.diff.row.lost-sight",
}


def diff(
    a: Report,
    b: Report,
    language: Language,
    *,
    keys: tuple[str, str] | None = None,
    evidence: Evidence | None = None,
) -> list[Change]:
    """What is otherwise in `b` than in `a`; "nothing has changed" where nothing is.

    `language` is how moments are written. `keys` are the public keys (hex) that signed the two; `evidence` is the
    journal's, where it is at hand: then the newest entry that `a` names must be in it."""
    words = Words(language, b.utc_offset_minutes)
    changes = [
        *_heads(a, b, keys),
        *_rows(a.findings, b.findings),
        *_cameras(a.cameras, b.cameras),
        *_named(a.settings, b.settings, "setting"),
        *_program(a, b),
        *_period(a.period, b.period, words),
        *_canary(a.canary, b.canary),
        *_duties(a.duties, b.duties),
        *_chain(a.chain, b.chain),
    ]
    changes = changes or [(said("report.diff.nothing"),)]
    held = contained(a, evidence) if evidence is not None else None
    return changes if held is None else [*changes, (held[1],)]


def _heads(a: Report, b: Report, keys: tuple[str, str] | None) -> Iterator[Change]:
    if b.made_ms < a.made_ms:
        yield (said("report.diff.order"),)
    if keys is not None and keys[0] != keys[1]:
        yield (said("report.diff.key", was=fingerprint(keys[0]), now=fingerprint(keys[1])),)
    if a.clinic != b.clinic:
        yield (said("report.diff.clinic", was=a.clinic, now=b.clinic),)
    if a.public_host != b.public_host:
        yield (said("report.diff.host", was=a.public_host, now=b.public_host),)
    if a.auditor_uid != b.auditor_uid:
        yield (said("report.diff.auditor", was=a.auditor_uid, now=b.auditor_uid),)


def _program(a: Report, b: Report) -> Iterator[Change]:
    if a.versions["vigil"] != b.versions["vigil"]:
        yield (said("report.diff.vigil", was=a.versions["vigil"], now=b.versions["vigil"]),)
    if a.versions["program"] != b.versions["program"]:
        yield (said("report.diff.program", was=a.versions["program"], now=b.versions["program"]),)
    own = {"vigil", "program"}
    others = [{name: value for name, value in each.items() if name not in own} for each in (a.versions, b.versions)]
    yield from _named(others[0], others[1], "version")


def _named(a: Mapping[str, str], b: Mapping[str, str], what: str) -> Iterator[Change]:
    added, removed, changed = {
        "setting": ("report.diff.setting.added", "report.diff.setting.removed", "report.diff.setting.changed"),
        "version": ("report.diff.version.added", "report.diff.version.removed", "report.diff.version.changed"),
    }[what]
    for name in sorted(a.keys() | b.keys()):
        if name not in a:
            yield (said(added, name=name, now=b[name]),)
        elif name not in b:
            yield (said(removed, name=name, was=a[name]),)
        elif a[name] != b[name]:
            yield (said(changed, name=name, was=a[name], now=b[name]),)


def _rows(a: Sequence[Finding], b: Sequence[Finding]) -> Iterator[Change]:
    was = {each.row: each for each in a}
    for now in b:
        yield from _row(was[now.row], now)


def _row(was: Finding, now: Finding) -> Iterator[Change]:
    name = said(f"row.{now.row}.name")
    if was.verdict != now.verdict:
        yield (name, said(_VERDICTS[was.verdict, now.verdict], row=now.row), *now.why)
        return
    if was.possible != now.possible:
        key = "report.diff.row.possible" if now.possible else "report.diff.row.impossible"
        yield (name, said(key, row=now.row), *now.why)
    elif _essence(was.why) != _essence(now.why):
        yield (name, said("report.diff.row.why", row=now.row), *_before_and_now(was.why, now.why))
    if _essence(was.seen) != _essence(now.seen):
        yield (name, said("report.diff.row.seen", row=now.row), *_before_and_now(was.seen, now.seen))


def _essence(words: Iterable[Said]) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """Sentences without their numbers: those differ each time, and are no change."""
    return [
        (each.key, tuple(sorted((name, value) for name, value in each.values.items() if isinstance(value, str))))
        for each in words
    ]


def _before_and_now(was: Sequence[Said], now: Sequence[Said]) -> Iterator[Said]:
    """Only what is in one of them and not in the other; where only the order changed, all of it."""
    before, after = _essence(was), _essence(now)
    gone = [each for each, essence in zip(was, before, strict=True) if essence not in after]
    new = [each for each, essence in zip(now, after, strict=True) if essence not in before]
    if not gone and not new:
        gone, new = list(was), list(now)
    if gone:
        yield from (said("report.diff.was"), *gone)
    if new:
        yield from (said("report.diff.now"), *new)


def _cameras(a: Sequence[Camera], b: Sequence[Camera]) -> Iterator[Change]:
    was, now = ({each.bay: each for each in cameras} for cameras in (a, b))
    for bay in [*was, *(each for each in now if each not in was)]:
        if bay not in now:
            gone = was[bay]
            yield (said("report.diff.camera.removed", bay=bay, name=gone.name, address=gone.address),)
        elif bay not in was:
            new = now[bay]
            yield (said("report.diff.camera.added", bay=bay, name=new.name, address=new.address), *_amiss(new))
        else:
            yield from _camera(was[bay], now[bay])


def _amiss(camera: Camera) -> Iterator[Said]:
    for each in camera.findings:
        yield from each.why


def _camera(was: Camera, now: Camera) -> Iterator[Change]:
    bay, name = now.bay, now.name
    if was.name != name:
        yield (said("report.diff.camera.name", bay=bay, was=was.name, now=name),)
    if was.address != now.address:
        yield (said("report.diff.camera.address", bay=bay, name=name, was=was.address, now=now.address),)
    before, after = ({each.row: each for each in camera.findings} for camera in (was, now))
    about = said("report.diff.camera.storage", bay=bay, name=name)
    for row in sorted(before.keys() | after.keys()):
        if row in before and row in after:
            for change in _row(before[row], after[row]):
                yield (about, *change)
        elif row in after:
            yield (about, said(f"row.{row}.name"), said("report.diff.now"), *after[row].why, *after[row].seen)
        else:
            yield (about, said(f"row.{row}.name"), said("report.diff.was"), *before[row].why, *before[row].seen)


def _period(a: Period | None, b: Period | None, words: Words) -> Iterator[Change]:
    if b is None:
        if a is not None:
            yield (said("report.diff.period.none"),)
        return
    if a is None:
        yield (said("report.diff.period.new"),)
    was = {(each.row, each.from_ms): each for each in (a.breaks if a is not None else ())}
    for each in b.breaks:
        name, start = said(f"row.{each.row}.name"), words.moment(each.from_ms)
        old = was.pop((each.row, each.from_ms), None)
        if old is None or old.to_ms not in {None, each.to_ms}:
            yield (_new_break(each, start, words), name, *each.why)
        elif old.to_ms is None and each.to_ms is not None:
            yield (said("report.diff.break.ended", end=words.moment(each.to_ms)), name)
    for old in was.values():
        # One that began before b's period, or ended before it, has no place in it.
        if old.from_ms >= b.from_ms and old.from_ms < b.to_ms:
            yield (
                said("report.diff.break.gone", start=words.moment(old.from_ms)),
                said(f"row.{old.row}.name"),
                *old.why,
            )


def _new_break(each: Break, start: str, words: Words) -> Said:
    if each.to_ms is None:
        return said("report.diff.break.open", start=start)
    return said("report.diff.break.new", start=start, end=words.moment(each.to_ms))


def _canary(a: Canary | None, b: Canary | None) -> Iterator[Change]:
    if a is None or b is None:
        if a is not b:
            yield (said("report.diff.canary.none" if b is None else "report.diff.canary.new"),)
        return
    if a.witness != b.witness:
        yield (said("report.diff.canary.witness", was=a.witness, now=b.witness),)
    if a.hits != b.hits:
        yield (said("report.diff.canary.hits", was=a.hits, now=b.hits),)


def _duties(a: Sequence[str], b: Sequence[str]) -> Iterator[Change]:
    for duty in b:
        if duty not in a:
            yield (said("report.diff.duty.added"), said(f"duty.{duty}.what"), said(f"duty.{duty}.do"))
    for duty in a:
        if duty not in b:
            yield (said("report.diff.duty.removed"), said(f"duty.{duty}.what"))


def _chain(a: Chain | None, b: Chain | None) -> Iterator[Change]:
    if a is None or b is None:
        if a is not b:
            yield (said("report.diff.chain.none" if b is None else "report.diff.chain.new"),)
        return
    if a.ok != b.ok:
        yield (said("report.diff.chain.mended"),) if b.ok else (said("report.diff.chain.broke"), *b.words)
    elif not b.ok and _essence(a.words) != _essence(b.words):
        yield (said("report.diff.chain.faults"), *b.words)
    if b.seq < a.seq:
        yield (said("report.diff.chain.shorter", was=a.seq, now=b.seq),)
    elif b.seq == a.seq and b.head != a.head:
        yield (said("report.diff.chain.rewritten", entry=a.seq, was=a.head, now=b.head),)


def contained(report: Report, evidence: Evidence) -> tuple[bool, Said] | None:
    """Whether the journal still has the newest entry that a report names, and what to say of it; None where the report
    names none. One that was deleted when its time was up is no fault."""
    chain = report.chain
    if chain is None or not chain.seq:
        return None
    found = contains(evidence, chain.seq, chain.head)
    if found is None:
        return True, said("report.diff.chain.pruned", entry=chain.seq)
    if found:
        return True, said("report.diff.chain.contained", entry=chain.seq)
    return False, said("report.diff.chain.missing", entry=chain.seq, head=chain.head)
