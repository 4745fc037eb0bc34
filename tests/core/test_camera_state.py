"""The state of a camera: the whole table, each state with each event, and what the clock says of it."""

from __future__ import annotations

import itertools
import logging
from typing import get_args

import pytest

from monitor.core import camera_state
from monitor.core.camera_state import (
    PERMANENT,
    STEADY_MS,
    TABLE,
    CameraEvent,
    CameraReason,
    CameraState,
    CameraStateName,
    picture_age_ms,
)

STATES: tuple[CameraStateName, ...] = get_args(CameraStateName)
EVENTS: tuple[CameraEvent, ...] = get_args(CameraEvent)
STALE_MS = 2000


def at(state: CameraStateName, reason: CameraReason = "") -> CameraState:
    return CameraState("bay-1", state, reason, since_ms=1)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(STATES, EVENTS)))
def test_the_whole_table(state: CameraStateName, event: CameraEvent, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, camera_state.__name__)
    camera = at(state, "timeout")
    following = TABLE[state].get(event)
    changed = camera.on(event, 5000, "outage")
    if following is None:
        assert not changed
        assert (camera.state, camera.reason, camera.since_ms) == (state, "timeout", 1)
        assert not caplog.records
    else:
        assert changed
        assert (camera.state, camera.reason, camera.since_ms) == (following, "outage", 5000)
        assert [record.getMessage() for record in caplog.records] == [f"camera bay-1: {state} -> {following} (outage)"]


def test_the_table_is_whole() -> None:
    assert set(TABLE) == set(STATES)
    assert {event for row in TABLE.values() for event in row} == set(EVENTS), "an event that no state takes"
    assert {"off"} | {to for row in TABLE.values() for to in row.values()} == set(STATES), "a state nobody reaches"
    assert set(get_args(CameraReason)) >= PERMANENT
    for state in STATES:  # privacy and the end come from everywhere
        assert state == "curtain" or TABLE[state]["curtain"] == "curtain"
        assert state == "off" or TABLE[state]["stop"] == "off"


def test_only_a_picture_makes_live() -> None:
    ways = {(state, event) for state, row in TABLE.items() for event, to in row.items() if to == "live"}
    assert ways == {("connecting", "picture"), ("failed", "picture"), ("live", "picture"), ("stale", "flowing")}


def test_the_drawing_names_every_state_and_event() -> None:
    text = camera_state.__doc__ or ""
    drawing = text[text.index("    off ──start") :]
    for name in (*STATES, "start", "picture", "silent", "flowing", "lost", "refused", "curtain", "open", "stop"):
        assert name in drawing, name


def test_the_same_again_is_no_change_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, camera_state.__name__)
    camera = at("live")
    for now in range(100, 200, 10):
        assert not camera.on("picture", now)
    assert camera.since_ms == 1
    assert not caplog.records


def test_failed_stays_failed_while_it_is_tried_again() -> None:
    camera = at("connecting")
    assert camera.on("refused", 10, "wrong-password")
    for now in range(1000, 5000, 1000):
        assert not camera.on("connecting", now)
        assert not camera.on("refused", now + 1, "wrong-password")
    assert (camera.state, camera.reason, camera.since_ms) == ("failed", "wrong-password", 10)
    assert camera.on("picture", 9000)
    assert (camera.state, camera.reason) == ("live", "")


def test_why_it_was_lost_stays_on_show_while_it_connects() -> None:
    camera = at("live")
    camera.on("lost", 10, "closed-by-camera")
    assert not camera.on("connecting", 20)
    assert (camera.state, camera.reason, camera.since_ms) == ("connecting", "closed-by-camera", 10)
    assert camera.on("connecting", 30, "first-picture-awaited")


# ---- the clock -------------------------------------------------------------------------------------------------------


def test_stale_when_the_newest_packet_is_older_than_the_bound() -> None:
    camera = at("live")
    assert not camera.observe(10_000, 10_000 + STALE_MS, STALE_MS)
    assert camera.observe(10_000, 10_001 + STALE_MS, STALE_MS)
    assert (camera.state, camera.reason, camera.since_ms) == ("stale", "no-packets", 10_001 + STALE_MS)


@pytest.mark.parametrize("state", [state for state in STATES if state not in ("live", "stale")])
def test_the_clock_says_nothing_of_other_states(state: CameraStateName) -> None:
    camera = at(state)
    for newest in (None, 0, 99_000, 100_000):
        assert not camera.observe(newest, 100_000, STALE_MS)
    assert camera.state == state


def run(camera: CameraState, packets: list[int], until: int) -> int | None:
    """Tick each 100 ms; the moment at which it was live again."""
    for now in range(0, until, 100):
        come = [moment for moment in packets if moment <= now]
        camera.observe(come[-1] if come else -10_000, now, STALE_MS)
        if camera.state == "live":
            return now
    return None


def test_back_to_live_after_a_second_of_packets() -> None:
    live_at = run(at("stale"), list(range(3000, 9000, 40)), 9000)
    assert live_at is not None
    assert 3000 + STEADY_MS <= live_at <= 3000 + STEADY_MS + 200


def test_one_packet_alone_is_no_flow() -> None:
    assert run(at("stale"), [3000], 9000) is None


def test_a_burst_and_silence_is_no_flow() -> None:
    assert run(at("stale"), [3000, 3300, 3600, 3900], 9000) is None


def test_a_break_begins_the_second_anew() -> None:
    packets = [*range(3000, 3800, 40), *range(6500, 9000, 40)]
    live_at = run(at("stale"), packets, 9000)
    assert live_at is not None
    assert live_at >= 6500 + STEADY_MS


def test_a_second_silence_does_not_profit_from_the_first_flow() -> None:
    camera = at("stale")
    assert run(camera, list(range(0, 2000, 40)), 3000) is not None
    assert camera.observe(2000, 5000, STALE_MS)
    assert camera.state == "stale"
    camera.observe(5100, 5100, STALE_MS)
    assert camera.state == "stale"


@pytest.mark.parametrize(
    ("picture", "sent", "now", "age"),
    [(0, 5000, 5000, None), (4900, 5000, 5400, 100), (4900, 5000, 6501, 1601), (5001, 5000, 5000, 0)],
)
def test_a_picture_ages_between_reports_only_when_they_are_overdue(picture, sent, now, age):
    assert picture_age_ms(picture, sent, now) == age
