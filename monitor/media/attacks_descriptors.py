"""Attacks by what was there before the seal, or comes in from outside: an inherited or passed descriptor, a thread that
was started too early.

Descriptors come from the prover, which plays the process that starts this one and would like to have a picture stored.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable

from monitor.media import syscalls
from monitor.media.attacks import Attack, Ground, table
from monitor.media.attacks_files import write_mapped
from monitor.media.attacks_others import fork_and_write

_FICLONE = 0x40049409
_COPIED = 1000


def passed() -> list[Attack]:
    """Descriptors that are passed to the sealed process over a socket (SCM_RIGHTS)."""
    return table(
        2,
        "passed",
        {
            "write": lambda on: _write(on.take()[0], on),
            "mmap": lambda on: write_mapped(on, on.take()[0]),
            "pipe": lambda on: _write(on.take()[1], on),
        },
    )


def inherited() -> list[Attack]:
    """Descriptors that were open before the seal; the seal itself refuses to close over them."""
    return table(2, "inherited", _INHERITED)


def early() -> list[Attack]:
    """By a thread from before the seal: Landlock and the filter do not bind it."""
    return table(
        3,
        "early",
        {
            "create": lambda on: on.put(os.open(on.path("early"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)),
            "mmap": lambda on: write_mapped(on, on.held(os.open(on.existing, os.O_RDWR))),
            "fork": fork_and_write,
        },
    )


def _write(descriptor: int, on: Ground) -> None:
    left = memoryview(on.picture)
    while left:
        left = left[os.write(descriptor, left) :]


def _splice(on: Ground) -> None:
    reading, writing = os.pipe()
    on.held(reading)
    on.put(writing)
    os.splice(reading, on.prover.file, len(on.picture))


def _sendfile(on: Ground) -> None:
    source = on.held(os.open(__file__, os.O_RDONLY))
    os.sendfile(on.prover.file, source, 0, _COPIED)


def _copy_range(on: Ground) -> None:
    source = on.held(os.open(__file__, os.O_RDONLY))
    os.copy_file_range(source, on.prover.file, _COPIED)


def _clone(on: Ground) -> None:
    """Share another file's blocks: where the file system can, ioctl writes a whole file."""
    source = on.held(os.open(__file__, os.O_RDONLY))
    fcntl.ioctl(on.prover.file, _FICLONE, source)


def _reopen(on: Ground) -> None:
    """The same file once more, by its name in /proc."""
    on.put(os.open(f"/proc/self/fd/{on.prover.file}", os.O_RDWR))


_INHERITED: dict[str, Callable[[Ground], None]] = {
    "write": lambda on: _write(on.prover.file, on),
    "mmap": lambda on: write_mapped(on, on.prover.file),
    "truncate": lambda on: os.ftruncate(on.prover.file, 17),
    "allocate": lambda on: _ignored(syscalls.call("fallocate", on.prover.file, 0, 0, 1 << 16)),
    "xattr": lambda on: os.setxattr(on.prover.file, "user.picture", on.picture[:_COPIED]),
    "splice": _splice,
    "sendfile": _sendfile,
    "copy_range": _copy_range,
    "clone": _clone,
    "reopen": _reopen,
    "pipe": lambda on: _write(on.prover.pipe, on),
}


def _ignored(_: object) -> None:
    """Nothing more is to be done with it."""
