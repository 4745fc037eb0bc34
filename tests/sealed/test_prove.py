"""`vigil prove`: every attack is refused, each can succeed, and for each lock that is left off one does. GUARANTEE.md
rows 1 to 8, 10 and 19."""

from __future__ import annotations

import ast
import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import monitor
from monitor import cli_prove
from monitor.audit import prove_ground, prove_table
from monitor.audit.prove import OWN_PROOF, STATE, Proved, Tried, _judged, prove
from monitor.audit.prove_running import ROLES
from monitor.control.media_process import MediaProcess, environment
from monitor.core.errors import InputError, SealError
from monitor.evidence import words
from monitor.evidence.finding import said
from monitor.media import (
    attacks_descriptors,
    attacks_ffmpeg,
    attacks_files,
    attacks_libraries,
    attacks_memory,
    attacks_others,
    attacks_outside,
)
from monitor.media.attacks import Attack
from monitor.media.seal import LOCKS

pytestmark = [pytest.mark.sealed, pytest.mark.timeout(180)]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has what this lock takes away")

FROM_INSIDE: tuple[Attack, ...] = (
    *attacks_files.attacks(1),
    *attacks_ffmpeg.attacks(1),
    *attacks_libraries.attacks(1),
    *attacks_memory.attacks(),
    *attacks_others.attacks(),
    *attacks_descriptors.passed(),
)
INHERITED, EARLY = attacks_descriptors.inherited(), attacks_descriptors.early()
ALL = {each.name for each in (*FROM_INSIDE, *INHERITED, *EARLY)} | attacks_outside.OUTSIDE.keys() | {"crash"}

NOT_HERE = {"kernel.swapon", "kernel.terminal"}
"""What the kernel refuses without any seal: a file that is no swap space, a descriptor that is no terminal. Swap is
never switched on for a test."""
MAY_NOT_BE_HERE = {
    "kernel.memory",  # a kernel without /dev/mem
    "kernel.block",  # one without loop devices
    "kernel.loop",
    "kernel.hibernate",
    "service.crypto",  # one without AF_ALG, vsock, audit
    "service.vsock",
    "service.audit",
    "inherited.clone",  # a file system that shares no blocks
    "memory.aio",
    "memory.io_uring",
    "memory.keyring",
}


ENOUGH: dict[tuple[str, ...], tuple[str, ...]] = {
    ("descriptors",): ("heir",),
    ("one-thread",): ("early",),
    ("undumpable",): ("victim",),
    ("fsize", "descriptors"): ("heir",),
    ("core", "undumpable", "fsize", "landlock"): ("victim",),
}
"""Which process the locks concern, where it is one alone: the rest of the proof would only take time."""


@functools.cache
def proved(*without: str) -> Proved:
    return prove(environment(), without, ENOUGH.get(without, ROLES))


def succeeded(*without: str) -> set[str]:
    return {each.attack for each in proved(*without).tried if each.verdict == "succeeded"}


def left_over() -> list[str]:
    """What a proof could leave: directories, shared memory, segments and queues of ended processes, mounts."""
    found = [str(path) for where in ("/tmp", "/var/tmp", "/dev/shm") for path in Path(where).glob("vigil-prove-*")]
    for table, column in (("shm", 4), ("msg", 5)):
        for line in Path("/proc/sysvipc", table).read_text().splitlines()[1:]:
            if not Path("/proc", line.split()[column]).exists() and line.split()[column] != "0":
                found.append(f"{table} {line}")
    with contextlib.suppress(FileNotFoundError):
        found += [line for line in Path("/proc/keys").read_text().splitlines() if "vigil-prove" in line]
    return found + [line for line in Path("/proc/mounts").read_text().splitlines() if "vigil-prove" in line]


# ---- the whole seal --------------------------------------------------------------------------------------------------


