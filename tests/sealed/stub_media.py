"""A media process with a relay that has no cameras: run by the supervisor's tests as `python -m
tests.sealed.stub_media`.

Everything but the relay is the product's own: its start, its seal, its proof. A camera's `source` tells the stub what
to do, so that a test can have a process die, hang or lie.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable

from monitor.core.messages import (
    AddCamera,
    AddViewer,
    CameraReport,
    CloseViewer,
    Message,
    SetCurtain,
    Start,
    ViewerAnswer,
    ViewerClosed,
    ViewerRefused,
)
from monitor.media.process import main


def report(camera: str, state: str, now_ms: float) -> CameraReport:
    counts = {name for name, field in CameraReport.model_fields.items() if field.annotation is int}
    return CameraReport.model_validate(
        {
            **dict.fromkeys(counts, 0),
            "camera": camera,
            "state": state,
            "reason": "",
            "faults": [],
            "since_ms": int(now_ms),
            "sent_ms": int(now_ms),
            "profile": "",
            "capture_from": "",
        }
    )


class StubRelay:
    def __init__(self, start: Start, clock_ms: Callable[[], float], send: Callable[[Message], None]) -> None:
        self._start, self._clock_ms, self._send = start, clock_ms, send
        self._cameras: dict[str, str] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    async def start(self) -> int:
        self._socket.bind((self._start.udp_host, self._start.udp_port))
        self._task = asyncio.get_running_loop().create_task(self._report_for_ever())
        return int(self._socket.getsockname()[1])

    async def _report_for_ever(self) -> None:
        while True:
            for camera, state in self._cameras.items():
                self._send(report(camera, state, self._clock_ms()))
            await asyncio.sleep(0.2)

    def handle(self, message: Message) -> None:
        if isinstance(message, AddCamera):
            self._cameras[message.camera] = "curtain" if message.curtain else "live"
            if message.source == "stub:die":
                os._exit(9)
            if message.source == "stub:raise":
                asyncio.get_running_loop().call_soon(self._raise)
            if message.source == "stub:chatter":
                logging.getLogger("monitor.stub").info("secret? %s", "QUJD" * 60)
                logging.getLogger("aiortsp").error("password=hunter2")
        elif isinstance(message, SetCurtain):
            self._cameras[message.camera] = "curtain" if message.closed else "live"
        elif isinstance(message, AddViewer):
            self._answer(message)
        elif isinstance(message, CloseViewer):
            self._send(ViewerClosed(viewer=message.viewer, why="asked"))

    def _raise(self) -> None:
        raise ValueError("a payload: 00 00 01 65 hunter2")

    def _answer(self, message: AddViewer) -> None:
        if message.offer.startswith("refuse "):
            self._send(ViewerRefused.model_validate({"viewer": message.viewer, "why": message.offer.split()[1]}))
        elif message.offer == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif message.offer != "ignore":
            self._send(
                ViewerAnswer(
                    viewer=message.viewer,
                    ufrag="abcd",
                    pwd="abcdefghijklmnopqrstuv",
                    fingerprint=":".join(["AB"] * 32),
                    mid="0",
                    payload_type=102,
                    profile_level_id="42e01f",
                    ssrc=1,
                    udp_port=self._socket.getsockname()[1],
                    rejected_mids=[],
                    video_index=0,
                )
            )

    async def stop(self) -> None:
        self._task.cancel()


if __name__ == "__main__":
    main(sys.argv[1:], StubRelay)
