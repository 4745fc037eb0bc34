"""The state of one call, from the press until it is closed.

Theory of operation. A bay without an open call is `idle`; a press makes a call of it. Everything that decides what a
call is, and what may be done to it, must stand in `TABLE`: state → event → next state. An event that the table does
not list is illegal: it changes nothing and raises Conflict with the reason. `shown` is a fact and not a state: a screen
that showed the call and sounded it is remembered, the call rings on. Calls are values: `transition` returns a new one.
Time and people come in as arguments, the journal and the screens are somebody else's.

    idle ──press──▶ ringing ──escalate──▶ escalated ─┐ escalate
                       │  ▲                  │  ▲────┘
                  acknowledge └──restore─────┤
                       ▼                     │
                  acknowledged ◀─────────────┘        (sound off, light on)
                       │
                     attend ──▶ attended ──close──▶ closed

`restore` is the restart of the server: what was not attended rings again, for nobody knows who heard it. A further
press grows the count of an open call. `close` of a call that nobody attended is refused where the bay needs presence
(DIN VDE 0834 through DOMAIN.md: a screen silences, only the bay cancels).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from monitor.core.errors import Conflict

CallStateName = Literal["idle", "ringing", "escalated", "acknowledged", "attended", "closed"]
CallEvent = Literal["press", "shown", "escalate", "acknowledge", "attend", "close", "restore"]
Priority = Literal["call", "urgent", "emergency"]
CallTable: TypeAlias = dict[CallStateName, dict[CallEvent, CallStateName]]

STATES: tuple[CallStateName, ...] = get_args(CallStateName)
EVENTS: tuple[CallEvent, ...] = get_args(CallEvent)
RINGING: frozenset[CallStateName] = frozenset({"ringing", "escalated"})
"""States in which screens sound."""

TABLE: CallTable = {
    "idle": {"press": "ringing"},
    "ringing": {
        "press": "ringing",
        "shown": "ringing",
        "escalate": "escalated",
        "acknowledge": "acknowledged",
        "attend": "attended",
        "close": "closed",
        "restore": "ringing",
    },
    "escalated": {
        "press": "escalated",
        "shown": "escalated",
        "escalate": "escalated",  # the next level
        "acknowledge": "acknowledged",
        "attend": "attended",
        "close": "closed",
        "restore": "ringing",
    },
    "acknowledged": {
        "press": "acknowledged",
        "shown": "acknowledged",
        "attend": "attended",
        "close": "closed",
        "restore": "ringing",
    },
    "attended": {
        "press": "attended",
        "shown": "attended",
        "close": "closed",
        "restore": "attended",  # somebody is at the bay: the light stays, nothing sounds
    },
    "closed": {},
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shown:
    """A screen that confirmed a call. `screen` tells screens apart (a session's id), `name` is its account's."""

    screen: str
    name: str
    sound: bool
    """Whether the call's sound really played there: a silent screen does not count as shown (issue text)."""
    at_ms: int


@dataclass(frozen=True)
class Call:
    """One call. Moments are milliseconds of service time; `*_by` are names of staff accounts, never of patients."""

    id: str
    bay: str
    button: str
    state: CallStateName
    pressed_at: int
    priority: Priority = "call"
    presses: int = 0
    last_press_at: int = 0
    shown: tuple[Shown, ...] = ()
    escalations: int = 0
    escalated_at: int | None = None
    acknowledged_by: str | None = None
    acknowledged_at: int | None = None
    attended_by: str | None = None
    attended_at: int | None = None
    closed_by: str | None = None
    closed_at: int | None = None
    restores: int = 0
    """How often the server was restarted while the call was open."""

    @property
    def is_open(self) -> bool:
        """Whether it still wants somebody."""
        return self.state not in {"idle", "closed"}

    @property
    def shown_on(self) -> tuple[str, ...]:
        """Names of the screens that showed and sounded it, in the order of their confirmation."""
        return tuple(shown.name for shown in self.shown if shown.sound)


def idle(id_: str, bay: str, button: str, now_ms: int, priority: Priority = "call") -> Call:
    """The call that a press at this bay would begin: give it to `transition` with `press`."""
    return Call(id=id_, bay=bay, button=button, state="idle", pressed_at=now_ms, priority=priority)


def transition(
    call: Call,
    event: CallEvent,
    now_ms: int,
    *,
    who: str = "",
    screen: str = "",
    sound: bool = True,
    presence_needed: bool = False,
    present: bool = False,
) -> Call:
    """The call after `event`.

    `who` is the account that acts, `screen` and `sound` belong to `shown`, `presence_needed` and `present` to `close`:
    whether the bay's calls are closed only at the bay, and whether the one who closes says to be there.

    Raises Conflict, with `call` as it was, where the table does not list the event or presence is missing.
    """
    following = TABLE[call.state].get(event)
    if following is None:
        raise Conflict(*_why_not(call, event))
    if event == "close" and presence_needed and not present and call.state != "attended":
        raise Conflict("this bay's calls are closed at the bay", "go to the bay and mark the call as attended first")
    return _set(call, following, _facts(call, event, now_ms, who, screen, sound), event)


def _facts(call: Call, event: CallEvent, now_ms: int, who: str, screen: str, sound: bool) -> Call:
    """The call with what the event says, its state untouched."""
    if event == "press":
        return replace(call, presses=call.presses + 1, last_press_at=now_ms)
    if event == "shown":
        return _with_shown(call, Shown(screen or who, who, sound, now_ms))
    if event == "escalate":
        return replace(call, escalations=call.escalations + 1, escalated_at=now_ms)
    if event == "acknowledge":
        return replace(call, acknowledged_by=who, acknowledged_at=now_ms)
    if event == "attend":
        return replace(call, attended_by=who, attended_at=now_ms)
    if event == "close":
        return replace(call, closed_by=who, closed_at=now_ms)
    restored = replace(call, restores=call.restores + 1)
    if call.state == "attended":
        return restored
    # It rings as new: who had seen or taken it before the restart stands in the journal's events.
    return replace(restored, shown=(), escalations=0, escalated_at=None, acknowledged_by=None, acknowledged_at=None)


def _with_shown(call: Call, new: Shown) -> Call:
    """A screen counts once. A silent confirmation gives way to one with sound, never the other way round."""
    old = next((shown for shown in call.shown if shown.screen == new.screen), None)
    if old is None:
        return replace(call, shown=(*call.shown, new))
    if old.sound or not new.sound:
        return call
    return replace(call, shown=tuple(new if shown is old else shown for shown in call.shown))


def _set(call: Call, state: CallStateName, facts: Call, event: CallEvent) -> Call:
    if state != call.state:
        logger.info("call %s at %s: %s -> %s (%s)", call.id, call.bay, call.state, state, event)
    return replace(facts, state=state)


def _why_not(call: Call, event: CallEvent) -> tuple[str, str]:
    """Message and hint for an event that the table does not list."""
    if call.state == "closed":
        return f"the call is closed, so it cannot take '{event}'", "a new press makes a new call"
    if call.state == "idle":
        return f"there is no call yet, so it cannot take '{event}'", ""
    who = call.attended_by if call.state == "attended" else call.acknowledged_by
    by = f" by {who}" if who else ""
    return f"the call is {call.state} already{by}, so it cannot take '{event}'", ""


def to_json(call: Call) -> dict[str, object]:
    """The call as the API and staff's screens have it (DESIGN.md, contract)."""
    return {
        "id": call.id,
        "bay": call.bay,
        "button": call.button,
        "state": call.state,
        "priority": call.priority,
        "presses": call.presses,
        "pressed_at": call.pressed_at,
        "last_press_at": call.last_press_at,
        "shown_on": list(call.shown_on),
        "silent_on": [shown.name for shown in call.shown if not shown.sound],
        "escalated_at": call.escalated_at,
        "acknowledged_by": call.acknowledged_by,
        "acknowledged_at": call.acknowledged_at,
        "attended_by": call.attended_by,
        "attended_at": call.attended_at,
        "closed_by": call.closed_by,
        "closed_at": call.closed_at,
        "restores": call.restores,
    }


def to_patient_json(call: Call) -> dict[str, object]:
    """The same for the patient's device: how many and how far, but no name of anybody on the staff."""
    return to_json(call) | {
        "shown_on": [f"screen {number}" for number, _ in enumerate(call.shown_on, start=1)],
        "silent_on": [],
        "acknowledged_by": "staff" if call.acknowledged_by else None,
        "attended_by": "staff" if call.attended_by else None,
        "closed_by": "staff" if call.closed_by else None,
    }
