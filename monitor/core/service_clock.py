"""Service time: one clock for both rooms, which no step of the wall clock can disturb.

Service time in ms = CLOCK_MONOTONIC in ms + an offset that the control process fixes at its start, so that it then
agrees with the wall clock. Ages of pictures are differences of service times, so they stay true when NTP steps the
wall clock.

A picture's RTP timestamp towards viewers *is* its capture moment: service time in ms × 90, modulo 2³². So a page that
knows the service time can tell a picture's age from `rtpTimestamp` alone, whatever stream or session it came by.
"""

from __future__ import annotations

RTP_CLOCK = 90
"""Ticks of the video RTP clock in a millisecond (RFC 6184 section 8.2.1)."""
RTP_WRAP = 1 << 32


def offset_ms(wall_seconds: float, monotonic_seconds: float) -> int:
    """The offset to use from now on, from both clocks read together."""
    return round((wall_seconds - monotonic_seconds) * 1000)


def rtp_from_ms(moment_ms: float) -> int:
    """The RTP timestamp of a capture moment in service time."""
    return int(moment_ms * RTP_CLOCK) % RTP_WRAP


def ms_from_rtp(rtp: int, near_ms: float) -> float:
    """The capture moment of an RTP timestamp: of all that it could mean, the one nearest to `near_ms`."""
    wrap_ms = RTP_WRAP / RTP_CLOCK
    moment = rtp / RTP_CLOCK
    return moment + round((near_ms - moment) / wrap_ms) * wrap_ms
