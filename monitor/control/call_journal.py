"""How calls stand in the journal: rows to values and back, and nothing that decides.

Every function runs inside the caller's transaction, so a call, its event, its press and what pages are told of it are
kept together or not at all.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.core.call_state import Call, CallEvent, Shown, to_json, to_patient_json

_COLUMNS = (
    "id, bay, button, state, priority, presses, pressed_at, last_press_at, shown, escalations, escalated_at, "
    "acknowledged_by, acknowledged_at, attended_by, attended_at, closed_by, closed_at, restores"
)
_MARKS = ", ".join("?" * len(_COLUMNS.split(", ")))


@dataclass(frozen=True)
class Change:
    """One change of a call that stands in the journal: what pages are told of it. `id` grows with every change."""

    id: int
    bay: str
    data: str
    """The call as JSON."""
    patient_data: str
    """The same without names of staff."""


def find(db: sqlite3.Connection, call_id: str) -> Call | None:
    """The call of this id, open or closed."""
    row = db.execute(f"SELECT {_COLUMNS} FROM calls WHERE id = ?", (call_id,)).fetchone()  # noqa: S608 (constant)
    return None if row is None else _call(row)


def find_by_press(db: sqlite3.Connection, press_id: str) -> Call | None:
    """The call that this press belongs to."""
    row = db.execute("SELECT call FROM presses WHERE id = ?", (press_id,)).fetchone()
    return None if row is None else find(db, row[0])


def open_calls(db: sqlite3.Connection) -> list[Call]:
    """All open calls, the oldest first."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM calls WHERE state != 'closed' ORDER BY pressed_at, id")  # noqa: S608
    return [_call(row) for row in rows]


def store(
    db: sqlite3.Connection, call: Call, event: CallEvent, at_ms: int, *, who: str, place: str, press: str | None = None
) -> Change:
    """Keep the call as it is after `event`; `press` is the id of the press that made the event, where one did."""
    db.execute(f"INSERT INTO calls ({_COLUMNS}) VALUES ({_MARKS}) {_UPSERT}", _row(call))  # noqa: S608 (constants)
    if press is not None:
        db.execute("INSERT INTO presses VALUES (?, ?, ?)", (press, call.id, at_ms))
    db.execute(
        "INSERT INTO call_events (call, event, state, who, place, at_ms) VALUES (?, ?, ?, ?, ?, ?)",
        (call.id, event, call.state, who, place, at_ms),
    )
    data, patient_data = json.dumps(to_json(call)), json.dumps(to_patient_json(call))
    (number,) = db.execute(
        "INSERT INTO events (bay, data, patient_data, at_ms) VALUES (?, ?, ?, ?) RETURNING id",
        (call.bay, data, patient_data, at_ms),
    ).fetchone()
    return Change(number, call.bay, data, patient_data)


def newest_change(db: sqlite3.Connection) -> int:
    """The id of the newest change there ever was, deleted ones included; 0 before the first."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return int(row[0]) if row else 0


def changes_since(db: sqlite3.Connection, last_id: int, limit: int) -> list[Change] | None:
    """The changes after `last_id`, oldest first; None where they are not all there any more, or too many."""
    newest = newest_change(db)
    if last_id > newest:
        return None  # of another journal
    rows: Sequence[tuple[int, str, str, str]] = db.execute(
        "SELECT id, bay, data, patient_data FROM events WHERE id > ? ORDER BY id LIMIT ?", (last_id, limit + 1)
    ).fetchall()
    # A rolled-back transaction rolls its number back too, so the kept ones have no gaps: what is missing was deleted.
    return [Change(*row) for row in rows] if len(rows) == newest - last_id <= limit else None


def _row(call: Call) -> tuple[object, ...]:
    shown = json.dumps([[one.screen, one.name, one.sound, one.at_ms] for one in call.shown])
    return (
        call.id,
        call.bay,
        call.button,
        call.state,
        call.priority,
        call.presses,
        call.pressed_at,
        call.last_press_at,
        shown,
        call.escalations,
        call.escalated_at,
        call.acknowledged_by,
        call.acknowledged_at,
        call.attended_by,
        call.attended_at,
        call.closed_by,
        call.closed_at,
        call.restores,
    )


_UPSERT = "ON CONFLICT (id) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in _COLUMNS.split(", ")[1:]
)


def _call(row: Sequence[object]) -> Call:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    values["shown"] = tuple(Shown(*one) for one in json.loads(str(values["shown"])))
    return Call(**values)  # type: ignore[arg-type]  # the table is STRICT and has a CHECK on state
