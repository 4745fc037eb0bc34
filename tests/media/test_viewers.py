"""The relay from the source's packets to real WebRTC clients (aiortc's), in one event loop over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import aioice.ice
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription, rtcdtlstransport
from aiortc.mediastreams import MediaStreamError

from monitor.core.messages import AddCamera, AddViewer, Message, ViewerAnswer, ViewerClosed, ViewerRefused
from monitor.core.sdp_answer import build_answer, read_offer
from monitor.media import viewer as viewer_module
from monitor.media.camera import Camera
from monitor.media.viewer_desk import ViewerDesk
from tests.fakes.pictures import Feeder, access_units

CAMERA = "bay-1"


def clock_ms() -> float:
    return time.monotonic() * 1000 + 1_700_000_000_000


class Site:
    """A desk and one camera, ticking like the relay does."""

    def __init__(self, max_viewers: int = 20, **feeder_options) -> None:
        self.sent: list[Message] = []
        self.cameras: dict[str, Camera] = {}
        self.desk = ViewerDesk("127.0.0.1", 0, max_viewers, self.cameras, clock_ms, self.sent.append)
        settings = AddCamera(
            camera=CAMERA,
            label="Leje 1",
            source="pattern:",
            transport="tcp",
            window_seconds=2.0,
            window_bytes=1 << 22,
            stale_seconds=2.0,
        )
        units = feeder_options.pop("units", None) or access_units()

        def make(_settings, stream, on_event):
            self.feeder = Feeder(units, stream, clock_ms, on_event, **feeder_options)
            return self.feeder

        self.camera = Camera(settings, self.desk.fanout, clock_ms, make, lambda _: None)
        self.cameras[CAMERA] = self.camera

    async def tick(self) -> None:
        for number in range(10_000):
            self.camera.tick(clock_ms())
            self.desk.check_overdue(clock_ms())
            if number % 10 == 0:
                self.desk.send_reports(clock_ms())
            await asyncio.sleep(0.1)

    def of(self, kind):
        return [message for message in self.sent if isinstance(message, kind)]


@contextlib.asynccontextmanager
async def running(**options) -> AsyncIterator[Site]:
    site = Site(**options)
    ticker = asyncio.create_task(site.tick())
    site.camera.start()
    try:
        yield site
    finally:
        ticker.cancel()
        site.desk.stop()
        if runner := site.camera.stop():
            await runner.stop()


class Client:
    """An aiortc browser that counts the frames it decodes."""

    def __init__(self, site: Site, number: int) -> None:
        self.site, self.id = site, f"viewer-{number:012d}"
        self.pc = RTCPeerConnection()
        self.frames: list[int] = []
        self.first: float | None = None
        self.track = None
        self._pulls: list[asyncio.Task[None]] = []
        self.pc.on("track", self._on_track)

    def _on_track(self, track) -> None:
        self.track = track
        self._pulls.append(asyncio.create_task(self._pull(track)))

    async def _pull(self, track) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                self.first = self.first or time.monotonic()
                self.frames.append(frame.pts)

    async def offer(self) -> str:
        self.pc.addTransceiver("video", direction="recvonly")
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return self.pc.localDescription.sdp

    async def connect(self) -> None:
        offer = await self.offer()
        self.asked = time.monotonic()
        self.site.desk.add(AddViewer(viewer=self.id, camera=CAMERA, offer=offer))
        answer = self.site.sent[-1]
        assert isinstance(answer, ViewerAnswer), answer
        text = build_answer(answer, read_offer(offer), ["127.0.0.1"], 1)
        await self.pc.setRemoteDescription(RTCSessionDescription(text, "answer"))

    async def close(self) -> None:
        await self.pc.close()
        for pull in self._pulls:
            pull.cancel()
        await asyncio.gather(*self._pulls, return_exceptions=True)


async def until(condition, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch):
    """aioice gathers candidates on every interface; test traffic stays on loopback."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


@pytest.fixture
def only_cm(monkeypatch):
    """A client that knows no AES-GCM."""
    monkeypatch.setattr(rtcdtlstransport, "SRTP_PROFILES", [rtcdtlstransport.SRTP_AES128_CM_SHA1_80])


