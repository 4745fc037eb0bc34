"""The witness: which files were modified while it watched, by whom, and whether what is searched for is in them.

Where fanotify is permitted (root), it sees every write on every mounted file system, and searches a file twice: when it
is closed after writing, through the descriptor that comes with the event (so a file that is removed at once is searched
too), and at the end. Elsewhere a listing of what changed is all there is; it does not see who wrote, nor what was
removed again, and says so by its name. The witness must never write, and never keep what it read.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import select
import stat
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from monitor.audit.search import head_of, header_of, read_fd, search

FAN_CLASS_NOTIF, FAN_CLOEXEC, FAN_NONBLOCK = 0x0, 0x1, 0x2
FAN_UNLIMITED_QUEUE, FAN_UNLIMITED_MARKS = 0x10, 0x20
FAN_MARK_ADD, FAN_MARK_FILESYSTEM = 0x1, 0x100
FAN_MODIFY, FAN_CLOSE_WRITE, FAN_Q_OVERFLOW = 0x2, 0x8, 0x4000
"""fanotify_init(2), fanotify_mark(2), fanotify(7)."""
_EVENT = struct.Struct("=IBBHQii")
_EVENTS_AT_ONCE = 256
_AT_FDCWD = -100
_WAIT_SECONDS = 0.1
_NO_FILES = frozenset(
    {"proc", "sysfs", "cgroup", "cgroup2", "devpts", "securityfs", "debugfs", "tracefs", "mqueue", "bpf", "pstore"}
    | {"configfs", "fusectl", "binfmt_misc", "efivarfs", "autofs", "rpc_pipefs", "nsfs"}
)
IN_MEMORY = frozenset({"tmpfs", "devtmpfs", "ramfs", "hugetlbfs"})

Writer = Literal["media", "ours", "log", "unknown"]
"""A media process · another process of ours, the audit included · one that keeps logs · one that was gone before it
could be asked, or whose file was found by a listing."""
WriterOf = Callable[[Sequence[int]], Writer | None]
"""From the pids of a process and its ancestors (empty: it is gone) to what it is; None: none of ours."""


@dataclass
class Modified:
    """A file that was modified."""

    writers: set[Writer] = field(default_factory=set)
    pids: set[int] = field(default_factory=set)
    in_memory: bool = False
    """Whether its file system is tmpfs or the like (GUARANTEE.md row 4)."""
    removed: bool = False


@dataclass(frozen=True)
class Hit:
    """Something that was found, and where. `pattern` is one of `search.patterns`, or `header NAME`."""

    path: str
    pattern: str
    writers: frozenset[Writer] = frozenset({"unknown"})
    in_memory: bool = False


class Witness(Protocol):
    """What both witnesses offer. All of it is complete when `stop` has returned."""

    name: Literal["fanotify", "listing"]
    modified: dict[str, Modified]
    searched_octets: int
    places: list[str]
    """Mount points of the file systems that it saw."""
    unseen: int
    """What it could not see: events that were lost, folders and files that it may not read."""
    complete: bool
    """Whether it saw all that one of its kind can see."""

    @property
    def hits(self) -> list[Hit]:
        """What was found."""

    def start(self) -> None:
        """Watch from now on."""

    def stop(self) -> None:
        """Watch no more, and search every file that was modified and still exists."""


def mounted(mountinfo: str) -> dict[str, str]:
    """Mount points of all file systems that hold files, one for each file system, with its type (proc(5))."""
    found: dict[str, tuple[str, str]] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        device, point, kind = before.split()[2], before.split()[4], after.split()[0]
        if kind not in _NO_FILES:
            found.setdefault(device, (re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), point), kind))
    return dict(found.values())


def memory_devices(kinds: Mapping[str, str]) -> set[int]:
    """Device numbers of the file systems in memory."""
    found = set()
    for point, kind in kinds.items():
        if kind in IN_MEMORY:
            with contextlib.suppress(OSError):
                found.add(os.stat(point).st_dev)
    return found


def ancestors(pid: int) -> Iterator[int]:
    """A process and those it descends from, but the first of all; nothing where it is gone."""
    while pid > 1:
        try:
            line = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return
        yield pid
        pid = int(line.rpartition(")")[2].split()[1])


class Searching:
    """What both witnesses have in common: which files, and what was found in them."""

    def __init__(self, wanted: Mapping[str, bytes]) -> None:
        self.wanted = wanted
        self.modified: dict[str, Modified] = {}
        self.searched_octets = 0
        self.unseen = 0
        self._found: set[tuple[str, str]] = set()

    @property
    def hits(self) -> list[Hit]:
        """What was found."""
        return [
            Hit(path, pattern, frozenset(self.modified[path].writers), self.modified[path].in_memory)
            for path, pattern in sorted(self._found)
        ]

    def _search_fd(self, path: str, fd: int) -> None:
        """Search an open file; its header counts where a process that is known for ours wrote it."""

        def counted(pieces: Iterable[bytes]) -> Iterator[bytes]:
            for piece in pieces:
                self.searched_octets += len(piece)
                yield piece

        self._found.update((path, name) for name in search(counted(read_fd(fd)), self.wanted))
        name = header_of(head_of(fd))
        if name and self.modified[path].writers & {"media", "ours"}:
            self._found.add((path, f"header {name}"))

    def search_all(self) -> None:
        """Search every file that was modified and still exists."""
        for path, file in self.modified.items():
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | os.O_NOFOLLOW)
            except FileNotFoundError:
                file.removed = True
                continue
            except OSError:
                self.unseen += 1
                continue
            try:
                if stat.S_ISREG(os.fstat(fd).st_mode):
                    self._search_fd(path, fd)
            finally:
                os.close(fd)


class FanotifyWitness(Searching):
    """Sees every write of every process."""

    name: Literal["fanotify", "listing"] = "fanotify"

    def __init__(self, wanted: Mapping[str, bytes], writer_of: WriterOf) -> None:
        super().__init__(wanted)
        self._writer_of = writer_of
        self.places: list[str] = []
        self.complete = True
        self._ending = threading.Event()

    def start(self) -> None:
        """Raises PermissionError where this user may not, OSError where this kernel cannot."""
        libc = ctypes.CDLL(None, use_errno=True)
        flags = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS
        self._fd = libc.fanotify_init(flags, os.O_RDONLY | os.O_LARGEFILE | os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "fanotify_init")
        kinds = mounted(Path("/proc/self/mountinfo").read_text())
        self._memory_devices = memory_devices(kinds)
        for point in kinds:
            mask = ctypes.c_uint64(FAN_MODIFY | FAN_CLOSE_WRITE)
            how = FAN_MARK_ADD | FAN_MARK_FILESYSTEM
            if libc.fanotify_mark(self._fd, how, mask, _AT_FDCWD, os.fsencode(point)) == 0:
                self.places.append(point)
        if "/" not in self.places:
            os.close(self._fd)
            raise OSError(ctypes.get_errno(), "fanotify_mark")
        self._thread = threading.Thread(target=self._watch, name="witness", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take what is still queued, then search every file that was modified and still exists."""
        self._ending.set()
        self._thread.join()
        os.close(self._fd)
        self.search_all()

    def _watch(self) -> None:
        while True:
            ready = select.select([self._fd], [], [], _WAIT_SECONDS)[0]
            if not ready:
                if self._ending.is_set():
                    return
                continue
            with contextlib.suppress(BlockingIOError):
                self._take(os.read(self._fd, _EVENTS_AT_ONCE * _EVENT.size))

    def _take(self, data: bytes) -> None:
        known: dict[int, Writer | None] = {}
        for position in range(0, len(data), _EVENT.size):
            _, _, _, _, mask, fd, pid = _EVENT.unpack_from(data, position)
            if mask & FAN_Q_OVERFLOW:
                self.complete, self.unseen = False, self.unseen + 1
            if fd < 0:
                continue
            try:
                if pid not in known:
                    known[pid] = self._writer_of(list(ancestors(pid)))
                if writer := known[pid]:
                    self._note(writer, pid, fd, closed=bool(mask & FAN_CLOSE_WRITE))
            finally:
                os.close(fd)

    def _note(self, writer: Writer, pid: int, fd: int, *, closed: bool) -> None:
        status = os.fstat(fd)
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode)):
            return  # /dev/null and named pipes keep nothing
        name = os.readlink(f"/proc/self/fd/{fd}")
        path = name.removesuffix(" (deleted)")
        file = self.modified.setdefault(path, Modified())
        file.writers.add(writer)
        file.pids.add(pid)
        file.removed |= name != path
        file.in_memory |= status.st_dev in self._memory_devices
        if closed and stat.S_ISREG(status.st_mode):
            self._search_fd(path, fd)
