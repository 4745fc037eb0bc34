"""Row 11, the browser's side: a real Chromium with a profile on disk watches four bays for a minute; afterwards nothing
of any picture is in its profile, its temporary directories or /dev/shm.

The cameras' pictures carry a token, in the stream (SEI) and as squares in the picture itself; the search is for the
token in every form, for the stream's start, and for the beginnings of picture and video files, at the beginning of each
file and within it. The same search on a profile in which a page of the test's own kept a picture must find it.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import os
import re
import secrets
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

from monitor.audit.search import header_of, patterns, read_file, search
from tests.conftest import Chromium
from tests.fakes import wall_page
from tests.fakes.camera import RtspCamera
from tests.fakes.site import running_site

pytestmark = [pytest.mark.browser, pytest.mark.whole]

SECONDS = 60
BAYS = 4
FPS = 10
SIZE = {"width": 320, "height": 180, "fps": FPS, "keyint": FPS, "kbits": 300}
SHM = Path("/dev/shm")
WITHIN = {
    "JPEG within": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "JPEG (Exif) within": b"\xff\xd8\xff\xe1",
    "PNG within": b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR",
    "WebP within": b"WEBPVP8",
    "MP4 within": b"ftypisom",
    "WebM within": b"\x42\x82\x84webm",
}
"""Beginnings that are long enough not to stand in a file of several MB by chance."""
CHROMIUMS_OWN = re.compile(r"/(Favicons|Favicons-journal)$")
"""Where Chromium keeps the signs of tabs, as PNG: Vigil's own favicon.svg, drawn by it. Nothing else may be found."""


@dataclass
class Searched:
    """What was found below some folders: (path, what), and how much was read."""

    hits: list[tuple[str, str]] = field(default_factory=list)
    files: int = 0
    octets: int = 0


def search_folders(folders: list[Path], wanted: Mapping[str, bytes], known: set[Path]) -> Searched:
    """Search every regular file below the folders; /dev/shm's that were there before are not the browser's."""
    found = Searched()
    for path in (path for folder in folders for path in sorted(folder.rglob("*"))):
        if path.is_symlink() or not path.is_file() or path in known:
            continue
        pieces = list(read_file(path))
        found.files += 1
        found.octets += sum(map(len, pieces))
        names = list(search(pieces, {**wanted, **WITHIN}))
        beginning = header_of(pieces[0][:400]) if pieces else ""
        found.hits += [(str(path), name) for name in (*names, *([beginning] if beginning else []))]
    return found


def signs_of_tabs(profile: Path) -> list[tuple[str, int]]:
    """What Chromium keeps as signs of tabs: (path of the drawing, width in pixels)."""
    with contextlib.closing(sqlite3.connect(profile / "Default" / "Favicons")) as db:
        rows = db.execute("SELECT url, width FROM favicons JOIN favicon_bitmaps ON favicons.id = icon_id").fetchall()
    return [(urlsplit(url).path, width) for url, width in rows]


def foreign(found: Searched, token_names: set[str]) -> list[tuple[str, str]]:
    """Hits that are not Chromium's own signs of tabs; a token is foreign wherever it stands."""
    return [(path, what) for path, what in found.hits if what in token_names or not CHROMIUMS_OWN.search(path)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: Chromium makes a socket in it, whose path may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="vigil-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextlib.contextmanager
def browsing(chromium: Chromium, folder: Path) -> Iterator[tuple[BrowserContext, list[Path]]]:
    """A Chromium that keeps its profile, its temporary files and its home below `folder`; the folders to be searched
    afterwards. /dev/shm is used as anybody's browser uses it."""
    profile, temporary, home = folder / "profile", folder / "tmp", folder / "home"
    for each in (profile, temporary, home):
        each.mkdir(parents=True)
    env = {
        **os.environ,
        "TMPDIR": str(temporary),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
    }
    own_shm = "--disable-dev-shm-usage"  # of our own flags, and of Playwright's
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium.path,
            args=[flag for flag in chromium.flags if flag != own_shm],
            ignore_default_args=[own_shm],
            env=env,
            locale="da-DK",
            viewport={"width": 1280, "height": 720},
        )
        try:
            yield context, [profile, temporary, home, SHM]
        finally:
            context.close()


def parameter_sets(camera: RtspCamera) -> bytes:
    """The sequence parameter set of a camera, from its description (RFC 6184 section 8.1, sprop-parameter-sets)."""
    with socket.create_connection(("127.0.0.1", camera.port), 5) as rtsp:
        rtsp.sendall(f"DESCRIBE {camera.url(user='')} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n".encode())
        answer = b""
        while b"sprop-parameter-sets=" not in answer or not answer.endswith(b"\r\n"):
            answer += rtsp.recv(65536)
    found = re.search(rb"sprop-parameter-sets=([A-Za-z0-9+/=]+)", answer)
    assert found, answer
    return base64.b64decode(found[1])


def token_in(picture: bytes) -> bytes:
    """The token that a picture's squares show: 16 × 16 of 8 pixels, 16 from the corner of 320 × 180, white for 1, the
    lowest bit of each byte first."""
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    scale = image.shape[1] / SIZE["width"]
    centres = [round((16 + 8 * index + 4) * scale) for index in range(16)]
    bits = np.array([image[y, x] > 127 for y in centres for x in centres])
    return np.packbits(bits, bitorder="little").tobytes()


