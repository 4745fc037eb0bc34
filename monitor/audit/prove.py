"""`vigil prove`: has throw-away media processes attack their own seal, and looks from outside at what they left.

It starts four of them as media processes are started (see `monitor/media/prove_process.py` for what each does), one of
which it attacks itself. An attack counts as refused only where the call was refused by the seal's own answer and
nothing is found, neither then nor when the process has let go of all that it held; what failed for another reason
counts as neither, and the proof is not good. It must touch nothing of a running site, read no camera, and take away
again whatever was left.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from monitor.audit import prove_ground
from monitor.audit.prove_running import ROLES, STEP_SECONDS, Process, started
from monitor.core.errors import SealError
from monitor.evidence.finding import Said, said
from monitor.evidence.judge_proofs import row_of_attempt

Verdict = Literal["refused", "succeeded", "otherwise"]
OWN_PROOF = "proof:"
"""Before the name of a way that the seal's own proof tries."""
STATE = OWN_PROOF + "state "
"""Before the name of a state that the proof looks at, besides what it tries."""

_OUTSIDE = "monitor.media.attacks_outside"
_FOUND = 3
"""As many of the things that an attack left are told."""
_CRASH_ROW, _OUTSIDE_ROW = 6, 7
_READ = frozenset({"outside.memory", "outside.vm_read"})
"""Succeeded only where what was read is the picture."""
_REFUSALS = frozenset({"EPERM", "EACCES"})
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Tried:
    """One attempt."""

    attack: str
    """Its text is `attack.NAME`; or OWN_PROOF and the name of a way."""
    row: int
    thread: str
    """`first`, `second`, `early`, or `outside`."""
    place: str
    """`disk`, `memory`, or empty where that makes no difference."""
    answer: str
    """An errno's name, `succeeded`, a library's word, or `no-start`."""
    verdict: Verdict
    found: tuple[Said, ...] = ()


@dataclass(frozen=True)
class Proved:
    """What a whole proof saw."""

    tried: tuple[Tried, ...]
    without: tuple[str, ...]
    locks: tuple[str, ...]
    took_ms: int

    @property
    def ok(self) -> bool:
        """Whether every attack was refused."""
        return bool(self.tried) and all(each.verdict == "refused" for each in self.tried)


@dataclass
class _Proving:
    """One proof under way."""

    ground: prove_ground.Ground
    without: Sequence[str]
    tried: list[Tried] = field(default_factory=list)
    locks: tuple[str, ...] = ()

    def place(self, path: str) -> str:
        """Which of the places a directory is."""
        return next((each.place for each in self.ground.scratches if str(each.path) == path), "")


def prove(environment: Mapping[str, str], without: Sequence[str] = (), roles: Sequence[str] = ROLES) -> Proved:
    """Attack a seal; `without` names locks to leave off, `roles` which of the processes to attack. Takes some seconds.

    `environment` is the whole environment of a media process. Must be called in the main thread: the kernel ends the
    processes with the thread that started them. Raises SealError where a process cannot be sealed, or ends before it
    should; KeyboardInterrupt for a signal, when everything is taken away again; OSError where there is no place for a
    scratch directory.
    """
    if "no-new-privs" in without and os.geteuid() != 0 and not {"landlock", "seccomp"} <= set(without):
        raise SealError("without no-new-privs only root can close landlock and seccomp", "run vigil prove as root")
    began = time.monotonic()
    with _deferred() as asked, prove_ground.opened() as ground, contextlib.ExitStack() as running:
        proving = _Proving(ground, tuple(without))
        # All at once: most of the time goes into importing what a media process imports.
        processes = {role: running.enter_context(started(role, ground, environment)) for role in roles}
        for role, process in processes.items():
            process.order(ground, proving.without, role)
            for message in process.messages():
                asked.check()
                _take(proving, process, message)
            asked.check()
    took = round((time.monotonic() - began) * 1000)
    return Proved(tuple(proving.tried), tuple(without), proving.locks, took)


# ---- the conversation ------------------------------------------------------------------------------------------------


