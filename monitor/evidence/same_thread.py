"""Whether another program of our own user could look into a process: tried by this thread, without a helper.

As `same_user.py` tries it: reading where one of the process's descriptors points, which the kernel allows to whoever
may read its memory (ptrace(2), PTRACE_MODE_READ_FSCREDS). Nothing is attached to. Capabilities are a thread's own
(capabilities(7)), so this thread gives up the one that would open every process, for the moment of the attempt; it must
never come back without it, and no other thread is touched. For the watch, which looks twice a minute.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_CAP_SYS_PTRACE = 1 << 19
_VERSION_3 = 0x20080522


def can_look_into(pid: int) -> bool | None:
    """True where a program of this user can, False where the kernel refuses; None where it cannot be tried: the process
    is another user's, has that capability itself or has ended. Well under a millisecond."""
    try:
        if _permitted(pid) & _CAP_SYS_PTRACE:
            return None  # without it nobody may look into one who has it, dumpable or not
        if os.stat(f"/proc/{pid}/task").st_uid != os.geteuid():
            return None  # of another user, or, where we are not root, undumpable: `ProcessFacts.dumpable` tells
        with _without_ptrace(), os.scandir(f"/proc/{pid}/fd") as entries:
            first = next((entry.path for entry in entries), None)
            if first is None:
                return None
            os.readlink(first)
    except PermissionError:
        return False
    except OSError:
        return None
    return True


def _permitted(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith("CapPrm:"))


@contextmanager
def _without_ptrace() -> Iterator[None]:
    """This thread without CAP_SYS_PTRACE among its effective capabilities. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    # struct __user_cap_header_struct {u32 version, int pid}; struct __user_cap_data_struct {u32 eff, perm, inh}[2]
    head, data = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    _called(libc.capget(head, data))
    effective = data[0]
    data[0] = effective & ~_CAP_SYS_PTRACE
    _called(libc.capset(head, data))
    try:
        yield
    finally:
        data[0] = effective
        _called(libc.capset(head, data))


def _called(result: int) -> None:
    if result:
        code = ctypes.get_errno()
        # Not PermissionError: that would be an answer about the process.
        raise OSError(f"capabilities cannot be changed ({os.strerror(code)})")
