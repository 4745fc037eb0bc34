"""The main job, seen by a nurse: a real camera in a real Chromium, live or honestly not live."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Screen
from tests.fakes.camera import RtspCamera
from tests.fakes.site import VigilSite, running_site

pytestmark = [pytest.mark.browser, pytest.mark.whole]

FPS = 25


@pytest.fixture(scope="module")
def camera() -> Iterator[RtspCamera]:
    with RtspCamera(auth="digest", password="p@ss:w/rd?#", keyint=FPS, fps=FPS) as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, camera: RtspCamera) -> Iterator[VigilSite]:
    buttons = [{"id": "bay-1-tablet", "kind": "web"}]
    bays = [{"id": "bay-1", "name": "Leje 1", "camera": camera.url(), "buttons": buttons}]
    with running_site(tmp_path_factory.mktemp("site"), bays) as running:
        yield running


@pytest.fixture
def screen(browser: Browser, site: VigilSite) -> Iterator[Screen]:
    opened = Screen(browser, site)
    opened.wait_for_frames(5)
    yield opened
    opened.close()


def tile_state(screen: Screen, state: str, seconds: float) -> float:
    """Wait until the first tile says so; how many seconds that took."""
    began = time.monotonic()
    screen.page.wait_for_selector(f"vigil-bay[data-state={state}]", timeout=seconds * 1000)
    return time.monotonic() - began


def is_covered(screen: Screen) -> bool:
    """Whether the middle of the picture is hidden by something else."""
    return screen.page.evaluate(
        "() => { const v = document.querySelector('video'), r = v.getBoundingClientRect();"
        " return document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2) !== v }"
    )


@pytest.mark.timeout(150)
def test_every_frame(screen):
    """The decoder gets the camera's rate, on server and page. A whole minute, of four bays: `test_profile.py`."""
    tile_state(screen, "live", 10)
    started, before = time.monotonic(), screen.frames()
    while time.monotonic() - started < 20:
        time.sleep(5)
        assert tile_state(screen, "live", 0.5) < 0.5
    rate = (screen.frames() - before) / (time.monotonic() - started)
    print(f"{rate:.2f} frames a second of {FPS}")
    assert rate > 0.98 * FPS
    assert not is_covered(screen)


def test_a_frozen_camera_is_stale_within_3_seconds_on_server_and_page(screen, site, camera):
    tile_state(screen, "live", 10)
    frozen = time.monotonic()
    camera.freeze()
    try:
        on_page = tile_state(screen, "stale", 4)
        site.wait_for("bay-1", "stale", 1)
        took = time.monotonic() - frozen
        print(f"stale on the page after {on_page:.2f} s, on both after {took:.2f} s")
        assert on_page < 3
        assert took < 3.5  # the second look costs a request
        assert is_covered(screen)
    finally:
        camera.thaw()
    assert tile_state(screen, "live", 5) < 5
    assert not is_covered(screen)


def test_a_killed_camera_is_live_within_5_seconds_of_its_return(screen, site, camera):
    tile_state(screen, "live", 10)
    camera.kill()
    screen.page.wait_for_selector("vigil-bay:not([data-state=live])", timeout=3000)
    assert is_covered(screen)
    time.sleep(6)
    with site.http() as http:
        seen = site.camera("bay-1", http)
    assert (seen["state"], seen["reason"]) == ("connecting", "unreachable")
    camera.start()
    returned = time.monotonic()
    tile_state(screen, "live", 6)
    took = time.monotonic() - returned
    print(f"live on the page {took:.2f} s after the camera's return")
    assert took < 5
    screen.wait_for_frames(10)


def test_a_killed_media_process_leaves_no_core_and_viewers_are_back_within_5_seconds(screen, site):
    tile_state(screen, "live", 10)
    (media,) = site.media_pids()
    os.kill(media, signal.SIGSEGV)
    died = time.monotonic()
    # The pictures stop and come again; so quickly, on a machine with time to spare, that the tile need not be covered.
    longest = back = 0.0
    seen, since = screen.frames(), died
    while time.monotonic() - died < 8:
        time.sleep(0.02)
        if (now := screen.frames()) != seen:
            gap, seen, since = time.monotonic() - since, now, time.monotonic()
            if gap > longest:
                longest, back = gap, since - died
    print(f"pictures stood still for {longest:.2f} s and were back {back:.2f} s after the death of the media process")
    assert longest > 0.15, "the process that was killed did not carry the pictures"
    assert back < 5
    tile_state(screen, "live", 2)
    assert media not in site.media_pids()
    cores = [path for folder in (Path.cwd(), site.folder, Path("/")) for path in folder.glob("core*") if path.is_file()]
    assert cores == []


def test_a_call_reaches_the_screen_is_confirmed_and_acknowledged(screen, site):
    with site.http("button", "bay-1-tablet") as button, site.http() as nurse:
        call = {"id": str(uuid.uuid4()), "button": "bay-1-tablet"}
        began = time.monotonic()
        answer = button.post("/api/bays/bay-1/calls", json=call)
        assert answer.status_code == 201, answer.text
        screen.page.wait_for_selector("vigil-bay[data-call=ringing]", timeout=3000)
        print(f"press to screen: {time.monotonic() - began:.3f} s")
        deadline = time.monotonic() + 5
        while not (seen := nurse.get("/api/calls?state=open").json()[0])["shown_on"]:
            assert time.monotonic() < deadline, "no screen confirmed"
            time.sleep(0.05)
        screen.page.keyboard.press("Tab")
        screen.page.get_by_role("button", name="Jeg kommer").first.click()
        screen.page.wait_for_selector("vigil-bay[data-call=acknowledged]", timeout=3000)
        seen = nurse.get("/api/calls?state=open").json()[0]
        assert (seen["state"], seen["acknowledged_by"]) == ("acknowledged", "test-nurse")
        nurse.post(f"/api/calls/{call['id']}/attend").raise_for_status()
        nurse.post(f"/api/calls/{call['id']}/close", json={"presence": True}).raise_for_status()
        assert nurse.get("/api/calls?state=open").json() == []


def test_the_curtain_covers_the_picture(screen, site):
    with site.http() as http:
        assert http.post("/api/bays/bay-1/curtain", json={"closed": True, "minutes": 5}).status_code == 200
        assert tile_state(screen, "curtain", 2) < 2
        assert is_covered(screen)
        frames = screen.frames()
        time.sleep(1)
        assert screen.frames() == frames
        http.post("/api/bays/bay-1/curtain", json={"closed": False})
    tile_state(screen, "live", 6)


def test_losing_the_server_is_said_over_the_whole_page_within_3_seconds(browser, camera, tmp_path):
    bays = [{"id": "bay-1", "name": "Leje 1", "camera": camera.url()}]
    with running_site(tmp_path, bays) as site:
        screen = Screen(browser, site)
        screen.wait_for_frames(5)
        os.kill(site.pid, signal.SIGSTOP)  # the worst case: connections stand and nobody answers
        try:
            began = time.monotonic()
            screen.page.wait_for_function(
                "() => { const at = (x, y) => document.elementFromPoint(innerWidth * x, innerHeight * y);"
                " return [[.5, .5], [.02, .02], [.98, .98]].every(([x, y]) => at(x, y)?.closest('vigil-cover')) }",
                timeout=6000,
            )
            took = time.monotonic() - began
            print(f"server lost: said after {took:.2f} s")
            assert took < 3.5
        finally:
            os.kill(site.pid, signal.SIGCONT)
        tile_state(screen, "live", 10)
        screen.close()
