"""From a camera's timestamps to moments of service time: under jitter, drift, wraps, jumps, and lying clocks."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.service_clock import RTP_CLOCK, RTP_WRAP
from monitor.media.capture_clock import AGREES_MS, BELIEVABLE_MS, SMALLEST_STEP, CaptureClock

START = 1_790_000_000_000.0
HOUR = 3600 * 25


def camera(frames: int, *, ppm: float = 0.0, start: int = 0, fps: float = 25.0) -> Iterator[tuple[float, int]]:
    """(true capture moment, timestamp) of each picture of a camera whose clock runs fast by `ppm`."""
    for number in range(frames):
        elapsed = number * 1000 / fps
        yield START + elapsed, (start + round(elapsed * (1 + ppm / 1e6) * RTP_CLOCK)) % RTP_WRAP


@pytest.mark.parametrize("ppm", [-200, 0, 200])
@pytest.mark.parametrize("jitter", [0.0, 30.0])
def test_an_hour_of_drift_adds_no_delay(ppm: float, jitter: float) -> None:
    clock, rng = CaptureClock(), random.Random(1)
    last = 0.0
    for number, (true, timestamp) in enumerate(camera(HOUR, ppm=ppm)):
        delay = 0.0 if number % 25 == 0 else rng.uniform(0, jitter)  # one a second comes through at once
        capture = clock.capture_ms(timestamp, true + delay)
        assert last < capture <= true + delay
        assert -jitter / 10 - 1 < true - capture < 15, number
        last = capture


def test_a_clock_without_creep_would_fall_behind() -> None:
    """The negative control: 200 ppm for an hour are 720 ms."""
    first, *_, last = camera(HOUR, ppm=-200)
    naive = first[0] + (last[1] - first[1]) % RTP_WRAP / RTP_CLOCK
    assert last[0] - naive > 700


def test_the_same_timestamp_is_the_same_moment() -> None:
    clock = CaptureClock()
    moment = clock.capture_ms(9000, START)
    assert clock.capture_ms(9000, START + 35.0) == moment == START
    later = clock.capture_ms(9000 + 3600, START + 40.0)
    assert clock.capture_ms(9000 + 3600, START + 79.0) == later


@pytest.mark.parametrize("start", [RTP_WRAP - 1, RTP_WRAP - 1800, RTP_WRAP - 90 * 1000, RTP_WRAP // 2 - 5])
def test_the_timestamps_wrap(start: int) -> None:
    clock = CaptureClock()
    for true, timestamp in camera(100, start=start):
        assert clock.capture_ms(timestamp, true) == pytest.approx(true, abs=0.02)


@pytest.mark.parametrize("jump", [1 << 31, -(1 << 30), 90 * 5000, -90 * 5000, 90 * 3000])
def test_a_jump_of_the_camera_s_clock_is_followed_at_once(jump: int) -> None:
    clock = CaptureClock()
    for true, timestamp in camera(50):
        clock.capture_ms(timestamp, true)
    for true, timestamp in list(camera(100))[50:]:
        assert clock.capture_ms((timestamp + jump) % RTP_WRAP, true) == pytest.approx(true, abs=0.02)


def test_a_stall_and_a_burst_after_it_are_old_pictures_not_new_ones() -> None:
    """1.2 s of pictures wait somewhere and then come all at once: their moments are when they were taken."""
    clock = CaptureClock()
    pictures = list(camera(120))
    for true, timestamp in pictures[:50]:
        clock.capture_ms(timestamp, true)
    for true, timestamp in pictures[50:80]:
        capture = clock.capture_ms(timestamp, pictures[80][0])
        assert true - 1 < capture < true + 3
    for true, timestamp in pictures[80:]:
        assert clock.capture_ms(timestamp, true) == pytest.approx(true, abs=3)


def test_a_camera_that_sends_its_buffer_first_is_not_behind_for_ever() -> None:
    """Some cameras begin with the pictures since the last keyframe, all at once: the first are old."""
    clock = CaptureClock()
    pictures = list(camera(100))
    for _, timestamp in pictures[:50]:
        clock.capture_ms(timestamp, pictures[49][0])
    for true, timestamp in pictures[50:]:
        assert clock.capture_ms(timestamp, true) == pytest.approx(true, abs=1)


# ---- sender reports --------------------------------------------------------------------------------------------------


def with_report(ahead_ms: float, delay_ms: float = 120.0) -> tuple[CaptureClock, float]:
    """A camera whose pictures need `delay_ms` and whose clock is `ahead_ms` ahead; the clock and its mean error."""
    clock, errors = CaptureClock(), []
    for number, (true, timestamp) in enumerate(camera(100)):
        capture = clock.capture_ms(timestamp, true + delay_ms)
        if number == 9:
            clock.sender_report(true + ahead_ms, timestamp)
        if number > 30:  # when the step back to the report's moments is through: time stands still meanwhile
            errors.append(capture - true)
    return clock, sum(errors) / len(errors)


@pytest.mark.parametrize("ahead", [0.0, 100.0, -500.0])
def test_a_report_that_can_be_true_is_believed(ahead: float) -> None:
    clock, error = with_report(ahead)
    assert clock.from_report
    assert error == pytest.approx(ahead, abs=0.1)
    assert clock.clock_offset_ms == pytest.approx(ahead - 120, abs=1)


def test_a_report_a_little_ahead_of_the_arrival_agrees_and_the_arrival_counts() -> None:
    clock, error = with_report(120.0 + AGREES_MS / 2)
    assert clock.from_report
    assert error == pytest.approx(120.0, abs=0.1)


@pytest.mark.parametrize("ahead", [121.0 + AGREES_MS, 5000.0, 3_600_000.0, -5000.0, -BELIEVABLE_MS + 119, -1.79e12])
def test_a_report_that_cannot_be_true_is_not(ahead: float) -> None:
    """Ahead: the picture would be newer than it can be. Behind by seconds: it would look older than it is."""
    clock, error = with_report(ahead)
    assert not clock.from_report
    assert error == pytest.approx(120.0, abs=0.1)
    assert clock.clock_offset_ms == pytest.approx(ahead - 120, abs=1)


def test_a_report_before_the_first_picture_counts_from_it_on() -> None:
    clock = CaptureClock()
    clock.sender_report(START, 9000)
    assert clock.capture_ms(9000 + 900, START + 50) == START + 10
    assert (clock.from_report, clock.clock_offset_ms) == (True, -40)


def test_a_report_for_a_timestamp_beside_the_pictures() -> None:
    clock = CaptureClock()
    clock.capture_ms(RTP_WRAP - 900, START + 100)  # taken at START
    clock.sender_report(START + 25, 1350)  # 25 ms later, across the wrap
    stands = clock.capture_ms(2700, START + 140)
    assert START + 100 < stands < START + 100.1, "time was turned back"
    assert clock.capture_ms(2700 + 9000, START + 240) == pytest.approx(START + 140, abs=0.1)
    assert clock.from_report


def test_a_report_does_not_outlive_a_jump() -> None:
    clock = CaptureClock()
    clock.capture_ms(0, START + 100)
    clock.sender_report(START, 0)
    clock.capture_ms(3600, START + 140)
    assert clock.from_report
    clock.capture_ms(3600 + 90 * 60_000, START + 180)
    assert not clock.from_report


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, RTP_WRAP - 1) | st.integers(0, 90_000),
            st.floats(0, 3000),
            st.none() | st.floats(-1e13, 1e13),
        ),
        max_size=60,
    )
)
def test_time_never_runs_back_and_never_ahead(steps: list[tuple[int, float, float | None]]) -> None:
    clock = CaptureClock()
    arrival, last, timestamp, seen = START, 0.0, 0, 0
    for step, wait, report in steps:
        arrival += wait
        capture = clock.capture_ms(timestamp, arrival)
        assert capture >= last
        # Pictures of one moment are put a tick apart, so that no two bear one timestamp.
        assert capture <= arrival + seen * SMALLEST_STEP * 1.1
        if report is not None:
            clock.sender_report(report, timestamp)
        last, seen = capture, seen + 1
        timestamp = (timestamp + step) % RTP_WRAP
