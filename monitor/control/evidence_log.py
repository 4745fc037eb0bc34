"""The evidence journal in SQLite: appends to the hash chain, reads it, prunes it, and writes down what the watch saw.

An entry and the new head are written in one transaction that reads the old head first, so the server and `vigil audit`
may both write. It must never change an entry, nor delete one without leaving a signed entry that says up to where.
A journal that cannot be written is said, in the log and by `failing`, and never holds up the watch: what was to be
written is kept in memory, as far as it fits, and what does not fit is time of which nothing is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from monitor.control.clock import wall_ms
from monitor.control.journal import BUSY_MS, Journal
from monitor.core.errors import Unavailable, VigilError
from monitor.evidence import chain, entries, keys
from monitor.evidence.chain import EMPTY, Entry, Evidence, Head
from monitor.evidence.entries import Draft
from monitor.evidence.finding import Finding
from monitor.evidence.keys import SigningKey
from monitor.evidence.uptime import Uptime, uptime
from monitor.evidence.watch_spans import WatchSpans

logger = logging.getLogger(__name__)

MAX_PENDING = 500
"""Entries that wait for a journal that cannot be written."""

_COLUMNS = "seq, at_ms, " + ", ".join(f"CAST({name} AS BLOB)" for name in ("kind", "body", "prev", "hash", "signature"))
"""As bytes: a text that was edited need not be UTF-8."""


def append(db: sqlite3.Connection, key: SigningKey, draft: Draft, now_ms: int) -> Entry:
    """Write one entry behind the last, within the caller's transaction (`Journal.write`).

    Raises Unavailable where the head is not the last entry: that is for a person to look at, not to be written over.
    """
    entry, head = chain.make_entry(key, read_head(db), draft, now_ms)
    try:
        _insert(db, entry, head)
    except sqlite3.IntegrityError as error:
        raise Unavailable(
            "the evidence journal was changed by others: its head is not its last entry",
            "see `vigil audit verify`; restore the journal from a copy, or start with an empty state directory",
        ) from error
    return entry


def _insert(db: sqlite3.Connection, entry: Entry, head: Head) -> None:
    db.execute(
        "INSERT INTO evidence (seq, at_ms, kind, body, prev, hash, signature) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (entry.seq, entry.at_ms, entry.kind, entry.body, entry.prev, entry.hash, entry.signature),
    )
    db.execute("UPDATE evidence_head SET seq = ?, hash = ?, signature = ?", (head.seq, head.hash, head.signature))


def read_head(db: sqlite3.Connection) -> Head:
    """The last entry's number and hash, as the head says."""
    row = db.execute("SELECT seq, CAST(hash AS BLOB), CAST(signature AS BLOB) FROM evidence_head").fetchone()
    return EMPTY if row is None else Head(_number(row[0]), _text(row[1]), _text(row[2]))


def read_since(db: sqlite3.Connection, from_ms: int) -> list[Entry]:
    """What `uptime` needs to know for a period that begins at `from_ms`: the entries written since, and before them
    whether the server ran, and what was broken then."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM evidence WHERE at_ms >= ?1 OR kind != 'watch' AND seq >= "  # noqa: S608
        "(SELECT coalesce(max(seq), 0) FROM evidence WHERE kind IN ('start', 'stop') AND at_ms < ?1) ORDER BY seq",
        (from_ms,),
    )
    return [_entry(row) for row in rows]


def read_all(db: sqlite3.Connection) -> Evidence:
    """The whole chain, as it stands there: what was edited is read too, to be found by `chain.verify_journal`."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM evidence ORDER BY seq")  # noqa: S608
    return Evidence(tuple(_entry(row) for row in rows), read_head(db))


