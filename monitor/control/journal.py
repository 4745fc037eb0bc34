"""The journal: the one SQLite file in the state directory, and the two threads that may touch it.

It must never hold a picture, a patient's name or free text, and what `write` returned must survive `kill -9` and a
power cut: WAL with synchronous=FULL, one transaction for each write. All writes go through one thread, so they never
wait for each other's locks; reads have a thread and a connection of their own, which in WAL never wait for a write.
Another process (the command line) may have the file open at the same time.

What stands in the tables is others' to know (`accounts`, `call_journal`, `viewers`, `retention`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import TypeVar

from monitor.core.errors import InputError, Unavailable, VigilError

logger = logging.getLogger(__name__)

FILE_NAME = "journal.sqlite3"
BUSY_MS = 5000
"""How long a write waits for another process that holds the lock."""

_T = TypeVar("_T")
_MIGRATION = re.compile(r"(\d{4})_[a-z_]+\.sql")


class Journal:
    """An open journal. Make it with `open`; `close` it in the end."""

    def __init__(self, path: Path, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        self.path = path
        self._writer = writer
        self._reader = reader
        self._write_thread = ThreadPoolExecutor(1, "journal-write")
        self._read_thread = ThreadPoolExecutor(1, "journal-read")

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Open the file, made with mode 0600 where it is missing, and bring its tables up to date.

        Raises Unavailable where it is damaged, locked or cannot be written, InputError where a newer Vigil made it.
        """
        with _explained(path):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            os.chmod(path, 0o600)  # SQLite gives -wal and -shm the same mode
            writer = _connect(path)
            try:
                if writer.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                    raise sqlite3.DatabaseError("quick_check failed")
                _migrate(writer, path)
                reader = _connect(path)
            except BaseException:
                writer.close()
                raise
        reader.execute("PRAGMA query_only=ON")
        return cls(path, writer, reader)

    async def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` in one transaction on the writing thread: committed to the disk when this returns.

        Raises Unavailable where the file cannot be written; nothing of `work` is kept then.
        """
        return await asyncio.wrap_future(self._write_thread.submit(self._in_transaction, work))

    def write_now(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """The same for callers without an event loop: waits."""
        return self._write_thread.submit(self._in_transaction, work).result()

    async def read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` on the reading thread. Raises Unavailable where the file cannot be read."""
        return await asyncio.wrap_future(self._read_thread.submit(self._reading, work))

    def read_now(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """The same for callers without an event loop: waits."""
        return self._read_thread.submit(self._reading, work).result()

    async def checkpoint(self) -> None:
        """Bring what stands in the write-ahead log into the file and empty the log, as far as readers let it."""
        await asyncio.wrap_future(self._write_thread.submit(self._checkpoint))

    def close(self) -> None:
        """Wait for what is being written, and close the file."""
        for thread, connection in ((self._write_thread, self._writer), (self._read_thread, self._reader)):
            with contextlib.suppress(RuntimeError):  # closed before
                thread.submit(connection.close).result()
            thread.shutdown()

    def _in_transaction(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        with _explained(self.path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                result = work(self._writer)
                self._writer.execute("COMMIT")
            except BaseException:
                # A failed COMMIT may have rolled back by itself (disk full).
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
        return result

    def _checkpoint(self) -> None:
        with _explained(self.path):
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _reading(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        with _explained(self.path):
            return work(self._reader)


def _connect(path: Path) -> sqlite3.Connection:
    """A connection without implicit transactions, which its own thread will use later."""
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    _use_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA secure_delete=ON")  # what retention deletes is overwritten, not only unlinked
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Write ahead. Where two processes turn a new file to it at once SQLite refuses one of them without waiting."""
    give_up = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def migrations() -> list[tuple[int, str]]:
    """The numbered steps, each (version, SQL), from 1 without a gap."""
    entries = resources.files("monitor.control").joinpath("migrations").iterdir()
    return sorted(
        (int(name[1]), entry.read_text("utf-8")) for entry in entries if (name := _MIGRATION.fullmatch(entry.name))
    )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Take the steps that are missing, all in one transaction: another process may be opening the file too."""
    steps = migrations()
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(steps):
            raise InputError(
                f"{path} was made by a newer Vigil (form {version}, this one knows {len(steps)})",
                "install the newer version, or start with an empty state directory",
            )
        for number, sql in steps[version:]:
            for statement in _statements(sql):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={number}")
            logger.info("the journal has form %d now", number)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(sql: str) -> Iterator[str]:
    """Single statements: `executescript` would commit on its own."""
    pending = ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say in our own words what SQLite or the file system refused; never what was to be written."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise  # our own rules: a fault in the program, not in the file
    except sqlite3.Error as error:
        raise _explain(path, error) from error
    except OSError as error:
        raise Unavailable(f"the journal {path} cannot be opened: {error.strerror}", "check owner and mode") from error


def _explain(path: Path, error: sqlite3.Error) -> VigilError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Unavailable(f"the journal {path} is locked by another process", "end that process, or wait")
    if name.startswith("SQLITE_FULL"):
        return Unavailable(f"the journal {path} cannot be written: the disk is full", "make room on that disk")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return Unavailable(f"the journal {path} cannot be written", "check owner and mode of the state directory")
    if name.startswith("SQLITE_IOERR"):
        return Unavailable(f"the journal {path} cannot be written: the disk failed", "look at the machine's disk")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or type(error) is sqlite3.DatabaseError:
        return Unavailable(
            f"the journal {path} is damaged", "put it aside and restore a copy, or start with an empty state directory"
        )
    return Unavailable(f"the journal {path} refused a request ({name or type(error).__name__})", "see the log")
