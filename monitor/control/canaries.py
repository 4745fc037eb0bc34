"""The audit's canary cameras: for a minute at most, each media process reads the auditor's own camera beside the real
ones.

They are on no wall and no board, in no metric and in no event; nothing of a bay changes. This module must never have a
media process read anything but a port of this machine's loopback, and never leave a canary behind.
"""

from __future__ import annotations

import asyncio
import logging

from monitor.control.media_room import MediaRoom
from monitor.core.config_checks import CANARY
from monitor.core.config_tables import Media
from monitor.core.errors import Conflict, NotFound, Unavailable
from monitor.core.messages import AddCamera

logger = logging.getLogger(__name__)

CANARY_SECONDS = 60
PATH = "/canary"


class CanaryDesk:
    """One run at a time."""

    def __init__(self, media: MediaRoom, settings: Media, seconds: float = CANARY_SECONDS) -> None:
        self._media = media
        self._settings = settings
        self.seconds = seconds
        self._running: list[str] = []
        self._ending: asyncio.TimerHandle | None = None

    @property
    def cameras(self) -> tuple[str, ...]:
        """The canary cameras that are being read; empty where there is no run."""
        return tuple(self._running)

    def begin(self, port: int, who: str) -> tuple[str, ...]:
        """Have each media process read `rtsp://127.0.0.1:PORT/canary`: the cameras' ids, in the processes' order.

        Raises Conflict while a run is on, Unavailable where the media processes may not run.
        """
        if self._running:
            raise Conflict("a canary run is on already", "wait until it is over: a minute at most")
        if self._media.held:
            raise Unavailable("the media processes are held", "see /audit: the guarantee is broken")
        try:
            for index in range(len(self._media.guarantee())):
                camera = f"p{index}{CANARY}"
                self._media.add_camera(index, self._camera(camera, port))
                self._running.append(camera)
        except (Conflict, NotFound):
            self.end()
            raise
        logger.info("%s begins a canary run with %d cameras", who, len(self._running))
        self._ending = asyncio.get_running_loop().call_later(self.seconds, self.end)
        return self.cameras

    def end(self) -> None:
        """Remove all canaries; where there are none, nothing happens."""
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        cameras, self._running = self._running, []
        for camera in cameras:
            try:
                self._media.remove_camera(camera)
            except NotFound:
                logger.warning("the canary %s was gone already", camera)
        if cameras:
            logger.info("the canary run is over")

    def _camera(self, camera: str, port: int) -> AddCamera:
        """As a real camera, with the same bounds: that is what is looked at."""
        return AddCamera(
            camera=camera,
            label="canary",
            source=f"rtsp://127.0.0.1:{port}{PATH}",
            transport="tcp",
            window_seconds=self._settings.window_seconds,
            window_bytes=self._settings.window_bytes,
            stale_seconds=self._settings.stale_seconds,
        )