def test_every_attack_is_refused() -> None:
    seen = proved()
    assert [each for each in seen.tried if each.verdict != "refused"] == []
    assert seen.ok
    assert set(seen.locks) == set(LOCKS)
    assert {each.attack for each in seen.tried if not each.attack.startswith(OWN_PROOF)} == ALL
    assert len(ALL) >= 100
    assert {each.row for each in seen.tried} == {1, 2, 3, 4, 5, 6, 7, 8, 10}
    assert left_over() == []


def test_every_attack_is_made_from_both_threads_and_in_both_places() -> None:
    tried = {(each.attack, each.thread, each.place) for each in proved().tried}
    places = {place for _, _, place in tried if place}
    assert "disk" in places
    for attack in FROM_INSIDE:
        in_a_directory = attack.name.split(".")[0] in {"file", "muxer", "ffmpeg", "opencv", "aiortc", "numpy", "python"}
        for thread in ("first", "second"):
            for place in places if in_a_directory else {""}:
                assert (attack.name, thread, place) in tried
    own = {(name, thread) for name, thread, _ in tried if name.startswith(OWN_PROOF)}
    assert {name for name, thread in own if thread == "first"} == {name for name, thread in own if thread == "second"}


def test_every_attack_has_its_words_in_both_languages() -> None:
    for language in words.LANGUAGES:
        assert {key.removeprefix("attack.") for key in words.catalogue(language) if key.startswith("attack.")} == ALL


# ---- negative controls -----------------------------------------------------------------------------------------------


@needs_root
def test_with_all_locks_off_every_attack_succeeds() -> None:
    """So that none is refused for a mistake in the attack."""
    failed = ALL - succeeded(*LOCKS)
    assert failed <= NOT_HERE | MAY_NOT_BE_HERE
    assert failed >= NOT_HERE
    assert not proved(*LOCKS).ok
    assert left_over() == []
    for each in proved(*LOCKS).tried:  # what was written was found from outside, not believed
        if each.attack.split(".")[0] in {"file", "muxer", "opencv", "aiortc", "numpy", "python", "child", "early"}:
            assert each.found, each


@pytest.mark.parametrize(
    ("lock", "expected"),
    [
        ("descriptors", {"inherited.pipe"}),
        ("one-thread", {"early.create", "early.mmap", "early.fork"}),
        ("fsize", {f"{STATE}file size limit"}),
        ("core", {f"{STATE}core limit"}),
        ("undumpable", {"outside.memory", "outside.vm_read", "outside.ptrace", "outside.take_descriptor"}),
        pytest.param("no-new-privs", {f"{STATE}no-new-privs"}, marks=needs_root),
        ("memory", {f"{STATE}memory kept from swap"}),
        ("landlock", {"file.bind", f"{OWN_PROOF}read outside"}),
        ("seccomp", {"memory.memfd", "memory.segment", "child.fork", "passed.mmap", "service.datagram", "file.xattr"}),
        pytest.param("capabilities", {"loosen.capabilities", f"{STATE}capabilities"}, marks=needs_root),
    ],
)
def test_without_a_lock_an_attack_succeeds(lock: str, expected: set[str]) -> None:
    assert expected <= succeeded(lock)
    assert lock not in proved(lock).locks
    assert not proved(lock).ok
    lines = list(prove_table.table(proved(lock), "en"))
    assert lines[-1].startswith(f"As expected: without {lock} ")
    if all(name.startswith(STATE) for name in expected):
        assert lines[-2].startswith("Only the state shows it: ")
    assert left_over() == []


def test_every_lock_is_left_off_above() -> None:
    marks = test_without_a_lock_an_attack_succeeds.pytestmark  # type: ignore[attr-defined]
    (table,) = [mark.args[1] for mark in marks if mark.name == "parametrize"]
    assert {getattr(entry, "values", entry)[0] for entry in table} == set(LOCKS)


def test_what_the_words_promise_of_two_locks_is_so() -> None:
    """`prove.second.*` names what to leave off as well."""
    assert {"inherited.write", "inherited.pipe"} <= succeeded("fsize", "descriptors")
    assert "crash" in succeeded("core", "undumpable", "fsize", "landlock")
    assert {"file.create", "muxer.mp4", "opencv.png", "python.sqlite"} <= succeeded("landlock", "seccomp", "fsize")
    assert left_over() == []


