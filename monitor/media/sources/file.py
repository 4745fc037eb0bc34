"""A film in a loop, `file:PATH`: for demonstrations and tests only.

Reads H.264 out of MP4, Matroska or a byte stream with FFmpeg's demuxers and hands it on undecoded, at the film's own
pace. Must never write, decode, or read anything but the one file: format and protocol are closed lists. Note that the
kernel's page cache keeps the file; that is why real bays do not use this source under `enforce = "strict"`.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
from av.bitstream import BitStreamFilterContext

from monitor.core.service_clock import RTP_CLOCK, RTP_WRAP
from monitor.media import h264
from monitor.media.sources.base import PAYLOAD_BYTES, PacketSink, SourceEnded

FORMATS: Final = {".mp4": "mov", ".m4v": "mov", ".mov": "mov", ".mkv": "matroska", ".h264": "h264", ".264": "h264"}
"""A film's ending → FFmpeg's demuxer. No other is ever opened, and nothing is guessed from the content."""
_OPTIONS: Final = {"protocol_whitelist": "file"}
_DEFAULT_RATE = 25


@dataclass(frozen=True)
class AccessUnit:
    """One picture: when it is due and when it is shown, in ms from the film's beginning, and how long it lasts."""

    due_ms: float
    shown_ms: float
    lasts_ms: float
    payloads: list[bytes]


class Film:
    """A film that is read once, from beginning to end. Its methods may be called from any one thread at a time.

    Raises SourceEnded: `file-unreadable`, `no-video`, `h265-unsupported` or `codec-unsupported`.
    """

    def __init__(self, path: str) -> None:
        kind = FORMATS.get(Path(path).suffix.lower())
        try:
            with Path(path).open("rb"):
                pass
            if kind is None:
                raise SourceEnded("codec-unsupported")
            self._container = av.open(f"file:{path}", mode="r", format=kind, options=_OPTIONS)
        except (OSError, av.FFmpegError):
            raise SourceEnded("file-unreadable") from None
        self._lock = threading.Lock()
        try:
            self._units = self._read()
        except BaseException:
            self._container.close()
            raise

    def next_unit(self) -> AccessUnit | None:
        """The next one, None at the end."""
        with self._lock:
            try:
                return next(self._units, None)
            except (OSError, av.FFmpegError, ValueError):
                raise SourceEnded("file-unreadable") from None

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._container.close()

    def _read(self) -> Iterator[AccessUnit]:
        if not self._container.streams.video:
            raise SourceEnded("no-video")
        stream = self._container.streams.video[0]
        codec = stream.codec_context.name
        if codec != "h264":
            raise SourceEnded("h265-unsupported" if codec == "hevc" else "codec-unsupported")
        return self._access_units(stream)

    def _access_units(self, stream: av.VideoStream) -> Iterator[AccessUnit]:
        to_byte_stream = BitStreamFilterContext("h264_mp4toannexb", in_stream=stream)
        step_ms = 1000.0 / float(stream.average_rate or stream.guessed_rate or _DEFAULT_RATE)
        first_ms: float | None = None
        due_ms = -step_ms
        for packet in self._container.demux(stream):
            for part in to_byte_stream.filter(packet if packet.size else None):
                nals = h264.split_annexb(bytes(part))
                if not nals:
                    continue
                tick_ms = float(part.time_base) * 1000 if part.time_base else 0.0
                due_ms += step_ms  # a byte stream has no times: pictures follow each other evenly
                shown_ms = due_ms
                if part.pts is not None and tick_ms:
                    first_ms = part.pts * tick_ms if first_ms is None else first_ms
                    shown_ms = part.pts * tick_ms - first_ms
                    due_ms = due_ms if part.dts is None else part.dts * tick_ms - first_ms
                yield AccessUnit(due_ms, shown_ms, step_ms, h264.packetise(nals, PAYLOAD_BYTES))


class FileSource:
    """Implements `base.Source`. `clock_ms` gives service time."""

    def __init__(self, path: str, clock_ms: Callable[[], float]) -> None:
        self._path = path
        self._clock_ms = clock_ms
        self._sequence = secrets.randbelow(1 << 16)

    async def run(self, sink: PacketSink) -> None:
        """See `base.Source.run`. The file is read in a worker thread, a picture at a time."""
        begin_ms = self._clock_ms()
        base_ms = begin_ms - secrets.randbelow(RTP_WRAP) / RTP_CLOCK
        connected = False
        while True:
            film = await asyncio.to_thread(Film, self._path)
            if not connected:
                sink.connected()
                connected = True
            try:
                length_ms = await self._play(film, sink, begin_ms, begin_ms - base_ms)
            finally:
                await asyncio.shield(asyncio.to_thread(film.close))
            if not length_ms:
                raise SourceEnded("no-video")
            begin_ms += length_ms

    async def _play(self, film: Film, sink: PacketSink, begin_ms: float, offset_ms: float) -> float:
        """Once through; returns the film's length in ms."""
        length_ms = 0.0
        while (unit := await asyncio.to_thread(film.next_unit)) is not None:
            await asyncio.sleep(max(0.0, begin_ms + unit.due_ms - self._clock_ms()) / 1000)
            self._hand_on(sink, int((offset_ms + unit.shown_ms) * RTP_CLOCK) % RTP_WRAP, unit.payloads)
            length_ms = max(length_ms, unit.shown_ms + unit.lasts_ms)
        return length_ms

    def _hand_on(self, sink: PacketSink, timestamp: int, payloads: list[bytes]) -> None:
        arrival_ms = self._clock_ms()
        for number, payload in enumerate(payloads, 1):
            sink.packet(self._sequence, timestamp, number == len(payloads), memoryview(payload), arrival_ms)
            self._sequence = (self._sequence + 1) & 0xFFFF
