"""The deletion job: what is older than the configuration says goes, and the job writes down that it ran.

It never deletes an open call, nor an access that goes on. What is deleted is overwritten (`secure_delete`), and the
write-ahead log is emptied after it, so that no copy stays behind.
"""

from __future__ import annotations

import json
import logging
import sqlite3

from monitor.control.accounts import DAY_MS
from monitor.control.evidence_log import EvidenceLog
from monitor.control.journal import Journal
from monitor.core.config import Retention
from monitor.core.errors import VigilError

logger = logging.getLogger(__name__)

KEPT_EVENTS = 10_000
"""Changes of calls that pages may ask for again, at most; none older than a day."""
EVERY_SECONDS = 24 * 3600.0


async def run(journal: Journal, retention: Retention, now_ms: int) -> dict[str, int]:
    """Delete what is over at `now_ms` (Unix milliseconds); rows of each kind. Raises Unavailable."""

    def work(db: sqlite3.Connection) -> dict[str, int]:
        deleted = {
            table: db.execute(f"DELETE FROM {table} WHERE {where}", values).rowcount  # noqa: S608 (constants below)
            for table, where, values in _rules(retention, now_ms)
        }
        db.execute("INSERT INTO retention_runs (at_ms, deleted) VALUES (?, ?)", (now_ms, json.dumps(deleted)))
        return deleted

    deleted = await journal.write(work)
    await journal.checkpoint()
    logger.info(
        "retention: %s", ", ".join(f"{count} {table}" for table, count in deleted.items() if count) or "nothing"
    )
    return deleted


async def run_logged(journal: Journal, evidence: EvidenceLog, retention: Retention, now_ms: int) -> None:
    """The same, and the chain of evidence, which has a way of its own to forget (as long as the security log is kept).

    A journal that cannot be written now is said, and tried again the next day.
    """
    try:
        await run(journal, retention, now_ms)
        pruned = await evidence.prune(now_ms - retention.security_log_days * DAY_MS)
        if pruned:
            await journal.checkpoint()
            logger.info("retention: %d entries of evidence", pruned)
    except VigilError as error:
        logger.error("retention did not run: %s", error.message)  # noqa: TRY400 (our own error says it all)


def _rules(retention: Retention, now_ms: int) -> list[tuple[str, str, tuple[int, ...]]]:
    """Table, condition, its values. A call's presses and events go with it, a token's sessions and codes too."""
    security = now_ms - retention.security_log_days * DAY_MS
    return [
        ("calls", "state = 'closed' AND closed_at < ?", (now_ms - retention.calls_days * DAY_MS,)),
        ("access_log", "to_ms < ?", (now_ms - retention.access_log_days * DAY_MS,)),
        ("security_log", "at_ms < ?", (security,)),
        (
            "events",
            "at_ms < ? OR id <= (SELECT max(id) FROM events) - ?",
            (now_ms - DAY_MS, KEPT_EVENTS),
        ),
        ("sessions", "expires_ms < ?", (now_ms,)),
        ("sign_in_codes", "expires_ms < ?", (now_ms,)),
        ("tokens", "coalesce(revoked_ms, expires_ms) < ?", (security,)),
        ("retention_runs", "at_ms < ?", (security,)),
    ]
