"""The calls that the proof of the seal tries: for outliving the process, for storage without a file, for being read by
others, and for loosening the seal.

They must be harmless where the seal is off: `seal_ways.py` says how.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import socket
import struct
from collections.abc import Callable
from ctypes import addressof, create_string_buffer
from functools import partial

from monitor.media import syscalls
from monitor.media.seal_ways import CALLS, NEVER, Way

_PRIVATE_KEY = 0  # IPC_PRIVATE
_IPC_RMID = 0
_NO_DESCRIPTOR = -1


def ways_of_calls() -> list[Way]:
    """All ways that no directory makes a difference to."""
    denied: list[tuple[str, Callable[[], None]]] = [
        ("execve", partial(_refused_call, "execve", b"/.vigil-proof-no-such-program", None, None)),
        ("execveat", partial(_refused_call, "execveat", _NO_DESCRIPTOR, b"vigil-proof-no-such-program", None, None, 0)),
        ("fork", _fork),
        ("clone", _clone),
        (
            "ptrace",
            partial(_refused_call, "ptrace", 1 << 20, 0, 0, 0),
        ),  # no such request: EIO or ESRCH without the seal
        ("process_vm_writev", _write_own_memory),
        ("process_vm_readv", partial(_refused_call, "process_vm_readv", os.getpid(), 0, 0, 0, 0, 0)),
        ("pidfd_getfd", partial(_refused_call, "pidfd_getfd", _NO_DESCRIPTOR, 0, 0)),
        ("memfd_create", partial(_made_descriptor, "memfd_create", b"vigil-proof", 0)),
        ("shmget", _shared_memory),
        ("msgget", _system_queue),
        ("semget", partial(_refused_call, "semget", _PRIVATE_KEY, -1, 0)),
        # One that is not there: where Landlock alone is on, a queue could be made and not be taken away again.
        ("mq_open", partial(_refused_call, "mq_open", b"vigil-proof-no-such-queue", os.O_RDWR, 0, None)),
        ("add_key", partial(_refused_call, "add_key", None, None, None, 0, 0)),
        ("userfaultfd", partial(_made_descriptor, "userfaultfd", 0)),
        ("io_uring_setup", partial(_refused_call, "io_uring_setup", 1, None)),
        ("bpf", partial(_refused_call, "bpf", 1 << 20, None, 0)),
        ("perf_event_open", partial(_refused_call, "perf_event_open", None, 0, -1, -1, 0)),
        ("splice", partial(_refused_call, "splice", *_nothing_to_nothing(6))),
        ("tee", partial(_refused_call, "tee", *_nothing_to_nothing(4))),
        ("vmsplice", partial(_refused_call, "vmsplice", _NO_DESCRIPTOR, None, 0, 0)),
        ("sendfile", partial(_refused_call, "sendfile", _NO_DESCRIPTOR, _NO_DESCRIPTOR, None, 0)),
        ("copy_file_range", partial(_refused_call, "copy_file_range", *_nothing_to_nothing(6))),
        ("ftruncate", partial(_refused_call, "ftruncate", _NO_DESCRIPTOR, 0)),
        ("fallocate", partial(_refused_call, "fallocate", _NO_DESCRIPTOR, 0, 0, 1)),
        ("swapon", partial(_refused_call, "swapon", None, 0)),
        ("mount", partial(_refused_call, "mount", None, None, None, 0, None)),
        ("unshare", partial(_refused_call, "unshare", 1)),  # no such flag
        ("setns", partial(_refused_call, "setns", _NO_DESCRIPTOR, 0)),
        ("ioctl FICLONE", partial(_refused_call, "ioctl", _NO_DESCRIPTOR, 0x40049409, 0)),
        ("recvmsg", partial(_refused_call, "recvmsg", _NO_DESCRIPTOR, None, 0)),
        ("shared file mapping", _shared_file),
        ("munlock", partial(_refused_call, "munlock", 0, 0)),
        ("outlive the parent", _outlive),
        ("local socket", _local_socket),
        ("local datagram pair", _datagram_pair),
        ("raise a limit", _raise_limit),
        ("become dumpable", _become_dumpable),
    ]
    return [
        *(Way(name, "", attempt, CALLS) for name, attempt in denied),
        Way("clone3", "", partial(_refused_call, "clone3", None, 0), NEVER),
        Way("openat2", "", partial(_refused_call, "openat2", _NO_DESCRIPTOR, None, None, 0), NEVER),
    ]


def _nothing_to_nothing(arguments: int) -> list[int]:
    """Arguments of a copy between descriptors that are none."""
    return {4: [-1, -1, 1, 0], 6: [-1, 0, -1, 0, 1, 0]}[arguments]


def _refused_call(name: str, *arguments: int | bytes | None) -> None:
    syscalls.call(name, *arguments)


def _made_descriptor(name: str, *arguments: int | bytes | None) -> None:
    os.close(syscalls.call(name, *arguments))


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _clone() -> None:
    sigchld = 17
    child = syscalls.call("clone", sigchld, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _write_own_memory() -> None:
    source, target = create_string_buffer(b"a"), create_string_buffer(b"b")
    local = create_string_buffer(struct.pack("=QQ", addressof(source), 1), 16)
    remote = create_string_buffer(struct.pack("=QQ", addressof(target), 1), 16)
    syscalls.call("process_vm_writev", os.getpid(), addressof(local), 1, addressof(remote), 1, 0)


def _shared_memory() -> None:
    segment = syscalls.call("shmget", _PRIVATE_KEY, 4096, 0o600)
    with contextlib.suppress(OSError):
        syscalls.call("shmctl", segment, _IPC_RMID, None)


def _system_queue() -> None:
    queue = syscalls.call("msgget", _PRIVATE_KEY, 0o600)
    with contextlib.suppress(OSError):
        syscalls.call("msgctl", queue, _IPC_RMID, None)


def _shared_file() -> None:
    """For reading, of a file that may be read: how it can be written then is not the kernel's to ask again."""
    with open(__file__, "rb") as file:
        mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ).close()


def _outlive() -> None:
    """Have the kernel end this process with its parent, as it does already: without the filter nothing changes."""
    set_death_signal = 1
    syscalls.prctl(set_death_signal, signal.SIGKILL)


def _local_socket() -> None:
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close()


def _datagram_pair() -> None:
    for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM):
        end.close()


def _raise_limit() -> None:
    """Set RLIMIT_FSIZE to what it is: without the seal that succeeds and changes nothing."""
    fsize = 1
    limits = create_string_buffer(16)
    syscalls.call("prlimit64", 0, fsize, None, addressof(limits))
    syscalls.call("prlimit64", 0, fsize, addressof(limits), None)


def _become_dumpable() -> None:
    get, put = 3, 4
    before = syscalls.prctl(get)
    syscalls.prctl(put, 1)
    with contextlib.suppress(OSError):
        syscalls.prctl(put, before)
