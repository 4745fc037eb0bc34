"""Who is watching: WHEP sessions, and the access log that says who watched which bay from when to when.

An access stands in the journal before the answer goes out: nobody watches unseen. It ends when the viewer leaves, is
lost, loses the sign-in, when the media process dies or the server stops; what a crash of the server cut off is ended at
the next start, at the moment when the server was last known to run. A session's id is a secret of its viewer and must
never stand in the journal.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from monitor.control.accounts import Identity
from monitor.control.journal import Journal
from monitor.control.media_room import MediaRoom
from monitor.core.errors import NotFound, TooMany, VigilError
from monitor.core.sdp_answer import build_answer, read_offer

logger = logging.getLogger(__name__)

StreamName = Literal["main", "sub"]


@dataclass(frozen=True)
class Viewing:
    """One session. `id` is what the viewer's Location names."""

    id: str
    log: str
    """The row in the access log."""
    bay: str
    camera: str
    identity: Identity
    incarnation: int
    """Of the camera's media process: when that is replaced, this session is over."""


class ViewerDesk:
    """All sessions."""

    def __init__(self, journal: Journal, media: MediaRoom, now_ms: Callable[[], int], max_viewers: int) -> None:
        self._journal = journal
        self._media = media
        self._now_ms = now_ms
        self._max = max_viewers
        self._viewings: dict[str, Viewing] = {}
        self._opening: dict[str, str] = {}
        """Sessions that the media room may answer any moment, and why they ended where they did before we knew."""
        self._logging: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._viewings)

    async def open(
        self, identity: Identity, bay: str, camera: str, stream: StreamName, offer: str, candidates: list[str]
    ) -> tuple[str, str]:
        """Begin a session: (its id, the SDP answer).

        Raises InputError or BadOffer on an offer that cannot be answered, TooMany, NotFound, Unavailable.
        """
        offered = read_offer(offer)
        if len(self._viewings) + len(self._opening) >= self._max:
            raise TooMany("as many viewers as the server may have are watching", "raise media.max_viewers")
        viewer, log = secrets.token_urlsafe(24), secrets.token_hex(8)
        self._opening[viewer] = ""
        try:
            answer = await self._media.add_viewer(camera, viewer, offer)
        finally:
            ended = self._opening.pop(viewer)
        # From here on `closed` can find it. Rows are written in the order in which they are handed in.
        incarnation = self._media.camera(camera).incarnation
        self._viewings[viewer] = Viewing(viewer, log, bay, camera, identity, incarnation)
        try:
            text = build_answer(answer, offered, candidates, secrets.randbits(62))
            row = (log, identity.name, identity.role, identity.token_id, identity.screen, bay, stream, self._now_ms())
            await self._journal.write(lambda db: _begin(db, row))
        except BaseException:
            self._end(viewer, "refused")
            self._media.close_viewer(viewer)
            raise
        logger.info("%s watches %s (%s)", identity.name, bay, stream)
        if ended:
            self._end(viewer, ended)
        return viewer, text

    def close(self, viewer: str, identity: Identity) -> None:
        """End a session on its viewer's wish. Raises NotFound where it is none of this token's."""
        viewing = self._viewings.get(viewer)
        if viewing is None or viewing.identity.token_id != identity.token_id:
            raise NotFound("there is no such session", "it may be over already")
        self._end(viewer, "asked")  # first, so that it is our reason that stands in the log
        self._media.close_viewer(viewer)

    def closed(self, viewer: str, why: str) -> None:
        """The media room says that a session is over."""
        if viewer in self._opening:
            self._opening[viewer] = why
        self._end(viewer, why)

    def camera_changed(self, camera: str) -> None:
        """End what was watched through a process that is no more."""
        incarnation = self._media.camera(camera).incarnation
        for viewing in tuple(self._viewings.values()):
            if viewing.camera == camera and viewing.incarnation != incarnation:
                self._end(viewing.id, "process-lost")

    def identities(self) -> set[Identity]:
        """Who is watching."""
        return {viewing.identity for viewing in self._viewings.values()}

    def end(self, identities: Collection[Identity], why: str) -> None:
        """End the sessions of these."""
        for viewing in tuple(self._viewings.values()):
            if viewing.identity in identities:
                self._end(viewing.id, why)
                self._media.close_viewer(viewing.id)

    async def restore(self) -> None:
        """End in the log what a crash of the server cut off."""
        cut = await self._journal.write(_end_cut_off)
        if cut:
            logger.warning("%d accesses were cut off when the server ended", cut)

    async def stay_alive(self) -> None:
        """Note that the server runs at this moment."""
        now_ms = self._now_ms()
        await self._journal.write(lambda db: _alive(db, now_ms))

    async def stop(self) -> None:
        """End all sessions and wait until the log says so."""
        self.end(self.identities(), "server-stopped")
        await asyncio.gather(*self._logging)

    def _end(self, viewer: str, why: str) -> None:
        viewing = self._viewings.pop(viewer, None)
        if viewing is None:
            return
        logger.info("%s does not watch %s any more (%s)", viewing.identity.name, viewing.bay, why)
        task = asyncio.get_running_loop().create_task(self._log_end(viewing, self._now_ms(), why))
        self._logging.add(task)
        task.add_done_callback(self._logging.discard)

    async def _log_end(self, viewing: Viewing, now_ms: int, why: str) -> None:
        try:
            await self._journal.write(
                lambda db: db.execute(
                    "UPDATE access_log SET to_ms = ?, why = ? WHERE id = ?", (now_ms, why, viewing.log)
                ).close()
            )
        except VigilError as error:
            # It stays open in the log and is ended at the next start: never shorter than it was.
            logger.error("the end of an access cannot be written: %s", error.message)  # noqa: TRY400


def _begin(db: sqlite3.Connection, row: tuple[object, ...]) -> None:
    db.execute(
        "INSERT INTO access_log (id, who, role, token, screen, bay, stream, from_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        row,
    )


def _alive(db: sqlite3.Connection, now_ms: int) -> None:
    db.execute("INSERT OR REPLACE INTO alive VALUES (1, ?)", (now_ms,))


def _end_cut_off(db: sqlite3.Connection) -> int:
    return db.execute(
        "UPDATE access_log SET why = 'server-lost', to_ms = max(from_ms, coalesce((SELECT at_ms FROM alive), 0)) "
        "WHERE to_ms IS NULL"
    ).rowcount
