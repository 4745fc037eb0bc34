"""The audit's own viewer: watches the canary through the same door as staff's browsers (WHEP, ICE, DTLS, SRTP).

ICE, DTLS and SRTP are aiortc's, none of it Vigil's. It asks for sound as well, to see that it is refused. It must never
watch anything but a canary, never keep a packet, and never speak to another machine: there is one local address, and no
STUN server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from typing import Any

from aiortc import sdp
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceGatherer, RTCIceTransport

from monitor.audit.site_client import SiteClient, refusal
from monitor.core.errors import Unavailable
from monitor.media import h264

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 8.0
_OPEN_TRIES = 3
_TRY_EVERY = 0.5
_SDP = "application/sdp"


class CanaryViewer:
    """One viewer of one canary camera. `open`, then it counts until `close`."""

    def __init__(self, client: SiteClient, camera: str, token: bytes) -> None:
        self.camera = camera
        self.packets = 0
        self.tokens = 0
        """Packets with the token in them."""
        self.sps = b""
        """The stream's sequence parameter set, as it came."""
        self.sound_refused: bool | None = None
        """Whether the answer refused sound; None before it came."""
        self.why = ""
        """What went wrong; empty where nothing did."""
        self._client = client
        self._token = token
        self._certificate = RTCCertificate.generateCertificate()
        self._ice: Any = None
        self._dtls: Any = None
        self._location = ""

    async def open(self) -> None:
        """Offer and connect. What goes wrong stands in `why`, for the audit goes on without it."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connect()
        except TimeoutError:
            self.why = "no connection in time"
        except Unavailable as error:
            self.why = error.message
        except (OSError, ValueError, LookupError, AttributeError) as error:
            # aiortc's parser raises these on an answer that makes no sense
            self.why = f"the answer cannot be read ({type(error).__name__})"

    async def close(self) -> None:
        """Say goodbye."""
        if self._location:
            with contextlib.suppress(Unavailable):
                await self._client.arequest("DELETE", self._location)
        with contextlib.suppress(ConnectionError):
            if self._dtls is not None:
                await self._dtls.stop()
            if self._ice is not None:
                await self._ice.stop()

    # ---- inside ------------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        gatherer = RTCIceGatherer(iceServers=[])  # without the empty list it asks a STUN server of its maker's choice
        await self._gather(gatherer)
        answer = sdp.SessionDescription.parse(await self._ask(self._offer(gatherer)))
        self.sound_refused = all(media.port == 0 for media in answer.media if media.kind == "audio")
        video = next(media for media in answer.media if media.kind == "video")
        self._ice = RTCIceTransport(gatherer)
        self._ice._role_set = True
        self._ice._connection.ice_controlling = True
        for candidate in video.ice_candidates:
            await self._ice.addRemoteCandidate(candidate)
        await self._ice.addRemoteCandidate(None)
        await self._ice.start(video.ice)
        if self._ice.state != "completed":
            raise Unavailable("no packet came back from the site's UDP port")
        self._dtls = RTCDtlsTransport(self._ice, [self._certificate])
        self._dtls._set_role("client")  # RFC 8842: the answer is setup:passive
        self._dtls._handle_rtp_data = self._on_rtp
        await self._dtls.start(video.dtls)
        if self._dtls.state != "connected":
            raise Unavailable("the DTLS handshake failed")

    async def _gather(self, gatherer: Any) -> None:
        """One candidate only: the address by which this machine reaches the site. aioice would take all it has."""
        connection = gatherer._connection
        connection._local_candidates_start = True
        local = await asyncio.to_thread(_local_address, self._client.host, self._client.port)
        connection._local_candidates += await connection.get_component_candidates(component=1, addresses=[local])
        connection._local_candidates_end = True

    async def _ask(self, offer: str) -> str:
        """The answer's text. Tries again while the media process is not ready. Raises Unavailable."""
        for remaining in reversed(range(_OPEN_TRIES)):
            answer = await self._client.arequest("POST", f"/whep/{self.camera}", offer.encode(), _SDP)
            if answer.status == 201:
                self._location = answer.headers.get("location", "")
                return answer.body.decode("ascii", "replace")
            if answer.status != 503 or not remaining:
                why, hint = refusal(answer)
                raise Unavailable(f"the offer was answered {answer.status}: {why}", hint)
            await asyncio.sleep(_TRY_EVERY)
        raise Unavailable("the media process is not ready")

    async def _on_rtp(self, data: bytes, arrival_time_ms: int) -> None:
        self.packets += 1
        self.tokens += self._token in data
        if not self.sps:
            for piece in h264.iter_nals(data[12:]):
                if piece.type == h264.SPS:
                    self.sps = bytes([piece.header]) + bytes(piece.body)

    def _offer(self, gatherer: Any) -> str:
        """As a browser would offer to receive sound and picture (RFC 8829, RFC 8866)."""
        local = gatherer.getLocalParameters()
        fingerprint = next(one for one in self._certificate.getFingerprints() if one.algorithm == "sha-256")
        common = [
            "c=IN IP4 0.0.0.0",
            "a=recvonly",
            "a=rtcp-mux",
            f"a=ice-ufrag:{local.usernameFragment}",
            f"a=ice-pwd:{local.password}",
            f"a=fingerprint:sha-256 {fingerprint.value}",
            "a=setup:actpass",
        ]
        lines = ["v=0", f"o=- {secrets.randbits(62)} 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1"]
        lines += ["m=audio 9 UDP/TLS/RTP/SAVPF 111 0", *common, "a=mid:0"]
        lines += ["a=rtpmap:111 opus/48000/2", "a=rtpmap:0 PCMU/8000"]
        lines += ["m=video 9 UDP/TLS/RTP/SAVPF 96", *common, "a=mid:1", "a=rtpmap:96 H264/90000"]
        lines += ["a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"]
        lines += ["a=rtcp-fb:96 nack", "a=rtcp-fb:96 nack pli"]
        lines += [f"a=candidate:{sdp.candidate_to_sdp(each)}" for each in gatherer.getLocalCandidates()]
        return "\r\n".join([*lines, "a=end-of-candidates", ""])


def _local_address(host: str, port: int) -> str:
    """The address of this machine that reaches the site: a UDP socket is connected, which sends nothing."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        return str(sock.getsockname()[0])
