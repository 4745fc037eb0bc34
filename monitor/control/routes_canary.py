"""The audit's canary run over HTTP: begins and ends it, for auditors on this machine."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from monitor.control.accounts import Identity
from monitor.control.services import services_of
from monitor.control.signed_in import client_address, may
from monitor.core.errors import NotAllowed

router = APIRouter()


_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})


class CanaryWish(BaseModel):
    """`port`: where the auditor's camera listens on 127.0.0.1."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    port: Annotated[int, Field(ge=1, le=65535)]


async def _auditor(request: Request, who: Annotated[Identity, Depends(may("audit"))]) -> Identity:
    """Raises NotAllowed where the request does not come from this machine: only here can the canary be read."""
    server = request.scope.get("server")
    if client_address(request) not in {*_LOOPBACK, server[0] if server else ""}:  # from its own address: this machine
        raise NotAllowed("the canary run is for auditors on the server itself", "run vigil audit there")
    return who


Auditor = Annotated[Identity, Depends(_auditor)]


@router.post("/api/audit/canary", status_code=201)
async def begin(wish: CanaryWish, request: Request, who: Auditor) -> dict[str, object]:
    """Have every media process read the auditor's camera, for `seconds` at most; 409 while another run is on."""
    canaries = services_of(request).canaries
    return {"cameras": list(canaries.begin(wish.port, who.name)), "seconds": canaries.seconds}


@router.delete("/api/audit/canary")
async def end(request: Request, who: Auditor) -> dict[str, object]:
    """Remove the canaries now."""
    services_of(request).canaries.end()
    return {"cameras": []}
