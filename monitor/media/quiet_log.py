"""How a media process speaks to its log pipe: one short line a record, and never a byte of what it works on.

An exception's text can hold what a parser choked on, a library's debug line a password or a payload. So of an exception
only its type and the places in the code are told, and of libraries' records only that there was one. The pipe is never
waited for: where the control process does not read, lines are lost and counted, and pictures go on.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
import warnings
from types import TracebackType

import av
import cv2

STANDARD_ERROR = 2
_LONGEST = 400
_FRAMES = 6
_OURS = ("monitor", "__main__")


def describe(error: BaseException) -> str:
    """An exception as its type and the innermost places it came through: never its text, never a variable's value."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = " < ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places or 'no frame'}"


class PipeHandler(logging.Handler):
    """Writes records to a pipe as `LEVEL logger: text` in plain ASCII."""

    def __init__(self, descriptor: int = STANDARD_ERROR) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.lost = 0
        os.set_blocking(descriptor, False)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, or lose it."""
        line = f"{record.levelname} {record.name}: {self._text(record)}"
        plain = "".join(character if " " <= character <= "~" else "?" for character in line)[:_LONGEST]
        try:
            os.write(self._descriptor, plain.encode() + b"\n")
        except OSError:
            self.lost += 1

    @staticmethod
    def _text(record: logging.LogRecord) -> str:
        if record.name.partition(".")[0] not in _OURS:
            return "a library's message, withheld"
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = "a message that could not be formatted"
        error = record.exc_info[1] if record.exc_info else None
        return f"{text}: {describe(error)}" if error else text


def set_up() -> PipeHandler:
    """Send all logging, and every unhandled exception, through the pipe, and silence what writes to it directly."""
    handler = PipeHandler()
    root = logging.getLogger()
    for other in root.handlers[:]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("monitor").setLevel(logging.INFO)
    logging.raiseExceptions = False  # it would print a record's arguments
    warnings.simplefilter("ignore")
    av.logging.set_level(None)
    av.logging.set_libav_level(av.logging.PANIC)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

    def unhandled(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
        logging.getLogger("monitor").critical("unhandled: %s", describe(error))

    def unhandled_in_thread(problem: threading.ExceptHookArgs) -> None:
        if problem.exc_value is not None:
            unhandled(problem.exc_type, problem.exc_value, problem.exc_traceback)

    def unraisable(problem: sys.UnraisableHookArgs) -> None:
        if problem.exc_value is not None:
            unhandled(problem.exc_type, problem.exc_value, problem.exc_traceback)

    sys.excepthook = unhandled
    threading.excepthook = unhandled_in_thread
    sys.unraisablehook = unraisable
    return handler
