"""Service time and its RTP timestamps: there and back, across every wrap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.service_clock import RTP_WRAP, ms_from_rtp, offset_ms, rtp_from_ms

WRAP_MS = RTP_WRAP / 90
MOMENTS = st.floats(0, 4e12, allow_nan=False)  # to the year 2096


def test_the_offset_carries_the_wall_clock_on() -> None:
    offset = offset_ms(1_790_000_000.25, 1234.5)
    assert 1234_500 + offset == 1_790_000_000_250


@given(MOMENTS)
def test_a_timestamp_is_32_bits(moment: float) -> None:
    assert 0 <= rtp_from_ms(moment) < RTP_WRAP


@given(MOMENTS, st.floats(-WRAP_MS / 2 + 1000, WRAP_MS / 2 - 1000))
def test_a_moment_comes_back_when_the_guess_is_within_half_a_wrap(moment: float, off: float) -> None:
    assert abs(ms_from_rtp(rtp_from_ms(moment), moment + off) - moment) < 0.05  # a tick is 0.011 ms


def test_a_guess_beyond_half_a_wrap_gives_another_moment() -> None:
    moment = 1.79e12
    assert abs(ms_from_rtp(rtp_from_ms(moment), moment + WRAP_MS * 0.6) - moment) > WRAP_MS / 2


@given(st.integers(1, 80))
def test_across_the_wrap_the_timestamps_go_on(wraps: int) -> None:
    before, after = wraps * WRAP_MS - 20, wraps * WRAP_MS + 20
    step = (rtp_from_ms(after) - rtp_from_ms(before)) % RTP_WRAP
    assert abs(step - 40 * 90) <= 1
    assert rtp_from_ms(after) < rtp_from_ms(before)
