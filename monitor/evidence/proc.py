"""What the kernel says of a running process, read from outside: nothing here asks the process itself.

It must never guess: what may not be read (it needs root, or CAP_SYS_PTRACE) is None and named in `unreadable`. It must
not disturb the process either: it only reads, never stops or attaches. A process or thread that ends meanwhile is no
error but an end.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from monitor.core.errors import NotFound, Unavailable
from monitor.evidence import proc_text
from monitor.evidence.proc_descriptors import descriptors, settled
from monitor.evidence.proc_text import (
    Access,
    DescriptorFacts,
    DescriptorKind,
    LimitFacts,
    ThreadFacts,
)

__all__ = [
    "MEDIA_MODULE",
    "PROC",
    "Access",
    "DescriptorFacts",
    "DescriptorKind",
    "LimitFacts",
    "ProcessFacts",
    "SiteFacts",
    "ThreadFacts",
    "find_site",
    "read_process",
]

PROC = Path("/proc")
CGROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
MEDIA_MODULE = "monitor.media.process"
_T = TypeVar("_T")


@dataclass(frozen=True)
class ProcessFacts:
    """A process as the kernel shows it. Parts that may not be read are None, and their names are in `unreadable`."""

    pid: int
    uid: int
    gid: int
    """Effective user and group."""
    parent: int
    cmdline: tuple[str, ...]
    started: float
    """Unix seconds."""
    age_seconds: float
    """How long it had been running when it was looked at."""
    threads: tuple[ThreadFacts, ...]
    limits: LimitFacts
    children: tuple[int, ...]
    vm_swap_kb: int | None
    """How much of it is in swap; None where the kernel has no swap."""
    vm_locked_kb: int | None
    vm_resident_kb: int | None
    cgroup_no_swap: bool
    """Whether its control group (v2), or one above, has memory.swap.max 0."""
    dumpable: bool | None
    """Whether its own user may look into it, told by the owner of its files in /proc; None for root's processes, whose
    owner is root either way (`same_user.can_look_into` tells)."""
    environ: Mapping[str, str] | None = field(default=None, repr=False)
    descriptors: tuple[DescriptorFacts, ...] | None = None
    shared_mappings: tuple[str, ...] | None = None
    """Files behind writable shared mappings."""
    replaced: tuple[str, ...] | None = None
    """Program files replaced on disk since it loaded them."""
    written_octets: int | None = None
    """write_bytes of /proc/PID/io."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Part → what the kernel answered (EACCES, EPERM)."""


@dataclass(frozen=True)
class SiteFacts:
    """The processes of a running server."""

    control_pid: int
    media_pids: tuple[int, ...]
    """Media processes, sealed or meant to be."""
    spare_pids: tuple[int, ...]
    """Media processes that wait for their Start: unsealed, with no camera and no inet socket."""
    other_pids: tuple[int, ...]
    """Other children of the control process."""


def read_process(pid: int, proc: Path = PROC) -> ProcessFacts:
    """All facts of a process. Takes a few milliseconds; up to 60 ms more where a descriptor is open that has to be
    looked at again. Raises NotFound where there is no such process (any more), Unavailable where /proc hides it."""
    here = proc / str(pid)
    unreadable: dict[str, str] = {}
    try:
        status = proc_text.status_fields((here / "status").read_text())
        # A first thread that has ended while others run shows the same state.
        if status["State"].startswith(("Z", "X")) and len(os.listdir(here / "task")) <= 1:
            raise ProcessLookupError(errno.ESRCH, "it has ended, and its parent has not looked yet")
        stat = proc_text.stat((here / "stat").read_text())
        age = _age(stat.started_ticks)
        uid, gid = int(status["Uid"].split()[1]), int(status["Gid"].split()[1])
        maps = _or_none("maps", unreadable, lambda: (here / "maps").read_text(errors="replace"))
        return ProcessFacts(
            pid=pid,
            uid=uid,
            gid=gid,
            parent=stat.parent,
            cmdline=proc_text.strings((here / "cmdline").read_bytes()),
            started=time.time() - age,
            age_seconds=age,
            threads=_threads(here),
            limits=proc_text.limits((here / "limits").read_text()),
            children=_children(pid, proc),
            vm_swap_kb=proc_text.kilobytes(status, "VmSwap"),
            vm_locked_kb=proc_text.kilobytes(status, "VmLck"),
            vm_resident_kb=proc_text.kilobytes(status, "VmRSS"),
            cgroup_no_swap=_cgroup_no_swap(here),
            dumpable=(here / "status").stat().st_uid == uid if uid != 0 else None,
            environ=_or_none("environ", unreadable, lambda: proc_text.environment((here / "environ").read_bytes())),
            descriptors=_or_none("descriptors", unreadable, lambda: settled(here)),
            shared_mappings=None if maps is None else proc_text.shared_mappings(maps),
            replaced=None if maps is None else proc_text.replaced_files(maps),
            written_octets=_or_none(
                "written_octets", unreadable, lambda: proc_text.written_octets((here / "io").read_text())
            ),
            unreadable=unreadable,
        )
    except (FileNotFoundError, ProcessLookupError):
        if proc == PROC and _is_alive(pid):
            raise Unavailable(f"process {pid} is hidden", "run as root: /proc is mounted with hidepid") from None
        raise NotFound(f"process {pid} has ended") from None


