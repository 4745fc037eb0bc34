"""What a canary run saw, and what it means: findings for rows 1, 4, 5, 8, 9, 15, 16 and 17 of GUARANTEE.md.

Pure. A search that could not have found anything proves nothing: where the canary did not arrive, or witness and search
were not awake, rows are skipped and say why. What was found is broken all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from monitor.audit.canary_logs import LogTargets
from monitor.audit.memory import MemorySearch
from monitor.audit.witness import Hit
from monitor.evidence.finding import Finding, Said, broken, combined, holds, said, skipped

ROWS = (1, 4, 8, 9, 15, 16, 17)
"""Rows that each run says something of. Row 5 too, where swap is on."""
TOLERANCE_MS = 1500
"""What the age of the oldest token may exceed the window by: the way to the process, and the time that a search
takes."""
MIN_TOKENS = 10
"""Packets with the token that a viewer must have got for the canary to count as seen."""
_NAMED = 5
"""Paths and process ids that a finding names; the others are counted."""


@dataclass(frozen=True)
class Viewing:
    """What one viewer saw of one media process's canary."""

    camera: str
    packets: int
    tokens: int
    sound_refused: bool | None
    sps_as_sent: bool
    why: str
    """What went wrong; empty where nothing did."""


@dataclass(frozen=True)
class Watched:
    """One media process over the run. Searches are None where they were not permitted, and `during` is empty."""

    pid: int
    during: tuple[MemorySearch, ...]
    """While the canary was watched, at several moments."""
    after: MemorySearch | None
    """A second after it was removed."""
    written_before: int | None
    written_after: int | None
    """Bytes that the kernel wrote to storage for it."""
    ended: bool
    """Whether it ended during the run."""


@dataclass(frozen=True)
class Written:
    """A file that a media process modified."""

    path: str
    in_memory: bool
    pids: tuple[int, ...]


@dataclass(frozen=True)
class SwapSearch:
    """One active swap area."""

    path: str
    octets: int
    searched: int
    found: tuple[str, ...]


@dataclass(frozen=True)
class CanaryResult:
    """All that a run saw."""

    witness: Literal["fanotify", "listing"]
    places: int
    """File systems that it watched."""
    awake: bool
    """Whether it saw what certainly was written: the site's own access log."""
    complete: bool
    """Whether nothing escaped it for want of time or memory."""
    files: int
    octets: int
    """What was searched: files that changed, state directory, logs, temporary directories."""
    unseen: int
    by_media: tuple[Written, ...]
    hits: tuple[Hit, ...]
    viewings: tuple[Viewing, ...]
    setups: tuple[str, ...]
    """Tracks that were set up at the canary camera: `video`, `sound`."""
    processes: tuple[Watched, ...]
    others: tuple[MemorySearch, ...]
    """Searches of the control process and the spare, while watched and afterwards."""
    others_refused: bool
    """Whether a search of them was not permitted."""
    logs: LogTargets
    log_files: int
    log_octets: int
    """Logs that were searched."""
    swaps: tuple[SwapSearch, ...]
    state_dir: str
    window_ms: int
    watched_ms: int
    took_ms: int

    @property
    def tokens(self) -> int:
        """Packets with the token that reached the viewers."""
        return sum(viewing.tokens for viewing in self.viewings)

    @property
    def memory_octets(self) -> int:
        """Memory that was searched, all searches together."""
        searches = [*self.others, *(one for each in self.processes for one in (*each.during, each.after) if one)]
        return sum(search.octets for search in searches)

    def summary(self) -> dict[str, object]:
        """For the report: counts only."""
        return {
            "witness": self.witness,
            "places": self.places,
            "files": self.files,
            "bytes": self.octets,
            "memory_bytes": self.memory_octets,
            "tokens": {viewing.camera: viewing.tokens for viewing in self.viewings},
            "oldest_ms": _oldest(self),
            "hits": len(self.hits),
            "unseen": self.unseen,
            "took_ms": self.took_ms,
        }


