"""What can be wrong with a configuration, and how it is said: one line for what, one for what to do.

This module must never repeat a value from the file: it may be a password. Only keys, types and limits are named.
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from monitor.core.config_lines import KeyLines, KeyPath, written
from monitor.core.errors import ConfigError

LATER = "a later version brings it; this one knows "
"""How a hint begins where something is known but not built yet. Such a thing is refused, never silently accepted."""

_GIVEN: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (str, "a string"),
    (int, "a whole number"),
    (float, "a number"),
    (dict, "a table"),
    (list, "an array"),
    (datetime.date, "a date"),
    (datetime.time, "a time"),
)
_WANTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "an array",
    "list_type": "an array",
    "model_type": "a table",
    "dict_type": "a table",
}
_LIMITS = {
    "greater_than_equal": ("ge", "must be at least {}"),
    "less_than_equal": ("le", "must be at most {}"),
    "string_too_short": ("min_length", "must have at least {} characters"),
    "string_too_long": ("max_length", "must have at most {} characters"),
    "too_short": ("min_length", "must have at least {} entries"),
    "too_long": ("max_length", "must have at most {} entries"),
}

_PLAIN = "leave line breaks and other control characters out"
_FORMS = {
    "host": "an IP address or a host name, without a port",
    "public_host": "an IP address or a host name, without https:// and without a port",
    "state_dir": "the whole path of a directory, from / on",
    "cert": "the whole path of a file, from / on",
    "key": "the whole path of a file, from / on",
    "legal_bases": 'each as in the regulation: "6(1)(d)"',
    "article_9": 'as in the regulation: "9(2)(h)", or empty',
    "policy_url": "an address that begins with https:// or http://, or empty",
}
"""How a value is written that must fit a pattern."""
_UNION = ("server", "tls")
"""Here pydantic's path has one part more, which the file has not: which form of the setting it took."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, at one key."""

    path: KeyPath
    message: str
    hint: str = ""


def first_error(problems: list[Problem], lines: KeyLines, file: str) -> ConfigError:
    """The problem that stands first in the file, as an error. `problems` must not be empty."""
    # A key that is missing from the top of the file has no line: it comes last.
    problem = min(problems, key=lambda each: lines.line(each.path) or 1 << 30)
    return ConfigError(
        problem.message, problem.hint, file=file, line=lines.line(problem.path), key=written(problem.path)
    )


def explain(error: ValidationError, data: object, tables: Mapping[tuple[str, ...], tuple[str, ...]]) -> list[Problem]:
    """What pydantic found, in our words. `tables` names the known keys of each table by its path without positions."""
    problems: list[Problem] = []
    mistyped: set[KeyPath] = set()
    missing: list[Problem] = []
    for found in error.errors(include_url=False, include_input=False):
        path: KeyPath = found["loc"]
        if path[: len(_UNION)] == _UNION:
            path = _UNION + path[len(_UNION) + 1 :]
        if found["type"] == "default_factory_not_called":
            continue  # a setting that follows from others which are wrong: theirs is the error
        if found["type"] == "missing":
            missing.append(Problem(path, "is missing", f"add {path[-1]} = …"))
        elif found["type"] == "extra_forbidden":
            nearest, hint = _nearest(path, tables)
            if nearest:
                mistyped.add((*path[:-1], nearest))
            problems.append(Problem(path, "unknown key", hint))
        else:
            problems.append(_wrong_value(path, found, data))
    # A key that is there under a mistyped name is not missing too.
    return problems + [problem for problem in missing if problem.path not in mistyped]


def _wrong_value(path: KeyPath, found: ErrorDetails, data: object) -> Problem:
    """What is wrong with the value of a known key."""
    kind, context = found["type"], found.get("ctx", {})
    if kind == "vigil":
        at = context.get("at")
        return Problem((*path, at) if at else path, str(context["message"]), str(context["hint"]))
    if kind == "literal_error":
        return Problem(path, f"must be {context['expected']}")
    if kind == "finite_number":
        return Problem(path, "must be a finite number")
    if kind == "string_pattern_mismatch":
        key = next((part for part in reversed(path) if isinstance(part, str)), "")
        return Problem(path, "is not written as it should be", _FORMS.get(key, _PLAIN))
    if kind in _WANTED:
        return Problem(path, f"must be {_WANTED[kind]}, not {_given(data, path)}")
    if kind in _LIMITS:
        limit, text = _LIMITS[kind]
        return Problem(path, text.format(context[limit]))
    return Problem(path, found["msg"][:1].lower() + found["msg"][1:])


def _nearest(path: KeyPath, tables: Mapping[tuple[str, ...], tuple[str, ...]]) -> tuple[str, str]:
    """The known key that was probably meant, or "", and the hint that says so."""
    key = str(path[-1])
    table = tuple(part for part in path[:-1] if isinstance(part, str))
    if key == "mqtt" and not table:
        return "", f"{LATER}buttons of kind web and http: leave [mqtt] out"
    here = tables.get(table, ())
    near = difflib.get_close_matches(key, here, n=1)
    if near:
        return near[0], f"did you mean {near[0]}?"
    for other, keys in tables.items():
        if key in keys:
            place = f"[[{'.'.join(other)}]]" if other[:1] == ("bays",) else f"[{'.'.join(other)}]"
            return "", f"{key} belongs in {place}" if other else f"{key} belongs at the top of the file"
    return "", f"known here: {', '.join(here)}" if here else "leave it out"


def _given(data: object, path: KeyPath) -> str:
    """What type the file has at this path."""
    for part in path:
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
    return next((name for kind, name in _GIVEN if isinstance(data, kind)), "this")
