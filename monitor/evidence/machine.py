"""What the kernel says of this machine: where memory could go to storage without any process asking for it.

It only reads /proc and /sys. What is not there is not there (a kernel without swap has no /proc/swaps); it must never
take "may not be read" for "not there".
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC, SYS, ROOT = Path("/proc"), Path("/sys"), Path("/")
PSEUDO = frozenset(
    {"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "efivarfs", "fusectl"}
    | {"mqueue", "nsfs", "proc", "pstore", "rpc_pipefs", "securityfs", "selinuxfs", "sysfs", "tracefs"}
)
"""File systems that hold no files of anyone's making."""
_IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})
_CONTAINER_FILES = (".dockerenv", "run/.containerenv", ".singularity.d")
_VIRTUAL_MAKERS = (
    *("qemu", "kvm", "vmware", "virtualbox", "innotek", "microsoft corporation virtual", "xen", "bochs", "parallels"),
    *("google compute", "amazon ec2", "openstack", "nutanix", "proxmox", "bhyve", "ovirt", "rhev", "digitalocean"),
)
_CONTAINER_GROUPS = ("docker", "containerd", "kubepods", "libpod", "lxc", "crio", "machine.slice")


@dataclass(frozen=True)
class SwapFacts:
    """One active swap area."""

    path: str
    kind: str
    """`partition` or `file`."""
    size_kb: int
    used_kb: int
    in_memory: bool
    """Compressed memory (zram) with nothing behind it: never on a disk."""


@dataclass(frozen=True)
class MountFacts:
    """One mounted file system that holds files."""

    path: str
    filesystem: str
    writable: bool
    in_memory: bool
    """tmpfs or ramfs."""


@dataclass(frozen=True)
class SegmentFacts:
    """One System V shared memory segment."""

    identifier: int
    octets: int
    creator_pid: int
    last_pid: int


@dataclass(frozen=True)
class MachineFacts:
    """This machine as the kernel shows it."""

    swaps: tuple[SwapFacts, ...] = ()
    zswap: bool = False
    hibernation: bool = False
    """Whether the kernel offers to write memory to disk (`disk` in /sys/power/state)."""
    resume: str = ""
    """The device that a hibernated machine wakes from, `major:minor`; empty where none is set."""
    core_pattern: str = ""
    suid_dumpable: int | None = None
    yama_scope: int | None = None
    """None where Yama is not there."""
    kernel: str = ""
    architecture: str = ""
    lsm: tuple[str, ...] = ()
    """Security modules in force; empty where the kernel does not show them."""
    mounts: tuple[MountFacts, ...] = ()
    root_filesystem: str = ""
    virtual: tuple[str, ...] = ()
    """What hints at a virtual machine: its maker's name, the processor's hypervisor flag."""
    container: tuple[str, ...] = ()
    """What hints at a container."""
    segments: tuple[SegmentFacts, ...] = ()
    unreadable: tuple[str, ...] = ()
    """Files that are there and may not be read."""


class _Reader:
    """Reads one-line files; keeps the names of those that may not be read."""

    def __init__(self) -> None:
        self.unreadable: list[str] = []

    def text(self, path: Path) -> str:
        """The file's text; empty where there is none."""
        try:
            return path.read_text(errors="replace")
        except PermissionError:
            self.unreadable.append(str(path))
        except OSError:  # not there, or the kernel was built without what stands behind it
            pass
        return ""

    def line(self, path: Path) -> str:
        """The same, without what surrounds it."""
        return self.text(path).strip("\0\n ")

    def number(self, path: Path) -> int | None:
        """A whole number; None where there is none."""
        line = self.line(path)
        return int(line) if line.lstrip("-").isdecimal() else None


