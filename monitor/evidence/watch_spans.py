"""Which entries the watch's checks become: one for each break and mend at once, and one for each span in which all
checks saw the same, at a change and every five minutes.

Pure; moments are Unix milliseconds. It must never count time as held that lies beside a check that saw a break: a break
counts from the check before it, and lasts until the check that sees it mended. Two checks that lie further apart than
`MAX_BETWEEN_MS`, or whose clock went back, leave a gap between two spans, of which nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.evidence import entries
from monitor.evidence.entries import Draft
from monitor.evidence.finding import Finding, combined

SPAN_MS = 300_000
"""The longest span that is kept in memory only."""
MAX_BETWEEN_MS = 90_000
"""The longest time between two checks that is still watched: GUARANTEE.md's minute, and half one for a slow check."""


@dataclass(frozen=True)
class Verdict:
    """What one check saw."""

    ok: bool
    broken: frozenset[int]
    not_checked: frozenset[int]


def verdict_of(findings: Iterable[Finding], ok: bool = True) -> Verdict:
    """What a check saw in short; `ok` False where something else than a row is wrong."""
    rows = combined(findings)
    broken = frozenset(each.row for each in rows if each.verdict == "broken")
    return Verdict(ok and not broken, broken, frozenset(each.row for each in rows if each.verdict == "not_checked"))


@dataclass
class _Span:
    verdict: Verdict
    from_ms: int
    to_ms: int
    checks: int

    def draft(self) -> list[Draft]:
        if not self.checks:
            return []
        seen = self.verdict
        return [entries.watch(self.from_ms, self.to_ms, self.checks, seen.ok, seen.broken, seen.not_checked)]


class WatchSpans:
    """The checks of one run of the server."""

    def __init__(self) -> None:
        self._span: _Span | None = None
        self._open: dict[int, int] = {}
        """Rows that are broken, and since when."""

    def broke(self, now_ms: int, finding: Finding) -> list[Draft]:
        """A row was seen broken; nothing where that is known."""
        if finding.row in self._open:
            return []
        span = self._span
        since = span.to_ms if span is not None and self._follows(span, now_ms) else now_ms
        self._open[finding.row] = since
        return [entries.row_broken(finding, since, now_ms)]

    def mended(self, now_ms: int, row: int) -> list[Draft]:
        """A row is broken no more; nothing where it was not."""
        since = self._open.pop(row, None)
        return [] if since is None else [entries.row_mended(row, since, now_ms)]

    def looked(self, now_ms: int, findings: Iterable[Finding], ok: bool = True) -> list[Draft]:
        """A check was made: `findings` are all that it saw, breaks that are not mended among them."""
        rows = combined(findings)
        new = verdict_of(rows, ok)
        drafts = [draft for each in rows if each.verdict == "broken" for draft in self.broke(now_ms, each)]
        for row in sorted(set(self._open) - new.broken):
            drafts += self.mended(now_ms, row)
        return self._look(now_ms, new) + drafts

    def stop(self, now_ms: int) -> list[Draft]:
        """The server ends in good order."""
        drafts = self.so_far()
        self._span, self._open = None, {}
        return [*drafts, entries.stop(now_ms)]

    def so_far(self) -> list[Draft]:
        """The span that is not over yet, as the entry that it would be now."""
        return [] if self._span is None else self._span.draft()

    def _look(self, now_ms: int, new: Verdict) -> list[Draft]:
        span = self._span
        if span is None or not self._follows(span, now_ms):
            self._span = _Span(new, now_ms, now_ms, 1)
            return [] if span is None else span.draft()
        if new == span.verdict:
            span.to_ms = now_ms
            span.checks += 1
            if now_ms - span.from_ms < SPAN_MS:
                return []
            self._span = _Span(new, now_ms, now_ms, 0)
            return span.draft()
        worse = bool(new.broken - span.verdict.broken) or (span.verdict.ok and not new.ok)
        if not worse:
            span.to_ms = now_ms
        self._span = _Span(new, span.to_ms, now_ms, 1)
        return span.draft()

    @staticmethod
    def _follows(span: _Span, now_ms: int) -> bool:
        return 0 <= now_ms - span.to_ms <= MAX_BETWEEN_MS
