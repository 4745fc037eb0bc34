"""The witness: every file that any of some processes modified, on every mounted file system, by fanotify.

What was modified is searched twice: when it is closed after writing, through the descriptor that comes with the event
(so a file that is removed at once is searched too), and at the end. Where fanotify is not permitted (not root), strace
is the witness (`StraceWitness`): it sees each write as it is made, and its data.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import os
import re
import select
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

FAN_CLASS_NOTIF, FAN_CLOEXEC, FAN_NONBLOCK = 0x0, 0x1, 0x2
FAN_UNLIMITED_QUEUE, FAN_UNLIMITED_MARKS = 0x10, 0x20
FAN_MARK_ADD, FAN_MARK_FILESYSTEM = 0x1, 0x100
FAN_MODIFY, FAN_CLOSE_WRITE, FAN_Q_OVERFLOW = 0x2, 0x8, 0x4000
EVENT = struct.Struct("=IBBHQii")
AT_FDCWD = -100
NO_FILES = {"proc", "sysfs", "cgroup", "cgroup2", "devpts", "securityfs", "debugfs", "tracefs", "mqueue", "bpf"}
PIECE = 1 << 20


def patterns(token: bytes, sps: bytes = b"") -> dict[str, bytes]:
    """What is searched for: the token raw, in hex and in base64 (at each of the three alignments, without the
    characters that its neighbours decide), and a start code before our sequence parameter set."""
    found = {"raw": token, "hex": token.hex().encode(), "HEX": token.hex().upper().encode()}
    for shift in range(3):
        coded = base64.b64encode(bytes(shift) + token).rstrip(b"=")
        found[f"base64+{shift}"] = coded[4 if shift else 0 : -1]
    if sps:
        found["start code + SPS"] = b"\0\0\1" + sps
    return found


def search(data: Iterable[bytes], wanted: dict[str, bytes]) -> Iterator[str]:
    """The names of the patterns that occur in a file that comes in pieces."""
    longest = max(len(pattern) for pattern in wanted.values())
    rest = b""
    seen: set[str] = set()
    for piece in data:
        block = rest + piece
        for name, pattern in wanted.items():
            if name not in seen and pattern in block:
                seen.add(name)
                yield name
        rest = block[-longest:]


def read_fd(fd: int) -> Iterator[bytes]:
    position = 0
    while piece := os.pread(fd, PIECE, position):
        position += len(piece)
        yield piece


def read_file(path: Path) -> Iterator[bytes]:
    with contextlib.suppress(OSError), path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def mounted() -> list[str]:
    """Mount points of all file systems that hold files, one for each file system."""
    found: dict[str, str] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        device, point, kind = before.split()[2], before.split()[4], after.split()[0]
        if kind not in NO_FILES:
            found.setdefault(device, re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), point))
    return list(found.values())


def ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return


@dataclass
class FanotifyWitness:
    """Watches from `start` to `stop`. `is_ours` tells from the pids of a process and its ancestors whether it counts;
    a process that is gone before it can be asked counts."""

    wanted: dict[str, bytes]
    is_ours: Callable[[list[int]], bool]
    modified: dict[str, set[int]] = field(default_factory=dict)
    """path → pids"""
    hits: list[tuple[str, str]] = field(default_factory=list)
    """(path, pattern) of what was found"""
    searched_bytes: int = 0
    overflowed: bool = False
    marks: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Raises PermissionError where this user may not."""
        libc = ctypes.CDLL(None, use_errno=True)
        flags = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS
        self._fd = libc.fanotify_init(flags, os.O_RDONLY | os.O_LARGEFILE)
        if self._fd < 0:
            raise PermissionError(ctypes.get_errno(), "fanotify_init")
        for point in mounted():
            mask = ctypes.c_uint64(FAN_MODIFY | FAN_CLOSE_WRITE)
            if libc.fanotify_mark(self._fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, mask, AT_FDCWD, point.encode()) == 0:
                self.marks.append(point)
        assert "/" in self.marks
        self._ending, self._own = threading.Event(), os.getpid()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take what is still queued, then search every file that was modified and still exists."""
        self._ending.set()
        self._thread.join()
        os.close(self._fd)
        for path in self.modified:
            self._search(path, read_file(Path(path)))

    def _watch(self) -> None:
        while True:
            ready = select.select([self._fd], [], [], 0.1)[0]
            if not ready:
                if self._ending.is_set():
                    return
                continue
            with contextlib.suppress(BlockingIOError):
                self._take(os.read(self._fd, 256 * EVENT.size))

    def _take(self, data: bytes) -> None:
        for position in range(0, len(data), EVENT.size):
            _, _, _, _, mask, fd, pid = EVENT.unpack_from(data, position)
            if mask & FAN_Q_OVERFLOW:
                self.overflowed = True
            if fd < 0:
                continue
            try:
                lineage = list(ancestors(pid))
                if lineage and not self.is_ours(lineage):
                    continue
                path = os.readlink(f"/proc/self/fd/{fd}")
                self.modified.setdefault(path.removesuffix(" (deleted)"), set()).add(pid)
                if mask & FAN_CLOSE_WRITE and os.path.isfile(f"/proc/self/fd/{fd}"):
                    self._search(path, read_fd(fd))
            finally:
                os.close(fd)

    def _search(self, path: str, pieces: Iterable[bytes]) -> None:
        def counted() -> Iterator[bytes]:
            for piece in pieces:
                self.searched_bytes += len(piece)
                yield piece

        self.hits += [(path, name) for name in search(counted(), self.wanted)]


def search_tree(folder: Path, wanted: dict[str, bytes]) -> list[tuple[str, str]]:
    """(path, pattern) of every hit in the files below a folder, or in one file."""
    files = [folder] if folder.is_file() else [path for path in folder.rglob("*") if path.is_file()]
    return [(str(path), name) for path in files for name in search(read_file(path), wanted)]


def search_memory(pid: int, wanted: dict[str, bytes]) -> list[str]:
    """The patterns that occur in the memory of a process (root only), with the kind of mapping they were found in."""
    found = []
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, mode, *_, name = (
                [*line.split(maxsplit=5), ""][:6] if len(line.split()) < 6 else line.split(maxsplit=5)
            )
            if "r" not in mode or name in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            low, high = (int(part, 16) for part in span.split("-"))

            def pieces(low: int = low, high: int = high) -> Iterator[bytes]:
                for at in range(low, high, PIECE):
                    try:
                        memory.seek(at)
                        yield memory.read(min(PIECE, high - at))
                    except OSError:
                        yield b""

            found += [f"{kind} in {name or 'anonymous'}" for kind in search(pieces(), wanted)]
    return found


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
