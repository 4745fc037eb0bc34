"""The synthetic camera, `pattern:`: a scene that is drawn and encoded here, once, whoever watches.

Drawing and encoding run in one thread of the source's own, which lives as long as `run` does; packets are handed to
the sink in the event loop. Must never be started before the seal, never queue without bound, and never fall behind the
clock for long: pictures that are late are left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av

from monitor.core.camera_state import CameraReason
from monitor.core.service_clock import rtp_from_ms
from monitor.media import h264
from monitor.media.sources.base import PAYLOAD_BYTES, PacketSink, SourceEnded
from monitor.media.sources.pattern_scene import Image, Scene

_BITS_PER_SECOND = 800_000
_MAX_WAITING = 5
_MAX_LATE = 3
"""Pictures that may be late before the rest of them is left out."""
_MINUTE_MS = 60_000
_STOP_SECONDS = 0.9


def in_outage(moment_ms: float, outage_seconds: float) -> bool:
    """Whether the planned loss is on: the last `outage_seconds` of each minute of service time."""
    return moment_ms % _MINUTE_MS >= _MINUTE_MS - outage_seconds * 1000


@dataclass(frozen=True)
class _AccessUnit:
    captured_ms: float
    payloads: list[bytes]


class Encoder:
    """H.264 from planar YUV pictures: no B-frames, no delay, a keyframe each second with its parameter sets.

    `canary`, where given, rides in each access unit as SEI user data (for tests and the audit).
    """

    def __init__(self, width: int, height: int, fps: int, canary: bytes | None = None) -> None:
        context = av.CodecContext.create("libx264", "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.framerate = Fraction(1, fps), Fraction(fps)
        context.bit_rate = _BITS_PER_SECOND
        context.thread_count = 1
        context.options = {
            "preset": "superfast",
            "tune": "zerolatency",
            "profile": "baseline",
            "x264-params": f"keyint={fps}:min-keyint={fps}:scenecut=0:bframes=0:repeat-headers=1:threads=1"
            f":sliced-threads=0:vbv-maxrate={_BITS_PER_SECOND // 1000}:vbv-bufsize={_BITS_PER_SECOND // 1000}",
        }
        self._context = context
        self._number = 0
        self._sei = h264.insert_sei(canary) if canary else None

    def encode(self, picture: Image) -> list[bytes]:
        """The NAL units of one access unit."""
        frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
        frame.pts = self._number
        self._number += 1
        nals = [nal for packet in self._context.encode(frame) for nal in h264.split_annexb(bytes(packet))]
        if self._sei:
            first = next((at for at, nal in enumerate(nals) if h264.nal_type(nal) in (h264.SLICE, h264.IDR)), len(nals))
            nals.insert(first, self._sei)  # before the first slice (H.264 section 7.4.1.2.3)
        return nals


class PatternSource:
    """Implements `base.Source`. `label` is the bay's name, drawn in the picture; `clock_ms` gives service time.

    With `outage_seconds` the camera is lost for so long in each minute: `SourceEnded("outage")`, also for every run
    that begins within it. `width` and `height` in pixels, even.
    """

    def __init__(
        self,
        label: str,
        clock_ms: Callable[[], float],
        width: int = 640,
        height: int = 360,
        fps: int = 25,
        outage_seconds: float = 0.0,
        canary: bytes | None = None,
    ) -> None:
        self._label = label
        self._clock_ms = clock_ms
        self._size = (width, height)
        self._fps = fps
        self._outage_seconds = outage_seconds
        self._canary = canary
        self._sequence = secrets.randbelow(1 << 16)

    async def run(self, sink: PacketSink) -> None:
        """See `base.Source.run`."""
        if in_outage(self._clock_ms(), self._outage_seconds):
            raise SourceEnded("outage")
        worker = _Worker(self._draw_and_encode, asyncio.get_running_loop(), lambda unit: self._hand_on(sink, unit))
        sink.connected()
        worker.start()
        try:
            raise SourceEnded(await asyncio.shield(worker.ended))
        finally:
            await worker.stop()

    def _hand_on(self, sink: PacketSink, unit: _AccessUnit) -> None:
        timestamp = rtp_from_ms(unit.captured_ms)
        arrival_ms = self._clock_ms()
        for number, payload in enumerate(unit.payloads, 1):
            last = number == len(unit.payloads)
            sink.packet(self._sequence, timestamp, last, memoryview(payload), arrival_ms)
            self._sequence = (self._sequence + 1) & 0xFFFF

    def _draw_and_encode(self, worker: _Worker) -> CameraReason:
        """The thread's work: one picture for each step of the clock."""
        scene = Scene(self._label, *self._size)
        encoder = Encoder(*self._size, self._fps, self._canary)
        begin_ms = self._clock_ms()
        step_ms = 1000 / self._fps
        number = 0
        while True:
            now_ms = self._clock_ms()
            due_ms = begin_ms + number * step_ms
            if now_ms - due_ms > _MAX_LATE * step_ms:
                number += int((now_ms - due_ms) / step_ms)
                due_ms = begin_ms + number * step_ms
            if worker.told_to_stop(max(0.0, due_ms - now_ms) / 1000):
                return "closed-by-camera"
            captured_ms = self._clock_ms()
            if in_outage(captured_ms, self._outage_seconds):
                return "outage"
            number += 1
            if worker.waiting < _MAX_WAITING:
                nals = encoder.encode(scene.draw(captured_ms))
                worker.hand_over(_AccessUnit(captured_ms, h264.packetise(nals, PAYLOAD_BYTES)))


class _Worker:
    """A thread that makes access units for an event loop. `ended` is done when its work is, with the reason."""

    def __init__(
        self,
        work: Callable[[_Worker], CameraReason],
        loop: asyncio.AbstractEventLoop,
        take: Callable[[_AccessUnit], None],
    ) -> None:
        self._work = work
        self._loop = loop
        self._take = take
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pattern", daemon=True)
        self.ended: asyncio.Future[CameraReason] = loop.create_future()
        self.waiting = 0

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        """Nothing is handed on any more; waits for the thread's end, which is a picture's time away."""
        self._stop.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.wait({self.ended})
        if self.ended.done():
            self.ended.exception()  # taken, whoever else has seen it

    def told_to_stop(self, wait_seconds: float) -> bool:
        """Called in the thread: wait, and say whether to end."""
        return self._stop.wait(wait_seconds)

    def hand_over(self, unit: _AccessUnit) -> None:
        """Called in the thread."""
        self.waiting += 1
        self._call(self._deliver, unit)

    def _deliver(self, unit: _AccessUnit) -> None:
        self.waiting -= 1
        if not self._stop.is_set():
            self._take(unit)

    def _run(self) -> None:
        try:
            reason = self._work(self)
        except Exception as error:  # noqa: BLE001  (it is the run's outcome, and raised there)
            self._call(self._finish, "", error)
        else:
            self._call(self._finish, reason, None)

    def _finish(self, reason: CameraReason, error: Exception | None) -> None:
        if error is not None:
            self.ended.set_exception(error)
        else:
            self.ended.set_result(reason)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(function, *arguments)
