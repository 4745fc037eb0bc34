"""The ground on which `vigil prove` lets a throw-away process attack its seal: scratch directories, local sockets that
stand for a log daemon and a recorder, a pipe that somebody stores, a buffer of another process.

It says what was left there, and takes it away again. It must never leave anything behind when it closes, and never
look at, or touch, what it did not make itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monitor.evidence.finding import Said, said

EXISTING, FOLDER, INHERITED, OPEN = "existing", "folder", "inherited", "open"
_FILES = (EXISTING, INHERITED, OPEN)
_SIZE = 4096
_PREFIX = "vigil-prove-"
_MOST_READ = 1 << 20
_MOST_ENTRIES = 500
_UMOUNT_DETACH = 2
_SHARED_MEMORY = "/dev/shm"  # noqa: S108  the place is what is attacked
_DISKS = ("/var/tmp", "/tmp")  # noqa: S108  the directory gets a random name there


@dataclass(frozen=True)
class Entry:
    """What matters of one name in a scratch directory. Not the time of access: reading is no storing."""

    mode: int
    octets: int
    links: int
    changed_ns: int
    content: str
    """A hash, a link's target; empty for a directory."""
    attributes: tuple[str, ...]


class Scratch:
    """One scratch directory. `place` is `disk` or `memory` (tmpfs); `row` what a file there breaks."""

    def __init__(self, path: Path, place: str, row: int) -> None:
        self.path, self.place, self.row = path, place, row
        self.restore()

    def changes(self) -> list[Said]:
        """What is new or otherwise than it was left by `restore`."""
        now = self._snapshot()
        found = []
        for name in sorted(now.keys() | self._before.keys()):
            if now.get(name) == self._before.get(name):
                continue
            entry = now.get(name)
            if entry is None:
                found.append(said("prove.found.gone", name=name))
            else:
                key = "prove.found.changed" if name in self._before else "prove.found.new"
                found.append(said(key, name=name, octets=entry.octets))
        return found

    def restore(self) -> None:
        """Make it as it should be. A file that others have open stays the same file."""
        unmount(self.path / FOLDER)
        for entry in os.scandir(self.path):
            if entry.name in _FILES and entry.is_file(follow_symlinks=False) and entry.stat().st_nlink == 1:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
        for name in _FILES:
            self._write(self.path / name)
        (self.path / FOLDER).mkdir(mode=0o700)
        self._before = self._snapshot()

    @staticmethod
    def _write(path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            if os.pread(descriptor, _SIZE + 1, 0) != bytes(_SIZE):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, bytes(_SIZE), 0)
            for attribute in _attributes(path):
                os.removexattr(path, attribute)
        finally:
            os.close(descriptor)

    def _snapshot(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for folder, folders, files in os.walk(self.path):
            for name in (*folders, *files):
                path = Path(folder, name)
                if len(found) < _MOST_ENTRIES:
                    found[str(path.relative_to(self.path))] = _entry(path)
        return found


def _entry(path: Path) -> Entry:
    kind = path.lstat()
    content = ""
    if stat.S_ISREG(kind.st_mode):
        with path.open("rb") as file:
            content = hashlib.sha256(file.read(_MOST_READ)).hexdigest()
    elif stat.S_ISLNK(kind.st_mode):
        content = str(path.readlink())
    size = 0 if stat.S_ISDIR(kind.st_mode) else kind.st_size
    links = 0 if stat.S_ISDIR(kind.st_mode) else kind.st_nlink
    return Entry(kind.st_mode, size, links, kind.st_mtime_ns, content, _attributes(path))


def _attributes(path: Path) -> tuple[str, ...]:
    try:
        return tuple(name for name in os.listxattr(path, follow_symlinks=False) if name.startswith("user."))
    except OSError:
        return ()


def unmount(path: Path) -> None:
    """Undo what an attack mounted here, were it to succeed."""
    if path.is_mount():
        ctypes.CDLL(None).umount2(os.fsencode(path), _UMOUNT_DETACH)


class Ground:
    """All that an attack may reach for. `token` is what to look for."""

    def __init__(self, scratches: list[Scratch], sockets: Path) -> None:
        self.scratches = scratches
        self.token = bytes(secrets.randbelow(255) + 1 for _ in range(32))  # no zero: it must survive as a C string too
        self.shared = f"{_PREFIX}{self.token.hex()[:16]}"
        self.datagrams, self.stream = str(sockets / "log"), str(sockets / "recorder")
        self.abstract = self.shared
        self._listening = [
            _listening(socket.SOCK_DGRAM, self.datagrams),
            _listening(socket.SOCK_DGRAM, f"\0{self.abstract}"),
            _listening(socket.SOCK_STREAM, self.stream),
        ]
        self._pipe, self.pipe = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self.pipe, True)
        first = scratches[0].path
        self.file = os.open(first / INHERITED, os.O_RDWR | os.O_CLOEXEC)
        self.descriptor = os.open(first / OPEN, os.O_RDWR | os.O_CLOEXEC)
        self._buffer = ctypes.create_string_buffer(len(self.token))
        self.address = ctypes.addressof(self._buffer)

    def close(self) -> None:
        """Let go of everything but the directories."""
        for sock in self._listening:
            sock.close()
        for descriptor in (self._pipe, self.pipe, self.file, self.descriptor):
            os.close(descriptor)

    def changes(self) -> list[Said]:
        """What was left since `restore`."""
        found = [change for scratch in self.scratches for change in scratch.changes()]
        if octets := self._received():
            found.append(said("prove.found.received", octets=octets))
        if self._buffer.raw == self.token:
            found.append(said("prove.found.buffer"))
        return found

    def restore(self) -> None:
        """Take away what was left."""
        self._received()
        ctypes.memset(self.address, 0, len(self.token))
        for scratch in self.scratches:
            if scratch.changes():
                scratch.restore()
        for descriptor in (self.file, self.descriptor):
            os.lseek(descriptor, 0, os.SEEK_SET)

    def _received(self) -> int:
        octets = 0
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._pipe, 65536):
                octets += len(data)
        for sock in self._listening:
            with contextlib.suppress(BlockingIOError):
                while True:
                    octets += self._from(sock)
        return octets

    @staticmethod
    def _from(sock: socket.socket) -> int:
        if sock.type != socket.SOCK_STREAM:
            return len(sock.recv(65536))
        connected, _ = sock.accept()
        with connected:
            connected.settimeout(1)
            octets = 0
            with contextlib.suppress(OSError):
                while data := connected.recv(65536):
                    octets += len(data)
            return max(octets, 1)  # that it could connect is enough


