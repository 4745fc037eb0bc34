"""Pages, headers, and refusals in one form."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from monitor.control.app import create_app, with_headers
from monitor.control.headers import HEADERS
from monitor.control.routes_pages import TYPES, index_of, web_dir
from tests.control.harness import running


def planted_web(tmp_path: Path) -> Path:
    web = tmp_path / "web"
    (web / "text").mkdir(parents=True)
    for name in ("index.html", "button.html", "sign-in.html", "wall.js", "wall.css", "icon.svg", "text/da.json"):
        (web / name).write_text(f"content of {name}")
    (web / "secret.txt").write_text("not served")
    (web / "link.js").symlink_to(tmp_path / "journal.sqlite3")
    return web


def test_pages_and_their_types(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            app = with_headers(create_app(replace(on.services, web=planted_web(tmp_path))), tls=False)
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://vigil.test") as client:
                for path, type_, name in (
                    ("/", "text/html; charset=utf-8", "index.html"),
                    ("/sign-in", "text/html; charset=utf-8", "sign-in.html"),
                    ("/button/bay-1-tablet", "text/html; charset=utf-8", "button.html"),
                    ("/wall.js", "text/javascript; charset=utf-8", "wall.js"),
                    ("/wall.css", "text/css; charset=utf-8", "wall.css"),
                    ("/icon.svg", "image/svg+xml", "icon.svg"),
                    ("/text/da.json", "application/json", "text/da.json"),
                ):
                    page = await client.get(path)
                    assert (page.status_code, page.headers["content-type"]) == (200, type_)
                    assert page.text == f"content of {name}"
                    assert (await client.head(path)).status_code == 200
                for path in (
                    "/secret.txt",
                    "/link.js",
                    "/text/",
                    "/text",
                    "/nothing.js",
                    "/button/unknown",
                    "/bay/bay-1",
                    "/docs",
                    "/openapi.json",
                    "/..%2fjournal.sqlite3",
                    "/text/../../journal.sqlite3",
                    "/%2e%2e/journal.sqlite3",
                ):
                    missing = await client.get(path)
                    assert missing.status_code == 404, path
                    assert missing.headers["content-type"] == "application/problem+json"
                posted = await client.post("/wall.js")
                assert posted.status_code == 405

    asyncio.run(run())


def test_the_pages_of_this_repository_are_found() -> None:
    web = web_dir()
    assert web.is_dir()
    assert {path.suffix for path in index_of(web).values()} <= set(TYPES)


@pytest.mark.parametrize("path", ["/", "/api/bays", "/nothing", "/api/session", "/healthz"])
def test_every_answer_carries_the_headers(tmp_path: Path, path: str) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            answer = await on.client.get(path)
            for name, value in HEADERS.items():
                assert answer.headers[name] == value, name
            assert answer.headers.get_list("cache-control") == ["no-store"]
            assert "server" not in answer.headers
            assert "strict-transport-security" not in answer.headers, "only under TLS"
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "picture-in-picture=()" in answer.headers["permissions-policy"]

    asyncio.run(run())


def test_what_nobody_foresaw_shows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:

            def broken() -> list[object]:
                raise RuntimeError("secret-in-a-traceback")

            headers = on.bearer("nurse")
            monkeypatch.setattr(on.services.calls, "open_calls", broken)
            answer = await on.client.get("/api/calls", headers=headers)
            assert answer.status_code == 500
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["cache-control"] == "no-store"
            assert "secret" not in answer.text
            assert "Traceback" not in answer.text

    asyncio.run(run())


@pytest.mark.parametrize(
    ("content", "type_", "status"),
    [
        ("{broken", "application/json", 422),
        ('{"code": 7}', "application/json", 422),
        ("a" * 40000, "application/json", 413),
    ],
)
def test_bodies_that_cannot_be_read(tmp_path: Path, content: str, type_: str, status: int) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            answer = await on.client.post("/api/session", content=content, headers={"Content-Type": type_})
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"
            assert set(answer.json()) == {"type", "title", "status", "detail", "hint"}
            assert "broken" not in answer.text

    asyncio.run(run())


def test_a_body_that_is_refused_is_not_repeated(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            body = {"code": "x" * 300 + "the-secret", "the secret key": "the-secret"}
            answer = await on.client.post("/api/session", json=body)
            assert answer.status_code == 422
            assert "secret" not in answer.text

    asyncio.run(run())
