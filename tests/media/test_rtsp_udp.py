"""The UDP side of an RTSP camera: order, duplicates, strangers, and that nothing stays in memory."""

from __future__ import annotations

import asyncio
import socket
import time

from monitor.media.sources.rtsp_udp import UdpPair
from tests.fakes.faulty_rtsp import rtp


def clock_ms() -> float:
    return time.monotonic() * 1000


def test_order_duplicates_and_strangers() -> None:
    async def story() -> None:
        got: list[bytes] = []
        reports: list[bytes] = []
        pair = UdpPair(
            "127.0.0.1",
            "127.0.0.1",
            lambda view, now_ms: got.append(bytes(view[12:])),
            lambda view, now_ms: reports.append(bytes(view)),
            clock_ms,
        )
        assert pair.ports[0] % 2 == 0
        assert pair.ports[1] == pair.ports[0] + 1
        camera = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        camera.bind(("127.0.0.1", 0))
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stranger.bind(("127.0.0.2", 0))
        try:
            stranger.sendto(rtp(1, b"intruder"), ("127.0.0.1", pair.ports[0]))
            for seq in (65534, 0, 65535, 0, 1, 1, 4, 3):
                camera.sendto(rtp(seq, b"%d" % seq), ("127.0.0.1", pair.ports[0]))
            camera.sendto(b"report", ("127.0.0.1", pair.ports[1]))
            await asyncio.sleep(0.02)
            assert got == [b"65534", b"65535", b"0", b"1"]
            assert reports == [b"report"]
            await asyncio.sleep(0.08)  # what is missing is given up
            assert got[4:] == [b"3", b"4"]
            assert (pair.strangers, pair.dropped) == (1, 2)
            assert not any(pair._buffer)  # zeroed behind the last packet
            pair.open_path(camera.getsockname()[1])
            pair.send_rtcp(b"rr", camera.getsockname()[1])
            camera.settimeout(1)
            assert camera.recvfrom(100)[0][0] == 0x80
            assert camera.recvfrom(100) == (b"rr", ("127.0.0.1", pair.ports[1]))
        finally:
            pair.close()
            camera.close()
            stranger.close()

    asyncio.run(story())


def test_a_burst_is_read_whole() -> None:
    async def story() -> int:
        got: list[int] = []
        pair = UdpPair("127.0.0.1", "127.0.0.1", lambda view, _: got.append(view[3]), lambda *_: None, clock_ms)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as camera:
            camera.bind(("127.0.0.1", 0))
            for seq in range(150):
                camera.sendto(rtp(seq, bytes(1000)), ("127.0.0.1", pair.ports[0]))
            await asyncio.sleep(0.1)
        pair.close()
        return len(got)

    assert asyncio.run(story()) == 150