# ---- judgement -------------------------------------------------------------------------------------------------------


def judged(answer: str, *, refused: bool, library: bool = False, found: bool = False) -> tuple[str, str]:
    message: dict[str, Any] = {"attack": "file.create", "row": 1, "thread": "first"}
    message |= {"answer": answer, "refused": refused, "library": library}
    tried = _judged(message, "disk", [said("prove.found.new", name="x", octets=1)] if found else [])
    return tried.answer, tried.verdict


def test_nothing_is_judged_by_the_process_alone() -> None:
    assert judged("EPERM", refused=True) == ("EPERM", "refused")
    assert judged("EPERM", refused=True, found=True) == ("EPERM", "succeeded")
    assert judged("no", refused=True, library=True, found=True) == ("no", "succeeded")
    assert judged("ENOENT", refused=False) == ("ENOENT", "otherwise")
    assert judged("succeeded", refused=False) == ("succeeded", "succeeded")
    assert judged("succeeded", refused=False, library=True) == ("nothing", "refused")


def test_an_attack_that_failed_for_another_reason_is_not_refused() -> None:
    seen = Proved((Tried("file.create", 1, "first", "disk", "ENOENT", "otherwise"),), (), ("landlock",), 1)
    assert not seen.ok
    assert prove_table.exit_code(seen) == 1
    assert "Do not run the server" in list(prove_table.table(seen, "en"))[-1]
    assert not Proved((), (), (), 1).ok  # nothing tried is nothing proved


@pytest.fixture
def scratch(tmp_path: Path) -> prove_ground.Scratch:
    return prove_ground.Scratch(tmp_path, "disk", 1)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda at: (at / "new").write_bytes(b"x"), "new"),
        (lambda at: (at / "folder" / "below").write_bytes(b""), "new"),
        (lambda at: (at / "existing").write_bytes(bytes(4095) + b"x"), "changed"),
        (lambda at: (at / "existing").chmod(0o640), "changed"),
        (lambda at: os.utime(at / "existing", ns=(0, 12345)), "changed"),
        (lambda at: os.setxattr(at / "existing", "user.picture", b"x"), "changed"),
        (lambda at: (at / "existing").unlink(), "gone"),
        (lambda at: os.symlink("data", at / "pointer"), "new"),
    ],
)
def test_each_change_is_seen_and_undone(scratch: prove_ground.Scratch, change: Any, key: str) -> None:
    assert scratch.changes() == []
    change(scratch.path)
    assert f"prove.found.{key}" in {each.key for each in scratch.changes()}
    scratch.restore()
    assert scratch.changes() == []
    assert sorted(path.name for path in scratch.path.rglob("*")) == ["existing", "folder", "inherited", "open"]


def test_reading_is_no_change(scratch: prove_ground.Scratch) -> None:
    (scratch.path / "existing").read_bytes()
    os.listdir(scratch.path)
    assert scratch.changes() == []


# ---- the command -----------------------------------------------------------------------------------------------------


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli_prove.prove, arguments, standalone_mode=False)


def test_the_table_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.audit.prove.prove", lambda _, without: proved(*without))
    result = run("--lang", "da")
    assert result.return_value == 0
    lines = result.output.splitlines()
    assert lines[-1] == "Alle angreb blev afvist."
    assert any("aiortc MediaRecorder" in line and line.endswith("afvist") for line in lines)
    assert not any("LYKKEDES" in line for line in lines)
    assert max(len(line) for line in lines) < 140
    off = run("--lang", "da", "--without", "undumpable", "--without", "undumpable")
    assert off.return_value == 1
    assert "LYKKEDES" in off.output
    assert off.output.splitlines()[-1].startswith("Som ventet: uden undumpable ")


