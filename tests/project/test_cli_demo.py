"""`vigil demo` and `vigil serve` as processes: what they say, and that a signal ends all of it within two seconds."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.site import vigil_toml

pytestmark = pytest.mark.whole

START_SECONDS = 60
"""Time for two media processes to import, seal and prove on a machine that is busy with other tests."""


class Program:
    """One run of `vigil`, in a process group and a temporary directory of its own."""

    def __init__(self, tmp_path: Path, *arguments: str, **environ: str) -> None:
        self.tmp = tmp_path / "tmp"
        self.tmp.mkdir(exist_ok=True)
        self.errors = tmp_path / "stderr"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "monitor", *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), "TMPDIR": str(self.tmp), **environ},
            )
        self._late = threading.Timer(START_SECONDS, self.process.kill)
        self._late.start()

    def lines(self, count: int) -> list[str]:
        """The first lines of its output."""
        assert self.process.stdout
        found = [self.process.stdout.readline().rstrip("\n") for _ in range(count)]
        self._late.cancel()
        assert all(found), f"it ended: {self.errors.read_text()}"
        return found

    def descendants(self) -> set[int]:
        """Processes below it, media processes in their own sessions among them."""
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {self.process.pid}

    def end(self, number: signal.Signals) -> float:
        """Send a signal; the seconds until it was gone."""
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(10)
        return time.monotonic() - begun

    def close(self) -> None:
        self._late.cancel()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    begun: list[Program] = []

    def start(*arguments: str, **environ: str) -> Program:
        begun.append(Program(tmp_path, *arguments, **environ))
        return begun[-1]

    yield start
    for program in begun:
        program.close()


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def post(url: str, body: dict[str, str], cafile: str | None = None) -> int:
    context = ssl.create_default_context(cafile=cafile) if url.startswith("https") else None
    origin = "/".join(url.split("/")[:3])
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json", "Origin": origin}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_demo_says_where_to_look_and_leaves_nothing(
    run: Callable[..., Program],
    free_port: Callable[[], int],
    free_udp_port: Callable[..., int],
    number: signal.Signals,
) -> None:
    port = free_port()
    program = run("demo", "--port", str(port), "--udp-port", str(free_udp_port(2)))
    wall, button, seal, last = program.lines(4)
    found = re.fullmatch(rf"wall: +(http://127\.0\.0\.1:{port})/sign-in#(\S{{20,}})", wall)
    assert found, wall
    base, code = found.groups()
    assert re.fullmatch(rf"button: +{re.escape(base)}/button/bay-1-button#\S{{20,}}", button), button
    proof = re.match(r"seal: +(\d+) ways of writing tried from (\d+) threads?.*, (\d+) refused \(", seal)
    assert proof, seal
    assert int(proof[1]) == int(proof[3]) > 0 and int(proof[2]) >= 2
    assert "Ctrl-C" in last

    children = program.descendants()
    assert 1 <= len(children) <= 3, "at most two media processes, the one that stands by, and nothing else"
    for pid in children:
        assert b"monitor.media.process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert len(list(program.tmp.iterdir())) == 1
    assert post(f"{base}/api/session", {"code": code}) in (200, 201, 204)
    assert post(f"{base}/api/session", {"code": code}) == 401, "a link works once"

    assert program.end(number) < 2.0
    assert program.process.returncode == 0
    assert alive(children) == set()
    assert list(program.tmp.iterdir()) == []
    assert program.errors.read_text() == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_ended_before_it_began_leaves_nothing(
    run: Callable[..., Program], number: signal.Signals
) -> None:
    program = run("demo")
    deadline = time.monotonic() + START_SECONDS
    while not list(program.tmp.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    children = program.descendants()
    assert program.end(number) < 2.0
    assert program.process.returncode in (0, 130)
    assert alive(children) == set()
    assert list(program.tmp.iterdir()) == []
    assert "Traceback" not in program.errors.read_text()


@pytest.mark.parametrize(
    ("option", "kind", "name"),
    [("--port", socket.SOCK_STREAM, "TCP"), ("--udp-port", socket.SOCK_DGRAM, "UDP")],
)
def test_a_demo_on_a_port_that_is_taken(
    run: Callable[..., Program], option: str, kind: socket.SocketKind, name: str
) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen(1)
        port = taken.getsockname()[1]
        program = run("demo", option, str(port))
        assert program.process.wait(START_SECONDS) == 2
    assert program.errors.read_text() == (
        f"vigil: error: {name} port {port} is in use\nhint: leave {option} out to take a free one\n"
    )


def serve_toml(port: int, udp_port: int, state: Path, camera: str) -> str:
    server = {"host": "127.0.0.1", "port": port, "udp_port": udp_port, "public_host": "127.0.0.1", "state_dir": state}
    return vigil_toml([{"id": "bay-1", "name": "Leje 1", "camera": camera}], server)


def test_serve_makes_its_certificate_and_ends_in_time(
    run: Callable[..., Program], free_port: Callable[[], int], free_udp_port: Callable[..., int], tmp_path: Path
) -> None:
    port, state, file = free_port(), tmp_path / "state", tmp_path / "vigil.toml"
    file.write_text(serve_toml(port, free_udp_port(), state, "pattern:"))
    program = run("serve", "--config", str(file))
    serving, seal, nobody = program.lines(3)
    assert serving == f"serving: https://127.0.0.1:{port}"
    assert seal.startswith("seal: ")
    assert nobody == f"nobody can sign in yet: vigil token create --config {file} --role nurse --name NAME"

    made = subprocess.run(
        [sys.executable, "-m", "monitor", "token", "create", "--config", str(file), "--role", "it", "--name", "IT"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    token = made.stdout.split()[-1]
    session = f"https://127.0.0.1:{port}/api/session"
    assert post(session, {"code": token}, str(state / "certificate.pem")) in (200, 201, 204)
    assert post(session, {"code": token[:-1]}, str(state / "certificate.pem")) == 401

    children = program.descendants()
    assert 1 <= len(children) <= 2, "its media process, perhaps the one that stands by, and nothing else"
    for pid in children:
        assert b"monitor.media.process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    for pid in {program.process.pid, *children}:
        assert token.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert program.end(signal.SIGTERM) < 2.0
    assert program.process.returncode == 0
    assert alive(children) == set()
    assert token not in program.errors.read_text()
    assert "Traceback" not in program.errors.read_text()


def test_serve_stays_up_although_a_camera_is_off_and_logs_no_password(
    run: Callable[..., Program], free_port: Callable[[], int], free_udp_port: Callable[..., int], tmp_path: Path
) -> None:
    file = tmp_path / "vigil.toml"
    camera = f"rtsp://viewer:${{CAM1}}@127.0.0.1:{free_port()}/main"
    file.write_text(serve_toml(free_port(), free_udp_port(), tmp_path / "state", camera))
    program = run("serve", "--config", str(file), CAM1="p@ss-w0rd")
    program.lines(2)
    for pid in {program.process.pid, *program.descendants()}:
        assert b"w0rd" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    for pid in program.descendants():
        with contextlib.suppress(PermissionError):  # only root may look into a sealed process
            assert b"w0rd" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert program.end(signal.SIGINT) < 2.0
    log = program.errors.read_text()
    assert "bay-1" in log, "the control: the camera's state is in the log"
    assert "w0rd" not in log and "viewer" not in log
