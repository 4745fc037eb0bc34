"""The guarantee, and the health that machines ask for. Open on loopback, with the role it or admin elsewhere."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from starlette.requests import Request

from monitor.control import guarantee as proofs
from monitor.control.accounts import Identity
from monitor.control.metrics import CONTENT_TYPE
from monitor.control.services import services_of
from monitor.control.signed_in import may, may_see_health
from monitor.core.errors import Unavailable

router = APIRouter()


@router.get("/api/guarantee")
async def guarantee(request: Request, who: Annotated[Identity, Depends(may("guarantee"))]) -> dict[str, object]:
    """The newest proof of each media process, and what the watch says."""
    services = services_of(request)
    return proofs.full(services.media.guarantee(), services.watch.watched)


@router.get("/healthz", dependencies=[Depends(may_see_health)])
async def healthz() -> dict[str, object]:
    """The server answers."""
    return {"ok": True}


@router.get("/readyz", dependencies=[Depends(may_see_health)])
async def readyz(request: Request) -> dict[str, object]:
    """The server does its work: every media process has proved its seal, and the journal can be written. 503 if not."""
    services = services_of(request)
    if services.media.held:
        raise Unavailable(f"no media process may run: {services.media.held}", "see /api/audit")
    waiting = [number for number, one in enumerate(services.media.guarantee()) if one.state != "proved"]
    if waiting:
        names = ", ".join(str(number) for number in waiting)
        raise Unavailable(f"media process {names} has not proved its seal", "see /api/guarantee")
    await services.viewers.stay_alive()  # a real write: raises Unavailable
    return {"ok": True}


@router.get("/metrics", dependencies=[Depends(may_see_health)])
async def metrics(request: Request) -> Response:
    """Figures in Prometheus's text form."""
    return Response(services_of(request).metrics.text(), media_type=CONTENT_TYPE)
