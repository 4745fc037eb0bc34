"""What the texts of /proc/PID say, as values: parsing only, so that recorded texts can be judged like living ones.

It must never fill in what a text does not say: a field that is missing is None, and a text that is none of the kernel's
raises ValueError. Field names and layouts: proc(5), Linux Documentation/filesystems/proc.rst.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

DescriptorKind = Literal[
    "socket-inet",
    "socket-local",
    "socket-other",
    "pipe",
    "eventpoll",
    "eventfd",
    "null",
    "regular",
    "directory",
    "device",
    "other",
]
Access = Literal["read", "write", "both", "path"]

_ACCESS: Mapping[int, Access] = {os.O_RDONLY: "read", os.O_WRONLY: "write", os.O_RDWR: "both"}
_TUNABLES = "GLIBC_TUNABLES"
INET_TABLES = ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6")


@dataclass(frozen=True)
class ThreadFacts:
    """One thread, from /proc/PID/task/TID/status."""

    tid: int
    name: str
    no_new_privs: bool
    seccomp: int
    """0 off, 1 strict, 2 a filter (seccomp(2))."""
    seccomp_filters: int | None
    """How many filters; None where the kernel does not say (before 5.9)."""
    effective: int
    """Effective capabilities, as a bit mask."""
    permitted: int
    """Permitted capabilities, as a bit mask."""


@dataclass(frozen=True)
class DescriptorFacts:
    """One open descriptor."""

    number: int
    kind: DescriptorKind
    target: str
    """Where /proc/PID/fd/N points: a path, or `socket:[inode]`."""
    access: Access
    """What it was opened for."""


@dataclass(frozen=True)
class LimitFacts:
    """Resource limits in octets, soft and hard; None is unlimited."""

    core: tuple[int | None, int | None]
    fsize: tuple[int | None, int | None]


@dataclass(frozen=True)
class StatFacts:
    """Of /proc/PID/stat."""

    name: str
    parent: int
    started_ticks: int
    """Clock ticks since boot."""


@dataclass(frozen=True)
class LockFacts:
    """One line of /proc/locks: an advisory lock over a whole file (flock(2)) and who took it."""

    pid: int
    device: tuple[int, int]
    inode: int


def status_fields(text: str) -> dict[str, str]:
    """/proc/PID/status by field name."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs if name}


def thread(tid: int, text: str) -> ThreadFacts:
    """A thread from its status. Raises ValueError where the seccomp fields are missing: then nothing is known."""
    fields = status_fields(text)
    try:
        return ThreadFacts(
            tid=tid,
            name=fields["Name"],
            no_new_privs=fields["NoNewPrivs"] == "1",
            seccomp=int(fields["Seccomp"]),
            seccomp_filters=int(fields["Seccomp_filters"]) if "Seccomp_filters" in fields else None,
            effective=int(fields["CapEff"], 16),
            permitted=int(fields["CapPrm"], 16),
        )
    except KeyError as error:
        raise ValueError(f"the status of a thread has no field {error.args[0]}") from None


def kilobytes(fields: Mapping[str, str], name: str) -> int | None:
    """`VmSwap: 12 kB` and the like; None where the kernel does not say."""
    value = fields.get(name, "").split()
    return int(value[0]) if value else None


def stat(text: str) -> StatFacts:
    """/proc/PID/stat. The name stands in parentheses and may hold anything, parentheses too."""
    name = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()  # from the third on: state, ppid, …; the 22nd is starttime
    return StatFacts(name, int(fields[1]), int(fields[19]))


def limits(text: str) -> LimitFacts:
    """/proc/PID/limits. Raises ValueError where a limit that is asked for is missing."""
    return LimitFacts(_limit(text, "Max core file size"), _limit(text, "Max file size"))


def _limit(text: str, name: str) -> tuple[int | None, int | None]:
    for line in text.splitlines():
        if line.startswith(name + " "):
            soft, hard = line[len(name) :].split()[:2]
            return _amount(soft), _amount(hard)
    raise ValueError(f"no limit {name}")


def _amount(word: str) -> int | None:
    return None if word == "unlimited" else int(word)


def strings(data: bytes) -> tuple[str, ...]:
    """The zero-terminated strings of cmdline and environ."""
    return tuple(os.fsdecode(each) for each in data.removesuffix(b"\0").split(b"\0")) if data else ()


