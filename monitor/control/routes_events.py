"""The stream of events (see `events.py`), from the state at its begin or from where the page left off."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import StreamingResponse

from monitor.control import call_journal
from monitor.control.accounts import Identity
from monitor.control.events import Subscriber, encode, stream
from monitor.control.services import Services, services_of
from monitor.control.signed_in import identify
from monitor.core.access import permits
from monitor.core.call_state import to_json, to_patient_json

router = APIRouter()

REPLAY = 200
"""Changes that are told again one by one; a page that missed more gets a snapshot."""


@router.get("/api/events")
async def events(request: Request, who: Annotated[Identity, Depends(identify)]) -> StreamingResponse:
    """Server-sent events for as long as the sign-in lasts. Resumes after Last-Event-ID."""
    services = services_of(request)
    found = services.config.button(who.button) if who.button else None
    bay = found[0].id if found else None
    last = request.headers.get("last-event-id", "")
    last_id = int(last) if last.isdecimal() and len(last) <= 18 else None

    async def body() -> AsyncGenerator[bytes, None]:
        # Subscribed before the journal is read: nothing falls between the two, and `stream` drops what is told twice.
        with services.hub.subscribed(who, bay) as subscriber:
            first = await _first(services, subscriber, last_id)
            async with contextlib.aclosing(stream(subscriber, first)) as chunks:
                async for chunk in chunks:
                    yield chunk

    return StreamingResponse(body(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _first(services: Services, subscriber: Subscriber, last_id: int | None) -> list[tuple[int | None, bytes]]:
    """What a page needs to know before what happens next."""
    first: list[tuple[int | None, bytes]] = [(None, encode("clock", json.dumps(clock_json(services))))]
    role = subscriber.identity.role
    if permits(role, "see-calls") or role == "button":
        first += await _calls(services, subscriber, last_id)
    if permits(role, "see-bays"):
        for bay in services.board.bays:
            camera = services.board.camera_json(bay)
            curtain = services.curtains.of(bay.id)
            if camera is not None:
                first.append((None, encode("camera", json.dumps({"bay": bay.id, **camera}))))
                shown = {"bay": bay.id, "curtain": curtain.to_json() if curtain else None}
                first.append((None, encode("curtain", json.dumps(shown))))
            for button in services.board.buttons_json(bay):
                first.append((None, encode("button", json.dumps({"bay": bay.id, **button}))))
    if permits(role, "guarantee"):
        first.append((None, encode("guarantee", json.dumps(services.guarantee_summary()))))
    return first


async def _calls(services: Services, subscriber: Subscriber, last_id: int | None) -> list[tuple[int | None, bytes]]:
    """The changes that the page missed, or a snapshot of the open calls."""
    if last_id is not None:
        missed = await services.journal.read(lambda db: call_journal.changes_since(db, last_id, REPLAY))
        if missed is not None:
            told = ((change.id, subscriber.call_event(change)) for change in missed)
            return [(id_, data) for id_, data in told if data is not None]
    # One transaction's view, so that the number belongs to the calls.
    newest, calls = await services.journal.read(
        lambda db: (call_journal.newest_change(db), call_journal.open_calls(db))
    )
    if subscriber.identity.role == "button":
        shown = [to_patient_json(call) for call in calls if call.bay == subscriber.bay]
    else:
        shown = [to_json(call) for call in calls]
    return [(newest, encode("snapshot", json.dumps({"calls": shown}), newest))]


def clock_json(services: Services) -> dict[str, object]:
    """The `clock` event: service time now, and the version, so that a page of an older one reloads."""
    return {"now_ms": services.clock.now_ms(), "version": services.version}
