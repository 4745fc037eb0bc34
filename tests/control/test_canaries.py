"""The audit's canary cameras: who may begin a run and watch it, and that it shows nowhere and ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from monitor.control.app import create_app
from monitor.control.building import MediaEvents
from monitor.control.canaries import CanaryDesk
from monitor.core.config import Config
from monitor.core.config_checks import contradictions
from monitor.core.errors import Conflict, Unavailable
from tests.control.fake_media import OFFER, FakeMedia
from tests.control.harness import Running, config, events, running

SDP = {"Content-Type": "application/sdp"}
CANARY = "/api/audit/canary"


async def begin(on: Running, role: str = "it") -> httpx2.Response:
    return await on.client.post(CANARY, json={"port": 40_000}, headers=on.bearer(role))


@pytest.mark.parametrize("role", ["it", "admin"])
def test_a_run_from_its_beginning_to_its_end(tmp_path: Path, role: str) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            before = set(on.media.cameras)
            answer = await begin(on, role)
            assert (answer.status_code, answer.json()) == (201, {"cameras": ["p0.canary"], "seconds": 60})
            added = on.media.cameras["p0.canary"]
            real = on.media.cameras["bay-1"]
            assert added.source == "rtsp://127.0.0.1:40000/canary"
            bounds = ("window_seconds", "window_bytes", "stale_seconds", "transport", "curtain")
            assert all(getattr(added, name) == getattr(real, name) for name in bounds)
            second = await begin(on)
            assert second.status_code == 409
            assert on.media.cameras["p0.canary"] is added
            ended = await on.client.delete(CANARY, headers=on.bearer(role))
            assert (ended.status_code, ended.json()) == (200, {"cameras": []})
            assert set(on.media.cameras) == before
            assert (await on.client.delete(CANARY, headers=on.bearer(role))).status_code == 200, "over is over"
            assert (await begin(on)).status_code == 201

    asyncio.run(run())


@pytest.mark.parametrize("role", ["nurse", "display", "button"])
def test_who_may_not(tmp_path: Path, role: str) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            assert (await begin(on, role)).status_code == 403
            assert "p0.canary" not in on.media.cameras
            assert (await on.client.post(CANARY, json={"port": 40_000})).status_code == 401
            await begin(on)
            assert (await on.client.delete(CANARY, headers=on.bearer(role))).status_code == 403
            assert "p0.canary" in on.media.cameras

    asyncio.run(run())


@pytest.mark.parametrize("body", [{}, {"port": 0}, {"port": 65_536}, {"port": "1"}, {"port": 1, "host": "192.0.2.1"}])
def test_what_is_no_port(tmp_path: Path, body: dict[str, object]) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            answer = await on.client.post(CANARY, json=body, headers=on.bearer("it"))
            assert answer.status_code == 422
            assert "p0.canary" not in on.media.cameras

    asyncio.run(run())


@pytest.mark.parametrize(("client", "status"), [("192.0.2.7", 403), ("127.0.0.1", 201), ("192.0.2.1", 201)])
def test_only_from_this_machine(tmp_path: Path, client: str, status: int) -> None:
    """192.0.2.1 is the server's own address here: who comes from it is on this machine."""

    async def run() -> None:
        async with running(tmp_path) as on:
            transport = httpx2.ASGITransport(app=create_app(on.services), client=(client, 50_000))
            async with httpx2.AsyncClient(transport=transport, base_url="http://192.0.2.1") as http:
                answer = await http.post(CANARY, json={"port": 40_000}, headers=on.bearer("it"))
            assert answer.status_code == status
            assert ("p0.canary" in on.media.cameras) == (status == 201)

    asyncio.run(run())