def _listening(kind: int, address: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(address.encode() if address.startswith("\0") else address)
    if kind == socket.SOCK_STREAM:
        sock.listen()
    sock.setblocking(False)
    return sock


@contextlib.contextmanager
def opened() -> Iterator[Ground]:
    """The ground, for the time of one proof: a directory on a disk, and one in memory where there is a tmpfs.

    Raises OSError where no directory can be made. What an earlier proof left that was killed is taken away first.
    """
    disk = next((where for where in _DISKS if os.access(where, os.W_OK) and not _in_memory(where)), None)
    places = [(disk or tempfile.gettempdir(), "disk", 1)]
    if os.access(_SHARED_MEMORY, os.W_OK) and _in_memory(_SHARED_MEMORY):
        places.append((_SHARED_MEMORY, "memory", 4))
    with contextlib.ExitStack() as removed:
        scratches = []
        for where, place, row in places:
            _remove_leftovers(Path(where))
            made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=where))
            removed.callback(_remove, made)
            (made / "ground").mkdir(mode=0o700)
            scratches.append(Scratch(made / "ground", place, row))
        ground = Ground(scratches, scratches[0].path.parent)
        removed.callback(ground.close)
        yield ground


def _in_memory(where: str) -> bool:
    """Whether a directory lies on a tmpfs, by /proc/self/mountinfo: 2 major:minor; behind the dash the type."""
    device = os.stat(where).st_dev
    name = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mounted, _, kind = line.partition(" - ")
        if mounted.split()[2] == name:
            return kind.split()[0] in {"tmpfs", "ramfs"}
    return False


def _remove_leftovers(where: Path) -> None:
    for left in where.glob(f"{_PREFIX}*-*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists() and left.lstat().st_uid == os.geteuid() and left.is_dir():
            _remove(left)


def _remove(made: Path) -> None:
    unmount(made / "ground" / FOLDER)
    shutil.rmtree(made, ignore_errors=True)
