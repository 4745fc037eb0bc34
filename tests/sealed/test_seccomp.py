"""The filter's program, run by an interpreter of our own: every call that it must refuse, on both architectures.

What a live process cannot safely try (vfork, reboot) and what this machine is not (the other architecture) is shown
here.
"""

from __future__ import annotations

import errno
import os

import pytest

from monitor.media import seccomp, syscalls
from monitor.media.syscall_table import DENIED, LOOKED_INTO, NEWEST, X32_BIT

ARCHITECTURES = ("x86_64", "aarch64")
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
THREAD = 0x3D0F00  # the flags that pthread_create gives to clone
FORK = 0x1200011
PROT_READ, PROT_WRITE = 1, 2
SHARED, PRIVATE, SHARED_VALIDATE, ANONYMOUS, NONE = 1, 2, 3, 0x20, (1 << 64) - 1

# fmt: off
REQUIRED = (
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "mount", "swapon",
    "kexec_load", "bpf", "io_uring_setup", "memfd_create", "memfd_secret", "shmget", "shmat", "mq_open",
    "truncate", "ftruncate", "fallocate", "splice", "sendfile", "copy_file_range", "creat", "link", "linkat",
    "symlinkat", "rename", "renameat2", "unlinkat", "mkdirat", "mknodat", "setxattr", "fsetxattr",
    "userfaultfd", "pidfd_getfd", "unshare", "setns", "setrlimit", "reboot", "perf_event_open", "add_key",
    "keyctl", "open_by_handle_at", "recvmsg", "recvmmsg", "munlockall", "mlockall", "io_submit",
)
# fmt: on


