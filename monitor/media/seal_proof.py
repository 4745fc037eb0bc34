"""The proof of the seal: tries every way of `seal_ways_*.py`, looks at the process's own state, and tells what it saw.

It must never damage anything, also where the seal is off, and never hold up the relay: it takes some milliseconds and
can be run in slices. Nothing in it can make a refusal out of a success: a way that was not refused by the seal's own
answer counts as not refused.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import resource
import stat
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from monitor.core.messages import Attempt, Proof
from monitor.media import seal
from monitor.media.seal_ways import Way
from monitor.media.seal_ways_calls import ways_of_calls
from monitor.media.seal_ways_files import directories, ways_in, ways_of_opening

_MAX_ATTEMPTS = 200
"""Of a Proof message; `tried` and `refused` count all."""
_HARMLESS_DEVICES = frozenset(os.makedev(1, minor) for minor in (3, 5, 8, 9))  # null, zero, random, urandom
_IPC_LOCK = 1 << 14
_HELD = errno.EPERM
_BLOCK = 512
"""Octets of ru_oublock's unit, whatever the device's."""
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_./ +:@,-]")


class ProofRun:
    """One proof from the thread that calls it. Under `memory` it says which lock keeps memory from swap."""

    def __init__(
        self, nonce: str, thread: Literal["first", "second"], memory: seal.MemoryLock, written_before: int = 0
    ) -> None:
        """`written_before` is what `written_octets` said when the seal was closed."""
        self._written_before = written_before
        self._nonce = nonce
        self._thread = thread
        self._started = time.monotonic()
        self._left: list[Way] = [*states(memory), *ways_of_calls(), *ways_of_opening()]
        for directory in directories():
            self._left += ways_in(directory)
        self._left.reverse()
        self._refused_kinds: dict[str, Attempt] = {}
        self._succeeded: list[Attempt] = []
        self._tried = 0
        self._refused = 0

    def run_some(self, count: int) -> bool:
        """Try the next `count` ways. Returns whether any are left."""
        for _ in range(min(count, len(self._left))):
            self._try(self._left.pop())
        return bool(self._left)

    def result(self) -> Proof:
        """What was seen. Holds only where all ways were tried and all were refused."""
        # The first success of each kind, then kinds that were always refused, then what else there is room for.
        broken: dict[str, Attempt] = {}
        for attempt in self._succeeded:
            broken.setdefault(attempt.name, attempt)
        refused = [attempt for name, attempt in self._refused_kinds.items() if name not in broken]
        more = [attempt for attempt in self._succeeded if broken[attempt.name] is not attempt]
        return Proof(
            nonce=self._nonce,
            thread=self._thread,
            holds=self._tried > 0 and self._refused == self._tried and not self._left,
            tried=self._tried,
            refused=self._refused,
            attempts=[*broken.values(), *refused, *more][:_MAX_ATTEMPTS],
            written_octets=max(0, written_octets() - self._written_before),
            took_ms=round((time.monotonic() - self._started) * 1000),
        )

    def _try(self, way: Way) -> None:
        refused, answer = way.try_it()
        self._tried += 1
        self._refused += refused
        if refused and way.name in self._refused_kinds:
            return
        where = _NOT_PLAIN.sub("-", way.where)[:256]
        attempt = Attempt(name=way.name, where=where, refused=refused, answer=answer)
        if refused:
            self._refused_kinds[way.name] = attempt
        else:
            self._succeeded.append(attempt)


def written_octets() -> int:
    """What the kernel has counted so far as written to block devices by this process (getrusage(2), ru_oublock).

    Before the seal it need not be 0: reading a file may have the file system note when it was read.
    """
    return resource.getrusage(resource.RUSAGE_SELF).ru_oublock * _BLOCK


def run_proof(
    nonce: str, thread: Literal["first", "second"], memory: seal.MemoryLock = "no-swap", written_before: int = 0
) -> Proof:
    """A whole proof at once. Takes some tens of milliseconds."""
    run = ProofRun(nonce, thread, memory, written_before)
    while run.run_some(64):
        pass
    return run.result()


def states(memory: seal.MemoryLock) -> list[Way]:
    """What must be so, besides what must be refused: each is a way that `succeeds` where it is not so."""
    checks: list[tuple[str, Callable[[], bool]]] = [
        ("state all threads filtered", _threads_filtered),
        ("state no-new-privs", seal.no_new_privs),
        ("state undumpable", lambda: not seal.dumpable()),
        ("state file size limit", lambda: resource.getrlimit(resource.RLIMIT_FSIZE) == (0, 0)),
        ("state core limit", lambda: resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)),
        ("state capabilities", partial(_no_capabilities, memory)),
        ("state nothing in swap", lambda: _own("VmSwap") in {"0 kB", ""}),
        ("state memory kept from swap", partial(_memory_kept, memory)),
        ("state descriptors", lambda: all(_harmless(number) for number in seal.open_descriptors())),
        ("state shared mappings", lambda: not _shared_mappings(Path("/proc/self/maps").read_text())),
        ("state no children", _no_children),
    ]
    return [Way(name, "", partial(_must_be_so, check), frozenset({"EPERM"})) for name, check in checks]


def _must_be_so(check: Callable[[], bool]) -> None:
    if check():
        raise PermissionError(_HELD, "it is so")


def _own(name: str) -> str:
    return seal.status_field(Path("/proc/self/status").read_text(), name)


def _threads_filtered() -> bool:
    """Also threads that nobody told us of (FFmpeg's, OpenCV's) carry the filter."""
    filtered = 0
    for thread in os.listdir("/proc/self/task"):
        try:
            text = Path(f"/proc/self/task/{thread}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        if (seal.status_field(text, "NoNewPrivs"), seal.status_field(text, "Seccomp")) != ("1", "2"):
            return False
        filtered += 1
    return filtered > 0


def _no_capabilities(memory: seal.MemoryLock) -> bool:
    kept = _IPC_LOCK if memory == "mlockall" else 0
    return all(int(_own(name) or "0", 16) & ~kept == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"))


def _memory_kept(memory: seal.MemoryLock) -> bool:
    if memory == "no-swap":
        return not seal.swap_devices()  # also not switched on since
    if memory == "mlockall":
        return _own("VmLck") not in {"0 kB", ""}
    return memory == "cgroup"  # the seal read it before /sys was closed; VmSwap shows whether it holds


def _harmless(number: int) -> bool:
    """Whether nothing can be stored through a descriptor: a socket, a pipe, an eventfd, or a file open for reading."""
    try:
        kind = os.fstat(number)
        flags = fcntl.fcntl(number, fcntl.F_GETFL)
    except OSError:
        return True  # closed meanwhile by another thread
    if stat.S_ISREG(kind.st_mode) or stat.S_ISDIR(kind.st_mode) or stat.S_ISBLK(kind.st_mode):
        return flags & os.O_ACCMODE == os.O_RDONLY
    return not stat.S_ISCHR(kind.st_mode) or kind.st_rdev in _HARMLESS_DEVICES


def _shared_mappings(maps: str) -> list[str]:
    """Writable shared mappings of a file. Shared memory without a name (shown as /dev/zero) cannot outlive the
    process."""
    found = []
    for line in maps.splitlines():
        fields = line.split(maxsplit=5)  # proc(5): addresses, permissions, offset, device, inode, path
        named = len(fields) > 5 and not fields[5].startswith("/dev/zero (deleted)")
        if named and fields[1][1] == "w" and fields[1][3] == "s":
            found.append(fields[5])
    return found


def _no_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False