def find_site(state_dir: Path, module: str = MEDIA_MODULE, proc: Path = PROC) -> SiteFacts:
    """The processes of the server that holds `state_dir`. Raises Unavailable where none runs, or it cannot be seen."""
    lock = state_dir / "serve.lock"
    try:
        held = lock.stat()
        locks = proc_text.flocks((proc / "locks").read_text())
    except FileNotFoundError:
        raise _no_server() from None
    except PermissionError:
        raise Unavailable(f"{lock} cannot be looked at", "run as root, or as the user that runs Vigil") from None
    mine = [each for each in locks if each.inode == held.st_ino]
    # Of a file on an overlay, or in a Btrfs subvolume, stat(2) and /proc/locks name different devices.
    exact = [each for each in mine if each.device == (os.major(held.st_dev), os.minor(held.st_dev))]
    holders = {each.pid for each in exact} or {each.pid for each in mine if _is_vigil(each.pid, proc)}
    if len(holders) != 1:
        raise _no_server()
    control = holders.pop()
    try:
        children = _children(control, proc)
    except (FileNotFoundError, ProcessLookupError):
        raise _no_server() from None
    media, spares, others = [], [], []
    for child in children:
        if module not in _cmdline(child, proc):
            others.append(child)
        elif _stands_by(child, proc):
            spares.append(child)
        else:
            media.append(child)
    return SiteFacts(control, tuple(media), tuple(spares), tuple(others))


def _no_server() -> Unavailable:
    return Unavailable("no server is running with this configuration", "start it: vigil serve --config FILE")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _is_vigil(pid: int, proc: Path) -> bool:
    return any("vigil" in each or each == "monitor" for each in _cmdline(pid, proc))


def _cmdline(pid: int, proc: Path) -> tuple[str, ...]:
    try:
        return proc_text.strings((proc / str(pid) / "cmdline").read_bytes())
    except OSError:
        return ()


def _stands_by(pid: int, proc: Path) -> bool:
    """Unsealed, and as far as can be seen without an inet socket: with one, it is a media process without its seal."""
    here = proc / str(pid)
    try:
        if any(each.seccomp for each in _threads(here)):
            return False
        return not any(each.kind == "socket-inet" for each in descriptors(here))
    except PermissionError:
        return True  # not known: as one that stands by, its descriptors are then not checked
    except OSError:
        return False


def _or_none(part: str, unreadable: dict[str, str], read: Callable[[], _T]) -> _T | None:
    try:
        return read()
    except PermissionError as error:
        unreadable[part] = errno.errorcode.get(error.errno or 0, "error")
        return None


def _age(ticks: int) -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _threads(here: Path) -> tuple[ThreadFacts, ...]:
    found = []
    for tid in sorted(int(each) for each in os.listdir(here / "task")):
        try:
            found.append(proc_text.thread(tid, (here / "task" / str(tid) / "status").read_text()))
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
    if not found:
        raise ProcessLookupError(errno.ESRCH, "no thread is left")
    return tuple(found)


def _children(pid: int, proc: Path) -> tuple[int, ...]:
    tasks = proc / str(pid) / "task"
    found: list[int] = []
    for tid in os.listdir(tasks):
        try:
            found += proc_text.children((tasks / tid / "children").read_text())
        except (FileNotFoundError, ProcessLookupError):
            if (tasks / tid).exists():  # a kernel without CONFIG_PROC_CHILDREN
                return _children_by_parent(pid, proc)
    return tuple(sorted(found))


def _children_by_parent(pid: int, proc: Path) -> tuple[int, ...]:
    found = []
    for name in os.listdir(proc):
        try:
            if name.isdecimal() and proc_text.stat((proc / name / "stat").read_text()).parent == pid:
                found.append(int(name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return tuple(sorted(found))


def _cgroup_no_swap(here: Path) -> bool:
    try:
        own = proc_text.unified_cgroup((here / "cgroup").read_text())
    except OSError:
        return False
    if own is None:
        return False
    for root in CGROUPS:
        place = root / own.lstrip("/")
        for directory in (place, *place.parents):
            try:
                if (directory / "memory.swap.max").read_text().strip() == "0":
                    return True
            except OSError:
                pass  # a group without a memory controller: the one above may have one
            if directory == root:
                break
    return False
