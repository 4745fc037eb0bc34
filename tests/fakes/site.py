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

from tests.fakes.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0


def vigil_toml(
    bays: Sequence[Mapping[str, object]], server: Mapping[str, object], media: Mapping[str, object] | None = None
) -> str:
    """A configuration; `bays` are its tables, each with its `buttons`."""
    lines = ["version = 1", "[clinic]", 'name = "Testklinik"', "[server]", *_keys(server)]
    if media:
        lines += ["[media]", *_keys(media)]
    for bay in bays:
        lines += ["[[bays]]", *_keys({key: value for key, value in bay.items() if key != "buttons"})]
        for button in bay.get("buttons", ()):  # type: ignore[attr-defined]
            lines += ["[[bays.buttons]]", *_keys(button)]
    return "\n".join(lines) + "\n"


def _keys(table: Mapping[str, object]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in table.items()]


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str | Path) else str(value)


class VigilSite:
    """`bays` are tables of the configuration; what else a test needs goes into `media`. It is ready when `ready`
    answers 200: `/healthz` for one whose seal is broken on purpose. `cwd` is where Vigil runs, and
    where Python finds it, unless `env` names another place in PYTHONPATH."""

    def __init__(
        self,
        folder: Path,
        bays: Sequence[Mapping[str, object]],
        *,
        media: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
        under: Sequence[str] = (),
        cwd: Path = ROOT,
        ready: str = "/readyz",
    ) -> None:
        self.folder = folder
        self._ready = ready
        self._cwd = cwd
        self._under = list(under)
        self.port, self.udp_port = free_port(), free_port(socket.SOCK_DGRAM)
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "vigil.log"
        self.state_dir = folder / "state"
        self.config = folder / "vigil.toml"
        self.env = {**os.environ, **(env or {})}
        server = {
            "host": "127.0.0.1",
            "port": self.port,
            "udp_port": self.udp_port,
            "public_host": "127.0.0.1",
            "tls": "off",
            "state_dir": self.state_dir,
        }
        self.config.write_text(vigil_toml(bays, server, {"processes": 1, **(media or {})}))
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
                cwd=self._cwd,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self._process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(f"{self.url}{self._ready}").status_code == 200:
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
            made = self.command("token", "create", "--role", role, "--name", f"test-{role}", *extra)
            self._tokens[key] = made.split()[-1]
        return self._tokens[key]

    def command(self, *words: str) -> str:
        """What another `vigil` says when it is run on this configuration."""
        command = [sys.executable, "-m", "monitor", *words, "--config", str(self.config)]
        ended = subprocess.run(command, cwd=self._cwd, env=self.env, capture_output=True, text=True, check=True)
        return ended.stdout

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


@contextlib.contextmanager
def running_site(folder: Path, bays: Sequence[Mapping[str, object]], **options) -> Iterator[VigilSite]:
    site = VigilSite(folder, bays, **options)
    try:
        site.start()
        yield site
    finally:
        site.stop()
