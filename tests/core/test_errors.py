"""The tree of errors: what its docstring draws is what the classes are, and each has its way to the outside."""

from __future__ import annotations

import re

import pytest

from monitor.core import errors
from monitor.core.errors import ConfigError, VigilError

LINE = re.compile(r"^(?P<branch>[ │├└─]*)(?P<name>[A-Z]\w+) +exit (?P<exit>\d) +HTTP (?P<http>\d{3})(?: {3}|$)")


def every(of: type[VigilError] = VigilError) -> list[type[VigilError]]:
    # Other modules may have subclasses of their own; the tree is about this one.
    return [of] + [
        deeper for child in of.__subclasses__() if child.__module__ == errors.__name__ for deeper in every(child)
    ]


def drawn(text: str) -> dict[str, tuple[str, int, int]]:
    """name → (parent's name, exit code, HTTP status) of a tree in ASCII."""
    found: dict[str, tuple[str, int, int]] = {}
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        if not (match := LINE.match(line)):
            continue
        depth = len(match["branch"])
        path = [step for step in path if step[0] < depth]
        found[match["name"]] = (path[-1][1] if path else "", int(match["exit"]), int(match["http"]))
        path.append((depth, match["name"]))
    return found


def test_the_drawn_tree_is_the_class_tree() -> None:
    real = {
        one.__name__: ("" if one is VigilError else one.__bases__[0].__name__, one.exit_code, one.http_status)
        for one in every()
    }
    assert drawn(errors.__doc__ or "") == real
    assert len(real) > 10


def test_a_tree_that_is_wrong_would_be_seen() -> None:
    text = errors.__doc__ or ""
    assert drawn(text.replace("exit 1   HTTP 404", "exit 1   HTTP 403")) != drawn(text)
    assert "NotFound" not in drawn("\n".join(line for line in text.splitlines() if "NotFound" not in line))


@pytest.mark.parametrize("one", every())
def test_each_has_an_exit_code_a_status_and_a_docstring(one: type[VigilError]) -> None:
    assert one.exit_code in (1, 2)
    assert 400 <= one.http_status <= 599
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", one.slug)
    assert one.__doc__
    assert one.exit_code == (2 if issubclass(one, errors.InputError) else 1)


def test_slugs_are_unique() -> None:
    slugs = [one.slug for one in every()]
    assert len(slugs) == len(set(slugs))


@pytest.mark.parametrize(
    ("file", "line", "key", "message"),
    [
        ("clinic.toml", 7, "server.port", "clinic.toml:7: server.port: is not a port"),
        ("clinic.toml", 0, "", "clinic.toml: is not a port"),
        ("", 0, "server.port", "server.port: is not a port"),
        ("", 0, "", "is not a port"),
    ],
)
def test_a_config_error_says_where(file: str, line: int, key: str, message: str) -> None:
    error = ConfigError("is not a port", "give a number", file=file, line=line, key=key)
    assert error.message == str(error) == message
    assert (error.hint, error.file, error.line, error.key) == ("give a number", file, line, key)
