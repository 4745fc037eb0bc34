"""The control process's clocks. Nothing else in `control` may ask the time.

Service time (core/service_clock.py) is for pictures, calls and accesses; the wall clock for accounts, which the command
line's process judges too.
"""

from __future__ import annotations

import time

from monitor.core import service_clock


class ServiceClock:
    """Service time from now on."""

    def __init__(self) -> None:
        self.offset_ms = service_clock.offset_ms(time.time(), time.monotonic())

    def now_ms(self) -> int:
        """Milliseconds of service time."""
        return service_ms(self.offset_ms)


def service_ms(offset_ms: int) -> int:
    """Milliseconds of service time, where its offset is known."""
    return round(time.monotonic() * 1000) + offset_ms


def wall_ms() -> int:
    """Unix milliseconds by the wall clock."""
    return round(time.time() * 1000)
