"""The seal holds, and for each lock: with that one left off the proof says so. GUARANTEE.md rows 1 to 7, 10, 16 and
19."""

from __future__ import annotations

import ast
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import monitor
from monitor.control.media_process import environment
from monitor.core.messages import MAX_MESSAGE, Proof, Start, encode
from monitor.media.seal import LOCKS
from monitor.media.seal_proof import _shared_mappings, states
from monitor.media.seal_ways_files import PSEUDO
from tests.sealed.harness import NOBODY
from tests.sealed.launch import ask, harness

pytestmark = pytest.mark.sealed


def succeeded(said: dict[str, Any], where: Path | None = None) -> set[str]:
    """Names of the ways that were not refused, in one directory or in all; both threads must agree."""
    first, second = (
        {
            attempt["name"]
            for attempt in proof["attempts"]
            if not attempt["refused"] and (where is None or attempt["where"] == str(where))
        }
        for proof in said["proofs"]
    )
    assert first == second
    return first


def everything_removed(where: Path) -> bool:
    return not list(where.glob(".vigil-proof*"))


# ---- the whole seal --------------------------------------------------------------------------------------------------


def test_every_way_of_writing_is_refused_from_both_threads(tmp_path: Path) -> None:
    said = ask("proof", tmp_path)
    assert said["missing"] == []
    assert set(said["locks"]) == set(LOCKS)
    assert [proof["thread"] for proof in said["proofs"]] == ["first", "second"]
    for proof in said["proofs"]:
        assert succeeded(said) == set()
        assert proof["holds"] and proof["tried"] == proof["refused"] > 100
    names = {attempt["name"] for attempt in said["proofs"][0]["attempts"]}
    assert {"create", "O_TMPFILE", "link", "rename", "mkdir", "mknod", "truncate", "fork", "execve"} <= names
    assert list(tmp_path.iterdir()) == []


def test_every_writable_file_system_is_tried(tmp_path: Path) -> None:
    tried = {os.stat(directory).st_dev for directory in ask("proof", tmp_path)["directories"]}
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        where = Path(point.encode().decode("unicode_escape"))
        if kind not in PSEUDO and "rw" in options.split(",") and where.is_dir():
            assert os.stat(where).st_dev in tried, where


def test_a_proof_fits_through_the_door_at_its_largest(tmp_path: Path) -> None:
    said = ask("proof", tmp_path, "landlock", "seccomp", "fsize")
    proof = Proof.model_validate(said["proofs"][0])
    assert len(proof.attempts) > 150
    assert len(encode(proof)) < MAX_MESSAGE


def test_libraries_work_under_the_seal(tmp_path: Path) -> None:
    assert len(ask("libraries", tmp_path)["worked"]) == 6


# ---- negative controls: each lock left off is noticed ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("lock", "noticed"),
    [
        ("fsize", "state file size limit"),
        ("core", "state core limit"),
        ("undumpable", "state undumpable"),
        ("landlock", "read outside"),
        ("seccomp", "memfd_create"),
        ("memory", "state memory kept from swap"),
    ],
)
def test_a_lock_left_off_breaks_the_proof(tmp_path: Path, lock: str, noticed: str) -> None:
    said = ask("proof", tmp_path, lock)
    assert noticed in succeeded(said)
    assert not any(proof["holds"] for proof in said["proofs"])
    assert said["missing"] == [lock]
    assert everything_removed(tmp_path)


@pytest.mark.usefixtures("as_root")  # without privileges neither filter nor Landlock can be had without no_new_privs
@pytest.mark.parametrize(
    ("lock", "noticed"), [("no-new-privs", "state no-new-privs"), ("capabilities", "state capabilities")]
)
def test_a_privileged_process_without_a_lock_breaks_the_proof(tmp_path: Path, lock: str, noticed: str) -> None:
    said = ask("proof", tmp_path, lock)
    assert noticed in succeeded(said)
    assert not any(proof["holds"] for proof in said["proofs"])