def read_machine(proc: Path = PROC, sys: Path = SYS, root: Path = ROOT) -> MachineFacts:
    """All facts of this machine. Takes a few milliseconds. `root` is where a container leaves its marks."""
    read = _Reader()
    mounts = parse_mounts(read.text(proc / "self/mountinfo"))
    power = read.line(sys / "power/state").split()
    resume = read.line(sys / "power/resume")
    pattern = read.line(proc / "sys/kernel/core_pattern")
    lsm = read.line(sys / "kernel/security/lsm")
    return MachineFacts(
        swaps=tuple(
            SwapFacts(path, kind, size, used, _in_memory(path, sys, read))
            for path, kind, size, used in parse_swaps(read.text(proc / "swaps"))
        ),
        zswap=read.line(sys / "module/zswap/parameters/enabled") in {"Y", "1"},
        hibernation="disk" in power,
        resume="" if resume == "0:0" else resume,
        core_pattern=pattern,
        suid_dumpable=read.number(proc / "sys/fs/suid_dumpable"),
        yama_scope=read.number(proc / "sys/kernel/yama/ptrace_scope"),
        kernel=read.line(proc / "sys/kernel/osrelease"),
        architecture=read.line(proc / "sys/kernel/arch") or _architecture(),
        lsm=tuple(each for each in lsm.split(",") if each),
        mounts=mounts,
        root_filesystem=next((each.filesystem for each in reversed(mounts) if each.path == "/"), ""),
        virtual=_virtual(proc, sys, read),
        container=_container(proc, root, read),
        segments=parse_segments(read.text(proc / "sysvipc/shm")),
        unreadable=tuple(read.unreadable),
    )


def parse_swaps(text: str) -> list[tuple[str, str, int, int]]:
    """/proc/swaps: path, kind, size and used in KiB. The kernel writes blanks in a path as \\040 (proc(5))."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 4:
            found.append((_unescaped(fields[0]), fields[1], int(fields[2]), int(fields[3])))
    return found


def parse_mounts(text: str) -> tuple[MountFacts, ...]:
    """/proc/self/mountinfo, without file systems that hold no files of anyone's making. The last one at a path is the
    one that is seen there."""
    found: dict[str, MountFacts] = {}
    for line in text.splitlines():
        mounted, dash, kind = line.partition(" - ")
        if not dash:
            continue
        # proc(5): 5 mount point, 6 options of the mount; behind the dash: type, source, options of the file system
        fields, (filesystem, *_, options) = mounted.split(), kind.split()
        if filesystem in PSEUDO:
            continue
        writable = "ro" not in fields[5].split(",") and "ro" not in options.split(",")
        path = _unescaped(fields[4])
        found.pop(path, None)
        found[path] = MountFacts(path, filesystem, writable, filesystem in _IN_MEMORY)
    return tuple(found.values())


def parse_segments(text: str) -> tuple[SegmentFacts, ...]:
    """/proc/sysvipc/shm: its first line names the columns."""
    lines = text.splitlines()
    if not lines:
        return ()
    names = lines[0].split()
    rows = (dict(zip(names, line.split(), strict=False)) for line in lines[1:])
    return tuple(
        SegmentFacts(int(row["shmid"]), int(row["size"]), int(row["cpid"]), int(row["lpid"])) for row in rows if row
    )


def _unescaped(path: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, char)
    return path


def _in_memory(path: str, sys: Path, read: _Reader) -> bool:
    """zram writes to a disk only where a backing device is set (admin-guide/blockdev/zram.rst)."""
    name = Path(path).name
    if not (path.startswith("/dev/zram") and name[4:].isdecimal()):
        return False
    return read.line(sys / "block" / name / "backing_dev") in {"", "none"}


def _architecture() -> str:
    return os.uname().machine


def _virtual(proc: Path, sys: Path, read: _Reader) -> tuple[str, ...]:
    hints = []
    if "hypervisor" in _words(read.text(proc / "cpuinfo")):
        hints.append("hypervisor")
    maker = " ".join(read.line(sys / "class/dmi/id" / name) for name in ("sys_vendor", "product_name")).strip()
    if any(each in maker.lower() for each in _VIRTUAL_MAKERS):
        hints.append(maker)
    kind = read.line(sys / "hypervisor/type")
    return tuple(dict.fromkeys([*hints, *([kind] if kind else [])]))


def _words(cpuinfo: str) -> frozenset[str]:
    line = next((each for each in cpuinfo.splitlines() if each.startswith("flags")), "")
    return frozenset(line.split())


def _container(proc: Path, root: Path, read: _Reader) -> tuple[str, ...]:
    hints = [f"/{name}" for name in _CONTAINER_FILES if _is_there(root / name)]
    groups = read.text(proc / "1/cgroup").lower()
    hints += [name for name in _CONTAINER_GROUPS if name in groups]
    return tuple(hints)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