def environment(data: bytes) -> dict[str, str]:
    """/proc/PID/environ: what the process was started with.

    glibc's loader puts a zero in place of each colon of GLIBC_TUNABLES where it stands (elf/dl-tunables.c): what
    follows it by the name of a tunable is put back.
    """
    found: dict[str, str] = {}
    last = ""
    for each in strings(data):
        if last == _TUNABLES and each.startswith("glibc."):
            found[last] += f":{each}"
            continue
        last, _, value = each.partition("=")
        found[last] = value
    return found


def written_octets(text: str) -> int:
    """write_bytes of /proc/PID/io: what this process caused to be written to storage. Raises ValueError without it."""
    for line in text.splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    raise ValueError("no write_bytes")


def shared_mappings(maps: str) -> tuple[str, ...]:
    """Files behind writable shared mappings, of /proc/PID/maps. Shared memory without a name (shown as /dev/zero) ends
    with the process and is none."""
    found = []
    for line in maps.splitlines():
        fields = line.split(maxsplit=5)  # addresses, permissions, offset, device, inode, path
        if len(fields) < 6 or fields[1][1] != "w" or fields[1][3] != "s":
            continue
        if not fields[5].startswith("/dev/zero (deleted)"):
            found.append(fields[5])
    return tuple(dict.fromkeys(found))


def replaced_files(maps: str) -> tuple[str, ...]:
    """Program files that were replaced or removed on disk since this process loaded them, of /proc/PID/maps."""
    gone = " (deleted)"
    found = []
    for line in maps.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) > 5 and fields[1][2] == "x" and fields[5].startswith("/") and fields[5].endswith(gone):
            found.append(fields[5].removesuffix(gone))
    return tuple(dict.fromkeys(found))


def access(fdinfo: str) -> Access:
    """What a descriptor was opened for, from /proc/PID/fdinfo/N (`flags` is octal). Raises ValueError without it."""
    for line in fdinfo.splitlines():
        if line.startswith("flags:"):
            flags = int(line.split()[1], 8)
            return "path" if flags & os.O_PATH else _ACCESS.get(flags & os.O_ACCMODE, "both")
    raise ValueError("no flags")


def socket_kind(protocol: str) -> DescriptorKind:
    """By the protocol's name as the kernel gives it (the attribute system.sockprotoname)."""
    if protocol.startswith("UNIX"):
        return "socket-local"
    inet = protocol.upper().startswith(("TCP", "UDP", "RAW", "PING", "MPTCP", "SCTP", "DCCP"))
    return "socket-inet" if inet else "socket-other"


def socket_inodes(table: str, *, local: bool = False) -> frozenset[str]:
    """Inodes of the sockets in /proc/PID/net/{tcp,udp,…}, or with `local` in /proc/PID/net/unix."""
    place = 6 if local else 9  # unix: Num RefCount Protocol Flags Type St Inode; tcp: sl local remote … timeout inode
    rows = (line.split() for line in table.splitlines()[1:])
    return frozenset(fields[place] for fields in rows if len(fields) > place)


def children(text: str) -> tuple[int, ...]:
    """/proc/PID/task/TID/children."""
    return tuple(int(each) for each in text.split())


def flocks(text: str) -> list[LockFacts]:
    """The flock(2) locks that are held, of /proc/locks; those that are only waited for are left out."""
    found = []
    for line in text.splitlines():
        fields = line.split()  # 1: FLOCK ADVISORY WRITE pid major:minor:inode start end
        if len(fields) < 6 or fields[1] != "FLOCK":
            continue
        major, minor, inode = fields[5].split(":")
        found.append(LockFacts(int(fields[4]), (int(major, 16), int(minor, 16)), int(inode)))
    return found


def unified_cgroup(text: str) -> str | None:
    """The path in the unified hierarchy, of /proc/PID/cgroup; None where there is none."""
    return next((line[3:] for line in text.splitlines() if line.startswith("0::")), None)


def in_both(one: Iterable[DescriptorFacts], other: Collection[DescriptorFacts]) -> tuple[DescriptorFacts, ...]:
    """Descriptors that two looks saw alike: what was open for a moment only, to read a host's name, say, is in one."""
    return tuple(each for each in one if each in other)
