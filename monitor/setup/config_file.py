"""The configuration's way in from outside: the file, the environment and systemd's credentials.

This module must never log or show what it reads: credentials are passwords. Everything it cannot read is a ConfigError.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.core.config import MAX_TEXT, Config, load
from monitor.core.config_lines import KeyLines, KeyPath, written
from monitor.core.errors import ConfigError

MAX_CREDENTIAL = 65536
"""Bytes of the largest credential that is read."""


@dataclass(frozen=True)
class ConfigFile:
    """A configuration that was read, and where its keys stand."""

    config: Config
    file: str
    lines: KeyLines

    def error(self, message: str, hint: str, *path: str | int) -> ConfigError:
        """An error about one of its keys, for what shows only when the setting is used."""
        return ConfigError(message, hint, file=self.file, line=self._line(path), key=written(path))

    def _line(self, path: KeyPath) -> int:
        return self.lines.line(path)


def read(file: str, environ: Mapping[str, str]) -> ConfigFile:
    """Read and check a configuration file. Raises ConfigError."""
    text = _text(file)
    config = load(text, file=file, environ=environ, credentials=_credentials(environ))
    return ConfigFile(config, file, KeyLines.scan(text))


def _text(file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(4 * MAX_TEXT + 1)
    except IsADirectoryError:
        raise ConfigError("is a directory", "name the file in it", file=file) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror or "cannot be read") if isinstance(error, OSError) else "not a file name"
        raise ConfigError(
            f"cannot be read: {reason[:1].lower()}{reason[1:]}", "check the path and its permissions", file=file
        ) from None
    try:
        return content.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    raise ConfigError("is not UTF-8 text", "save it as UTF-8", file=file, line=line)


def _credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """What systemd's LoadCredential= put into CREDENTIALS_DIRECTORY (systemd.exec(5)): file name → content.

    One line break at the end is not a part of a secret.
    """
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return {}
    found: dict[str, str] = {}
    try:
        for path in sorted(Path(directory).iterdir()):
            if not path.is_file():
                continue
            with path.open("rb") as opened:
                content = opened.read(MAX_CREDENTIAL + 1)
            if len(content) > MAX_CREDENTIAL:
                raise ConfigError(f"the credential {path.name} is larger than {MAX_CREDENTIAL} bytes")
            found[path.name] = os.fsdecode(content).removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ConfigError(
            f"CREDENTIALS_DIRECTORY cannot be read: {error.strerror}", "it is set by systemd: see LoadCredential="
        ) from None
    return found
