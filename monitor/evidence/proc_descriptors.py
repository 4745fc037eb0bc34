"""The open descriptors of a process, read from outside: of which kind each is, and what it was opened for.

It must never take one for harmless that it does not know: that is `other`.
"""

from __future__ import annotations

import os
import stat as modes
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from monitor.evidence import proc_text
from monitor.evidence.proc_text import DescriptorFacts, DescriptorKind

LOOKS = 3
"""How often descriptors that should not be there are looked at: a file may be open for the moment of reading it."""
LOOK_AGAIN_SECONDS = 0.03
_HARMLESS = frozenset(os.makedev(1, minor) for minor in (3, 5, 8, 9))
"""null, zero, random, urandom: nothing that is written there stays."""


def settled(here: Path) -> tuple[DescriptorFacts, ...]:
    """All descriptors of /proc/PID but those that were open for a moment only.

    Raises OSError: PermissionError where they may not be seen, FileNotFoundError or ProcessLookupError where the
    process has ended."""
    seen = descriptors(here)
    for _ in range(LOOKS - 1):
        if all(each.kind not in {"regular", "directory", "device", "other"} for each in seen):
            break
        time.sleep(LOOK_AGAIN_SECONDS)
        seen = proc_text.in_both(descriptors(here), seen)
    return seen


def descriptors(here: Path) -> tuple[DescriptorFacts, ...]:
    """All descriptors of /proc/PID at this moment. Raises OSError as `settled`."""
    found = []
    for number in sorted(int(each) for each in os.listdir(here / "fd")):
        link = here / "fd" / str(number)
        try:
            target = os.readlink(link)
            kind = _kind(here, link, target)
            access = proc_text.access((here / "fdinfo" / str(number)).read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue  # closed meanwhile
        found.append(DescriptorFacts(number, kind, target, access))
    return tuple(found)


def _kind(here: Path, link: Path, target: str) -> DescriptorKind:
    if target.startswith("socket:["):
        return _socket_kind(here, link, target[len("socket:[") : -1])
    if target.startswith("pipe:["):
        return "pipe"
    anonymous: Mapping[str, DescriptorKind] = {"[eventpoll]": "eventpoll", "[eventfd]": "eventfd"}
    if target.startswith("anon_inode:"):
        return anonymous.get(target.removeprefix("anon_inode:"), "other")
    try:
        found = link.stat()
    except OSError:
        return "other"
    if modes.S_ISCHR(found.st_mode):
        return "null" if found.st_rdev in _HARMLESS else "device"
    if modes.S_ISBLK(found.st_mode):
        return "device"
    kinds: Sequence[tuple[Callable[[int], bool], DescriptorKind]] = (
        (modes.S_ISREG, "regular"),
        (modes.S_ISDIR, "directory"),
        (modes.S_ISFIFO, "other"),  # one with a name: anybody may be at its other end
    )
    return next((kind for is_it, kind in kinds if is_it(found.st_mode)), "other")


def _socket_kind(here: Path, link: Path, inode: str) -> DescriptorKind:
    try:
        return proc_text.socket_kind(os.getxattr(link, "system.sockprotoname").rstrip(b"\0").decode())
    except OSError:
        pass  # the tables name it too, where it is bound or connected
    tables = here / "net"
    for name in (*proc_text.INET_TABLES, "unix"):
        try:
            inodes = proc_text.socket_inodes((tables / name).read_text(), local=name == "unix")
        except OSError:
            continue
        if inode in inodes:
            return "socket-local" if name == "unix" else "socket-inet"
    return "socket-other"
