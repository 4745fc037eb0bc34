"""RTSP against cameras that misbehave: each fault is a named reason, nothing is hung, shown or left behind."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import re
import struct
import time
from collections.abc import Iterator

import pytest

from monitor.core.camera_state import CameraEvent, CameraReason
from monitor.core.errors import InputError
from monitor.media.sources import rtsp, rtsp_connection
from monitor.media.sources.base import SourceEnded
from monitor.media.sources.rtsp import RtspSource
from monitor.media.sources.runner import SourceRunner
from tests.fakes.faulty_rtsp import SDP, Request, ScriptedCamera, interleaved, reply, rtp

SECRET = "hunter2"
PAYLOAD = b"\x41PAYLOAD-OF-A-PICTURE"


def clock_ms() -> float:
    return time.time() * 1000


class Sink:
    def __init__(self) -> None:
        self.runs = 0
        self.packets: list[tuple[int, bool, bytes]] = []

    def connected(self) -> None:
        self.runs += 1

    def parameter_sets(self, sps: bytes, pps: bytes) -> None:
        raise AssertionError("none were offered")

    def packet(self, seq: int, timestamp: int, marker: bool, payload: memoryview, arrival_ms: float) -> None:
        self.packets.append((seq, marker, bytes(payload)))

    def sender_report(self, ntp_ms: float, timestamp: int, arrival_ms: float) -> None:
        pass


@pytest.fixture(autouse=True)
def nothing_is_shown(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No password and no byte of a payload in any log or on the terminal, and no exception that nobody took."""
    caplog.set_level(logging.DEBUG)
    yield
    shown = caplog.text + "".join(capfd.readouterr())
    for secret in (SECRET, PAYLOAD.decode(), PAYLOAD.hex(), "Traceback", "never retrieved", "viewer"):
        assert secret not in shown


async def reason_of(camera: ScriptedCamera, sink: Sink | None = None, credentials: str = f"viewer:{SECRET}@") -> str:
    source = RtspSource(camera.url(credentials), "tcp", clock_ms)
    try:
        await asyncio.wait_for(source.run(sink or Sink()), 8)
    except SourceEnded as ended:
        assert SECRET not in f"{ended!r}{ended.__cause__!r}"
        return ended.reason
    raise AssertionError("it must end with a reason")


def run(camera: ScriptedCamera, sink: Sink | None = None) -> str:
    async def story() -> str:
        async with camera:
            return await reason_of(camera, sink)

    return asyncio.run(story())


