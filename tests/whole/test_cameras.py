"""Cameras of every kind and fault behind one whole site: what `/api/bays` says of each, and that no password shows."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.fakes.camera import RtspCamera
from tests.fakes.ports import free_port
from tests.fakes.site import VigilSite, running_site
from tests.fakes.whep_client import WhepViewer, make_offer, stay_on_loopback, watch

pytestmark = pytest.mark.whole

PASSWORD = "hemmelig-7f3a91"
CAMERAS: dict[str, dict[str, object]] = {
    "good": {"auth": "digest", "audio": True},
    "basic": {"auth": "basic", "profile": "main"},
    "high": {"auth": "none", "profile": "high", "sprop_only": True},
    "bframes": {"auth": "none", "profile": "high", "bframes": 2},
    "audio": {"auth": "none", "codec": "none"},
    "hevc": {"auth": "none", "codec": "h265"},
}


@pytest.fixture(scope="module")
def cameras() -> Iterator[dict[str, RtspCamera]]:
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(
                RtspCamera(password=PASSWORD, keyint=25, kbits=300, width=320, height=180, **options)
            )
            for name, options in CAMERAS.items()
        }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cameras: dict[str, RtspCamera]) -> Iterator[VigilSite]:
    def bay(name: str, address: str, **more: object) -> dict[str, object]:
        return {"id": name, "name": f"Leje {name}", "camera": address, **more}

    bays = [bay(name, camera.url()) for name, camera in cameras.items() if name not in ("good", "basic")]
    # passwords come from the environment, as they should
    bays.append(bay("good", cameras["good"].url(password="PW").replace("PW", "${CAMERA_PASSWORD}")))
    bays.append(bay("basic", cameras["basic"].url(password="PW").replace("PW", "${CAMERA_PASSWORD}"), transport="udp"))
    bays.append(
        bay("wrong", cameras["good"].url(password="WRONG-" + PASSWORD, path="/main").replace("127.0.0.1", "localhost"))
    )
    bays.append(bay("nopath", cameras["high"].url(path="/nothing")))
    bays.append(bay("off", f"rtsp://viewer:{PASSWORD}@127.0.0.1:{free_port()}/main"))
    env = {"CAMERA_PASSWORD": PASSWORD}
    with running_site(tmp_path_factory.mktemp("site"), bays, env=env) as running:
        yield running


@pytest.mark.parametrize(
    ("bay", "state", "reason"),
    [
        ("good", "live", ""),
        ("basic", "live", ""),
        ("high", "live", ""),
        ("bframes", "live", ""),
        ("wrong", "failed", "wrong-password"),
        ("nopath", "failed", "no-such-path"),
        ("audio", "failed", "no-video"),
        ("hevc", "failed", "h265-unsupported"),
        ("off", "connecting", "unreachable"),
    ],
)
def test_state_and_reason(site, bay, state, reason):
    site.wait_for(bay, state, 20, reason)


def test_what_is_known_of_a_camera(site):
    with site.http("it") as http:
        site.wait_for("bframes", "live", 10)
        time.sleep(2.5)
        good, high, bframes = (site.camera(name, http) for name in ("good", "high", "bframes"))
    assert (good["width"], good["height"]) == (320, 180)
    assert 900 < good["keyframe_interval_ms"] < 1100
    assert good["picture_age_ms"] < 1500
    assert high["capture_from"] == "sender-report"  # with sound, GStreamer's server sends none at times
    assert good["faults"] == []
    assert high["profile"] == "high"
    assert "b-frames" in bframes["faults"]
    assert good["residency_max_ms"] <= 2000


@pytest.mark.parametrize("bay", ["good", "basic", "high"])
def test_viewers_get_packets_of_every_kind_of_camera(site, bay):
    stay_on_loopback()
    viewers = [WhepViewer(f"{site.url}/whep/{bay}", site.token("nurse")) for _ in range(2)]
    asyncio.run(watch(viewers, 2.0))
    assert all(viewer.packets > 40 for viewer in viewers), [viewer.packets for viewer in viewers]
    assert all(viewer.sps for viewer in viewers), "without parameter sets nobody can decode"


def test_sound_is_never_read(site, cameras):
    """Row 17: of the camera with sound, only the picture is ever set up, by the camera's own account."""
    with site.http("it") as http:
        assert site.camera("good", http)["state"] == "live"
    assert set(cameras["good"].setups()) == {"video"}


