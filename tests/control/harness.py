"""A site with a fake media room, served for real on 127.0.0.1, for tests of the control room."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from monitor.control.services import Services
from monitor.control.site import Site
from monitor.core.config import Address, Bay, Button, Clinic, Config, Media, Retention, Server
from tests.control.fake_media import FakeMedia
from tests.control.fake_watch import FakeLook

PASSWORD = "s3cret-of-the-camera"


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def config(state_dir: Path, *, max_viewers: int = 200, retention: Retention | None = None) -> Config:
    """Three bays: two with camera and web button (one with a sub stream too), one with an http button only."""
    return Config(
        version=1,
        clinic=Clinic(name="Test"),
        server=Server(host="127.0.0.1", port=free_port(), public_host="127.0.0.1", tls="off", state_dir=str(state_dir)),
        media=Media(max_viewers=max_viewers),
        retention=retention or Retention(),
        bays=(
            Bay(
                id="bay-1",
                name="Leje 1",
                camera=Address(f"rtsp://viewer:{PASSWORD}@192.0.2.11/main"),
                onvif_port=0,
                camera_sub=Address(f"rtsp://viewer:{PASSWORD}@192.0.2.11/sub"),
                buttons=(Button(id="bay-1-tablet", kind="web"),),
            ),
            Bay(
                id="bay-2",
                name="Leje 2",
                camera=Address(f"rtsp://viewer:{PASSWORD}@192.0.2.12/main"),
                onvif_port=0,
                buttons=(Button(id="bay-2-tablet", kind="web"),),
            ),
            Bay(id="toilet", name="Toilet", buttons=(Button(id="toilet-cord", kind="http"),)),
        ),
    )


@dataclass
class Running:
    """A site that serves."""

    site: Site
    services: Services
    media: FakeMedia
    client: httpx2.AsyncClient
    """Without any sign-in."""
    base: str
    state_dir: Path
    look: FakeLook
    """What the watch sees."""

    def token(self, role: str, name: str = "", button: str | None = None) -> str:
        """A new token's secret; a button's belongs to the first bay's tablet unless told otherwise."""
        if role == "button" and button is None:
            button = "bay-1-tablet"
        return self.services.accounts.create_token(role, name or role, button)[1]

    def bearer(self, role: str, name: str = "", button: str | None = None) -> dict[str, str]:
        """Headers that show a new token."""
        return {"Authorization": f"Bearer {self.token(role, name, button)}"}

    def query(self, sql: str, *values: object) -> list[Any]:
        """Rows of the journal, read as another process would."""
        with contextlib.closing(sqlite3.connect(self.state_dir / "journal.sqlite3")) as db:
            return db.execute(sql, values).fetchall()

    async def until(self, sql: str, wanted: object, seconds: float = 3) -> None:
        """Wait until the journal's answer is `wanted`."""
        for _ in range(int(seconds / 0.02)):
            if self.query(sql) == wanted:
                return
            await asyncio.sleep(0.02)
        assert self.query(sql) == wanted


@contextlib.asynccontextmanager
async def running(state_dir: Path, configured: Config | None = None) -> AsyncIterator[Running]:
    """A site from start to end."""
    made: list[FakeMedia] = []

    def make_media(*arguments: Any) -> FakeMedia:
        made.append(FakeMedia(*arguments))
        return made[-1]

    configured = configured or config(state_dir)
    ready = asyncio.Event()
    look = FakeLook()
    site = Site(configured, tls=None, banner=lambda _: ready.set(), make_media=make_media, look=look)
    task = asyncio.create_task(site.run())
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiting}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        await task
    services = site.services
    assert services is not None
    base = f"http://127.0.0.1:{configured.server.port}"
    try:
        async with httpx2.AsyncClient(base_url=base, timeout=10) as client:
            yield Running(site, services, made[0], client, base, state_dir, look)
    finally:
        site.stop()
        await asyncio.wait_for(task, 5)


@dataclass
class Event:
    """One server-sent event."""

    type: str
    data: Any
    id: int | None


class Events:
    """An open event stream."""

    def __init__(self, response: httpx2.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self) -> Event | None:
        """The next event; None at the end of the stream."""
        event = Event("", None, None)
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if name == "event":
                event.type = value
            elif name == "data":
                event.data = json.loads(value)
            elif name == "id":
                event.id = int(value)
            elif not line and event.type:
                return event
        return None

    async def until(self, *types: str, seconds: float = 5) -> Event:
        """The next event of one of these types."""
        async with asyncio.timeout(seconds):
            while event := await self.next():
                if event.type in types:
                    return event
        raise AssertionError("the stream ended")

    async def ended(self, seconds: float = 5) -> None:
        """Wait for the stream's end."""
        async with asyncio.timeout(seconds):
            while await self.next():
                pass


@contextlib.asynccontextmanager
async def events(on: Running, headers: dict[str, str], last_id: int | None = None) -> AsyncGenerator[Events, None]:
    """An event stream of its own connection."""
    extra = {} if last_id is None else {"Last-Event-ID": str(last_id)}
    async with (
        httpx2.AsyncClient(base_url=on.base, timeout=10) as client,
        client.stream("GET", "/api/events", headers=headers | extra) as response,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Events(response)
