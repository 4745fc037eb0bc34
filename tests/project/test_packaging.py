"""What is installed is whole: the wheel carries the pages and the migrations, and serves a page from another place."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import pytest

from monitor import __version__
from tests.project.tree import REPO, files

CONFIG = """
version = 1
[clinic]
name = "Test"
[server]
host = "127.0.0.1"
port = {port}
udp_port = {udp_port}
public_host = "127.0.0.1"
tls = "off"
state_dir = "{state_dir}"
[media]
processes = 1
[[bays]]
id = "bay-1"
name = "Bay 1"
[[bays.buttons]]
id = "bay-1-tablet"
kind = "web"
"""


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[bytes]
    log: Path


def pip(*words: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(made), str(REPO))
    (found,) = made.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", "--target", str(place), str(wheel))
    return place


def run(place: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env=environment(place),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def environment(place: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}


def test_the_wheel_is_named_for_its_version(wheel: Path) -> None:
    assert wheel.name == f"vigil-{__version__}-py3-none-any.whl"


def test_the_wheel_holds_all_that_the_program_reads(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    ours = [path.relative_to(REPO) for path in files()]
    wanted = {str(path) for path in ours if path.parts[0] == "monitor"}
    wanted |= {f"monitor/{path}" for path in ours if path.parts[0] == "web"}
    assert any(name.endswith(".sql") for name in wanted)
    assert any(name.startswith("monitor/web/") and name.endswith(".html") for name in wanted)
    assert wanted <= inside, sorted(wanted - inside)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    strange = [
        name for name in zipfile.ZipFile(wheel).namelist() if not re.match(r"(monitor|vigil-[^/]+\.dist-info)/", name)
    ]
    assert strange == []


def test_it_runs_from_where_it_is_installed(installed: Path, tmp_path: Path) -> None:
    where = run(installed, tmp_path, "-c", "import monitor; print(monitor.__file__)")
    assert where.stdout.strip() == str(installed / "monitor" / "__init__.py")
    version = run(installed, tmp_path, "-m", "monitor", "--version")
    assert (version.returncode, version.stdout) == (0, f"vigil {__version__}\n")


@pytest.mark.whole
def test_it_serves_its_pages(
    installed: Path, tmp_path: Path, free_port: Callable[[], int], free_udp_port: Callable[..., int]
) -> None:
    port = free_port()
    config = tmp_path / "vigil.toml"
    config.write_text(CONFIG.format(port=port, udp_port=free_udp_port(), state_dir=tmp_path / "state"))
    with serving(installed, config) as server, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
        page = wait_for(client, "/sign-in", server)
        assert page.headers["content-type"].startswith("text/html")
        scripts = re.findall(r'(?:src|href)="(/?[^":#]+\.(?:js|css))"', page.text)
        assert scripts
        for script in scripts:
            answer = client.get("/" + script.lstrip("/"))
            assert answer.status_code == 200, script
            source = next((installed / "monitor" / "web").rglob(Path(script).name))
            assert answer.content == source.read_bytes()


@contextlib.contextmanager
def serving(place: Path, config: Path) -> Iterator[Server]:
    log = config.with_suffix(".log")
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor", "serve", "--config", str(config)],
            cwd=config.parent,
            env=environment(place),
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Server(process, log)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def wait_for(client: httpx.Client, path: str, server: Server) -> httpx.Response:
    end = time.monotonic() + 20
    while time.monotonic() < end and server.process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            answer = client.get(path)
            if answer.status_code == 200:
                return answer
        time.sleep(0.1)
    raise AssertionError(f"{path} was not served: {server.log.read_text()[-2000:]}")
