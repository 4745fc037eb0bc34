"""Films in a loop: paced, repacketised, and refused by name where they cannot be played."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path

import pytest

from monitor.media import h264
from monitor.media.sources.base import SourceEnded
from monitor.media.sources.file import FileSource


class Sink:
    def __init__(self) -> None:
        self.runs = self.frames = self.keyframes = self.sps = 0
        self.sequence: list[int] = []
        self.timestamps: list[int] = []
        self.largest = 0

    def connected(self) -> None:
        self.runs += 1

    def parameter_sets(self, sps: bytes, pps: bytes) -> None:
        raise AssertionError("they are in-band")

    def packet(self, seq: int, timestamp: int, marker: bool, payload: memoryview, arrival_ms: float) -> None:
        self.sequence.append(seq)
        self.frames += marker
        self.keyframes += h264.starts_idr(payload)
        self.sps += h264.has_sps(payload)
        self.largest = max(self.largest, len(payload))
        if marker:
            self.timestamps.append(timestamp)

    def sender_report(self, ntp_ms: float, timestamp: int, arrival_ms: float) -> None:
        raise AssertionError("a film has no sender reports")


def film(path: Path, *arguments: str) -> Path:
    source = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine", "-t", "1"]
    command = ["ffmpeg", "-y", "-loglevel", "error", *source, "-pix_fmt", "yuv420p", *arguments, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return path


async def play(path: Path, sink: Sink, seconds: float) -> str | None:
    task = asyncio.get_running_loop().create_task(FileSource(str(path), lambda: time.time() * 1000).run(sink))
    await asyncio.wait({task}, timeout=seconds)
    task.cancel()
    try:
        await task
    except SourceEnded as ended:
        return ended.reason
    except asyncio.CancelledError:
        return None
    return "ended"


@pytest.mark.parametrize("ending", ["mp4", "mkv", "h264"])
def test_a_film_goes_round_and_round_at_its_own_pace(tmp_path: Path, ending: str) -> None:
    path = film(tmp_path / f"one.{ending}", "-c:v", "libx264", "-bf", "0", "-g", "25")
    sink = Sink()
    assert asyncio.run(play(path, sink, 2.6)) is None
    assert 50 <= sink.frames <= 68
    assert sink.keyframes in (2, 3)
    assert sink.sps >= 2  # each keyframe comes with its parameter sets, whatever the container
    assert sink.runs == 1
    assert sink.largest <= 1200
    assert all((after - before) & 0xFFFF == 1 for before, after in zip(sink.sequence, sink.sequence[1:], strict=False))
    steps = [(after - before) & 0xFFFFFFFF for before, after in zip(sink.timestamps, sink.timestamps[1:], strict=False)]
    assert all(3590 <= step <= 3610 or step <= 7300 for step in steps)
    assert sum(3590 <= step <= 3610 for step in steps) >= len(steps) - 3  # also from the end to the beginning


def test_b_frames_keep_their_own_times(tmp_path: Path) -> None:
    path = film(tmp_path / "b.mkv", "-c:v", "libx264", "-bf", "2", "-x264-params", "b-adapt=0", "-g", "25")
    sink = Sink()
    assert asyncio.run(play(path, sink, 0.9)) is None
    shown = sorted((one - sink.timestamps[0]) & 0xFFFFFFFF for one in sink.timestamps[:13])
    assert shown != [(one - sink.timestamps[0]) & 0xFFFFFFFF for one in sink.timestamps[:13]]
    assert shown == [pytest.approx(3600 * number, abs=95) for number in range(13)]


def test_refusals(tmp_path: Path) -> None:
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"no film" * 100)
    cases = {
        "nowhere.mp4": "file-unreadable",
        "junk.mp4": "file-unreadable",
        "film.avi": "codec-unsupported",
        "sound.mkv": "no-video",
        "hevc.mp4": "h265-unsupported",
        "mjpeg.mkv": "codec-unsupported",
    }
    film(tmp_path / "film.avi", "-c:v", "libx264")
    film(tmp_path / "sound.mkv", "-vn")
    film(tmp_path / "hevc.mp4", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")
    film(tmp_path / "mjpeg.mkv", "-c:v", "mjpeg")
    for name, reason in cases.items():
        sink = Sink()
        assert asyncio.run(play(tmp_path / name, sink, 5)) == reason, name
        assert sink.runs == 0


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/x.mp4", "concat:a.mp4|b.mp4", "pipe:0.mp4", "/proc/self/mem"])
def test_nothing_but_a_file_is_opened(address: str) -> None:
    sink = Sink()
    assert asyncio.run(play(Path(address), sink, 5)) in ("file-unreadable", "codec-unsupported")
