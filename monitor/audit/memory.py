"""Searches the memory of a process from outside, as root: what is in it of the canary, and how old that is.

The kernel gives the memory as it is (`/proc/PID/mem`); the process is neither stopped nor asked. This module must never
keep or show what it read: it counts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.audit.search import MOMENT_DIGITS, RAW

PIECE = 4 << 20
_PAGE = os.sysconf("SC_PAGESIZE")
_MAX_HOLES = 4096
"""Pages of one mapping that may be unreadable before the rest of it is given up, and counted as such."""
_NOT_MEMORY = ("[vvar]", "[vvar_vclock]", "[vsyscall]")
"""The kernel's own pages, the same in every process."""


@dataclass(frozen=True)
class MemorySearch:
    """What was found in one process's memory. Ages are ms between a token's sending and the moment it was read."""

    pid: int
    octets: int
    """How much was read."""
    unreadable: int
    """How much of what should be readable was not."""
    found: tuple[str, ...]
    """The names of the patterns that occur, in the order of the question."""
    tokens: int
    """How often the token itself occurs."""
    oldest_ms: int | None
    """Age of the oldest token that has its moment behind it; None where there is none."""
    newest_ms: int | None
    took_ms: int


def search_memory(
    pid: int, wanted: Mapping[str, bytes], now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
) -> MemorySearch:
    """Search all readable memory of a process once. `wanted` is as `search.patterns` makes it; the token under `raw`
    is counted, with its ages. Takes about a second for 500 MB and a single pattern.

    Raises PermissionError where this user may not, ProcessLookupError where the process has ended.
    """
    began = time.monotonic()
    counting = _Counting(dict(wanted))
    octets = unreadable = 0
    try:
        spans = list(_spans(Path(f"/proc/{pid}/maps").read_text()))
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProcessLookupError(f"there is no process {pid}") from None
    try:
        for low, high in spans:
            read, holes = _search_span(memory, low, high, counting, now_ms)
            octets, unreadable = octets + read, unreadable + holes
    finally:
        os.close(memory)
    if not octets:  # the process ended between the two
        raise ProcessLookupError(f"the memory of process {pid} is gone")
    return MemorySearch(
        pid=pid,
        octets=octets,
        unreadable=unreadable,
        found=tuple(name for name in wanted if name in counting.seen),
        tokens=counting.tokens,
        oldest_ms=max(counting.ages, default=None),
        newest_ms=min(counting.ages, default=None),
        took_ms=round((time.monotonic() - began) * 1000),
    )


def _spans(maps: str) -> Iterator[tuple[int, int]]:
    """The readable mappings of a `/proc/PID/maps` (proc(5)), as addresses from and to."""
    for line in maps.splitlines():
        words = line.split(maxsplit=5)
        if "r" in words[1] and words[-1] not in _NOT_MEMORY:
            low, _, high = words[0].partition("-")
            yield int(low, 16), int(high, 16)


class _Counting:
    """One buffer for all pieces, with the end of the one before in front, and what was found."""

    def __init__(self, wanted: dict[str, bytes]) -> None:
        self.token = wanted.pop(RAW, b"")
        self.others = wanted
        longest = max((len(pattern) for pattern in wanted.values()), default=0)
        self.overlap = max(longest, len(self.token) + MOMENT_DIGITS, 1) - 1
        self.buffer = bytearray(self.overlap + PIECE)
        self.view = memoryview(self.buffer)
        self.seen: set[str] = set()
        self.tokens = 0
        self.ages: list[int] = []

    def search(self, begin: int, end: int, is_last: bool, now_ms: int) -> None:
        """Search the buffer from `begin` to `end`. A token that begins within the last `overlap` bytes is left for the
        next piece, unless this is the last."""
        for name, pattern in self.others.items():
            if name not in self.seen and self.buffer.find(pattern, begin, end) >= 0:
                self.seen.add(name)
        if not self.token:
            return
        at = self.buffer.find(self.token, begin, end)
        while at >= 0 and (is_last or at < end - self.overlap):
            self.seen.add(RAW)
            self.tokens += 1
            behind = bytes(self.buffer[at + len(self.token) : min(end, at + len(self.token) + MOMENT_DIGITS)])
            if len(behind) == MOMENT_DIGITS and behind.isdigit():
                self.ages.append(now_ms - int(behind))
            at = self.buffer.find(self.token, at + len(self.token), end)


def _search_span(memory: int, low: int, high: int, counting: _Counting, now_ms: Callable[[], int]) -> tuple[int, int]:
    """Search one mapping: how many bytes were read, and how many could not be."""
    overlap = counting.overlap
    at, begin, octets, holes = low, overlap, 0, 0
    while at < high:
        wanted = min(PIECE, high - at)
        try:
            count = os.preadv(memory, [counting.view[overlap : overlap + wanted]], at)
        except OSError:  # beyond the end of a mapped file, or gone since the list was made
            count = 0
        if count <= 0:
            step = min(_PAGE - at % _PAGE, high - at)
            if begin == 0:  # what the last piece left for the next one
                counting.search(0, overlap, True, now_ms())
            holes += step
            if holes >= _MAX_HOLES * _PAGE:
                return octets, holes + (high - at - step)
            at, begin = at + step, overlap
            continue
        at, octets = at + count, octets + count
        end = overlap + count
        # What follows a short read is a hole or the end: nothing continues there.
        counting.search(begin, end, at >= high or count < wanted, now_ms())
        if count < wanted:
            begin = overlap
        else:
            counting.buffer[:overlap] = counting.buffer[end - overlap : end]
            begin = 0
    return octets, holes
