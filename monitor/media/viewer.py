"""One viewer: a browser that watches one camera over WebRTC.

Theory of operation. A viewer is made from an SDP offer and waits for connectivity checks on our one UDP port (we are
ICE-lite, RFC 8445 section 2.5, and never send checks). The first valid check tells its address; the DTLS handshake
gives keys; from then on it is `watching` until it says goodbye, its consent is lost, or it is closed. All state moves
go through `set_state`.

A viewer is either *in step* (it gets each batch as it comes), *catching up* (it started at a keyframe in the window and
is fed from there, a little at a time) or *waiting* for the next keyframe. A viewer that cannot keep up waits: it gets
nothing until the next keyframe, is counted, and slows nobody. This module must never hold a payload.
"""

from __future__ import annotations

import collections
import enum
import logging
import secrets
from dataclasses import dataclass, field
from typing import Literal

from monitor.media.dtls import DtlsServer
from monitor.media.offer import Codec, Offer
from monitor.media.srtp import Srtp

logger = logging.getLogger(__name__)

CONSENT_MS = 30_000.0
"""Without a valid check for this long the consent to receive is gone (RFC 7675 section 5.1)."""
CONNECT_MS = 15_000.0
"""How long a viewer may take from its offer to its keys."""
HEAVY_LOSS = 0.25
"""Fraction of packets lost, in two receiver reports in a row, beyond which a viewer cannot keep up."""
PACKET_INDEX_WRAP = 1 << 48
SEGMENTS = 16

Addr = tuple[str, int]
Why = Literal["asked", "consent-lost", "dtls-failed", "dtls-closed", "never-connected", "camera-removed"]


class ViewerState(enum.Enum):
    """checking → handshaking → watching → closed; each of the first two may also go to closed."""

    CHECKING = "checking"
    HANDSHAKING = "handshaking"
    WATCHING = "watching"
    CLOSED = "closed"


MOVES: dict[ViewerState, frozenset[ViewerState]] = {
    ViewerState.CHECKING: frozenset({ViewerState.HANDSHAKING, ViewerState.CLOSED}),
    ViewerState.HANDSHAKING: frozenset({ViewerState.WATCHING, ViewerState.CLOSED}),
    ViewerState.WATCHING: frozenset({ViewerState.CLOSED}),
    ViewerState.CLOSED: frozenset(),
}


@dataclass(eq=False)
class Viewer:
    """One session. Satisfies `fanout.Receiver`; moments are ms of service time."""

    id: str
    camera: str
    offer: Offer
    codec: Codec
    dtls: DtlsServer
    created_ms: float
    ufrag: str = field(default_factory=lambda: secrets.token_hex(8))
    pwd: str = field(default_factory=lambda: secrets.token_hex(16))
    ssrc: int = field(default_factory=lambda: secrets.randbelow(0xFFFFFFFE) + 1)
    state: ViewerState = ViewerState.CHECKING
    address: Addr | None = None
    srtp: Srtp | None = None
    last_check_ms: float = 0.0
    next_index: int | None = None
    """Index in the window of the next packet to send; None while it waits for a keyframe."""
    resume_after: int = 0
    """It may start only from a keyframe at or behind this index: one of which it was sent a part is of no use."""
    offset: int = 0
    packets: int = 0
    octets: int = 0
    skips: int = 0
    retransmitted: int = 0
    _next_packet: int = field(default_factory=lambda: secrets.randbelow(1 << 15))
    """48-bit packet index of the next packet: sequence number and roll-over counter (RFC 3711 section 3.3.1). It starts
    low, so that a lost first packet cannot make the viewer guess a wrong roll-over."""
    _segments: collections.deque[tuple[int, int]] = field(default_factory=lambda: collections.deque(maxlen=SEGMENTS))
    _heavy_reports: int = 0

    @property
    def payload_type(self) -> int:
        """The payload type of the chosen codec."""
        return self.codec.payload_type

    def set_state(self, state: ViewerState) -> bool:
        """Take a state. Returns False, and changes nothing, where the table does not allow it."""
        if state not in MOVES[self.state]:
            return False
        logger.info("viewer of %s: %s -> %s", self.camera, self.state.value, state.value)
        self.state = state
        return True

    def begin_at(self, index: int) -> None:
        """Go on from this packet of the window (a keyframe's first). The sequence numbers go on without a gap: what the
        viewer was not sent on purpose it must not ask for."""
        self.next_index = index
        self.offset = self._next_packet - index
        self._segments.append((self._next_packet, self.offset))

    def sent_until(self, index: int, packets: int, octets: int) -> None:
        """Everything in the window before `index` was sent, or is known to be lost."""
        self.next_index = index
        self._next_packet = (index + self.offset) % PACKET_INDEX_WRAP
        self.packets += packets
        self.octets += octets

    def wait_for_keyframe(self, resume_after: int, *, skipped: bool) -> None:
        """Nothing more until a keyframe at or behind `resume_after`; `skipped` where it could not keep up."""
        if skipped and self.next_index is not None:
            self.skips += 1
        self.next_index = None
        self.resume_after = resume_after

    def locate(self, sequence: int) -> tuple[int, int] | None:
        """The (index in the window, offset then) of a 16-bit sequence number; None where it was not sent lately."""
        behind = (self._next_packet - 1 - sequence) & 0xFFFF
        packet = self._next_packet - 1 - behind
        for start, offset in reversed(self._segments):
            if packet >= start:
                return packet - offset, offset
        return None

    def note_loss(self, fraction: float) -> bool:
        """A receiver report came (`fraction` of packets lost since the last one). Whether it cannot keep up."""
        self._heavy_reports = self._heavy_reports + 1 if fraction > HEAVY_LOSS else 0
        if self._heavy_reports < 2:
            return False
        self._heavy_reports = 0
        return True

    def overdue(self, now_ms: float) -> Why | None:
        """Why the session must end now, None where it need not."""
        if self.state is ViewerState.WATCHING:
            return "consent-lost" if now_ms - self.last_check_ms > CONSENT_MS else None
        return "never-connected" if now_ms - self.created_ms > CONNECT_MS else None
