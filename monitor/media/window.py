"""The window: the few seconds of compressed video of one camera that live in memory, and nowhere else.

A preallocated ring of equal slots, one RTP payload each, in an anonymous private mapping that is left out of core
dumps. It serves the fast start of a viewer and retransmissions. This module must never let a payload live longer than
`max_age_ms`: `expire` zeroes what is older and must be called at least every `EXPIRE_EVERY_MS`; `clear` zeroes all at
once (curtain, stop, loss of the source). It measures how long the oldest byte has lived (GUARANTEE.md row 15).

Packets are named by their index: a number that counts up for as long as the process lives, so that an index once given
never names another packet.
"""

from __future__ import annotations

import mmap

import numpy as np

MAX_PAYLOAD = 1400
"""Bytes of the largest payload: with RTP header, SRTP tag, UDP and IP it stays within a 1500-byte Ethernet frame, with
room for header extensions and a VLAN or PPPoE header."""

EXPIRE_EVERY_MS = 100.0
_MADV_DONTDUMP = getattr(mmap, "MADV_DONTDUMP", 16)


def private_memory(size: int) -> mmap.mmap:
    """Zeroed memory of this process alone, `size` bytes, for payloads: left out of core dumps (GUARANTEE.md row 6)."""
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(_MADV_DONTDUMP)
    return memory


class Window:
    """The ring. `seconds` and `octets` bound it; an index is an int ≥ 0, moments are ms of service time."""

    def __init__(self, seconds: float, octets: int) -> None:
        self.slots = max(64, octets // MAX_PAYLOAD)
        # expire() comes at the latest EXPIRE_EVERY_MS after a payload's time is up: stay under the bound nevertheless
        self.max_age_ms = seconds * 1000 - 1.5 * EXPIRE_EVERY_MS
        self._memory = private_memory(self.slots * MAX_PAYLOAD)
        self._rows = np.frombuffer(self._memory, np.uint8).reshape(self.slots, MAX_PAYLOAD)
        self._view = memoryview(self._memory)
        self.lengths = np.zeros(self.slots, np.uint16)
        self.timestamps = np.zeros(self.slots, np.uint32)
        self.markers = np.zeros(self.slots, np.uint8)
        self._arrivals = np.zeros(self.slots, np.float64)
        self.first = 0
        """Index of the oldest packet held; equals `end` when empty."""
        self.end = 0
        """Index that the next packet will get."""
        self._key: int | None = None
        self.residency_max_ms = 0.0
        self.overrun = False
        """Whether the bound in bytes, not the one in seconds, ever pushed a packet out."""

    @property
    def octets(self) -> int:
        """Payload bytes held now."""
        return int(self.lengths.sum())

    @property
    def keyframe(self) -> int | None:
        """Index of the first packet of the newest keyframe's access unit, None where the window holds none."""
        return self._key if self._key is not None and self._key >= self.first else None

    def append(self, payload: memoryview | bytes, timestamp: int, marker: bool, arrival_ms: float) -> int:
        """Copy one payload in and return its index. Raises ValueError where it is larger than MAX_PAYLOAD."""
        size = len(payload)
        if size > MAX_PAYLOAD:
            raise ValueError(f"a payload of {size} bytes is larger than a slot")
        index = self.end
        if index - self.first >= self.slots:
            self.overrun = True
            self._drop(self.first + 1, arrival_ms)
        slot = index % self.slots
        start = slot * MAX_PAYLOAD
        self._view[start : start + size] = payload
        self.lengths[slot] = size
        self.timestamps[slot] = timestamp
        self.markers[slot] = marker
        self._arrivals[slot] = arrival_ms
        # A source that puts packets in order hands on older ones behind newer ones. `expire` stops at the first that is
        # young enough, so none may be younger than one behind it: those before it are taken for as old.
        before = index - 1
        while before >= self.first and self._arrivals[before % self.slots] > arrival_ms:
            self._arrivals[before % self.slots] = arrival_ms
            before -= 1
        self.end = index + 1
        return index

    def skip(self, count: int, arrival_ms: float) -> None:
        """Leave `count` indexes out: packets that were lost on the way here. Viewers see the gap and know."""
        for _ in range(count):
            self.append(b"", 0, False, arrival_ms)

    def mark_keyframe(self, index: int) -> None:
        """The access unit that begins at `index` can be decoded without any before it."""
        self._key = index

    def unmark_keyframe(self) -> None:
        """The newest keyframe is damaged: no viewer may start from it."""
        self._key = None

    def payload(self, index: int) -> memoryview | None:
        """The payload at `index`, None where it is not held. Valid until the next call that changes the window."""
        if not self.first <= index < self.end:
            return None
        slot = index % self.slots
        size = int(self.lengths[slot])
        return self._view[slot * MAX_PAYLOAD : slot * MAX_PAYLOAD + size] if size else None

    def expire(self, now_ms: float) -> None:
        """Zero every payload older than `max_age_ms`."""
        limit = now_ms - self.max_age_ms
        upto = self.first
        while upto < self.end and self._arrivals[upto % self.slots] <= limit:
            upto += 1
        self._drop(upto, now_ms)

    def clear(self, now_ms: float) -> None:
        """Zero the whole mapping at once, held or not."""
        self._drop(self.end, now_ms)
        self._rows[:] = 0
        self._key = None

    def _drop(self, upto: int, now_ms: float) -> None:
        if upto <= self.first:
            return
        oldest = now_ms - float(self._arrivals[self.first % self.slots])
        self.residency_max_ms = max(self.residency_max_ms, oldest)
        start, stop = self.first % self.slots, upto % self.slots
        parts = [(start, stop)] if start < stop else [(start, self.slots), (0, stop)]
        for low, high in parts:
            self._rows[low:high] = 0
            self.lengths[low:high] = 0
        self.first = upto
