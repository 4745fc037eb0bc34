"""One camera with its viewers: who is sent what, and when.

Viewers in step get each batch as it comes, all in one fan-out. A viewer that starts, or that the socket could not take
a batch for, catches up from the window a little at a time, so that nobody else waits for it; one that falls out of the
window, or reports heavy loss, is skipped to the next keyframe. This module must never copy a payload.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from monitor.core.camera_state import CameraEvent, CameraReason
from monitor.core.messages import AddCamera, CameraReport
from monitor.media.fanout import Fanout
from monitor.media.stream import Stream
from monitor.media.viewer import Viewer, ViewerState
from monitor.media.window import Window

logger = logging.getLogger(__name__)

CATCH_UP_PACKETS = 32
CATCH_UP_EVERY = 0.002
"""32 packets each 2 ms are about 180 Mbit/s: a second of video in some 20 ms, without flooding a receiver's buffer."""
RETRANSMIT_LIMIT = 400
"""Packets that a viewer may ask for again in each tick of 100 ms."""


class Runner(Protocol):
    """What reads the camera, for as long as it is started (`sources.runner.SourceRunner`)."""

    def start(self) -> None:
        """Begin."""

    def halt(self) -> object:
        """Let nothing more through, from this moment on, and begin to close."""

    async def stop(self) -> None:
        """`halt`, and wait until what was open is closed."""


