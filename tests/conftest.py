"""What every test may use: free ports, the browser, and the user it runs as. All traffic stays on 127.0.0.1."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes import ports

CHROMIUM_FLAGS = (
    "--no-sandbox",  # tests may run as root, where Chromium's own sandbox does not start
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",  # nothing but 127.0.0.1 is ever spoken to
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
)


MACHINE_LOCK = Path(tempfile.gettempdir()) / "vigil-tests-machine.lock"


@pytest.fixture(autouse=True)
def machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """The machine is shared by all tests, but by none with one that is marked `alone` (`tools/run-tests.sh` runs two
    pytests at once)."""
    alone = request.node.get_closest_marker("alone") is not None
    with MACHINE_LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


@dataclass(frozen=True)
class Chromium:
    """The browser to drive, for Playwright's `executable_path` and `args`."""

    path: str
    flags: tuple[str, ...] = CHROMIUM_FLAGS


def _is_snap(path: str) -> bool:
    # Ubuntu's chromium is a snap: it may not use the profile directories that tests make.
    return path.startswith("/snap/") or Path(path).resolve().name == "snap"


def find_chromium() -> str | None:
    """The browser of tools/need-browser.sh, looked for in the same order."""
    named = os.environ.get("VIGIL_CHROMIUM")
    if named:
        return named
    found = (shutil.which(name) for name in ("chromium", "google-chrome"))
    return next((path for path in found if path and not _is_snap(path)), None)


@pytest.fixture(scope="session")
def chromium() -> Chromium:
    """A missing browser is a failure, not a skip: the tests that need one are what the product is for."""
    path = find_chromium()
    assert path, "no Chromium: `make setup-test` installs it"
    return Chromium(path)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that gives a TCP port of 127.0.0.1 that was free a moment ago, another one at each call."""
    return ports.free_port


@pytest.fixture
def free_udp_port() -> Callable[..., int]:
    """The same for UDP. With `run` ports in a row free, for one media process each."""
    return functools.partial(ports.free_port, socket.SOCK_DGRAM)


@pytest.fixture
def as_root() -> None:
    """For a test that only root can run; elsewhere it is skipped, and says so."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
