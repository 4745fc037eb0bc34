"""The deletion job: what is over goes, what is not stays, and the job says that it ran."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

from monitor.control import call_journal, retention
from monitor.control.accounts import DAY_MS
from monitor.control.journal import Journal
from monitor.core.call_state import CallEvent, idle, transition
from monitor.core.config import Retention

NOW = 1_800_000_000_000
DAYS = Retention(calls_days=10, access_log_days=40, security_log_days=200)


def call(db: sqlite3.Connection, name: str, days_ago: float, *events: CallEvent) -> None:
    at = NOW - round(days_ago * DAY_MS)
    one = idle(name, f"bay-of-{name}", "b", at)
    for event in events:
        one = transition(one, event, at, who="Anna")
        call_journal.store(db, one, event, at, who="Anna", place="s", press=name if event == "press" else None)


def planted(db: sqlite3.Connection) -> None:
    call(db, "old-closed", 11, "press", "attend", "close")
    call(db, "new-closed", 9, "press", "attend", "close")
    call(db, "old-open", 300, "press")
    for name, begin, end in (("old", 42, 41), ("new", 42, 39), ("going", 300, None)):
        values = (name, NOW - begin * DAY_MS, None if end is None else NOW - end * DAY_MS)
        db.execute(
            "INSERT INTO access_log (id, who, role, token, screen, bay, stream, from_ms, to_ms) "
            "VALUES (?1, 'w', 'nurse', 't', 's', 'b', 'main', ?2, ?3)",
            values,
        )
    for days in (201, 199):
        at = NOW - days * DAY_MS
        db.execute("INSERT INTO security_log (at_ms, event, who, token, address) VALUES (?, 'x', '', '', '')", (at,))
        db.execute("INSERT INTO tokens VALUES (?, ?, 'nurse', 'n', NULL, 0, NULL, ?)", (f"t{days}", bytes([days]), at))
        db.execute("INSERT INTO retention_runs (at_ms, deleted) VALUES (?, '{}')", (at,))
    db.execute("INSERT INTO tokens VALUES ('t', x'00', 'nurse', 'n', NULL, 0, NULL, NULL)")
    for name, expires in (("over", NOW - 1), ("good", NOW + 1)):
        db.execute("INSERT INTO sessions VALUES (?, ?, 't', 0, ?)", (name, name.encode(), expires))
        db.execute("INSERT INTO sign_in_codes VALUES (?, 't', ?)", (name.encode(), expires))


def test_what_goes_and_what_stays(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal.open(tmp_path / "j")
        await journal.write(planted)
        deleted = await retention.run(journal, DAYS, NOW)
        assert deleted == {
            "calls": 1,
            "access_log": 1,
            "security_log": 1,
            "events": 7,
            "sessions": 1,
            "sign_in_codes": 1,
            "tokens": 1,
            "retention_runs": 1,
        }

        def column(sql: str) -> list[object]:
            return [row[0] for row in journal.read_now(lambda db: db.execute(sql).fetchall())]

        assert column("SELECT id FROM calls ORDER BY id") == ["new-closed", "old-open"]
        assert column("SELECT id FROM presses ORDER BY id") == ["new-closed", "old-open"]
        assert set(column("SELECT call FROM call_events")) == {"new-closed", "old-open"}
        assert column("SELECT id FROM access_log ORDER BY id") == ["going", "new"]
        assert column("SELECT id FROM tokens ORDER BY id") == ["t", "t199"]
        assert column("SELECT id FROM sessions") == ["good"]
        runs = column("SELECT deleted FROM retention_runs ORDER BY at_ms")
        assert json.loads(str(runs[-1])) == deleted
        assert (tmp_path / "j-wal").stat().st_size == 0, "no copy stays in the write-ahead log"
        assert b"old-closed" not in (tmp_path / "j").read_bytes(), "what was deleted is overwritten"
        assert b"new-closed" in (tmp_path / "j").read_bytes(), "negative control"
        again = await retention.run(journal, DAYS, NOW)
        assert set(again.values()) == {0}
        journal.close()

    asyncio.run(run())


def test_no_more_events_are_kept_than_pages_may_ask_for(tmp_path: Path) -> None:
    async def run() -> None:
        journal = Journal.open(tmp_path / "j")
        count = retention.KEPT_EVENTS + 5

        def plant(db: sqlite3.Connection) -> None:
            db.executemany(
                "INSERT INTO events (bay, data, patient_data, at_ms) VALUES ('b', '', '', ?)", [(NOW,)] * count
            )

        await journal.write(plant)
        assert (await retention.run(journal, DAYS, NOW))["events"] == 5
        assert await journal.read(call_journal.newest_change) == count
        await journal.write(lambda db: db.execute("DELETE FROM events").close())
        assert await journal.read(call_journal.newest_change) == count, "a number is never used twice"
        assert await journal.read(lambda db: call_journal.changes_since(db, count - 1, 10)) is None
        assert await journal.read(lambda db: call_journal.changes_since(db, count, 10)) == []
        journal.close()

    asyncio.run(run())