async def _watch_three() -> None:
    async with running() as site:
        await until(lambda: site.camera.window.keyframe is not None, 2, "no keyframe")
        clients = [Client(site, number) for number in range(3)]
        for client in clients:
            await client.connect()
        await until(lambda: all(len(client.frames) > 30 for client in clients), 6, "frames do not come")
        for client in clients:
            assert client.frames == sorted(client.frames)
        assert site.camera.report(clock_ms()).viewers == 3
        for client in clients:
            await client.close()
        await until(lambda: len(site.of(ViewerClosed)) == 3, 3, "the goodbye was not seen")
        assert {closed.why for closed in site.of(ViewerClosed)} == {"dtls-closed"}
        assert site.desk._by_address == site.desk._by_ufrag == site.desk._by_id == {}


def test_three_viewers_see_every_frame():
    asyncio.run(_watch_three())


def test_a_client_without_gcm_is_served(only_cm):
    asyncio.run(_watch_three())


def test_a_lost_packet_is_sent_again():
    """The viewer's socket loses packets; NACK brings them back and no frame is missed."""

    async def run() -> None:
        async with running() as site:
            client = Client(site, 1)
            await client.connect()
            await until(lambda: len(client.frames) > 5, 5, "frames do not come")
            original, counter = site.desk.fanout._send_runs, [0]

            def lossy(batch, address):
                counter[0] += 1
                return True if counter[0] % 10 == 0 else original(batch, address)

            site.desk.fanout._send_runs = lossy
            before = len(client.frames)
            await asyncio.sleep(2.5)
            assert len(client.frames) - before > 35
            assert site.camera.report(clock_ms()).retransmitted > 0
            await client.close()

    asyncio.run(run())


def test_a_packet_that_was_lost_before_us_is_not_made_up():
    async def run() -> None:
        async with running(lose=frozenset(range(40, 400, 37))) as site:
            client = Client(site, 1)
            await client.connect()
            await until(lambda: len(client.frames) > 20, 6, "frames do not come")
            report = site.camera.report(clock_ms())
            assert report.lost > 0
            assert "packet-loss" in report.faults
            await client.close()

    asyncio.run(run())


def test_the_curtain_empties_the_window_at_once_and_the_viewer_stays():
    async def run() -> None:
        async with running(units=access_units(token=b"CURTAIN-CANARY-0123456789abcdefg")) as site:
            client = Client(site, 1)
            await client.connect()
            await until(lambda: len(client.frames) > 10, 5, "frames do not come")
            memory = site.camera.window._memory
            assert b"CURTAIN-CANARY" in memory[:]  # the negative control of the search below
            began = time.perf_counter()
            runner = site.camera.set_curtain(True)
            assert b"CURTAIN-CANARY" not in memory[:]
            assert time.perf_counter() - began < 0.25
            assert not any(site.desk.fanout._buffers.plain)
            await runner.stop()
            await asyncio.sleep(0.3)
            shown = len(client.frames)
            await asyncio.sleep(0.5)
            assert len(client.frames) == shown
            assert b"CURTAIN-CANARY" not in memory[:]
            assert site.camera.stream.state.state == "curtain"
            site.camera.set_curtain(False)
            await until(lambda: len(client.frames) > shown + 10, 4, "no picture after the curtain")
            assert site.of(ViewerClosed) == []
            await client.close()

    asyncio.run(run())


def test_a_viewer_that_cannot_keep_up_is_skipped_and_slows_nobody():
    async def run() -> None:
        async with running() as site:
            quick, slow = Client(site, 1), Client(site, 2)
            await quick.connect()
            await slow.connect()
            await until(lambda: quick.frames and slow.frames, 5, "frames do not come")
            viewer = site.desk._by_id[slow.id]
            before = len(quick.frames)
            site.camera.skip(viewer)
            assert viewer.next_index is None
            sent = viewer.packets
            await asyncio.sleep(0.2)
            assert viewer.packets in (sent, viewer.packets) and viewer.skips == 1
            await until(lambda: viewer.next_index is not None, 2, "the next keyframe did not bring it back")
            assert viewer.packets >= sent
            await until(lambda: len(quick.frames) > before + 40, 3, "the quick one was slowed")
            assert site.camera.report(clock_ms()).viewer_skips == 1
            await quick.close()
            await slow.close()

    asyncio.run(run())