def test_seccomp_off_leaves_processes_and_memory_files_open(tmp_path: Path) -> None:
    found = succeeded(ask("proof", tmp_path, "seccomp"))
    assert {"fork", "clone", "memfd_create", "shmget", "local socket", "raise a limit", "execve"} <= found
    assert "create" not in found  # Landlock alone refuses files


def test_both_file_locks_off_let_files_be_made_but_not_filled(tmp_path: Path) -> None:
    found = succeeded(ask("proof", tmp_path, "landlock", "seccomp"), tmp_path)
    every_way = {"create", "O_TMPFILE", "creat", "open O_RDWR", "open O_APPEND", "open O_TRUNC", "truncate", "chmod"}
    every_way |= {"utime", "link", "symlink", "rename", "mkdir", "mknod", "unix bind", "unlink"}
    every_way |= {"ffmpeg muxer", "opencv imwrite"}
    assert every_way <= found
    assert "write" not in found
    assert everything_removed(tmp_path)


def test_all_three_file_locks_off_let_pictures_be_written(tmp_path: Path) -> None:
    found = succeeded(ask("proof", tmp_path, "landlock", "seccomp", "fsize"), tmp_path)
    assert {"write", "numpy tofile"} <= found
    assert everything_removed(tmp_path)


def test_a_descriptor_from_before_is_refused_by_the_seal(tmp_path: Path) -> None:
    said = ask("inherited", tmp_path, open_file=str(tmp_path / "leak"))
    assert "descriptors" in said["refused"]
    assert said["hint"]


def test_a_descriptor_from_before_takes_no_byte(tmp_path: Path) -> None:
    leak = tmp_path / "leak"
    assert ask("inherited", tmp_path, "descriptors", open_file=str(leak))["write"] == "EFBIG"
    assert leak.read_bytes() == b""
    assert ask("inherited", tmp_path, "descriptors", "fsize", open_file=str(leak))["write"] == "succeeded"
    assert leak.read_bytes() == b"picture"


def test_a_descriptor_from_before_breaks_the_proof(tmp_path: Path) -> None:
    said = ask("proof", tmp_path, "descriptors", open_file=str(tmp_path / "leak"))
    assert succeeded(said) == {"state descriptors"}


def test_a_thread_from_before_is_refused_by_the_seal(tmp_path: Path) -> None:
    said = ask("thread", tmp_path, made_file=str(tmp_path / "leak"))
    assert "threads" in said["refused"]


def test_a_thread_from_before_can_write_and_breaks_the_proof(tmp_path: Path) -> None:
    leak = tmp_path / "leak"
    assert ask("thread", tmp_path, "one-thread", made_file=str(leak))["write"] == "succeeded"
    assert leak.exists()
    said = ask("proof", tmp_path, "one-thread", thread=True)
    assert succeeded(said) == {"state all threads filtered"}


# ---- machines that lack something ------------------------------------------------------------------------------------


def test_without_landlock_strict_refuses_and_warn_says_so(tmp_path: Path) -> None:
    said = ask("seal", tmp_path, no_landlock=True)
    assert "landlock" in said["refused"]
    assert "5.13" in said["hint"]
    said = ask("seal", tmp_path, no_landlock=True, strict=False)
    assert said["missing"] == ["landlock"]
    assert said["abi"] == 0


SWAP = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/sda2 partition 8388604 0 -2\n"


def test_with_swap_memory_is_locked_or_the_seal_refuses(tmp_path: Path) -> None:
    swaps = tmp_path / "swaps"
    swaps.write_text(SWAP)
    said = ask("seal", tmp_path, swaps=str(swaps), no_mlock=True, cgroups=str(tmp_path))
    assert "swap" in said["refused"]
    assert "MemorySwapMax=0" in said["hint"]
    said = ask("seal", tmp_path, swaps=str(swaps), no_mlock=True, cgroups=str(tmp_path), strict=False)
    assert said["missing"] == ["memory"]
    assert said["memory"] == "swappable"