def run(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """The filter's answer to a call: a small BPF machine (only what `seccomp.program` uses)."""
    code = seccomp.program(machine)
    passed = [*arguments, *[0] * (6 - len(arguments))]
    words = [number, architecture if architecture is not None else _AUDIT[machine], 0, 0]
    for value in passed:
        words += [value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF]
    a = at = 0
    while True:
        instruction = code[at]
        at += 1
        match instruction.code:
            case 0x20:
                a = words[instruction.k // 4]
            case 0x54:
                a &= instruction.k
            case 0x06:
                return instruction.k
            case 0x15 | 0x25 | 0x35 | 0x45 as jump:
                k = instruction.k
                taken = {0x15: a == k, 0x25: a > k, 0x35: a >= k, 0x45: bool(a & k)}[jump]
                at += instruction.jt if taken else instruction.jf
            case _:
                raise AssertionError(f"an instruction the test does not know: {instruction}")


def answer(machine: str, name: str, *arguments: int) -> int:
    number = syscalls.number(name, machine)
    assert number is not None
    return run(machine, number, *arguments)


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_every_call_of_the_table_is_refused(machine: str) -> None:
    for name in DENIED:
        if syscalls.number(name, machine) is not None:
            assert answer(machine, name) == seccomp.REFUSE, name
    assert set(REQUIRED) <= DENIED.keys()


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_numbers_are_not_doubled(machine: str) -> None:
    numbers = [syscalls.number(name, machine) for table in (DENIED, LOOKED_INTO) for name in table]
    known = [number for number in numbers if number is not None]
    assert len(known) == len(set(known))
    assert max(known) <= NEWEST


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_calls_that_are_needed_pass(machine: str) -> None:
    needed = {"x86_64": (0, 1, 9, 45, 46, 202, 232, 233), "aarch64": (63, 64, 222, 207, 211, 98, 22, 21)}
    for number in needed[machine]:  # read write mmap recvfrom sendmsg futex epoll_…
        assert run(machine, number) == seccomp.ALLOW, number


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_flags_decide(machine: str) -> None:
    refuse, allow = seccomp.REFUSE, seccomp.ALLOW
    cases = [
        ("clone", (THREAD,), allow),
        ("clone", (FORK,), refuse),
        ("clone", (17,), refuse),
        ("clone3", (0, 0), seccomp.ABSENT),
        ("openat2", (0, 0), seccomp.ABSENT),
        ("openat", (0, 0, os.O_RDONLY | os.O_CLOEXEC), allow),
        ("openat", (0, 0, 0o100000 | 0o200000), allow),
        *(("openat", (0, 0, flag), refuse) for flag in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_APPEND)),
        ("openat", (0, 0, 0o20000000), refuse),
        ("prlimit64", (0, 1, 0, 1 << 40), allow),
        ("prlimit64", (0, 1, 1 << 40, 0), refuse),
        ("prlimit64", (0, 1, 4096, 0), refuse),
        ("prctl", (4, 0), allow),
        ("prctl", (4, 1), refuse),
        ("prctl", (4, 1 << 33), refuse),
        ("prctl", (35, 0), refuse),
        ("prctl", (0x59616D61, 1), refuse),
        ("prctl", (1, 0), refuse),  # PR_SET_PDEATHSIG: it would outlive the control process
        ("prctl", (15, 1), allow),
        ("socket", (2, 2, 0), allow),
        ("socket", (10, 2, 0), allow),
        ("socket", (16, 3, 0), allow),
        ("socket", (16, 3, 9), refuse),  # NETLINK_AUDIT
        ("socket", (1, 2, 0), refuse),
        ("socket", (17, 3, 0), refuse),  # AF_PACKET
        ("socket", (38, 5, 0), refuse),  # AF_ALG
        ("socketpair", (1, 1 | 0o2000000 | 0o4000, 0), allow),
        ("socketpair", (1, 2, 0), refuse),
        ("socketpair", (1, 5, 0), refuse),
        ("socketpair", (2, 1, 0), refuse),
        ("ioctl", (3, 0x5421), allow),  # FIONBIO
        ("ioctl", (3, 0x40049409), refuse),
        ("ioctl", (3, 0x5412), refuse),
        ("ioctl", (3, 0xC028660F), refuse),  # EXT4_IOC_MOVE_EXT, and whatever else a file system may offer
        ("ioctl", (3, 0), refuse),
        ("mmap", (0, 4096, PROT_WRITE, PRIVATE | ANONYMOUS, NONE, 0), allow),
        ("mmap", (0, 4096, PROT_WRITE, PRIVATE, 3, 0), allow),  # a library's own data
        ("mmap", (0, 4096, PROT_WRITE, SHARED | ANONYMOUS, NONE, 0), allow),
        ("mmap", (0, 4096, PROT_WRITE, SHARED, 3, 0), refuse),
        ("mmap", (0, 4096, PROT_READ, SHARED, 3, 0), refuse),  # mprotect could make it writable
        ("mmap", (0, 4096, PROT_WRITE, SHARED_VALIDATE, 3, 0), refuse),
        ("mmap", (0, 4096, PROT_WRITE, SHARED | 0x8000, 3, 0), refuse),
    ]
    for name, arguments, expected in cases:
        assert answer(machine, name, *arguments) == expected, (name, arguments)


def test_the_older_open_is_looked_into_too() -> None:
    assert answer("x86_64", "open", 0, os.O_RDONLY) == seccomp.ALLOW
    assert answer("x86_64", "open", 0, os.O_WRONLY) == seccomp.REFUSE
    assert syscalls.number("open", "aarch64") is None


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_unknown_is_not_allowed(machine: str) -> None:
    assert run(machine, NEWEST + 1) == seccomp.ABSENT
    assert run(machine, 0, architecture=0x40000003) == seccomp.KILL_PROCESS  # i386
    assert seccomp.ABSENT & 0xFFFF == errno.ENOSYS


def test_x32_is_refused() -> None:
    assert run("x86_64", X32_BIT + 1) == seccomp.REFUSE


def test_the_program_is_small_enough_for_the_kernel() -> None:
    assert all(len(seccomp.program(machine)) < 4096 for machine in ARCHITECTURES)
    assert all(max(part.jt, part.jf) < 256 for machine in ARCHITECTURES for part in seccomp.program(machine))
