"""The two that are compared: a whole Vigil, and a process that sends with stock aiortc. Both speak WHEP."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx2

from tests.fakes.camera import RtspCamera, free_port
from tests.fakes.site import ROOT, VigilSite

BAY = "bay-1"
BUTTON = "bay-1-button"
READY_SECONDS = 30.0


@dataclass(frozen=True)
class Picture:
    """What the camera sends, with a keyframe each second."""

    width: int = 1280
    height: int = 720
    fps: int = 25
    kbits: int = 2000

    def camera(self) -> RtspCamera:
        """GStreamer's RTSP server, over TCP with digest authentication."""
        return RtspCamera(
            auth="digest",
            transport="tcp",
            profile="baseline",
            width=self.width,
            height=self.height,
            fps=self.fps,
            keyint=self.fps,
            kbits=self.kbits,
        )

    def conditions(self) -> dict[str, str | int | float]:
        """For the head of a table."""
        return {"picture": f"{self.width}x{self.height}", "fps": self.fps, "kbit/s": self.kbits, "keyframe every s": 1}


PICTURE = Picture()


class Sender(Protocol):
    """One of them, running."""

    name: str
    url: str
    bearer: str

    def media_pid(self) -> int:
        """The process that sends."""

    def beside_pids(self) -> list[int]:
        """Processes that belong to it and do not send."""

    def code(self) -> str:
        """Signs one browser in, once; empty where nobody needs to sign in."""

    def stop(self) -> None:
        """End it."""


class Vigil:
    """`vigil serve` with one bay."""

    name = "vigil"

    def __init__(self, folder: Path, camera: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        bay: dict[str, object] = {
            "id": BAY,
            "name": "Leje 1",
            "camera": camera,
            "buttons": [{"id": BUTTON, "kind": "web"}],
        }
        self.site = VigilSite(folder, [bay])
        self.bearer = self.site.token("nurse")
        self.site.start()
        self.url = self.site.url
        try:
            self.site.wait_for(BAY, "live", READY_SECONDS)
            (self._pid,) = self.site.media_pids()
        except BaseException:
            self.stop()
            raise

    def media_pid(self) -> int:
        return self._pid

    def beside_pids(self) -> list[int]:
        return [self.site.pid]

    def code(self) -> str:
        return self.bearer

    def stop(self) -> None:
        self.site.stop()


class AiortcPeer:
    """`peers/aiortc_sender.py` on the same camera."""

    name = "aiortc"
    bearer = "none"

    def __init__(self, folder: Path, camera: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "aiortc.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.peers.aiortc_sender", str(port)],
                cwd=ROOT,
                env={**os.environ, "CAMERA": camera},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                if httpx2.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx2.TransportError:
                pass  # it does not listen yet
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the aiortc sender did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def media_pid(self) -> int:
        return self._process.pid

    def beside_pids(self) -> list[int]:
        return []

    def code(self) -> str:
        return ""

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its player's thread waits in FFmpeg
            self._process.wait()