@pytest.mark.usefixtures("as_root")
def test_locked_memory_satisfies_the_proof(tmp_path: Path) -> None:
    swaps = tmp_path / "swaps"
    swaps.write_text(SWAP)
    said = ask("proof", tmp_path, swaps=str(swaps))
    assert said["memory"] == "mlockall"
    assert all(proof["holds"] for proof in said["proofs"]), succeeded(said)


def test_a_cgroup_without_swap_is_enough(tmp_path: Path) -> None:
    swaps = tmp_path / "swaps"
    swaps.write_text(SWAP)
    (tmp_path / "memory.swap.max").write_text("0\n")
    said = ask("seal", tmp_path, swaps=str(swaps), no_mlock=True, cgroups=str(tmp_path))
    assert said["memory"] == "cgroup"
    (tmp_path / "memory.swap.max").write_text("max\n")
    assert "swap" in ask("seal", tmp_path, swaps=str(swaps), no_mlock=True, cgroups=str(tmp_path))["refused"]


# ---- others that would look into it ----------------------------------------------------------------------------------


def crash(where: Path, *without: str) -> tuple[bool, list[str]]:
    """End a process by SIGSEGV; whether the kernel says that it dumped core, and what is in its directory."""
    with harness("hang", where, *without) as running:
        os.kill(running.process.pid, signal.SIGSEGV)
        _, status = os.waitpid(running.process.pid, 0)
        running.process.returncode = -signal.SIGSEGV
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSEGV
    left = [path.name for path in where.iterdir()]
    for path in where.iterdir():
        path.unlink()  # a core is large
    return os.WCOREDUMP(status), left


def test_a_crash_leaves_no_core(tmp_path: Path) -> None:
    assert crash(tmp_path) == (False, [])


def test_a_crash_without_the_locks_leaves_a_core(tmp_path: Path) -> None:
    """The control for the one above: Landlock and RLIMIT_FSIZE stop the kernel's writing too, so they are off as
    well."""
    dumped, left = crash(tmp_path, "core", "undumpable", "fsize", "landlock")
    assert dumped
    if Path("/proc/sys/kernel/core_pattern").read_text().startswith("core"):
        assert left


@pytest.mark.parametrize("off", ["core", "undumpable"])
def test_either_core_lock_is_enough(tmp_path: Path, off: str) -> None:
    assert crash(tmp_path, off, "fsize", "landlock") == (False, [])


ATTACH = f"""
import ctypes, os, sys
if os.geteuid() == 0:
    os.setgroups([]); os.setresgid({NOBODY}, {NOBODY}, {NOBODY}); os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
libc = ctypes.CDLL(None, use_errno=True)
pid = int(sys.argv[1])
attached = libc.ptrace(16, pid, None, None) == 0  # PTRACE_ATTACH
if attached:
    os.waitpid(pid, 0x40000000)  # __WALL
    libc.ptrace(17, pid, None, None)
try:
    readable = bool(os.listdir(f"/proc/{{pid}}/fd"))
except OSError:
    readable = False
print(attached, readable)
"""


