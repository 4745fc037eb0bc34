"""A throw-away media process that attacks its own seal: `python -m monitor.media.prove_process CHANNEL`, for `vigil
prove`.

It seals itself as `process.py` does, in the same order and with the same call, and then runs the attacks one by one:
after each it tells the prover what the kernel answered, and waits until the prover has looked from outside. It alone in
the product can leave a lock off, to show that the attacks are able to succeed. So it must never be of use as a media
process: it knows no camera, no viewer, no port and no door (a test walks its imports), and all that comes in is an
order and `next`.

Roles: `attacker` tries everything that a sealed process could try; `heir` has inherited descriptors; `early` has a
thread from before the seal; `victim` holds a picture and is attacked from outside.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import json
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from monitor.core.errors import SealError
from monitor.core.process_state import EXIT_NOT_STARTED_BY_US, EXIT_UNSEALED
from monitor.media import (
    attacks_descriptors,
    attacks_ffmpeg,
    attacks_files,
    attacks_libraries,
    attacks_memory,
    attacks_others,
    quiet_log,
    syscalls,
)
from monitor.media.attacks import Attack, Ground, Prover, Thread
from monitor.media.seal import STREAMS, SealReport, SealSpec, die_with_parent, seal
from monitor.media.seal_proof import run_proof

_ORDER = 65536
_PASSED = 2
_PR_SET_DUMPABLE, _PR_SET_PTRACER = 4, 0x59616D61
_PICTURE = 4096
_JPEG_START, _JPEG_END = bytes.fromhex("ffd8ffe000104a46494600010100000100010000"), bytes.fromhex("ffd9")


def main(arguments: Sequence[str]) -> NoReturn:
    """Take the order, seal, attack, and end."""
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    quiet_log.set_up()
    try:
        channel = socket.socket(fileno=int(arguments[0]))
        order = json.loads(channel.recv(_ORDER))
        role = _ROLES[order["role"]](_Stage.of(order, channel))
        without = frozenset(order["without"])
    except (IndexError, KeyError, TypeError, ValueError, OSError):
        os._exit(EXIT_NOT_STARTED_BY_US)
    try:
        die_with_parent(parent)
        spec = SealSpec(strict=True, descriptors=STREAMS | {channel.fileno()})
        report = seal(spec, without=without)
    except SealError as error:
        role.unsealed(error)
        os._exit(EXIT_UNSEALED)
    role.stage.say({"sealed": list(report.locks), "missing": list(report.missing), "memory": report.memory})
    role.run(report)
    role.stage.say({"end": True})
    os._exit(0)


@dataclass
class _Stage:
    """What all roles share: the channel to the prover, and what an attempt works with."""

    channel: socket.socket
    directories: list[tuple[str, int]]
    """Where to try, and the row that a file there belongs to."""
    token: bytes
    prover: Prover
    picture: bytes = field(init=False)

    def __post_init__(self) -> None:
        body = self.token * (_PICTURE // len(self.token))
        self.picture = _JPEG_START + body + _JPEG_END

    @classmethod
    def of(cls, order: dict[str, Any], channel: socket.socket) -> _Stage:
        """As ordered."""
        directories = [(str(path), int(row)) for path, row in order["directories"]]
        return cls(channel, directories, bytes.fromhex(order["token"]), Prover(**order["prover"]))

    def say(self, what: dict[str, Any]) -> None:
        """Tell the prover. The process is of no use without it."""
        try:
            self.channel.send(json.dumps(what).encode())
        except OSError:
            os._exit(0)

    def wait(self) -> None:
        """Until the prover has looked."""
        if not self.channel.recv(_ORDER):
            os._exit(0)

    def take(self) -> list[int]:
        """Descriptors, from the prover. Raises OSError where none can be received."""
        self.say({"want": "descriptors"})
        try:
            _, ancillary, _, _ = self.channel.recvmsg(16, socket.CMSG_SPACE(_PASSED * array.array("i").itemsize))
        except OSError:
            self.wait()  # the message itself still comes
            raise
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data)
        return list(descriptors)

    def each(self, attacks: Sequence[Attack], directory: str, thread: Thread, where: str = "") -> None:
        """Try attacks one by one."""
        for attack in attacks:
            with contextlib.suppress(OSError), contextlib.ExitStack() as hold:
                taken: list[int] = []

                def take(hold: contextlib.ExitStack = hold, taken: list[int] = taken) -> list[int]:
                    taken += self.take()
                    for descriptor in taken:
                        hold.callback(os.close, descriptor)
                    return taken

                answer = attack.answer(Ground(directory, self.token, self.picture, self.prover, hold, take))
                self.say(
                    {
                        "attack": attack.name,
                        "row": attack.row,
                        "thread": thread,
                        "where": where,
                        "answer": answer.text,
                        "refused": answer.refused,
                        "library": attack.by_library,
                    }
                )
                self.wait()
            self.say({"let_go": attack.name})
            self.wait()

    def all_refused(self, attacks: Sequence[Attack], thread: Thread, answer: str) -> None:
        """Tell of attacks that could not even be tried, for the process does not start."""
        for attack in attacks:
            said = {"attack": attack.name, "row": attack.row, "thread": thread, "where": "", "library": False}
            self.say({**said, "answer": answer, "refused": True})
            self.wait()
            self.say({"let_go": attack.name})
            self.wait()


class _Role:
    """What a process is there for. It is made before the seal, and so may prepare what should not be there."""

    def __init__(self, stage: _Stage) -> None:
        self.stage = stage

    def unsealed(self, error: SealError) -> None:
        """The seal could not be closed."""
        self.stage.say({"refused": error.message, "hint": error.hint})

    def run(self, report: SealReport) -> None:
        """What it does once sealed."""
        raise NotImplementedError


def _in_second_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work, name="second")
    thread.start()
    thread.join()


class _Attacker(_Role):
    """Everything that a sealed process could try, from its first and from a second thread, then the seal's own
    proof."""

    def run(self, report: SealReport) -> None:
        """All attacks."""
        self._all("first")
        _in_second_thread(lambda: self._all("second"))
        self._prove("first", report)
        _in_second_thread(lambda: self._prove("second", report))

    def _all(self, thread: Thread) -> None:
        stage = self.stage
        for directory, row in stage.directories:
            in_directory = [
                *attacks_files.attacks(row),
                *attacks_ffmpeg.attacks(row),
                *attacks_libraries.attacks(row),
            ]
            stage.each(in_directory, directory, thread, directory)
        first = stage.directories[0][0]
        stage.each([*attacks_memory.attacks(), *attacks_others.attacks()], first, thread)
        stage.each(attacks_descriptors.passed(), first, thread)

    def _prove(self, thread: Thread, report: SealReport) -> None:
        assert thread != "early"
        proof = run_proof(os.urandom(8).hex(), thread, report.memory)
        attempts = [[attempt.name, attempt.refused, attempt.answer] for attempt in proof.attempts]
        self.stage.say({"proof": attempts, "thread": thread, "tried": proof.tried, "refused": proof.refused})
        self.stage.wait()


class _Heir(_Role):
    """Inherited descriptors: the seal refuses to close over them."""

    def unsealed(self, error: SealError) -> None:
        """As it should be: the process ends before it could use them."""
        if "descriptors" not in error.message:
            super().unsealed(error)
            return
        self.stage.say({"sealed": [], "missing": [], "memory": ""})
        for thread in _BOTH:
            self.stage.all_refused(attacks_descriptors.inherited(), thread, _NO_START)
        self.stage.say({"end": True})

    def run(self, report: SealReport) -> None:
        """Write what was inherited, from both threads."""
        directory = self.stage.directories[0][0]
        self.stage.each(attacks_descriptors.inherited(), directory, "first")
        _in_second_thread(lambda: self.stage.each(attacks_descriptors.inherited(), directory, "second"))


class _Early(_Role):
    """A thread that runs before the seal: the seal refuses to close with it."""

    def __init__(self, stage: _Stage) -> None:
        super().__init__(stage)
        self._go: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._attack, name="early", daemon=True)
        self._thread.start()

    def _attack(self) -> None:
        self._go.get()
        self.stage.each(attacks_descriptors.early(), self.stage.directories[0][0], "early")

    def unsealed(self, error: SealError) -> None:
        """As it should be."""
        if "threads" not in error.message:
            super().unsealed(error)
            return
        self.stage.say({"sealed": [], "missing": [], "memory": ""})
        self.stage.all_refused(attacks_descriptors.early(), "early", _NO_START)
        self.stage.say({"end": True})

    def run(self, report: SealReport) -> None:
        """Let the thread go to work."""
        self._go.put(None)
        self._thread.join()


class _Victim(_Role):
    """Holds a picture, and is as easy to look into as can be: only the seal stands against it."""

    def __init__(self, stage: _Stage) -> None:
        super().__init__(stage)
        syscalls.prctl(_PR_SET_DUMPABLE, 1)
        with contextlib.suppress(OSError):  # where Yama would be in the way
            syscalls.prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1).value)

    def run(self, report: SealReport) -> None:
        """Say where the picture is, and wait to be attacked and killed."""
        held = ctypes.create_string_buffer(self.stage.picture, len(self.stage.picture))
        self.stage.say({"address": ctypes.addressof(held), "length": len(self.stage.picture)})
        self.stage.wait()


_BOTH: tuple[Thread, ...] = ("first", "second")
_NO_START = "no-start"
_ROLES: dict[str, Callable[[_Stage], _Role]] = {
    "attacker": _Attacker,
    "heir": _Heir,
    "early": _Early,
    "victim": _Victim,
}

if __name__ == "__main__":
    main(sys.argv[1:])
