"""The witness where fanotify is not permitted: the files that changed, by their dates.

It does not see who wrote, nor what was removed again: its name says so, and no row holds on its word alone where the
writer matters. It must never write, and never keep what it read.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from monitor.audit.witness import (
    IN_MEMORY,
    FanotifyWitness,
    Modified,
    Searching,
    Witness,
    WriterOf,
    memory_devices,
    mounted,
)

MAX_LISTED = 400_000
MAX_LIST_SECONDS = 10.0


class ListingWitness(Searching):
    """Lists, at the end, the files on writable file systems that changed since the start. Bounded by MAX_LISTED entries
    and MAX_LIST_SECONDS; below `roots` only, where given."""

    name: Literal["fanotify", "listing"] = "listing"

    def __init__(self, wanted: Mapping[str, bytes], roots: Sequence[str] | None = None) -> None:
        super().__init__(wanted)
        kinds = mounted(Path("/proc/self/mountinfo").read_text())
        # Small file systems in memory come first, should time run out.
        self._roots = sorted(kinds, key=lambda point: kinds[point] not in IN_MEMORY) if roots is None else roots
        self._memory_devices = memory_devices(kinds)
        self.places: list[str] = []
        self.complete = True
        self._began_ns = 0

    def start(self) -> None:
        """Remember the moment. What changes from now on carries a later one (file systems round to some ms)."""
        self._began_ns = time.time_ns() - 20_000_000

    def stop(self) -> None:
        """List, then search."""
        budget = [MAX_LISTED]
        deadline = time.monotonic() + MAX_LIST_SECONDS
        for place in self._roots:
            try:
                read_only = bool(os.statvfs(place).f_flag & os.ST_RDONLY)
                status = os.stat(place)
            except FileNotFoundError:
                continue
            except OSError:
                self.unseen += 1
                continue
            if read_only:
                continue
            self.places.append(place)
            if stat.S_ISDIR(status.st_mode):
                self._list(place, status.st_dev, budget, deadline)
            else:
                self._take(place, status)
        self.search_all()

    def _take(self, path: str, status: os.stat_result) -> None:
        changed_ns = max(status.st_mtime_ns, status.st_ctime_ns)
        if stat.S_ISREG(status.st_mode) and changed_ns >= self._began_ns:
            self.modified[path] = Modified({"unknown"}, set(), status.st_dev in self._memory_devices)

    def _list(self, place: str, device: int, budget: list[int], deadline: float) -> None:
        folders = [place]
        while folders:
            folder = folders.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError:
                self.unseen += 1
                continue
            for entry in entries:
                budget[0] -= 1
                if budget[0] < 0 or time.monotonic() > deadline:
                    self.complete = False
                    return
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue  # removed meanwhile
                if status.st_dev != device:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    folders.append(entry.path)
                else:
                    self._take(entry.path, status)


def open_witness(wanted: Mapping[str, bytes], writer_of: WriterOf) -> Witness:
    """A witness that watches: fanotify where it is permitted, else the listing. Its `name` says which."""
    witness: Witness = FanotifyWitness(wanted, writer_of)
    try:
        witness.start()
    except OSError:
        witness = ListingWitness(wanted)
        witness.start()
    return witness