def attach(where: Path, *without: str) -> str:
    where.chmod(0o755)
    with harness("hang", where, *without, as_nobody=True) as running:
        return subprocess.run(
            [sys.executable, "-c", ATTACH, str(running.process.pid)],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout.strip()


def test_the_same_user_cannot_look_into_it(tmp_path: Path) -> None:
    assert attach(tmp_path) == "False False"


def test_without_the_lock_the_same_user_can(tmp_path: Path) -> None:
    assert attach(tmp_path, "undumpable").startswith("True")


def test_dont_dump_marks_the_window(tmp_path: Path) -> None:
    assert "dd" in ask("hang", tmp_path, dont_dump=True)["flags"]
    assert "dd" not in ask("hang", tmp_path)["flags"]


# ---- freed memory ----------------------------------------------------------------------------------------------------


def occurrences(pid: int, token: bytes) -> int:
    """How often a token stands in a process's writable memory."""
    found = 0
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, permissions, *_ = line.split()
            if permissions.startswith("rw") and "[v" not in line:
                first, last = (int(part, 16) for part in span.split("-"))
                memory.seek(first)
                found += (memory.read(last - first) or b"").count(token)
    return found


def freed(where: Path, env: dict[str, str], **more: Any) -> int:
    token = secrets.token_bytes(16)
    complement = bytes(255 - byte for byte in token).hex()
    with harness("freed", where, env=env, complement=complement, **more) as running:
        return occurrences(running.process.pid, token)


def test_freed_memory_is_overwritten(tmp_path: Path) -> None:
    assert freed(tmp_path, environment()) == 0


def test_freed_memory_is_found_without_the_setting(tmp_path: Path) -> None:
    plain = {name: value for name, value in environment().items() if name not in ("GLIBC_TUNABLES", "PYTHONMALLOC")}
    assert freed(tmp_path, plain) > 0
    assert freed(tmp_path, environment(), keep=True) > 1000  # what is not freed stays: the search finds what is there


# ---- no switch (row 19) ----------------------------------------------------------------------------------------------


def product_sources(*folders: str) -> list[tuple[Path, ast.Module]]:
    root = Path(monitor.__path__[0])
    files = [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]
    assert files
    return [(path, ast.parse(path.read_text())) for path in files]


def leaves_a_lock_off(tree: ast.Module) -> bool:
    """Whether code calls something called seal with more than its first argument."""
    return any(
        isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] == "seal"
        and (len(node.args) > 1 or bool(node.keywords))
        for node in ast.walk(tree)
    )


def reads_environment(tree: ast.Module) -> bool:
    return any(
        (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "getenvb"))
        or (isinstance(node, ast.alias) and node.name in ("environ", "environb", "getenv", "getenvb"))
        for node in ast.walk(tree)
    )


def test_nothing_in_the_product_leaves_a_lock_off() -> None:
    """But for `vigil prove`, in processes that can be nothing but attackers (see test_prove.py)."""
    named = {path.name for path, tree in product_sources(".") if leaves_a_lock_off(tree)}
    assert named == {"prove_process.py"}
    assert leaves_a_lock_off(ast.parse("seal(spec, frozenset({'fsize'}))"))
    assert leaves_a_lock_off(ast.parse("media.seal.seal(spec, without=x)"))


def test_the_media_process_reads_no_environment() -> None:
    for path, tree in product_sources("media"):
        assert not reads_environment(tree), path
    assert reads_environment(ast.parse("import os\nos.environ['X']"))
    assert reads_environment(ast.parse("from os import getenv"))


def test_no_message_can_leave_a_lock_off() -> None:
    assert set(Start.model_fields) == {
        "kind",
        "enforce",
        "udp_host",
        "udp_port",
        "readable",
        "clock_offset_ms",
        "max_viewers",
    }


def test_an_unknown_lock_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no such lock"), harness("seal", tmp_path, "fsizes"):
        pass


# ---- the proof's own judgement ---------------------------------------------------------------------------------------


def test_shared_mappings_are_told_from_private_ones() -> None:
    assert _shared_mappings("7f00-7f01 rw-s 00000000 00:01 12 /memfd:frames (deleted)") == ["/memfd:frames (deleted)"]
    assert _shared_mappings("7f00-7f01 rw-s 00000000 08:01 12 /var/lib/x y") == ["/var/lib/x y"]
    assert _shared_mappings("7f00-7f01 r--s 00000000 08:01 12 /usr/lib/gconv") == []
    assert _shared_mappings("7f00-7f01 rw-p 00000000 08:01 12 /usr/lib/libc.so") == []
    assert _shared_mappings("7f00-7f01 rw-p 00000000 00:00 0 ") == []


def test_an_unsealed_process_fails_every_state_check_that_it_should() -> None:
    """Here, in the test's own process, which nothing sealed."""
    broken = {way.name for way in states("swappable") if not way.try_it()[0]}
    assert {"state all threads filtered", "state file size limit", "state memory kept from swap"} <= broken