def test_a_full_socket_lets_a_viewer_catch_up_without_a_gap():
    async def run() -> None:
        async with running() as site:
            client = Client(site, 1)
            await client.connect()
            await until(lambda: len(client.frames) > 5, 5, "frames do not come")
            original, refusals = site.desk.fanout._send_runs, [20]

            def full(batch, address):
                if refusals[0]:
                    refusals[0] -= 1
                    return False
                return original(batch, address)

            site.desk.fanout._send_runs = full
            await asyncio.sleep(2)
            report = site.camera.report(clock_ms())
            assert refusals[0] == 0
            assert (report.viewer_skips, len(client.frames) > 45) == (0, True)
            await client.close()

    asyncio.run(run())


def test_refusals():
    async def run() -> None:
        async with running(max_viewers=1) as site:
            client = Client(site, 1)
            offer = await client.offer()
            site.desk.add(AddViewer(viewer="viewer-0000000000", camera="bay-9", offer=offer))
            site.desk.add(AddViewer(viewer="viewer-0000000001", camera=CAMERA, offer="v=0\r\nnonsense"))
            site.desk.add(AddViewer(viewer="viewer-0000000002", camera=CAMERA, offer=offer.replace("H264", "H26X")))
            site.desk.add(AddViewer(viewer="viewer-0000000003", camera=CAMERA, offer=offer))
            site.desk.add(AddViewer(viewer="viewer-0000000004", camera=CAMERA, offer=offer))
            whys = [message.why for message in site.of(ViewerRefused)]
            assert whys == ["unknown-camera", "broken-sdp", "no-h264", "too-many"]
            site.desk.close("viewer-0000000003", "asked")
            site.desk.add(AddViewer(viewer="viewer-0000000005", camera=CAMERA, offer=offer))
            assert isinstance(site.sent[-1], ViewerAnswer)
            await client.close()

    asyncio.run(run())


def test_a_wrong_fingerprint_ends_the_session():
    async def run() -> None:
        async with running() as site:
            client = Client(site, 1)
            offer = await client.offer()
            lines = [
                line if not line.startswith("a=fingerprint:") else line[:-2] + ("00" if line[-2:] != "00" else "11")
                for line in offer.split("\r\n")
            ]
            site.desk.add(AddViewer(viewer=client.id, camera=CAMERA, offer="\r\n".join(lines)))
            text = build_answer(site.sent[-1], read_offer(offer), ["127.0.0.1"], 1)
            await client.pc.setRemoteDescription(RTCSessionDescription(text, "answer"))
            await until(lambda: site.of(ViewerClosed), 5, "the wrong certificate was accepted")
            assert site.of(ViewerClosed)[0].why == "dtls-failed"
            assert client.frames == []
            await client.close()

    asyncio.run(run())


def test_consent_that_is_lost_ends_the_session(monkeypatch):
    async def run() -> None:
        monkeypatch.setattr(viewer_module, "CONSENT_MS", 1500.0)
        async with running() as site:
            client = Client(site, 1)
            await client.connect()
            await until(lambda: len(client.frames) > 5, 5, "frames do not come")
            site.desk.port._handlers = (lambda *_: None, *site.desk.port._handlers[1:])  # no check arrives any more
            await until(lambda: site.of(ViewerClosed), 5, "consent was never missed")
            assert site.of(ViewerClosed)[0].why == "consent-lost"
            await client.close()

    asyncio.run(run())


def test_an_offer_that_never_connects_is_forgotten(monkeypatch):
    async def run() -> None:
        monkeypatch.setattr(viewer_module, "CONNECT_MS", 500.0)
        async with running() as site:
            client = Client(site, 1)
            site.desk.add(AddViewer(viewer=client.id, camera=CAMERA, offer=await client.offer()))
            await until(lambda: site.of(ViewerClosed), 3, "the session stays for ever")
            assert site.of(ViewerClosed)[0].why == "never-connected"
            await client.close()

    asyncio.run(run())