def _take(proving: _Proving, process: Process, message: Mapping[str, Any]) -> None:
    """Take what a process says, look, and let it go on."""
    ground = proving.ground
    if "sealed" in message:
        proving.locks = proving.locks or tuple(message["sealed"])
        process.look.begin()
        return
    if "want" in message:
        socket.send_fds(process.channel, [b"take"], [ground.file, ground.pipe])
        return
    if "address" in message:
        _attack_from_outside(proving, process, message)
        return
    if "attack" in message:
        found = [*ground.changes(), *process.look.changes()]
        proving.tried.append(_judged(message, proving.place(message["where"]), found))
    elif "let_go" in message:
        found = [*ground.changes(), *process.look.changes()]
        last = proving.tried[-1]
        if found and last.verdict != "succeeded":  # it was written only when it was closed
            proving.tried[-1] = replace(last, verdict="succeeded", found=tuple(found[:_FOUND]))
        if found or last.verdict == "succeeded":
            ground.restore()
            process.look.begin()
    elif "proof" in message:
        proving.tried += _own_proof(message)
    process.tell("next")


def _judged(message: Mapping[str, Any], place: str, found: Sequence[Said]) -> Tried:
    answer = message["answer"]
    verdict: Verdict = "refused" if message["refused"] else "otherwise"
    if found or (answer == "succeeded" and not message["library"]):
        verdict = "succeeded"
    elif answer == "succeeded":
        answer, verdict = "nothing", "refused"
    return Tried(message["attack"], message["row"], message["thread"], place, answer, verdict, tuple(found[:_FOUND]))


def _own_proof(message: Mapping[str, Any]) -> Iterator[Tried]:
    """The seal's own proof: each kind of way once, and every one that was not refused."""
    for name, refused, answer in message["proof"]:
        verdict: Verdict = "refused" if refused else "succeeded" if answer == "succeeded" else "otherwise"
        yield Tried(f"{OWN_PROOF}{name}", row_of_attempt(name), message["thread"], "", answer, verdict)


def _attack_from_outside(proving: _Proving, process: Process, message: Mapping[str, Any]) -> None:
    """Look into it as another program of the same user, then have it crash with core dumps permitted."""
    ran = subprocess.run(
        [sys.executable, "-P", "-s", "-m", _OUTSIDE]
        + [str(each) for each in (process.popen.pid, message["address"], message["length"])],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PATH": "/usr/bin:/bin"},
        cwd="/",
        timeout=STEP_SECONDS,
        check=False,
    )
    if ran.returncode != 0:
        raise SealError("the attack from outside could not be made", "run vigil prove again")
    for name, (answer, read) in json.loads(ran.stdout).items():
        has_picture = proving.ground.token.hex() in read
        if answer != "succeeded":
            verdict: Verdict = "refused" if answer in _REFUSALS else "otherwise"
        else:
            verdict = "succeeded" if has_picture or name not in _READ else "otherwise"
        found = (said("prove.found.read", octets=len(read) // 2),) if has_picture else ()
        proving.tried.append(Tried(name, _OUTSIDE_ROW, "outside", "", answer, verdict, found))
    os.kill(process.popen.pid, signal.SIGSEGV)
    _, status = os.waitpid(process.popen.pid, 0)
    process.popen.returncode = os.waitstatus_to_exitcode(status)
    left = sum(path.stat().st_size for path in process.folder.iterdir())
    dumped = os.WCOREDUMP(status) or left > 0
    tried = Tried(
        "crash",
        _CRASH_ROW,
        "outside",
        "",
        "dumped" if dumped else "no-dump",
        "succeeded" if dumped else "refused",
        (said("prove.found.core", octets=left),) if dumped else (),
    )
    proving.tried.append(tried)


# ---- signals ---------------------------------------------------------------------------------------------------------


class _Asked:
    """Whether a signal asked for an end: noted, and obeyed between two steps."""

    to_end = False

    def note(self, number: int, frame: object) -> None:
        """The signal handler."""
        self.to_end = True

    def check(self) -> None:
        """Raises KeyboardInterrupt where a signal came."""
        if self.to_end:
            raise KeyboardInterrupt


@contextlib.contextmanager
def _deferred() -> Iterator[_Asked]:
    asked = _Asked()
    before = {number: signal.signal(number, asked.note) for number in _SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
