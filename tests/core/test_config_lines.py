"""The line of every key: against a list made by hand, and against whatever a TOML writer makes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.core.config_lines import MAX_WRITTEN, KeyLines, KeyPath, written

TEXT = '''\
# [not.a.table]
top = 1
"quo\\u0074ed" . 'key' = """
[no]
a = "\\""" ""
"""""
[a.b]
c.d = [ # ]
  1,
  "]", { x = 1, y = [2,
  3] },
]
date = 1979-05-27 07:32:00Z
[[bays]]
s = \'\'\'it's
[[no]]\'\'\'
[[bays.buttons]]
id = "#"
[[bays.buttons]]
id = '"'
[[bays]]
[bays.sub]
x = { }
[[bays.buttons]]
id = 1
[a]
z = true
'''
LINES: dict[KeyPath, int] = {
    ("top",): 2,
    ("quoted",): 3,
    ("quoted", "key"): 3,
    ("a",): 7,
    ("a", "b"): 7,
    ("a", "b", "c"): 8,
    ("a", "b", "c", "d"): 8,
    ("a", "b", "c", "d", 0): 9,
    ("a", "b", "c", "d", 1): 10,
    ("a", "b", "c", "d", 2): 10,
    ("a", "b", "c", "d", 2, "x"): 10,
    ("a", "b", "c", "d", 2, "y"): 10,
    ("a", "b", "c", "d", 2, "y", 0): 10,
    ("a", "b", "c", "d", 2, "y", 1): 11,
    ("a", "b", "date"): 13,
    ("bays",): 14,
    ("bays", 0): 14,
    ("bays", 0, "s"): 15,
    ("bays", 0, "buttons"): 17,
    ("bays", 0, "buttons", 0): 17,
    ("bays", 0, "buttons", 0, "id"): 18,
    ("bays", 0, "buttons", 1): 19,
    ("bays", 0, "buttons", 1, "id"): 20,
    ("bays", 1): 21,
    ("bays", 1, "sub"): 22,
    ("bays", 1, "sub", "x"): 23,
    ("bays", 1, "buttons"): 24,
    ("bays", 1, "buttons", 0): 24,
    ("bays", 1, "buttons", 0, "id"): 25,
    ("a", "z"): 27,
}


def every_path(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from every_path(inner, (*path, key))
    if isinstance(value, list):
        for position, inner in enumerate(value):
            yield from every_path(inner, (*path, position))


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\n", "\r\n")], ids=["unix", "windows"])
def test_each_key_has_its_line(text: str) -> None:
    assert KeyLines.scan(text).paths() == LINES
    assert set(every_path(tomllib.loads(text))) == set(LINES)


def test_a_key_that_is_not_there_has_the_line_of_its_table() -> None:
    lines = KeyLines.scan(TEXT)
    assert lines.line(("bays", 1, "buttons", 0, "kind")) == 24
    assert lines.line(("a", "b", "nothing")) == 7
    assert lines.line(("nothing",)) == 0


def test_what_is_no_toml_says_nothing_wrong() -> None:
    assert KeyLines.scan("a = 1\n= 2\nb = 3").paths() == {("a",): 1}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("bays", 1, "buttons", 0, "kind"), "bays[1].buttons[0].kind"),
        (("a b", "ø", "\n"), "'a b'.'\\xf8'.'\\n'"),
        (("x" * 500,), "x" * (MAX_WRITTEN - 1) + "…"),
    ],
)
def test_a_path_as_an_error_shows_it(path: KeyPath, text: str) -> None:
    assert written(path) == text


_NAMES = st.text(st.characters(codec="utf-8"), max_size=6)
_STRINGS = st.text(st.sampled_from("ab\"'\\\n#[]{}=,. \t"), max_size=12)


def _nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3)


_VALUES = st.recursive(st.integers(0, 99) | _STRINGS, _nested, max_leaves=8)


def quoted(text: str, form: int) -> str:
    """A string in one of TOML's four forms, where that form can hold it."""
    if form == 1 and "'" not in text and "\n" not in text:
        return f"'{text}'"
    if form == 2:
        inner = text.replace("\\", "\\\\").replace('"""', '""\\"')
        return f'"""\n{inner}"""' if not inner.endswith('"') or inner.endswith('\\"') else f'"""\n{inner[:-1]}\\""""'
    if form == 3 and "'''" not in text and not text.endswith("'"):
        return f"'''\n{text}'''"
    return '"' + "".join(letter if letter.isalnum() else f"\\U{ord(letter):08x}" for letter in text) + '"'


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.dictionaries(_NAMES, _VALUES, max_size=5))
def test_every_key_of_any_valid_text_is_found_in_its_line(draw: st.DataObject, data: dict[str, object]) -> None:
    where: dict[KeyPath, int] = {}
    out: list[str] = []

    def line() -> int:
        return "".join(out).count("\n") + 1

    def blank() -> str:
        return draw.draw(st.sampled_from(["", " ", "\n", " # ]}\n", "\n\n"]))

    def put(value: object, path: KeyPath) -> None:
        if isinstance(value, str):
            out.append(quoted(value, draw.draw(st.integers(0, 3))))
        elif isinstance(value, list):
            out.append("[" + blank())
            for position, inner in enumerate(value):
                where[(*path, position)] = line()
                put(inner, (*path, position))
                out.append(blank() + "," + blank())
            out.append("]")
        elif isinstance(value, dict):
            out.append("{ ")
            for number, (key, inner) in enumerate(value.items()):
                out.append(", " if number else "")
                where[(*path, key)] = line()
                out.append(quoted(key, 0) + " = ")
                put(inner, (*path, key))
            out.append(" }")
        else:
            out.append(str(value))

    for key, value in data.items():
        out.append(blank() if not out or out[-1].endswith("\n") else "\n")
        where[(key,)] = line()
        out.append(quoted(key, 0) + " = ")
        put(value, (key,))
        out.append(" # end\n")
    text = "".join(out)
    assert tomllib.loads(text) == data
    assert KeyLines.scan(text).paths() == where