@pytest.mark.parametrize(
    ("camera", "reason"),
    [
        (ScriptedCamera(hang_up="at-once"), "closed-by-camera"),
        (ScriptedCamera(greeting=b"\x00\xff\x13 what is this"), "protocol-error"),
        (ScriptedCamera(answers={"OPTIONS": b"HTTP/1.1 400 Bad Request\r\n\r\n"}), "protocol-error"),
        (ScriptedCamera(answers={"OPTIONS": b"RTSP/1.0 what ever\r\n\r\n"}), "protocol-error"),
        (ScriptedCamera(answers={"OPTIONS": b"RTSP/1.0 200 OK\r\nno colon\r\n\r\n"}), "protocol-error"),
        (ScriptedCamera(answers={"OPTIONS": b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nCSeq: 2\r\n\r\n"}), "protocol-error"),
        (ScriptedCamera(answers={"OPTIONS": b"RTSP/1.0 200 \xff\xfe\r\n\r\n"}), "protocol-error"),
        (ScriptedCamera(answers={"OPTIONS": b"RTSP/1.0 200 OK\r\n" + b"x: y\r\n" * 4000}), "protocol-error"),
        (ScriptedCamera(answers={"DESCRIBE": b"RTSP/1.0 200 OK\r\nContent-Length: 99999\r\n\r\n"}), "protocol-error"),
        (ScriptedCamera(answers={"DESCRIBE": lambda r: reply(r, body="not an SDP")}), "protocol-error"),
        (ScriptedCamera(answers={"SETUP": lambda r: reply(r)}), "protocol-error"),
        (ScriptedCamera(answers={"SETUP": lambda r: reply(r, "461 Unsupported Transport")}), "transport-refused"),
        (ScriptedCamera(answers={"DESCRIBE": lambda r: reply(r, "404 Not Found")}), "no-such-path"),
        (ScriptedCamera(answers={"DESCRIBE": lambda r: reply(r, "403 Forbidden")}), "wrong-password"),
        (ScriptedCamera(answers={"PLAY": lambda r: reply(r, "503 Service Unavailable")}), "closed-by-camera"),
        (ScriptedCamera(hang_up="after-play"), "closed-by-camera"),
    ],
)
def test_every_fault_has_its_reason(camera: ScriptedCamera, reason: str) -> None:
    assert run(camera) == reason
    assert camera.connections == 1


def test_a_camera_that_answers_nothing_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp_connection, "REQUEST_SECONDS", 0.3)
    assert run(ScriptedCamera(answers={"OPTIONS": lambda request: None})) == "timeout"


def test_401_for_ever_is_a_wrong_password_after_two_tries() -> None:
    refuse = 'Digest realm="r", nonce="n"'
    camera = ScriptedCamera(answers={"OPTIONS": lambda r: reply(r, "401 Unauthorized", WWW_Authenticate=refuse)})
    assert run(camera) == "wrong-password"
    assert len(camera.requests) == 2
    always_stale = ScriptedCamera(
        answers={"OPTIONS": lambda r: reply(r, "401 Unauthorized", WWW_Authenticate=refuse + ", stale=true")}
    )
    assert run(always_stale) == "wrong-password"
    assert len(always_stale.requests) == 3


def test_digest_with_qop_sha256_and_a_stale_nonce_and_no_credentials_in_any_url() -> None:
    nonces = iter(["one", "two"])
    current = ""

    def guard(request: Request) -> bytes | None:
        nonlocal current
        given = dict(re.findall(r'(\w+)="?([^",]+)"?', request.headers.get("authorization", "")))
        if given.get("nonce") == current == "two":
            h = lambda text: hashlib.sha256(text.encode()).hexdigest()  # noqa: E731
            secret, what = h(f"viewer:cam:{SECRET}"), h(f"{request.method}:{request.url}")
            expected = h(f"{secret}:{current}:{given['nc']}:{given['cnonce']}:auth:{what}")
            assert given["response"] == expected
            assert given["uri"] == request.url
            counts.append(int(given["nc"], 16))
            return camera._answer(request)
        stale = "true" if given else "false"
        current = next(nonces)
        md5 = f'Digest realm="cam", nonce="{current}", qop="auth"'
        best = f'Digest realm="cam", nonce="{current}", algorithm=SHA-256, qop="auth,auth-int", stale={stale}'
        return reply(request, "401 Unauthorized", WWW_Authenticate=f'Basic realm="cam", {md5}, {best}')

    counts: list[int] = []
    methods = ("OPTIONS", "DESCRIBE", "SETUP", "PLAY", "TEARDOWN")
    camera = ScriptedCamera(answers=dict.fromkeys(methods, guard), hang_up="after-play")
    assert run(camera) == "closed-by-camera"
    assert camera.methods() == ["OPTIONS", "OPTIONS", "OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    assert counts == [1, 2, 3, 4]
    for request in camera.requests:
        assert "@" not in request.url
        assert SECRET not in f"{request}"
        assert "Basic" not in request.headers.get("authorization", "")


@pytest.mark.parametrize("chunk", [65536, 1000, 7, 1])
def test_only_our_channel_and_payload_type_are_read_however_the_bytes_are_cut(chunk: int) -> None:
    good = [rtp(65534 + number & 0xFFFF, PAYLOAD + bytes([number])) for number in range(4)]
    extended = struct.pack("!BBHII", 0xB1, 0xE0, 2, 0, 7) + bytes(4) + struct.pack("!HH", 1, 1) + bytes(4)
    extended += PAYLOAD + b"\0\0\0\4"  # one contributing source, an extension, four bytes of padding
    stream = b"".join(
        [
            interleaved(0, good[0]),
            interleaved(2, rtp(1, b"SOUND")),  # a channel that was never set up
            interleaved(0, good[1]),
            b"\r\n",
            interleaved(0, rtp(5, b"OTHER", pt=97)),
            interleaved(0, b"\x80"),
            interleaved(0, good[2]),
            b"RTSP/1.0 200 OK\r\nCSeq: 999\r\n\r\n",  # an answer that nobody waits for
            interleaved(0, good[3]),
            interleaved(0, extended),
        ]
    )
    sink = Sink()

    async def story() -> RtspSource:
        async with ScriptedCamera(stream=stream, chunk=chunk, hang_up="after-play") as camera:
            source = RtspSource(camera.url(), "tcp", clock_ms)
            with pytest.raises(SourceEnded):
                await source.run(sink)
            setups = [request.url for request in camera.requests if request.method == "SETUP"]
            assert setups == [camera.url() + "/picture"]
            return source

    source = asyncio.run(story())
    assert [seq for seq, _, _ in sink.packets] == [65534, 65535, 0, 1, 2]
    assert [payload for _, _, payload in sink.packets] == [*(PAYLOAD + bytes([n]) for n in range(4)), PAYLOAD]
    assert (source.counts.video, source.counts.foreign, source.counts.malformed) == (5, 2, 1)
    assert sink.runs == 1


def test_the_buffer_is_zeroed_behind_the_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    connections = []
    original = rtsp_connection.RtspConnection.connection_made

    def made(self: rtsp_connection.RtspConnection, transport: asyncio.Transport) -> None:
        connections.append(self)
        original(self, transport)

    monkeypatch.setattr(rtsp_connection.RtspConnection, "connection_made", made)

    async def story() -> None:
        stream = b"".join(interleaved(0, rtp(number, PAYLOAD)) for number in range(50))
        async with ScriptedCamera(stream=stream, chunk=101) as camera:
            sink = Sink()
            task = asyncio.get_running_loop().create_task(RtspSource(camera.url(), "tcp", clock_ms).run(sink))
            while len(sink.packets) < 50:
                await asyncio.sleep(0.01)
            assert PAYLOAD not in bytes(connections[0]._buffer)
            task.cancel()
            await asyncio.wait({task}, timeout=2)

    asyncio.run(story())


def test_keep_alive_reports_and_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of two seconds is kept alive each second; a camera that refuses GET_PARAMETER gets OPTIONS; after
    silence the connection is given up, with TEARDOWN."""
    monkeypatch.setattr(rtsp, "SILENT_MS", 3500.0)

    def short(request: Request) -> bytes:
        return reply(request, Session="abc;timeout=2", Transport=request.headers["transport"])

    camera = ScriptedCamera(
        stream=interleaved(0, rtp(1, PAYLOAD)),
        answers={"SETUP": short, "GET_PARAMETER": lambda r: reply(r, "451 Parameter Not Understood")},
    )
    assert run(camera) == "timeout"
    methods = camera.methods()
    assert methods[4] == "GET_PARAMETER"
    assert methods.count("GET_PARAMETER") == 1
    assert methods.count("OPTIONS") >= 2
    assert methods[-1] == "TEARDOWN"
    assert all(request.headers["session"] == "abc" for request in camera.requests[3:])
    kinds = struct.unpack_from("!BBHII", bytes(camera.from_client))
    assert kinds[:3] == (0x81, 201, 7)  # a receiver report with one block
    assert kinds[4] == 7  # about the camera's stream


def test_a_hanging_teardown_does_not_hold_us_up() -> None:
    async def story() -> None:
        async with ScriptedCamera(
            answers={"TEARDOWN": lambda r: None}, stream=interleaved(0, rtp(1, PAYLOAD))
        ) as camera:
            sink = Sink()
            events: list[tuple[CameraEvent, CameraReason]] = []
            runner = SourceRunner(
                lambda: RtspSource(camera.url(), "tcp", clock_ms),
                lambda event, reason: events.append((event, reason)),
                sink,
                random.Random(1),
            )
            runner.start()
            while not sink.packets:
                await asyncio.sleep(0.01)
            began = time.monotonic()
            await runner.stop()
            assert time.monotonic() - began < 1.0
            assert camera.methods()[-1] == "TEARDOWN"

    asyncio.run(story())


def test_a_camera_that_sends_before_it_answers_play() -> None:
    early = interleaved(0, rtp(9, PAYLOAD))
    sink = Sink()
    camera = ScriptedCamera(answers={"PLAY": lambda r: early + reply(r)}, hang_up="after-play")
    assert run(camera, sink) == "closed-by-camera"
    assert sink.packets == [(9, True, PAYLOAD)]
    assert sink.runs == 1


def test_a_camera_that_chooses_its_own_channels_and_repeats_our_password_in_its_urls() -> None:
    sdp = SDP.replace("a=control:picture", f"a=control:rtsp://viewer:{SECRET}@127.0.0.1/cam/picture")
    sink = Sink()
    camera = ScriptedCamera(
        sdp=sdp,
        answers={"SETUP": lambda r: reply(r, Session="abc", Transport="RTP/AVP/TCP;unicast;interleaved=4-5")},
        stream=interleaved(0, rtp(1, b"\x41no")) + interleaved(4, rtp(2, PAYLOAD)),
        hang_up="after-play",
    )
    assert run(camera, sink) == "closed-by-camera"
    assert [payload for _, _, payload in sink.packets] == [PAYLOAD]
    assert camera.requests[2].url == "rtsp://127.0.0.1/cam/picture"


def test_a_camera_that_begins_anew_within_the_session_begins_a_new_run() -> None:
    stream = interleaved(0, rtp(1, PAYLOAD)) + interleaved(0, rtp(700, PAYLOAD, ssrc=8))
    sink = Sink()
    assert run(ScriptedCamera(stream=stream, hang_up="after-play"), sink) == "closed-by-camera"
    assert sink.runs == 2
    assert [seq for seq, _, _ in sink.packets] == [1, 700]


def test_bye_ends_the_run() -> None:
    goodbye = interleaved(0, rtp(1, PAYLOAD)) + interleaved(1, struct.pack("!BBHI", 0x81, 203, 1, 7))
    assert run(ScriptedCamera(stream=goodbye)) == "closed-by-camera"


@pytest.mark.parametrize(
    "address",
    [
        f"http://viewer:{SECRET}@h/",
        f"rtsp://viewer:{SECRET}@",
        f"rtsp://viewer:{SECRET}@h:port/",
        f"rtsp://v:{SECRET}@[h/",
    ],
)
def test_a_wrong_address_is_refused_without_showing_it(address: str) -> None:
    with pytest.raises(InputError) as caught:
        RtspSource(address, "tcp", clock_ms)
    assert SECRET not in caught.value.message + caught.value.hint
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_fault_of_ours_does_not_end_the_camera(caplog: pytest.LogCaptureFixture) -> None:
    """A sink that fails is logged by its error's name only, and the runner tries again."""

    class Broken(Sink):
        def connected(self) -> None:
            raise RuntimeError(SECRET)

    async def story() -> list[tuple[CameraEvent, CameraReason]]:
        events: list[tuple[CameraEvent, CameraReason]] = []
        async with ScriptedCamera() as camera:
            runner = SourceRunner(
                lambda: RtspSource(camera.url(), "tcp", clock_ms),
                lambda event, reason: events.append((event, reason)),
                Broken(),
                random.Random(1),
            )
            runner.start()
            while camera.connections < 2:
                await asyncio.sleep(0.02)
            await runner.stop()
        return events

    assert asyncio.run(story())[:2] == [("lost", "protocol-error"), ("connecting", "")]
    assert "RuntimeError" in caplog.text
