"""One media process that stands by with its libraries imported, so that a replacement takes its place at once.

It has no camera and no port, and seals itself only when it is needed. It must never hold up the start of one that is.
"""

from __future__ import annotations

import logging

from monitor.control.media_process import MediaProcess

logger = logging.getLogger(__name__)

SPARE_PAUSE_MS = 10_000


class MediaSpare:
    """The process that stands by, if there is one. `module` is what it runs."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: MediaProcess | None = None
        self._due_ms = 0
        self._stopping = False

    @property
    def pid(self) -> int:
        """0 where there is none."""
        return self._process.pid if self._process is not None else 0

    def take(self) -> MediaProcess | None:
        """Hand it over."""
        process, self._process = self._process, None
        return process

    def keep(self, now_ms: int) -> None:
        """Start one, if there is none and the last attempt was a while ago."""
        if self._process is not None or now_ms < self._due_ms:
            return
        self._due_ms = now_ms + SPARE_PAUSE_MS
        try:
            self._process = MediaProcess(self._on_ended, self._module)
        except OSError as error:
            logger.warning("no media process can be kept ready: %s", error.strerror)

    def drop(self) -> None:
        """End it; another is started when `keep` is called again."""
        process = self.take()
        if process is not None:
            process.kill()

    def stop(self) -> MediaProcess | None:
        """End it at once, for it has nothing to put away. Returns it, so that its end can be waited for."""
        self._stopping = True
        if self._process is not None:
            self._process.kill()
        return self._process

    def _on_ended(self, code: int) -> None:
        if not self._stopping and self._process is not None:
            logger.warning("the media process that was kept ready ended (code %d)", code)
        self._process = None
