"""The uptime of the guarantee: how long in a period it held, was broken, was not needed, or is not known.

Pure; moments are Unix milliseconds. It must never count time as held that no watch looked at: what is missing from the
journal is unknown. Where entries claim different things of the same moment (a clock that was set back), a break counts
most, and anything else is unknown. Whether the entries are as they were written is `chain.py`'s to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from monitor.evidence.chain import CLOCK_SLACK_MS, Entry
from monitor.evidence.entries import number, read_body, rows
from monitor.evidence.finding import ROWS, Said, from_json, said
from monitor.evidence.watch_spans import MAX_BETWEEN_MS, SPAN_MS
from monitor.evidence.words import can_say

Claim = Literal["held", "broken", "off"]
_Span = tuple[int, int, Claim]
"""From, to, and what is claimed of it."""


@dataclass(frozen=True)
class Break:
    """One row that did not hold."""

    row: int
    from_ms: int
    """The last check before it was seen, where there was one shortly before; else when it was seen."""
    to_ms: int | None
    """The first check that saw it hold again, or the end of that server; None where it goes on."""
    why: tuple[Said, ...]


@dataclass(frozen=True)
class Uptime:
    """A period's sums in milliseconds: held + broken + off + unknown = to - from."""

    from_ms: int
    to_ms: int
    held_ms: int
    broken_ms: int
    off_ms: int
    """The server had been stopped in good order: there was no picture at all."""
    unknown_ms: int
    """Nobody looked: a crash, a power cut, a machine that slept, entries that are gone."""
    breaks: tuple[Break, ...]
    """Those that touch the period, in the order in which they began; their moments are not cut to it."""


def uptime(entries: Sequence[Entry], from_ms: int, to_ms: int) -> Uptime:
    """What `entries` (in order; those before the period too, as far as they are kept) say of from_ms ≤ t < to_ms.

    Raises ValueError where the period ends before it begins.
    """
    if to_ms < from_ms:
        raise ValueError("a period does not end before it begins")
    story = _Story()
    for entry in entries:
        story.tell(entry)
    story.end(to_ms)
    sums = {"held": 0, "broken": 0, "off": 0, "unknown": 0}
    for begin, end, state in _timeline(story.spans, from_ms, to_ms):
        sums[state] += end - begin
    return Uptime(
        from_ms=from_ms,
        to_ms=to_ms,
        held_ms=sums["held"],
        broken_ms=sums["broken"],
        off_ms=sums["off"],
        unknown_ms=sums["unknown"],
        breaks=tuple(
            sorted(
                (each for each in story.breaks if _touches(each, from_ms, to_ms)),
                key=lambda each: (each.from_ms, each.row),
            )
        ),
    )


def written_until(entries: Sequence[Entry], now_ms: int) -> int:
    """Where a period that is to reach to `now_ms` ends for who has the journal alone: the newest span of a server that
    runs is not written yet. `now_ms` itself where that does not explain what is missing at the end."""
    told = [moment for entry in entries for moment in _moments(entry.kind, read_body(entry.body))]
    newest = max((moment for moment in told if moment <= now_ms), default=now_ms)
    return newest if now_ms - newest <= SPAN_MS + MAX_BETWEEN_MS else now_ms


def _moments(kind: str, body: Mapping[str, object]) -> list[int]:
    names = {
        "start": ("began_ms",),
        "watch": ("to_ms",),
        "break": ("seen_ms",),
        "mended": ("mended_ms",),
        "stop": ("ended_ms",),
    }.get(kind, ())
    return [moment for name in names if (moment := number(body, name)) is not None]


