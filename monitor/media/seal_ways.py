"""Every way of writing, of outliving the process and of being read by others that the proof tries, by name.

A way must be harmless where the seal is off: it uses names that cannot be anyone's, removes what it made, and where a
call would do damage it is made with arguments that the kernel refuses anyway, with another answer than the seal's. Only
the answers listed as refusals count as refused: EBADF or ENOENT would mean that the seal was not asked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import stat
import struct
from collections.abc import Callable
from ctypes import addressof, create_string_buffer
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np

from monitor.media import syscalls

FILES = frozenset({"EPERM", "EACCES", "EROFS"})
CALLS = frozenset({"EPERM"})
NEVER = frozenset({"ENOSYS"})
GROWTH = frozenset({"EFBIG"})

_PRIVATE_KEY = 0  # IPC_PRIVATE
_IPC_RMID = 0
_NO_DESCRIPTOR = -1
_PSEUDO = frozenset(
    {"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "efivarfs", "fusectl"}
    | {"mqueue", "nsfs", "proc", "pstore", "rpc_pipefs", "securityfs", "selinuxfs", "sysfs", "tracefs"}
)
"""File systems that hold no files of anyone's making."""
_USUAL = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # noqa: S108  they are tried, not used
_MOUNTS = 40


@dataclass(frozen=True)
class Way:
    """One way of writing: `attempt` returns where it succeeded and raises OSError where it was refused."""

    name: str
    where: str
    attempt: Callable[[], None]
    refusals: frozenset[str]

    def try_it(self) -> tuple[bool, str]:
        """Whether it was refused, and what the kernel answered."""
        try:
            self.attempt()
        except OSError as error:
            answer = errno.errorcode.get(error.errno or 0, "error")
            return answer in self.refusals, answer
        return False, "succeeded"


def directories() -> list[str]:
    """Where to try: here, the usual places, and every mounted file system that is not read-only. Bounded."""
    found: dict[str, str] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mounted, _, kind = line.partition(" - ")
        fields, (filesystem, *_, options) = mounted.split(), kind.split()
        # proc(5): 2 major:minor, 4 mount point, 5 options of the mount; behind the dash: type, source, options
        device, point, flags = fields[2], fields[4].encode().decode("unicode_escape"), fields[5].split(",")
        if filesystem in _PSEUDO or "ro" in flags or "ro" in options.split(",") or not Path(point).is_dir():
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
        ("mq_open", _message_queue),
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
        ("local socket", _local_socket),
        ("local datagram pair", _datagram_pair),
        ("raise a limit", _raise_limit),
        ("become dumpable", _become_dumpable),
    ]
    return [
        *(Way(name, "", attempt, CALLS) for name, attempt in denied),
        Way("clone3", "", partial(_refused_call, "clone3", None, 0), NEVER),
        Way("openat2", "", partial(_refused_call, "openat2", _NO_DESCRIPTOR, None, None, 0), NEVER),
        Way("open own source", "", partial(_open_for_writing, __file__), FILES),
        Way("open core_pattern", "", partial(_open_for_writing, "/proc/sys/kernel/core_pattern"), FILES),
        Way("open power state", "", partial(_open_for_writing, "/sys/power/state"), FILES),
        Way("read outside", "", _read_outside, frozenset({"EACCES"})),
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


def _message_queue() -> None:
    name = f"vigil-proof-{secrets.token_hex(8)}".encode()
    os.close(syscalls.call("mq_open", name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600, None))
    with contextlib.suppress(OSError):
        syscalls.call("mq_unlink", name)


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
