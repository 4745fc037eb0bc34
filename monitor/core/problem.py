"""Problem bodies for HTTP (RFC 9457): what went wrong, for programs and people alike.

A problem is made from an error's own words only. It must never repeat what the client sent, nor show a traceback.
"""

from __future__ import annotations

from http import HTTPStatus

from monitor.core.errors import VigilError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:vigil:problem:"
"""Types are names and not addresses: there is nothing to fetch (RFC 9457 section 3.1.1 permits any URI)."""


def problem(status: int, slug: str, detail: str, hint: str = "") -> dict[str, object]:
    """The members of RFC 9457 section 3.1, and `hint`: what to do about it."""
    return {
        "type": TYPE_PREFIX + slug,
        "title": title(status),
        "status": status,
        "detail": detail,
        "hint": hint,
    }


def problem_of(error: VigilError) -> dict[str, object]:
    """The problem of one of our own errors."""
    return problem(error.http_status, error.slug, error.message, error.hint)


def title(status: int) -> str:
    """The status's own phrase; a plain word for one without."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
