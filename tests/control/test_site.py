"""A site's start and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from monitor.control import http_server
from monitor.control import site as site_module
from monitor.control.app import create_app
from monitor.control.services import Services
from monitor.control.site import Site, SiteReady
from monitor.core.errors import Conflict, InputError, SealError, Unavailable
from tests.control.fake_media import OFFER, FakeMedia
from tests.control.harness import config, events, running


def test_a_signal_ends_everything_in_two_seconds_with_streams_open(tmp_path: Path) -> None:
    async def run() -> None:
        said: list[SiteReady] = []
        ready = asyncio.Event()

        def banner(what: SiteReady) -> None:
            said.append(what)
            ready.set()

        configured = config(tmp_path)
        media: list[FakeMedia] = []

        def make(*arguments: Any) -> FakeMedia:
            media.append(FakeMedia(*arguments))
            return media[0]

        site = Site(configured, tls=None, banner=banner, make_media=make)
        task = asyncio.create_task(site.run())
        await asyncio.wait_for(ready.wait(), 10)
        assert said[0].base_url == f"http://127.0.0.1:{configured.server.port}"
        assert said[0].udp_ports == (8555,)
        assert said[0].proof_summary == (
            "96 ways of writing tried from 2 threads of 1 media process, 96 refused (Landlock ABI 7, seccomp, no swap)"
        )
        assert media[0].running
        services = site.services
        assert services is not None
        headers = {"Authorization": f"Bearer {services.accounts.create_token('nurse', 'Anna')[1]}"}
        url = f"{said[0].base_url}/api/events"
        async with (
            httpx2.AsyncClient() as client,
            client.stream("GET", url, headers=headers) as one,
            client.stream("GET", url, headers=headers) as two,
        ):
            assert (one.status_code, two.status_code) == (200, 200)
            await client.post(
                f"{said[0].base_url}/whep/bay-1",
                content=OFFER,
                headers=headers | {"Content-Type": "application/sdp"},
            )
            began = time.monotonic()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(task, 2)
            assert time.monotonic() - began < 2
            await one.aread()
        assert not media[0].running
        assert media[0].viewers == {}
        assert site.services is None
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", configured.server.port)

    asyncio.run(run())


def test_one_server_for_one_state_directory(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path):
            with pytest.raises(Conflict, match="another server"):
                await Site(config(tmp_path), tls=None, make_media=FakeMedia).run()
        async with running(tmp_path):
            pass  # the lock goes with its server

    asyncio.run(run())


def test_a_port_in_use(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / "other").mkdir()
        async with running(tmp_path) as on:
            port = on.services.config.server.port
            base = config(tmp_path / "other")
            taken = base.model_copy(update={"server": base.server.model_copy(update={"port": port})})
            with pytest.raises(Unavailable, match=f"TCP port {port}"):
                await Site(taken, tls=None, make_media=FakeMedia).run()

    asyncio.run(run())


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "cert").write_text("no certificate")
    files = (str(tmp_path / "cert"), str(tmp_path / "cert"))
    with pytest.raises(InputError, match="certificate"):
        asyncio.run(Site(config(tmp_path), tls=files, make_media=FakeMedia).run())


def test_a_damaged_journal_is_said_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite3").write_bytes(b"junk" * 1000)
    made: list[FakeMedia] = []

    def make(*arguments: Any) -> FakeMedia:
        made.append(FakeMedia(*arguments))
        return made[0]

    with pytest.raises(Unavailable, match="damaged"):
        asyncio.run(Site(config(tmp_path), tls=None, make_media=make).run())
    assert made == []


def test_a_process_that_cannot_be_sealed_ends_the_start_under_strict(tmp_path: Path) -> None:
    def make(*arguments: Any) -> FakeMedia:
        media = FakeMedia(*arguments)
        media.process = type(media.process)(state="failed", why="Landlock is not there")
        return media

    with pytest.raises(SealError, match="Landlock is not there"):
        asyncio.run(Site(config(tmp_path), tls=None, make_media=make).run())


def test_a_task_that_fails_ends_the_site_and_everything_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media: list[FakeMedia] = []

    def make(*arguments: Any) -> FakeMedia:
        media.append(FakeMedia(*arguments))
        return media[0]

    async def broken(services: Services) -> None:
        await asyncio.sleep(0.1)
        raise RuntimeError("planted")

    monkeypatch.setattr(site_module, "_tick", broken)
    with pytest.raises(RuntimeError, match="planted"):
        asyncio.run(Site(config(tmp_path), tls=None, make_media=make).run())
    assert media
    assert not media[0].running


def test_tls(tmp_path: Path) -> None:
    import datetime

    from monitor.setup.certificates import ensure_certificate

    cert, key = ensure_certificate(tmp_path, "127.0.0.1", datetime.datetime.now(datetime.UTC))

    async def run() -> None:
        ready = asyncio.Event()
        said: list[str] = []

        def banner(what: SiteReady) -> None:
            said.append(what.base_url)
            ready.set()

        site = Site(config(tmp_path), tls=(cert, key), banner=banner, make_media=FakeMedia)
        task = asyncio.create_task(site.run())
        await asyncio.wait_for(ready.wait(), 10)
        assert said[0].startswith("https://")
        context = ssl.create_default_context(cafile=cert)
        async with httpx2.AsyncClient(verify=context) as client:
            page = await client.get(f"{said[0]}/healthz")
            assert page.headers["strict-transport-security"]
        site.stop()
        await asyncio.wait_for(task, 5)

    asyncio.run(run())


def test_a_request_that_hangs_does_not_hold_up_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert http_server.GRACE_SECONDS == 1

    async def run() -> None:
        async with running(tmp_path) as on:
            headers = on.bearer("nurse") | {"Content-Type": "application/sdp"}

            async def never(camera: str, viewer: str, offer: str) -> None:
                await asyncio.sleep(30)

            monkeypatch.setattr(on.media, "add_viewer", never)
            asking = asyncio.create_task(on.client.post("/whep/bay-1", content=OFFER, headers=headers))
            await asyncio.sleep(0.3)
            began = time.monotonic()
            on.site.stop()
            with contextlib.suppress(httpx2.TransportError):
                assert (await asking).status_code == 500
            while on.site.services is not None:
                await asyncio.sleep(0.02)
                assert time.monotonic() - began < 2

    asyncio.run(run())


def test_no_environment_variable_turns_telemetry_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")

    async def run() -> None:
        async with running(tmp_path) as on:
            assert not create_app(on.services)._native_telemetry.enabled()

    asyncio.run(run())


def test_pages_are_told_that_the_server_stops_by_the_end_of_their_stream(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on, events(on, on.bearer("nurse")) as page:
            await page.until("clock")
            on.site.stop()
            await page.ended(2)

    asyncio.run(run())
