"""Payloads that are too large for one packet towards viewers are cut anew, without waiting for the access unit's end.

A camera may send payloads up to 64 KiB over interleaved TCP. What fits goes on untouched; a large single NAL unit or
STAP-A is cut at once; of a NAL unit that comes in large FU-A fragments the fragments are treated as one stream of
bytes, of which less than one packet waits for the next fragment. This module must never keep more than that.
"""

from __future__ import annotations

from collections.abc import Iterator

from monitor.media import h264

_TYPE = 0x1F
_START = 0x80
_END = 0x40


class Resizer:
    """Cuts the payloads of one camera. `limit` is in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = limit - 2  # behind FU indicator and FU header
        self._held = bytearray(self._room)  # never grows: a buffer that moves leaves its bytes behind
        self._length = 0
        self._cutting = False
        self._first_pending = False

    def feed(self, payload: memoryview) -> Iterator[memoryview | bytes]:
        """The payloads to send instead of this one: itself where it fits."""
        kind = payload[0] & _TYPE if len(payload) else 0
        if kind == h264.FU_A and len(payload) >= 2:  # the last fragment may be empty (RFC 6184 section 5.8)
            if payload[1] & _START:
                self.reset()
            if not self._cutting and len(payload) > self._limit:
                self._cutting, self._first_pending = True, bool(payload[1] & _START)
            if self._cutting:
                yield from self._refragment(payload)
                return
        elif self._cutting:
            self.reset()  # the camera broke off in the middle of a NAL unit: what waits has no end any more
        if len(payload) <= self._limit:
            yield payload
            return
        for piece in h264.iter_nals(payload):
            if 1 <= piece.type < h264.STAP_A:  # a STAP-A inside a STAP-A makes no sense
                yield from h264.packetise([bytes([piece.header]) + piece.body.tobytes()], self._limit)

    @property
    def waiting(self) -> bool:
        """Whether a part of a NAL unit waits for its next fragment."""
        return self._length > 0

    def reset(self) -> None:
        """Forget and zero what waits: a packet was lost, or the camera stopped."""
        self._zero()
        self._cutting = self._first_pending = False

    def _refragment(self, payload: memoryview) -> Iterator[bytes]:
        indicator, kind, end = payload[0], payload[1] & _TYPE, bool(payload[1] & _END)
        body = payload[2:]
        # the last piece of a NAL unit must carry the end bit, so hold back as long as more may follow
        while self._length + len(body) > self._room or (end and self._length + len(body)):
            take = min(self._room - self._length, len(body))
            last = end and take == len(body)
            flags = (_START if self._first_pending else 0) | (_END if last else 0)
            self._first_pending = False
            yield b"".join((bytes([indicator, flags | kind]), self._held[: self._length], body[:take]))
            body = body[take:]
            self._zero()
        self._held[self._length : self._length + len(body)] = body
        self._length += len(body)
        if end:
            self._cutting = False

    def _zero(self) -> None:
        self._held[: self._length] = bytes(self._length)
        self._length = 0
