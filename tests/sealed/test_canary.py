"""The canary: a known token rides in every access unit of a real camera, through the sealed relay, to a real Chromium
and to ten more viewers. Afterwards it must be nowhere that keeps (GUARANTEE.md rows 1 to 8, 11, 15, 16).

The same run with a planted leak must turn red: `test_a_leak_of_the_media_process_is_found`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from monitor.audit.memory import search_memory
from monitor.audit.search import patterns, search_tree
from monitor.audit.witness import FanotifyWitness, ancestors
from tests.conftest import Chromium
from tests.fakes.camera import RtspCamera
from tests.fakes.site import running_site
from tests.fakes.wall_page import sign_in, wait_for_frames
from tests.fakes.whep_client import WhepViewer, stay_on_loopback, watch
from tests.fakes.witness import StraceWitness, files_of

SECONDS = 8.0
VIEWERS = 10
TOKEN = secrets.token_bytes(32)
"""New at each run: what an earlier run left behind is never taken for this one's."""
BAY = {"id": "bay-1", "name": "Leje 1", "buttons": [{"id": "bay-1-tablet", "kind": "web"}]}
ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="only root may read the memory of other processes")
pytestmark = [pytest.mark.sealed, pytest.mark.whole]


@pytest.fixture(scope="module")
def camera() -> Iterator[RtspCamera]:
    with RtspCamera(auth="digest", canary=TOKEN.hex(), keyint=25, fps=25, audio=True) as running:
        yield running


@pytest.fixture
def profile() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vigil-profile-") as folder:
        yield Path(folder)


def grid_match(page: Page) -> float:
    """How much of the token's visible squares is on the screen: the share of its 256 bits."""
    import cv2
    import numpy as np

    box = page.locator("video").first
    scale, left, top = box.evaluate(  # object-fit: contain
        "v => { const r = v.getBoundingClientRect(), s = Math.min(r.width / v.videoWidth, r.height / v.videoHeight);"
        " return [s, (r.width - s * v.videoWidth) / 2, (r.height - s * v.videoHeight) / 2] }"
    )
    picture = cv2.imdecode(np.frombuffer(box.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)
    bits = [byte >> bit & 1 for byte in TOKEN for bit in range(8)]
    seen = []
    for number in range(256):
        x, y = 16 + number % 16 * 8 + 4, 16 + number // 16 * 8 + 4
        seen.append(picture[round(top + y * scale), round(left + x * scale)] > 127)
    return sum(bool(a) == bool(b) for a, b in zip(bits, seen, strict=True)) / 256


def written_by(pid: int) -> int:
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    raise AssertionError("no write_bytes")


@pytest.mark.timeout(180)
def test_the_canary_is_nowhere(tmp_path, camera, profile, chromium: Chromium):
    stay_on_loopback()
    wanted = patterns(TOKEN)
    ours: list[int] = [os.getpid()]
    strace = StraceWitness(wanted, tmp_path / "strace.log")
    witness = FanotifyWitness(wanted, files_of(ours, but=[camera.pid]))
    if ROOT:
        witness.start()
    bays = [{**BAY, "camera": camera.url()}]
    try:
        with running_site(tmp_path, bays, under=() if ROOT else strace.command) as site:
            (media,) = site.media_pids()
            before = written_by(media)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch_persistent_context(
                    str(profile), executable_path=chromium.path, args=list(chromium.flags), headless=True
                )
                page = browser.new_page()
                sign_in(page, site)
                wait_for_frames(page, 25)
                viewers = [
                    WhepViewer(f"{site.url}/whep/bay-1", site.token("nurse"), token=TOKEN) for _ in range(VIEWERS)
                ]
                with ThreadPoolExecutor(1) as pool:  # Playwright holds this thread's event loop
                    pool.submit(asyncio.run, watch(viewers, SECONDS)).result()
                wait_for_frames(page, 25 * 15)
                match = grid_match(page)
                browser.close()
            # everybody saw it, or the search below proves nothing
            assert match > 0.95, match
            assert all(viewer.tokens > 20 * SECONDS for viewer in viewers), [viewer.tokens for viewer in viewers]
            sps = viewers[0].sps
            assert sps
            wanted.update(patterns(TOKEN, sps))
            if ROOT:
                assert search_memory(media, patterns(TOKEN)).found, (
                    "the media process relays, so its window must hold it"
                )
                assert search_memory(site.pid, patterns(TOKEN)).found == (), "the control process never holds a frame"
            assert written_by(media) == before
            status = Path(f"/proc/{media}/status").read_text()
            assert "VmSwap:\t       0 kB" in status
    finally:
        if ROOT:
            witness.stop()
        else:
            strace.stop()
    searched = witness.searched_octets if ROOT else strace.searched_bytes
    modified = set(witness.modified) if ROOT else strace.modified
    print(f"searched {len(modified)} files, {searched} bytes")
    assert witness.complete
    # the witness saw what certainly was written, so it was awake
    assert any("journal.sqlite3" in path for path in modified)
    if ROOT:
        assert any(path.startswith(str(profile)) for path in modified)
    assert (witness.hits if ROOT else strace.hits) == []
    for place in (tmp_path, profile, Path("/dev/shm"), site.log, site.state_dir):
        assert search_tree(place, wanted) == [], place


@needs_root
def test_a_leak_of_the_media_process_is_found(tmp_path, camera):
    """The negative control of the whole: the same relay, unsealed, with a planted leak. Witness and search must see
    it."""
    from tests.sealed.leaky_process import leaky_relay

    leak = tmp_path / "leak.h264"
    ours: list[int] = []
    witness = FanotifyWitness(patterns(TOKEN), files_of(ours))
    witness.start()
    with leaky_relay(camera.url(), leak) as pid:
        ours.append(pid)
        deadline = time.monotonic() + 15
        while not (leak.exists() and leak.stat().st_size > 50_000):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert written_by(pid) > 0, "the count of written bytes would not have shown it"
    witness.stop()
    assert str(leak) in witness.modified
    assert "raw" in {hit.pattern for hit in witness.hits}, witness.hits
    assert search_tree(tmp_path, patterns(TOKEN)) == [(str(leak), "raw")]


@needs_root
def test_a_stopped_camera_leaves_nothing_in_memory(tmp_path, camera):
    """Row 16: after the curtain the token is in no mapping of the process, the heap included."""
    with running_site(tmp_path, [{**BAY, "camera": camera.url()}]) as site, site.http() as http:
        site.wait_for("bay-1", "live", 10)
        time.sleep(1)
        (media,) = site.media_pids()
        assert search_memory(media, patterns(TOKEN)).found
        answer = http.post("/api/bays/bay-1/curtain", json={"closed": True, "minutes": 10})
        assert answer.status_code == 200, answer.text
        site.wait_for("bay-1", "curtain", 3)
        time.sleep(1)  # what the connection still had in hand when it was closed is freed, and so overwritten
        assert search_memory(media, patterns(TOKEN)).found == ()
        assert ancestors(media)
        http.post("/api/bays/bay-1/curtain", json={"closed": False})
        site.wait_for("bay-1", "live", 10)
        assert search_memory(media, patterns(TOKEN)).found
