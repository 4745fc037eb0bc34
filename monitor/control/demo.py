"""The demonstration: four bays without a camera, a configuration or a trace.

This module must never leave anything behind: its state directory is temporary and goes when the demonstration ends.
One bay loses its camera for ten seconds of each minute, so that anyone sees how a lost picture looks.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.control.accounts import Accounts
from monitor.control.journal import FILE_NAME, Journal
from monitor.core.config import Address, Bay, Button, Clinic, Config, Media, Server

HOST = "127.0.0.1"
"""A demonstration is for this machine alone: it has no TLS."""
BAYS = 4
MAX_PROCESSES = 2
OUTAGES: Mapping[str, float] = {"bay-4": 10.0}
"""Bay → seconds of each minute without its camera."""
LINK_MINUTES = 60
BUTTON = "bay-1-button"


@dataclass(frozen=True)
class Demo:
    """A demonstration that is ready to run."""

    config: Config
    wall_code: str
    """Signs one browser in as a nurse, once."""
    button_code: str
    """Signs one browser in as the button of the first bay, once."""


def processes(cores: int) -> int:
    """How many media processes it takes, and so how many UDP ports."""
    return max(1, min(cores, MAX_PROCESSES, BAYS))


@contextlib.contextmanager
def prepared(port: int, udp_port: int, cores: int) -> Iterator[Demo]:
    """A demonstration on these ports, with its state directory, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="vigil-demo-") as state_dir:
        config = demo_config(state_dir, port, udp_port, cores)
        journal = Journal.open(Path(state_dir) / FILE_NAME)
        try:
            accounts = Accounts(journal)
            nurse, _ = accounts.create_token("nurse", "Demo", expires_days=1)
            button, _ = accounts.create_token("button", "Demo button", BUTTON, expires_days=1)
            wall_code = accounts.create_sign_in_code(nurse, LINK_MINUTES)
            button_code = accounts.create_sign_in_code(button, LINK_MINUTES)
        finally:
            journal.close()
        yield Demo(config, wall_code, button_code)


def demo_config(state_dir: str, port: int, udp_port: int, cores: int) -> Config:
    """The configuration of the demonstration."""
    return Config(
        version=1,
        clinic=Clinic(name="Vigil demo"),
        server=Server(host=HOST, port=port, udp_port=udp_port, public_host=HOST, tls="off", state_dir=state_dir),
        media=Media(processes=processes(cores)),
        bays=tuple(
            Bay(
                id=f"bay-{number}",
                name=f"Leje {number}",
                camera=Address("pattern:"),
                buttons=(Button(id=f"bay-{number}-button", kind="web"),),
            )
            for number in range(1, BAYS + 1)
        ),
    )