def read_file(path: Path) -> Evidence:
    """The chain in a journal's file, which is not changed by that: also in a copy. Raises Unavailable."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_MS / 1000)
        ) as db:
            return read_all(db)
    except sqlite3.Error as error:
        raise Unavailable(
            f"there is no evidence to be read in {path} ({getattr(error, 'sqlite_errorname', 'no journal')})",
            "give the state directory of a site that has run, as a user that may read it",
        ) from error


def prune(db: sqlite3.Connection, key: SigningKey, before_ms: int, now_ms: int) -> int:
    """Delete the entries from the first on that are older than `before_ms`, within the caller's transaction, and write
    down up to where. How many they were."""
    head = read_head(db)
    (newer,) = db.execute("SELECT min(seq) FROM evidence WHERE at_ms >= ?", (before_ms,)).fetchone()
    last = db.execute(
        "SELECT seq, hash FROM evidence WHERE seq < ? ORDER BY seq DESC LIMIT 1",
        (head.seq + 1 if newer is None else newer,),
    ).fetchone()
    if last is None:
        return 0
    append(db, key, entries.pruned(last[0], last[1], before_ms), now_ms)
    db.execute("INSERT INTO evidence_pruning VALUES (1, ?)", (last[0],))
    count = db.execute("DELETE FROM evidence WHERE seq <= ?", (last[0],)).rowcount
    db.execute("DELETE FROM evidence_pruning")
    return count


class EvidenceLog:
    """What the server writes into the evidence journal. None of the `record_…` raises where that cannot be done."""

    def __init__(self, journal: Journal, key: SigningKey, now_ms: Callable[[], int] = wall_ms) -> None:
        self.public_key = keys.public_hex(key)
        self._journal = journal
        self._key = key
        self._now_ms = now_ms
        self._spans = WatchSpans()
        self._pending: deque[Draft] = deque()
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: Head | None = None
        """What this server wrote last; it has to be there when it writes again."""
        self._failing = ""

    @property
    def failing(self) -> str:
        """Why what is to be written cannot be; empty where all is written."""
        return self._failing

    async def record_start(self, version: str) -> None:
        """The server begins. To be called before `ViewerDesk.stay_alive` says that it lives."""
        began = self._now_ms()
        last_alive = 0
        with contextlib.suppress(VigilError):  # a journal that cannot be read is said by the write below
            last_alive = await self._journal.read(_last_alive)
        await self._write([entries.start(version, self.public_key, began, last_alive)])

    async def looked(self, findings: Sequence[Finding], ok: bool = True) -> None:
        """A check was made, which saw `findings`; breaks that are not mended belong to them. `ok` is False where
        something else is wrong."""
        await self._write(self._spans.looked(self._now_ms(), findings, ok))

    async def broke(self, finding: Finding) -> None:
        """A row was seen broken, ahead of `looked`, which would write the same."""
        await self._write(self._spans.broke(self._now_ms(), finding))

    async def mended(self, row: int) -> None:
        """A row is broken no more, ahead of `looked`."""
        await self._write(self._spans.mended(self._now_ms(), row))

    async def record_stop(self) -> None:
        """The server ends in good order."""
        await self._write(self._spans.stop(self._now_ms()))

    async def prune(self, before_ms: int) -> int:
        """Retention: delete what is older; how many entries. Raises Unavailable."""
        return await self._journal.write(lambda db: prune(db, self._key, before_ms, self._now_ms()))

    async def head(self) -> Head:
        """The chain's head. Raises Unavailable."""
        return await self._journal.read(read_head)

    async def uptime(self, from_ms: int, to_ms: int) -> Uptime:
        """Of a period, what is not written yet included. Raises Unavailable, ValueError where it ends too early."""
        async with self._writing:  # an entry that is being written would be told twice
            going = [*self._pending, *self._spans.so_far()]
            unwritten = [Entry(0, to_ms, draft.kind, draft.body, "", "", "") for draft in going]
            # Summed in the reading thread too: a month has thousands of entries.
            return await self._journal.read(lambda db: uptime([*read_since(db, from_ms), *unwritten], from_ms, to_ms))

    async def _write(self, drafts: Iterable[Draft]) -> None:
        self._pending.extend(drafts)
        if not self._pending:
            return
        # Whoever waits may be cancelled (the site ends); what is written by then must not be written twice.
        task = asyncio.get_running_loop().create_task(self._write_pending())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def _write_pending(self) -> None:
        async with self._writing:
            waiting = list(self._pending)
            if not waiting:
                return  # another one wrote it meanwhile
            try:
                last = await self._journal.write(lambda db: self._append(db, waiting))
            except VigilError as error:
                self._failed(error.message)
                return
            self._last = last
            for _ in waiting:
                self._pending.popleft()
            if self._failing:
                logger.warning("the evidence journal can be written again")
                self._failing = ""

    def _append(self, db: sqlite3.Connection, drafts: Sequence[Draft]) -> Head:
        if self._last is not None and not _still_has(db, self._last):
            logger.error("the evidence journal no longer has entry %d, which this server wrote", self._last.seq)
            append(db, self._key, entries.rolled_back(self._last.seq, self._last.hash), self._now_ms())
        for draft in drafts:
            append(db, self._key, draft, self._now_ms())
        return read_head(db)

    def _failed(self, why: str) -> None:
        if why != self._failing:
            logger.error("the evidence journal cannot be written: %s", why)
        self._failing = why
        lost = max(0, len(self._pending) - MAX_PENDING)
        for _ in range(lost):
            self._pending.popleft()
        if lost:
            logger.error("%d entries of the evidence journal are lost", lost)


def _still_has(db: sqlite3.Connection, last: Head) -> bool:
    """Whether an entry is there as it was written, or was pruned in good order."""
    row = db.execute("SELECT hash FROM evidence WHERE seq = ?", (last.seq,)).fetchone()
    if row is not None:
        return bool(row[0] == last.hash)
    (first,) = db.execute("SELECT min(seq) FROM evidence").fetchone()
    return first is not None and first > last.seq


def _last_alive(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT at_ms FROM alive").fetchone()
    return 0 if row is None else int(row[0])


def _entry(row: Sequence[object]) -> Entry:
    """What is of another type than we write was edited by others; it becomes something that no hash fits."""
    seq, at_ms, *texts = row
    kind, body, prev, digest, signature = (_text(each) for each in texts)
    return Entry(_number(seq), _number(at_ms), kind, body, prev, digest, signature)


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""
