"""Every refusal as a problem body (RFC 9457): our own errors, the framework's, and what nobody foresaw.

No answer ever holds a traceback, nor what the client sent.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from monitor.core.errors import NotSignedIn, TooMany, Unavailable, VigilError
from monitor.core.problem import MEDIA_TYPE, problem, problem_of

logger = logging.getLogger(__name__)

_KEY = re.compile(r"[A-Za-z0-9_-]{1,32}")
SLUGS = {400: "bad-input", 401: "not-signed-in", 403: "not-allowed", 404: "not-found", 405: "method-not-allowed"}


class RetryLater(TooMany):
    """A limit that is over after `seconds`."""

    def __init__(self, message: str, hint: str = "", seconds: float = 60.0) -> None:
        super().__init__(message, hint)
        self.seconds = seconds


def problem_response(body: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Response:
    """The answer for a problem body."""
    status = body["status"]
    return JSONResponse(body, status if isinstance(status, int) else 500, headers, MEDIA_TYPE)


async def on_vigil_error(_: Request, error: Exception) -> Response:
    """Our own errors."""
    assert isinstance(error, VigilError)
    headers: dict[str, str] = {}
    if isinstance(error, NotSignedIn):
        headers["WWW-Authenticate"] = "Bearer"
    elif isinstance(error, RetryLater):
        headers["Retry-After"] = str(max(1, round(error.seconds)))
    elif isinstance(error, Unavailable):
        headers["Retry-After"] = "1"
    if error.http_status >= 500 and not isinstance(error, Unavailable):
        logger.error("a request failed: %s", error.message)
    return problem_response(problem_of(error), headers)


async def on_validation_error(_: Request, error: Exception) -> Response:
    """A body or parameter of the wrong form: says where, never repeats what."""
    assert isinstance(error, RequestValidationError)
    where = "; ".join(
        f"{_where(one.get('loc', ()))}: {_plain(str(one.get('msg', 'wrong')))}" for one in error.errors()[:5]
    )
    return problem_response(problem(422, "bad-input", where or "the request cannot be read", "see the README's table"))


async def on_http_exception(_: Request, error: Exception) -> Response:
    """The framework's: no such path, no such method, a body that is no JSON."""
    assert isinstance(error, HTTPException)
    status = error.status_code
    body = problem(status, SLUGS.get(status, "error"), str(error.detail), "")
    return problem_response(body, error.headers)


async def on_anything(_: Request, error: Exception) -> Response:
    """What nobody foresaw. Starlette raises it again for the log."""
    return problem_response(problem(500, "error", "the server failed at this request", "see its log"))


def _where(loc: Sequence[object]) -> str:
    """The path of what is wrong. A key that the client made up is not repeated unless it looks like a key."""
    return ".".join(str(part) if _KEY.fullmatch(str(part)) else "?" for part in loc)


def _plain(message: str) -> str:
    """pydantic's words for what is wrong; they hold limits and types, and an input only behind these marks."""
    return message.split(", input", 1)[0].split(" [", 1)[0]


def install(app: FastAPI) -> None:
    """Make all refusals problems."""
    app.add_exception_handler(VigilError, on_vigil_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(Exception, on_anything)
