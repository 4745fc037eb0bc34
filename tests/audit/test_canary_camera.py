"""The audit's own camera, read by the product's RTSP source and by an independent reader (FFmpeg), and spoken to by
hand."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator

import av
import numpy as np
import pytest

from monitor.audit.canary_camera import CanaryCamera
from monitor.audit.canary_picture import CanaryPicture, draw, make_token
from monitor.media import h264
from monitor.media.sources.base import SourceEnded
from monitor.media.sources.rtsp import RtspSource


@pytest.fixture(scope="module")
def picture() -> CanaryPicture:
    return draw(make_token())


@contextlib.asynccontextmanager
async def running(picture: CanaryPicture) -> AsyncIterator[tuple[CanaryCamera, int]]:
    camera = CanaryCamera(picture)
    port = await camera.start()
    try:
        yield camera, port
    finally:
        await camera.stop()


class Sink:
    """What a stream would be: takes packets."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.sets: tuple[bytes, bytes] | None = None

    def connected(self) -> None:
        pass

    def parameter_sets(self, sps: bytes, pps: bytes) -> None:
        self.sets = (sps, pps)

    def packet(self, sequence: int, timestamp: int, marker: bool, payload: memoryview, arrival_ms: float) -> None:
        self.payloads.append(bytes(payload))

    def sender_report(self, ntp_ms: float, timestamp: int, arrival_ms: float) -> None:
        pass


def test_tokens_have_no_zero_bytes():
    assert all(0 not in make_token() for _ in range(50))
    assert len({make_token() for _ in range(50)}) == 50


def test_the_product_reads_its_picture_and_never_its_sound(picture):
    async def run() -> None:
        async with running(picture) as (camera, port):
            sources = [RtspSource(f"rtsp://127.0.0.1:{port}/canary", "tcp", lambda: time.monotonic() * 1000)] * 2
            sinks = [Sink(), Sink()]
            tasks = [asyncio.create_task(one.run(sink)) for one, sink in zip(sources, sinks, strict=True)]
            await asyncio.sleep(1.5)
            assert camera.playing == 2
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0.1)
            assert camera.playing == 0
            assert camera.setups == ["video", "video"]
        for sink in sinks:
            assert sink.sets == (picture.sps, picture.pps)
            moments = []
            for payload in sink.payloads:
                if picture.token in payload:
                    assert h264.nal_type(payload) == h264.SEI
                    at = payload.index(picture.token) + len(picture.token)
                    moments.append(int(payload[at : at + 13]))
            assert len(moments) >= 12
            assert moments == sorted(moments)
            assert abs(moments[-1] - time.time() * 1000) < 2000

    asyncio.run(run())


def test_an_independent_reader_sees_the_token_in_the_picture_and_asks_for_sound(picture):
    """FFmpeg's demuxer sets up whatever is offered: the negative control of what row 17 looks at."""

    async def run() -> None:
        async with running(picture) as (camera, port):
            command = ["ffmpeg", "-v", "error", "-rtsp_transport", "tcp", "-i", f"rtsp://127.0.0.1:{port}/canary"]
            command += ["-map", "0:v", "-frames:v", "3", "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"]
            process = await asyncio.create_subprocess_exec(
                *command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, limit=1 << 22
            )
            async with asyncio.timeout(20):
                shown, _ = await process.communicate()
            assert sorted(camera.setups) == ["sound", "video"]
        frame = np.frombuffer(shown[: 320 * 180], np.uint8).reshape(180, 320)
        squares = frame[20 : 16 + 128 : 8, 20 : 16 + 128 : 8] > 127
        assert np.packbits(squares, bitorder="little").tobytes() == picture.token

    asyncio.run(run())


def test_a_reader_that_wants_udp_is_refused(picture):
    async def run() -> None:
        async with running(picture) as (camera, port):
            source = RtspSource(f"rtsp://127.0.0.1:{port}/canary", "udp", lambda: time.monotonic() * 1000)
            with pytest.raises(SourceEnded, match="transport-refused"):
                await source.run(Sink())
            assert camera.playing == 0

    asyncio.run(run())


async def ask(port: int, *requests: str) -> list[str]:
    """The status lines of the answers, in order, on one connection; empty where it was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for request in requests:
        writer.write(request.encode("latin-1"))
        async with asyncio.timeout(5):
            line = (await reader.readline()).decode()
            answers.append(line.strip())
            length = 0
            while line.strip():
                line = (await reader.readline()).decode()
                if line.lower().startswith("content-length:"):
                    length = int(line.split(":")[1])
            await reader.readexactly(length)
    writer.close()
    return answers


def test_what_it_answers(picture):
    async def run() -> None:
        async with running(picture) as (camera, port):
            url = f"rtsp://127.0.0.1:{port}"
            answers = await ask(
                port,
                f"OPTIONS {url}/canary RTSP/1.0\r\nCSeq: 1\r\n\r\n",
                f"DESCRIBE {url}/other RTSP/1.0\r\nCSeq: 2\r\n\r\n",
                f"PLAY {url}/canary RTSP/1.0\r\nCSeq: 3\r\nSession: 1\r\n\r\n",
                f"SETUP {url}/canary/track9 RTSP/1.0\r\nCSeq: 4\r\nTransport: RTP/AVP/TCP\r\n\r\n",
                f"SETUP {url}/canary/track2 RTSP/1.0\r\nCSeq: 5\r\nTransport: RTP/AVP;unicast\r\n\r\n",
                f"SETUP {url}/canary/track1 RTSP/1.0\r\nCSeq: 6\r\nTransport: RTP/AVP/TCP;interleaved=998-999\r\n\r\n",
                f"RECORD {url}/canary RTSP/1.0\r\nCSeq: 7\r\n\r\n",
                f"DESCRIBE {url}/canary RTSP/1.0\r\nCSeq: 8\r\nContent-Length: 3\r\n\r\nabc",
            )
            assert [answer.split()[1] for answer in answers] == ["200", "404", "454", "404", "461", "400", "501", "200"]
            assert camera.setups == ["sound", "video"], "a wish for sound counts even where it was refused"
            assert await ask(port, "\x16\x03\x01" * 4000) == [""], "what is no RTSP is closed"
            assert await ask(port, "OPTIONS * RTSP/1.0\r\nContent-Length: 99999999\r\n\r\n") == [""]

    asyncio.run(run())


def test_it_listens_on_loopback_only(picture):
    async def run() -> None:
        async with running(picture) as (camera, _):
            assert camera._server
            assert [sock.getsockname()[0] for sock in camera._server.sockets] == ["127.0.0.1"]

    asyncio.run(run())


def test_the_loop_is_one_stream(picture):
    """Round and round: a decoder sees no fault, also where the end meets the beginning."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.options = {"err_detect": "explode"}
    frames = []
    for number in range(45):
        unit = b"".join(b"\0\0\0\1" + nal for nal in picture.access_unit(number, 1_700_000_000_000 + number))
        frames += decoder.decode(av.Packet(unit))
    frames += decoder.decode(None)
    assert len(frames) == 45
    assert [frame.key_frame for frame in frames].count(1) == 5