class _Story:
    """The entries, one after the other, as spans of time and breaks. What is malformed says nothing."""

    def __init__(self) -> None:
        self.spans: list[_Span] = []
        self.breaks: list[Break] = []
        self._open: dict[int, Break] = {}
        self._stopped_ms: int | None = None
        self._known_ms: int | None = None
        """The last moment that this run of the server spoke of."""

    def tell(self, entry: Entry) -> None:
        """The next entry."""
        body = read_body(entry.body)
        moments = _moments(entry.kind, body)
        if entry.kind == "rolled_back":
            self._stopped_ms = None  # the journal is an older one now; what this one does not say is not known
        if not moments:
            return
        (moment,) = moments
        if entry.kind == "start":
            self._start(moment, number(body, "last_alive_ms"))
            self._close_all(self._known_ms)
            self._known_ms = moment
            return
        if entry.kind == "stop":
            self._close_all(moment)
            self._stopped_ms, self._known_ms = moment, moment
            return
        self._stopped_ms = None  # a server ran, and its `start` is not here: since when is not known
        self._known_ms = moment if self._known_ms is None else max(self._known_ms, moment)
        if entry.kind == "watch":
            self._watch(body, moment)
        elif entry.kind == "break":
            self._break(body)
        else:
            self._mend(number(body, "row"), moment)

    def end(self, to_ms: int) -> None:
        """There are no more entries: what is off stays off, and a break that is open goes on, as far as is known."""
        if self._stopped_ms is not None:
            self._claim(self._stopped_ms, to_ms, "off")
        for each in self._open.values():
            self._claim(each.from_ms, _first(self._known_ms, each.from_ms), "broken")
            self.breaks.append(each)

    def _watch(self, body: Mapping[str, object], to_ms: int) -> None:
        begin = number(body, "from_ms")
        if begin is None or not isinstance(body.get("ok"), bool):
            return
        broken = rows(body, "broken")
        held = body.get("ok") is True and not broken
        self._claim(begin, to_ms, "held" if held else "broken")
        # Where an entry `mended` was lost: what a later span does not call broken was mended before it at the latest.
        # The span that the break itself ended is written after the break, and ends where the break began.
        for row, opened in list(self._open.items()):
            if row not in broken and begin >= opened.from_ms and to_ms > opened.from_ms:
                self._mend(row, begin)

    def _break(self, body: Mapping[str, object]) -> None:
        row, since = number(body, "row"), number(body, "since_ms")
        if row not in ROWS or since is None or row in self._open:
            return
        try:
            finding = body.get("finding")
            why = from_json(finding).why if isinstance(finding, dict) else ()
        except ValueError:
            why = ()
        self._open[row] = Break(row, since, None, tuple(each if can_say(each) else _unknown(each) for each in why))

    def _mend(self, row: int | None, moment: int) -> None:
        gone = self._open.pop(row, None) if row is not None else None
        if gone is not None:
            self._claim(gone.from_ms, moment, "broken")
            self.breaks.append(replace(gone, to_ms=max(moment, gone.from_ms)))

    def _close_all(self, moment: int | None) -> None:
        for row in list(self._open):
            self._mend(row, _first(moment, self._open[row].from_ms))

    def _start(self, moment: int, last_alive_ms: int | None) -> None:
        """A server began. That it was off since the last stop is not so where one lived meanwhile (on a full disk, say,
        so that none of its entries is here)."""
        if self._stopped_ms is not None and (last_alive_ms or 0) <= self._stopped_ms + CLOCK_SLACK_MS:
            self._claim(self._stopped_ms, moment, "off")
        self._stopped_ms = None

    def _claim(self, begin: int, end: int, claim: Claim) -> None:
        if begin < end:
            self.spans.append((begin, end, claim))


def _timeline(
    spans: Sequence[_Span], from_ms: int, to_ms: int
) -> Iterator[tuple[int, int, Literal["held", "broken", "off", "unknown"]]]:
    """The period in pieces that follow each other, each with one state."""
    changes: list[tuple[int, Claim, int]] = []
    for begin, end, claim in spans:
        if end > from_ms and begin < to_ms:
            changes += [(max(begin, from_ms), claim, 1), (min(end, to_ms), claim, -1)]
    changes.sort()
    borders = sorted({from_ms, to_ms, *(moment for moment, _, _ in changes)})
    active: dict[Claim, int] = {"held": 0, "broken": 0, "off": 0}
    at = 0
    for begin, end in pairwise(borders):
        while at < len(changes) and changes[at][0] <= begin:
            active[changes[at][1]] += changes[at][2]
            at += 1
        yield begin, end, _state(active)


def _state(active: Mapping[Claim, int]) -> Literal["held", "broken", "off", "unknown"]:
    if active["broken"]:
        return "broken"
    if active["held"] and not active["off"]:
        return "held"
    return "off" if active["off"] and not active["held"] else "unknown"


def _touches(each: Break, from_ms: int, to_ms: int) -> bool:
    return each.from_ms < to_ms and (each.to_ms is None or each.to_ms >= from_ms)


def _unknown(reason: Said) -> Said:
    """A reason that another version of Vigil wrote, with words that this one does not have."""
    return said("chain.reason-unknown", name=reason.key)


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)
