"""Every route with every role: who may, who may not, and who is not signed in."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from monitor.control.app import create_app
from monitor.core.access import ROLES, Action, Role, permits
from tests.control.fake_media import OFFER
from tests.control.harness import Running, running

SDP = {"Content-Type": "application/sdp"}
GUARDED: dict[tuple[str, str], Action | None] = {
    ("POST", "/whep/{bay}"): "watch",
    ("DELETE", "/whep/{bay}/{viewer}"): "watch",
    ("GET", "/api/bays"): "see-bays",
    ("POST", "/api/bays/{bay}/curtain"): "curtain",
    ("GET", "/api/calls"): "see-calls",
    ("POST", "/api/bays/{bay}/calls"): "press",
    ("POST", "/api/calls/{call}/shown"): "shown",
    ("POST", "/api/calls/{call}/acknowledge"): "acknowledge",
    ("POST", "/api/calls/{call}/attend"): "attend",
    ("POST", "/api/calls/{call}/close"): "close",
    ("GET", "/api/events"): None,
    ("GET", "/api/guarantee"): "guarantee",
    ("GET", "/api/audit"): "audit",
    ("POST", "/api/audit/proof"): "audit",
    ("POST", "/api/audit/canary"): "audit",
    ("DELETE", "/api/audit/canary"): "audit",
    ("GET", "/api/me"): None,
    ("DELETE", "/api/session"): None,
}
"""What each guarded route needs; None: any sign-in."""
OPEN = {("OPTIONS", "/whep/{bay}"), ("POST", "/api/session"), ("GET", "/api/notice")}
ON_LOOPBACK = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")}


def _request(on: Running, method: str, path: str, viewer: str, call: str) -> dict[str, Any]:
    request: dict[str, Any] = {
        "method": method,
        "url": path.format(bay="bay-1", viewer=viewer, call=call),
    }
    if path == "/whep/{bay}" and method == "POST":
        request |= {"content": OFFER, "headers": SDP}
    elif path.endswith("/curtain"):
        request["json"] = {"closed": False}
    elif path.endswith("/close"):
        request["json"] = {"presence": True}
    elif path == "/api/audit/canary" and method == "POST":
        request["json"] = {"port": 9}
    elif path == "/api/bays/{bay}/calls":
        request["json"] = {"id": str(uuid.uuid4()), "button": "bay-1-tablet"}
    return request


@pytest.mark.parametrize("role", ROLES)
def test_a_role_on_every_route(tmp_path: Path, role: Role) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            press, headers = on.bearer("button", "presser"), on.bearer(role)
            for method, path in GUARDED:
                body = {"id": str(uuid.uuid4()), "button": "bay-1-tablet"}
                made = await on.client.post("/api/bays/bay-1/calls", json=body, headers=press)
                viewer = "unknown"
                if permits(role, "watch"):
                    watch = await on.client.post("/whep/bay-1", content=OFFER, headers=headers | SDP)
                    viewer = watch.headers["location"].rsplit("/", 1)[1]
                request = _request(on, method, path, viewer, made.json()["id"])
                nobody = await on.client.request(**request)
                assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
                assert nobody.json()["status"] == 401
                request["headers"] = request.get("headers", {}) | headers
                allowed = _expected(role, path, method)
                async with on.client.stream(**request) as answer:
                    if allowed:
                        assert 200 <= answer.status_code < 300, (method, path, answer.status_code)
                    else:
                        assert answer.status_code == 403, (method, path, answer.status_code)

    asyncio.run(run())


def _expected(role: Role, path: str, method: str) -> bool:
    needs = GUARDED[method, path]
    return needs is None or permits(role, needs)


def test_no_route_is_forgotten(tmp_path: Path) -> None:
    async def run() -> set[tuple[str, str]]:
        async with running(tmp_path) as on:
            app = create_app(on.services)
            return {
                (method, route.path)
                for route in _routes(app)
                for method in route.methods or ()
                if route.path.startswith(("/api/", "/whep/", "/healthz", "/readyz", "/metrics"))
            }

    assert asyncio.run(run()) == set(GUARDED) | OPEN | ON_LOOPBACK


def _routes(app: Any) -> list[APIRoute]:
    found: list[APIRoute] = []
    waiting = list(app.routes)
    while waiting:
        route = waiting.pop()
        if isinstance(route, APIRoute):
            found.append(route)
        else:
            waiting += getattr(getattr(route, "original_router", route), "routes", [])
    assert found, "negative control: the routes are found at all"
    return found


def test_health_is_open_on_loopback_and_guarded_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            for path in ("/healthz", "/readyz", "/metrics"):
                assert (await on.client.get(path)).status_code == 200
            monkeypatch.setattr("monitor.control.signed_in.client_address", lambda request: "192.0.2.1")
            for path in ("/healthz", "/readyz", "/metrics"):
                assert (await on.client.get(path)).status_code == 401
                assert (await on.client.get(path, headers=on.bearer("nurse"))).status_code == 403
                assert (await on.client.get(path, headers=on.bearer("it"))).status_code == 200

    asyncio.run(run())


def test_it_and_admin_see_cameras_but_no_call(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            body = {"id": str(uuid.uuid4()), "button": "bay-1-tablet"}
            await on.client.post("/api/bays/bay-1/calls", json=body, headers=on.bearer("button"))
            for role, sees in (("nurse", True), ("display", True), ("it", False), ("admin", False)):
                bays = (await on.client.get("/api/bays", headers=on.bearer(role))).json()
                assert (bays[0]["call"] is not None) == sees
                assert bays[0]["camera"]["state"] == "live"

    asyncio.run(run())