def not_run(why: Said) -> list[Finding]:
    """The rows of a run that was not made."""
    return [skipped(row, why) for row in ROWS]


def judge(result: CanaryResult) -> list[Finding]:
    """One finding for each row."""
    findings = [*_breaks(result)]
    broken_rows = {finding.row for finding in findings}
    if unseen := _not_seen(result):
        findings += [skipped(row, unseen) for row in ROWS if row not in broken_rows]
    else:
        findings += [finding for finding in _holding(result) if finding.row not in broken_rows]
    return combined(findings)


def row_of(hit: Hit, logs: LogTargets, state_dir: str) -> int:
    """The row that a hit in a file breaks."""
    if "media" in hit.writers:
        return 4 if hit.in_memory else 1
    if logs.is_log(hit.path) or "log" in hit.writers:
        return 8
    if hit.path.startswith(f"{state_dir}/") or "ours" in hit.writers:
        return 9
    return 4 if hit.in_memory or hit.path.startswith("/dev/shm/") else 9  # noqa: S108  (a place, not a file of ours)


# ---- what was found --------------------------------------------------------------------------------------------------


def _breaks(result: CanaryResult) -> Iterator[Finding]:
    by_row: dict[int, list[Hit]] = {}
    for hit in result.hits:
        by_row.setdefault(row_of(hit, result.logs, result.state_dir), []).append(hit)
    for row, hits in by_row.items():
        patterns = ", ".join(dict.fromkeys(hit.pattern for hit in hits))
        yield broken(row, said("canary.hit", files=_named(hit.path for hit in hits), patterns=patterns))
    for row, in_memory in ((1, False), (4, True)):
        files = [each.path for each in result.by_media if each.in_memory is in_memory]
        if files:
            yield broken(row, said("canary.media-wrote", files=_named(files), count=len(files)))
    for process in result.processes:
        yield from _process_breaks(process, result.window_ms)
    for search in result.others:
        if search.found:
            yield broken(9, said("canary.control-memory", pid=search.pid, patterns=", ".join(search.found)))
    if any(track != "video" for track in result.setups):
        yield broken(17, said("canary.sound-set-up"))
    for viewing in result.viewings:
        if viewing.sound_refused is False:
            yield broken(17, said("canary.sound-answered", camera=viewing.camera))
    for swap in result.swaps:
        if swap.found:
            yield broken(5, said("canary.swap", path=swap.path, patterns=", ".join(swap.found)))


def _process_breaks(process: Watched, window_ms: int) -> Iterator[Finding]:
    before, after = process.written_before, process.written_after
    if before is not None and after is not None and before != after:
        yield broken(1, said("canary.written", pid=process.pid, octets=after - before))
    oldest = max((search.oldest_ms for search in process.during if search.oldest_ms is not None), default=0)
    if oldest > window_ms + TOLERANCE_MS:
        yield broken(15, said("canary.too-old", pid=process.pid, age_ms=oldest, window_ms=window_ms))
    if process.after is not None and process.after.tokens:
        yield broken(16, said("canary.left-behind", pid=process.pid, count=process.after.tokens))


# ---- why nothing is proved -------------------------------------------------------------------------------------------


def _not_seen(result: CanaryResult) -> Said | None:
    """Why the run as a whole proves nothing; None where it does."""
    if not result.processes:
        return said("canary.no-process")
    ended = [process.pid for process in result.processes if process.ended]
    if ended:
        return said("canary.process-ended", pids=_named(map(str, ended)))
    if len(result.viewings) < len(result.processes):
        return said("canary.not-seen", camera="-", tokens=0, why="")
    for viewing in result.viewings:
        if viewing.tokens < MIN_TOKENS or not viewing.sps_as_sent:
            return said("canary.not-seen", camera=viewing.camera, tokens=viewing.tokens, why=viewing.why)
    return None


