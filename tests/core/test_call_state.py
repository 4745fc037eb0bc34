"""The table of a call's states, walked whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.core.call_state import (
    EVENTS,
    RINGING,
    STATES,
    TABLE,
    Call,
    CallEvent,
    CallStateName,
    idle,
    to_json,
    to_patient_json,
    transition,
)
from monitor.core.errors import Conflict

T0 = 1_800_000_000_000


def in_state(state: CallStateName) -> Call:
    """A call that came to `state` by the shortest legal way."""
    call = idle("c1", "bay-1", "bay-1-button", T0)
    ways: dict[CallStateName, tuple[CallEvent, ...]] = {
        "idle": (),
        "ringing": ("press",),
        "escalated": ("press", "escalate"),
        "acknowledged": ("press", "acknowledge"),
        "attended": ("press", "acknowledge", "attend"),
        "closed": ("press", "acknowledge", "attend", "close"),
    }
    for number, event in enumerate(ways[state]):
        call = transition(call, event, T0 + number, who="Anna")
    assert call.state == state
    return call


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_every_cell_of_the_table(state: CallStateName, event: CallEvent) -> None:
    before = in_state(state)
    following = TABLE[state].get(event)
    if following is None:
        copy = replace(before)
        with pytest.raises(Conflict) as refused:
            transition(before, event, T0 + 100, who="Bo")
        assert before == copy, "an illegal event changed something"
        assert event in refused.value.message
        assert {"idle": "no call", "closed": "closed"}.get(state, state) in refused.value.message
    else:
        after = transition(before, event, T0 + 100, who="Bo", screen="s-1")
        assert after.state == following
        assert after != before, "an event left no trace"


def test_the_table_has_a_row_for_every_state_and_no_event_that_does_not_exist() -> None:
    assert set(TABLE) == set(STATES)
    assert {event for row in TABLE.values() for event in row} == set(EVENTS)


def test_every_state_can_be_reached_and_every_open_one_can_be_closed() -> None:
    reached: set[CallStateName] = {"idle"}
    while more := {following for state in reached for following in TABLE[state].values()} - reached:
        reached |= more
    assert reached == set(STATES)
    assert all("close" in TABLE[state] for state in STATES if state not in {"idle", "closed"})
    assert TABLE["closed"] == {}


def test_presses_grow_an_open_call_and_keep_its_first_moment() -> None:
    call = transition(in_state("acknowledged"), "press", T0 + 5000)
    assert (call.presses, call.pressed_at, call.last_press_at, call.state) == (2, T0, T0 + 5000, "acknowledged")


def test_a_screen_counts_once_and_only_with_sound() -> None:
    call = transition(in_state("ringing"), "shown", T0 + 1, who="Wall", screen="s-1", sound=False)
    assert call.shown_on == ()
    assert to_json(call)["silent_on"] == ["Wall"]
    call = transition(call, "shown", T0 + 2, who="Wall", screen="s-1", sound=True)
    call = transition(call, "shown", T0 + 3, who="Wall", screen="s-2", sound=True)
    again = transition(call, "shown", T0 + 4, who="Wall", screen="s-2", sound=False)
    assert again == call
    assert call.shown_on == ("Wall", "Wall"), "two screens of one account are two"
    assert to_json(call)["silent_on"] == []


def test_who_and_when_of_each_step() -> None:
    call = transition(in_state("ringing"), "acknowledge", T0 + 1, who="Anna")
    call = transition(call, "attend", T0 + 2, who="Bo")
    call = transition(call, "close", T0 + 3, who="Cy")
    assert (call.acknowledged_by, call.acknowledged_at) == ("Anna", T0 + 1)
    assert (call.attended_by, call.attended_at) == ("Bo", T0 + 2)
    assert (call.closed_by, call.closed_at) == ("Cy", T0 + 3)


def test_close_needs_presence_where_the_bay_does() -> None:
    call = in_state("acknowledged")
    with pytest.raises(Conflict, match="closed at the bay"):
        transition(call, "close", T0 + 9, who="Anna", presence_needed=True)
    assert transition(call, "close", T0 + 9, who="Anna", presence_needed=True, present=True).state == "closed"
    attended = transition(call, "attend", T0 + 8, who="Anna")
    assert transition(attended, "close", T0 + 9, who="Anna", presence_needed=True).state == "closed"
    assert transition(call, "close", T0 + 9, who="Anna", presence_needed=False).state == "closed"


@pytest.mark.parametrize("state", ["ringing", "escalated", "acknowledged"])
def test_a_restart_rings_again_what_nobody_attended(state: CallStateName) -> None:
    shown = transition(in_state(state), "shown", T0 + 50, who="Wall", screen="s-1")
    call = transition(shown, "restore", T0 + 100)
    assert call.state in RINGING
    assert (call.shown_on, call.acknowledged_by, call.restores, call.presses) == ((), None, 1, 1)


def test_a_restart_leaves_an_attended_call_silent_and_open() -> None:
    call = transition(in_state("attended"), "restore", T0 + 100)
    assert call.state == "attended"
    assert call.is_open
    assert call.state not in RINGING


def test_the_patient_learns_how_many_but_no_names() -> None:
    call = transition(in_state("acknowledged"), "shown", T0 + 1, who="Wall north", screen="s-1")
    text = str(to_patient_json(call))
    assert "Wall north" not in text
    assert "Anna" not in text
    assert to_patient_json(call)["shown_on"] == ["screen 1"]
    assert to_patient_json(call)["acknowledged_by"] == "staff"
    assert "Anna" in str(to_json(call)), "negative control: staff do see the name"
