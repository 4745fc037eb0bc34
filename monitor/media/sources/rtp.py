"""RTP and RTCP as a receiver of one camera needs them (RFC 3550): headers, sender and receiver reports.

Pure: bytes and moments in, values out. Must never keep a payload, and never trusts a length that the camera names.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

RTP_HEADER = struct.Struct("!BBHII")
_RTCP_HEADER = struct.Struct("!BBH")
_SENDER_INFO = struct.Struct("!IIIIII")
_NTP_TO_UNIX = 2_208_988_800  # seconds from 1900 to 1970
_NTP_ERA = 1 << 32
_SR, _RR, _SDES, _BYE = 200, 201, 202, 203
_VERSION = 2
_HALF = 0x8000


class RtpPacket(NamedTuple):
    """One RTP packet (RFC 3550 section 5.1), its payload without header, extension and padding."""

    payload_type: int
    marker: bool
    seq: int
    timestamp: int
    ssrc: int
    payload: memoryview


def parse_rtp(data: memoryview) -> RtpPacket | None:
    """Read a packet; None where it is not RTP version 2 or its lengths do not fit. An empty payload is not a fault."""
    if len(data) < RTP_HEADER.size:
        return None
    first, second, seq, timestamp, ssrc = RTP_HEADER.unpack_from(data)
    if first >> 6 != _VERSION:
        return None
    start, end = RTP_HEADER.size, len(data)
    if first & 0x3F:  # padding, an extension or contributing sources: rare
        start += 4 * (first & 0x0F)
        if first & 0x10:
            if start + 4 > end:
                return None
            start += 4 + 4 * ((data[start + 2] << 8) | data[start + 3])
        if first & 0x20:
            padding = data[end - 1]
            if not padding:
                return None
            end -= padding
        if start > end:
            return None
    return RtpPacket(second & 0x7F, bool(second & 0x80), seq, timestamp, ssrc, data[start:end])


class SenderReport(NamedTuple):
    """RFC 3550 section 6.4.1. `ntp_ms` is Unix time in ms, `ntp_middle` its middle 32 bits, for our report."""

    ssrc: int
    ntp_ms: float
    ntp_middle: int
    timestamp: int


class Bye(NamedTuple):
    """RFC 3550 section 6.6."""

    ssrc: int


def iter_rtcp(data: memoryview) -> Iterator[SenderReport | Bye]:
    """What concerns us in a compound packet; ends where the lengths stop to make sense.

    A sender report without a wall clock (NTP zero) is left out.
    """
    at = 0
    while at + 8 <= len(data):
        first, kind, words = _RTCP_HEADER.unpack_from(data, at)
        size = 4 * (words + 1)
        if first >> 6 != _VERSION or at + size > len(data):
            return
        if kind == _SR and size >= 4 + _SENDER_INFO.size:
            ssrc, seconds, fraction, timestamp, _, _ = _SENDER_INFO.unpack_from(data, at + 4)
            if seconds or fraction:
                era = 0 if seconds & 0x80000000 else _NTP_ERA  # RFC 5905: below is after February 2036
                ntp_ms = (seconds + era - _NTP_TO_UNIX) * 1000 + fraction * 1000 / _NTP_ERA
                middle = ((seconds & 0xFFFF) << 16) | (fraction >> 16)
                yield SenderReport(ssrc, ntp_ms, middle, timestamp)
        elif kind == _BYE and first & 0x1F and size >= 8:
            yield Bye(int.from_bytes(data[at + 4 : at + 8], "big"))
        at += size


class ReceiverStats:
    """What a receiver report says (RFC 3550 section 6.4.2, appendix A.3 and A.8)."""

    def __init__(self) -> None:
        self.ssrc: int | None = None
        self._reset()

    def _reset(self) -> None:
        self._base = self._highest = self._cycles = self._received = 0
        self._expected_before = self._received_before = 0
        self._transit: float | None = None
        self._jitter = 0.0
        self._report_middle = 0
        self._report_at_ms = 0.0

    def packet(self, ssrc: int, seq: int, timestamp: int, arrival_ms: float) -> bool:
        """Count a packet. Returns whether it begins a new run: the first one, or another SSRC than before."""
        new = ssrc != self.ssrc
        if new:
            self._reset()
            self.ssrc, self._base, self._highest = ssrc, seq, seq
        else:
            step = (seq - self._highest) & 0xFFFF
            if 0 < step < _HALF:
                if seq < self._highest:
                    self._cycles += 0x10000
                self._highest = seq
        self._received += 1
        transit = arrival_ms * 90 - timestamp
        if self._transit is not None:
            change = abs(transit - self._transit) % _NTP_ERA
            self._jitter += (min(change, _NTP_ERA - change) - self._jitter) / 16
        self._transit = transit
        return new

    def report(self, report: SenderReport, arrival_ms: float) -> None:
        """Remember when the newest sender report came."""
        self._report_middle, self._report_at_ms = report.ntp_middle, arrival_ms

    def build(self, own_ssrc: int, cname: str, now_ms: float) -> bytes:
        """A compound packet of receiver report and CNAME, empty of blocks before the first packet."""
        blocks = self._block(now_ms) if self.ssrc is not None else b""
        count = 1 if blocks else 0
        report = struct.pack("!BBHI", 0x80 | count, _RR, 1 + len(blocks) // 4, own_ssrc) + blocks
        name = cname.encode()
        chunk = struct.pack("!IBB", own_ssrc, 1, len(name)) + name + b"\0"
        chunk += b"\0" * (-len(chunk) % 4)
        return report + struct.pack("!BBH", 0x81, _SDES, len(chunk) // 4) + chunk

    def _block(self, now_ms: float) -> bytes:
        highest = self._cycles + self._highest
        expected = highest - self._base + 1
        lost = max(-0x800000, min(0x7FFFFF, expected - self._received))
        expected_now, received_now = expected - self._expected_before, self._received - self._received_before
        self._expected_before, self._received_before = expected, self._received
        missing = expected_now - received_now
        fraction = (missing << 8) // expected_now if expected_now > 0 and missing > 0 else 0
        since = int((now_ms - self._report_at_ms) * 65.536) & 0xFFFFFFFF if self._report_middle else 0
        return struct.pack(
            "!IIIIII",
            self.ssrc,
            (min(fraction, 255) << 24) | (lost & 0xFFFFFF),
            highest & 0xFFFFFFFF,
            min(int(self._jitter), 0xFFFFFFFF),
            self._report_middle,
            since,
        )
