"""What the kernel shows, from outside, that an attacking process holds or has left: descriptors open for writing,
shared mappings, children, segments, queues and keys.

It must never take away what the process itself did not make: a segment or a queue counts as its own only where the
kernel says that it made it or wrote to it last, or by the proof's own random name.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Callable
from pathlib import Path

from monitor.evidence.finding import Said, said

_WRITING = os.O_WRONLY | os.O_RDWR
_IPC_RMID = 0
_SHARED_WRITABLE = re.compile(r"^\S+ .w.s .*$", re.MULTILINE)
_HARMLESS = ("/dev/null", "/proc/")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  the place is what is attacked


class Look:
    """Looks at one process. `shared` is the name that its attacks give to what is shared by name."""

    def __init__(self, pid: int, shared: str) -> None:
        self._proc = Path("/proc", str(pid))
        self._pid = str(pid)
        self._shared = shared
        self._before: set[str] = set()

    def begin(self) -> None:
        """What is there now is how it should be. What an attack left is taken away first."""
        self._remove()
        self._before = {f"{each.key} {each.values.get('name')}" for each in self._all()}

    def changes(self) -> list[Said]:
        """What is there now and was not. Nothing where the process may not be looked into (it is not root's, say)."""
        return [each for each in self._all() if f"{each.key} {each.values.get('name')}" not in self._before]

    def _all(self) -> list[Said]:
        found: list[Said] = []
        looks: list[Callable[[], list[Said]]] = [
            self._descriptors,
            self._mappings,
            self._children,
            self._system_v,
            self._named,
        ]
        for look in looks:
            with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
                found += look()
        return found

    def _descriptors(self) -> list[Said]:
        found = []
        for link in (self._proc / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(link)
                info = (self._proc / "fdinfo" / link.name).read_text()
                flags = int(next(line.split()[1] for line in info.splitlines() if line.startswith("flags:")), 8)
                if target.startswith("/") and flags & _WRITING and not target.startswith(_HARMLESS):
                    found.append(said("prove.found.descriptor", name=_base(target)))
        return found

    def _mappings(self) -> list[Said]:
        found = []
        for line in _SHARED_WRITABLE.findall((self._proc / "maps").read_text()):
            fields = line.split(maxsplit=5)  # proc(5): addresses, permissions, offset, device, inode, path
            if len(fields) > 5 and "/dev/zero" not in fields[5]:
                found.append(said("prove.found.mapping", name=_base(fields[5])))
        return found

    def _children(self) -> list[Said]:
        found = []
        for task in (self._proc / "task").iterdir():
            found += [said("prove.found.child", name=pid) for pid in (task / "children").read_text().split()]
        return found

    def _system_v(self) -> list[Said]:
        found = []
        # proc(5), /proc/sysvipc: shm has cpid in the fifth column, msg lspid in the sixth
        for table, column, key in (("shm", 4, "prove.found.segment"), ("msg", 5, "prove.found.queue")):
            found += [said(key, name=identity) for identity in self._made(table, column)]
        return found

    def _made(self, table: str, column: int) -> list[str]:
        lines = Path("/proc/sysvipc", table).read_text().splitlines()[1:]
        return [line.split()[1] for line in lines if line.split()[column] == self._pid]

    def _named(self) -> list[Said]:
        found = []
        if (_SHARED_MEMORY / self._shared).exists():
            found.append(
                said("prove.found.new", name=self._shared, octets=(_SHARED_MEMORY / self._shared).stat().st_size)
            )
        if _queue_exists(self._shared):
            found.append(said("prove.found.queue", name=self._shared))
        if self._shared in Path("/proc/keys").read_text():
            found.append(said("prove.found.key", name=self._shared))
        return found

    def _remove(self) -> None:
        """What outlives the process, were it to have ended before it could take it away itself."""
        libc = ctypes.CDLL(None)
        with contextlib.suppress(OSError):
            for segment in self._made("shm", 4):
                libc.shmctl(int(segment), _IPC_RMID, None)
            for queue in self._made("msg", 5):
                libc.msgctl(int(queue), _IPC_RMID, None)
        with contextlib.suppress(FileNotFoundError):
            (_SHARED_MEMORY / self._shared).unlink()
        if (unlink := getattr(libc, "mq_unlink", None)) is not None:
            unlink(f"/{self._shared}".encode())


def _queue_exists(name: str) -> bool:
    """Whether there is a POSIX queue of this name; no where the C library keeps its functions elsewhere."""
    libc = ctypes.CDLL(None)
    if (mq_open := getattr(libc, "mq_open", None)) is None:
        return False
    queue = mq_open(f"/{name}".encode(), os.O_RDONLY | os.O_NONBLOCK)
    if queue < 0:
        return False
    os.close(queue)
    return True


def _base(path: str) -> str:
    return path.removesuffix(" (deleted)").rpartition("/")[2] or path
