"""Curtains: a bay's camera switched off for privacy, for a time or until somebody opens it.

Closing reaches the relay before anything else, the journal after it: a patient's no is heard at once and outlasts a
restart. Opening is written first. What is open leaves no trace (LAW.md section 5: pause marks until the bay is free).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from monitor.control.journal import Journal
from monitor.control.media_room import MediaRoom
from monitor.core.errors import Conflict, VigilError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Curtain:
    """A closed curtain. `until_ms` is None for one without an end."""

    closed_by: str
    since_ms: int
    until_ms: int | None

    def to_json(self) -> dict[str, object]:
        """As in /api/bays."""
        return {"closed": True, "by": self.closed_by, "since_ms": self.since_ms, "until_ms": self.until_ms}


def stored(journal: Journal) -> dict[str, Curtain]:
    """What was closed when the server ended, by bay: their cameras must start closed."""

    def work(db: sqlite3.Connection) -> dict[str, Curtain]:
        rows = db.execute("SELECT bay, closed_by, since_ms, until_ms FROM curtains")
        return {bay: Curtain(*values) for bay, *values in rows}

    return journal.read_now(work)


class CurtainDesk:
    """All curtains."""

    def __init__(
        self,
        journal: Journal,
        media: MediaRoom,
        now_ms: Callable[[], int],
        cameras: Mapping[str, tuple[str, ...]],
        on_change: Callable[[str], None],
        closed: Mapping[str, Curtain],
    ) -> None:
        """`cameras` holds each bay's camera ids, `on_change` is told of a bay whose curtain moved, `closed` is what was
        `stored`."""
        self._journal = journal
        self._media = media
        self._now_ms = now_ms
        self._cameras = cameras
        self._on_change = on_change
        self._closed = {bay: curtain for bay, curtain in closed.items() if cameras.get(bay)}
        self._lock = asyncio.Lock()

    def of(self, bay: str) -> Curtain | None:
        """The bay's closed curtain; None where it is open."""
        return self._closed.get(bay)

    async def close(self, bay: str, minutes: float | None, who: str) -> Curtain:
        """Close, or close for another time. Raises Conflict where the bay has no camera, Unavailable where it is closed
        but cannot be kept beyond a restart."""
        cameras = self._cameras.get(bay)
        if not cameras:
            raise Conflict("this bay has no camera", "")
        async with self._lock:
            now_ms = self._now_ms()
            curtain = Curtain(who, now_ms, None if minutes is None else now_ms + round(minutes * 60_000))
            for camera in cameras:
                self._media.set_curtain(camera, True)
            self._closed[bay] = curtain
            logger.info("the curtain of %s was closed by %s", bay, who)
            self._on_change(bay)
            row = (bay, curtain.closed_by, curtain.since_ms, curtain.until_ms)
            await self._journal.write(
                lambda db: db.execute("INSERT OR REPLACE INTO curtains VALUES (?, ?, ?, ?)", row).close()
            )
            return curtain

    async def open(self, bay: str, who: str) -> None:
        """Open; an open one stays open. Raises Unavailable, with the curtain still closed, where it cannot be kept."""
        async with self._lock:
            if bay not in self._closed:
                return
            await self._journal.write(lambda db: db.execute("DELETE FROM curtains WHERE bay = ?", (bay,)).close())
            del self._closed[bay]
            logger.info("the curtain of %s was opened by %s", bay, who)
            for camera in self._cameras[bay]:
                self._media.set_curtain(camera, False)
            self._on_change(bay)

    async def tick(self) -> None:
        """Open those whose time is over. To be called each second."""
        now_ms = self._now_ms()
        for bay, curtain in tuple(self._closed.items()):
            if curtain.until_ms is not None and now_ms >= curtain.until_ms:
                try:
                    await self.open(bay, "its end")
                except VigilError as error:
                    # Our own error says it all; a traceback would add nothing.
                    logger.error(  # noqa: TRY400
                        "the curtain of %s stays closed: %s", bay, error.message
                    )
