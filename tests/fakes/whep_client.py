"""A WHEP viewer made of aiortc's transports, for tests that need many: it decrypts, counts and searches, and does not
decode. Its ICE, DTLS and SRTP are aiortc's and libsrtp's, none of it ours."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aioice.ice
import httpx2
from aiortc import RTCConfiguration, RTCPeerConnection, sdp
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceGatherer, RTCIceTransport

from monitor.media import h264

SDP_TYPE = {"content-type": "application/sdp"}


def stay_on_loopback() -> None:
    """aioice gathers candidates on every interface; test traffic stays on loopback."""
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


async def make_offer() -> str:
    """An offer as aiortc makes it, to receive video."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))  # without this it asks a STUN server of its maker's choice
    pc.addTransceiver("video", direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    text = pc.localDescription.sdp
    await pc.close()
    return text


@dataclass
class WhepViewer:
    """One viewer. `token` is searched for in every decrypted packet; `tokens` counts the packets that hold it. Without
    `decrypt` packets are counted as they come from the socket: for benchmarks, whose viewers must cost little."""

    url: str
    bearer: str
    token: bytes = b""
    decrypt: bool = True
    packets: int = 0
    octets: int = 0
    tokens: int = 0
    sequence: int = -1
    """RTP sequence number of the newest packet, without `decrypt`."""
    first_packet: float | None = None
    location: str = ""
    cipher: str = ""
    """The SRTP profile, by OpenSSL's name."""
    sps: bytes = b""
    """The camera's sequence parameter set, as it came."""
    _dtls: RTCDtlsTransport | None = None
    _ice: RTCIceTransport | None = None
    _certificate: RTCCertificate = field(default_factory=RTCCertificate.generateCertificate)

    async def open(self, http: httpx2.AsyncClient) -> None:
        """Offer, connect, and take packets from then on. Raises AssertionError where the server refuses."""
        gatherer = RTCIceGatherer(iceServers=[])
        await gatherer.gather()
        local = gatherer.getLocalParameters()
        offer = await make_offer()
        candidates = [f"a=candidate:{sdp.candidate_to_sdp(each)}" for each in gatherer.getLocalCandidates()]
        offer = self._with_own(offer, local.usernameFragment, local.password, candidates)
        answer = await http.post(
            self.url, content=offer, headers={**SDP_TYPE, "authorization": f"Bearer {self.bearer}"}
        )
        assert answer.status_code == 201, (answer.status_code, answer.text)
        self.location = answer.headers["location"]
        media = sdp.SessionDescription.parse(answer.text).media[0]
        self._ice = RTCIceTransport(gatherer)
        self._ice._role_set = True
        self._ice._connection.ice_controlling = True
        for candidate in media.ice_candidates:
            await self._ice.addRemoteCandidate(candidate)
        await self._ice.addRemoteCandidate(None)
        await self._ice.start(media.ice)
        self._dtls = RTCDtlsTransport(self._ice, [self._certificate])
        self._dtls._set_role("server" if media.dtls.role == "client" else "client")
        self._dtls._handle_rtp_data = self._on_rtp  # type: ignore[method-assign]
        await self._dtls.start(media.dtls)
        assert self._dtls.state == "connected", self._dtls.state
        self.cipher = self._dtls._ssl.get_selected_srtp_profile().decode()
        if not self.decrypt:
            for protocol in self._ice._connection._protocols:
                protocol.datagram_received = self._counting(protocol.datagram_received)

    async def close(self) -> None:
        """Say goodbye."""
        with contextlib.suppress(ConnectionError):
            if self._dtls:
                await self._dtls.stop()
            if self._ice:
                await self._ice.stop()

    async def _on_rtp(self, data: bytes, arrival_time_ms: int) -> None:
        self._count(data)
        for piece in h264.iter_nals(data[12:]):
            if piece.type == h264.SPS:
                self.sps = bytes([piece.header]) + bytes(piece.body)
        if self.token and self.token in data:
            self.tokens += 1

    def _count(self, data: bytes) -> None:
        self.first_packet = self.first_packet or time.monotonic()
        self.packets += 1
        self.octets += len(data)

    def _counting(self, deliver: Callable[[bytes, tuple[str, int]], None]) -> Callable[[bytes, tuple[str, int]], None]:
        def received(data: bytes, address: tuple[str, int]) -> None:
            if not 128 <= data[0] <= 191:  # RFC 7983: neither RTP nor RTCP
                deliver(data, address)
            elif not 192 <= data[1] < 224:  # RFC 5761: not RTCP
                self.packets += 1
                self.octets += len(data)
                self.sequence = data[2] << 8 | data[3]

        return received

    def _with_own(self, offer: str, ufrag: str, password: str, candidates: list[str]) -> str:
        fingerprint = next(f for f in self._certificate.getFingerprints() if f.algorithm == "sha-256")
        lines = []
        for line in offer.split("\r\n"):
            if line.startswith("a=ice-ufrag:"):
                line = f"a=ice-ufrag:{ufrag}"
            elif line.startswith("a=ice-pwd:"):
                line = f"a=ice-pwd:{password}"
            elif line.startswith("a=fingerprint:sha-256"):
                line = f"a=fingerprint:sha-256 {fingerprint.value}"
            elif line.startswith(("a=fingerprint:", "a=candidate:")):
                continue
            elif line == "a=end-of-candidates":
                lines += candidates
            lines.append(line)
        return "\r\n".join(lines)


async def watch(viewers: list[WhepViewer], seconds: float, *, verify: bool | str = True) -> None:
    """Open all, watch, close all."""
    async with httpx2.AsyncClient(verify=verify) as http:
        await asyncio.gather(*(viewer.open(http) for viewer in viewers))
        await asyncio.sleep(seconds)
        await asyncio.gather(*(viewer.close() for viewer in viewers))
