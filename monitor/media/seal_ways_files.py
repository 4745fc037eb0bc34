"""The ways of making, changing and opening a file that the proof of the seal tries.

They must be harmless where the seal is off: `seal_ways.py` says how.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np

from monitor.media import syscalls
from monitor.media.seal_ways import FILES, GROWTH, Way

PSEUDO = frozenset(
    {"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "efivarfs", "fusectl"}
    | {"mqueue", "nsfs", "proc", "pstore", "rpc_pipefs", "securityfs", "selinuxfs", "sysfs", "tracefs"}
)
"""File systems that hold no files of anyone's making."""
_USUAL = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # noqa: S108  they are tried, not used
_MOUNTS = 40


def directories() -> list[str]:
    """Where to try: here, the usual places, and every mounted file system that is not read-only. Bounded."""
    found: dict[str, str] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mounted, _, kind = line.partition(" - ")
        fields, (filesystem, *_, options) = mounted.split(), kind.split()
        # proc(5): 2 major:minor, 4 mount point, 5 options of the mount; behind the dash: type, source, options
        device, point, flags = fields[2], fields[4].encode().decode("unicode_escape"), fields[5].split(",")
        if filesystem in PSEUDO or "ro" in flags or "ro" in options.split(",") or not Path(point).is_dir():
            continue
        if len(found) < _MOUNTS:
            found.setdefault(device, point)
    usual = [where for where in (os.getcwd(), *_USUAL) if Path(where).is_dir()]
    return list(dict.fromkeys([*usual, *found.values()]))


def ways_in(directory: str) -> list[Way]:
    """All ways of making or changing a file in a directory. In order: later ones use what an earlier one could make."""
    here = _Scratch(directory)
    attempts: list[tuple[str, Callable[[], None], frozenset[str]]] = [
        ("create", here.create, FILES),
        ("O_TMPFILE", here.tmpfile, FILES),
        ("creat", here.creat, FILES),
        ("open O_RDWR", partial(here.reopen, os.O_RDWR), FILES),
        ("open O_APPEND", partial(here.reopen, os.O_WRONLY | os.O_APPEND), FILES),
        ("open O_TRUNC", partial(here.reopen, os.O_WRONLY | os.O_TRUNC), FILES),
        ("truncate", lambda: os.truncate(here.file, 0), FILES),
        ("chmod", lambda: os.chmod(here.file, 0o600), FILES),
        ("utime", lambda: os.utime(here.file), FILES),
        ("setxattr", here.setxattr, FILES),
        ("link", here.link, FILES),
        ("symlink", here.symlink, FILES),
        ("rename", here.rename, FILES),
        ("mkdir", here.mkdir, FILES),
        ("mknod", here.mknod, FILES),
        ("unix bind", here.bind, FILES),
        ("ffmpeg muxer", here.mux, FILES),
        ("opencv imwrite", here.imwrite, FILES),
        ("numpy tofile", here.tofile, FILES),
        ("write", here.write, GROWTH | FILES),
        ("unlink", here.unlink, FILES),
    ]
    return [Way(name, directory, attempt, refusals) for name, attempt, refusals in attempts]


def ways_of_opening() -> list[Way]:
    """All ways of opening what is there already: our own code, the kernel's switches, and what lies outside."""
    return [
        Way("open own source", "", partial(_open_for_writing, __file__), FILES),
        Way("open core_pattern", "", partial(_open_for_writing, "/proc/sys/kernel/core_pattern"), FILES),
        Way("open power state", "", partial(_open_for_writing, "/sys/power/state"), FILES),
        Way("read outside", "", _read_outside, frozenset({"EACCES"})),
    ]


class _Scratch:
    """Names in a directory that cannot be anyone's."""

    def __init__(self, directory: str) -> None:
        stem = f"{directory.rstrip('/')}/.vigil-proof-{secrets.token_hex(8)}"
        self.file, self.other = stem, f"{stem}-other"

    def _made(self, path: str) -> None:
        """Take away again what should not have been possible to make."""
        # A failure here must not pass for a refusal of the way itself.
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(os.lstat(path).st_mode):
                os.rmdir(path)
            else:
                os.unlink(path)

    def create(self) -> None:
        os.close(os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # stays for the ways below

    def tmpfile(self) -> None:
        os.close(os.open(os.path.dirname(self.file), os.O_WRONLY | os.O_TMPFILE, 0o600))

    def creat(self) -> None:
        path = self.other.encode()
        if syscalls.number("creat") is None:  # aarch64: creat is openat
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        else:
            descriptor = syscalls.call("creat", path, 0o600)
        os.close(descriptor)
        self._made(self.other)

    def reopen(self, flags: int) -> None:
        os.close(os.open(self.file, flags))

    def setxattr(self) -> None:
        os.setxattr(self.file, "user.vigil", b"0")

    def link(self) -> None:
        os.link(self.file, self.other)
        self._made(self.other)

    def symlink(self) -> None:
        os.symlink(self.file, self.other)
        self._made(self.other)

    def rename(self) -> None:
        os.rename(self.file, self.other)
        with contextlib.suppress(OSError):
            os.rename(self.other, self.file)

    def mkdir(self) -> None:
        os.mkdir(self.other)
        self._made(self.other)

    def mknod(self) -> None:
        os.mknod(self.other, stat.S_IFIFO | 0o600)
        self._made(self.other)

    def bind(self) -> None:
        if not os.path.exists(self.file) and _can_read_outside():
            # Landlock, which alone refuses this, is off, but the filter is on: the name could not be taken away again.
            raise OSError(errno.EOPNOTSUPP, "not tried")
        one, another = socket.socketpair()  # the only local socket that the filter lets be made
        with one, another:
            one.bind(self.other)
        self._made(self.other)

    def mux(self) -> None:
        with av.open(self.other, "w", format="rawvideo") as container:
            stream = container.add_stream("rawvideo", rate=1)
            stream.width, stream.height, stream.pix_fmt = 16, 16, "gray"
            container.start_encoding()
        self._made(self.other)

    def imwrite(self) -> None:
        path = f"{self.other}.png"
        if not cv2.imwrite(path, np.zeros((1, 1), np.uint8)) and not os.path.exists(path):
            raise PermissionError(errno.EACCES, "not written")  # OpenCV says only yes or no
        self._made(path)

    def tofile(self) -> None:
        np.zeros(1, np.uint8).tofile(self.other)
        self._made(self.other)

    def write(self) -> None:
        with open(self.file, "wb", buffering=0) as file:
            file.write(b"\0")

    def unlink(self) -> None:
        os.unlink(self.file)


def _open_for_writing(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY))


def _can_read_outside() -> bool:
    try:
        _read_outside()
    except OSError:
        return False
    return True


def _read_outside() -> None:
    """The root directory is readable to everyone, but not under our Landlock rules: shows that they are in force."""
    os.close(os.open("/", os.O_RDONLY | os.O_DIRECTORY))
