"""Logs go to standard error, one line each, and no password passes: a last lock behind the rule that nobody logs one.

This module must never write a file: where the lines go is for systemd or the shell to say.
"""

from __future__ import annotations

import logging
import re
import sys

_USER_PART = re.compile(r"([a-z][a-z0-9+.-]*://)[^\s/@]*@", re.IGNORECASE)
_BEARER = re.compile(r"(bearer\s+)[A-Za-z0-9._~+/=-]+", re.IGNORECASE)


def redact(text: str) -> str:
    """The text without the user part of any address and without any bearer token."""
    return _BEARER.sub(r"\1…", _USER_PART.sub(r"\1…@", text))


class RedactingFormatter(logging.Formatter):
    """Formats a record with its traceback, then takes out what must not be seen. One record stays one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return redact(super().format(record)).replace("\n", " ⏎ ").replace("\r", "")


def set_up(level: int) -> None:
    """Send this program's log lines from `level` on, and other libraries' warnings, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    for name in ("monitor", "vigil"):
        logging.getLogger(name).setLevel(level)
