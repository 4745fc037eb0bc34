"""Attacks that leave a picture in memory which is nobody's alone: shared segments, queues, keys, another process.

Such memory outlives the process, or is read by others, or is swapped. What is made is taken away again when
`Ground.hold` is let go of; the prover does so too for what it finds.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import struct
from collections.abc import Callable

from monitor.media import syscalls
from monitor.media.attacks import Attack, Ground, table

_IPC_PRIVATE, _IPC_CREAT, _IPC_RMID, _SETALL = 0, 0o1000, 0, 17
_SEMAPHORES = 200
_USER_KEYRING = -4
_KEYCTL_UNLINK = 9
_MESSAGE = 1000


def attacks() -> list[Attack]:
    """All of them."""
    return [*table(4, "memory", _OWN), *table(7, "neighbour", _OTHERS)]


def _memfd(on: Ground) -> None:
    on.put(syscalls.call("memfd_create", b"vigil-prove", 0))


def _segment(on: Ground) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    segment = syscalls.call("shmget", _IPC_PRIVATE, len(on.picture), _IPC_CREAT | 0o600)
    on.hold.callback(_try, "shmctl", segment, _IPC_RMID, None)
    libc.shmat.restype = ctypes.c_void_p
    address = libc.shmat(segment, None, 0)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "shmat")
    ctypes.memmove(address, on.picture, len(on.picture))
    libc.shmdt(ctypes.c_void_p(address))


def _posix_shared(on: Ground) -> None:
    """shm_open(3) is a file in /dev/shm."""
    path = f"/dev/shm/{on.prover.shared}"  # noqa: S108  the place is what is attacked
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    on.hold.callback(_unlink, path)
    on.put(descriptor)


def _message_queue(on: Ground) -> None:
    name = on.prover.shared.encode()
    queue = on.held(syscalls.call("mq_open", name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600, None))
    on.hold.callback(_try, "mq_unlink", name)
    syscalls.call("mq_timedsend", queue, on.picture[:_MESSAGE], _MESSAGE, 0, None)


def _system_queue(on: Ground) -> None:
    queue = syscalls.call("msgget", _IPC_PRIVATE, 0o600)
    on.hold.callback(_try, "msgctl", queue, _IPC_RMID, None)
    syscalls.call("msgsnd", queue, struct.pack("=q", 1) + on.picture[:_MESSAGE], _MESSAGE, 0)


def _semaphores(on: Ground) -> None:
    """A set of semaphores holds two octets in each."""
    found = syscalls.call("semget", _IPC_PRIVATE, _SEMAPHORES, 0o600)
    on.hold.callback(_try, "semctl", found, 0, _IPC_RMID, None)
    values = bytes(octet & 0x7F for octet in on.picture[: 2 * _SEMAPHORES])  # none over SEMVMX, 32767
    syscalls.call("semctl", found, 0, _SETALL, values)


def _keyring(on: Ground) -> None:
    name = on.prover.shared.encode()
    key = syscalls.call("add_key", b"user", name, on.picture[:_MESSAGE], _MESSAGE, _USER_KEYRING)
    on.hold.callback(_try, "keyctl", _KEYCTL_UNLINK, key, _USER_KEYRING)


def _mapped_file(on: Ground) -> None:
    """Share a file that may be read. Whether it can be written then is a matter of its descriptor alone."""
    descriptor = on.held(os.open(__file__, os.O_RDONLY))
    mapped = mmap.mmap(descriptor, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ)
    on.hold.callback(mapped.close)


def _io_uring(on: Ground) -> None:
    """The kernel then writes from a queue that no filter sees."""
    on.held(syscalls.call("io_uring_setup", 8, ctypes.create_string_buffer(120)))


def _aio(_: Ground) -> None:
    """io_setup(2): the older queue of the same kind; it ends with the process."""
    context = ctypes.create_string_buffer(8)
    syscalls.call("io_setup", 1, ctypes.addressof(context))


def _write_neighbour(on: Ground) -> None:
    """Put the token into the prover's own memory."""
    source = ctypes.create_string_buffer(on.token, len(on.token))
    local = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(source), len(on.token)), 16)
    remote = ctypes.create_string_buffer(struct.pack("=QQ", on.prover.address, len(on.token)), 16)
    syscalls.call("process_vm_writev", on.prover.pid, ctypes.addressof(local), 1, ctypes.addressof(remote), 1, 0)


def _open_neighbour(on: Ground) -> None:
    """The same by its file in /proc."""
    descriptor = on.held(os.open(f"/proc/{on.prover.pid}/mem", os.O_RDWR))
    os.pwrite(descriptor, on.token, on.prover.address)


def _steal_descriptor(on: Ground) -> None:
    """Take a file that the prover has open, and write it."""
    process = on.held(os.pidfd_open(on.prover.pid))
    on.put(syscalls.call("pidfd_getfd", process, on.prover.descriptor, 0))


def _own_memory(on: Ground) -> None:
    """The process's own memory as a file: a way round every lock on writing to it."""
    on.held(os.open("/proc/self/mem", os.O_RDWR))


_OWN: dict[str, Callable[[Ground], None]] = {
    "memfd": _memfd,
    "segment": _segment,
    "posix_shared": _posix_shared,
    "message_queue": _message_queue,
    "system_queue": _system_queue,
    "semaphores": _semaphores,
    "keyring": _keyring,
    "mapped_file": _mapped_file,
    "io_uring": _io_uring,
    "aio": _aio,
}
_OTHERS: dict[str, Callable[[Ground], None]] = {
    "write": _write_neighbour,
    "open": _open_neighbour,
    "descriptor": _steal_descriptor,
    "own_memory": _own_memory,
}


def _try(name: str, *arguments: int | bytes | None) -> None:
    """Take away; what is gone already is gone."""
    with contextlib.suppress(OSError):
        syscalls.call(name, *arguments)


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
