"""What every answer carries, and how large a request may be.

Nothing that this server says may be kept by a browser (GUARANTEE.md row 11): no-store on everything, no scripts but our
own, no camera, no screen capture, no picture-in-picture.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.control.problems import problem_response
from monitor.core.errors import TooLarge
from monitor.core.problem import problem_of

MAX_BODY = 32768
"""Bytes of the largest request body: an SDP offer."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
PERMISSIONS = ", ".join(
    (
        "camera=()",
        "microphone=()",
        "display-capture=()",
        "picture-in-picture=()",
        "geolocation=()",
        "autoplay=(self)",
        "fullscreen=(self)",
        "screen-wake-lock=(self)",
    )
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": PERMISSIONS,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
TRANSPORT_SECURITY = "max-age=31536000"


class SecurityHeaders:
    """ASGI middleware around everything, errors included. Plain ASGI: event streams pass as they come."""

    def __init__(self, app: ASGIApp, *, tls: bool) -> None:
        self._app = app
        self._headers = HEADERS | ({"Strict-Transport-Security": TRANSPORT_SECURITY} if tls else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
            await send(message)

        if _declared_too_large(Headers(scope=scope)):
            await problem_response(problem_of(_too_large()))(scope, receive, send_with_headers)
        else:
            await self._app(scope, _bounded(receive), send_with_headers)


def _declared_too_large(headers: Headers) -> bool:
    """Whether a request says itself that it is too large. A length that is no number is the HTTP parser's to refuse."""
    length = headers.get("content-length", "")
    return length.isdecimal() and int(length) > MAX_BODY


def _too_large() -> TooLarge:
    return TooLarge(f"the request's body is larger than {MAX_BODY} bytes")


def _bounded(receive: Receive) -> Receive:
    """`receive`, until more than MAX_BODY bytes came. Raises TooLarge."""
    got = 0

    async def bounded() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > MAX_BODY:
            raise _too_large()
        return message

    return bounded
