"""The whole table of a media process's life, and when it is given up."""

from __future__ import annotations

from typing import get_args

import pytest

from monitor.core.process_state import (
    RESTARTS,
    RESTARTS_WITHIN_MS,
    TABLE,
    ProcessEvent,
    ProcessState,
    ProcessStateName,
)


@pytest.mark.parametrize("state", get_args(ProcessStateName))
@pytest.mark.parametrize("event", get_args(ProcessEvent))
def test_every_event_in_every_state(state: ProcessStateName, event: ProcessEvent) -> None:
    process = ProcessState(0, state, since_ms=5)
    changed = process.on(event, 9)
    expected = TABLE[state].get(event, state)
    assert process.state == expected
    assert changed == (expected != state)
    assert process.since_ms == (9 if changed else 5)


def test_proved_can_only_follow_a_seal_of_this_life() -> None:
    assert "proof" not in TABLE["starting"]
    assert "proof" not in TABLE["ended"]
    assert TABLE["proved"]["exit"] == "ended"


def test_five_restarts_in_a_minute_and_no_more() -> None:
    process = ProcessState(0)
    for moment in range(RESTARTS):
        assert process.may_restart(moment)
    assert not process.may_restart(RESTARTS_WITHIN_MS - 1)
    assert process.may_restart(RESTARTS_WITHIN_MS)  # the first one is a minute old by now
    assert not process.may_restart(RESTARTS_WITHIN_MS)
    process.forgive()
    assert process.may_restart(RESTARTS_WITHIN_MS)


def test_a_failed_process_is_not_replaced_at_once() -> None:
    process = ProcessState(0)
    assert process.on("give-up", 1)
    assert not process.may_restart(1 << 40)


def test_a_failed_process_stays_failed_until_it_proves_itself() -> None:
    process = ProcessState(0, "failed")
    for event in ("launch", "hello", "exit", "launch", "hello"):
        process.on(event, 1)
        assert process.state == "failed"
    assert process.on("proof", 2)
    assert process.state == "proved"
