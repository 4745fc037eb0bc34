"""The words of findings, Danish and English: every sentence of the audit, the report and the evidence stands in
`text/*.json`, none in code.

It must never leave a placeholder open or a key unexplained: a key that is missing is an error that a test finds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Literal, get_args

from monitor.evidence.finding import Finding, Said, Value

Language = Literal["da", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


@cache
def catalogue(language: Language) -> dict[str, str]:
    """All sentences of a language, by key."""
    merged: dict[str, str] = {}
    folder = resources.files("monitor.evidence").joinpath("text", language)
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        for key, text in json.loads(entry.read_text("utf-8")).items():
            if key in merged:
                raise ValueError(f"the key {key} is there twice")
            merged[key] = text
    return merged


def word(language: Language, key: str, **values: Value) -> str:
    """One sentence. Raises KeyError where there is none, or a placeholder has no value."""
    return catalogue(language)[key].format_map(values)


def say(language: Language, what: Said) -> str:
    """Something that was seen, as a sentence."""
    return word(language, what.key, **what.values)


def can_say(what: Said) -> bool:
    """Whether there are words for it in every language: what another version of Vigil wrote down may have none."""
    try:
        return all(say(language, what) is not None for language in LANGUAGES)
    except (KeyError, ValueError):
        return False


def say_all(language: Language, what: Iterable[Said]) -> str:
    """Several, one behind the other."""
    return " ".join(say(language, each) for each in what)


def row_name(language: Language, row: int) -> str:
    """The channel's name."""
    return word(language, f"row.{row}.name")


def row_how(language: Language, row: int) -> str:
    """How it is checked."""
    return word(language, f"row.{row}.how")


def shown(language: Language, finding: Finding) -> dict[str, object]:
    """A finding as `vigil audit --json` and /api/audit give it (DESIGN.md, contract)."""
    return {
        "row": finding.row,
        "name": row_name(language, finding.row),
        "how": row_how(language, finding.row),
        "verdict": finding.verdict,
        "seen": say_all(language, finding.seen),
        "why": say_all(language, finding.why),
        "possible": finding.possible,
    }
