"""What every source of pictures has in common: it feeds RTP payloads of H.264 to a sink and says why it ended.

A source must never keep a packet after handing it on, never log a payload, and never show an address with its password.
"""

from __future__ import annotations

from typing import Protocol

from monitor.core.camera_state import CameraReason

PAYLOAD_BYTES = 1200
"""How large a payload is where Vigil packetises itself: with SRTP, UDP and IP it fits through every path uncut."""


class PacketSink(Protocol):
    """What a source feeds. All calls come from the event loop's thread."""

    def connected(self) -> None:
        """The camera agreed to play; packets are to come. A new run of sequence numbers and timestamps begins."""

    def parameter_sets(self, sps: bytes, pps: bytes) -> None:
        """From the SDP (sprop-parameter-sets, RFC 6184 section 8.1), for cameras that do not send them in-band."""

    def packet(self, seq: int, timestamp: int, marker: bool, payload: memoryview, arrival_ms: float) -> None:
        """One RTP packet's payload (RFC 6184: single NAL unit, STAP-A or FU-A).

        `seq` 16 bit, `timestamp` 90 kHz 32 bit, in order of `seq` (a UDP source has put them in order and left out what
        was lost); `arrival_ms` in service time, when its last byte was read. The view is not valid after the call.
        """

    def sender_report(self, ntp_ms: float, timestamp: int, arrival_ms: float) -> None:
        """The camera says that RTP `timestamp` was captured at `ntp_ms` (Unix time in ms by its own clock; RFC 3550
        section 6.4.1)."""


class SourceEnded(Exception):
    """A source's run is over; `reason` is one of the closed list that staff see."""

    def __init__(self, reason: CameraReason) -> None:
        super().__init__(reason)
        self.reason: CameraReason = reason


class Source(Protocol):
    """One camera's source."""

    async def run(self, sink: PacketSink) -> None:
        """Connect, play and feed `sink` until it ends. Raises SourceEnded with the reason; cancelling it closes all
        that it opened. The caller (`runner.py`) tries again."""
