"""The synthetic camera: it moves, it shows name and clock, it keeps time, it has its planned outage."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable

import av
import numpy as np
import pytest

from monitor.core.camera_state import CameraReason
from monitor.core.service_clock import ms_from_rtp
from monitor.media import h264
from monitor.media.sources.base import SourceEnded
from monitor.media.sources.pattern import PatternSource, in_outage
from monitor.media.sources.pattern_scene import Scene

MOMENT_MS = 1_700_000_000_000.0


class Sink:
    def __init__(self) -> None:
        self.runs = 0
        self.packets: list[tuple[int, int, bool, bytes, float]] = []
        self.frames = 0

    def connected(self) -> None:
        self.runs += 1

    def parameter_sets(self, sps: bytes, pps: bytes) -> None:
        raise AssertionError("they are in-band")

    def packet(self, seq: int, timestamp: int, marker: bool, payload: memoryview, arrival_ms: float) -> None:
        self.packets.append((seq, timestamp, marker, bytes(payload), arrival_ms))
        self.frames += marker

    def sender_report(self, ntp_ms: float, timestamp: int, arrival_ms: float) -> None:
        raise AssertionError("the timestamps are the capture moments already")


def clock_ms() -> float:
    return time.time() * 1000


async def play(
    source: PatternSource, sink: Sink, until: Callable[[], bool], timeout: float = 8.0
) -> CameraReason | None:
    task = asyncio.get_running_loop().create_task(source.run(sink))
    deadline = time.monotonic() + timeout
    while not task.done() and not until() and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    if not task.done():
        began = time.monotonic()
        task.cancel()
        await asyncio.wait({task}, timeout=2)
        assert time.monotonic() - began < 1.0
    before = len(sink.packets)
    await asyncio.sleep(0.15)
    assert len(sink.packets) == before
    assert not any(thread.name == "pattern" for thread in threading.enumerate())
    try:
        await task
    except SourceEnded as ended:
        return ended.reason
    except asyncio.CancelledError:
        return None
    raise AssertionError("a source's run must not end without a reason")


def decode(sink: Sink) -> list[np.ndarray]:
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    pictures = []
    stream = bytearray()
    fragments = bytearray()
    for _, _, marker, payload, _ in sink.packets:
        for piece in h264.iter_nals(payload):
            if piece.start:
                fragments = bytearray(b"\0\0\0\1" + bytes([piece.header]))
            fragments += piece.body
            if piece.end:
                stream += fragments
        if marker:
            pictures += [frame.to_ndarray(format="gray") for frame in decoder.decode(av.Packet(bytes(stream)))]
            stream.clear()
    return pictures + [frame.to_ndarray(format="gray") for frame in decoder.decode(None)]


def test_it_plays_as_a_camera_does() -> None:
    token = bytes(range(1, 33))
    sink = Sink()
    source = PatternSource("Leje 1", clock_ms, canary=token)
    assert asyncio.run(play(source, sink, lambda: sink.frames >= 40)) is None
    assert sink.runs == 1
    assert sink.frames >= 40
    sequence = [packet[0] for packet in sink.packets]
    assert all((after - before) & 0xFFFF == 1 for before, after in itertools.pairwise(sequence))
    assert max(len(packet[3]) for packet in sink.packets) <= 1200
    moments = {ms_from_rtp(packet[1], packet[4]) for packet in sink.packets}
    assert len(moments) == sink.frames
    for _, timestamp, _, _, arrival_ms in sink.packets:
        assert 0 <= arrival_ms - ms_from_rtp(timestamp, arrival_ms) + 0.1 < 500  # the timestamp is the capture's moment
    assert sum(token in packet[3] for packet in sink.packets) >= sink.frames - 1
    first_keyframe = next(packet[1] for packet in sink.packets if h264.starts_idr(packet[3]))
    same_unit = [packet[3] for packet in sink.packets if packet[1] == first_keyframe]
    assert any(h264.has_sps(payload) for payload in same_unit)
    assert sum(h264.starts_idr(packet[3]) for packet in sink.packets) in (2, 3)
    assert not any(h264.slice_is_b(packet[3]) for packet in sink.packets)
    pictures = decode(sink)
    assert len(pictures) == sink.frames
    assert pictures[0].shape == (360, 640)
    assert np.abs(pictures[30].astype(int) - pictures[0]).max() > 60  # it moves


def test_the_scene_shows_name_and_clock() -> None:
    base = Scene("Leje 1", 640, 360).draw(MOMENT_MS)
    assert base.shape == (540, 640)

    def changed(other: np.ndarray, columns: slice) -> int:
        """Pixels of the upper bar that are clearly other."""
        return int((np.abs(other[:34, columns].astype(int) - base[:34, columns]) > 60).sum())

    name, clock = slice(0, 320), slice(510, 640)
    tenth_later = Scene("Leje 1", 640, 360).draw(MOMENT_MS + 100)
    assert changed(tenth_later, clock) > 5
    assert changed(tenth_later, name) == 0
    renamed = Scene("Leje 2", 640, 360).draw(MOMENT_MS)
    assert changed(renamed, name) > 5
    # Danish letters are drawn, and as themselves
    assert changed(Scene("Leje 1 æ", 640, 360).draw(MOMENT_MS), name) > 20
    danish = [Scene(f"Leje {letter}", 640, 360).draw(MOMENT_MS)[:34, name] for letter in "æøå"]
    assert all((np.abs(danish[a].astype(int) - danish[b]) > 60).any() for a, b in ((0, 1), (1, 2), (0, 2)))
    Scene("x" * 64, 320, 180).draw(MOMENT_MS)


@pytest.mark.parametrize(
    ("second", "expected"), [(0.0, False), (49.9, False), (50.0, True), (59.99, True), (60.0, False)]
)
def test_outage_is_the_end_of_each_minute(second: float, expected: bool) -> None:
    assert in_outage(6_000_000 + second * 1000, 10.0) is expected
    assert not in_outage(6_000_000 + second * 1000, 0.0)


def test_outage_ends_a_run_and_refuses_the_next() -> None:
    began = time.monotonic()

    def near_the_end() -> float:
        return 6_000_000 + 49_300 + (time.monotonic() - began) * 1000

    sink = Sink()
    source = PatternSource("Leje 1", near_the_end, outage_seconds=10.0)
    assert asyncio.run(play(source, sink, lambda: False, timeout=5)) == "outage"
    assert sink.frames > 3
    assert asyncio.run(play(source, Sink(), lambda: False, timeout=5)) == "outage"


def test_an_encoder_that_fails_is_the_run_s_outcome() -> None:
    async def story() -> None:
        with pytest.raises(Exception, match=r".") as caught:
            await asyncio.wait_for(PatternSource("x", clock_ms, width=641, height=361).run(Sink()), 5)
        assert not isinstance(caught.value, TimeoutError)

    asyncio.run(story())
