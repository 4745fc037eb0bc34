"""The journal's file: its form, its locks, and how it says that it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from monitor.control import journal as journal_module
from monitor.control.journal import Journal, migrations
from monitor.core.errors import InputError, Unavailable


@contextlib.contextmanager
def opened(path: Path):  # type: ignore[no-untyped-def]
    journal = Journal.open(path)
    try:
        yield journal
    finally:
        journal.close()


def put(journal: Journal, at_ms: int) -> None:
    journal.write_now(lambda db: db.execute("INSERT OR REPLACE INTO alive VALUES (1, ?)", (at_ms,)).close())


def got(journal: Journal) -> object:
    return journal.read_now(lambda db: db.execute("SELECT at_ms FROM alive").fetchone())


def test_it_is_durable_by_its_settings_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    with opened(path) as journal:
        put(journal, 5)
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1)):
            assert journal.write_now(lambda db, one=pragma: db.execute(f"PRAGMA {one}").fetchone()[0]) == value
        files = sorted(tmp_path.iterdir())
        assert len(files) == 3, "negative control: the write-ahead log is there"
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    with opened(path) as journal:
        assert got(journal) == (5,)


def test_migrations_are_numbered_without_a_gap_and_run_once(tmp_path: Path) -> None:
    steps = migrations()
    assert [number for number, _ in steps] == list(range(1, len(steps) + 1))
    with opened(tmp_path / "j") as journal:
        version = journal.read_now(lambda db: db.execute("PRAGMA user_version").fetchone()[0])
        assert version == len(steps)


def test_a_later_form_is_reached_with_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "j") as journal:
        put(journal, 7)
    more = [*migrations(), (len(migrations()) + 1, "CREATE TABLE later (a);\nINSERT INTO later\n  VALUES (';');\n")]
    monkeypatch.setattr(journal_module, "migrations", lambda: more)
    with opened(tmp_path / "j") as journal:
        assert got(journal) == (7,)
        assert journal.read_now(lambda db: db.execute("SELECT * FROM later").fetchall()) == [(";",)]


def test_a_step_that_fails_leaves_the_form_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "j") as journal:
        put(journal, 7)
    broken = [*migrations(), (len(migrations()) + 1, "CREATE TABLE later (a);\nINSERT INTO nowhere VALUES (1);\n")]
    with monkeypatch.context() as patched:
        patched.setattr(journal_module, "migrations", lambda: broken)
        with pytest.raises(Unavailable):
            Journal.open(tmp_path / "j")
    with opened(tmp_path / "j") as journal:
        assert got(journal) == (7,)
        names = journal.read_now(lambda db: {row[0] for row in db.execute("SELECT name FROM sqlite_master")})
        assert "later" not in names


def test_a_newer_form_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "j"):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "j")) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(InputError, match="newer Vigil"):
        Journal.open(tmp_path / "j")


def test_two_processes_may_open_it_for_the_first_time_at_once(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with opened(tmp_path / "j") as journal:
                put(journal, number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_file_is_said_to_be(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "j").write_bytes(content)
    with pytest.raises(Unavailable, match="damaged"):
        Journal.open(tmp_path / "j")
    assert (tmp_path / "j").read_bytes() == content, "it is left for somebody to look at"


def test_a_locked_file_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "BUSY_MS", 50)
    with opened(tmp_path / "j") as journal, contextlib.closing(sqlite3.connect(tmp_path / "j")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked by another process"):
            put(journal, 1)
        other.execute("ROLLBACK")
        put(journal, 2)
        assert got(journal) == (2,)


def test_no_directory_no_journal(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be opened"):
        Journal.open(tmp_path / "missing" / "j")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "j") as journal:

        def work(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO alive VALUES (1, 1)")
            db.execute("INSERT INTO alive VALUES (2, 1)")

        with pytest.raises(sqlite3.IntegrityError):
            journal.write_now(work)
        assert got(journal) is None
        with pytest.raises(Unavailable):
            journal.write_now(lambda db: db.execute("PRAGMA max_page_count=1; SELECT 1").close())
        put(journal, 3)
        assert got(journal) == (3,)


def test_reading_cannot_write(tmp_path: Path) -> None:
    with opened(tmp_path / "j") as journal:
        with pytest.raises(Unavailable):
            journal.read_now(lambda db: db.execute("INSERT INTO alive VALUES (1, 1)").close())
        assert got(journal) is None


def test_reads_do_not_wait_for_a_write(tmp_path: Path) -> None:
    async def run(journal: Journal) -> None:
        going, release = threading.Event(), threading.Event()

        def work(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO alive VALUES (1, 1)")
            going.set()
            release.wait(10)

        writing = asyncio.ensure_future(journal.write(work))
        await asyncio.to_thread(going.wait, 10)
        read = await asyncio.wait_for(journal.read(lambda db: db.execute("SELECT count(*) FROM alive").fetchone()), 5)
        assert read == (0,)
        release.set()
        await writing
        assert await journal.read(lambda db: db.execute("SELECT count(*) FROM alive").fetchone()) == (1,)

    with opened(tmp_path / "j") as journal:
        asyncio.run(run(journal))


def test_the_schema_has_no_place_for_pictures() -> None:
    sql = "\n".join(re.sub(r"--.*", "", text) for _, text in migrations())
    assert "CREATE TABLE calls" in sql
    blobs = re.findall(r"(\w+) BLOB", sql)
    assert set(blobs) == {"hash"}, "the only bytes are hashes of secrets"
