"""Whether the same user can look into a process: refused by the seal, and possible where its lock is off."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.evidence.same_user import can_look_into
from tests.sealed.launch import harness

ROOT = os.geteuid() == 0
USERS = [False, True] if ROOT else [False]


@pytest.mark.sealed
@pytest.mark.parametrize("as_nobody", USERS)
def test_the_seal_refuses_and_without_its_lock_it_is_possible(tmp_path: Path, as_nobody: bool) -> None:
    tmp_path.chmod(0o777)
    with harness("hang", tmp_path, as_nobody=as_nobody) as running:
        assert can_look_into(running.process.pid) is False
        assert running.process.poll() is None
    with harness("hang", tmp_path, "undumpable", as_nobody=as_nobody) as running:
        assert can_look_into(running.process.pid) is True
        state = Path(f"/proc/{running.process.pid}/status").read_text()
        assert "TracerPid:\t0" in state


@pytest.mark.sealed
@pytest.mark.skipif(not ROOT, reason="root becomes another user")
def test_one_that_may_lock_memory_is_no_harder_to_look_into(tmp_path: Path) -> None:
    """A process with a capability is closed to a user without it: that would look like the seal's doing."""
    swaps = tmp_path / "swaps"
    swaps.write_text("Filename Type Size Used Priority\n/dev/dm-1 partition 8388604 0 -3\n")
    with harness("hang", tmp_path, "undumpable", swaps=str(swaps)) as running:
        if running.said["memory"] != "mlockall":
            pytest.skip("memory cannot be locked here")
        assert can_look_into(running.process.pid) is True


def test_a_process_that_is_gone_cannot_be_told() -> None:
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    assert can_look_into(process.pid) is None


def as_nobody(pid: int) -> str:
    """What that user is told of a process."""
    # Only the standard library is needed: that user may not be able to read where the program lies.
    source = Path(sys.modules["monitor.evidence.same_user"].__file__ or "").read_text()
    script = (
        "import os\n"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        f"scope = {{'__name__': 'x', '__file__': ''}}; exec({source!r}, scope)\n"
        f"print(scope['can_look_into']({pid}))\n"
    )
    said = subprocess.run(["/usr/bin/python3", "-I", "-c", script], capture_output=True, text=True, check=True)
    return said.stdout.strip()


@pytest.mark.skipif(not ROOT, reason="root becomes another user")
def test_another_user_cannot_tell() -> None:
    assert as_nobody(os.getpid()) == "None"


@pytest.mark.sealed
@pytest.mark.skipif(not ROOT, reason="root becomes another user")
def test_the_user_itself_can_tell_without_root(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with harness("hang", tmp_path, as_nobody=True) as running:
        assert as_nobody(running.process.pid) == "False"
    with harness("hang", tmp_path, "undumpable", as_nobody=True) as running:
        assert as_nobody(running.process.pid) == "True"
