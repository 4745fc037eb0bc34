"""A whole Vigil, as IT would run it: `vigil serve` with a configuration, in processes of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx2

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class VigilSite:
    """`bays` are tables of the configuration; what else a test needs goes into `media` and `server`."""

    def __init__(
        self,
        folder: Path,
        bays: Sequence[Mapping[str, object]],
        *,
        media: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
        under: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self._under = list(under)
        self.port, self.udp_port = free_port(), free_port(socket.SOCK_DGRAM)
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "vigil.log"
        self.state_dir = folder / "state"
        self.config = folder / "vigil.toml"
        self.env = {**os.environ, **(env or {})}
        self.config.write_text(self._toml(bays, {"processes": 1, **(media or {})}))
        self._process: subprocess.Popen[bytes] | None = None
        self._tokens: dict[tuple[str, str], str] = {}

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def media_pids(self) -> list[int]:
        """The media processes that hold cameras; a spare that waits unsealed is none of them."""
        with self.http("it") as http:
            processes = http.get("/api/guarantee").json()["processes"]
        return sorted(each["pid"] for each in processes if each["pid"])

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._under, sys.executable, "-m", "monitor", "serve", "--config", str(self.config)],
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self._process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(f"{self.url}/readyz").status_code == 200:
                    self.token("it")  # now, so that no later measurement waits for the command line
                    return
            assert time.monotonic() < deadline, f"not ready: {self.log.read_text()}"
            time.sleep(0.1)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise

    def token(self, role: str, button: str = "") -> str:
        """A token of that role, made with the command line."""
        key = (role, button)
        if key not in self._tokens:
            extra = ["--button", button] if button else []
            made = subprocess.run(
                [
                    *(sys.executable, "-m", "monitor", "token", "create", "--config", str(self.config)),
                    *("--role", role, "--name", f"test-{role}", *extra),
                ],
                cwd=ROOT,
                env=self.env,
                capture_output=True,
                text=True,
                check=True,
            )
            self._tokens[key] = made.stdout.split()[-1]
        return self._tokens[key]

    def http(self, role: str = "nurse", button: str = "") -> httpx2.Client:
        return httpx2.Client(base_url=self.url, headers={"authorization": f"Bearer {self.token(role, button)}"})

    def camera(self, bay: str, http: httpx2.Client) -> dict[str, object]:
        answer = http.get("/api/bays")
        assert answer.status_code == 200, answer.text
        return next(each for each in answer.json() if each["id"] == bay)["camera"]

    def wait_for(self, bay: str, state: str, seconds: float, reason: str | None = None) -> float:
        """Wait until a camera has a state (and reason); how many seconds that took."""
        began = time.monotonic()
        with self.http("it") as http:
            while True:
                seen = self.camera(bay, http)
                if seen["state"] == state and reason in (None, seen["reason"]):
                    return time.monotonic() - began
                assert time.monotonic() - began < seconds, (state, reason, seen, self.log.read_text()[-3000:])
                time.sleep(0.05)

    def _toml(self, bays: Sequence[Mapping[str, object]], media: Mapping[str, object]) -> str:
        lines = [
            "version = 1",
            "[clinic]",
            'name = "Testklinik"',
            "[server]",
            'host = "127.0.0.1"',
            f"port = {self.port}",
            f"udp_port = {self.udp_port}",
            'public_host = "127.0.0.1"',
            'tls = "off"',
            f'state_dir = "{self.state_dir}"',
            "[media]",
            *(f"{key} = {_value(value)}" for key, value in media.items()),
        ]
        for bay in bays:
            lines.append("[[bays]]")
            lines += [f"{key} = {_value(value)}" for key, value in bay.items() if key != "buttons"]
            for button in bay.get("buttons", ()):  # type: ignore[attr-defined]
                lines += ["[[bays.buttons]]", *(f"{key} = {_value(value)}" for key, value in button.items())]
        return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


@contextlib.contextmanager
def running_site(folder: Path, bays: Sequence[Mapping[str, object]], **options) -> Iterator[VigilSite]:
    site = VigilSite(folder, bays, **options)
    try:
        site.start()
        yield site
    finally:
        site.stop()
