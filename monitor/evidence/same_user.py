"""Whether another program of the same user could look into a process: tried, not inferred.

What is tried is reading where one of its descriptors points, which the kernel allows to whoever may read the process's
memory (ptrace(2), PTRACE_MODE_READ_FSCREDS; Yama has no say in it). Nothing is attached to and nothing stopped: the
process does not notice.

As root, the attempt is made by a child that becomes the process's user first and holds no capability that the process
does not hold itself. This file is also what that child runs: it must import nothing of Vigil's.
"""

from __future__ import annotations

import ctypes
import os
import sys

_SECONDS = 10.0
_CAN, _CANNOT, _NOT_KNOWN = 10, 11, 12
"""Exit codes of the child; none that an error of its own could have."""
_PR_SET_KEEPCAPS = 8
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_SYS_PTRACE = 19
_CAP_SETUID, _CAP_SETGID = 7, 6


def can_look_into(pid: int) -> bool | None:
    """True where it can, False where the kernel refuses; None where it cannot be tried (we are neither root nor that
    user), or the process has ended. Some 30 ms as root, else well under one."""
    try:
        uid, gid, permitted = _owner(pid)
        own = _fields(os.getpid())
    except (OSError, ValueError):
        return None
    privileged = int(own["CapEff"], 16)
    if not privileged >> _CAP_SYS_PTRACE & 1:
        # As we are: no capability of ours would help us where the process's own user is refused.
        return _try(pid) if os.geteuid() == uid and os.getegid() == gid else None
    if not privileged >> _CAP_SETUID & 1 or not privileged >> _CAP_SETGID & 1:
        return None
    wanted = permitted & ~(1 << _CAP_SYS_PTRACE)
    arguments = [str(each) for each in (pid, uid, gid, wanted)]
    import subprocess  # not above: what the child does not import, it starts faster without

    try:
        code = subprocess.run(
            [sys.executable, "-I", "-S", __file__, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            timeout=_SECONDS,
            check=False,
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {_CAN: True, _CANNOT: False}.get(code)


def _fields(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/status") as file:
        pairs = [line.partition(":") for line in file]
    return {name: value.strip() for name, _, value in pairs}


def _owner(pid: int) -> tuple[int, int, int]:
    """Effective user, effective group, permitted capabilities."""
    fields = _fields(pid)
    return int(fields["Uid"].split()[1]), int(fields["Gid"].split()[1]), int(fields["CapPrm"], 16)


def _try(pid: int) -> bool | None:
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            first = next((entry.path for entry in entries), None)
        if first is not None:
            os.readlink(first)
    except PermissionError:
        return False
    except OSError:
        return None
    return first is not None or None


def _become(uid: int, gid: int, capabilities: int) -> None:
    """Give up all but these. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    # struct __user_cap_header_struct {u32 version, int pid}; struct __user_cap_data_struct {u32 eff, perm, inh}[2]
    low, high = capabilities & 0xFFFFFFFF, capabilities >> 32
    head = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    if libc.capset(head, data):
        raise OSError(ctypes.get_errno(), "capset")


def _main(pid: int, uid: int, gid: int, capabilities: int) -> int:
    try:
        _become(uid, gid, capabilities)
        answer = _try(pid)
    except OSError:
        return _NOT_KNOWN
    return _NOT_KNOWN if answer is None else _CAN if answer else _CANNOT


if __name__ == "__main__":
    sys.exit(_main(*(int(each) for each in sys.argv[1:])))
