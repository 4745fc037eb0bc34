"""The pages, served as they stand in `web/`.

They hold code and words only, so they are open: everything about a clinic comes by the API, which is not. Only files
that were there at the start and are of a known kind are served; there is no listing and no path to go astray in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from monitor.control.services import services_of
from monitor.core.errors import NotFound
from monitor.evidence.web_source import PAGES, index_of, web_dir

__all__ = ["TYPES", "files_router", "index_of", "router", "web_dir"]

router = APIRouter()

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
"""Of each kind that is served (`web_source.SUFFIXES`). Not the machine's own list, which may be anything."""
_METHODS = ["GET", "HEAD"]


@router.api_route("/button/{button}", methods=_METHODS, include_in_schema=False)
async def button(button: str, request: Request) -> Response:
    """A patient's button."""
    if services_of(request).config.button(button) is None:
        raise NotFound("there is no such button", "see the configuration")
    return await _file(request, "button.html")


def files_router(web: Path) -> APIRouter:
    """A route for each file that is there now, so that any other path and method is refused as what it is."""
    files = APIRouter()
    for name in index_of(web):
        files.add_api_route(f"/{name}", _endpoint(name), methods=_METHODS, include_in_schema=False)
    return files


def _endpoint(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def file(request: Request) -> Response:
        return await _file(request, name)

    return file


async def _file(request: Request, name: str) -> Response:
    path = services_of(request).web / name
    try:
        content = await run_in_threadpool(path.read_bytes)
    except OSError:
        raise NotFound("there is no such page", "the web pages are not where this installation has them") from None
    return Response(content, media_type=TYPES[path.suffix])


for _address, _name in PAGES.items():
    router.add_api_route(_address, _endpoint(_name), methods=_METHODS, include_in_schema=False)
