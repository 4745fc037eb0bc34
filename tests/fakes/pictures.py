"""Real H.264 made by x264, as access units, and a feeder that plays them into a stream like a camera."""

from __future__ import annotations

import asyncio
import fractions
import functools
import time
from collections.abc import Callable

import av
import numpy as np

from monitor.core.camera_state import CameraEvent, CameraReason
from monitor.media import h264
from monitor.media.stream import Stream

FPS = 25


@functools.cache
def access_units(
    count: int = 50,
    *,
    keyint: int = 25,
    width: int = 320,
    height: int = 240,
    profile: str = "baseline",
    noise: int = 60,
    token: bytes = b"",
) -> tuple[tuple[bytes, ...], ...]:
    """`count` access units, each a tuple of NAL units. `noise` sets their size; `token` rides in each as SEI."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base, codec.framerate = fractions.Fraction(1, FPS), fractions.Fraction(FPS, 1)
    codec.thread_count = 1
    codec.options = {
        "tune": "zerolatency",
        "preset": "ultrafast",
        "profile": profile,
        "x264-params": f"keyint={keyint}:min-keyint={keyint}:scenecut=0:bframes=0",
    }
    random = np.random.default_rng(1)
    units = []
    for number in range(count):
        picture = random.integers(0, noise, (height, width, 3), dtype=np.uint8)
        picture[:, number * 5 % width : number * 5 % width + 20] = 255
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts = number
        for packet in codec.encode(frame):
            nals = h264.split_annexb(bytes(packet))
            if token:
                first_slice = next(i for i, nal in enumerate(nals) if h264.nal_type(nal) in (h264.SLICE, h264.IDR))
                nals.insert(first_slice, h264.insert_sei(token))
            units.append(tuple(nals))
    return tuple(units)


class Feeder:
    """Plays access units into a stream at 25 fps, as `sources.runner.SourceRunner` would. `lose` names packets (counted
    from 0) that never arrive; `frozen` stops the packets while the connection stands."""

    def __init__(
        self,
        units: tuple[tuple[bytes, ...], ...],
        stream: Stream,
        clock_ms: Callable[[], float],
        on_event: Callable[[CameraEvent, CameraReason], None],
        *,
        max_payload: int = 1200,
        lose: frozenset[int] = frozenset(),
    ) -> None:
        self._units, self._stream, self._clock_ms, self._on_event = units, stream, clock_ms, on_event
        self._max_payload, self._lose = max_payload, lose
        self.frozen = False
        self.sent = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._play())

    def halt(self) -> None:
        if self._task:
            self._task.cancel()

    async def stop(self) -> None:
        self.halt()
        if self._task:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _play(self) -> None:
        self._stream.connected()
        sequence, number, began = 65_000, 0, time.monotonic()
        while True:
            if not self.frozen:
                payloads = h264.packetise(self._units[number % len(self._units)], self._max_payload)
                for position, payload in enumerate(payloads):
                    if self.sent not in self._lose:
                        timestamp = (number * 90_000 // FPS - 90_000) % (1 << 32)  # wraps after a second
                        last = position == len(payloads) - 1
                        self._stream.packet(sequence, timestamp, last, memoryview(payload), self._clock_ms())
                    self.sent += 1
                    sequence = (sequence + 1) & 0xFFFF
            number += 1
            await asyncio.sleep(max(0.0, began + number / FPS - time.monotonic()))
