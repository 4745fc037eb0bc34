"""A finding: one row of GUARANTEE.md, its verdict, and what was seen, in words that are chosen only when it is shown.

What is seen is kept as a key and its values, so that one finding can be shown in Danish and in English, signed, and
compared with an older one. A check that was not made is `not_checked` and never counts as one that holds: `combined`
makes a row hold only where every part of it was made and holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args

Verdict = Literal["holds", "broken", "not_checked"]
ROWS: tuple[int, ...] = tuple(range(1, 21))
"""As numbered in GUARANTEE.md."""
MAX_SAID = 40
"""Sentences of the longest reason, and of what was seen: of a process without any lock, each attempt is one."""
MAX_VALUE = 500
"""Characters of the longest value that a finding carries: names, counts and paths, never content."""

Value = str | int
_T = TypeVar("_T")


@dataclass(frozen=True)
class Said:
    """Something to be said: `key` in `text/*.json`, and the values of its placeholders."""

    key: str
    values: Mapping[str, Value]

    def to_json(self) -> dict[str, object]:
        """As it is kept and signed."""
        return {"key": self.key, "values": dict(self.values)}


def said(key: str, **values: Value) -> Said:
    """Something to be said. Long values are cut: a path may be as long as it likes, but nothing else has reason to."""
    return Said(key, MappingProxyType({name: _short(value) for name, value in values.items()}))


def _short(value: Value) -> Value:
    return value[: MAX_VALUE - 1] + "…" if isinstance(value, str) and len(value) > MAX_VALUE else value


@dataclass(frozen=True)
class Finding:
    """What one check says of one row."""

    row: int
    verdict: Verdict
    seen: tuple[Said, ...] = ()
    why: tuple[Said, ...] = ()
    """`broken`: what is wrong, and what to do. `not_checked`: why not. `holds`: nothing."""
    possible: bool = False
    """`not_checked` only: it could have been checked (as root, with a part that is not installed). An audit with such a
    finding is not complete, and does not exit 0."""

    def __post_init__(self) -> None:
        """A finding that contradicts itself is refused: ValueError."""
        if self.row not in ROWS:
            raise ValueError(f"there is no row {self.row}")
        if (self.verdict == "holds") == bool(self.why):
            raise ValueError("a row that holds needs no reason, and every other one does")
        if self.possible and self.verdict != "not_checked":
            raise ValueError("what was checked cannot have been skipped")


def holds(row: int, *seen: Said) -> Finding:
    """It was checked and holds; `seen` says what was seen."""
    return Finding(row, "holds", seen)


def broken(row: int, why: Said, *seen: Said) -> Finding:
    """It was checked and does not hold."""
    return Finding(row, "broken", seen, (why,))


def skipped(row: int, why: Said, *seen: Said) -> Finding:
    """It could have been checked, and was not."""
    return Finding(row, "not_checked", seen, (why,), possible=True)


def impossible(row: int, why: Said, *seen: Said) -> Finding:
    """It cannot be checked here, whoever tries."""
    return Finding(row, "not_checked", seen, (why,))


def combined(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for each row that occurs, in order: broken where any part is, else not checked where any part is."""
    rows: dict[int, list[Finding]] = {}
    for finding in findings:
        rows.setdefault(finding.row, []).append(finding)
    return [_one(row, parts) for row, parts in sorted(rows.items())]


def _one(row: int, parts: Sequence[Finding]) -> Finding:
    wanted: tuple[Verdict, ...] = ("broken", "not_checked", "holds")
    verdict = next(each for each in wanted if any(part.verdict == each for part in parts))
    seen = tuple(dict.fromkeys(_hashable(each) for part in parts for each in part.seen))
    why = tuple(dict.fromkeys(_hashable(each) for part in parts for each in part.why if part.verdict == verdict))
    return Finding(
        row,
        verdict,
        _bounded(seen),
        _bounded(why),
        possible=verdict == "not_checked" and any(part.possible for part in parts),
    )


def _bounded(what: tuple[tuple[str, tuple[tuple[str, Value], ...]], ...]) -> tuple[Said, ...]:
    """As many as fit; of the rest, how many they are."""
    if len(what) <= MAX_SAID:
        return tuple(_said(each) for each in what)
    return (*(_said(each) for each in what[: MAX_SAID - 1]), said("finding.more", count=len(what) - MAX_SAID + 1))


def _hashable(each: Said) -> tuple[str, tuple[tuple[str, Value], ...]]:
    return each.key, tuple(each.values.items())


def _said(hashable: tuple[str, tuple[tuple[str, Value], ...]]) -> Said:
    return said(hashable[0], **dict(hashable[1]))


def all_rows(findings: Iterable[Finding], missing: Said) -> list[Finding]:
    """All rows of GUARANTEE.md in order; one that nothing was said of is skipped, for the reason `missing`."""
    found = {finding.row: finding for finding in combined(findings)}
    return [found.get(row) or skipped(row, missing) for row in ROWS]


def is_complete(findings: Iterable[Finding]) -> bool:
    """Whether an audit with these rows may exit 0: nothing broken, and nothing that can be checked was skipped."""
    return not any(finding.verdict == "broken" or finding.possible for finding in findings)


def to_json(finding: Finding) -> dict[str, object]:
    """As it is kept, signed and compared."""
    return {
        "row": finding.row,
        "verdict": finding.verdict,
        "possible": finding.possible,
        "seen": [each.to_json() for each in finding.seen],
        "why": [each.to_json() for each in finding.why],
    }


def from_json(data: Mapping[str, object]) -> Finding:
    """What `to_json` gave. Raises ValueError where it is something else."""
    try:
        return Finding(
            row=_as(int, data["row"]),
            verdict=_verdict(data["verdict"]),
            seen=_saids(data["seen"]),
            why=_saids(data["why"]),
            possible=_as(bool, data["possible"]),
        )
    except (KeyError, TypeError, AttributeError):
        raise ValueError("not a finding") from None


def _verdict(value: object) -> Verdict:
    for verdict in get_args(Verdict):
        if value == verdict:
            return verdict  # type: ignore[no-any-return]
    raise ValueError("not a verdict")


def _saids(value: object) -> tuple[Said, ...]:
    entries: list[Any] = _as(list, value)
    return tuple(
        said(_as(str, each["key"]), **{str(name): _value(one) for name, one in each["values"].items()})
        for each in entries
    )


def _value(value: object) -> Value:
    if isinstance(value, str | int):
        return value
    raise ValueError("not a value")


def _as(kind: type[_T], value: object) -> _T:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError("not a finding")
    return value
