"""`${VAR}` in the configuration's strings: passwords come from the environment or from systemd's credentials.

This module must never put a secret's value into an error. A credential (a file in CREDENTIALS_DIRECTORY, read by the
command line) wins over an environment variable of the same name, because it is meant for this service alone. `$${`
stands for a plain `${`.

Inside the user part of an address (`rtsp://HERE@host/`) a value is percent-encoded (RFC 3986 section 3.2.1), so a
password may hold `@`, `:` or `/` as it is. A value that is the whole user part keeps its first colon: `user:password`.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping

from monitor.core.config_lines import KeyPath
from monitor.core.config_problems import Problem

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_USER_PART = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://((?:\$\{[^}]*\}|[^/?#])*)@")

STAND_IN = "secret"
"""Takes the place of a secret that is not set, so that the other errors of the file can still be looked for."""


def substitute(
    value: object, environ: Mapping[str, str], credentials: Mapping[str, str], path: KeyPath = ()
) -> tuple[object, list[Problem]]:
    """A copy of a parsed TOML value with every reference replaced, and what is wrong with the references."""
    problems: list[Problem] = []
    if isinstance(value, dict):
        table: dict[str, object] = {}
        for key, inner in value.items():
            table[key], found = substitute(inner, environ, credentials, (*path, key))
            problems += found
        return table, problems
    if isinstance(value, list):
        items: list[object] = []
        for position, inner in enumerate(value):
            item, found = substitute(inner, environ, credentials, (*path, position))
            items.append(item)
            problems += found
        return items, problems
    if not isinstance(value, str) or "${" not in value:
        return value, problems
    user_part = _USER_PART.match(value)

    def replace(match: re.Match[str]) -> str:
        if match.group() == "$${":
            return "${"
        name, closed = match.group(1), match.group(2)
        if not closed or not _NAME.fullmatch(name):
            problems.append(
                Problem(path, "a ${…} reference that cannot be read", "write ${NAME}, or $${ for a plain ${")
            )
            return STAND_IN
        secret = credentials.get(name, environ.get(name))
        if not secret or not _is_text(secret):
            state = "is not set" if secret is None else "is empty" if not secret else "is not UTF-8"
            problems.append(
                Problem(
                    path,
                    f"the secret {name} {state}",
                    f"set the environment variable {name}, or give the service a credential of that name",
                )
            )
            return STAND_IN
        if not user_part or not user_part.start(1) <= match.start() < user_part.end(1):
            return secret
        if match.group() == user_part.group(1):
            user, colon, password = secret.partition(":")
            return urllib.parse.quote(user, safe="") + colon + urllib.parse.quote(password, safe="")
        return urllib.parse.quote(secret, safe="")

    return _REFERENCE.sub(replace, value), problems


def _is_text(secret: str) -> bool:
    """Python stands in lone surrogates for what it could not decode in an environment variable."""
    return not any("\ud800" <= character <= "\udfff" for character in secret)
