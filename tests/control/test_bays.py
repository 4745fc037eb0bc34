"""Bays, curtains, the guarantee, metrics."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from monitor.core.errors import Unavailable
from tests.control.fake_media import report
from tests.control.harness import events, running


def test_a_bay_as_screens_see_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            bays = (await on.client.get("/api/bays", headers=on.bearer("nurse"))).json()
            assert [(bay["id"], bay["name"]) for bay in bays] == [
                ("bay-1", "Leje 1"),
                ("bay-2", "Leje 2"),
                ("toilet", "Toilet"),
            ]
            camera = bays[0]["camera"]
            assert camera["state"] == "live"
            assert camera["streams"] == ["main", "sub"]
            assert bays[1]["camera"]["streams"] == ["main"]
            assert 0 <= camera["picture_age_ms"] < 10_000
            assert (camera["width"], camera["height"], camera["profile"]) == (1280, 720, "main")
            assert (camera["viewers"], camera["lost"], camera["reconnects"]) == (2, 3, 2)
            assert bays[2]["camera"] is None
            assert bays[2]["buttons"] == [{"id": "toilet-cord", "kind": "http", "online": None, "heard_ms": None}]
            assert (bays[0]["presence"], bays[2]["presence"]) == ("bay", "none")
            on.media.set("bay-1", report=None, state="connecting", reason="not-sealed")
            camera = (await on.client.get("/api/bays", headers=on.bearer("nurse"))).json()[0]["camera"]
            assert (camera["state"], camera["reason"], camera["picture_age_ms"]) == ("connecting", "not-sealed", None)

    asyncio.run(run())


def test_the_rate_comes_from_two_reports(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            now = on.services.clock.now_ms()
            for step in range(5):
                new = report("bay-2", now, frames=100 + step * 25, sent_ms=now + step * 1000)
                on.media.set("bay-2", report=new)
            bay = on.services.board.bays[1]
            camera = on.services.board.camera_json(bay)
            assert camera is not None
            assert camera["fps"] == 25.0

    asyncio.run(run())


def test_unchanged_cameras_are_not_told_at_each_report(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on, events(on, on.bearer("nurse")) as page:
            await page.until("guarantee")
            told = 0
            on.media.set("bay-2", state="stale")
            for _ in range(50):
                on.media.set("bay-2")
            on.media.set("bay-2", state="live")
            on.media.guarantee_is()
            while (await page.until("camera", "guarantee")).type == "camera":
                told += 1
            assert told == 2

    asyncio.run(run())


def test_a_curtain_reaches_the_relay_and_outlasts_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            anna = on.bearer("nurse", "Anna")
            async with events(on, anna) as page:
                await page.until("guarantee")
                answer = await on.client.post("/api/bays/bay-1/curtain", json={"closed": True}, headers=anna)
                assert (answer.status_code, answer.json()["by"], answer.json()["until_ms"]) == (200, "Anna", None)
                told = await page.until("curtain")
                assert told.data["bay"] == "bay-1"
                assert (told.data["curtain"]["closed"], told.data["curtain"]["by"]) == (True, "Anna")
            assert on.media.curtains == [("bay-1", True), ("bay-1.sub", True)]
        async with running(tmp_path) as on:
            assert on.media.cameras["bay-1"].curtain
            assert on.media.cameras["bay-1.sub"].curtain
            assert not on.media.cameras["bay-2"].curtain
            bay = (await on.client.get("/api/bays", headers=anna)).json()[0]
            assert bay["curtain"]["by"] == "Anna"
            opened = await on.client.post("/api/bays/bay-1/curtain", json={"closed": False}, headers=anna)
            assert opened.json()["closed"] is False
            assert on.media.curtains == [("bay-1", False), ("bay-1.sub", False)]
            assert on.query("SELECT count(*) FROM curtains") == [(0,)], "what is open leaves no trace"

    asyncio.run(run())


def test_a_curtain_opens_by_itself_when_its_time_is_over(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            body = {"closed": True, "minutes": 0.01}
            answer = await on.client.post("/api/bays/bay-2/curtain", json=body, headers=on.bearer("nurse"))
            assert answer.json()["until_ms"] - answer.json()["since_ms"] == 600
            began = time.monotonic()
            while on.media.curtains[-1] != ("bay-2", False):
                assert time.monotonic() - began < 4
                await asyncio.sleep(0.05)
            assert on.services.curtains.of("bay-2") is None

    asyncio.run(run())


@pytest.mark.parametrize(
    ("bay", "body", "status"),
    [
        ("toilet", {"closed": True}, 409),
        ("nowhere", {"closed": True}, 404),
        ("bay-1", {"closed": "yes"}, 422),
        ("bay-1", {"closed": True, "minutes": 0}, 422),
        ("bay-1", {"closed": True, "minutes": 721}, 422),
        ("bay-1", {"minutes": 10}, 422),
    ],
)
def test_curtains_that_are_refused(tmp_path: Path, bay: str, body: dict[str, object], status: int) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            answer = await on.client.post(f"/api/bays/{bay}/curtain", json=body, headers=on.bearer("nurse"))
            assert answer.status_code == status
            assert on.media.curtains == []

    asyncio.run(run())


def test_a_curtain_closes_though_the_journal_fails_and_stays_closed(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            anna = on.bearer("nurse", "Anna")

            async def full(work: object) -> None:
                raise Unavailable("the disk is full")

            write, on.services.journal.write = on.services.journal.write, full  # type: ignore[method-assign,assignment]
            answer = await on.client.post("/api/bays/bay-2/curtain", json={"closed": True}, headers=anna)
            assert answer.status_code == 503
            assert on.media.curtains == [("bay-2", True)]
            assert (await on.client.get("/api/bays", headers=anna)).json()[1]["curtain"]["closed"] is True
            opened = await on.client.post("/api/bays/bay-2/curtain", json={"closed": False}, headers=anna)
            assert opened.status_code == 503
            assert on.media.curtains == [("bay-2", True)]
            on.services.journal.write = write  # type: ignore[method-assign]

    asyncio.run(run())


def test_the_guarantee_and_readiness(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            it = on.bearer("it")
            await on.services.watch.look_now()
            full = (await on.client.get("/api/guarantee", headers=it)).json()
            assert full["ok"] is True
            assert full["audit"] == {"ok": True, "checked_ms": full["audit"]["checked_ms"], "broken": []}
            (process,) = full["processes"]
            assert (process["pid"], process["state"], process["landlock_abi"]) == (4242, "proved", 7)
            assert [proof["thread"] for proof in process["proofs"]] == ["first", "second"]
            assert process["proofs"][0]["attempts"][0] == {
                "name": "open",
                "where": "/tmp",
                "refused": True,
                "answer": "EACCES",
            }
            assert (await on.client.get("/readyz")).json() == {"ok": True}
            on.media.guarantee_is(state="ended", why="the proof is late")
            assert (await on.client.get("/api/guarantee", headers=it)).json()["ok"] is False
            waiting = await on.client.get("/readyz")
            assert (waiting.status_code, waiting.headers["retry-after"]) == (503, "1")
            assert (await on.client.get("/healthz")).status_code == 200

    asyncio.run(run())


def test_metrics(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            button, anna = on.bearer("button"), on.bearer("nurse")
            body = {"id": "0a0a0a0a-0000-4000-8000-000000000001", "button": "bay-1-tablet"}
            call = (await on.client.post("/api/bays/bay-1/calls", json=body, headers=button)).json()["id"]
            on.media.set("bay-2", state="stale")
            text = (await on.client.get("/metrics")).text
            assert 'vigil_camera_state{camera="bay-2",state="stale"} 1.0' in text
            assert 'vigil_camera_state{camera="bay-2",state="live"} 0.0' in text
            assert 'vigil_camera_frames_total{camera="bay-1"} 100.0' in text
            assert 'vigil_camera_reconnects_total{camera="bay-1"} 2.0' in text
            assert 'vigil_camera_last_frame_age_seconds{camera="bay-1.sub"}' in text
            assert 'vigil_frame_residency_seconds_max{camera="bay-1"} 1.5' in text
            assert 'vigil_media_sealed{process="0"} 1.0' in text
            assert "vigil_calls_ringing 1.0" in text
            assert "vigil_viewer_sessions 0.0" in text
            assert "vigil_call_ack_seconds_count 0.0" in text
            await on.client.post(f"/api/calls/{call}/acknowledge", headers=anna)
            await on.client.post(f"/api/calls/{call}/attend", headers=anna)
            on.media.guarantee_is(state="failed")
            text = (await on.client.get("/metrics")).text
            assert "vigil_calls_ringing 0.0" in text
            assert "vigil_call_ack_seconds_count 1.0" in text
            assert 'vigil_media_sealed{process="0"} 0.0' in text

    asyncio.run(run())
