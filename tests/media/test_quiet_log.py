"""What a media process may say in its log: no payload, no library's text, and never at the price of waiting."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

from monitor.media.quiet_log import PipeHandler, describe

SECRET = "hunter2 \x00\x00\x01\x65"


@pytest.fixture
def pipe() -> Iterator[tuple[int, PipeHandler]]:
    read, write = os.pipe()
    yield read, PipeHandler(write)
    os.close(read)
    os.close(write)


def failed() -> ValueError:
    try:
        payload = SECRET
        raise ValueError(f"cannot parse {payload}")
    except ValueError as error:
        return error


def said(
    read: int, handler: PipeHandler, name: str, message: str, *args: object, error: Exception | None = None
) -> str:
    info = (type(error), error, error.__traceback__) if error else None
    handler.emit(logging.LogRecord(name, logging.ERROR, "x.py", 1, message, args, info))
    return os.read(read, 65536).decode()


def test_an_exception_is_told_by_type_and_place_only(pipe: tuple[int, PipeHandler]) -> None:
    assert "hunter2" not in describe(failed())
    line = said(*pipe, "monitor.media.x", "camera %s", "bay-1", error=failed())
    assert line.startswith("ERROR monitor.media.x: camera bay-1: ValueError at test_quiet_log.py:")
    assert "hunter2" not in line
    assert line.count("\n") == 1


def test_a_library_is_not_repeated(pipe: tuple[int, PipeHandler]) -> None:
    assert said(*pipe, "aiortsp.connection", SECRET) == "ERROR aiortsp.connection: a library's message, withheld\n"


def test_a_record_is_one_plain_short_line(pipe: tuple[int, PipeHandler]) -> None:
    line = said(*pipe, "monitor.x", "a\nb\x00ø %s", "word " * 500)
    assert line.isascii() and line.count("\n") == 1 and len(line) < 500
    assert line.startswith("ERROR monitor.x: a?b?? word")


def test_a_record_that_cannot_be_formatted_shows_nothing_of_its_arguments(pipe: tuple[int, PipeHandler]) -> None:
    assert "hunter2" not in said(*pipe, "monitor.x", "%d packets", SECRET)


def test_a_full_pipe_is_not_waited_for(pipe: tuple[int, PipeHandler]) -> None:
    _, handler = pipe
    for _ in range(1000):
        handler.emit(logging.LogRecord("monitor.x", logging.INFO, "x.py", 1, "word " * 60, (), None))
    assert handler.lost > 0
