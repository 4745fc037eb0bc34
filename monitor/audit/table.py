"""An audit as a person reads it in a terminal: each row with its verdict, how it was checked, and what was seen."""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Iterator

from monitor.audit.audit import Outcome
from monitor.core.config import Config
from monitor.evidence import words
from monitor.evidence.words import Language

WIDTH = 110
_MARKS = {"holds": "+", "broken": "!", "not_checked": "?"}


def table(config: Config, outcome: Outcome, language: Language) -> Iterator[str]:
    """The lines."""
    when = datetime.datetime.fromtimestamp(outcome.made_ms / 1000).astimezone()
    yield words.word(language, "audit.title", clinic=config.clinic.name, when=f"{when:%Y-%m-%d %H:%M %Z}")
    yield ""
    width = max(len(words.word(language, f"audit.verdict.{name}")) for name in _MARKS)
    for finding in outcome.findings:
        verdict = words.word(language, f"audit.verdict.{finding.verdict}")
        yield f"{finding.row:3} {_MARKS[finding.verdict]} {verdict:{width}}  {words.row_name(language, finding.row)}"
        parts = [("audit.how", words.row_how(language, finding.row))]
        if finding.why:
            parts.append((f"audit.why.{finding.verdict}", words.say_all(language, finding.why)))
        if finding.seen:
            parts.append(("audit.seen", words.say_all(language, finding.seen)))
        for label, text in parts:
            yield from _wrapped(f"{words.word(language, label)}: {text}", 6)
    yield ""
    canary = outcome.canary
    if canary is not None:
        text = words.word(
            language,
            "audit.searched",
            tokens=canary.tokens,
            files=canary.files,
            octets=canary.octets,
            witness=canary.witness,
            memory=canary.memory_octets,
        )
        yield from _wrapped(text, 0)
    found = outcome.findings
    yield words.word(
        language,
        "audit.sum",
        holds=sum(each.verdict == "holds" for each in found),
        broken=sum(each.verdict == "broken" for each in found),
        skipped=sum(each.possible for each in found),
        impossible=sum(each.verdict == "not_checked" and not each.possible for each in found),
        seconds=round(outcome.took_ms / 1000),
    )


def _wrapped(text: str, indent: int) -> list[str]:
    blank = " " * indent
    return textwrap.wrap(
        text, WIDTH, initial_indent=blank, subsequent_indent=f"{blank}  " if indent else "", break_on_hyphens=False
    )
