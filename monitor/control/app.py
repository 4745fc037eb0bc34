"""The web application: all routes around one site's services. It starts nothing and keeps nothing of its own."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from monitor.control import (
    problems,
    routes_audit,
    routes_bays,
    routes_calls,
    routes_canary,
    routes_events,
    routes_health,
    routes_notice,
    routes_pages,
    routes_session,
    routes_whep,
)
from monitor.control.headers import SecurityHeaders
from monitor.control.services import Services

NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI can hand requests and errors to exporters that an environment variable names: here no variable can."""


def create_app(services: Services) -> FastAPI:
    """The ASGI application."""
    # FastAPI's own documentation pages load scripts from elsewhere, so there are none: the README has the table.
    app = FastAPI(
        title="Vigil",
        version=services.version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=NO_TELEMETRY,
    )
    app.state.services = services
    problems.install(app)
    for routes in (
        routes_audit,
        routes_bays,
        routes_calls,
        routes_canary,
        routes_events,
        routes_health,
        routes_notice,
        routes_pages,
        routes_session,
        routes_whep,
    ):
        app.include_router(routes.router)
    app.include_router(routes_pages.files_router(services.web))
    return app


def with_headers(app: FastAPI, *, tls: bool) -> SecurityHeaders:
    """The application as it is served: headers around everything, the framework's own error answers included."""
    return SecurityHeaders(app, tls=tls)
