"""RTCP with viewers: sender reports out; receiver reports, NACK and PLI in.

aiortc parses. This module must never answer a report with more than the window holds.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from aiortc import rtp

NTP_EPOCH = 2208988800
"""Seconds from 1900 to 1970 (RFC 5905)."""
CNAME = b"vigil"
SDES = 202


@dataclass
class Feedback:
    """What a viewer's compound packet says about one of our streams."""

    lost: list[int] = field(default_factory=list)
    """16-bit sequence numbers that it asks for (RFC 4585 section 6.2.1)."""
    loss: float | None = None
    """Fraction lost since its last report, where it holds a receiver report."""
    keyframe_wanted: bool = False


def read_feedback(compound: bytes, ssrc: int) -> Feedback:
    """What a decrypted compound packet says of the stream `ssrc`. What makes no sense is left out."""
    feedback = Feedback()
    try:
        packets = rtp.RtcpPacket.parse(compound)
    except (ValueError, IndexError, struct.error):
        return feedback
    for packet in packets:
        if isinstance(packet, rtp.RtcpRrPacket | rtp.RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == ssrc:
                    feedback.loss = report.fraction_lost / 256
        elif isinstance(packet, rtp.RtcpRtpfbPacket) and packet.fmt == rtp.RTCP_RTPFB_NACK:
            if packet.media_ssrc == ssrc:
                feedback.lost += [sequence & 0xFFFF for sequence in packet.lost]  # aiortc counts on past the wrap
        elif isinstance(packet, rtp.RtcpPsfbPacket):
            feedback.keyframe_wanted |= _asks_for_keyframe(packet, ssrc)
    return feedback


def _asks_for_keyframe(packet: rtp.RtcpPsfbPacket, ssrc: int) -> bool:
    if packet.fmt == rtp.RTCP_PSFB_PLI:
        return bool(packet.media_ssrc == ssrc)
    if packet.fmt == rtp.RTCP_PSFB_FIR:  # it names its streams behind the header, 8 bytes each (RFC 5104 section 4.3.1)
        return any(packet.fci[at : at + 4] == ssrc.to_bytes(4, "big") for at in range(0, len(packet.fci), 8))
    return False


def sender_report(ssrc: int, now_ms: float, rtp_timestamp: int, packets: int, octets: int) -> bytes:
    """A compound of SR and SDES (RFC 3550 sections 6.4.1 and 6.5); `now_ms`, service time, is the moment of
    `rtp_timestamp`."""
    seconds, rest = divmod(now_ms, 1000)
    body = struct.pack(
        "!IIIIII",
        ssrc,
        (int(seconds) + NTP_EPOCH) & 0xFFFFFFFF,
        int(rest / 1000 * (1 << 32)) & 0xFFFFFFFF,
        rtp_timestamp,
        packets & 0xFFFFFFFF,
        octets & 0xFFFFFFFF,
    )
    chunk = struct.pack("!IBB", ssrc, 1, len(CNAME)) + CNAME
    chunk += bytes(4 - len(chunk) % 4)  # at least one zero ends the items
    return (
        struct.pack("!BBH", 0x80, rtp.RTCP_SR, len(body) // 4)
        + body
        + struct.pack("!BBH", 0x81, SDES, len(chunk) // 4)
        + chunk
    )