def test_json_has_every_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.audit.prove.prove", lambda _, without: proved(*without))
    said_ = json.loads(run("--json", "--lang", "en").output)
    assert said_["ok"] is True
    assert len(said_["attempts"]) == sum(row["tried"] for row in said_["rows"]) == len(proved().tried)
    assert {each["verdict"] for each in said_["attempts"]} == {"refused"}
    assert all(each["name"] for each in said_["attempts"])


def test_an_unknown_lock_is_bad_input() -> None:
    error = run("--without", "fsizes").exception
    assert isinstance(error, InputError)
    assert error.hint == "did you mean fsize?"
    error = run("--without", "x").exception
    assert isinstance(error, InputError)
    assert "landlock" in error.hint


def test_without_privileges_no_new_privs_is_said_to_need_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SealError, match="only root"):
        prove(environment(), ["no-new-privs"])


@contextlib.contextmanager
def running() -> Iterator[subprocess.Popen[bytes]]:
    """The command in a process of its own, some attacks into it."""
    code = "import sys; from monitor.cli_prove import prove; sys.exit(prove.main(['--without', 'seccomp']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not list(Path("/dev/shm").glob(f"vigil-prove-{process.pid}-*/ground")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)
        yield process
    finally:
        process.kill()
        process.wait()


def attackers() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if b"monitor.media.prove_process" in path.read_bytes():
                found.append(path.parent.name)
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_nothing_behind(number: signal.Signals) -> None:
    with running() as process:
        process.send_signal(number)
        assert process.wait(20) != 0
    assert left_over() == []
    assert attackers() == []


def test_what_a_killed_proof_leaves_is_taken_away_by_the_next() -> None:
    with running() as process:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 10
    while attackers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert attackers() == []  # they die with the prover
    assert [path for path in left_over() if f"-{process.pid}-" in path]
    with prove_ground.opened():
        assert not [path for path in left_over() if f"-{process.pid}-" in path]
    assert left_over() == []


# ---- no switch (row 19) ----------------------------------------------------------------------------------------------


def imported(name: str, seen: set[str]) -> set[str]:
    """All modules of ours that a module imports, by way of others too."""
    if name in seen:
        return seen
    root = Path(monitor.__path__[0])
    path = root.parent / Path(*name.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    if not file.exists():
        return seen  # a name in a module
    seen.add(name)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for each in names:
            if each.split(".")[0] == "monitor":
                imported(each, seen)
    return seen


ROOM = ("relay", "camera", "viewer", "viewer_desk", "udp_port", "stream", "window", "sources", "fanout", "process")


def test_the_process_that_can_leave_a_lock_off_is_of_no_use_as_a_media_process() -> None:
    used = imported("monitor.media.prove_process", set())
    forbidden = {"monitor.link", *(f"monitor.media.{name}" for name in ROOM)}
    assert not [
        each for each in used if each in forbidden or each.startswith(("monitor.control", "monitor.media.sources"))
    ]
    assert "monitor.media.seal" in used
    assert {"monitor.link", "monitor.media.camera"} <= imported("monitor.media.relay", set()) | imported(
        "monitor.media.process", set()
    )


def test_nothing_but_the_prover_starts_it() -> None:
    root = Path(monitor.__path__[0])
    named = {path.name for path in root.rglob("*.py") if "prove_process" in path.read_text()}
    assert named == {"prove_process.py", "prove_running.py", "prove.py"}
    assert not any(parameter == "monitor.media.prove_process" for parameter in MediaProcess.__init__.__defaults__ or ())


def test_it_takes_no_start_message() -> None:
    """Started like a media process and told to be one, it ends at once."""
    import socket

    from monitor.core.messages import Start, encode

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        start = Start(
            enforce="strict",
            udp_host="127.0.0.1",
            udp_port=0,
            readable=[],
            clock_offset_ms=0,
            max_viewers=1,
        )
        ours.send(encode(start))
        process = subprocess.run(
            [sys.executable, "-P", "-s", "-m", "monitor.media.prove_process", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(),
            check=False,
            timeout=30,
        )
        assert process.returncode == 6  # not started by us
