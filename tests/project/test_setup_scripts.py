"""Set-up asks Debian only for what is missing, says what it does, and fails with a hint: on a made-up Debian."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.project.tree import REPO


class Machine:
    """A PATH of our own: what is on it exists, everything else does not. Commands write down how they were called."""

    def __init__(self, root: Path) -> None:
        self.bin = root / "bin"
        self.bin.mkdir()
        self.calls = root / "calls"
        for tool in ("sh", "env", "mktemp", "rm", "tail", "readlink", "grep", "cat"):
            self.bin.joinpath(tool).symlink_to(f"/usr/bin/{tool}")
        self.has("id", "echo 0")

    def has(self, name: str, does: str = ":") -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> "{self.calls}"\n{does}\n')
        path.chmod(0o755)

    def run(self, script: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", f"tools/{script}", *words],
            cwd=REPO,
            env={"PATH": str(self.bin), **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )

    def called(self, name: str) -> list[str]:
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line for line in lines if line.startswith(f"{name} ")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.has(
        "dpkg-query", 'case "$4" in there) echo -n installed ;; removed) echo -n config-files ;; *) exit 1 ;; esac'
    )
    return made


def test_nothing_missing_asks_nobody(machine: Machine) -> None:
    machine.has("apt-get")
    machine.has("ffmpeg")
    done = machine.run("need-apt.sh", "there", "ffmpeg=ffmpeg")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.called("apt-get") == []


def test_what_is_missing_is_installed_after_an_update(machine: Machine) -> None:
    machine.has("apt-get")
    done = machine.run("need-apt.sh", "there", "removed", "absent", "ffmpeg=ffmpeg")
    assert (done.returncode, done.stdout) == (0, "set-up: installing from Debian: removed absent ffmpeg\n")
    assert machine.called("apt-get") == [
        "apt-get update -q",
        "apt-get install -q -y --no-install-recommends removed absent ffmpeg",
    ]


def test_sudo_is_used_by_who_is_not_root(machine: Machine) -> None:
    machine.has("apt-get")
    machine.has("id", "echo 1000")
    machine.has("sudo", 'exec "$@"')
    assert machine.run("need-apt.sh", "absent").returncode == 0
    assert len(machine.called("sudo")) == len(machine.called("apt-get")) == 2


@pytest.mark.parametrize(
    ("lacks", "error", "hint"),
    [
        ("apt-get", "these are missing: absent", "Vigil's set-up knows Debian and Ubuntu"),
        ("sudo", "neither root nor sudo is at hand: absent", "as root: apt-get install absent"),
    ],
)
def test_no_way_to_install_is_said(machine: Machine, lacks: str, error: str, hint: str) -> None:
    machine.has("id", "echo 1000")
    if lacks != "apt-get":
        machine.has("apt-get")
    done = machine.run("need-apt.sh", "absent")
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith("set-up: error: ") and error in first
    assert second.startswith("hint: ") and hint in second


def test_an_install_that_fails_shows_why(machine: Machine) -> None:
    machine.has("apt-get", 'case "$1" in install) echo "E: no room on this disk"; exit 100 ;; esac')
    done = machine.run("need-apt.sh", "absent")
    assert done.returncode == 1
    assert "E: no room on this disk" in done.stderr
    assert done.stderr.endswith("set-up: error: apt-get could not install: absent\n")


def test_a_python_that_is_too_old_or_does_not_start_is_passed_over(machine: Machine) -> None:
    machine.has("python3", "exit 1")  # an old one says so through its exit code
    machine.has("python3.13", "echo shim: no such version >&2; exit 127")
    machine.has("python3.12", "echo /somewhere/python3.12")
    done = machine.run("find-python.sh")
    assert (done.returncode, done.stdout) == (0, "/somewhere/python3.12\n")


def test_the_python_that_is_named_goes_first(machine: Machine) -> None:
    machine.has("python3", "echo /somewhere/python3")
    machine.has("mine", "echo /somewhere/mine")
    assert machine.run("find-python.sh", PYTHON="mine").stdout == "/somewhere/mine\n"


def test_a_browser_that_is_there_is_taken(machine: Machine) -> None:
    machine.has("chromium")
    machine.has("firefox")
    done = machine.run("need-browser.sh")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not machine.called("chromium") and not machine.called("apt-get")


def test_a_named_browser_that_cannot_run_is_an_error(machine: Machine) -> None:
    done = machine.run("need-browser.sh", VIGIL_CHROMIUM="/nowhere/chrome")
    assert (done.returncode, done.stderr) == (
        1,
        "set-up: error: VIGIL_CHROMIUM names /nowhere/chrome, which cannot be run\n",
    )
