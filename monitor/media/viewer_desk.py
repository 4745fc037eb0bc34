"""All viewers of a media process on its one UDP port: who a datagram belongs to, and when a session ends.

Checks find their session by ufrag, everything else by the address from which a valid check came. Session ids come from
the control process; ufrags (64 random bits) and passwords (128) are made here, so neither can be guessed. This module
must never answer a stranger.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Callable

import pylibsrtp

from monitor.core.messages import AddViewer, Message, ViewerAnswer, ViewerClosed, ViewerRefused
from monitor.core.service_clock import rtp_from_ms
from monitor.media.camera import Camera
from monitor.media.dtls import DtlsIdentity, DtlsServer, DtlsState
from monitor.media.fanout import Fanout
from monitor.media.ice import answer_check
from monitor.media.offer import OfferRefused, parse_offer
from monitor.media.rtcp import read_feedback, sender_report
from monitor.media.srtp import Srtp
from monitor.media.udp_port import UdpPort
from monitor.media.viewer import Viewer, ViewerState, Why

logger = logging.getLogger(__name__)

Addr = tuple[str, int]
_RTCP_TYPES = range(192, 224)
"""RFC 5761 section 4: the second byte of RTCP among multiplexed packets."""


class ViewerDesk:
    """Sessions of one process. `cameras` is the relay's own table; `send` passes a message to the control process."""

    def __init__(
        self,
        host: str,
        port: int,
        max_viewers: int,
        cameras: dict[str, Camera],
        clock_ms: Callable[[], float],
        send: Callable[[Message], None],
    ) -> None:
        self._cameras = cameras
        self._clock_ms = clock_ms
        self._send = send
        self._max_viewers = max_viewers
        self._identity = DtlsIdentity(datetime.datetime.now(datetime.UTC))
        self.port = UdpPort(host, port, self._on_stun, self._on_dtls, self._on_srtp)
        self.fanout = Fanout(self.port.sock)
        self._by_id: dict[str, Viewer] = {}
        self._by_ufrag: dict[str, Viewer] = {}
        self._by_address: dict[Addr, Viewer] = {}
        self._loop = asyncio.get_running_loop()

    def add(self, request: AddViewer) -> None:
        """Answer an offer, or refuse it."""
        camera = self._cameras.get(request.camera)
        if camera is None:
            self._send(ViewerRefused(viewer=request.viewer, why="unknown-camera"))
            return
        if len(self._by_id) >= self._max_viewers or request.viewer in self._by_id:
            self._send(ViewerRefused(viewer=request.viewer, why="too-many"))
            return
        try:
            offer = parse_offer(request.offer)
        except OfferRefused as refusal:
            self._send(ViewerRefused(viewer=request.viewer, why=refusal.why))
            return
        viewer = Viewer(
            id=request.viewer,
            camera=request.camera,
            offer=offer,
            codec=offer.codec_for(camera.stream.profile),
            dtls=DtlsServer(self._identity, offer.fingerprints),
            created_ms=self._clock_ms(),
        )
        self._by_id[viewer.id] = self._by_ufrag[viewer.ufrag] = viewer
        camera.viewers.add(viewer)
        self._send(
            ViewerAnswer(
                viewer=viewer.id,
                ufrag=viewer.ufrag,
                pwd=viewer.pwd,
                fingerprint=self._identity.fingerprint,
                mid=offer.mid,
                payload_type=viewer.payload_type,
                profile_level_id=viewer.codec.profile_level_id,
                ssrc=viewer.ssrc,
                udp_port=self.port.port,
                rejected_mids=offer.other_mids,
                video_index=offer.video_index,
            )
        )

    def close(self, viewer_id: str, why: Why) -> None:
        """End a session and tell the control process. Unknown ids are ended already."""
        viewer = self._by_id.pop(viewer_id, None)
        if viewer is None:
            return
        for datagram in viewer.dtls.close():
            if viewer.address is not None:
                self.port.send(datagram, viewer.address)
        viewer.set_state(ViewerState.CLOSED)
        del self._by_ufrag[viewer.ufrag]
        for address in [address for address, owner in self._by_address.items() if owner is viewer]:
            del self._by_address[address]
        if camera := self._cameras.get(viewer.camera):
            camera.remove(viewer)
        self._send(ViewerClosed(viewer=viewer.id, why=why))

    def close_all_of(self, camera: Camera, why: Why) -> None:
        """End all sessions of a camera."""
        for viewer in list(camera.viewers):
            self.close(viewer.id, why)

    def check_overdue(self, now_ms: float) -> None:
        """End the sessions whose time is up."""
        for viewer in list(self._by_id.values()):
            if why := viewer.overdue(now_ms):
                self.close(viewer.id, why)

    def send_reports(self, now_ms: float) -> None:
        """A sender report to each viewer: about once a second."""
        timestamp = rtp_from_ms(now_ms)
        for viewer in self._by_id.values():
            if viewer.srtp is None or viewer.address is None or not viewer.packets:
                continue
            report = sender_report(viewer.ssrc, now_ms, timestamp, viewer.packets, viewer.octets)
            self.port.send(viewer.srtp.protect_rtcp(report), viewer.address)

    def stop(self) -> None:
        """End all sessions and close the port."""
        for viewer_id in list(self._by_id):
            self.close(viewer_id, "asked")
        self.fanout.clear()
        self.port.close()

    # ---- datagrams ---------------------------------------------------------------------------------------------------

    def _on_stun(self, datagram: bytes, address: Addr) -> None:
        check = answer_check(datagram, address, self._password_of)
        if check is None:
            return
        viewer = self._by_ufrag[check.ufrag]
        self.port.send(check.response, address)
        self._by_address[address] = viewer
        viewer.last_check_ms = self._clock_ms()
        if viewer.address is None or check.nominated:
            viewer.address = address
        viewer.set_state(ViewerState.HANDSHAKING)

    def _password_of(self, ufrag: str) -> str | None:
        viewer = self._by_ufrag.get(ufrag)
        return viewer.pwd if viewer else None

    def _on_dtls(self, datagram: bytes, address: Addr) -> None:
        viewer = self._by_address.get(address)
        if viewer is None:
            return
        self._answer_dtls(viewer, viewer.dtls.receive(datagram), address)

    def _answer_dtls(self, viewer: Viewer, datagrams: list[bytes], address: Addr) -> None:
        for datagram in datagrams:
            self.port.send(datagram, address)
        if viewer.dtls.state is DtlsState.FAILED:
            self.close(viewer.id, "dtls-failed")
        elif viewer.dtls.state is DtlsState.CLOSED:
            self.close(viewer.id, "dtls-closed")
        elif viewer.dtls.keys is not None and viewer.set_state(ViewerState.WATCHING):
            viewer.srtp = Srtp(viewer.dtls.keys, viewer.ssrc)
            if camera := self._cameras.get(viewer.camera):
                camera.begin(viewer)
        elif (seconds := viewer.dtls.timeout()) is not None:
            self._loop.call_later(seconds + 0.01, self._on_dtls_timeout, viewer, address)

    def _on_dtls_timeout(self, viewer: Viewer, address: Addr) -> None:
        due = viewer.dtls.timeout()
        if viewer.state is ViewerState.HANDSHAKING and due is not None and due <= 0:
            self._answer_dtls(viewer, viewer.dtls.on_timeout(), address)

    def _on_srtp(self, datagram: bytes, address: Addr) -> None:
        viewer = self._by_address.get(address)
        if viewer is None or viewer.srtp is None or len(datagram) < 8 or datagram[1] not in _RTCP_TYPES:
            return
        try:
            compound = viewer.srtp.unprotect_rtcp(datagram)
        except pylibsrtp.Error:
            return
        camera = self._cameras.get(viewer.camera)
        if camera is None:
            return
        feedback = read_feedback(compound, viewer.ssrc)
        if feedback.lost:
            camera.retransmit(viewer, feedback.lost)
        if feedback.loss is not None and viewer.note_loss(feedback.loss):
            camera.skip(viewer)
