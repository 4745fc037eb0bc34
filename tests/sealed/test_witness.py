"""The witness itself: it must see what is planted, or what it does not see proves nothing."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.witness import FanotifyWitness, StraceWitness, patterns, search, search_memory, search_tree

pytestmark = pytest.mark.sealed
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="fanotify and the memory of others need root")
TOKEN = bytes(range(200, 232))
SPS = bytes.fromhex("6742c01fda0280")

PLANT = """
import base64, os, sys
token = bytes(range(200, 232))
forms = {
    "raw": b"x" + token, "hex": token.hex().encode(), "base64": base64.b64encode(b"ab" + token + b"c"),
    "sps": b"\\0\\0\\0\\1" + bytes.fromhex("6742c01fda0280") + b"rest",
}
path = sys.argv[1]
with open(path, "wb") as file:
    file.write(os.urandom(100_000) + forms[sys.argv[2]] + os.urandom(1000))
if sys.argv[3] == "remove":
    os.unlink(path)
"""


@needs_root
@pytest.mark.parametrize("remains", ["keep", "remove"])
@pytest.mark.parametrize("form", ["raw", "hex", "base64", "sps"])
@pytest.mark.parametrize("where", ["disk", "shm"])
def test_a_planted_leak_is_found(tmp_path, form, remains, where):
    path = Path("/dev/shm") / f"vigil-test-{os.getpid()}" if where == "shm" else tmp_path / "leak"
    child: list[int] = []
    witness = FanotifyWitness(patterns(TOKEN, SPS), lambda lineage: any(pid in lineage for pid in child))
    witness.start()
    try:
        process = subprocess.Popen([sys.executable, "-c", f"input();{PLANT}", str(path), form, remains], stdin=-1)
        child.append(process.pid)
        process.communicate(b"\n")
    finally:
        witness.stop()
        path.unlink(missing_ok=True)
    assert process.returncode == 0
    assert not witness.overflowed
    assert str(path) in witness.modified
    assert {hit for hit, _ in witness.hits if hit.startswith(str(path))}, witness.hits


@needs_root
def test_a_clean_file_is_seen_and_not_reported(tmp_path):
    witness = FanotifyWitness(patterns(TOKEN, SPS), lambda lineage: os.getpid() in lineage)
    witness.start()
    (tmp_path / "clean").write_bytes(os.urandom(1 << 20))
    witness.stop()
    assert str(tmp_path / "clean") in witness.modified
    assert witness.searched_bytes >= 1 << 20
    assert witness.hits == []


def test_search_across_the_border_of_two_pieces():
    wanted = patterns(TOKEN)
    assert list(search([b"a" * 10 + TOKEN[:5], TOKEN[5:] + b"b"], wanted)) == ["raw"]
    for shift in range(3):
        coded = base64.b64encode(os.urandom(shift + 3) + TOKEN + os.urandom(2))
        assert any(name.startswith("base64") for name in search([coded], wanted)), shift


@needs_root
def test_search_of_a_tree_and_of_memory(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"..." + TOKEN)
    assert search_tree(tmp_path, patterns(TOKEN)) == [(str(tmp_path / "deep" / "file"), "raw")]
    script = "token = bytes(range(200, 232)) * 2; print('ready', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1) as process:
        process.stdout.readline()
        assert search_memory(process.pid, patterns(TOKEN))
        assert search_memory(process.pid, patterns(os.urandom(32))) == []
        process.communicate(b"\n")


@pytest.mark.parametrize("form", ["raw", "hex", "base64", "sps"])
def test_the_witness_of_those_who_are_not_root(tmp_path, form):
    witness = StraceWitness(patterns(TOKEN, SPS), tmp_path / "strace.log")
    command = [*witness.command, sys.executable, "-c", PLANT, str(tmp_path / "leak"), form, "keep"]
    subprocess.run(command, check=True)
    witness.stop()
    assert str(tmp_path / "leak") in witness.modified
    assert [path for path, _ in witness.hits] == [str(tmp_path / "leak")]
