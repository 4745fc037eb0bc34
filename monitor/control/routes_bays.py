"""Bays as screens see them, and their curtains."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from monitor.control.accounts import Identity
from monitor.control.services import services_of
from monitor.control.signed_in import may
from monitor.core.access import permits

router = APIRouter()


class CurtainWish(BaseModel):
    """`minutes`: how long a curtain stays closed; without it, until somebody opens it."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    closed: bool
    minutes: Annotated[float, Field(gt=0, le=720)] | None = None


@router.get("/api/bays")
async def bays(request: Request, who: Annotated[Identity, Depends(may("see-bays"))]) -> list[dict[str, object]]:
    """All bays, in the configuration's order. Calls are shown to those who may see calls."""
    services = services_of(request)
    calls = services.calls if permits(who.role, "see-calls") else None
    return [services.board.bay_json(bay, services.curtains, calls) for bay in services.board.bays]


@router.post("/api/bays/{bay}/curtain")
async def curtain(
    bay: str, wish: CurtainWish, request: Request, who: Annotated[Identity, Depends(may("curtain"))]
) -> dict[str, object]:
    """Close or open a bay's curtain; the answer is its curtain as in /api/bays, `closed` false where it is open."""
    services = services_of(request)
    services.bay(bay)
    if wish.closed:
        return (await services.curtains.close(bay, wish.minutes, who.name)).to_json()
    await services.curtains.open(bay, who.name)
    return {"closed": False, "by": None, "since_ms": None, "until_ms": None}
