"""Calls: presses by buttons, steps by staff. What is answered 2xx stands in the journal."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from starlette.requests import Request

from monitor.control.accounts import Identity
from monitor.control.services import Services, services_of
from monitor.control.signed_in import may
from monitor.core.access import require_press
from monitor.core.call_state import CallEvent, to_json, to_patient_json
from monitor.core.errors import NotFound

router = APIRouter()


def _uuid(text: str) -> str:
    return str(uuid.UUID(text))  # one spelling of each id


Uuid = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$"),
    AfterValidator(_uuid),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class Press(_Body):
    """A press. `id` is made by the client, one for each press, and sent again with each try."""

    id: Uuid
    button: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class ShownBody(_Body):
    """A screen showed the call; `sound`: and its sound really played."""

    sound: bool = True


class CloseBody(_Body):
    """`presence`: the one who closes says to be at the bay."""

    presence: bool = False


@router.get("/api/calls")
async def calls(
    request: Request,
    who: Annotated[Identity, Depends(may("see-calls"))],
    state: Literal["open"] = "open",
) -> list[dict[str, object]]:
    """All open calls, the oldest first."""
    return [to_json(call) for call in services_of(request).calls.open_calls()]


@router.post("/api/bays/{bay}/calls")
async def press(
    bay: str, body: Press, request: Request, response: Response, who: Annotated[Identity, Depends(may("press"))]
) -> dict[str, object]:
    """A press: 201 with the call it made, 200 with the call that knows this id or was open and grew."""
    services = services_of(request)
    require_press(who.role, who.button, body.button)
    known = services.bay(bay)
    if all(button.id != body.button for button in known.buttons):
        raise NotFound("this bay has no such button", "see the configuration")
    pressed = await services.calls.press(body.id, bay, body.button, who=who.name)
    services.board.button_heard(body.button)
    response.status_code = 201 if pressed.made else 200
    return to_patient_json(pressed.call)


@router.post("/api/calls/{call}/shown")
async def shown(
    call: str, request: Request, who: Annotated[Identity, Depends(may("shown"))], body: ShownBody | None = None
) -> dict[str, object]:
    """A screen confirms that it showed the call and that its sound played."""
    return await _step(services_of(request), call, "shown", who, sound=(body or ShownBody()).sound)


@router.post("/api/calls/{call}/acknowledge")
async def acknowledge(
    call: str, request: Request, who: Annotated[Identity, Depends(may("acknowledge"))]
) -> dict[str, object]:
    """On my way: the sound stops, the light stays."""
    return await _step(services_of(request), call, "acknowledge", who)


@router.post("/api/calls/{call}/attend")
async def attend(call: str, request: Request, who: Annotated[Identity, Depends(may("attend"))]) -> dict[str, object]:
    """I am here, at the bay."""
    return await _step(services_of(request), call, "attend", who)


@router.post("/api/calls/{call}/close")
async def close(
    call: str, request: Request, who: Annotated[Identity, Depends(may("close"))], body: CloseBody | None = None
) -> dict[str, object]:
    """The call is over. Where the bay's `presence` is "bay", only once it was attended, or by one who is there."""
    return await _step(services_of(request), call, "close", who, present=(body or CloseBody()).presence)


async def _step(
    services: Services, call: str, event: CallEvent, who: Identity, *, sound: bool = True, present: bool = False
) -> dict[str, object]:
    def presence_needed(bay: str) -> bool:
        known = services.config.bay(bay)  # None: the bay left the configuration while its call was open
        return known is not None and known.presence == "bay"

    stepped = await services.calls.step(
        call,
        event,
        who=who.name,
        screen=who.screen,
        sound=sound,
        presence_needed=presence_needed,
        present=present,
    )
    return to_json(stepped)
