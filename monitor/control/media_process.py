"""One life of one media process: starting it with nothing but a door and a log pipe, and noticing its end.

It must never hand anything else on: no variable of our own environment, no descriptor, no argument that is secret. What
comes out through the log pipe is bounded, counted and made plain, as it is at the door: it is the only other way out of
the sealed room.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import monitor
from monitor.core.errors import DoorError
from monitor.core.messages import Message, Start, ToControl, decode_for_control
from monitor.link import Door, make_pair

logger = logging.getLogger(__name__)

DOOR_BYTES_PER_SECOND = 131072
"""What a media process may say: reports of some dozen cameras twice a second, and a proof a minute."""
LOG_LINE = 2000
LOG_LINES_PER_SECOND = 50
LOG_BYTES_PER_SECOND = 4096
LOG_BURST = 16384
_LONG_WORD = re.compile(r"[^\s:,;()\[\]]{96,}")
_LEVELS = {name: getattr(logging, name) for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")}


def environment() -> dict[str, str]:
    """The whole environment of a media process. Nothing of ours is passed on (GUARANTEE.md row 19)."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(next(iter(monitor.__path__))).parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        # Freed memory is overwritten at once, so that a stopped camera leaves no pictures behind (row 16): by glibc's
        # allocator, which therefore has to see every object, and not through its per-thread cache, which does not do
        # it.
        "PYTHONMALLOC": "malloc",
        "GLIBC_TUNABLES": "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0",
        # numpy's BLAS would start threads while it is imported, that is before the seal (row 3).
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


class LogPipe:
    """What a media process prints, line by line, into our log: printable ASCII, bounded in length and rate, counted."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self._rest = b""
        self._skipping = False
        self._lines = float(LOG_LINES_PER_SECOND)
        self._allowance = float(LOG_BURST)
        self._at = time.monotonic()
        self.bytes_in = self.dropped = 0
        self.last_words = ""
        """The newest critical line's text: why the process could not go on."""

    def rename(self, name: str) -> None:
        """Log under another name from now on."""
        self._logger = logging.getLogger(name)

    def feed(self, data: bytes) -> None:
        """Take what was read from the pipe."""
        self.bytes_in += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if self._skipping:
                self._skipping = False  # the end of a line whose beginning was logged already
            else:
                self._log(line)
        if len(self._rest) > LOG_LINE:
            if not self._skipping:
                self._log(self._rest)
            self._rest, self._skipping = b"", True

    def _log(self, line: bytes) -> None:
        if not line.strip():
            return
        now = time.monotonic()
        passed, self._at = now - self._at, now
        self._lines = min(LOG_LINES_PER_SECOND, self._lines + passed * LOG_LINES_PER_SECOND)
        self._allowance = min(LOG_BURST, self._allowance + passed * LOG_BYTES_PER_SECOND)
        length = min(len(line), LOG_LINE)
        if self._lines < 1 or self._allowance < length:
            self.dropped += 1
            return
        self._lines -= 1
        self._allowance -= length
        text = "".join(chr(byte) if 0x20 <= byte <= 0x7E else "?" for byte in line[:LOG_LINE])
        text = _LONG_WORD.sub("(a long word, left out)", text)  # no sentence needs one, but encoded bytes would
        level, _, said = text.partition(" ")
        number = _LEVELS.get(level)
        if number is None:
            self._logger.warning("%s", text)
            return
        if number >= logging.CRITICAL:
            self.last_words = said.partition(": ")[2] or said
        self._logger.log(number, "%s", said)


class MediaProcess:
    """A running media process. Make it from the event loop, in a thread that lives as long as this process does:
    the kernel ends a media process with the thread that started it.

    It imports its libraries and then waits, knowing nothing and holding nothing but the door and the log pipe, until
    `begin` tells it what to be: only then does it seal itself and open a port. So one can be kept ready.
    """

    def __init__(self, on_ended: Callable[[int], None], module: str = "monitor.media.process") -> None:
        """Start it. `on_ended` gets the exit code, negative for a signal, unless `begin` named another. Raises
        OSError."""
        self._loop = asyncio.get_running_loop()
        self._on_ended = on_ended
        self.ended = asyncio.Event()
        self.log = LogPipe("vigil.media.spare")
        self._on_message: Callable[[ToControl], None] | None = None
        self._log_end, theirs = os.pipe2(os.O_CLOEXEC)
        ours, door = make_pair()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-s", "-m", module, str(door.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                pass_fds=(door.fileno(),),
                env=environment(),
                cwd="/",
                start_new_session=True,  # Ctrl-C in a terminal is ours to deal with, in order
            )
        except OSError:
            os.close(self._log_end)
            ours.close()
            raise
        finally:
            os.close(theirs)
            door.close()
        self.pid = self._popen.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._pidfd, self._reap)
        os.set_blocking(self._log_end, False)
        self._loop.add_reader(self._log_end, self._read_log)
        self.door: Door[ToControl] = Door(
            ours, decode_for_control, self._pass_on, self._on_door_closed, max_bytes_per_second=DOOR_BYTES_PER_SECOND
        )

    def begin(
        self, index: int, start: Start, on_message: Callable[[ToControl], None], on_ended: Callable[[int], None]
    ) -> None:
        """Say Start. From now on its messages and its end come to these."""
        self._on_message, self._on_ended = on_message, on_ended
        self.log.rename(f"vigil.media.{index}")
        self.send(start)

    def send(self, message: Message) -> None:
        """Pass a message through the door. One that cannot be passed is lost: the process is ending or is ended for
        it."""
        try:
            self.door.send(message)
        except DoorError as error:
            logger.warning("media process %d was not told %s: %s", self.pid, message.__class__.__name__, error.message)

    def kill(self) -> None:
        """End it at once (SIGKILL). Its end is told by `on_ended`, as always."""
        self._popen.kill()

    def _pass_on(self, message: ToControl) -> None:
        if self._on_message is None:
            logger.error("media process %d spoke before it was spoken to", self.pid)
            self.kill()
            return
        self._on_message(message)

    def _on_door_closed(self, _: DoorError | None) -> None:
        self.kill()  # misuse of the door, or it is going anyway

    def _read_log(self) -> None:
        try:
            data = os.read(self._log_end, 65536)
        except BlockingIOError:
            return
        if data:
            self.log.feed(data)
        else:
            self._loop.remove_reader(self._log_end)

    def _reap(self) -> None:
        code = self._popen.poll()
        if code is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        with contextlib.suppress(BlockingIOError):  # its last words; nobody else holds the other end
            while data := os.read(self._log_end, 65536):
                self.log.feed(data)
        self._loop.remove_reader(self._log_end)
        os.close(self._log_end)
        self.door.close()
        self.ended.set()
        self._on_ended(code)


async def all_ended(processes: Sequence[MediaProcess], seconds: float) -> bool:
    """Wait for the end of all, at most so long. Returns whether all have ended."""
    if not processes:
        return True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for process in processes:
                await process.ended.wait()
    return all(process.ended.is_set() for process in processes)