class Camera:
    """A camera's stream, source and viewers."""

    def __init__(
        self,
        settings: AddCamera,
        fanout: Fanout,
        clock_ms: Callable[[], float],
        make_runner: Callable[[AddCamera, Stream, Callable[[CameraEvent, CameraReason], None]], Runner],
        on_change: Callable[[str], None],
    ) -> None:
        self.settings = settings
        self._fanout = fanout
        self._clock_ms = clock_ms
        self._make_runner = make_runner
        self.window = Window(settings.window_seconds, settings.window_bytes)
        self.stream = Stream(
            settings.camera,
            self.window,
            settings.stale_seconds * 1000,
            self._on_batch,
            lambda: on_change(settings.camera),
        )
        self._runner: Runner | None = None
        self.viewers: set[Viewer] = set()
        self._in_step: set[Viewer] = set()
        self._behind: set[Viewer] = set()
        self._pump: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.reconnects = 0
        self._gone_packets = self._gone_skips = self._gone_retransmitted = 0
        self._asked: dict[Viewer, int] = {}

    def start(self) -> None:
        """Read the camera from now on, or wait behind the curtain."""
        if self.settings.curtain:
            self.stream.on_event("curtain", "", self._clock_ms())
            return
        self.stream.on_event("start", "", self._clock_ms())
        self._run()

    def stop(self) -> Runner | None:
        """Zero what is held at once. Returns the source's runner, for the caller to wait for its end."""
        self.stream.on_event("stop", "", self._clock_ms())
        return self._halt()

    def set_curtain(self, closed: bool) -> Runner | None:
        """Closed: zero what is held at once; the runner is returned as by `stop`. Open: read again."""
        if closed:
            self.stream.on_event("curtain", "", self._clock_ms())
            return self._halt()
        if self.stream.state.state == "curtain":
            self.stream.on_event("open", "", self._clock_ms())
            self._run()
        return None

    def tick(self, now_ms: float) -> None:
        """Ten times a second."""
        self.stream.tick(now_ms)
        self._asked.clear()

    def report(self, now_ms: float) -> CameraReport:
        """How the camera and its viewers are."""
        return self.stream.report(
            now_ms,
            viewers=sum(viewer.state is ViewerState.WATCHING for viewer in self.viewers),
            viewer_packets=self._gone_packets + sum(viewer.packets for viewer in self.viewers),
            skips=self._gone_skips + sum(viewer.skips for viewer in self.viewers),
            retransmitted=self._gone_retransmitted + sum(viewer.retransmitted for viewer in self.viewers),
            reconnects=self.reconnects,
        )

    # ---- viewers -----------------------------------------------------------------------------------------------------

    def begin(self, viewer: Viewer) -> None:
        """The viewer has its keys: feed it from the newest keyframe, or from the next one."""
        keyframe = self.window.keyframe
        if keyframe is None or keyframe < viewer.resume_after:
            return
        viewer.begin_at(keyframe)
        self._behind.add(viewer)
        self._catch_up(viewer)
        self._schedule_pump()

    def remove(self, viewer: Viewer) -> None:
        """The viewer is gone."""
        self.viewers.discard(viewer)
        self._in_step.discard(viewer)
        self._behind.discard(viewer)
        self._asked.pop(viewer, None)
        self._gone_packets += viewer.packets
        self._gone_skips += viewer.skips
        self._gone_retransmitted += viewer.retransmitted

    def skip(self, viewer: Viewer) -> None:
        """The viewer cannot keep up: nothing more until the next keyframe."""
        self._in_step.discard(viewer)
        self._behind.discard(viewer)
        viewer.wait_for_keyframe(self.window.end, skipped=True)

    def retransmit(self, viewer: Viewer, sequences: list[int]) -> None:
        """Answer a NACK from the window (RFC 4585 section 6.2.1): the same packet once more."""
        budget = RETRANSMIT_LIMIT - self._asked.get(viewer, 0)
        current = viewer.offset
        for sequence in sequences[: max(0, budget)]:
            place = viewer.locate(sequence)
            if place is None or self.window.payload(place[0]) is None:
                continue
            viewer.offset = place[1]
            if not self._fanout.send(self.window, [place[0]], (viewer,)):
                viewer.retransmitted += 1
        viewer.offset = current
        self._asked[viewer] = self._asked.get(viewer, 0) + len(sequences)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _on_batch(self, indexes: list[int]) -> None:
        if self._in_step:
            late = self._fanout.send(self.window, indexes, self._in_step)
            octets = sum(int(self.window.lengths[index % self.window.slots]) for index in indexes)
            for viewer in late:
                self._in_step.discard(viewer)
                self._behind.add(viewer)
            for viewer in self._in_step:
                viewer.sent_until(indexes[-1] + 1, len(indexes), octets)
            if late:
                self._schedule_pump()
        if len(self.viewers) > len(self._in_step) + len(self._behind):
            for viewer in self.viewers:
                if viewer.state is ViewerState.WATCHING and viewer.next_index is None:
                    self.begin(viewer)

    def _catch_up(self, viewer: Viewer) -> None:
        """Send a viewer its next packets from the window."""
        start = viewer.next_index
        if start is None or start < self.window.first:
            self.skip(viewer)
            return
        stop = min(start + CATCH_UP_PACKETS, self.window.end)
        indexes = list(range(start, stop))
        if indexes and self._fanout.send(self.window, indexes, (viewer,)):
            return  # the socket is full: once more at the next turn
        octets = sum(int(self.window.lengths[index % self.window.slots]) for index in indexes)
        viewer.sent_until(stop, len(indexes), octets)
        # What belongs to a batch that is still being gathered was sent now: from there on the viewer is in step only
        # when that batch is out, or it would be sent twice.
        if stop == self.window.end and not self.stream.gathering:
            self._behind.discard(viewer)
            self._in_step.add(viewer)

    def _schedule_pump(self) -> None:
        if self._pump is None and self._behind:
            self._pump = self._loop.call_later(CATCH_UP_EVERY, self._turn_pump)

    def _turn_pump(self) -> None:
        self._pump = None
        for viewer in list(self._behind):
            self._catch_up(viewer)
        self._schedule_pump()

    def _run(self) -> None:
        self._runner = self._make_runner(self.settings, self.stream, self._on_source_event)
        self._runner.start()

    def _halt(self) -> Runner | None:
        # From here on the stream takes no packet: its state is off or curtain, whatever the source still reads.
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.halt()
        self._forget_positions()
        self._fanout.clear()
        return runner

    def _on_source_event(self, event: CameraEvent, reason: CameraReason) -> None:
        if event == "connecting":
            self.reconnects += 1
        if event in ("lost", "refused"):
            self._forget_positions()
        self.stream.on_event(event, reason, self._clock_ms())

    def _forget_positions(self) -> None:
        """Nothing more comes: every viewer starts anew at the next keyframe, and that is no fault of its own."""
        for viewer in self.viewers:
            viewer.wait_for_keyframe(self.window.end, skipped=False)
        self._in_step.clear()
        self._behind.clear()
