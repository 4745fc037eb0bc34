"""Drives `rtsp_camera.py`: starts it, freezes it, kills it, starts it again on the same port."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from tests.fakes.ports import free_port

SYSTEM_PYTHON = "/usr/bin/python3"
"""Debian's, for it has `gi` and GStreamer's bindings."""
SCRIPT = Path(__file__).with_name("rtsp_camera.py")


class RtspCamera:
    """A camera in a process of its own. The options are those of `rtsp_camera.py`; True stands for a switch.

    `with RtspCamera(auth="digest", audio=True) as camera: camera.url()`.
    """

    def __init__(
        self, *, user: str = "viewer", password: str = "secret", path: str = "/main", **options: str | int | bool
    ):
        self.user = user
        self.password = password
        self.path = path
        self.port = int(options.pop("port", 0)) or free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RtspCamera:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the camera's process; 0 where it does not run."""
        return self._process.pid if self._process else 0

    def url(self, user: str | None = None, password: str | None = None, path: str | None = None) -> str:
        """The camera's address, with credentials percent-encoded; an empty user leaves them out."""
        name = self.user if user is None else user
        secret = self.password if password is None else password
        credentials = f"{quote(name, safe='')}:{quote(secret, safe='')}@" if name else ""
        return f"rtsp://{credentials}127.0.0.1:{self.port}{self.path if path is None else path}"

    def start(self, timeout: float = 30.0) -> None:
        """Start it and wait until it listens. Raises RuntimeError where it does not."""
        command = [SYSTEM_PYTHON, str(SCRIPT), "--port", str(self.port), "--path", self.path]
        command += ["--user", self.user, "--password", self.password]
        for name, value in self._options.items():
            flag = "--" + name.replace("_", "-")
            if value is True:
                command.append(flag)
            elif value is not False:
                command += [flag, str(value)]
        environment = {**os.environ, "GST_REGISTRY_FORK": "no"}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        if self._line(timeout) != f"ready {self.port}":
            self.kill()
            raise RuntimeError("the test camera did not start; are GStreamer's RTSP server and ffmpeg installed?")

    def stop(self) -> None:
        """End it in good order."""
        if self._process is None:
            return
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._write("quit")
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._forget()

    def kill(self) -> None:
        """As if its plug were pulled, but that the kernel closes its connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._forget()

    def freeze(self) -> None:
        """From when this returns no packet is sent; the connections stand."""
        self._command("freeze")

    def thaw(self) -> None:
        """Send again."""
        self._command("thaw")

    def setups(self) -> list[str]:
        """The tracks that clients have set up so far: "video" or "sound", in order."""
        self._write("setups")
        word, *tracks = self._line(5.0).split()
        assert word == "setups"
        return [{"0": "video", "1": "sound"}.get(track, track) for track in tracks]

    def _command(self, word: str) -> None:
        self._write(word)
        if self._line(5.0) != f"did {word}":
            raise RuntimeError(f"the test camera did not {word}")

    def _write(self, word: str) -> None:
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(word.encode() + b"\n")
        self._process.stdin.flush()

    def _line(self, timeout: float) -> str:
        assert self._process
        assert self._process.stdout
        fd = self._process.stdout.fileno()
        line = b""
        deadline = time.monotonic() + timeout
        while not line.endswith(b"\n"):
            if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return ""
            byte = os.read(fd, 1)
            if not byte:
                return ""
            line += byte
        return line.decode().strip()

    def _forget(self) -> None:
        if self._process:
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            self._process = None
