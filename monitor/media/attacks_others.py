"""Attacks that have someone else do the storing: a child process, a local service, the kernel; and those that loosen
the seal first.

They must change nothing of the machine: a switch or a device is only opened, which is enough to count as a success, and
a limit that could be raised is set back.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import logging.handlers
import os
import resource
import signal
import socket
import struct
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from monitor.media import syscalls
from monitor.media.attacks import Attack, Ground, table
from monitor.media.attacks_ffmpeg import to_service

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_GET_DUMPABLE = 1, 4, 3
_TIOCSTI = 0x5412
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_SYS_ADMIN, _ALL = 21, 0xFFFFFFFF
_NETLINK_AUDIT = 9
_SHELL = "/bin/sh"
_COPY = 'cat > "$0"'


def attacks() -> list[Attack]:
    """All of them."""
    return [
        *table(10, "child", _CHILDREN),
        *table(8, "service", _SERVICES),
        Attack("service.syslog", 8, _syslog, by_library=True),
        Attack("kernel.core_pattern", 6, partial(_opened, "/proc/sys/kernel/core_pattern")),
        Attack("kernel.hibernate", 5, partial(_opened, "/sys/power/state")),
        Attack("kernel.swapon", 5, _swapon),
        Attack("kernel.loop", 1, partial(_opened, "/dev/loop-control")),
        Attack("kernel.block", 1, lambda on: _opened(on.prover.block, on)),
        Attack("kernel.log", 8, partial(_opened, "/dev/kmsg")),
        Attack("kernel.memory", 1, partial(_opened, "/dev/mem")),
        Attack("kernel.terminal", 10, _terminal),
        Attack("loosen.file_size", 2, partial(_raise, resource.RLIMIT_FSIZE)),
        Attack("loosen.core_size", 6, partial(_raise, resource.RLIMIT_CORE)),
        Attack("loosen.dumpable", 7, _dumpable),
        Attack("loosen.parent", 10, _outlive),
        Attack("loosen.memory", 5, _unlock_memory),
        Attack("loosen.capabilities", 1, _capabilities),
    ]


# ---- children --------------------------------------------------------------------------------------------------------


def fork_and_write(on: Ground) -> None:
    """A child writes the picture; it stays until the prover has looked."""
    staying, let_go = os.pipe()
    told, telling = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(let_go)  # also held by the parent alone: its end ends this child
        with contextlib.suppress(OSError):
            file = os.open(on.path("forked"), os.O_WRONLY | os.O_CREAT, 0o600)
            os.write(file, on.picture)
        os.write(telling, b"1")
        os.read(staying, 1)
        os._exit(0)
    on.hold.callback(os.waitpid, child, 0)
    for descriptor in (let_go, staying, told, telling):
        on.held(descriptor)
    os.read(told, 1)


def _spawn(on: Ground) -> None:
    """A shell writes the name of a file, which is the picture's token."""
    script = f': > "{on.path(on.token.hex())}"'
    child = os.posix_spawn(_SHELL, [_SHELL, "-c", script], {})
    os.waitpid(child, 0)


def _pipe_to_program(on: Ground) -> None:
    subprocess.run(
        [_SHELL, "-c", _COPY, on.path("by-program")], input=on.picture, check=False, env={"PATH": "/usr/bin:/bin"}
    )


def _copy_program(on: Ground) -> None:
    subprocess.run(
        ["/bin/cp", on.existing, on.path("by-cp")],
        check=False,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


_CHILDREN: dict[str, Callable[[Ground], None]] = {
    "fork": fork_and_write,
    "spawn": _spawn,
    "pipe": _pipe_to_program,
    "copy": _copy_program,
}


# ---- local services --------------------------------------------------------------------------------------------------


def _datagram(on: Ground) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(on.picture[:1000], on.prover.datagrams)


def _datagram_pair(on: Ground) -> None:
    one, another = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, another:
        one.sendto(on.picture[:1000], on.prover.datagrams)


def _stream(on: Ground) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(on.prover.stream)
        sock.sendall(on.picture)


def _abstract(on: Ground) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(on.picture[:1000], b"\0" + on.prover.abstract.encode())


def _syslog(on: Ground) -> None:
    """As any library that logs would."""
    handler = logging.handlers.SysLogHandler(address=on.prover.datagrams)
    on.hold.callback(handler.close)
    handler.emit(logging.LogRecord("attack", logging.INFO, __file__, 0, "%s", (on.picture[:400].hex(),), None))


def _socket(family: int, kind: int, protocol: int, _: Ground) -> None:
    socket.socket(family, kind, protocol).close()


_SERVICES: dict[str, Callable[[Ground], None]] = {
    "datagram": _datagram,
    "datagram_pair": _datagram_pair,
    "stream": _stream,
    "abstract": _abstract,
    "ffmpeg": to_service,
    "vsock": partial(_socket, socket.AF_VSOCK, socket.SOCK_STREAM, 0),
    "audit": partial(_socket, socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_AUDIT),
    "crypto": partial(_socket, socket.AF_ALG, socket.SOCK_SEQPACKET, 0),
    "packet": partial(_socket, socket.AF_PACKET, socket.SOCK_DGRAM, 0),
}


# ---- the kernel ------------------------------------------------------------------------------------------------------


def _opened(path: str, on: Ground) -> None:
    """That it opens for writing is enough; nothing is written."""
    on.held(os.open(path, os.O_WRONLY))


def _swapon(on: Ground) -> None:
    """The file is no swap space: without the seal the kernel says EINVAL, and nothing is ever swapped."""
    syscalls.call("swapon", on.existing.encode(), 0)


def _terminal(_: Ground) -> None:
    """Type into a terminal: a shell behind it would do the rest. Descriptor 0 is none: without the seal, ENOTTY."""
    syscalls.call("ioctl", 0, _TIOCSTI, b"x")


# ---- loosening -------------------------------------------------------------------------------------------------------


def _raise(which: int, _: Ground) -> None:
    # By its number, for Python's setrlimit keeps the kernel's answer to itself.
    before, unlimited = ctypes.create_string_buffer(16), ctypes.create_string_buffer(b"\xff" * 16, 16)
    syscalls.call("prlimit64", 0, which, None, ctypes.addressof(before))
    syscalls.call("prlimit64", 0, which, ctypes.addressof(unlimited), None)
    syscalls.call("prlimit64", 0, which, ctypes.addressof(before), None)


def _dumpable(_: Ground) -> None:
    before = syscalls.prctl(_PR_GET_DUMPABLE)
    syscalls.prctl(_PR_SET_DUMPABLE, 1)
    syscalls.prctl(_PR_SET_DUMPABLE, before)


def _outlive(_: Ground) -> None:
    """Live on when the control process ends."""
    syscalls.prctl(_PR_SET_PDEATHSIG, 0)
    syscalls.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _unlock_memory(_: Ground) -> None:
    """Let memory be swapped again. Of nothing at all, so that nothing changes where it succeeds."""
    syscalls.call("munlock", 0, 0)


def _capabilities(_: Ground) -> None:
    """Take root's rights back."""
    if _permitted() >> _CAP_SYS_ADMIN & 1:
        return  # they were never given up
    head = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), 8)
    data = ctypes.create_string_buffer(struct.pack("=6I", _ALL, _ALL, 0, 0, 0, 0), 24)
    syscalls.call("capset", ctypes.addressof(head), ctypes.addressof(data))


def _permitted() -> int:
    text = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("CapPrm:")), 16)