# ---- what holds, and what was not looked at --------------------------------------------------------------------------


def _holding(result: CanaryResult) -> Iterator[Finding]:
    yield from _files(result)
    yield from _logs(result)
    yield from _memories(result)
    yield holds(17, said("canary.no-sound", setups=len(result.setups), viewers=len(result.viewings)))
    for swap in result.swaps:
        yield holds(5, said("canary.swap-searched", path=swap.path, searched=swap.searched, octets=swap.octets))


def _searched(result: CanaryResult) -> Said:
    key = "canary.searched" if result.witness == "fanotify" else "canary.searched-listing"
    return said(key, files=result.files, octets=result.octets, places=result.places)


def _files(result: CanaryResult) -> Iterator[Finding]:
    """Rows 1, 4 and the files' part of row 9."""
    if not result.awake:
        yield from (skipped(row, said("canary.witness-blind")) for row in (1, 4, 9))
        return
    if result.witness != "fanotify":
        yield from (skipped(row, said("canary.listing"), _searched(result)) for row in (1, 4))
    elif not result.complete:
        yield from (skipped(row, said("canary.incomplete"), _searched(result)) for row in (1, 4))
    else:
        yield holds(1, said("canary.media-wrote-nothing", places=result.places), _searched(result))
        yield holds(4, said("canary.media-wrote-nothing-in-memory"), _searched(result))
    if not result.complete:
        yield skipped(9, said("canary.incomplete"), _searched(result))
    else:
        yield holds(9, said("canary.nowhere", state_dir=result.state_dir), _searched(result))
    if any(process.written_before is None or process.written_after is None for process in result.processes):
        yield skipped(1, said("process.needs-root"))
    else:
        yield holds(1, said("canary.written-unchanged"))


def _logs(result: CanaryResult) -> Iterator[Finding]:
    seen = said("canary.logs", files=result.log_files, octets=result.log_octets, kinds=", ".join(result.logs.kinds))
    if "unreadable" in result.logs.kinds:
        yield skipped(8, said("process.needs-root"), seen)
    elif not result.complete:
        yield skipped(8, said("canary.incomplete"), seen)
    elif "pipe" in result.logs.kinds and (not result.logs.keepers or result.witness != "fanotify"):
        yield skipped(8, said("canary.log-elsewhere"), seen)
    else:
        yield holds(8, seen)


def _memories(result: CanaryResult) -> Iterator[Finding]:
    """Rows 15, 16 and the memory's part of row 9."""
    if result.others_refused or not result.others:
        yield skipped(9, said("process.needs-root"))
    else:
        newest = {search.pid: search.octets for search in result.others}
        yield holds(9, said("canary.control-clean", count=len(newest), octets=sum(newest.values())))
    if any(not process.during or process.after is None for process in result.processes):
        yield from (skipped(row, said("process.needs-root")) for row in (15, 16))
        return
    blind = [process.pid for process in result.processes if not any(search.tokens for search in process.during)]
    if blind:
        # The process relays the canary, so its window holds it: a search that does not find it there cannot find it.
        yield from (skipped(row, said("canary.search-blind", pids=_named(map(str, blind)))) for row in (15, 16))
        return
    moments = sum(len(process.during) for process in result.processes)
    oldest = _oldest(result) or 0
    yield holds(15, said("canary.oldest", age_ms=oldest, window_ms=result.window_ms, moments=moments))
    octets = sum(process.after.octets for process in result.processes if process.after)
    yield holds(16, said("canary.gone", octets=octets, count=len(result.processes)))


def _oldest(result: CanaryResult) -> int | None:
    ages = [search.oldest_ms for process in result.processes for search in process.during]
    return max((age for age in ages if age is not None), default=None)


def _named(names: Iterable[str]) -> str:
    every = list(dict.fromkeys(names))
    return ", ".join(every[:_NAMED]) + (f" (+{len(every) - _NAMED})" if len(every) > _NAMED else "")
