"""The evidence journal on a real file: what the server writes is a whole chain, and a hand in the file is found."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.control import evidence_log, retention
from monitor.control import journal as journal_module
from monitor.control.accounts import DAY_MS
from monitor.control.evidence_log import MAX_PENDING, EvidenceLog, append, prune, read_all, read_file, read_head
from monitor.control.journal import Journal, migrations
from monitor.core.config import Retention
from monitor.core.errors import Unavailable
from monitor.evidence import entries as kinds
from monitor.evidence.chain import EMPTY, Evidence, verify_journal
from monitor.evidence.entries import read_body
from monitor.evidence.finding import broken, holds, said
from monitor.evidence.keys import SigningKey, ensure_key, public_hex

KEY = SigningKey.generate()
PUBLIC = public_hex(KEY)
T0 = 1_800_000_000_000
EVERY = 30_000
GOOD, BAD = [holds(6), holds(5)], [broken(6, said("machine.core-pattern", pattern="|x")), holds(5)]


class Clock:
    def __init__(self) -> None:
        self.ms = T0

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path / "j")
    yield opened
    opened.close()


def stored(journal: Journal) -> Evidence:
    return journal.read_now(read_all)


def told(evidence: Evidence) -> list[str]:
    return [entry.kind for entry in evidence.entries]


def put(journal: Journal, count: int, at_ms: int = T0) -> None:
    def work(db: sqlite3.Connection) -> None:
        for number in range(count):
            append(db, KEY, kinds.stop(at_ms + number), at_ms + number)

    journal.write_now(work)


async def live(log: EvidenceLog, clock: Clock) -> None:
    """A run of the server: it begins, holds, breaks, is mended, and ends in good order."""
    await log.record_start("1.0")
    for findings in (GOOD, GOOD, BAD, BAD, GOOD, GOOD):
        await log.looked(findings)
        clock.ms += EVERY
    await log.record_stop()


# ---- what is written -------------------------------------------------------------------------------------------------


def test_a_run_is_a_whole_chain(journal: Journal) -> None:
    clock = Clock()
    log = EvidenceLog(journal, KEY, clock)
    assert read_head_of(journal) == EMPTY
    asyncio.run(live(log, clock))
    evidence = stored(journal)
    assert told(evidence) == ["start", "watch", "break", "watch", "mended", "watch", "stop"]
    assert verify_journal(evidence, PUBLIC).ok
    assert log.failing == ""
    body = read_body(evidence.entries[0].body)
    assert body == {"version": "1.0", "key": PUBLIC, "began_ms": T0, "last_alive_ms": 0}


def read_head_of(journal: Journal) -> object:
    return journal.read_now(read_head)


def test_the_next_run_goes_on_and_says_when_the_last_one_lived(journal: Journal) -> None:
    clock = Clock()
    asyncio.run(live(EvidenceLog(journal, KEY, clock), clock))
    journal.write_now(lambda db: db.execute("INSERT INTO alive VALUES (1, ?)", (T0 + 77,)).close())
    asyncio.run(live(EvidenceLog(journal, KEY, clock), clock))
    evidence = stored(journal)
    assert verify_journal(evidence, PUBLIC).ok
    assert [read_body(entry.body)["last_alive_ms"] for entry in evidence.entries if entry.kind == "start"] == [
        0,
        T0 + 77,
    ]


def test_a_break_is_on_the_disk_at_once_and_a_span_after_five_minutes(journal: Journal, tmp_path: Path) -> None:
    clock = Clock()
    log = EvidenceLog(journal, KEY, clock)

    async def run() -> None:
        await log.looked(GOOD)
        clock.ms += EVERY
        await log.broke(BAD[0])
        assert told(read_file(tmp_path / "j")) == ["break"]
        await log.looked(BAD)
        assert told(read_file(tmp_path / "j")) == ["break", "watch"]
        clock.ms += EVERY
        await log.mended(6)
        await log.looked(GOOD)
        assert told(read_file(tmp_path / "j")) == ["break", "watch", "mended", "watch"]
        for _ in range(9):
            clock.ms += EVERY
            await log.looked(GOOD)
        assert len(told(read_file(tmp_path / "j"))) == 4
        clock.ms += EVERY
        await log.looked(GOOD)
        assert told(read_file(tmp_path / "j"))[4:] == ["watch"]

    asyncio.run(run())
    assert verify_journal(stored(journal), PUBLIC).ok


def test_the_servers_own_uptime_has_what_is_not_written_yet(journal: Journal) -> None:
    clock = Clock()
    log = EvidenceLog(journal, KEY, clock)

    async def run() -> None:
        await log.record_start("1.0")
        for _ in range(5):
            await log.looked(GOOD)
            clock.ms += EVERY
        assert told(stored(journal)) == ["start"]
        found = await log.uptime(T0 - 1000, clock.ms)
        assert (found.held_ms, found.unknown_ms) == (4 * EVERY, 1000 + EVERY)
        await log.looked(BAD)
        found = await log.uptime(T0, clock.ms + 5)
        assert (found.held_ms, found.broken_ms, found.unknown_ms) == (4 * EVERY, EVERY, 5)
        assert [(each.row, each.from_ms, each.to_ms) for each in found.breaks] == [(6, clock.ms - EVERY, None)]
        await log.record_stop()

    asyncio.run(run())


def test_a_period_is_read_with_what_it_stands_on(journal: Journal) -> None:
    """A run of days, a break that began before the period, and a stop before it: as if all had been read."""
    clock = Clock()
    log = EvidenceLog(journal, KEY, clock)

    async def run() -> None:
        await live(log, clock)
        clock.ms += 3_600_000
        await log.record_start("1.0")
        for findings in (GOOD, *[BAD] * 30, *[GOOD] * 30):
            await log.looked(findings)
            clock.ms += EVERY
        await log.record_stop()
        whole = stored(journal).entries
        for moment in range(T0 - 1000, clock.ms + 1000, 170_000):
            part = await journal.read(lambda db, at=moment: evidence_log.read_since(db, at))
            assert evidence_log.uptime(part, moment, clock.ms) == evidence_log.uptime(whole, moment, clock.ms)
        assert len(part) < len(whole) / 2

    asyncio.run(run())


def _append_many(path: Path, key: bytes, count: int) -> None:
    journal = Journal.open(path)
    try:
        signing = SigningKey.from_private_bytes(key)
        for _ in range(count):
            journal.write_now(lambda db: append(db, signing, kinds.report("ab" * 32, True, []), T0))
    finally:
        journal.close()


def test_two_processes_write_one_chain(journal: Journal, tmp_path: Path) -> None:
    other = multiprocessing.get_context("spawn").Process(
        target=_append_many, args=(tmp_path / "j", KEY.private_bytes_raw(), 20)
    )
    other.start()
    try:
        for _ in range(20):
            put(journal, 1)
    finally:
        other.join(60)
    assert other.exitcode == 0
    evidence = stored(journal)
    assert sorted(told(evidence)) == ["report"] * 20 + ["stop"] * 20
    assert verify_journal(evidence, PUBLIC).ok


# ---- a journal that cannot be written --------------------------------------------------------------------------------


def test_what_cannot_be_written_is_said_and_written_later(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    journal.write_now(lambda db: db.execute("PRAGMA busy_timeout=20").close())
    log = EvidenceLog(journal, KEY, clock)

    async def run() -> None:
        await log.record_start("1.0")
        with contextlib.closing(sqlite3.connect(tmp_path / "j", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for findings in (GOOD, BAD, BAD):
                await log.looked(findings)
                clock.ms += EVERY
            assert "locked" in log.failing
            other.execute("ROLLBACK")
        assert told(stored(journal)) == ["start"]
        await log.looked(GOOD)
        assert log.failing == ""
        await log.record_stop()

    asyncio.run(run())
    evidence = stored(journal)
    assert told(evidence) == ["start", "watch", "break", "watch", "mended", "watch", "stop"]
    assert verify_journal(evidence, PUBLIC).ok
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"], "said once, and that it is over"


def test_what_waits_has_a_bound(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = EvidenceLog(journal, KEY, clock)

    async def run() -> None:
        journal.write_now(lambda db: db.execute("DROP TABLE evidence_head").close())
        for number in range(MAX_PENDING):
            await log.looked([BAD, GOOD][number % 2])
            clock.ms += EVERY
        assert len(log._pending) == MAX_PENDING

    asyncio.run(run())
    assert "are lost" in caplog.text


def test_who_is_cancelled_while_it_is_written_writes_it_once(journal: Journal) -> None:
    clock = Clock()
    log = EvidenceLog(journal, KEY, clock)

    async def run() -> None:
        await log.looked(GOOD)
        clock.ms += EVERY
        looking = asyncio.create_task(log.looked(BAD))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        await log.record_stop()

    asyncio.run(run())
    assert told(stored(journal)) == ["watch", "break", "watch", "stop"]


# ---- append-only, retention ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE evidence SET body = '{}' WHERE seq = 2",
        "UPDATE evidence SET at_ms = at_ms",
        "DELETE FROM evidence WHERE seq = 3",
        "DELETE FROM evidence",
        "INSERT INTO evidence SELECT 9, at_ms, kind, body, prev, hash, signature FROM evidence WHERE seq = 3",
        "INSERT INTO evidence SELECT 4, at_ms, kind, body, prev, hash, signature FROM evidence WHERE seq = 3",
        "INSERT OR REPLACE INTO evidence SELECT * FROM evidence WHERE seq = 2",
        "REPLACE INTO evidence SELECT 2, at_ms, kind, '{}', prev, hash, signature FROM evidence WHERE seq = 2",
        "UPDATE evidence_head SET seq = 2",
        "UPDATE evidence_head SET hash = prev FROM evidence WHERE evidence.seq = 3",
        "DELETE FROM evidence_head",
        "INSERT INTO evidence_head VALUES (2, 1, '', '')",
    ],
)
def test_the_tables_refuse_what_we_never_do(journal: Journal, sql: str) -> None:
    put(journal, 3)
    before = stored(journal)
    with pytest.raises(sqlite3.IntegrityError):
        journal.write_now(lambda db: db.execute(sql).close())
    assert stored(journal) == before
    put(journal, 1)  # negative control
    assert verify_journal(stored(journal), PUBLIC).ok


def test_retention_deletes_from_the_beginning_and_leaves_a_signed_word(journal: Journal) -> None:
    for day in range(5):
        put(journal, 2, T0 + day * DAY_MS)
    third = stored(journal).entries[3]
    deleted = journal.write_now(lambda db: prune(db, KEY, T0 + 2 * DAY_MS, T0 + 5 * DAY_MS))
    evidence = stored(journal)
    assert deleted == 4
    assert [entry.seq for entry in evidence.entries] == [5, 6, 7, 8, 9, 10, 11]
    assert evidence.entries[-1].kind == "pruned"
    assert read_body(evidence.entries[-1].body) == {"seq": 4, "hash": third.hash, "before_ms": T0 + 2 * DAY_MS}
    assert verify_journal(evidence, PUBLIC).ok
    assert journal.write_now(lambda db: prune(db, KEY, T0 + 2 * DAY_MS, T0 + 5 * DAY_MS)) == 0
    assert stored(journal) == evidence, "nothing to delete is not written down"
    with pytest.raises(sqlite3.IntegrityError):
        journal.write_now(lambda db: db.execute("DELETE FROM evidence WHERE seq = 5").close())
    assert journal.write_now(lambda db: prune(db, KEY, T0 + 9 * DAY_MS, T0 + 9 * DAY_MS)) == 7
    assert told(stored(journal)) == ["pruned"]
    assert verify_journal(stored(journal), PUBLIC).ok
    put(journal, 1)
    assert verify_journal(stored(journal), PUBLIC).ok


def test_pruning_while_the_server_runs_is_no_loss(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = EvidenceLog(journal, KEY, clock)

    async def run() -> None:
        await log.record_start("1.0")
        clock.ms += DAY_MS
        assert await log.prune(clock.ms) == 1
        await log.record_stop()

    asyncio.run(run())
    assert told(stored(journal)) == ["pruned", "stop"]
    assert verify_journal(stored(journal), PUBLIC).ok
    assert caplog.records == []


def test_the_deletion_job_keeps_evidence_as_long_as_the_security_log(journal: Journal, tmp_path: Path) -> None:
    days = Retention(calls_days=10, access_log_days=40, security_log_days=200)
    put(journal, 1, T0 - 201 * DAY_MS)
    old = stored(journal).entries[0]
    put(journal, 1, T0 - 199 * DAY_MS)
    asyncio.run(retention.run_logged(journal, EvidenceLog(journal, KEY, Clock()), days, T0))
    assert told(stored(journal)) == ["stop", "pruned"]
    assert old.signature.encode() not in (tmp_path / "j").read_bytes(), "what was deleted is overwritten"
    assert (tmp_path / "j-wal").stat().st_size == 0


def test_a_head_that_was_edited_stops_neither_the_deletion_job_nor_the_server(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    put(journal, 3)
    edit(journal, "UPDATE evidence_head SET seq = 1, hash = (SELECT hash FROM evidence WHERE seq = 1)")
    clock = Clock()
    log = EvidenceLog(journal, KEY, clock)
    days = Retention(calls_days=10, access_log_days=40, security_log_days=200)
    asyncio.run(retention.run_logged(journal, log, days, T0 + 300 * DAY_MS))
    assert "changed by others" in caplog.text
    asyncio.run(live(log, clock))
    assert "changed by others" in log.failing
    assert not verify_journal(stored(journal), PUBLIC).ok
    assert len(stored(journal).entries) == 3, "it is left for somebody to look at"


# ---- a hand in the file ----------------------------------------------------------------------------------------------


def edit(journal: Journal, *statements: str) -> None:
    """As somebody would with the sqlite3 program, who first takes the triggers away."""
    with contextlib.closing(sqlite3.connect(journal.path, isolation_level=None)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            db.execute(statement)


EDITS = [
    ("UPDATE evidence SET body = replace(body, '[6]', '[]')", {"edited"}),
    ("UPDATE evidence SET body = replace(body, '\"ok\":false', '\"ok\":true') WHERE seq = 4", {"edited"}),
    ("UPDATE evidence SET at_ms = at_ms + 1 WHERE seq = 2", {"edited"}),
    ("UPDATE evidence SET kind = 'stop' WHERE seq = 3", {"edited"}),
    ("UPDATE evidence SET signature = (SELECT signature FROM evidence WHERE seq = 2) WHERE seq = 3", {"signature"}),
    ("DELETE FROM evidence WHERE seq = 3", {"missing"}),
    ("DELETE FROM evidence WHERE seq IN (3, 5)", {"missing"}),
    ("DELETE FROM evidence WHERE seq > 4", {"tail"}),
    ("DELETE FROM evidence WHERE seq < 3", {"beginning"}),
    ("DELETE FROM evidence", {"empty", "tail"}),
    ("UPDATE evidence SET body = body", set()),
    ("UPDATE evidence_head SET seq = 5", {"inserted", "head-signature"}),
    ("UPDATE evidence_head SET signature = ''", {"head-signature"}),
    ("DELETE FROM evidence_head", {"inserted", "head-signature"}),
]


@pytest.mark.parametrize(("sql", "kinds_found"), EDITS)
def test_a_file_edited_by_hand_is_found(journal: Journal, tmp_path: Path, sql: str, kinds_found: set[str]) -> None:
    clock = Clock()
    asyncio.run(live(EvidenceLog(journal, KEY, clock), clock))
    assert verify_journal(read_file(journal.path), PUBLIC).ok, "negative control"
    edit(journal, sql)
    checked = verify_journal(read_file(journal.path), PUBLIC)
    assert {fault.kind for fault in checked.faults} == kinds_found
    assert checked.ok is not bool(kinds_found)


def test_two_entries_swapped_by_hand_are_found(journal: Journal) -> None:
    clock = Clock()
    asyncio.run(live(EvidenceLog(journal, KEY, clock), clock))
    edit(
        journal,
        "UPDATE evidence SET seq = 20 WHERE seq = 3",
        "UPDATE evidence SET seq = 3 WHERE seq = 4",
        "UPDATE evidence SET seq = 4 WHERE seq = 20",
    )
    assert {(fault.kind, fault.seq) for fault in verify_journal(stored(journal), PUBLIC).faults} == {
        ("edited", 3),
        ("link", 3),
        ("edited", 4),
        ("link", 4),
        ("link", 5),
        ("clock", 4),
    }


def test_a_table_of_another_form_is_read_and_found(journal: Journal) -> None:
    put(journal, 3)
    edit(
        journal,
        "CREATE TABLE other AS SELECT seq, at_ms, kind, CAST(body AS BLOB) AS body, prev, hash, 7 AS signature "
        "FROM evidence",
        "DROP TABLE evidence",
        "ALTER TABLE other RENAME TO evidence",
    )
    found = verify_journal(read_file(journal.path), PUBLIC).faults
    assert {fault.seq for fault in found} == {1, 2, 3}
    assert {fault.kind for fault in found} <= {"edited", "signature"}


def test_a_file_without_evidence_says_so(tmp_path: Path) -> None:
    (tmp_path / "none").write_bytes(b"")
    for name in ("none", "missing"):
        with pytest.raises(Unavailable, match="no evidence"):
            read_file(tmp_path / name)


def test_reading_a_copy_changes_nothing(journal: Journal, tmp_path: Path) -> None:
    put(journal, 3)
    asyncio.run(journal.checkpoint())
    copy = tmp_path / "copy"
    shutil.copy(journal.path, copy)
    before = copy.read_bytes()
    assert verify_journal(read_file(copy), PUBLIC).ok
    assert copy.read_bytes() == before


def test_an_older_copy_put_back_under_the_running_server_is_written_down(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    log = EvidenceLog(journal, KEY, clock)

    async def run() -> None:
        await log.record_start("1.0")
        clock.ms += EVERY
        old = stored(journal)
        await log.looked(BAD)
        head = old.head
        edit(
            journal,
            f"DELETE FROM evidence WHERE seq > {head.seq}",
            f"UPDATE evidence_head SET seq = {head.seq}, hash = '{head.hash}', signature = '{head.signature}'",
        )
        assert verify_journal(stored(journal), PUBLIC).ok, "the file alone does not show it"
        clock.ms += EVERY
        await log.looked(GOOD)
        await log.record_stop()

    asyncio.run(run())
    evidence = stored(journal)
    assert told(evidence) == ["start", "rolled_back", "watch", "mended", "watch", "stop"]
    assert [fault.kind for fault in verify_journal(evidence, PUBLIC).faults] == ["rolled-back"]
    assert "no longer has entry 2" in caplog.text


# ---- from a journal of the first form --------------------------------------------------------------------------------


def test_a_journal_of_the_first_form_begins_its_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(journal_module, "migrations", lambda: migrations()[:1])
        old = Journal.open(tmp_path / "j")
        old.write_now(
            lambda db: [
                db.execute(sql).close()
                for sql in (
                    "INSERT INTO alive VALUES (1, 7)",
                    "INSERT INTO security_log (at_ms, event, who, token, address) VALUES (5, 'x', 'w', '', '')",
                    "INSERT INTO tokens VALUES ('t', x'00', 'nurse', 'n', NULL, 0, NULL, NULL)",
                )
            ]
        )
        assert old.read_now(lambda db: db.execute("PRAGMA user_version").fetchone()) == (1,)
        with pytest.raises(Unavailable):
            old.read_now(read_all)
        old.close()
    journal = Journal.open(tmp_path / "j")
    try:
        for table in ("alive", "security_log", "tokens"):
            count = journal.read_now(lambda db, one=table: db.execute(f"SELECT count(*) FROM {one}").fetchone())
            assert count == (1,)
        clock = Clock()
        key = ensure_key(tmp_path)
        asyncio.run(live(EvidenceLog(journal, key, clock), clock))
        evidence = stored(journal)
        assert verify_journal(evidence, public_hex(key)).ok
        assert read_body(evidence.entries[0].body)["last_alive_ms"] == 7
    finally:
        journal.close()


def test_nothing_of_a_finding_but_its_key_and_values_is_kept(journal: Journal) -> None:
    clock = Clock()
    asyncio.run(live(EvidenceLog(journal, KEY, clock), clock))
    (entry,) = [each for each in stored(journal).entries if each.kind == "break"]
    body = read_body(entry.body)
    assert set(body) == {"row", "since_ms", "seen_ms", "finding"}
    assert (body["row"], body["since_ms"], body["seen_ms"]) == (6, T0 + EVERY, T0 + 2 * EVERY)