def test_the_camera_would_tell_of_sound():
    """The negative control: a player that takes all that is offered."""
    with RtspCamera(auth="none", audio=True, keyint=25, kbits=300) as camera:
        player = ["ffmpeg", "-loglevel", "error", "-rtsp_transport", "tcp", "-i", camera.url(user=""), "-t", "0.5"]
        subprocess.run([*player, "-f", "null", "-"], check=False, timeout=20, stdin=subprocess.DEVNULL)
        assert set(camera.setups()) == {"video", "sound"}


def test_the_password_is_nowhere(site):
    with site.http("it") as http:
        texts = [http.get(path).text for path in ("/api/bays", "/api/guarantee", "/metrics", "/healthz", "/readyz")]
    texts.append(site.log.read_text())
    for pid in [site.pid, *site.media_pids()]:
        texts.append(Path(f"/proc/{pid}/cmdline").read_text())
    for pid in site.media_pids():
        with contextlib.suppress(PermissionError):
            texts.append(Path(f"/proc/{pid}/environ").read_text())
    texts += [path.read_bytes().decode("latin1") for path in site.state_dir.rglob("*") if path.is_file()]
    assert all(texts[:5])
    assert not [text for text in texts if PASSWORD in text or "WRONG-" in text]
    assert not [text for text in texts if "viewer:" in text.replace("monitor.media.viewer:", "")]


@pytest.mark.parametrize("why", ["revoked", "deleted"])
def test_the_end_of_a_session(site, why):
    stay_on_loopback()

    async def run() -> None:
        token = await asyncio.to_thread(site.command, "token", "create", "--role", "nurse", "--name", f"ends-{why}")
        bearer = token.split()[-1]
        viewer = WhepViewer(f"{site.url}/whep/good", bearer)
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {bearer}"}) as http:
            await viewer.open(http)
            await asyncio.sleep(1)
            assert viewer.packets
            if why == "revoked":
                await asyncio.to_thread(site.command, "token", "revoke", f"ends-{why}")
            else:
                assert (await http.delete(f"{site.url}{viewer.location}")).status_code in (200, 204)
            began = time.monotonic()
            while True:
                before = viewer.packets
                await asyncio.sleep(0.5)
                if viewer.packets == before:
                    break
                assert time.monotonic() - began < 5, "the session goes on"
            if why == "revoked":
                offer = await make_offer()
                headers = {"content-type": "application/sdp"}
                answer = await http.post(f"{site.url}/whep/good", content=offer, headers=headers)
                assert answer.status_code == 401
        await viewer.close()

    asyncio.run(run())


def test_refusals_are_problems(site):
    """The statuses of RFC 9457 problems, against the whole server."""
    offer = asyncio.run(make_offer())
    sdp = {"content-type": "application/sdp"}
    no_h264 = "\r\n".join(line for line in offer.split("\r\n") if "H264" not in line)
    with site.http() as nurse, site.http("it") as it, httpx2.Client(base_url=site.url) as nobody:
        answers = {
            "no token": (nobody.post("/whep/good", content=offer, headers=sdp), 401),
            "wrong role": (it.post("/whep/good", content=offer, headers=sdp), 403),
            "unknown bay": (nurse.post("/whep/nowhere", content=offer, headers=sdp), 404),
            "wrong type": (nurse.post("/whep/good", content=offer, headers={"content-type": "text/plain"}), 415),
            "broken": (nurse.post("/whep/good", content="v=0\r\nrubbish", headers=sdp), 400),
            "no h264": (nurse.post("/whep/good", content=no_h264, headers=sdp), 422),
            "too large for the door": (
                nurse.post("/whep/good", content="v=0\r\no=-\r\na=" + "\t" * 32700, headers=sdp),
                422,
            ),
            "trickle": (nurse.patch("/whep/good/0123456789abcdef", content="", headers=sdp), 405),
        }
    for name, (answer, status) in answers.items():
        assert answer.status_code == status, (name, answer.status_code, answer.text)
        assert answer.headers["content-type"].startswith("application/problem+json"), name
        assert answer.json()["status"] == status, name
        assert answer.json()["title"], name
