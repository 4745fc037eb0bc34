"""The configuration: a TOML text in, a `Config` or one clear error out.

This module must never accept a setting that does nothing: an unknown key, a kind of button or camera that this version
does not have, or two settings that contradict each other are errors with file, line and key. It reads no file and no
environment: text and secrets come in as arguments. No password is shown by any `repr`, `str` or error.

    text ─ tomllib ─▶ values ─ config_secrets ─▶ values ─ config_tables ─▶ Config ─ config_checks ─▶ Config
                                   any of them: Problem ─ config_problems + config_lines ─▶ ConfigError

`tests/core/test_config.py` pairs each mistake with its message.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

from pydantic import ValidationError

from monitor.core.config_address import Address
from monitor.core.config_checks import contradictions
from monitor.core.config_lines import KeyLines
from monitor.core.config_problems import Problem, explain, first_error
from monitor.core.config_secrets import substitute
from monitor.core.config_tables import (
    TABLES,
    Bay,
    Button,
    Clinic,
    Config,
    Media,
    Notice,
    Retention,
    Server,
    TlsFiles,
)
from monitor.core.errors import ConfigError

__all__ = [
    "MAX_TEXT",
    "Address",
    "Bay",
    "Button",
    "Clinic",
    "Config",
    "Media",
    "Notice",
    "Retention",
    "Server",
    "TlsFiles",
    "load",
]

MAX_TEXT = 1 << 20
"""Characters of the longest configuration."""
_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def load(text: str, *, file: str, environ: Mapping[str, str], credentials: Mapping[str, str]) -> Config:
    """The configuration that a TOML text holds.

    `file` is its name for errors; `environ` and `credentials` hold what `${VAR}` may name, and `credentials` wins.
    Raises ConfigError for the mistake that stands first in the file. No other exception is raised, whatever the text.
    """
    lines = KeyLines({})
    try:
        parsed = _parse(text, file)
        lines = KeyLines.scan(text)
        data, problems = substitute(parsed, environ, credentials)
        config, more = _validate(data)
    except RecursionError:
        raise ConfigError("arrays or tables are nested too deep", file=file) from None
    problems += more
    if config and not problems:
        problems = list(contradictions(config))
    if problems or not config:
        # Raised here, outside of any `except`: pydantic's own error holds what stood in the file.
        raise first_error(problems, lines, file)
    return config


def _parse(text: str, file: str) -> dict[str, object]:
    if len(text) > MAX_TEXT:
        raise ConfigError(f"more than {MAX_TEXT} characters", "is this the right file?", file=file)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = _AT_LINE.search(str(error))
        line = int(where[1]) if where and where[1] else text.count("\n") + 1
        what = _AT_LINE.sub("", str(error))
        message = f"not valid TOML: {what[:1].lower()}{what[1:]}"
    except ValueError:  # a number of thousands of digits
        line, message = 0, "not valid TOML: a value that cannot be read"
    raise ConfigError(message, "see toml.io for how a value is written", file=file, line=line)


def _validate(data: object) -> tuple[Config | None, list[Problem]]:
    try:
        return Config.model_validate(data), []
    except ValidationError as error:
        return None, explain(error, data, TABLES)
