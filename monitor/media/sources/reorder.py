"""Packets in the order of their sequence numbers, for cameras that send over UDP.

Pure: moments are arguments. Must never hold an item longer than `max_wait_ms`, given that `expire` is called in time,
and every item either comes out in order or goes to `discard`, so that whoever holds bytes can zero them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

_MAX_MISORDER = 100
_MAX_DROPOUT = 3000
"""RFC 3550 appendix A.1: what is farther off than this is not out of order but a new beginning."""

Item = TypeVar("Item")


class ReorderBuffer(Generic[Item]):
    """Waits for a missing packet while at most `max_held` packets wait behind it, none longer than `max_wait_ms`.

    Duplicates and what comes too late are dropped and counted.
    """

    def __init__(self, discard: Callable[[Item], None], max_held: int = 32, max_wait_ms: float = 40.0) -> None:
        self._discard = discard
        self._max_held = max_held
        self._max_wait_ms = max_wait_ms
        self._expected: int | None = None
        self._held: dict[int, tuple[Item, float]] = {}
        self._restart_at: int | None = None
        self.duplicates = self.late = self.given_up = 0

    def is_next(self, seq: int) -> bool:
        """Whether this packet is the next one and nothing waits: then it need not be stored, and is taken note of."""
        if self._held or (self._expected is not None and seq != self._expected):
            return False
        self._expected = (seq + 1) & 0xFFFF
        self._restart_at = None
        return True

    def push(self, seq: int, item: Item, now_ms: float) -> list[Item]:
        """Take a packet that is not next. Returns the items that are in order now; after use they are the caller's."""
        if self._expected is None:
            self._expected = seq
        ahead = (seq - self._expected) & 0xFFFF
        if ahead > _MAX_DROPOUT and not self._restarts(seq, ahead):
            self._discard(item)
            return []
        if seq in self._held:
            self.duplicates += 1
            self._discard(item)
            return []
        self._held[seq] = (item, now_ms)
        out = self._drain()
        while len(self._held) > self._max_held:
            out += self._give_up()
        return out + self.expire(now_ms)

    def expire(self, now_ms: float) -> list[Item]:
        """What has waited long enough for the packet before it."""
        out: list[Item] = []
        while (due := self.due_ms()) is not None and now_ms >= due:
            out += self._give_up()
        return out

    def due_ms(self) -> float | None:
        """When `expire` must be called next; None while nothing waits."""
        return min(since for _, since in self._held.values()) + self._max_wait_ms if self._held else None

    def clear(self) -> None:
        """Forget all, for a new beginning."""
        for item, _ in self._held.values():
            self._discard(item)
        self._held.clear()
        self._expected = self._restart_at = None

    def _restarts(self, seq: int, ahead: int) -> bool:
        """Two packets in a row that are far from what is expected: the camera began anew (RFC 3550 appendix A.1)."""
        if ahead < 0x10000 - _MAX_MISORDER and seq == self._restart_at:
            self.clear()
            self._expected = seq
            return True
        self.late += 1
        self._restart_at = (seq + 1) & 0xFFFF
        return False

    def _drain(self) -> list[Item]:
        out: list[Item] = []
        while self._expected is not None and self._expected in self._held:
            out.append(self._held.pop(self._expected)[0])
            self._expected = (self._expected + 1) & 0xFFFF
        return out

    def _give_up(self) -> list[Item]:
        expected = self._expected or 0
        following = min(self._held, key=lambda seq: (seq - expected) & 0xFFFF)
        self.given_up += (following - expected) & 0xFFFF
        self._expected = following
        return self._drain()
