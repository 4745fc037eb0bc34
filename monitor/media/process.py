"""The media process from its first instruction to its last: `python -m monitor.media.process DOOR`.

DOOR is the number of the inherited descriptor of the door; nothing else comes in but /dev/null and two log pipes. The
order is the guarantee: import everything, read the Start message, seal, and only then make threads, sockets and an
event loop. This process must never write a file, take a switch from its environment, or start unsealed under `strict`.

Exit codes: 0 asked to stop, or the control process is gone; 4 cannot be sealed; 5 cannot start (the UDP port, say);
6 was not started by the control process.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn, Protocol

from monitor.core.errors import DoorError, SealError
from monitor.core.messages import (
    Fault,
    Hello,
    Message,
    Proof,
    RunProof,
    Start,
    Stop,
    ToMedia,
    decode_for_media,
)
from monitor.core.process_state import EXIT_CANNOT_START, EXIT_NOT_STARTED_BY_US, EXIT_UNSEALED
from monitor.link import Door, receive_one, receive_sealed
from monitor.media import quiet_log
from monitor.media.seal import STREAMS, SealReport, SealSpec, die_with_parent, seal
from monitor.media.seal_proof import ProofRun, run_proof, written_octets

logger = logging.getLogger("monitor.media.process")  # not __name__, which is __main__ here

WAYS_AT_ONCE = 16
"""Of the first thread's proof, between two turns of the event loop: under a millisecond."""
FAULT_EVERY_SECONDS = 1.0
GOODBYE_SECONDS = 0.7


class RelayLike(Protocol):
    """What this process drives once it is sealed."""

    async def start(self) -> int:
        """Bind the UDP port; its number. Raises OSError."""

    def handle(self, message: Message) -> None:
        """Take a message about cameras or viewers."""

    async def stop(self) -> None:
        """Zero all windows, at once, and close everything."""


MakeRelay = Callable[[Start, Callable[[], float], Callable[[Message], None]], RelayLike]


def main(arguments: Sequence[str], make_relay: MakeRelay) -> NoReturn:
    """Run a media process. `make_relay` is the Relay; tests that need no camera give their own.

    It must be imported already: nothing may be imported later that could start a thread.
    """
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the control process's to deal with
    quiet_log.set_up()
    try:
        door = socket.socket(fileno=int(arguments[0]))
        start = _first_message(door)
    except (IndexError, ValueError, OSError, DoorError):
        logger.critical("a media process is started by vigil serve, not by hand")
        os._exit(EXIT_NOT_STARTED_BY_US)
    if start is None:
        os._exit(0)
    try:
        die_with_parent(parent)
        spec = SealSpec(
            strict=start.enforce == "strict",
            readable=tuple(start.readable),
            descriptors=STREAMS | {door.fileno()},
        )
        report = seal(spec)
    except SealError as error:
        logger.critical("%s; hint: %s", error.message, error.hint or "none")
        os._exit(EXIT_UNSEALED)
    gc.collect()
    gc.freeze()  # what was imported stays: collections need not walk it while pictures flow
    loop = asyncio.new_event_loop()
    code = loop.run_until_complete(_Process(loop, door, start, report, make_relay).run())
    # Not sys.exit: a thread in getaddrinfo would be waited for. All windows are zeroed by now.
    os._exit(code)


def _first_message(door: socket.socket) -> Start | None:
    """The Start message; None where the control process went away first. Raises DoorError where it is another one."""
    data = receive_one(door)
    if not data:
        return None
    message = decode_for_media(data)
    if not isinstance(message, Start):
        raise DoorError("the first message is not Start")
    return message


class _Process:
    """The sealed process's life: the door on one side, the relay on the other."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        start: Start,
        report: SealReport,
        make_relay: MakeRelay,
    ) -> None:
        self._sock = sock
        self._report = report
        self._loop = loop
        self._offset = start.clock_offset_ms
        self._relay = make_relay(start, self._clock_ms, self._send)
        self._door: Door[ToMedia] | None = None
        self._over: asyncio.Event = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._written_before = written_octets()
        self._proving = False
        self._next_nonce = ""
        self._faults: dict[str, int] = {}
        self._fault_sent = 0.0

    async def run(self) -> int:
        """Until told to stop or the door closes. Returns the exit code."""
        self._loop.set_exception_handler(self._unhandled)
        self._loop.add_signal_handler(signal.SIGTERM, self._over.set)
        self._door = Door(self._sock, decode_for_media, self._on_message, self._on_closed, receive=receive_sealed)
        try:
            port = await self._relay.start()
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "error")
            logger.critical("the UDP port cannot be opened: %s; hint: choose another server.udp_port", name)
            return EXIT_CANNOT_START
        self._send(
            Hello(
                landlock_abi=self._report.landlock_abi,
                locks=list(self._report.locks),
                missing=list(self._report.missing),
                memory=self._report.memory,
                udp_port=port,
            )
        )
        await self._over.wait()
        # Windows are zeroed before the first await in stop(); a camera that is slow to say goodbye is not waited for.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._relay.stop(), GOODBYE_SECONDS)
        return 0

    def _clock_ms(self) -> float:
        return time.monotonic() * 1000 + self._offset

    def _send(self, message: Message) -> None:
        if self._door is None or self._door.closed:
            return
        try:
            self._door.send(message)
        except DoorError as error:
            logger.error("%s", error.message)  # noqa: TRY400  places in the code would say no more
            self._over.set()

    def _on_closed(self, _: DoorError | None) -> None:
        self._over.set()

    def _on_message(self, message: ToMedia) -> None:
        if isinstance(message, Stop):
            self._over.set()
        elif isinstance(message, RunProof):
            self._ask_for_proof(message.nonce)
        elif isinstance(message, Start):
            self._fault("second start message")
        else:
            self._relay.handle(message)

    def _ask_for_proof(self, nonce: str) -> None:
        if self._proving:
            self._next_nonce = nonce  # the newest question is answered next, older ones never
            return
        self._proving = True
        self._spawn(self._prove_first(nonce))
        threading.Thread(target=self._prove_second, args=(nonce,), name="proof", daemon=True).start()

    async def _prove_first(self, nonce: str) -> None:
        run = ProofRun(nonce, "first", self._report.memory, self._written_before)
        while run.run_some(WAYS_AT_ONCE):  # noqa: ASYNC110  nothing is waited for: packets get their turn
            await asyncio.sleep(0)
        self._send(run.result())

    def _prove_second(self, nonce: str) -> None:
        proof = run_proof(nonce, "second", self._report.memory, self._written_before)
        self._loop.call_soon_threadsafe(self._proved_second, proof)

    def _proved_second(self, proof: Proof) -> None:
        self._send(proof)
        self._proving = False
        if nonce := self._next_nonce:
            self._next_nonce = ""
            self._ask_for_proof(nonce)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _unhandled(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody caught: type and places only, and counted for the operator."""
        error = context.get("exception")
        if error is None:
            logger.error("unhandled in the event loop")
            self._fault("event loop")
            return
        logger.error("unhandled in the event loop: %s", quiet_log.describe(error))
        self._fault(f"unhandled {type(error).__name__}"[:48])

    def _fault(self, what: str) -> None:
        self._faults[what] = self._faults.get(what, 0) + 1
        now = time.monotonic()
        if now - self._fault_sent >= FAULT_EVERY_SECONDS:
            self._fault_sent = now
            self._send(Fault(what=what, count=self._faults[what]))


if __name__ == "__main__":
    from monitor.media.relay import Relay

    main(sys.argv[1:], Relay)
