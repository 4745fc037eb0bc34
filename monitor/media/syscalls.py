"""System calls by number, for what Python has no function for.

Only the seal and its proof use this. It must never hide an error: a call either returns its value or raises the
kernel's own answer as OSError.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform

from monitor.core.errors import SealError
from monitor.media.syscall_table import DENIED, LOOKED_INTO, NEEDED

ARCHITECTURES = ("x86_64", "aarch64")

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_LIBC.prctl.restype = ctypes.c_int


@functools.cache
def architecture() -> str:
    """`x86_64` or `aarch64`. Raises SealError on any other: its system calls are not known here."""
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine(), platform.machine())
    if machine not in ARCHITECTURES:
        raise SealError(
            f"the media process cannot be sealed on {machine}", "use a machine with an x86_64 or aarch64 processor"
        )
    return machine


def number(name: str, machine: str | None = None) -> int | None:
    """A call's number on `machine` (this one by default); None where that architecture has no such call."""
    column = ARCHITECTURES.index(machine or architecture())
    for table in (DENIED, LOOKED_INTO, NEEDED):
        if name in table:
            return table[name][column]
    raise KeyError(name)


def call(name: str, *arguments: int | ctypes.Array[ctypes.c_char] | bytes | None) -> int:
    """Make a system call. Integers, buffers and None (a null pointer) may be passed. Raises OSError."""
    found = number(name)
    if found is None:
        raise OSError(38, f"{name}: no such call here")
    passed = [ctypes.c_long(part) if isinstance(part, int) else part for part in arguments]
    ctypes.set_errno(0)
    answer = int(_LIBC.syscall(ctypes.c_long(found), *passed))
    if answer == -1 and (error := ctypes.get_errno()):
        raise OSError(error, os.strerror(error), name)
    return answer


def prctl(option: int, *arguments: int) -> int:
    """prctl(2) with its arguments as unsigned longs. Raises OSError."""
    passed = [ctypes.c_ulong(part) for part in (*arguments, 0, 0, 0, 0)[:4]]
    ctypes.set_errno(0)
    answer = int(_LIBC.prctl(ctypes.c_int(option), *passed))
    if answer == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "prctl")
    return answer
