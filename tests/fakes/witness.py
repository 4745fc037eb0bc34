"""What tests alone need of the witness (`monitor/audit/witness.py`): whose files count, and strace where fanotify
is not permitted, for it sees each file that is opened for writing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monitor.audit.search import read_file, search
from monitor.audit.witness import Writer


def files_of(
    pids: Collection[int], *, but: Collection[int] = (), as_: Writer = "unknown"
) -> Callable[[Sequence[int]], Writer | None]:
    """For a witness: the files that these processes (the collection may still grow) and their children modify count,
    and those of processes that are gone before they can be asked."""

    def writer_of(lineage: Sequence[int]) -> Writer | None:
        if not lineage:
            return "unknown"
        if any(pid in lineage for pid in but):
            return None
        return as_ if any(pid in lineage for pid in pids) else None

    return writer_of


OPENED = re.compile(r'(?:openat|open|creat)\((?:AT_FDCWD[^,]*, |\d+<([^>]*)>, )?"((?:[^"\\]|\\.)*)", ?([A-Z_|0-9]*)')
WRITING = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE")


@dataclass
class StraceWitness:
    """The witness where fanotify is not permitted: start the processes with `command` before their own, and `stop` when
    they have ended. It lists the files that they opened for writing and searches those that still exist."""

    wanted: dict[str, bytes]
    log: Path
    modified: set[str] = field(default_factory=set)
    hits: list[tuple[str, str]] = field(default_factory=list)
    searched_bytes: int = 0

    @property
    def command(self) -> list[str]:
        return ["strace", "-f", "-qq", "-y", "-e", "trace=open,openat,creat", "-o", str(self.log)]

    def stop(self) -> None:
        for line in self.log.read_text(errors="replace").splitlines():
            match = OPENED.search(line)
            if match and " = -1 " not in line and any(flag in match[3] for flag in WRITING):
                path = Path(match[2]) if match[2].startswith("/") else Path(match[1] or os.getcwd()) / match[2]
                if not str(path).startswith(("/dev/", "/proc/")) or str(path).startswith("/dev/shm/"):
                    self.modified.add(str(path))
        for path in self.modified:
            data = list(read_file(Path(path)))
            self.searched_bytes += sum(map(len, data))
            self.hits += [(path, name) for name in search(data, self.wanted)]
