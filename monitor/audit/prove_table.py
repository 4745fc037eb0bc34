"""What `vigil prove` saw, as a table that a person can read and as JSON.

It must leave nothing out: equal attempts from both threads and in several places share a line, and every one is
counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from monitor.audit.prove import OWN_PROOF, STATE, Proved, Tried
from monitor.evidence import words
from monitor.evidence.words import Language

_NAMED = 8
"""As many attacks as are named in the last line."""
_SECOND = ("fsize", "core", "no-new-privs", "memory", "landlock", "capabilities")
"""Locks behind which another one stands: without them nothing, or little, succeeds."""


def exit_code(proved: Proved) -> int:
    """0 where every attack was refused, else 1."""
    return 0 if proved.ok else 1


def to_json(proved: Proved, language: Language) -> dict[str, object]:
    """Every attempt, and the counts."""
    return {
        "ok": proved.ok,
        "locks": list(proved.locks),
        "without": list(proved.without),
        "took_ms": proved.took_ms,
        "attempts": [
            {
                "attack": each.attack,
                "name": _name(language, each.attack),
                "row": each.row,
                "thread": each.thread,
                "place": each.place,
                "answer": each.answer,
                "verdict": each.verdict,
                "found": words.say_all(language, each.found),
            }
            for each in proved.tried
        ],
        "rows": [{"row": row, "refused": refused, "tried": tried} for row, refused, tried in _per_row(proved.tried)],
    }


def table(proved: Proved, language: Language) -> Iterator[str]:
    """The lines to print."""
    locks = ", ".join(proved.locks) or words.word(language, "prove.locks-none")
    yield words.word(language, "prove.title")
    yield words.word(language, "prove.locks", locks=locks)
    if proved.without:
        yield words.word(language, "prove.without", locks=", ".join(proved.without))
    yield ""
    yield from _columns(
        [
            tuple(words.word(language, f"prove.head.{part}") for part in _HEADS),
            *(_cells(line, language) for line in _lines(proved.tried)),
        ]
    )
    yield ""
    counts = [
        words.word(language, "prove.row", row=row, refused=refused, tried=tried)
        for row, refused, tried in _per_row(proved.tried)
    ]
    yield f"{words.word(language, 'prove.rows')}:"
    yield "  " + "   ".join(counts)
    yield words.word(
        language,
        "prove.sum",
        attacks=len({each.attack for each in proved.tried}),
        tried=len(proved.tried),
        refused=sum(each.verdict == "refused" for each in proved.tried),
        seconds=f"{proved.took_ms / 1000:.1f}",
    )
    yield from _conclusion(proved, language)


_HEADS = ("row", "attack", "place", "thread", "answer", "verdict")


@dataclass
class _Line:
    """Attempts that went the same way."""

    one: Tried
    rows: dict[int, None]
    """A set that keeps its order, as the others."""
    places: dict[str, None]
    threads: dict[str, None]


def _lines(tried: Iterable[Tried]) -> list[_Line]:
    lines: dict[tuple[str, str, str], _Line] = {}
    for each in tried:
        line = lines.setdefault((each.attack, each.answer, each.verdict), _Line(each, {}, {}, {}))
        line.rows[each.row] = line.threads[each.thread] = None
        if each.place:
            line.places[each.place] = None
    return list(lines.values())


def _cells(line: _Line, language: Language) -> tuple[str, ...]:
    thread = "both" if len(line.threads) > 1 else next(iter(line.threads))
    key = f"prove.answer.{line.one.answer}"
    answer = words.word(language, key) if key in words.catalogue(language) else line.one.answer
    verdict = words.word(language, f"prove.verdict.{line.one.verdict}")
    if line.one.found:
        verdict += f": {words.say(language, line.one.found[0])}"
    return (
        "+".join(str(row) for row in line.rows),
        _name(language, line.one.attack),
        "+".join(words.word(language, f"prove.place.{place}") for place in line.places),
        words.word(language, f"prove.thread.{thread}"),
        answer,
        verdict,
    )


def _name(language: Language, attack: str) -> str:
    if attack.startswith(OWN_PROOF):
        return words.word(language, "prove.own-proof", name=attack.removeprefix(OWN_PROOF))
    return words.word(language, f"attack.{attack}")


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def _per_row(tried: Iterable[Tried]) -> list[tuple[int, int, int]]:
    """Row, refused, tried."""
    counts: dict[int, list[int]] = {}
    for each in tried:
        count = counts.setdefault(each.row, [0, 0])
        count[0] += each.verdict == "refused"
        count[1] += 1
    return [(row, refused, number) for row, (refused, number) in sorted(counts.items())]


def _conclusion(proved: Proved, language: Language) -> Iterator[str]:
    """The last lines: what all this means."""
    if not proved.without:
        open_ = _named([each for each in proved.tried if each.verdict != "refused"], language)
        key = "prove.all-refused" if proved.ok else "prove.hole"
        yield words.word(language, key) if proved.ok else words.word(language, key, attacks=open_)
        return
    succeeded = [each for each in proved.tried if each.verdict == "succeeded"]
    real = {each.attack for each in succeeded if not each.attack.startswith(STATE)}
    locks = ", ".join(proved.without)
    if len(proved.without) == 1 and locks in _SECOND and real <= _BY_STATE:
        yield words.word(language, f"prove.second.{locks}")
    if not succeeded:
        yield words.word(language, "prove.unexpected", locks=locks)
        return
    count = len({each.attack for each in succeeded})
    named = _named(succeeded, language)
    yield words.word(language, "prove.expected", locks=locks, count=count, attacks=named)


_BY_STATE = frozenset({"file.bind", f"{OWN_PROOF}read outside"})


def _named(tried: Sequence[Tried], language: Language) -> str:
    names = list(dict.fromkeys(_name(language, each.attack) for each in tried))
    return "; ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")
