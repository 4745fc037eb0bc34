"""The attacker beside a media process: another program of the same user with the same rights, which would read a
picture out of its memory. Run as `python -m monitor.media.attacks_outside PID ADDRESS LENGTH` by the prover.

It prints one line of JSON, name of the attack → what the kernel answered; what it read stands behind the answer as hex,
so that the prover sees whether it was the picture. It must take no right that the process it looks into does not have:
root's would open every process.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import struct
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from monitor.media import syscalls

_PTRACE_ATTACH, _PTRACE_DETACH = 16, 17
_WALL = 0x40000000
_CAPABILITY_VERSION_3 = 0x20080522


def main(arguments: Sequence[str]) -> None:
    """Try all of them on the process."""
    pid, address, length = (int(argument) for argument in arguments[:3])
    _take_rights_of(pid)
    print(json.dumps({name: _answer(partial(attempt, pid, address, length)) for name, attempt in OUTSIDE.items()}))  # noqa: T201


def _take_rights_of(pid: int) -> None:
    text = Path(f"/proc/{pid}/status").read_text()
    permitted = int(next(line.split()[1] for line in text.splitlines() if line.startswith("CapPrm:")), 16)
    low, high = permitted & 0xFFFFFFFF, permitted >> 32
    head = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), 8)
    data = ctypes.create_string_buffer(struct.pack("=6I", low, low, 0, high, high, 0), 24)
    with contextlib.suppress(OSError):  # we have fewer already
        syscalls.call("capset", ctypes.addressof(head), ctypes.addressof(data))


def _answer(attempt: Callable[[], bytes]) -> list[str]:
    try:
        return ["succeeded", attempt().hex()]
    except OSError as error:
        return [errno.errorcode.get(error.errno or 0, "error"), ""]


def _memory(pid: int, address: int, length: int) -> bytes:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(length) or b""


def _vm_read(pid: int, address: int, length: int) -> bytes:
    target = ctypes.create_string_buffer(length)
    local = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(target), length), 16)
    remote = ctypes.create_string_buffer(struct.pack("=QQ", address, length), 16)
    syscalls.call("process_vm_readv", pid, ctypes.addressof(local), 1, ctypes.addressof(remote), 1, 0)
    return target.raw


def _ptrace(pid: int, _: int, __: int) -> bytes:
    syscalls.call("ptrace", _PTRACE_ATTACH, pid, 0, 0)
    os.waitpid(pid, _WALL)
    syscalls.call("ptrace", _PTRACE_DETACH, pid, 0, 0)
    return b""


def _descriptors(pid: int, _: int, __: int) -> bytes:
    """Open what it has open, by its name in /proc."""
    os.close(os.open(f"/proc/{pid}/fd/0", os.O_RDONLY))
    return b""


def _take_descriptor(pid: int, _: int, __: int) -> bytes:
    process = os.pidfd_open(pid)
    try:
        os.close(syscalls.call("pidfd_getfd", process, 0, 0))
    finally:
        os.close(process)
    return b""


OUTSIDE: dict[str, Callable[[int, int, int], bytes]] = {
    "outside.memory": _memory,
    "outside.vm_read": _vm_read,
    "outside.ptrace": _ptrace,
    "outside.descriptors": _descriptors,
    "outside.take_descriptor": _take_descriptor,
}

if __name__ == "__main__":
    main(sys.argv[1:])
