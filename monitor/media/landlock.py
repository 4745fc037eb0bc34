"""The first lock: Landlock, by which the process may write, create, change or remove no file anywhere, and read few.

All rights over files that this kernel's Landlock knows are handled; of those only reading is granted, and only below
what a Python process with our libraries needs. No right to write may ever be added here: a USB camera's device node,
when it comes, is opened before the seal.

Kernel documentation: Documentation/userspace-api/landlock.rst. Landlock grows by ABI number: 1 (Linux 5.13) files,
2 (5.19) moving between directories, 3 (6.2) truncation, 5 (6.10) ioctl on devices, 6 (6.12) signals and abstract Unix
sockets. What an older ABI cannot refuse, `seccomp.py` does.
"""

from __future__ import annotations

import contextlib
import os
import site
import stat
import struct
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from ctypes import create_string_buffer
from pathlib import Path

import monitor
from monitor.media import syscalls

_VERSION = 1 << 0  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_RIGHTS_BY_ABI = ((1, (1 << 13) - 1), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
_SCOPE_ABI = 6
_SCOPE_ALL = 0b11  # abstract Unix sockets, signals

_SYSTEM = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/usr/share/zoneinfo",
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
    "/dev/random",
    "/sys/devices/system/cpu",
    # Of /proc only this process is needed, but a rule on /proc/PID ends when the kernel drops that directory's inode
    # from its cache. Other processes' memory and descriptors stay closed: Landlock refuses ptrace-like access out of a
    # domain.
    "/proc",
)
_NAMES = ("resolv.conf", "hosts", "nsswitch.conf", "host.conf", "gai.conf", "services", "protocols", "ld.so.cache")
"""Files of /etc that resolving a camera's name reads. Nothing else of /etc: our own configuration is there too."""


def abi() -> int:
    """This kernel's Landlock ABI; 0 where there is none or it is switched off."""
    try:
        return syscalls.call("landlock_create_ruleset", None, 0, _VERSION)
    except OSError:
        return 0


def handled(version: int) -> int:
    """All rights over files that Landlock of this ABI can refuse, as its bit mask."""
    return sum(rights for since, rights in _RIGHTS_BY_ABI if version >= since)


def readable() -> list[str]:
    """What the program reads after the seal: its modules, shared libraries, the resolver's files, /proc."""
    paths = [*_SYSTEM, *(str(Path(where)) for where in monitor.__path__)]
    paths += [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += site.getsitepackages()
    paths += [entry for entry in sys.path if Path(entry).name in {"site-packages", "dist-packages", "lib-dynload"}]
    for name in _NAMES:
        file = Path("/etc") / name
        real = file.resolve()
        paths.append(str(file))
        if real.parent != file.parent:  # systemd-resolved and others replace the file: the directory stays
            paths.append(str(real.parent))
    return list(dict.fromkeys(paths))


def enter(paths: Iterable[str]) -> int:
    """Close everything but reading `paths` (files, or directories with all below) to this thread and those it will
    start.

    Returns the ABI; there is no way back. Paths that do not exist are left out. Raises OSError where there is no
    Landlock.
    """
    version = syscalls.call("landlock_create_ruleset", None, 0, _VERSION)
    rights = handled(version)
    # struct landlock_ruleset_attr: u64 handled_access_fs, u64 handled_access_net (ABI 4), u64 scoped (ABI 6)
    scoped = _SCOPE_ALL if version >= _SCOPE_ABI else 0
    attribute = struct.pack("=QQQ", rights, 0, scoped) if scoped else struct.pack("=Q", rights)
    ruleset = syscalls.call(
        "landlock_create_ruleset", create_string_buffer(attribute, len(attribute)), len(attribute), 0
    )
    try:
        for path in paths:
            with _opened(path) as descriptor:
                if descriptor is None:
                    continue
                granted = _READ_FILE | (_READ_DIR if stat.S_ISDIR(os.fstat(descriptor).st_mode) else 0)
                beneath = struct.pack("=Qi", granted, descriptor)  # struct landlock_path_beneath_attr, packed
                syscalls.call(
                    "landlock_add_rule", ruleset, _PATH_BENEATH, create_string_buffer(beneath, len(beneath)), 0
                )
        syscalls.call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
    return version


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
