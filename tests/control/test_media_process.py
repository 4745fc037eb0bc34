"""What a media process gets from us, and how little of what it prints gets through."""

from __future__ import annotations

import logging
import os

import pytest

from monitor.control import media_process
from monitor.control.media_process import LOG_BURST, LOG_LINE, LogPipe, environment


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.fixture
def pipe(caplog: pytest.LogCaptureFixture) -> LogPipe:
    caplog.set_level(logging.DEBUG, "vigil.media.7")
    return LogPipe("vigil.media.7")


def test_lines_arrive_whole_with_their_level(pipe: LogPipe, caplog: pytest.LogCaptureFixture) -> None:
    pipe.feed(b"WARNING monitor.x: lost pack")
    pipe.feed(b"ets\nINFO monitor.y: fine\nno level at all\n\n")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "monitor.x: lost packets"),
        ("INFO", "monitor.y: fine"),
        ("WARNING", "no level at all"),
    ]
    assert all(record.name == "vigil.media.7" for record in caplog.records)
    assert pipe.bytes_in == 70


def test_a_critical_line_is_remembered(pipe: LogPipe) -> None:
    pipe.feed(b"CRITICAL monitor.media.process: the lock landlock cannot be closed; hint: newer kernel\n")
    assert pipe.last_words == "the lock landlock cannot be closed; hint: newer kernel"


def test_bytes_that_are_not_text_do_not_come_through(pipe: LogPipe, caplog: pytest.LogCaptureFixture) -> None:
    pipe.feed(b"INFO x: \x00\x00\x01\x65\xff\x1b[2J\n")
    assert lines(caplog) == ["x: ???e??[2J"]


def test_encoded_bytes_do_not_come_through(pipe: LogPipe, caplog: pytest.LogCaptureFixture) -> None:
    pipe.feed(b"INFO x: " + b"QUJD" * 50 + b"= end\n")
    assert lines(caplog) == ["x: (a long word, left out) end"]


def test_a_line_without_end_is_cut_once(pipe: LogPipe, caplog: pytest.LogCaptureFixture) -> None:
    pipe.feed(b"INFO x: " + b"word " * 400)
    pipe.feed(b"word " * 1000)
    pipe.feed(b"word\nINFO y: next\n")
    assert len(lines(caplog)) == 2
    assert len(lines(caplog)[0]) <= LOG_LINE
    assert lines(caplog)[1] == "y: next"


def test_a_flood_is_bounded_and_counted(
    pipe: LogPipe, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [pipe._at]
    monkeypatch.setattr(media_process.time, "monotonic", lambda: now[0])
    for _ in range(200):
        pipe.feed(b"INFO x: short\n")
    assert len(lines(caplog)) == media_process.LOG_LINES_PER_SECOND
    assert pipe.dropped == 150
    now[0] += 60
    caplog.clear()
    for _ in range(40):
        pipe.feed(b"INFO x: " + b"word " * 300 + b"\n")
    assert sum(map(len, lines(caplog))) <= LOG_BURST
    assert pipe.dropped > 150


def test_nothing_of_our_environment_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LD_PRELOAD", "OPENCV_LOG_LEVEL", "FFREPORT", "PYTHONFAULTHANDLER", "CAM1_PASSWORD", "HOME"):
        monkeypatch.setenv(name, "switched on")
    assert "switched on" not in environment().values()
    assert set(environment()) == {
        "PATH",
        "LANG",
        "PYTHONPATH",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONMALLOC",
        "GLIBC_TUNABLES",
        "OPENBLAS_NUM_THREADS",
        "OMP_NUM_THREADS",
    }
    assert environment()["PATH"] != os.environ["PATH"]
