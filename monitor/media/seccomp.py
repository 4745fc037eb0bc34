"""The second lock: a filter on system calls, as a small BPF program of our own (seccomp(2), SECCOMP_SET_MODE_FILTER).

It denies what could write, outlive the process, start another or look into one, whatever a library tries. It must never
allow by name what it does not know: a call newer than the table answers ENOSYS, as on an older kernel. A refusal is an
errno, not a kill, so that a library that merely tries goes on and the proof can name what was refused; only a call from
a foreign architecture, which nothing here makes, ends the process.

Where a flag decides, the call is looked into: `clone` makes threads but no processes, `openat` reads but does not
write, `mmap` shares memory but no file's, `socket` speaks IP but reaches no local service (/dev/log, journald, a
recorder). `clone3` and `openat2` keep their flags in memory that a filter cannot see: they answer ENOSYS, and glibc
falls back. So does `recvmsg`, by which a descriptor could be passed in: it is refused, and `recvfrom` does for us. A
descriptor from outside would be written in spite of Landlock (a disk, a sysctl, a mapped file), for Landlock asks when
a file is opened, and RLIMIT_FSIZE binds only calls that write to regular files.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import NamedTuple

from monitor.media import syscalls
from monitor.media.syscall_table import DENIED, NEWEST, X32_BIT

ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
REFUSE = 0x00050000 | errno.EPERM
ABSENT = 0x00050000 | errno.ENOSYS

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_PR_SET_DUMPABLE = 4
_PR_SET_MM = 35
_PR_SET_PTRACER = 0x59616D61

CLONE_THREAD = 0x00010000
WRITING_FLAGS = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000 | 0o20000000
"""O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND and the bit of O_TMPFILE: the same on both architectures."""

_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_NETLINK_ROUTE = 0
_SOCK_STREAM = 1

_MAP_SHARED, _MAP_ANONYMOUS = 0x01, 0x20
"""MAP_SHARED_VALIDATE has the first bit too; MAP_PRIVATE has not."""

_IOCTLS = (
    0x5401,  # TCGETS, by which isatty asks
    0x5411,  # SIOCOUTQ
    0x5413,  # TIOCGWINSZ
    0x541B,  # FIONREAD
    0x5421,  # FIONBIO
    0x5450,  # FIONCLEX
    0x5451,  # FIOCLEX
    0x8910,  # SIOCGIFNAME, and what else reads an interface's name and address
    0x8912,  # SIOCGIFCONF
    0x8913,  # SIOCGIFFLAGS
    0x8915,  # SIOCGIFADDR
    0x8933,  # SIOCGIFINDEX
)
"""All that may be asked of a descriptor. File systems have dozens of others that write: clone, swap, resize, label."""

# struct seccomp_data: int nr, u32 arch, u64 instruction_pointer, u64 args[6]; both architectures are little-endian.
_NR, _ARCH = 0, 4
_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_FROM, _JUMP_BITS, _AND, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x54, 0x06


class Instruction(NamedTuple):
    """struct sock_filter: `jt` and `jf` count the instructions to skip."""

    code: int
    jt: int
    jf: int
    k: int


def _low(argument: int) -> int:
    return 16 + 8 * argument


def _high(argument: int) -> int:
    return _low(argument) + 4


def _load(offset: int) -> Instruction:
    return Instruction(_LOAD, 0, 0, offset)


def _answer(value: int) -> Instruction:
    return Instruction(_RETURN, 0, 0, value)


def _only(values: tuple[int, ...], offset: int) -> list[Instruction]:
    """Allow these values of the 32 bits at `offset`, refuse any other."""
    body = [_load(offset)]
    for value in values:
        body += [Instruction(_JUMP_EQUAL, 0, 1, value), _answer(ALLOW)]
    return [*body, _answer(REFUSE)]


def _refuse_bits(mask: int, offset: int) -> list[Instruction]:
    return [_load(offset), Instruction(_JUMP_BITS, 0, 1, mask), _answer(REFUSE), _answer(ALLOW)]


def _require_bits(mask: int, offset: int) -> list[Instruction]:
    return [_load(offset), Instruction(_JUMP_BITS, 0, 1, mask), _answer(ALLOW), _answer(REFUSE)]


def _only_zero(argument: int) -> list[Instruction]:
    """Allow where a 64-bit argument is 0 (a null pointer, a flag that is off)."""
    return [
        _load(_low(argument)),
        Instruction(_JUMP_EQUAL, 0, 3, 0),
        _load(_high(argument)),
        Instruction(_JUMP_EQUAL, 0, 1, 0),
        _answer(ALLOW),
        _answer(REFUSE),
    ]


def _looked_into() -> dict[str, list[Instruction]]:
    """Call → what decides about it. Each body ends with an answer on every path."""
    only_zero = _only_zero(1)
    return {
        "clone": _require_bits(CLONE_THREAD, _low(0)),
        "clone3": [_answer(ABSENT)],
        "openat2": [_answer(ABSENT)],
        "open": _refuse_bits(WRITING_FLAGS, _low(1)),
        "openat": _refuse_bits(WRITING_FLAGS, _low(2)),
        "prlimit64": _only_zero(2),  # reading a limit is fine, a new one is not
        "prctl": [
            _load(_low(0)),
            Instruction(_JUMP_EQUAL, 0, len(only_zero), _PR_SET_DUMPABLE),
            *only_zero,
            Instruction(_JUMP_EQUAL, 2, 0, _PR_SET_PDEATHSIG),
            Instruction(_JUMP_EQUAL, 1, 0, _PR_SET_MM),
            Instruction(_JUMP_EQUAL, 0, 1, _PR_SET_PTRACER),
            _answer(REFUSE),
            _answer(ALLOW),
        ],
        "socket": [
            _load(_low(0)),
            Instruction(_JUMP_EQUAL, 4, 0, _AF_INET),
            Instruction(_JUMP_EQUAL, 3, 0, _AF_INET6),
            Instruction(_JUMP_EQUAL, 0, 3, _AF_NETLINK),
            _load(_low(2)),  # of netlink only the routing tables, which getaddrinfo asks: not audit, not uevent
            Instruction(_JUMP_EQUAL, 0, 1, _NETLINK_ROUTE),
            _answer(ALLOW),
            _answer(REFUSE),
        ],
        # asyncio wakes itself through a pair. A datagram pair could be pointed at /dev/log by sendto: streams only.
        "socketpair": [
            _load(_low(0)),
            Instruction(_JUMP_EQUAL, 0, 4, _AF_UNIX),
            _load(_low(1)),
            Instruction(_AND, 0, 0, 0xF),
            Instruction(_JUMP_EQUAL, 0, 1, _SOCK_STREAM),
            _answer(ALLOW),
            _answer(REFUSE),
        ],
        "ioctl": _only(_IOCTLS, _low(1)),
        # A file that is mapped and shared is written without any call that could be refused: nor may it be mapped for
        # reading, for mprotect could make it writable later.
        "mmap": [
            _load(_low(3)),
            Instruction(_JUMP_BITS, 0, 2, _MAP_SHARED),
            Instruction(_JUMP_BITS, 1, 0, _MAP_ANONYMOUS),
            _answer(REFUSE),
            _answer(ALLOW),
        ],
    }


def program(machine: str) -> list[Instruction]:
    """The filter for an architecture of `syscalls.ARCHITECTURES`."""
    code = [
        _load(_ARCH),
        Instruction(_JUMP_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        _answer(KILL_PROCESS),
        _load(_NR),
    ]
    if machine == "x86_64":
        code += [Instruction(_JUMP_FROM, 0, 1, X32_BIT), _answer(REFUSE)]
    code += [Instruction(_JUMP_ABOVE, 0, 1, NEWEST), _answer(ABSENT)]
    for name, body in _looked_into().items():
        if (number := syscalls.number(name, machine)) is not None:
            code += [Instruction(_JUMP_EQUAL, 0, len(body), number), *body]
    for name in DENIED:
        if (number := syscalls.number(name, machine)) is not None:
            code += [Instruction(_JUMP_EQUAL, 0, 1, number), _answer(REFUSE)]
    return [*code, _answer(ALLOW)]


class _FilterProgram(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def enter() -> None:
    """Filter this thread and all threads that it will start. There is no way back.

    Raises OSError where the kernel refuses (no seccomp, or PR_SET_NO_NEW_PRIVS is off and the process is not
    privileged).
    """
    code = program(syscalls.architecture())
    packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *part) for part in code))
    head = _FilterProgram(len(code), ctypes.addressof(packed))
    syscalls.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(head))
