"""RTSP against a real camera: GStreamer's RTSP server, over TCP and UDP, with its authentication, sound and faults."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from monitor.core.camera_state import CameraEvent, CameraReason
from monitor.media import h264
from monitor.media.sources.base import SourceEnded
from monitor.media.sources.rtsp import RtspSource
from monitor.media.sources.runner import SourceRunner
from tests.fakes.camera import RtspCamera, free_port

PASSWORD = "p@ss:w/rd%3"
TOKEN = bytes(range(7, 39))


def clock_ms() -> float:
    return time.time() * 1000


class Sink:
    """Counts what comes."""

    def __init__(self) -> None:
        self.runs = self.packets = self.frames = self.keyframes = self.parameter_set_calls = self.tokens = 0
        self.b_slices = 0
        self.sequence: list[int] = []
        self.timestamps: set[int] = set()
        self.reports: list[tuple[float, int, float]] = []
        self.in_band_sps = 0
        self.sps: h264.Sps | None = None

    def connected(self) -> None:
        self.runs += 1
        self.sequence.clear()

    def parameter_sets(self, sps: bytes, pps: bytes) -> None:
        self.parameter_set_calls += 1
        self.sps = h264.parse_sps(sps)

    def packet(self, seq: int, timestamp: int, marker: bool, payload: memoryview, arrival_ms: float) -> None:
        self.packets += 1
        self.frames += marker
        self.keyframes += h264.starts_idr(payload)
        self.in_band_sps += h264.has_sps(payload)
        self.b_slices += h264.slice_is_b(payload)
        self.tokens += TOKEN in bytes(payload)
        self.sequence.append(seq)
        self.timestamps.add(timestamp)

    def sender_report(self, ntp_ms: float, timestamp: int, arrival_ms: float) -> None:
        self.reports.append((ntp_ms, timestamp, arrival_ms))

    @property
    def gaps(self) -> int:
        return sum(
            (after - before) & 0xFFFF != 1 for before, after in zip(self.sequence, self.sequence[1:], strict=False)
        )


async def play(source: RtspSource, sink: Sink, until: Callable[[], bool], timeout: float = 8.0) -> CameraReason | None:
    """Run until the condition holds; returns the reason if it ended before."""
    task = asyncio.get_running_loop().create_task(source.run(sink))
    deadline = time.monotonic() + timeout
    while not task.done() and not until() and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    if not task.done():
        task.cancel()
        began = time.monotonic()
        await asyncio.wait({task}, timeout=2)
        assert time.monotonic() - began < 1.0
    try:
        await task
    except SourceEnded as ended:
        return ended.reason
    except asyncio.CancelledError:
        return None
    raise AssertionError("a source's run must not end without a reason")


@pytest.fixture(scope="module")
def camera() -> Iterator[RtspCamera]:
    with RtspCamera(password=PASSWORD, audio=True, canary=TOKEN.hex()) as one:
        yield one


@pytest.fixture(scope="module")
def basic_camera() -> Iterator[RtspCamera]:
    with RtspCamera(password=PASSWORD, auth="basic", sprop_only=True, profile="main", bframes=2) as one:
        yield one


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All that is logged at any level, and no exception that nobody took; never the password."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    gc.collect()
    assert "never retrieved" not in caplog.text
    assert "Traceback" not in caplog.text
    for secret in (PASSWORD, "p%40ss", "Authorization", "dmlld2VyOn"):
        assert secret not in caplog.text


@pytest.mark.usefixtures("everything_logged")
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_picture_without_sound(camera: RtspCamera, transport: Literal["tcp", "udp"]) -> None:
    sink = Sink()
    source = RtspSource(camera.url(), transport, clock_ms)
    assert asyncio.run(play(source, sink, lambda: sink.frames >= 60)) is None
    assert sink.frames >= 60
    assert sink.keyframes >= 2
    assert sink.gaps == 0
    assert sink.runs == 1
    assert len(sink.timestamps) in (sink.frames, sink.frames + 1)  # a timestamp for each picture
    assert sink.tokens >= sink.frames - 1  # each access unit's canary came through
    assert source.counts.foreign == 0  # the camera offers sound, and not one packet of it came
    assert source.counts.malformed == 0
    assert sink.sps is not None
    assert (sink.sps.width, sink.sps.height) == (640, 360)


@pytest.mark.usefixtures("everything_logged")
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_basic_authentication_and_parameter_sets_in_the_sdp_only(
    basic_camera: RtspCamera, transport: Literal["tcp", "udp"]
) -> None:
    sink = Sink()
    source = RtspSource(basic_camera.url(), transport, clock_ms)
    assert asyncio.run(play(source, sink, lambda: sink.frames >= 30 and len(sink.reports) >= 2)) is None
    assert sink.frames >= 30
    assert (sink.parameter_set_calls, sink.in_band_sps) == (1, 0)
    assert sink.b_slices > 10
    assert sink.sps is not None
    assert h264.profile_name(sink.sps) == "main"
    ntp_ms, timestamp, arrival_ms = sink.reports[-1]
    assert abs(ntp_ms - arrival_ms) < 1000
    assert min((timestamp - one) & 0xFFFFFFFF for one in sink.timestamps) < 90_000 * 2


@pytest.mark.parametrize(
    ("user", "password", "path", "reason"),
    [
        ("viewer", "wrong" + PASSWORD, "/main", "wrong-password"),
        ("", "", "/main", "wrong-password"),
        ("nobody", PASSWORD, "/main", "wrong-password"),
        ("viewer", PASSWORD, "/other", "no-such-path"),
    ],
)
@pytest.mark.parametrize("auth", ["digest", "basic"])
def test_refusals_have_names(
    camera: RtspCamera,
    basic_camera: RtspCamera,
    everything_logged: pytest.LogCaptureFixture,
    user: str,
    password: str,
    path: str,
    reason: str,
    auth: str,
) -> None:
    chosen = camera if auth == "digest" else basic_camera
    source = RtspSource(chosen.url(user, password, path), "tcp", clock_ms)
    sink = Sink()
    with pytest.raises(SourceEnded) as caught:
        asyncio.run(source.run(sink))
    assert caught.value.reason == reason
    assert sink.runs == 0
    assert PASSWORD not in f"{caught.value!r} {caught.value.__cause__!r} {source!r} {vars(source)!r}"
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("options", "transport", "reason"),
    [
        ({"codec": "none"}, "tcp", "no-video"),
        ({"codec": "h265", "keyint": 5, "fps": 5}, "tcp", "h265-unsupported"),
        ({"transport": "tcp"}, "udp", "transport-refused"),
        ({"transport": "udp"}, "tcp", "transport-refused"),
    ],
)
@pytest.mark.usefixtures("everything_logged")
def test_what_cannot_be_played_has_a_name(
    options: dict[str, str | int], transport: Literal["tcp", "udp"], reason: str
) -> None:
    with RtspCamera(auth="none", width=320, height=180, **options) as camera:
        sink = Sink()
        assert asyncio.run(play(RtspSource(camera.url(), transport, clock_ms), sink, lambda: False)) == reason
        assert sink.packets == 0


@pytest.mark.usefixtures("everything_logged")
def test_unreachable_and_unknown_name() -> None:
    sink = Sink()
    nobody = RtspSource(f"rtsp://127.0.0.1:{free_port()}/main", "tcp", clock_ms)
    assert asyncio.run(play(nobody, sink, lambda: False)) == "unreachable"
    unknown = RtspSource("rtsp://camera.invalid/main", "tcp", clock_ms)
    assert asyncio.run(play(unknown, sink, lambda: False)) in ("name-not-found", "unreachable")


@pytest.mark.usefixtures("everything_logged")
def test_freeze_kill_and_return() -> None:
    """Off at the start; then on, frozen, thawed, killed, and on again: the runner brings it back each time."""

    async def story() -> None:
        camera = RtspCamera(password=PASSWORD, width=320, height=180)
        sink = Sink()
        events: list[tuple[CameraEvent, CameraReason]] = []
        runner = SourceRunner(
            lambda: RtspSource(camera.url(), "tcp", clock_ms),
            lambda event, reason: events.append((event, reason)),
            sink,
            random.Random(3),
        )

        async def frames(count: int, seconds: float) -> float:
            began, goal = time.monotonic(), sink.frames + count
            while sink.frames < goal:
                assert time.monotonic() - began < seconds, f"no pictures within {seconds} s: {events[-3:]}"
                await asyncio.sleep(0.02)
            return time.monotonic() - began

        runner.start()
        try:
            await asyncio.sleep(0.6)
            assert ("lost", "unreachable") in events
            assert ("connecting", "") in events
            await asyncio.to_thread(camera.start)
            await frames(10, 5)
            await asyncio.to_thread(camera.freeze)
            await asyncio.sleep(0.3)
            before, seen = sink.packets, len(events)
            await asyncio.sleep(1.5)
            assert sink.packets == before  # nothing comes, and yet the connection stands
            assert len(events) == seen
            await asyncio.to_thread(camera.thaw)
            await frames(10, 2)
            camera.kill()
            await asyncio.sleep(0.3)
            assert events[seen][0] == "lost"
            assert events[seen][1] == "closed-by-camera"
            await asyncio.to_thread(camera.start)
            await frames(1, 5)
            assert sink.runs == 2
            assert runner.reconnects >= 2
            last = sink.packets
            began = time.monotonic()
            await runner.stop()
            assert time.monotonic() - began < 1.0
            await asyncio.sleep(0.3)
            assert sink.packets == last
        finally:
            await runner.stop()
            await asyncio.to_thread(camera.stop)

    asyncio.run(story())


def test_halt_lets_nothing_through_from_that_moment(camera: RtspCamera) -> None:
    async def story() -> None:
        sink = Sink()
        runner = SourceRunner(
            lambda: RtspSource(camera.url(), "udp", clock_ms), lambda event, reason: None, sink, random.Random(3)
        )
        runner.start()
        while sink.frames < 5:
            await asyncio.sleep(0.01)
        task = runner.halt()
        at_once = sink.packets
        assert task is not None
        await asyncio.wait({task}, timeout=2)
        assert task.done()
        assert sink.packets == at_once
        await runner.stop()

    asyncio.run(story())


def test_two_media_of_one_camera_do_not_leave_descriptors(camera: RtspCamera) -> None:
    def open_descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def once(transport: Literal["tcp", "udp"]) -> None:
        sink = Sink()
        await play(RtspSource(camera.url(), transport, clock_ms), sink, lambda: sink.frames >= 2)

    async def story() -> tuple[int, int]:
        await once("tcp")
        await once("udp")
        before = open_descriptors()
        for _ in range(3):
            await once("udp")
            await once("tcp")
        await asyncio.sleep(0.05)
        return before, open_descriptors()

    before, after = asyncio.run(story())
    assert after <= before
