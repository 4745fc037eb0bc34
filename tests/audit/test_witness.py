"""The witness itself: it must see what is planted, or what it does not see proves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitor.audit.search import patterns
from monitor.audit.witness import FanotifyWitness, Hit, ancestors, mounted
from monitor.audit.witness_listing import ListingWitness, open_witness
from tests.fakes.witness import files_of

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="fanotify needs root")
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


def plant(pids: list[int], path: Path, form: str, remains: str) -> None:
    """A process of its own writes it; its pid is known before it does."""
    process = subprocess.Popen([sys.executable, "-c", f"input();{PLANT}", str(path), form, remains], stdin=-1)
    pids.append(process.pid)
    process.communicate(b"\n")
    assert process.returncode == 0


@needs_root
@pytest.mark.parametrize("remains", ["keep", "remove"])
@pytest.mark.parametrize("form", ["raw", "hex", "base64", "sps"])
@pytest.mark.parametrize("where", ["disk", "shm"])
def test_a_planted_leak_is_found(tmp_path, form, remains, where):
    path = Path("/dev/shm") / f"vigil-test-{os.getpid()}" if where == "shm" else tmp_path / "leak"
    pids: list[int] = []
    witness = FanotifyWitness(patterns(TOKEN, SPS), files_of(pids, as_="media"))
    witness.start()
    try:
        plant(pids, path, form, remains)
    finally:
        witness.stop()
        path.unlink(missing_ok=True)
    assert witness.complete
    assert pids[0] in witness.modified[str(path)].pids
    assert witness.modified[str(path)].removed is (remains == "remove")
    hits = [hit for hit in witness.hits if hit.path == str(path)]
    assert hits, witness.hits
    assert all("media" in hit.writers for hit in hits)
    if where == "shm":
        assert hits[0].in_memory


@needs_root
def test_a_clean_file_is_seen_and_not_reported(tmp_path):
    witness = FanotifyWitness(patterns(TOKEN, SPS), files_of([os.getpid()], as_="ours"))
    witness.start()
    (tmp_path / "clean").write_bytes(b"text" + os.urandom(1 << 20))
    witness.stop()
    assert str(tmp_path / "clean") in witness.modified
    assert witness.searched_octets >= 1 << 20
    assert [hit for hit in witness.hits if hit.path.startswith(str(tmp_path))] == []


@needs_root
def test_a_picture_file_without_the_token_is_found_by_its_header(tmp_path):
    witness = FanotifyWitness(patterns(TOKEN), files_of([os.getpid()], as_="ours"))
    witness.start()
    (tmp_path / "a").write_bytes(b"\xff\xd8\xff\xe0" + bytes(500))
    witness.stop()
    assert Hit(str(tmp_path / "a"), "header JPEG", frozenset({"ours"}), False) in [
        Hit(hit.path, hit.pattern, hit.writers, False) for hit in witness.hits
    ]


@needs_root
def test_what_is_written_to_no_file_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    witness = FanotifyWitness(patterns(TOKEN), files_of([os.getpid()], as_="media"))
    witness.start()
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    for path in ("/dev/null", str(tmp_path / "pipe")):
        with open(path, "wb") as file:
            file.write(TOKEN)
    (tmp_path / "file").write_bytes(TOKEN)
    os.close(reader)
    witness.stop()
    assert "/dev/null" not in witness.modified
    assert str(tmp_path / "pipe") not in witness.modified
    assert str(tmp_path / "file") in witness.modified, "negative control"


@needs_root
def test_files_of_others_are_none_of_its_business(tmp_path):
    witness = FanotifyWitness(patterns(TOKEN), files_of([1 << 22]))
    witness.start()
    (tmp_path / "theirs").write_bytes(TOKEN)
    witness.stop()
    assert str(tmp_path / "theirs") not in witness.modified


@pytest.mark.parametrize("form", ["raw", "hex", "base64", "sps"])
def test_the_listing_finds_what_was_left(tmp_path, form):
    (tmp_path / "old").write_bytes(TOKEN)
    time.sleep(0.1)
    witness = ListingWitness(patterns(TOKEN, SPS), [str(tmp_path)])
    witness.start()
    (tmp_path / "deep").mkdir()
    plant([], tmp_path / "deep" / "leak", form, "keep")
    witness.stop()
    assert list(witness.modified) == [str(tmp_path / "deep" / "leak")]
    assert [hit.path for hit in witness.hits] == [str(tmp_path / "deep" / "leak")]
    assert witness.complete


def test_the_listing_sees_a_file_whose_date_was_set_back(tmp_path):
    (tmp_path / "log").write_bytes(b"before")
    witness = ListingWitness(patterns(TOKEN), [str(tmp_path), str(tmp_path / "nowhere")])
    witness.start()
    (tmp_path / "log").write_bytes(b"." + TOKEN)
    os.utime(tmp_path / "log", (1, 1))
    witness.stop()
    assert [hit.pattern for hit in witness.hits] == ["raw"]


def test_the_listing_says_that_it_did_not_come_to_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr("monitor.audit.witness_listing.MAX_LISTED", 3)
    witness = ListingWitness(patterns(TOKEN), [str(tmp_path)])
    witness.start()
    for number in range(5):
        (tmp_path / str(number)).write_bytes(b"")
    witness.stop()
    assert not witness.complete


def test_which_witness_is_opened(monkeypatch):
    def refused(self: FanotifyWitness) -> None:
        raise PermissionError

    monkeypatch.setattr(FanotifyWitness, "start", refused)
    assert open_witness({}, files_of([])).name == "listing"


def test_file_systems_by_the_kernels_list():
    text = (
        "22 1 0:21 / /proc rw - proc proc rw\n"
        "23 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "24 23 8:1 /etc /mnt/bind rw - ext4 /dev/sda1 rw\n"
        "25 23 0:30 / /run/with\\040space rw - tmpfs tmpfs rw,size=1k\n"
    )
    assert mounted(text) == {"/": "ext4", "/run/with space": "tmpfs"}


def test_ancestors():
    lineage = list(ancestors(os.getpid()))
    assert lineage[:2] == [os.getpid(), os.getppid()]
    assert list(ancestors(1 << 30)) == []
