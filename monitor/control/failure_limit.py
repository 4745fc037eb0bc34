"""How often somebody may fail to sign in.

Secrets are 256 random bits and cannot be guessed; the limit keeps the log and the disk from being filled by one who
tries. So a right secret always passes: a ward behind one address cannot be locked out by one broken device.
"""

from __future__ import annotations

from collections import OrderedDict, deque

FAILURES = 10
WINDOW_SECONDS = 60.0
ADDRESSES = 4096
"""Addresses that are remembered; the longest silent is forgotten first."""


class FailureLimit:
    """Failures of each address in the last minute."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def failed(self, address: str, now: float) -> float:
        """Count a failure at `now` (monotonic seconds): 0 within the limit, else the seconds until it is over."""
        failures = self._failures.setdefault(address, deque())
        self._failures.move_to_end(address)
        while failures and now - failures[0] >= WINDOW_SECONDS:
            failures.popleft()
        if len(failures) >= FAILURES:
            return WINDOW_SECONDS - (now - failures[0])
        failures.append(now)
        while len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)
        return 0.0
