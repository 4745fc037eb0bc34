"""The seal: after it no write to any file by this process can succeed, and its memory reaches neither swap nor a dump.

It must run in the process's first and only thread, with nothing inherited but the standard streams and the door: a
thread that runs before the seal is not sealed, and a descriptor opened before it can still be written. There is no way
back, and nothing outside Python code can leave a lock off: no argument, no variable, no configuration, no message
(GUARANTEE.md row 19). `seal_proof.py` then tries what this module claims.

Theory of operation: LOCKS is the table. `seal` goes through it in order; a lock that cannot be closed raises SealError
with the way to mend it, or, where the operator chose `enforce = "warn"`, is named as missing.
"""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from monitor.core.errors import SealError
from monitor.media import landlock, seccomp, syscalls

logger = logging.getLogger(__name__)

MemoryLock = Literal["no-swap", "mlockall", "cgroup", "swappable"]

_PR_SET_PDEATHSIG, _PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 1, 3, 4
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_GET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 24, 38, 39, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_IPC_LOCK = 14
_CAPABILITIES = 64  # more than any kernel has; the first unknown one ends the loop
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_DEVICE_NULL = os.makedev(1, 3)
STREAMS = frozenset({0, 1, 2})

SWAPS = Path("/proc/swaps")
CGROUP_ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


@dataclass(frozen=True)
class SealSpec:
    """What the seal must know before it closes."""

    strict: bool
    """Refuse to go on without a lock, instead of naming it as missing."""
    readable: tuple[str, ...] = ()
    """Files to keep readable beside the program's own (`file:` sources)."""
    descriptors: frozenset[int] = STREAMS
    """The only descriptors that may be open: 0 is /dev/null, 1 and 2 are pipes, any other is a socket."""


@dataclass(frozen=True)
class SealReport:
    """What of the seal is closed."""

    landlock_abi: int
    locks: tuple[str, ...]
    missing: tuple[str, ...]
    memory: MemoryLock


@dataclass
class _Sealing:
    """What the steps of one sealing find out."""

    spec: SealSpec
    abi: int = 0
    memory: MemoryLock = "swappable"
    kept: set[int] = field(default_factory=set)
    """Capabilities to keep."""


def _descriptors(sealing: _Sealing) -> None:
    wrong = {number for number in open_descriptors() if not _is_right(number, sealing.spec.descriptors)}
    if wrong:
        raise OSError(0, f"descriptors {', '.join(map(str, sorted(wrong)))} were inherited or are of the wrong kind")


def _is_right(number: int, permitted: frozenset[int]) -> bool:
    if number not in permitted:
        return False
    kind = os.fstat(number)
    if number == 0:
        return stat.S_ISCHR(kind.st_mode) and kind.st_rdev == _DEVICE_NULL
    return stat.S_ISFIFO(kind.st_mode) if number in STREAMS else stat.S_ISSOCK(kind.st_mode)


def _one_thread(_: _Sealing) -> None:
    if (count := len(os.listdir("/proc/self/task"))) != 1:
        raise OSError(0, f"{count} threads run already")


def _fsize(_: _Sealing) -> None:
    # A write then fails with EFBIG; without this the kernel would end the process with SIGXFSZ instead.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _core(_: _Sealing) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _undumpable(_: _Sealing) -> None:
    # Also keeps a core_pattern that is a pipe from being fed, where RLIMIT_CORE does not (core(5)), and ptrace out.
    syscalls.prctl(_PR_SET_DUMPABLE, 0)


def _no_new_privs(_: _Sealing) -> None:
    syscalls.prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _memory(sealing: _Sealing) -> None:
    if not swap_devices():
        sealing.memory = "no-swap"
    elif _lock_memory(sealing):
        sealing.memory = "mlockall"
    elif cgroup_forbids_swap():
        sealing.memory = "cgroup"
    else:
        raise OSError(0, "memory could be swapped out")


def _lock_memory(sealing: _Sealing) -> bool:
    """Lock all memory, present and future. Where the limit is finite, later allocations would fail: then not at all."""
    capable = bool(_effective_capabilities() >> _CAP_IPC_LOCK & 1)
    unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == resource.RLIM_INFINITY
    if unlimited:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    elif not capable:
        return False
    try:
        syscalls.call("mlockall", _MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)
    except OSError as error:
        logger.warning("mlockall was refused: %s", error.strerror)
        return False
    if not unlimited:
        sealing.kept.add(_CAP_IPC_LOCK)  # which lets a process lock memory, and nothing else that the seal leaves open
    return True


def _landlock(sealing: _Sealing) -> None:
    sealing.abi = landlock.enter([*landlock.readable(), *sealing.spec.readable])


def _seccomp(_: _Sealing) -> None:
    seccomp.enter()


