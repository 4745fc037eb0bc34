"""WHEP: a viewer's offer in, the answer out, and the session's end (draft-ietf-wish-whep; RFC 9725 for the errors)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from starlette.requests import Request

from monitor.control.accounts import Identity
from monitor.control.services import services_of
from monitor.control.signed_in import identify
from monitor.control.viewers import StreamName
from monitor.core.access import require
from monitor.core.config_tables import SUB
from monitor.core.errors import InputError, NotFound, Unavailable, UnsupportedMediaType

router = APIRouter()

SDP = "application/sdp"


async def _watcher(bay: str, request: Request) -> Identity:
    """Who sends this, where the role permits it: bays are for staff's eyes, the audit's own canary for the auditor's.
    Raises as `signed_in.may`."""
    identity = await identify(request)
    require(identity.role, "audit" if bay in services_of(request).canaries.cameras else "watch")
    return identity


Watcher = Annotated[Identity, Depends(_watcher)]


@router.post("/whep/{bay}", status_code=201)
async def watch(bay: str, request: Request, who: Watcher, stream: Annotated[StreamName, Query()] = "main") -> Response:
    """Watch a bay: 201 with the answer and `Location`. `stream=sub` is the smaller stream, the main one where the bay
    has none."""
    services = services_of(request)
    is_canary = bay in services.canaries.cameras
    known = None if is_canary else services.bay(bay)
    if known is not None and known.camera is None:
        raise NotFound("this bay has no camera", "see /api/bays")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != SDP:
        raise UnsupportedMediaType(f"an offer is sent as {SDP}", f"set Content-Type: {SDP}")
    try:
        offer = (await request.body()).decode("ascii")
    except UnicodeDecodeError:
        raise InputError(
            "the offer is not a session description", "send the browser's SDP offer as it stands"
        ) from None
    stream = stream if known is not None and known.camera_sub else "main"
    camera = bay + SUB if stream == "sub" else bay
    local = request.scope.get("server")
    candidates = await services.candidates.for_request(local[0] if local else None)
    if not candidates:
        raise Unavailable("the server does not know an address for viewers", "set server.public_host")
    viewer, answer = await services.viewers.open(who, bay, camera, stream, offer, candidates)
    return Response(answer, 201, {"Location": f"/whep/{bay}/{viewer}"}, SDP)


@router.delete("/whep/{bay}/{viewer}")
async def leave(bay: str, viewer: str, request: Request, who: Watcher) -> Response:
    """End a session of one's own."""
    services = services_of(request)
    if bay not in services.canaries.cameras:
        services.bay(bay)
    services.viewers.close(viewer, who)
    return Response(status_code=200)


@router.options("/whep/{bay}")
async def options(bay: str) -> Response:
    """What may be posted here. Open: it says nothing about any bay."""
    return Response(status_code=204, headers={"Accept-Post": SDP, "Allow": "POST, OPTIONS"})
