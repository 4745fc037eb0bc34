"""The call desk: takes presses and steps, keeps them, and then tells.

Order is everything here: decide (core/call_state), commit to the journal, and only then remember, answer and tell the
screens. So what a button was told "received" is on the disk, and no screen shows a call that a crash could undo.
Changes come one after another: a lock stands around each. It must never keep a call only in memory.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from monitor.control import call_journal
from monitor.control.call_journal import Change
from monitor.control.journal import Journal
from monitor.core.call_state import RINGING, Call, CallEvent, Priority, idle, transition
from monitor.core.errors import Conflict, NotFound

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pressed:
    """What became of a press. `made`: it made this call; otherwise it was known, or grew a call that was open."""

    call: Call
    made: bool


class CallDesk:
    """All calls. `restore` before anything else."""

    def __init__(
        self,
        journal: Journal,
        now_ms: Callable[[], int],
        tell: Callable[[Change], None],
        on_step: Callable[[Call, CallEvent], None] = lambda call, event: None,
    ) -> None:
        """`tell` publishes a change to pages, `on_step` is for the figures in metrics."""
        self._journal = journal
        self._now_ms = now_ms
        self._tell = tell
        self._on_step = on_step
        self._open: dict[str, Call] = {}
        """By bay."""
        self._lock = asyncio.Lock()

    def open_calls(self) -> list[Call]:
        """Open calls, the oldest first."""
        return sorted(self._open.values(), key=lambda call: (call.pressed_at, call.id))

    def open_call(self, bay: str) -> Call | None:
        """The bay's open call."""
        return self._open.get(bay)

    def ringing(self) -> int:
        """How many calls sound."""
        return sum(call.state in RINGING for call in self._open.values())

    async def restore(self) -> None:
        """Take up the calls that were open when the server ended: they ring again."""
        async with self._lock:
            for call in await self._journal.read(call_journal.open_calls):
                await self._keep(call, "restore", who="", place="")
            if self._open:
                logger.warning("%d open calls ring again after the restart", len(self._open))

    async def press(self, press_id: str, bay: str, button: str, *, who: str, priority: Priority = "call") -> Pressed:
        """A press with the id that the client made for it. The same id again changes nothing.

        Raises Conflict where the id was used at another bay, Unavailable where it cannot be kept.
        """
        async with self._lock:
            known = await self._journal.read(lambda db: call_journal.find_by_press(db, press_id))
            if known is not None:
                if known.bay != bay:
                    raise Conflict("this id was used for a press at another bay", "make a new id for each press")
                return Pressed(self._open.get(bay, known) if known.is_open else known, made=False)
            call = self._open.get(bay)
            made = call is None
            call = call or idle(press_id, bay, button, self._now_ms(), priority)
            return Pressed(await self._keep(call, "press", who=who, place=button, press=press_id), made)

    async def step(
        self,
        call_id: str,
        event: CallEvent,
        *,
        who: str,
        screen: str,
        sound: bool = True,
        presence_needed: Callable[[str], bool] = lambda bay: False,
        present: bool = False,
    ) -> Call:
        """Take `event` for a call; `presence_needed` says of a bay whether its calls are closed only there.

        Raises NotFound, Conflict where the table says no, Unavailable where it cannot be kept.
        """
        async with self._lock:
            call = next((one for one in self._open.values() if one.id == call_id), None)
            if call is None:
                call = await self._journal.read(lambda db: call_journal.find(db, call_id))
            if call is None:
                raise NotFound("there is no such call", "see /api/calls?state=open")
            return await self._keep(
                call,
                event,
                who=who,
                place=screen,
                sound=sound,
                presence_needed=presence_needed(call.bay),
                present=present,
            )

    async def _keep(
        self,
        call: Call,
        event: CallEvent,
        *,
        who: str,
        place: str,
        press: str | None = None,
        sound: bool = True,
        presence_needed: bool = False,
        present: bool = False,
    ) -> Call:
        now_ms = self._now_ms()
        new = transition(
            call,
            event,
            now_ms,
            who=who,
            screen=place,
            sound=sound,
            presence_needed=presence_needed,
            present=present,
        )
        if new == call:
            return call  # a screen that confirmed before: nothing to keep or tell

        def work(db: sqlite3.Connection) -> Change:
            return call_journal.store(db, new, event, now_ms, who=who, place=place, press=press)

        # A client that hangs up in the middle must not leave memory behind the journal.
        await asyncio.shield(self._commit(work, new, event))
        return new

    async def _commit(self, work: Callable[[sqlite3.Connection], Change], new: Call, event: CallEvent) -> None:
        change = await self._journal.write(work)
        if new.is_open:
            self._open[new.bay] = new
        else:
            self._open.pop(new.bay, None)
        self._tell(change)
        self._on_step(new, event)
