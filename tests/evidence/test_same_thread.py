"""Looking into a process from a thread that gives up its capability for it: it sees, is refused, and has it back."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.evidence.same_thread import can_look_into
from tests.sealed.launch import harness


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours like any other, without root's way into every process."""
    less = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"] if os.geteuid() == 0 else []
    process = subprocess.Popen([*less, "sleep", "60"], stdin=subprocess.DEVNULL)
    while Path(f"/proc/{process.pid}/comm").read_text() != "sleep\n":
        time.sleep(0.01)
    yield process
    process.kill()
    process.wait(10)


def _capabilities() -> str:
    text = Path(f"/proc/self/task/{threading.get_native_id()}/status").read_text()
    return next(line for line in text.splitlines() if line.startswith("CapEff:"))


def test_it_can_look_into_a_process_like_any_other(other: subprocess.Popen[bytes]) -> None:
    before = _capabilities()
    assert can_look_into(other.pid) is True
    assert _capabilities() == before


@pytest.mark.sealed
def test_it_is_refused_where_the_process_is_sealed(tmp_path: Path) -> None:
    with harness("hang", tmp_path) as sealed:
        before = _capabilities()
        assert can_look_into(sealed.process.pid) is False
        assert _capabilities() == before
        if os.geteuid() == 0:
            assert os.readlink(f"/proc/{sealed.process.pid}/fd/0") == "/dev/null"  # root itself still sees


@pytest.mark.sealed
def test_it_sees_that_one_lock_is_off(tmp_path: Path) -> None:
    with harness("hang", tmp_path, "undumpable") as sealed:
        assert can_look_into(sealed.process.pid) is True


def test_what_cannot_be_tried_is_not_known(other: subprocess.Popen[bytes]) -> None:
    other.kill()
    other.wait(10)
    assert can_look_into(other.pid) is None
    assert can_look_into(1) is None  # of another user, or with the capability itself