def shown_token(page: Page, bay: int) -> bytes:
    """The token that a bay's tile shows now, taken as anybody takes a picture of a screen."""
    box = page.evaluate(
        "index => { const v = document.querySelectorAll('video')[index], r = v.getBoundingClientRect();"
        " const s = Math.min(r.width / v.videoWidth, r.height / v.videoHeight);"
        " const w = v.videoWidth * s, h = v.videoHeight * s;"
        " return { x: r.x + (r.width - w) / 2, y: r.y + (r.height - h) / 2, width: w, height: h } }",
        bay,
    )
    return token_in(page.screenshot(clip=box))


ALL_FRAMES = "() => [...document.querySelectorAll('video')].map(v => v.getVideoPlaybackQuality().totalVideoFrames)"


@pytest.mark.timeout(180)
def test_after_a_minute_of_four_bays_nothing_is_kept(chromium: Chromium, folder: Path, tmp_path: Path) -> None:
    tokens = [secrets.token_bytes(32) for _ in range(BAYS)]
    before = set(SHM.rglob("*"))
    with contextlib.ExitStack() as stack:
        cameras = [stack.enter_context(RtspCamera(auth="none", canary=token.hex(), **SIZE)) for token in tokens]
        wanted: dict[str, bytes] = {}
        for number, (camera, token) in enumerate(zip(cameras, tokens, strict=True)):
            found = patterns(token, parameter_sets(camera))
            wanted |= {f"camera {number}: {name}": pattern for name, pattern in found.items()}
        bays = [
            {"id": f"bay-{number}", "name": f"Leje {number}", "camera": camera.url(user="")}
            for number, camera in enumerate(cameras)
        ]
        site = stack.enter_context(running_site(tmp_path, bays))
        with browsing(chromium, folder) as (context, folders):
            page = context.new_page()
            wall_page.sign_in(page, site)
            page.wait_for_function(
                f"() => {{ const f = ({ALL_FRAMES})(); return f.length === {BAYS} && f.every(n => n > 5) }}"
            )
            first, began = page.evaluate(ALL_FRAMES), time.monotonic()
            time.sleep(SECONDS)
            frames = [now - then for now, then in zip(page.evaluate(ALL_FRAMES), first, strict=True)]
            rate = min(frames) / (time.monotonic() - began)
            shown = [shown_token(page, bay) for bay in range(BAYS)]
            open_now = search_folders(folders, wanted, before)
        found = search_folders(folders, wanted, before)
        signs = signs_of_tabs(folders[0])
    print(f"frames of the four bays: {frames}; {found.files} files, {found.octets} bytes searched; found {found.hits}")
    assert shown == tokens, "the token's pictures were not on the screen"
    assert rate > 0.8 * FPS
    assert found.files > 20
    assert found.octets > 1_000_000
    assert {path for path, _ in signs} == {"/favicon.svg"}, "the one picture that Chromium keeps is the page's own sign"
    assert max(width for _, width in signs) <= 64
    assert foreign(open_now, set(wanted)) == [], "while watching"
    assert foreign(found, set(wanted)) == [], "after watching"


# ---- negative control -----------------------------------------------------------------------------------------------

KEEPING_PAGE = """<!doctype html><title>keeps</title><body></body><script type="module">
const token = new Uint8Array(await (await fetch("/token")).arrayBuffer());
const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 180 });
const context = canvas.getContext("2d");
for (let i = 0; i < 320; i += 4) {
  context.fillStyle = `hsl(${i * 7} 80% 50%)`;
  context.fillRect(i, (i * 13) % 180, 40, 40);
}
const kept = (type) => new Promise((resolve) => canvas.toBlob(resolve, type));
const jpeg = await kept("image/jpeg"), png = await kept("image/png");
await (await caches.open("kept")).put("/kept.jpg", new Response(new Blob([jpeg, token])));
const opening = indexedDB.open("kept", 1);
opening.onupgradeneeded = () => opening.result.createObjectStore("kept");
await new Promise((resolve, reject) => { opening.onsuccess = resolve; opening.onerror = reject; });
const change = opening.result.transaction("kept", "readwrite", { durability: "strict" });
change.objectStore("kept").put(png, "picture");
change.objectStore("kept").put(token, "token");
await new Promise((resolve, reject) => { change.oncomplete = resolve; change.onerror = reject; });
document.body.textContent = "kept";
</script>"""


@contextlib.contextmanager
def keeping_server(token: bytes) -> Iterator[str]:
    """A server of a page that does what Vigil's pages must not."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, kind = (token, "application/octet-stream") if self.path == "/token" else (None, "text/html")
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(KEEPING_PAGE.encode() if body is None else body)

        def log_message(self, *_: object) -> None:
            """Nothing: a test's output is its own."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_page_that_keeps_a_picture_is_found(chromium: Chromium, folder: Path) -> None:
    token = secrets.token_bytes(32)
    before = set(SHM.rglob("*"))
    with keeping_server(token) as url, browsing(chromium, folder) as (context, folders):
        page = context.new_page()
        page.goto(url)
        page.wait_for_function("() => document.body.textContent === 'kept'", timeout=15_000)
    wanted = patterns(token)
    found = search_folders(folders, wanted, before)
    print(f"{found.files} files, {found.octets} bytes searched; found {found.hits}")
    names = {what for path, what in foreign(found, set(wanted))}
    assert "raw" in names, "the token"
    assert "JPEG within" in names, "the picture in the cache"
    assert names & {"PNG", "PNG within"}, "the picture in IndexedDB"
