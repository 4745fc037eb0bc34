"""The event stream: what is told, to whom, and again after a loss."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import pytest

from monitor.control.accounts import Identity
from monitor.control.call_journal import Change
from monitor.control.events import QUEUE, EventHub, stream
from monitor.control.site import end_what_is_over
from monitor.core.access import Role
from tests.control.harness import Running, events, running

BAY = "/api/bays/bay-1/calls"


async def press(on: Running, headers: dict[str, str], id_: str = "") -> str:
    body = {"id": id_ or str(uuid.uuid4()), "button": "bay-1-tablet"}
    answer = await on.client.post(BAY, json=body, headers=headers)
    assert answer.status_code in (200, 201)
    return str(answer.json()["id"])


def test_a_new_page_gets_the_state_and_then_what_happens(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            button, anna = on.bearer("button"), on.bearer("nurse", "Anna")
            first = await press(on, button)
            async with events(on, anna) as page:
                clock = await page.until("clock")
                assert abs(clock.data["now_ms"] - on.services.clock.now_ms()) < 1000
                assert clock.data["version"] == on.services.version
                snapshot = await page.until("snapshot")
                assert [call["id"] for call in snapshot.data["calls"]] == [first]
                assert snapshot.id == 1
                camera = await page.until("camera")
                bays = (await on.client.get("/api/bays", headers=anna)).json()
                expected = {"bay": "bay-1", **bays[0]["camera"]}
                assert set(camera.data) == set(expected)
                assert camera.data["incarnation"] == "1.1"
                assert (await page.until("guarantee")).data["ok"] is True
                await on.client.post(f"/api/calls/{first}/acknowledge", headers=anna)
                call = await page.until("call")
                assert (call.data["state"], call.data["acknowledged_by"], call.id) == ("acknowledged", "Anna", 2)
                on.media.set("bay-2", state="stale", reason="no-packets", since_ms=5)
                camera = await page.until("camera")
                assert (camera.data["bay"], camera.data["state"], camera.data["reason"]) == (
                    "bay-2",
                    "stale",
                    "no-packets",
                )
                on.media.guarantee_is(state="ended", why="killed")
                assert (await page.until("guarantee")).data["ok"] is False

    asyncio.run(run())


def test_a_page_that_comes_back_misses_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            button, anna = on.bearer("button"), on.bearer("nurse", "Anna")
            async with events(on, anna) as page:
                last = (await page.until("snapshot")).id
            call = await press(on, button)
            await press(on, button)
            await on.client.post(f"/api/calls/{call}/attend", headers=anna)
            async with events(on, anna, last) as page:
                missed = [await page.until("call", "snapshot") for _ in range(3)]
                assert [(one.type, one.data["state"], one.data["presses"]) for one in missed] == [
                    ("call", "ringing", 1),
                    ("call", "ringing", 2),
                    ("call", "attended", 2),
                ]
                assert [one.id for one in missed] == [1, 2, 3]
                await on.client.post(f"/api/calls/{call}/close", headers=anna)
                closed = await page.until("call")
                assert (closed.id, closed.data["state"]) == (4, "closed")
            async with events(on, anna, 4) as page:
                assert (await page.until("call", "snapshot", "camera")).type == "camera", "nothing was missed"

    asyncio.run(run())


@pytest.mark.parametrize("last", [99, 0])
def test_a_page_that_was_away_too_long_gets_a_snapshot(tmp_path: Path, last: int) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            await press(on, on.bearer("button"))
            await press(on, on.bearer("button", "b2"))
            await on.services.journal.write(lambda db: db.execute("DELETE FROM events WHERE id = 1").close())
            async with events(on, on.bearer("nurse"), last) as page:
                snapshot = await page.until("snapshot", "call")
                assert (snapshot.type, snapshot.id, len(snapshot.data["calls"])) == ("snapshot", 2, 1)

    asyncio.run(run())


def test_resuming_over_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            anna = on.bearer("nurse", "Anna")
            call = await press(on, on.bearer("button"))
        async with running(tmp_path) as on, events(on, anna, 1) as page:
            restored = await page.until("call")
            assert (restored.id, restored.data["id"], restored.data["restores"]) == (2, call, 1)

    asyncio.run(run())


def test_a_button_hears_of_its_own_bay_and_of_no_names(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            mine, other, anna = (
                on.bearer("button"),
                on.bearer("button", "two", "bay-2-tablet"),
                on.bearer("nurse", "Anna"),
            )
            async with events(on, mine) as page:
                assert (await page.until("snapshot")).data == {"calls": []}
                body = {"id": str(uuid.uuid4()), "button": "bay-2-tablet"}
                await on.client.post("/api/bays/bay-2/calls", json=body, headers=other)
                call = await press(on, mine)
                await on.client.post(f"/api/calls/{call}/acknowledge", headers=anna)
                told = [await page.until("call", "camera", "guarantee", "button") for _ in range(2)]
                assert [(one.type, one.data["bay"], one.data["acknowledged_by"]) for one in told] == [
                    ("call", "bay-1", None),
                    ("call", "bay-1", "staff"),
                ]
            async with events(on, mine) as page:
                snapshot = await page.until("snapshot")
                assert [one["acknowledged_by"] for one in snapshot.data["calls"]] == ["staff"]

    asyncio.run(run())


def test_web_buttons_are_online_while_their_page_is_open(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on, events(on, on.bearer("nurse")) as page:
            await page.until("guarantee")
            async with events(on, on.bearer("button")) as tablet:
                await tablet.until("clock")
                told = await page.until("button")
                assert (told.data["id"], told.data["bay"], told.data["online"]) == ("bay-1-tablet", "bay-1", True)
                assert told.data["heard_ms"] is not None
            told = await page.until("button")
            assert (told.data["id"], told.data["online"]) == ("bay-1-tablet", False)

    asyncio.run(run())


def test_a_clock_each_second_and_no_stream_left_behind(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            for _ in range(3):
                async with events(on, on.bearer("it")) as page:
                    moments = [(await page.until("clock")).data["now_ms"] for _ in range(3)]
                    assert 700 <= moments[2] - moments[1] <= 1500
            for _ in range(100):
                if not on.services.hub.identities():
                    break
                await asyncio.sleep(0.05)
            assert on.services.hub.identities() == set()

    asyncio.run(run())


def identity(role: Role) -> Identity:
    return Identity(role, role, "t-1", "bay-1-tablet" if role == "button" else None, None)


def change(number: int) -> Change:
    return Change(number, "bay-1", json.dumps({"n": number}), "{}")


def test_a_page_that_does_not_read_is_ended_and_slows_nobody() -> None:
    async def run() -> None:
        hub = EventHub()
        with hub.subscribed(identity("nurse"), None) as slow, hub.subscribed(identity("nurse"), None) as good:
            read = 0
            for number in range(1, QUEUE + 50):
                hub.call(change(number))
                await good.queue.get()
                read += 1
            assert read == QUEUE + 49
            assert slow.ended
            assert not good.ended
            chunks = [chunk async for chunk in stream(slow, [])]
            assert len(chunks) == QUEUE + 1, "what waited is still told, then the stream ends"
        assert hub.identities() == set()

    asyncio.run(run())


def test_a_change_between_subscribing_and_reading_is_told_once() -> None:
    async def run() -> None:
        hub = EventHub()
        with hub.subscribed(identity("nurse"), None) as page:
            hub.call(change(5))
            hub.call(change(6))
            page.end()
            chunks = [chunk async for chunk in stream(page, [(5, b"five\n\n")])]
            text = b"".join(chunks)
            assert text.count(b"five") == 1
            assert b"id: 5" not in text
            assert b"id: 6" in text

    asyncio.run(run())


def test_a_hub_that_closed_takes_nobody() -> None:
    async def run() -> None:
        hub = EventHub()
        hub.close()
        with hub.subscribed(identity("nurse"), None) as page:
            assert [chunk async for chunk in stream(page, [])] == [b"retry: 1000\n\n"]

    asyncio.run(run())


def test_standing_streams_are_checked_without_any_change(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on, events(on, on.bearer("nurse")) as page:
            await page.until("clock")
            await end_what_is_over(on.services)
            await page.until("clock")

    asyncio.run(run())
