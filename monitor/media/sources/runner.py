"""Keeps one camera's source running: tries again for ever, with growing and jittered pauses.

The rule is a pure function (`pause_seconds`); the driver is `SourceRunner`. Must never let a packet through after it
was told to stop, and never ends by itself.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from monitor.core.camera_state import PERMANENT, CameraEvent, CameraReason
from monitor.media.sources.base import PacketSink, Source, SourceEnded

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 2.0
"""With jitter. So short that a camera that comes back is live within 5 s: pause, connect, wait for a keyframe."""
PERMANENT_PAUSE_SECONDS = 5.0
"""The longest where a person must mend it: many cameras lock an account out after some wrong passwords."""
JITTER = 0.25
GOOD_MS = 10_000.0
"""A run that brought packets for so long makes the next pause the shortest again."""
STOP_SECONDS = 1.0

logger = logging.getLogger(__name__)

OnEvent = Callable[[CameraEvent, CameraReason], None]


def pause_seconds(failures: int, chance: float, longest: float = LONGEST_PAUSE_SECONDS) -> float:
    """The pause after so many runs without success (1 is the first); `chance` from 0 to 1 spreads it by ±25 %.

    Doubles from FIRST_PAUSE_SECONDS up to `longest`. Spread, so that cameras behind one switch do not all come at once.
    """
    middle = min(FIRST_PAUSE_SECONDS * 2.0 ** (min(failures, 16) - 1), longest / (1 + JITTER))
    return middle * (1 + JITTER * (2 * chance - 1))


class _Gate:
    """Stands between source and sink. Closed, it lets nothing through, whatever the source still has in hand."""

    def __init__(self, sink: PacketSink) -> None:
        self._sink = sink
        self.open = True
        self.first_ms: float | None = None
        self.newest_ms = 0.0

    def connected(self) -> None:
        if self.open:
            self._sink.connected()

    def parameter_sets(self, sps: bytes, pps: bytes) -> None:
        if self.open:
            self._sink.parameter_sets(sps, pps)

    def packet(self, seq: int, timestamp: int, marker: bool, payload: memoryview, arrival_ms: float) -> None:
        if self.open:
            if self.first_ms is None:
                self.first_ms = arrival_ms
            self.newest_ms = arrival_ms
            self._sink.packet(seq, timestamp, marker, payload, arrival_ms)

    def sender_report(self, ntp_ms: float, timestamp: int, arrival_ms: float) -> None:
        if self.open:
            self._sink.sender_report(ntp_ms, timestamp, arrival_ms)


class SourceRunner:
    """Runs what `make_source` gives, again and again, from `start` to `stop`.

    `on_event` hears `refused` or `lost` with the reason when a run ends, and `connecting` when the next begins; the
    first run says nothing. `reconnects` counts the runs after the first.
    """

    def __init__(
        self,
        make_source: Callable[[], Source],
        on_event: OnEvent,
        sink: PacketSink,
        rng: random.Random,
    ) -> None:
        self._make_source = make_source
        self._on_event = on_event
        self._sink = sink
        self._rng = rng
        self._gate: _Gate | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self.reconnects = 0

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._task is not None

    def start(self) -> None:
        """Begin; nothing happens where it runs already."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def halt(self) -> asyncio.Task[None] | None:
        """Let nothing more through, from this very moment, and begin to close the connection: for the curtain.

        `start` may follow at once. Returns the task that closes it, None where there was nothing to stop.
        """
        task, self._task = self._task, None
        if self._gate:
            self._gate.open = False
        if task:
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        return task

    async def stop(self) -> None:
        """`halt`, and wait at most STOP_SECONDS until the connection is closed."""
        self.halt()
        if self._ending:
            await asyncio.wait(set(self._ending), timeout=STOP_SECONDS)

    async def _run(self) -> None:
        failures = 0
        while True:
            gate = self._gate = _Gate(self._sink)
            reason = await self._run_once(gate)
            gate.open = False
            good = gate.first_ms is not None and gate.newest_ms - gate.first_ms >= GOOD_MS
            failures = 1 if good else failures + 1
            permanent = reason in PERMANENT
            self._on_event("refused" if permanent else "lost", reason)
            longest = PERMANENT_PAUSE_SECONDS if permanent else LONGEST_PAUSE_SECONDS
            await asyncio.sleep(pause_seconds(failures, self._rng.random(), longest))
            self.reconnects += 1
            self._on_event("connecting", "")

    async def _run_once(self, gate: _Gate) -> CameraReason:
        try:
            await self._make_source().run(gate)
        except SourceEnded as ended:
            return ended.reason
        except Exception as error:  # noqa: BLE001  (a fault of ours must not end the camera for good)
            # Its name only: its text, and a traceback's, could hold what was read.
            logger.error("a source failed: %s", type(error).__name__)  # noqa: TRY400
            return "protocol-error"
        return "closed-by-camera"
