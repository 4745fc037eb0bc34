"""The relay: what the media process does once it is sealed. It takes the control process's messages, keeps the cameras,
and drives everything that hangs on time.

This module must never know a person or a call, and never send more about a picture than counts.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from monitor.core.camera_state import CameraEvent, CameraReason
from monitor.core.messages import (
    AddCamera,
    AddViewer,
    CloseViewer,
    Message,
    RemoveCamera,
    SetCurtain,
    Start,
)
from monitor.media.camera import Camera, Runner
from monitor.media.sources.factory import make_source
from monitor.media.sources.runner import SourceRunner
from monitor.media.stream import Stream
from monitor.media.viewer_desk import ViewerDesk
from monitor.media.window import EXPIRE_EVERY_MS

logger = logging.getLogger(__name__)

REPORT_EVERY_TICKS = 5
"""Camera reports twice a second, at ten ticks a second."""
SENDER_REPORT_EVERY_TICKS = 10


class Relay:
    """All cameras and viewers of this process. `clock_ms` reads service time, `send` passes a message to control."""

    def __init__(self, start: Start, clock_ms: Callable[[], float], send: Callable[[Message], None]) -> None:
        self._start = start
        self._clock_ms = clock_ms
        self._send = send
        self._cameras: dict[str, Camera] = {}
        self._desk: ViewerDesk | None = None
        self._ticks = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Bind the UDP port and begin to tick; the port's number. Raises OSError where it cannot be bound."""
        self._desk = ViewerDesk(
            self._start.udp_host,
            self._start.udp_port,
            self._start.max_viewers,
            self._cameras,
            self._clock_ms,
            self._send,
        )
        self._ticker = asyncio.create_task(self._tick())
        return self._desk.port.port

    def handle(self, message: Message) -> None:
        """Take a message about cameras or viewers; others are not the relay's. What must happen at once, zeroing above
        all, has happened when this returns."""
        assert self._desk is not None
        if isinstance(message, AddViewer):
            self._desk.add(message)
        elif isinstance(message, CloseViewer):
            self._desk.close(message.viewer, "asked")
        elif isinstance(message, AddCamera):
            self._add(message)
        elif isinstance(message, RemoveCamera):
            self._remove(message.camera)
        elif isinstance(message, SetCurtain) and (camera := self._cameras.get(message.camera)):
            self._wait_for(camera.set_curtain(message.closed))
            self._report(message.camera)

    async def stop(self) -> None:
        """Zero all windows and close everything."""
        if self._ticker is not None:
            self._ticker.cancel()
        if self._desk is not None:
            self._desk.stop()
        for camera in self._cameras.values():
            self._wait_for(camera.stop())
        self._cameras.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _add(self, settings: AddCamera) -> None:
        self._remove(settings.camera)
        assert self._desk is not None
        camera = Camera(settings, self._desk.fanout, self._clock_ms, self._make_runner, self._report)
        self._cameras[settings.camera] = camera
        camera.start()
        self._report(settings.camera)

    def _remove(self, camera_id: str) -> None:
        if camera := self._cameras.get(camera_id):
            assert self._desk is not None
            self._desk.close_all_of(camera, "camera-removed")
            del self._cameras[camera_id]
            self._wait_for(camera.stop())

    def _make_runner(
        self, settings: AddCamera, stream: Stream, on_event: Callable[[CameraEvent, CameraReason], None]
    ) -> SourceRunner:
        return SourceRunner(lambda: make_source(settings, self._clock_ms), on_event, stream, random.SystemRandom())

    def _report(self, camera_id: str) -> None:
        if camera := self._cameras.get(camera_id):
            self._send(camera.report(self._clock_ms()))

    async def _tick(self) -> None:
        assert self._desk is not None
        while True:
            now = self._clock_ms()
            self._ticks += 1
            for camera in self._cameras.values():
                camera.tick(now)
            if self._ticks % REPORT_EVERY_TICKS == 0:
                self._desk.check_overdue(now)
                for camera_id in self._cameras:
                    self._report(camera_id)
            if self._ticks % SENDER_REPORT_EVERY_TICKS == 0:
                self._desk.send_reports(now)
            await asyncio.sleep(EXPIRE_EVERY_MS / 1000)

    def _wait_for(self, runner: Runner | None) -> None:
        """Let a source close in its own time."""
        if runner is not None:
            task = asyncio.get_running_loop().create_task(runner.stop())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
