"""A camera read over RTSP (RFC 2326), packet by packet, its video track only.

The conversation is here; the connection, authentication, session description, UDP and the reading of packets are in
modules of their own (`rtsp_connection`, `rtsp_auth`, `rtsp_sdp`, `rtsp_udp`, `rtsp_receiver`). Must never set up a
track that is not the video, never hand on a packet of another channel or payload type, and never show the camera's
password.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Callable
from typing import Literal

from aiortsp.rtsp.parser import RTSPResponse

from monitor.core.errors import Unavailable
from monitor.media.sources.base import PacketSink, SourceEnded
from monitor.media.sources.rtsp_address import parse_address
from monitor.media.sources.rtsp_connection import RtspConnection, header, open_connection
from monitor.media.sources.rtsp_receiver import Receiver, RtspCounts
from monitor.media.sources.rtsp_sdp import VideoTrack, choose_video
from monitor.media.sources.rtsp_udp import UdpPair

SILENT_MS = 10_000.0
"""A connection on which no packet came for so long is given up (that the picture is stale is said long before)."""
TEARDOWN_SECONDS = 0.5
_REPORT_MS = 5000.0
_FIRST_REPORT_MS = 1000.0
_SESSION_SECONDS = 60
"""RFC 2326 section 12.37, where the camera names no timeout."""
_TICK_SECONDS = 0.5
_HIGHEST_CHANNEL = 255
_HIGHEST_PORT = 65535


class RtspSource:
    """Implements `base.Source`. `clock_ms` gives service time. Raises InputError where `address` is not an RTSP URL."""

    def __init__(self, address: str, transport: Literal["tcp", "udp"], clock_ms: Callable[[], float]) -> None:
        self._address = parse_address(address)
        self._transport = transport
        self._clock_ms = clock_ms
        self.counts = RtspCounts()

    def __repr__(self) -> str:
        return f"<RtspSource {self._address.url} over {self._transport}>"

    async def run(self, sink: PacketSink) -> None:
        """See `base.Source.run`. One call is one connection."""
        receiver = Receiver(sink, self.counts)
        connection = await open_connection(self._address, receiver.interleaved, self._clock_ms)
        session = _Session(connection, self._address.url, receiver, self._transport, self._clock_ms)
        try:
            await session.start()
            await session.keep()
        except Unavailable:
            raise SourceEnded("transport-refused") from None
        finally:
            receiver.stop()
            try:
                await session.end()
            finally:
                connection.abort()


class _Session:
    """OPTIONS, DESCRIBE, SETUP, PLAY, then keep-alives and receiver reports until it ends, then TEARDOWN."""

    def __init__(
        self,
        connection: RtspConnection,
        url: str,
        receiver: Receiver,
        transport: Literal["tcp", "udp"],
        clock_ms: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._url = url
        self._receiver = receiver
        self._clock_ms = clock_ms
        self._udp: UdpPair | None = None
        self._server_ports: tuple[int, int] | None = None
        self._transport = transport
        self._methods: set[str] = set()
        self._id = ""
        self._timeout_seconds = _SESSION_SECONDS
        self._ssrc = secrets.randbelow(1 << 32)
        self._cname = secrets.token_hex(8)

    async def start(self) -> None:
        """Raises SourceEnded or Unavailable."""
        await self._ask_methods()
        track = await self._describe()
        await self._set_up(track)
        self._receiver.expect(track)
        # "npt=0.000-" is what every camera knows from FFmpeg; "now-" and Scale upset some.
        await self._request("PLAY", self._url, {"Range": "npt=0.000-"})
        self._receiver.begin()
        if self._udp and self._server_ports:
            self._udp.open_path(self._server_ports[0])
            self._report()

    async def keep(self) -> None:
        """Keep it alive until it ends; always raises SourceEnded."""
        started_ms = self._clock_ms()
        next_report_ms = started_ms + _FIRST_REPORT_MS
        keep_alive_ms = self._timeout_seconds * 500.0
        next_alive_ms = started_ms + keep_alive_ms
        while True:
            await asyncio.wait({self._connection.ended}, timeout=_TICK_SECONDS)
            if self._connection.ended.done():
                raise SourceEnded(self._connection.ended.result())
            now_ms = self._clock_ms()
            if self._receiver.said_bye:
                raise SourceEnded("closed-by-camera")
            newest_ms = self._receiver.newest_ms
            if now_ms - (started_ms if newest_ms is None else newest_ms) > SILENT_MS:
                raise SourceEnded("timeout")
            if now_ms >= next_report_ms:
                self._report()
                next_report_ms = now_ms + _REPORT_MS
            if now_ms >= next_alive_ms:
                await self._keep_alive()
                next_alive_ms = now_ms + keep_alive_ms

    async def end(self) -> None:
        """TEARDOWN as far as the camera answers within TEARDOWN_SECONDS; never raises but CancelledError."""
        if self._udp:
            self._udp.close()
        if self._id and self._connection.running:
            with contextlib.suppress(SourceEnded, TimeoutError):
                async with asyncio.timeout(TEARDOWN_SECONDS):
                    await self._request("TEARDOWN", self._url)

    async def _request(self, method: str, url: str, headers: dict[str, str] | None = None) -> RTSPResponse:
        session = {"Session": self._id} if self._id else {}
        return await self._connection.request(method, url, {**session, **(headers or {})})

    async def _ask_methods(self) -> None:
        try:
            answer = await self._request("OPTIONS", self._url)
        except SourceEnded as ended:
            if ended.reason != "protocol-error" or not self._connection.running:
                raise
            return  # a camera that does not know OPTIONS may know the rest
        self._methods = {word.strip().upper() for word in header(answer, "public").split(",")}

    async def _describe(self) -> VideoTrack:
        answer = await self._request("DESCRIBE", self._url, {"Accept": "application/sdp"})
        base = header(answer, "content-base") or header(answer, "content-location") or self._url
        if "://" not in base:
            base = self._url
        track = choose_video(answer.data.decode("utf-8", "replace"), base)
        self._url = track.session_url
        return track

    async def _set_up(self, track: VideoTrack) -> None:
        if self._transport == "udp":
            self._udp = UdpPair(
                self._connection.local_address(),
                self._connection.peer_address(),
                self._receiver.rtp,
                self._receiver.rtcp,
                self._clock_ms,
            )
            self._receiver.on_new_run = self._udp.restart
            self._receiver.channels = (-1, -1)  # what is interleaved all the same was not asked for
            wanted = "RTP/AVP;unicast;client_port={}-{}".format(*self._udp.ports)
        else:
            wanted = "RTP/AVP/TCP;unicast;interleaved=0-1"
        answer = await self._request("SETUP", track.setup_url, {"Transport": wanted})
        self._read_session(header(answer, "session"))
        self._read_transport(header(answer, "transport"))

    def _read_session(self, value: str) -> None:
        """RFC 2326 section 12.37: `id;timeout=seconds`."""
        self._id = value.partition(";")[0].strip()
        timeout = re.search(r";\s*timeout\s*=\s*(\d{1,5})", value, re.IGNORECASE)
        if timeout and int(timeout.group(1)) > 0:
            self._timeout_seconds = max(2, int(timeout.group(1)))
        if not self._id:
            raise SourceEnded("protocol-error")

    def _read_transport(self, value: str) -> None:
        """RFC 2326 section 12.39. A camera that answers with the other transport refuses ours."""
        over_tcp = "/TCP" in value.upper().partition(";")[0]
        if bool(value) and over_tcp != (self._transport == "tcp"):
            raise SourceEnded("transport-refused")
        pair = re.search(r"(interleaved|server_port)\s*=\s*(\d{1,5})\s*-\s*(\d{1,5})", value, re.IGNORECASE)
        if pair is None:
            return
        numbers = (int(pair.group(2)), int(pair.group(3)))
        if pair.group(1).lower() == "interleaved":
            self._receiver.channels = numbers
            if max(numbers) > _HIGHEST_CHANNEL:
                raise SourceEnded("protocol-error")
        elif min(numbers) > 0 and max(numbers) <= _HIGHEST_PORT:
            self._server_ports = numbers

    def _report(self) -> None:
        report = self._receiver.stats.build(self._ssrc, self._cname, self._clock_ms())
        if self._udp is None:
            self._connection.send_binary(self._receiver.channels[1], report)
        elif self._server_ports:
            self._udp.send_rtcp(report, self._server_ports[1])

    async def _keep_alive(self) -> None:
        """GET_PARAMETER where the camera offers it (RFC 2326 section 10.8), else OPTIONS.

        A camera that offers it and then does not like it gets OPTIONS from then on. One that answers neither but goes
        on sending is let be.
        """
        method = "GET_PARAMETER" if "GET_PARAMETER" in self._methods else "OPTIONS"
        try:
            await self._request(method, self._url)
        except SourceEnded as ended:
            if ended.reason not in ("protocol-error", "timeout") or self._connection.ended.done():
                raise
            self._methods.discard("GET_PARAMETER")
