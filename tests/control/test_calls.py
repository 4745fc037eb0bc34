"""Calls over HTTP: what is answered 2xx stands in the journal, once."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest

from monitor.core.errors import Unavailable
from tests.control.harness import Running, running

BAY = "/api/bays/bay-1/calls"


def press_body(id_: str | None = None, button: str = "bay-1-tablet") -> dict[str, str]:
    return {"id": id_ or str(uuid.uuid4()), "button": button}


def test_a_call_from_press_to_close(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            button, wall, anna = on.bearer("button"), on.bearer("display", "Wall"), on.bearer("nurse", "Anna")
            body = press_body()
            pressed = await on.client.post(BAY, json=body, headers=button)
            assert pressed.status_code == 201
            call = pressed.json()
            assert (call["id"], call["bay"], call["state"], call["presses"]) == (body["id"], "bay-1", "ringing", 1)
            assert abs(call["pressed_at"] - on.services.clock.now_ms()) < 2000
            way = f"/api/calls/{call['id']}"
            assert (await on.client.post(f"{way}/shown", headers=wall)).json()["shown_on"] == ["Wall"]
            acknowledged = await on.client.post(f"{way}/acknowledge", headers=anna)
            assert (acknowledged.status_code, acknowledged.json()["acknowledged_by"]) == (200, "Anna")
            me = (await on.client.get("/api/me", headers=button)).json()
            assert (me["bay"], me["bay_name"], me["button"]) == ("bay-1", "Leje 1", "bay-1-tablet")
            assert (me["call"]["acknowledged_by"], me["call"]["shown_on"]) == ("staff", ["screen 1"])
            assert (await on.client.post(f"{way}/close", headers=anna)).status_code == 409
            assert (await on.client.post(f"{way}/attend", headers=anna)).json()["state"] == "attended"
            assert (await on.client.post(f"{way}/close", headers=anna)).json()["state"] == "closed"
            assert (await on.client.get("/api/calls?state=open", headers=anna)).json() == []
            steps = on.query("SELECT event, state, who, place FROM call_events ORDER BY id")
            assert [step[:3] for step in steps] == [
                ("press", "ringing", "button"),
                ("shown", "ringing", "Wall"),
                ("acknowledge", "acknowledged", "Anna"),
                ("attend", "attended", "Anna"),
                ("close", "closed", "Anna"),
            ]
            assert steps[0][3] == "bay-1-tablet"

    asyncio.run(run())


def test_the_same_id_twice_is_one_press(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            button = on.bearer("button")
            body = press_body()
            assert (await on.client.post(BAY, json=body, headers=button)).status_code == 201
            upper = body | {"id": body["id"].upper()}
            again = await on.client.post(BAY, json=upper, headers=button)
            assert (again.status_code, again.json()["presses"]) == (200, 1)
            other = press_body()
            grown = await on.client.post(BAY, json=other, headers=button)
            assert (grown.status_code, grown.json()["id"], grown.json()["presses"]) == (200, body["id"], 2)
            replayed = await on.client.post(BAY, json=other, headers=button)
            assert (replayed.status_code, replayed.json()["presses"]) == (200, 2)
            anna = on.bearer("nurse")
            await on.client.post(f"/api/calls/{body['id']}/close", json={"presence": True}, headers=anna)
            late = await on.client.post(BAY, json=body, headers=button)
            assert (late.status_code, late.json()["state"]) == (200, "closed"), "a replayed press is no new call"
            fresh = await on.client.post(BAY, json=press_body(), headers=button)
            assert fresh.status_code == 201
            assert on.query("SELECT count(*) FROM presses") == [(3,)]

    asyncio.run(run())


def test_many_presses_at_once_make_one_call(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            button = on.bearer("button")
            bodies = [press_body() for _ in range(5)] * 2
            answers = await asyncio.gather(*(on.client.post(BAY, json=body, headers=button) for body in bodies))
            assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
            assert len({answer.json()["id"] for answer in answers}) == 1
            assert on.query("SELECT presses FROM calls") == [(5,)]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (BAY, press_body(button="bay-2-tablet"), 403),
        ("/api/bays/bay-2/calls", press_body(), 404),
        ("/api/bays/nowhere/calls", press_body(), 404),
        (BAY, press_body("not-a-uuid"), 422),
        (BAY, {"id": str(uuid.uuid4())}, 422),
        (BAY, press_body() | {"note": "free text"}, 422),
        (BAY, [], 422),
    ],
    ids=["other-button", "other-bay", "no-bay", "no-uuid", "no-button", "free-text", "no-object"],
)
def test_presses_that_are_refused(tmp_path: Path, path: str, body: Any, status: int) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            answer = await on.client.post(path, json=body, headers=on.bearer("button"))
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == status
            assert "free text" not in answer.text
            assert on.query("SELECT count(*) FROM calls") == [(0,)]

    asyncio.run(run())


def test_an_id_of_another_bay_is_a_conflict(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            body = press_body()
            await on.client.post(BAY, json=body, headers=on.bearer("button"))
            other = on.bearer("button", "two", "bay-2-tablet")
            answer = await on.client.post(
                "/api/bays/bay-2/calls", json=body | {"button": "bay-2-tablet"}, headers=other
            )
            assert answer.status_code == 409

    asyncio.run(run())


def test_steps_that_the_table_refuses_change_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            anna, bo = on.bearer("nurse", "Anna"), on.bearer("nurse", "Bo")
            call = (await on.client.post(BAY, json=press_body(), headers=on.bearer("button"))).json()["id"]
            await on.client.post(f"/api/calls/{call}/acknowledge", headers=anna)
            before = on.query("SELECT * FROM calls"), on.query("SELECT * FROM call_events")
            refused = await on.client.post(f"/api/calls/{call}/acknowledge", headers=bo)
            assert refused.status_code == 409
            assert "Anna" in refused.json()["detail"]
            assert (await on.client.post("/api/calls/unknown/acknowledge", headers=anna)).status_code == 404
            assert (on.query("SELECT * FROM calls"), on.query("SELECT * FROM call_events")) == before

    asyncio.run(run())


def test_a_bay_without_a_web_button_is_closed_from_the_screen(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            cord = on.bearer("button", "cord", "toilet-cord")
            body = press_body(button="toilet-cord")
            call = (await on.client.post("/api/bays/toilet/calls", json=body, headers=cord)).json()["id"]
            closed = await on.client.post(f"/api/calls/{call}/close", headers=on.bearer("nurse"))
            assert (closed.status_code, closed.json()["state"]) == (200, "closed")

    asyncio.run(run())


def test_a_press_that_cannot_be_kept_is_not_answered_as_received(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            button, body = on.bearer("button"), press_body()
            write, on.services.journal.write = on.services.journal.write, _full  # type: ignore[method-assign,assignment]
            refused = await on.client.post(BAY, json=body, headers=button)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert on.services.calls.open_calls() == []
            on.services.journal.write = write  # type: ignore[method-assign]
            assert (await on.client.post(BAY, json=body, headers=button)).status_code == 201

    asyncio.run(run())


async def _full(work: object) -> None:
    raise Unavailable("the disk is full")


def test_a_restart_rings_again(tmp_path: Path) -> None:
    async def run() -> None:
        body = press_body()
        async with running(tmp_path) as on:
            button, nurse = on.bearer("button"), on.bearer("nurse", "Anna")
            await on.client.post(BAY, json=body, headers=button)
            await on.client.post(f"/api/calls/{body['id']}/acknowledge", headers=nurse)
        async with running(tmp_path) as on:
            (call,) = (await on.client.get("/api/calls", headers=nurse)).json()
            assert (call["id"], call["state"], call["restores"]) == (body["id"], "ringing", 1)
            again = await on.client.post(BAY, json=body, headers=button)
            assert (again.status_code, again.json()["presses"]) == (200, 1), "a retry over the restart is no new press"

    asyncio.run(run())


def test_no_patients_name_has_a_place(tmp_path: Path) -> None:
    async def run(on: Running) -> set[str]:
        tables = ("calls", "presses", "call_events", "events", "access_log")
        return {row[1] for table in tables for row in on.query(f"PRAGMA table_info({table})")}

    async def whole() -> set[str]:
        async with running(tmp_path) as on:
            return await run(on)

    columns = asyncio.run(whole())
    assert "bay" in columns, "negative control: columns are found"
    assert not columns & {"patient", "name", "note", "text", "comment", "picture", "frame"}
