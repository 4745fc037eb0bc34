"""Which moment a camera's RTP timestamp belongs to, in service time.

The camera's timestamps count its own 90 kHz clock from an unknown start. Two things tell the start: the camera's sender
reports (RFC 3550 section 6.4.1), if its clock is right, and the arrival of the packets. Arrival minus capture can only
be more than the true delay, never less, so the smallest difference seen lately is the best guess; it may creep up
slowly, to follow a camera whose clock runs slow. Both are followed for ever: no delay grows with the drift of a clock.

A sender report is believed only where it puts the capture before the arrival by no more than `BELIEVABLE_MS`: a camera
whose clock is wrong must not make its picture look old, and never newer than it is.
"""

from __future__ import annotations

from monitor.core.service_clock import RTP_CLOCK, RTP_WRAP

BELIEVABLE_MS = 1000.0
"""The most that a camera may need from capture to our socket before its report is taken for a wrong clock."""
AGREES_MS = 20.0
"""How far a report may put the capture behind the arrival and still be taken for the same moment: clocks are read and
rounded apart. The arrival counts then."""
CREEP = 0.001
"""How fast the guess may move towards later, in ms per ms: five times the 200 ppm of a poor clock."""
JUMP_MS = 2000.0
"""A difference beyond this is a jump of the camera's clock, not a delay."""
SMALLEST_STEP = 1.0 / RTP_CLOCK


class CaptureClock:
    """Maps the timestamps of one connection. Moments are ms of service time."""

    def __init__(self) -> None:
        self._last_timestamp: int | None = None
        self._elapsed_ms = 0.0
        self._offset_ms = 0.0
        self._last_arrival_ms = 0.0
        self._capture_ms = 0.0
        self._report: tuple[float, float] | None = None  # (elapsed ms, camera's own ms)
        self._early: tuple[float, int] | None = None  # (camera's own ms, timestamp) of a report before any picture
        self.clock_offset_ms = 0
        """Camera's own clock minus ours at the last sender report."""
        self.from_report = False
        """Whether the newest capture moment came from a sender report."""

    def capture_ms(self, timestamp: int, arrival_ms: float) -> float:
        """The capture moment of the access unit with this timestamp. The same timestamp gives the same moment; a later
        access unit never gives an earlier one."""
        if timestamp == self._last_timestamp:
            return self._capture_ms
        if self._last_timestamp is None:
            self._elapsed_ms, self._offset_ms = 0.0, arrival_ms
            if self._early is not None:
                self._tie(*self._early, timestamp)
        else:
            self._elapsed_ms += _signed(timestamp - self._last_timestamp) / RTP_CLOCK
            sample = arrival_ms - self._elapsed_ms
            behind = sample - self._offset_ms
            if abs(behind) > JUMP_MS:
                self._offset_ms = sample
                self._report = None
            elif behind < 0:
                self._offset_ms = sample
            else:
                self._offset_ms += min(behind, CREEP * max(0.0, arrival_ms - self._last_arrival_ms))
        self._last_timestamp, self._last_arrival_ms = timestamp, arrival_ms
        moment = self._elapsed_ms + self._offset_ms
        self.from_report = False
        if self._report is not None:
            reported = self._report[1] + self._elapsed_ms - self._report[0]
            if moment - BELIEVABLE_MS <= reported <= moment + AGREES_MS:
                moment, self.from_report = min(moment, reported), True
        # A step between the two sources must not turn time back for the viewer's decoder.
        self._capture_ms = max(min(moment, arrival_ms), self._capture_ms + SMALLEST_STEP)
        return self._capture_ms

    def sender_report(self, ntp_ms: float, timestamp: int) -> None:
        """The camera says that `timestamp` was captured at `ntp_ms` of its own clock."""
        if self._last_timestamp is None:
            self._early = (ntp_ms, timestamp)
        else:
            self._tie(ntp_ms, timestamp, self._last_timestamp)

    def _tie(self, ntp_ms: float, timestamp: int, newest: int) -> None:
        """Note a report relative to the `newest` picture's timestamp."""
        elapsed = self._elapsed_ms + _signed(timestamp - newest) / RTP_CLOCK
        self._report = (elapsed, ntp_ms)
        self.clock_offset_ms = round(ntp_ms - (elapsed + self._offset_ms))


def _signed(difference: int) -> int:
    """A difference of 32-bit timestamps with its sign (RFC 3550 arithmetic)."""
    difference %= RTP_WRAP
    return difference - RTP_WRAP if difference >= RTP_WRAP // 2 else difference