def _capabilities(sealing: _Sealing) -> None:
    for number in range(_CAPABILITIES):
        try:
            syscalls.prctl(_PR_CAPBSET_DROP, number)
        except OSError:
            break  # past the last one, or not privileged: then nothing can be regained anyway, with no_new_privs
    syscalls.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    kept = sum(1 << number for number in sealing.kept)
    # struct __user_cap_header_struct {u32 version, int pid}; struct __user_cap_data_struct {u32 eff, perm, inh}[2]
    head = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(kept & 0xFFFFFFFF, kept & 0xFFFFFFFF, 0, kept >> 32, kept >> 32, 0)
    syscalls.call("capset", ctypes.addressof(head), ctypes.addressof(data))
    if _effective_capabilities() != kept:
        raise OSError(0, "capabilities are left over")


@dataclass(frozen=True)
class _Lock:
    close: Callable[[_Sealing], None]
    hint: str


LOCKS: dict[str, _Lock] = {
    "descriptors": _Lock(
        _descriptors, "start the media process through vigil serve, which gives it pipes and nothing else"
    ),
    "one-thread": _Lock(_one_thread, "a library started a thread while it was imported: report this with its version"),
    "fsize": _Lock(_fsize, "allow the service to lower RLIMIT_FSIZE"),
    "core": _Lock(_core, "allow the service to lower RLIMIT_CORE"),
    "undumpable": _Lock(_undumpable, "allow prctl PR_SET_DUMPABLE to the service"),
    "no-new-privs": _Lock(_no_new_privs, "allow prctl PR_SET_NO_NEW_PRIVS to the service"),
    "memory": _Lock(
        _memory,
        "switch swap off, or give the service LimitMEMLOCK=infinity, or MemorySwapMax=0 in its systemd unit",
    ),
    "landlock": _Lock(
        _landlock,
        "use Linux 5.13 or newer with landlock in its lsm= list, and allow its system calls in the container's profile",
    ),
    "seccomp": _Lock(_seccomp, "use a kernel with CONFIG_SECCOMP_FILTER"),
    "capabilities": _Lock(_capabilities, "allow capset and prctl to the service"),
}
"""Name → lock, in the order of closing. What an earlier one needs, a later one takes away: keep the order."""


def seal(spec: SealSpec, without: frozenset[str] = frozenset()) -> SealReport:
    """Close all locks. Raises SealError where one cannot be closed and `spec.strict`, and on an unknown architecture.

    `without` leaves locks open, so that tests and proofs can show that they would notice. Nothing but Python code that
    calls this function can set it; the media process never does.
    """
    if unknown := without - LOCKS.keys():
        raise ValueError(f"no such lock: {', '.join(sorted(unknown))}")
    syscalls.architecture()
    sealing = _Sealing(spec)
    locks: list[str] = []
    missing: list[str] = []
    for name, lock in LOCKS.items():
        if name in without:
            missing.append(name)
            continue
        try:
            lock.close(sealing)
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
            if spec.strict:
                raise SealError(f"the lock {name} cannot be closed: {reason}", lock.hint) from None
            logger.warning("the lock %s is open: %s; %s", name, reason, lock.hint)
            missing.append(name)
        else:
            locks.append(name)
    return SealReport(sealing.abi, tuple(locks), tuple(missing), sealing.memory)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends. Raises SealError where the parent, `parent`, is gone
    already."""
    syscalls.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SealError("the control process ended while the media process started")


def open_descriptors() -> Iterable[int]:
    """Numbers of all open descriptors of this process."""
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
        except OSError:
            continue  # the listing's own
        yield int(name)


def swap_devices() -> list[str]:
    """Active swap areas of the machine, from /proc/swaps; none where the kernel has no swap at all."""
    try:
        lines = SWAPS.read_text().splitlines()
    except FileNotFoundError:
        return []
    return [line.split()[0] for line in lines[1:] if line.strip()]


def cgroup_forbids_swap() -> bool:
    """Whether this process's cgroup (v2), or one above it, has a memory.swap.max of 0."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return False
    own = next((line[3:] for line in lines if line.startswith("0::")), None)
    if own is None:
        return False
    for root in CGROUP_ROOTS:
        here = root / own.lstrip("/")
        for directory in (here, *here.parents):
            try:
                if (directory / "memory.swap.max").read_text().strip() == "0":
                    return True
            except OSError:
                pass  # not a cgroup with a memory controller: the one above may be
            if directory == root:
                break
    return False


def dumpable() -> bool:
    """Whether the kernel would let this process be dumped or traced by its user."""
    return syscalls.prctl(_PR_GET_DUMPABLE) != 0


def no_new_privs() -> bool:
    """Whether PR_SET_NO_NEW_PRIVS is on."""
    return syscalls.prctl(_PR_GET_NO_NEW_PRIVS) == 1


def status_field(text: str, name: str) -> str:
    """A field of a /proc/PID/status text; empty where it has none."""
    return next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(name + ":")), "")


def _effective_capabilities() -> int:
    return int(status_field(Path("/proc/self/status").read_text(), "CapEff") or "0", 16)
