"""In which line of a TOML text each key stands: `tomllib` does not say, and an error without its line is half an error.

This module must never judge a text: it follows one that `tomllib` has accepted already, and where it loses its way it
says nothing instead of something wrong. Grammar: TOML 1.0.0 (toml.io/en/v1.0.0).

A key's path is a tuple: `("bays", 1, "buttons", 0, "kind")`, with positions counted from 0.
"""

from __future__ import annotations

import bisect
import contextlib
import re
import tomllib

MAX_WRITTEN = 120
"""Characters of a path in an error."""

KeyPath = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_STRING = re.compile(
    r'''"""(?:[^\\]|\\.)*?"""(?:"{0,2})'''  # up to two more quotes belong to the content
    r"""|\'\'\'.*?\'\'\'(?:'{0,2})"""
    r"""|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class KeyLines:
    """Where each key of one text stands."""

    def __init__(self, lines: dict[KeyPath, int]) -> None:
        self._lines = lines

    @classmethod
    def scan(cls, text: str) -> KeyLines:
        """Read a text that `tomllib` accepts."""
        scanner = _Scanner(text.replace("\r\n", "\n"))
        with contextlib.suppress(_LostError):  # what was found so far is true; the rest has no line
            scanner.document()
        return cls(scanner.lines)

    def line(self, path: KeyPath) -> int:
        """The line of this key, or of the nearest table around it; from 1, 0 where there is none."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 0)

    def paths(self) -> dict[KeyPath, int]:
        """Every path that was seen, with its line."""
        return dict(self._lines)


class _LostError(Exception):
    """The text is not what the scanner took it for."""


class _Scanner:
    """One pass over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self.lines: dict[KeyPath, int] = {}
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._lengths: dict[KeyPath, int] = {}
        """Of each array of tables: how many tables it has so far."""

    def document(self) -> None:
        """Tables and pairs, until the end."""
        table: KeyPath = ()
        while True:
            self._skip(_BLANK)
            if self.pos >= len(self.text):
                return
            if self.text.startswith("[[", self.pos):
                table = self._header("[[", "]]")
            elif self.text.startswith("[", self.pos):
                table = self._header("[", "]")
            else:
                self._pair(table)

    def _header(self, opening: str, closing: str) -> KeyPath:
        line = self._line()
        self.pos += len(opening)
        parts = self._dotted()
        self._expect(closing)
        path: KeyPath = ()
        for position, part in enumerate(parts):
            path = (*path, part)
            self.lines.setdefault(path, line)
            if opening == "[[" and position == len(parts) - 1:
                self._lengths[path] = self._lengths.get(path, 0) + 1
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
                self.lines.setdefault(path, line)
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for part in self._dotted():
            path = (*path, part)
            self.lines.setdefault(path, line)
        self._expect("=")
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        start = self.text[self.pos : self.pos + 1]
        if start == "[":
            self._array(path)
        elif start == "{":
            self._inline_table(path)
        else:
            self._take(_STRING if start in ('"', "'") else _SCALAR)

    def _array(self, path: KeyPath) -> None:
        self.pos += 1
        position = 0
        while True:
            self._skip(_BLANK)
            if self._at("]"):
                return
            self.lines.setdefault((*path, position), self._line())
            self._value((*path, position))
            position += 1
            self._skip(_BLANK)
            if not self._at(","):
                self._expect("]")
                return

    def _inline_table(self, path: KeyPath) -> None:
        self.pos += 1
        while True:
            self._skip(_BLANK)
            if self._at("}"):
                return
            self._pair(path)
            self._skip(_BLANK)
            if not self._at(","):
                self._expect("}")
                return

    def _dotted(self) -> list[str]:
        parts = []
        while True:
            self._skip(_SPACE)
            parts.append(_plain_key(self._take(_KEY)))
            self._skip(_SPACE)
            if not self._at("."):
                return parts

    def _line(self) -> int:
        return bisect.bisect_left(self._newlines, self.pos) + 1

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.pos)
        if match:
            self.pos = match.end()

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.pos)
        if not match:
            raise _LostError
        self.pos = match.end()
        return match.group()

    def _at(self, mark: str) -> bool:
        if not self.text.startswith(mark, self.pos):
            return False
        self.pos += len(mark)
        return True

    def _expect(self, mark: str) -> None:
        self._skip(_SPACE)
        if not self._at(mark):
            raise _LostError


def _plain_key(token: str) -> str:
    """What a key's token stands for: quotes off, escapes resolved."""
    if token[0] not in "\"'":
        return token
    plain = tomllib.loads(f"key = {token}")["key"]
    return str(plain)


def written(path: KeyPath) -> str:
    """A path as an error shows it: `bays[1].camera`. At most MAX_WRITTEN characters, one line."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _BARE.fullmatch(part) else ascii(part)
            text += f".{name}" if text else name
    return text if len(text) <= MAX_WRITTEN else f"{text[: MAX_WRITTEN - 1]}…"
