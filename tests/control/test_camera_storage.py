"""When cameras are asked whether they record, and what follows."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable
from typing import Any

import pytest

from monitor.control import camera_storage
from monitor.control.camera_storage import CameraStorage, seconds_until_night
from monitor.core.config import Config, load
from monitor.evidence.finding import combined, is_complete
from monitor.evidence.onvif_facts import CameraStorageFacts, Job, OnvifCamera
from tests.fakes.onvif_server import PASSWORD, USER, Camera, onvif_server

QUIET = CameraStorageFacts("asked", (("jobs", "answered"), ("storages", "answered"), ("actions", "answered")))
RECORDS = CameraStorageFacts("asked", QUIET.parts, jobs=(Job("j", "Active", "Active"),))


def site(bays: int = 2, port: int = 80) -> Config:
    text = 'version = 1\n[clinic]\nname = "K"\n[server]\npublic_host = "v.example"\n'
    text += '[[bays]]\nid = "demo"\nname = "Demo"\ncamera = "pattern:"\n'
    for number in range(bays):
        text += f'[[bays]]\nid = "bay-{number}"\nname = "Leje {number}"\nonvif_port = {port}\n'
        text += f'camera = "rtsp://{USER}:${{CAM}}@127.0.0.1/{number}"\n'
        text += f'camera_sub = "rtsp://{USER}:${{CAM}}@127.0.0.1/{number}/sub"\n'
    return load(text, file="f", environ={"CAM": PASSWORD}, credentials={})


class Asker:
    """Stands for the cameras."""

    def __init__(self) -> None:
        self.facts: dict[str, CameraStorageFacts] = {}
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0

    async def __call__(self, camera: OnvifCamera) -> CameraStorageFacts:
        self.asked.append(camera.bay)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.02)
        self.at_once -= 1
        return self.facts.get(camera.bay, QUIET)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_storage, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(camera_storage, "AGAIN_SECONDS", 0.5)


async def running(storage: CameraStorage, work: Callable[[], Any]) -> None:
    """Do `work` while it runs, then end it: nothing is left."""
    before = asyncio.all_tasks()
    task = asyncio.create_task(storage.run())
    await work()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert asyncio.all_tasks() == before


async def until(true: Callable[[], bool], seconds: float = 3.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def make(config: Config, asker: Asker, night: float = 3600.0) -> tuple[CameraStorage, list[int]]:
    changes: list[int] = []
    return CameraStorage(config, lambda: changes.append(1), asker=asker, until_night=lambda: night), changes


def test_a_camera_is_asked_when_it_comes_to_live_and_seldom_again() -> None:
    asker = Asker()
    storage, changes = make(site(), asker)
    assert [(each.row, each.possible) for each in combined(storage.findings())] == [(12, True), (13, True)]

    async def work() -> None:
        for _ in range(5):
            storage.on_camera("bay-0", True)  # twice a second, say
            storage.on_camera("bay-0.sub", True)
        storage.on_camera("bay-1", False)
        storage.on_camera("demo", True)
        storage.on_camera("p0.canary", True)
        await until(lambda: asker.asked == ["bay-0"] and bool(changes))
        for _ in range(10):  # a connection that comes and goes
            storage.on_camera("bay-0", False)
            storage.on_camera("bay-0", True)
            await asyncio.sleep(0.02)
        assert asker.asked == ["bay-0"]
        await until(lambda: asker.asked == ["bay-0", "bay-0"])
        await asyncio.sleep(0.2)
        assert asker.asked == ["bay-0", "bay-0"] and len(changes) == 1, "the same answer is no change"

    asyncio.run(running(storage, work))


def test_every_night_all_are_asked_a_few_at_a_time() -> None:
    asker = Asker()
    storage, _ = make(site(9), asker, night=0.3)

    async def work() -> None:
        await until(lambda: len(asker.asked) == 18)
        assert asker.asked[:9] == asker.asked[9:] == [f"bay-{number}" for number in range(9)]
        assert asker.most_at_once == camera_storage.AT_ONCE

    asyncio.run(running(storage, work))


def test_a_camera_that_begins_to_record_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    asker = Asker()
    storage, changes = make(site(), asker, night=0.25)

    async def work() -> None:
        await until(lambda: len(changes) == 2)
        assert storage.recording_bays() == []
        asker.facts["bay-1"] = RECORDS
        await until(lambda: len(changes) == 3)
        assert storage.recording_bays() == ["bay-1"]
        assert combined(storage.findings())[0].verdict == "broken"
        assert storage.facts()["bay-1"] is RECORDS
        asker.facts.clear()
        await until(lambda: len(changes) == 4)
        assert storage.recording_bays() == []

    asyncio.run(running(storage, work))
    assert "bay bay-1: the camera records by itself" in caplog.text
    assert "bay bay-1: the camera no longer records" in caplog.text
    assert "127.0.0.1" not in caplog.text and PASSWORD not in caplog.text


def test_a_real_answer() -> None:
    with onvif_server(Camera(jobs=[("j", "Active", "Active")])) as camera:
        changes: list[int] = []
        storage = CameraStorage(site(1, camera.port), lambda: changes.append(1))

        async def work() -> None:
            storage.on_camera("bay-0", True)
            await until(lambda: bool(changes), 5)

        asyncio.run(running(storage, work))
    assert storage.recording_bays() == ["bay-0"] and not is_complete(storage.findings())


def test_a_site_without_such_cameras() -> None:
    asker = Asker()
    storage, _ = make(site(0), asker, night=0.05)

    async def work() -> None:
        storage.on_camera("demo", True)
        await asyncio.sleep(0.2)

    asyncio.run(running(storage, work))
    assert asker.asked == [] and {each.verdict for each in storage.findings()} == {"holds"}


def test_the_next_night() -> None:
    day = datetime.datetime(2026, 11, 24, 12, 0)
    assert seconds_until_night(day) == (15 * 60 + 17) * 60
    assert seconds_until_night(datetime.datetime(2026, 11, 24, 3, 16, 59)) == 1
    assert seconds_until_night(datetime.datetime(2026, 11, 24, 3, 17)) == 86400
    assert 0 < seconds_until_night() <= 86400
