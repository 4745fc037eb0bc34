"""Who sends a request, and whether the table permits it. Every route asks here.

A browser shows its session's cookie, a script its token. A cookie is sent by the browser whoever wrote the page, so
what changes something needs an Origin that is our own (SameSite=Strict alone trusts every page on the same site).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.requests import Request

from monitor.control.accounts import Identity
from monitor.control.problems import RetryLater
from monitor.control.services import Services, services_of
from monitor.core.access import Action, require
from monitor.core.errors import NotAllowed, NotSignedIn

COOKIE = "vigil_session"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})


async def identify(request: Request) -> Identity:
    """Who sends this. Raises NotSignedIn, RetryLater after too many failures, NotAllowed for a foreign page."""
    services = services_of(request)
    authorization = request.headers.get("authorization")
    try:
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise NotSignedIn("only 'Authorization: Bearer TOKEN' is understood", "")
            return await services.accounts.who(token=token.strip())
        cookie = request.cookies.get(COOKIE)
        if not cookie:
            raise NotSignedIn("this needs a sign-in", "sign in, or send 'Authorization: Bearer TOKEN'")
        identity = await services.accounts.who(session=cookie)
    except NotSignedIn:
        if authorization is not None:
            count_failure(request, services)
        raise
    if request.method not in _READING:
        require_own_origin(request, needed=True)
    return identity


def may(action: Action) -> Callable[[Request], Awaitable[Identity]]:
    """A dependency: who sends this, where their role permits the action. Raises as `identify`, and NotAllowed."""

    async def permitted(request: Request) -> Identity:
        identity = await identify(request)
        require(identity.role, action)
        return identity

    return permitted


async def may_see_health(request: Request) -> None:
    """A dependency for what is open on loopback and needs the action elsewhere."""
    if client_address(request) not in _LOOPBACK:
        require((await identify(request)).role, "health")


def require_own_origin(request: Request, *, needed: bool) -> None:
    """Refuse what a page of another origin sends and, where `needed`, what names no origin. Raises NotAllowed."""
    origin = request.headers.get("origin")
    if origin is None and not needed:
        return
    host = request.headers.get("host", "")
    if origin is None or not host or urlsplit(origin).netloc.lower() != host.lower():
        raise NotAllowed("this was sent by a page of another origin", "open Vigil's own page; scripts use a token")


def count_failure(request: Request, services: Services) -> None:
    """Count a failed sign-in. Raises RetryLater beyond the limit."""
    wait = services.failures.failed(client_address(request), time.monotonic())
    if wait:
        raise RetryLater("too many failed sign-ins from this address", "wait a minute", wait)


def client_address(request: Request) -> str:
    """The address that the request came from; there is no proxy in front whose word would be taken."""
    return request.client.host if request.client else ""
