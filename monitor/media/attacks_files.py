"""Attacks that make, change or name a file by plain system calls, in one directory.

A name, a link's target, an attribute and a time can hold a picture's bytes as a file's content can: they are tried too.
They must touch nothing outside `Ground.directory`.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import stat

from monitor.media import syscalls
from monitor.media.attacks import Attack, Ground, table

_AT_FDCWD, _AT_SYMLINK_FOLLOW = -100, 0x400
_LONGEST_NAME = 120


def attacks(row: int) -> list[Attack]:
    """All of them; `row` is 1 on a disk and 4 in memory that can be swapped and outlives the process (tmpfs)."""
    return table(
        row,
        "file",
        {
            "create": _create,
            "creat": _creat,
            "libc": _libc,
            "tmpfile": _tmpfile,
            "append": lambda on: on.put(os.open(on.existing, os.O_WRONLY | os.O_APPEND)),
            "overwrite": lambda on: on.put(os.open(on.existing, os.O_RDWR)),
            "truncate": lambda on: os.truncate(on.existing, 17),
            "mmap": _mmap,
            "rename": lambda on: os.rename(on.existing, on.path(_name(on))),
            "link": lambda on: os.link(on.existing, on.path(_name(on))),
            "symlink": lambda on: os.symlink(on.picture[:1000].hex(), on.path("symlink")),
            "mkdir": lambda on: os.mkdir(on.path(_name(on))),
            "mknod": lambda on: os.mknod(on.path(_name(on)), stat.S_IFIFO | 0o600),
            "xattr": lambda on: os.setxattr(on.existing, "user.picture", on.picture[:1000]),
            "bind": _bind,
            "times": _times,
            "mode": lambda on: os.chmod(on.existing, 0o640),
            "splice": _splice,
            "sendfile": _sendfile,
            "copy_range": _copy_range,
            "mount": _mount,
        },
    )


def _name(on: Ground) -> str:
    return on.token.hex()[:_LONGEST_NAME]


def _create(on: Ground) -> None:
    on.put(os.open(on.path("created"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _creat(on: Ground) -> None:
    path = on.path("creat")
    if syscalls.number("creat") is None:  # aarch64: creat is openat
        on.put(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    else:
        on.put(syscalls.call("creat", path.encode(), 0o600))


def _libc(on: Ground) -> None:
    """As a C library would, not by Python's own open."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fopen.restype = ctypes.c_void_p
    ctypes.set_errno(0)
    file = libc.fopen(on.path("fopen").encode(), b"wb")
    if not file:
        raise OSError(ctypes.get_errno(), "fopen")
    handle = ctypes.c_void_p(file)
    libc.fwrite(on.picture, ctypes.c_size_t(1), ctypes.c_size_t(len(on.picture)), handle)
    libc.fclose(handle)


def _tmpfile(on: Ground) -> None:
    """A file without a name gets one afterwards."""
    descriptor = os.open(on.directory, os.O_WRONLY | os.O_TMPFILE, 0o600)
    on.put(descriptor)
    path = on.path("tmpfile").encode()
    syscalls.call("linkat", _AT_FDCWD, f"/proc/self/fd/{descriptor}".encode(), _AT_FDCWD, path, _AT_SYMLINK_FOLLOW)


def _mmap(on: Ground) -> None:
    """A file that is mapped is written without any call that writes."""
    descriptor = on.held(os.open(on.existing, os.O_RDWR))
    write_mapped(on, descriptor)


def write_mapped(on: Ground, descriptor: int) -> None:
    """Map 4 KiB of a file and put the picture's beginning there; the mapping is held."""
    mapped = mmap.mmap(descriptor, mmap.PAGESIZE)
    on.hold.callback(mapped.close)
    mapped[: len(on.picture[: mmap.PAGESIZE])] = on.picture[: mmap.PAGESIZE]


def _bind(on: Ground) -> None:
    """A local socket's name is a file; the pair is the only kind that the filter lets be made."""
    one, another = socket.socketpair()
    on.hold.callback(one.close)
    on.hold.callback(another.close)
    one.bind(on.path(on.token.hex()[:32]))


def _times(on: Ground) -> None:
    """Sixteen octets fit into a file's two times."""
    os.utime(on.existing, ns=(int.from_bytes(on.token[:7], "big"), int.from_bytes(on.token[7:14], "big")))


def _filled_pipe(on: Ground) -> tuple[int, int]:
    reading, writing = os.pipe()
    on.held(reading)
    on.put(writing)
    return reading, writing


def _splice(on: Ground) -> None:
    target = on.held(os.open(on.existing, os.O_WRONLY))
    os.splice(_filled_pipe(on)[0], target, len(on.picture))


def _sendfile(on: Ground) -> None:
    target = on.held(os.open(on.existing, os.O_WRONLY))
    source = on.held(os.open(__file__, os.O_RDONLY))
    os.sendfile(target, source, 0, 1000)


def _copy_range(on: Ground) -> None:
    target = on.held(os.open(on.path("copied"), os.O_WRONLY | os.O_CREAT, 0o600))
    source = on.held(os.open(on.existing, os.O_RDONLY))
    os.copy_file_range(source, target, 1000)


def _mount(on: Ground) -> None:
    """A file system of its own, in memory, over a directory that may be reached."""
    where = on.path(on.prover.folder).encode()
    syscalls.call("mount", b"tmpfs", where, b"tmpfs", 0, None)
    detach = 2
    on.hold.callback(syscalls.call, "umount2", where, detach)
