"""The evidence's words: every sentence in both languages, none unused, none missing, none that promises what Vigil is
not. Each check is a function that is also run on a planted fault, which it must find."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Formatter

import pytest

from monitor.evidence.finding import ROWS
from monitor.evidence.words import LANGUAGES, catalogue, row_how, row_name
from tests.project.test_web_text import FORBIDDEN
from tests.project.tree import REPO

TEXT = REPO / "monitor" / "evidence" / "text"
SOURCES = {path.relative_to(REPO).as_posix(): path.read_text() for path in sorted(REPO.glob("monitor/**/*.py"))}

KEY = r"[a-z][a-z0-9-]*(?:\.[A-Za-z0-9_-]+)+"
LITERAL = re.compile(rf"""["']({KEY})["']""")
TEMPLATE = re.compile(r"""\bf(["'])([a-z][a-z0-9-]*\.[^"'\s]*\{.*?)\1""")
ASKED = re.compile(rf'\b(?:said|word)\(\s*(?:[\w.]+,\s*)?"({KEY}|[a-z-]+)"')


def wanted(code: Iterable[str], keys: Iterable[str]) -> tuple[set[str], set[str]]:
    """(keys that are used, keys that are asked for but do not exist)."""
    known = set(keys)
    used: set[str] = set()
    missing: set[str] = set()
    for text in code:
        used |= known & set(LITERAL.findall(text))
        missing |= set(ASKED.findall(text)) - known
        for _, template in TEMPLATE.findall(text):
            if template.split(".")[0] not in {key.split(".")[0] for key in known}:
                continue
            pattern = re.compile(re.sub(r"\\\{.*?\\\}", "[A-Za-z0-9_.-]+", re.escape(template)))
            used |= {key for key in known if pattern.fullmatch(key)}
    return used, missing


def unlike(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Keys that one of them lacks, that are empty, or whose placeholders differ."""
    found = set(one) ^ set(other)
    for key in set(one) & set(other):
        same = sorted(placeholders(one[key])) == sorted(placeholders(other[key]))
        if not same or not one[key].strip() or not other[key].strip():
            found.add(key)
    return sorted(found)


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def promises(texts: Mapping[str, str]) -> list[str]:
    """`key: word` for each word that promises what Vigil is not."""
    return [f"{key}: {match[0]}" for key, text in texts.items() for match in FORBIDDEN.finditer(text)]


def files_unlike(folder: Path) -> list[str]:
    """Files that only one language has, or whose keys differ between the two."""
    danish = {path.name: json.loads(path.read_text()) for path in (folder / "da").glob("*.json")}
    english = {path.name: json.loads(path.read_text()) for path in (folder / "en").glob("*.json")}
    return sorted({name for name in danish | english if danish.get(name, {}).keys() != english.get(name, {}).keys()})


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    assert unlike(catalogue("da"), catalogue("en")) == []
    assert files_unlike(TEXT) == []


def test_a_difference_is_found(tmp_path: Path) -> None:
    assert unlike({"a.b": "x {n}", "a.c": "x", "a.d": " "}, {"a.b": "x {m}", "a.e": "x", "a.d": "x"}) == [
        *("a.b", "a.c", "a.d", "a.e"),
    ]
    for language, text in (("da", '{"a.b": "x"}'), ("en", "{}")):
        (tmp_path / language).mkdir()
        (tmp_path / language / "one.json").write_text(text)
    assert files_unlike(tmp_path) == ["one.json"]


def test_every_word_asked_for_exists_and_none_is_unused() -> None:
    used, missing = wanted(SOURCES.values(), catalogue("da"))
    assert missing == set()
    assert set(catalogue("da")) - used == set()


@pytest.mark.parametrize(
    "planted", ['said("process.nothing")', 'word(language, "proces.none")', 'words.word("da",\n    "row.21.name")']
)
def test_a_missing_word_is_found(planted: str) -> None:
    text = planted.replace('"da"', "language")
    assert wanted([text], catalogue("da"))[1]


def test_an_unused_word_is_found() -> None:
    keys = {*catalogue("da"), "process.never", "row.1.never"}
    used, _ = wanted(SOURCES.values(), keys)
    assert keys - used >= {"process.never", "row.1.never"}
    assert "process.none" in used


def test_every_row_has_a_name_and_says_how_it_is_checked() -> None:
    for language in LANGUAGES:
        for row in ROWS:
            assert len(row_name(language, row)) < 60
            assert row_how(language, row).endswith(".")
        assert {key for key in catalogue(language) if key.startswith("row.")} == {
            f"row.{row}.{part}" for row in ROWS for part in ("name", "how")
        }


def test_no_word_promises_what_vigil_is_not() -> None:
    for language in LANGUAGES:
        assert promises(catalogue(language)) == []


def test_a_promise_is_found() -> None:
    assert promises({"a.b": "Alarmen lyder", "a.c": "fine", "a.d": "overvåger patienten"}) == [
        *("a.b: Alarm", "a.d: overvåg"),
    ]
