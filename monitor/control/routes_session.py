"""Sign-in of browsers: a one-time code or a token becomes an HttpOnly cookie."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.requests import Request

from monitor.control.accounts import Identity
from monitor.control.services import Services, services_of
from monitor.control.signed_in import COOKIE, client_address, count_failure, identify, require_own_origin
from monitor.core.access import ACTIONS, permits
from monitor.core.call_state import to_patient_json
from monitor.core.errors import NotSignedIn

router = APIRouter()


class SignIn(BaseModel):
    """A code from `vigil`'s link, or a token. Never repeated in an answer or a log."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    code: Annotated[str, StringConstraints(min_length=1, max_length=256)]


@router.post("/api/session")
async def sign_in(body: SignIn, request: Request, response: Response) -> dict[str, object]:
    """Sign this browser in. The answer is that of /api/me."""
    services = services_of(request)
    require_own_origin(request, needed=False)
    address = client_address(request)
    try:
        session = await services.accounts.sign_in(body.code.strip(), address)
    except NotSignedIn:
        count_failure(request, services)  # beyond the limit nothing is written, so that the log cannot be filled
        await services.accounts.sign_in_failed(address)
        raise
    response.set_cookie(
        COOKIE,
        session.secret,
        max_age=session.lasts_ms // 1000,
        path="/",
        secure=services.tls,
        httponly=True,
        samesite="strict",
    )
    return _me(services, session.identity)


@router.delete("/api/session")
async def sign_out(request: Request, who: Annotated[Identity, Depends(identify)]) -> Response:
    """Sign this browser out: its streams and pictures end at once. A token shown as such stays what it is."""
    services = services_of(request)
    await services.accounts.sign_out(who)
    if who.session_id is not None:
        services.hub.end({who})
        services.viewers.end({who}, "signed-out")
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", secure=services.tls, httponly=True, samesite="strict")
    return response


@router.get("/api/me")
async def me(request: Request, who: Annotated[Identity, Depends(identify)]) -> dict[str, object]:
    """Who is signed in, what they may do, and for a button its bay and open call."""
    return _me(services_of(request), who)


def _me(services: Services, who: Identity) -> dict[str, object]:
    found = services.config.button(who.button) if who.button else None
    bay = found[0] if found else None
    call = services.calls.open_call(bay.id) if bay else None
    return {
        "role": who.role,
        "name": who.name,
        "may": [action for action in ACTIONS if permits(who.role, action)],
        "button": who.button,
        "bay": bay.id if bay else None,
        "bay_name": bay.name if bay else None,
        "call": to_patient_json(call) if call else None,
        "clinic": services.config.clinic.name,
        "version": services.version,
    }