def test_who_may_watch_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            it, nurse = on.bearer("it", "Ida") | SDP, on.bearer("nurse") | SDP
            assert (await on.client.post("/whep/p0.canary", content=OFFER, headers=nurse)).status_code == 404
            assert (await on.client.post("/whep/p0.canary", content=OFFER, headers=it)).status_code == 403
            await begin(on)
            assert (await on.client.post("/whep/p0.canary", content=OFFER, headers=nurse)).status_code == 403
            assert (await on.client.post("/whep/bay-1", content=OFFER, headers=it)).status_code == 403
            assert (await on.client.post("/whep/bay-1", content=OFFER, headers=nurse)).status_code == 201
            watched = await on.client.post("/whep/p0.canary?stream=sub", content=OFFER, headers=it)
            assert watched.status_code == 201
            log = "SELECT who, bay, stream, why FROM access_log WHERE bay = 'p0.canary'"
            assert on.query(log) == [("Ida", "p0.canary", "main", "")]
            location = watched.headers["location"]
            assert (await on.client.delete(location, headers=nurse)).status_code == 403
            assert (await on.client.delete(location, headers=it)).status_code == 200
            await on.until(log, [("Ida", "p0.canary", "main", "asked")])

    asyncio.run(run())


def test_it_shows_nowhere(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on, events(on, on.bearer("nurse")) as stream:
            await begin(on)
            on.media.set("p0.canary", state="stale", reason="no-packets")
            on.media.set("bay-2", state="stale", reason="no-packets")
            seen = []
            while not seen or seen[-1].data.get("bay") != "bay-2":
                seen.append(await stream.until("camera"))
            assert all("canary" not in str(event.data) for event in seen)
            texts = [
                (await on.client.get(path, headers=on.bearer(role))).text
                for path in ("/api/bays", "/api/guarantee", "/metrics")
                for role in ("it", "admin")
            ]
            assert all("canary" not in text for text in texts)

    asyncio.run(run())


def test_it_ends_by_itself(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            on.services.canaries.seconds = 0.2
            assert (await begin(on)).json()["seconds"] == 0.2
            await asyncio.sleep(0.4)
            assert on.services.canaries.cameras == ()
            assert "p0.canary" not in on.media.cameras
            on.services.canaries.seconds = 60
            await begin(on)
            await asyncio.sleep(0.4)
            assert on.services.canaries.cameras == ("p0.canary",), "the clock of the run before must not end this one"

    asyncio.run(run())


def test_what_is_gone_already_is_no_error(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            await begin(on)
            on.media.remove_camera("p0.canary")
            assert (await on.client.delete(CANARY, headers=on.bearer("it"))).status_code == 200

    asyncio.run(run())


def test_one_that_begins_by_half_is_taken_back(tmp_path: Path) -> None:
    class Two(FakeMedia):
        def guarantee(self):  # type: ignore[no-untyped-def]
            return [self.process, self.process]

    async def run() -> None:
        async with running(tmp_path) as on:
            configured = on.services.config
            silent = MediaEvents(lambda _: None, lambda *_: None, lambda: None)
            media = Two(configured, on.services.clock, [], silent)
            desk = CanaryDesk(media, configured.media)
            with pytest.raises(Exception, match="no media process 1"):
                desk.begin(40_000, "Ida")
            assert desk.cameras == ()
            assert media.cameras == {}
            media.holding = "swap"
            with pytest.raises(Unavailable, match="held"):
                desk.begin(40_000, "Ida")
            media.holding, media.guarantee = "", lambda: [media.process]  # type: ignore[method-assign]
            desk.begin(40_000, "Ida")
            with pytest.raises(Conflict):
                desk.begin(40_000, "Ida")
            desk.end()

    asyncio.run(run())


def test_no_bay_may_be_called_like_a_canary(tmp_path: Path) -> None:
    good = config(tmp_path)
    assert list(contradictions(good)) == []
    bad: Config = good.model_copy(update={"bays": (good.bays[1].model_copy(update={"id": "p0.canary"}),)})
    assert [problem.path for problem in contradictions(bad)] == [("bays", 0, "id")]
