"""What runs here: the hash moves with every file, and a file that is not as delivered or as loaded is found."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest

import monitor
from monitor.evidence import versions
from monitor.evidence.versions import (
    START_SLACK_SECONDS,
    changed_since,
    judge_versions,
    program_files,
    program_hash,
    record_mismatches,
    unrecorded,
    what_runs,
)
from monitor.evidence.words import LANGUAGES, shown


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small program in place of ours."""
    for name in ("monitor/a.py", "monitor/control/migrations/1.sql", "monitor/evidence/text/da/x.json", "web/wall.js"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one\n")
    for name in ("monitor/__pycache__/a.pyc", "monitor/__pycache__/b.py", "web/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("not part of it\n")
    monkeypatch.setattr(monitor, "__path__", [str(tmp_path / "monitor")])
    return tmp_path


def test_the_program_is_code_migrations_words_and_pages(program: Path) -> None:
    assert [name for name, _ in program_files()] == [
        "monitor/a.py",
        "monitor/control/migrations/1.sql",
        "monitor/evidence/text/da/x.json",
        "web/wall.js",
    ]


def test_an_installed_program_has_its_pages_inside(program: Path) -> None:
    (program / "web").rename(program / "monitor/web")
    assert [name for name, _ in program_files()][-1] == "web/wall.js"
    assert len(program_files()) == 4


def test_the_hash_moves_with_content_name_and_number_of_files(program: Path) -> None:
    seen = {program_hash()}
    (program / "monitor/a.py").write_text("two\n")
    seen.add(program_hash())
    (program / "monitor/a.py").rename(program / "monitor/b.py")
    seen.add(program_hash())
    (program / "web/wall.js").unlink()
    seen.add(program_hash())
    assert len(seen) == 4
    (program / "web/notes.txt").write_text("still not part of it\n")
    assert program_hash() in seen


def test_a_file_changed_after_the_start_is_found_even_with_its_time_set_back(program: Path) -> None:
    time.sleep(0.02)
    started = time.time()
    assert changed_since(started) == []
    time.sleep(START_SLACK_SECONDS + 0.02)
    changed = program / "web/wall.js"
    changed.write_text("two\n")
    os.utime(changed, (1, 1))
    assert changed_since(started) == [changed]


def test_this_installation_is_known() -> None:
    found = what_runs()
    assert found["vigil"] == monitor.__version__
    assert len(found["program"]) == 64
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"av", "aiortc", "cryptography", "numpy", "fastapi", "openssl", "kernel"} <= found.keys()


def test_this_installation_is_as_delivered_and_that_is_seen_in_time() -> None:
    began = time.monotonic()
    assert record_mismatches() == []
    assert time.monotonic() - began < 10  # under 1 s where nothing else runs; 3 s is what the audit can spare


class _Distribution(metadata.Distribution):
    """An installed package in a folder, whose RECORD says what it says."""

    def __init__(self, folder: Path, record: str) -> None:
        self._folder, self._record = folder, record

    def read_text(self, filename: str) -> str | None:
        return {"RECORD": self._record, "METADATA": "Metadata-Version: 2.1\nName: av\nVersion: 1\n"}.get(filename)

    def locate_file(self, path: str | os.PathLike[str]) -> Path:
        return self._folder / path


def record_of(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"as delivered", []), (b"not as delivered", ["av: av/a.py"]), (None, ["av: av/a.py"])],
)
def test_a_file_that_is_not_as_delivered_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, found: list[str]
) -> None:
    (tmp_path / "av").mkdir()
    if content is not None:
        (tmp_path / "av/a.py").write_bytes(content)
    record = f"av/a.py,sha256={record_of(b'as delivered')},12\nav/__pycache__/a.cpython-311.pyc,,\nav/RECORD,,\n"
    monkeypatch.setattr(versions, "_distributions", lambda: [_Distribution(tmp_path, record)])
    monkeypatch.setattr(versions, "_own", list)
    assert record_mismatches() == found
    assert unrecorded() == []


def test_a_package_without_a_list_of_hashes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "_distributions", lambda: [_Distribution(tmp_path, "av/RECORD,,\n")])
    assert unrecorded() == ["av"]


RUNNING = {"vigil": "0.1.0", "program": "0" * 64, "python": "3.11.7"}


def verdict(
    changed: Sequence[str] = (),
    mismatches: Sequence[str] = (),
    replaced: Sequence[str] | None = (),
    without: Sequence[str] = (),
) -> str:
    (finding,) = judge_versions(RUNNING, changed, mismatches, replaced, without)
    assert finding.row == 20
    for language in LANGUAGES:
        words = shown(language, finding)
        assert "0" * 64 in str(words["seen"])
        for path in (*changed, *mismatches, *(replaced or ()))[:5]:
            assert path in str(words["why"])
    return finding.verdict


def test_row_20_breaks_with_each_change_and_holds_without() -> None:
    assert verdict() == "holds"
    assert verdict(without=["numpy"]) == "holds"
    assert verdict(changed=["monitor/a.py"]) == "broken"
    assert verdict(mismatches=["av: av/a.py"]) == "broken"
    assert verdict(replaced=["/usr/lib/libssl.so.3"]) == "broken"
    assert verdict(replaced=None) == "not_checked"
    assert verdict(changed=["a", "b", "c", "d", "e", "f"], replaced=None) == "broken"
