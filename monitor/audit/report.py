"""The report of an audit as a value: what was checked, what was seen, and what its period looked like.

It holds words by key (`evidence.finding.Said`), so that one signed report can be shown in Danish and in English and be
compared with another. It must never hold a password, a person's name, a call, or anything of a picture, and never be
read from a file without bounds: `from_json` refuses what `to_json` cannot have given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationError,
    model_validator,
)

from monitor.core.errors import InputError
from monitor.evidence import finding
from monitor.evidence.entries import canonical_json
from monitor.evidence.finding import ROWS, Finding, Said, said
from monitor.evidence.judge_machine import DUTIES
from monitor.evidence.uptime import Uptime
from monitor.evidence.words import Language, say

MAX_OCTETS = 2 * 1024 * 1024
"""Of a report as JSON. One with 50 cameras and 1000 breaks is far below."""
MAX_SAID = 100
"""Sentences in one finding."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")

T = TypeVar("T")


def _clean(value: T) -> T:
    """A path may hold what no screen and no page should be given: shown as `?`."""
    return _CONTROL.sub("?", value) if isinstance(value, str) else value  # type: ignore[return-value]


def _clean_said(each: Said) -> Said:
    if not _KEY.fullmatch(each.key):
        raise ValueError("not a key of a sentence")
    return said(each.key, **{name: _clean(value) for name, value in each.values.items()})


def _to_said(value: object) -> Said:
    if isinstance(value, Said):
        return _clean_said(value)
    if isinstance(value, dict) and value.keys() == {"key", "values"} and isinstance(value["values"], dict):
        key, values = value["key"], value["values"]
        if isinstance(key, str) and "key" not in values and all(map(_is_value, values.items())):
            return _clean_said(said(key, **values))
    raise ValueError("not a sentence")


def _is_value(item: tuple[object, object]) -> bool:
    name, value = item
    return isinstance(name, str) and isinstance(value, str | int) and not isinstance(value, bool)


def _to_finding(value: object) -> Finding:
    found = value if isinstance(value, Finding) else finding.from_json(value) if isinstance(value, dict) else None
    if found is None or len(found.seen) > MAX_SAID or len(found.why) > MAX_SAID:
        raise ValueError("not a finding")
    seen, why = (tuple(map(_clean_said, part)) for part in (found.seen, found.why))
    return Finding(found.row, found.verdict, seen, why, found.possible)


def _all_rows(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    if tuple(each.row for each in findings) != ROWS:
        raise ValueError("not every row once and in order")
    return findings


def _one_of_a_row(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    return tuple(finding.combined(findings))


def _named_program(versions: dict[str, str]) -> dict[str, str]:
    if "vigil" not in versions or not _SHA256.fullmatch(versions.get("program", "")):
        raise ValueError("the program is not named")
    return versions


Ms = Annotated[int, Field(ge=0, lt=253_370_764_800_000)]
"""Milliseconds, of a span or since 1970 (UTC), before the year 9999: every clock can show it."""
Count = Annotated[int, Field(ge=0, le=2**63)]
Text = Annotated[str, BeforeValidator(_clean), StringConstraints(max_length=500)]
Words = Annotated[
    tuple[Annotated[Said, PlainValidator(_to_said), PlainSerializer(Said.to_json)], ...], Field(max_length=MAX_SAID)
]
Duty = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Found = Annotated[Finding, PlainValidator(_to_finding), PlainSerializer(finding.to_json)]
Named = Annotated[dict[Annotated[str, StringConstraints(min_length=1, max_length=60)], Text], Field(max_length=100)]


class _Part(BaseModel):
    """Immutable; unknown fields and wrong types are refused; errors show no input."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, arbitrary_types_allowed=True
    )


class Break(_Part):
    """One row that did not hold for a time; `to_ms` is None where it had not ended."""

    row: Annotated[int, Field(ge=1, le=len(ROWS))]
    from_ms: Ms
    to_ms: Ms | None
    why: Words = ()


class Period(_Part):
    """How the guarantee fared between two moments (ms since 1970); the four spans (ms) add up to the whole."""

    from_ms: Ms
    to_ms: Ms
    held_ms: Ms
    broken_ms: Ms
    off_ms: Ms
    """The server had been stopped in good order: no picture anywhere."""
    unknown_ms: Ms
    """Nothing was written down: a crash, a power cut."""
    breaks: Annotated[tuple[Break, ...], Field(max_length=5000)] = ()

    @model_validator(mode="after")
    def _adds_up(self) -> Period:
        if self.held_ms + self.broken_ms + self.off_ms + self.unknown_ms != self.to_ms - self.from_ms:
            raise ValueError("the spans do not add up to the period")
        return self


class Camera(_Part):
    """A bay's camera: its address without a password, and what rows 12 and 13 say of it."""

    bay: Text
    name: Text
    address: Text
    findings: Annotated[tuple[Found, ...], Field(max_length=100), AfterValidator(_one_of_a_row)] = ()
    """One of a row: several are combined, so that a break hides behind nothing."""


class Canary(_Part):
    """What the canary run searched."""

    witness: Text
    """`fanotify` or `listing`: how the files were found."""
    tokens: Count
    """Seen by the auditor's viewers: that many known pictures went all the way."""
    files: Count
    octets: Count
    memory_octets: Count = 0
    hits: Count
    """Places where the token was found and must not be."""


class Chain(_Part):
    """The journal's chain of evidence: its newest entry, and what checking it gave."""

    entries: Count
    """How many are kept."""
    seq: Count
    """The number of the newest, from 1; older ones may have been deleted when their time was up."""
    head: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")]
    """The hash of the newest."""
    ok: bool
    words: Words = ()


class Report(_Part):
    """What one audit found."""

    made_ms: Ms
    utc_offset_minutes: Annotated[int, Field(ge=-1439, le=1439)] = 0
    """The clinic's clock when the report was made: all its times are shown by it."""
    clinic: Text
    public_host: Text
    versions: Annotated[Named, AfterValidator(_named_program)]
    """As `evidence.versions.what_runs` gives them: `vigil`, `program` (SHA-256 over all its files), and the rest."""
    settings: Named
    """What bears on the guarantee: `enforce`, `window_seconds`, `processes`."""
    auditor_uid: Count
    """The user id that the audit ran as; 0 is root."""
    language: Language
    findings: Annotated[tuple[Found, ...], AfterValidator(_all_rows)]
    cameras: Annotated[tuple[Camera, ...], Field(max_length=1000)] = ()
    period: Period | None = None
    """None where there was no journal to ask."""
    chain: Chain | None = None
    canary: Canary | None = None
    duties: Annotated[tuple[Duty, ...], Field(max_length=8)] = DUTIES
    """What the operator must himself take care of: `judge_machine.DUTIES`; `duty.X.what` and `duty.X.do` say it."""

    @property
    def broken(self) -> tuple[Finding, ...]:
        """Rows that do not hold."""
        return tuple(each for each in self.findings if each.verdict == "broken")

    @property
    def skipped(self) -> tuple[Finding, ...]:
        """Rows that could have been checked and were not."""
        return tuple(each for each in self.findings if each.possible)

    @property
    def impossible(self) -> tuple[Finding, ...]:
        """Rows that cannot be checked from inside the machine."""
        return tuple(each for each in self.findings if each.verdict == "not_checked" and not each.possible)

    @property
    def holding(self) -> int:
        """How many rows hold."""
        return sum(each.verdict == "holds" for each in self.findings)

    @property
    def answer(self) -> Literal["holds", "broken", "incomplete"]:
        """The audit in one word. A journal that was tampered with is a break: the period rests on it."""
        if self.broken or (self.chain is not None and not self.chain.ok):
            return "broken"
        return "incomplete" if self.skipped else "holds"


def period_of(uptime: Uptime) -> Period:
    """A period as the journal's entries give it."""
    return Period(
        from_ms=uptime.from_ms,
        to_ms=uptime.to_ms,
        held_ms=uptime.held_ms,
        broken_ms=uptime.broken_ms,
        off_ms=uptime.off_ms,
        unknown_ms=uptime.unknown_ms,
        breaks=tuple(
            Break(row=each.row, from_ms=each.from_ms, to_ms=each.to_ms, why=each.why) for each in uptime.breaks
        ),
    )


def canonical(data: object) -> bytes:
    """JSON with one spelling (`evidence.entries.canonical_json`): what is signed. Raises ValueError, TypeError."""
    return canonical_json(data).encode("ascii")


def told(language: Language, words: Iterable[Said]) -> str:
    """Sentences of a report that another version of Vigil may have written: one that this version has not is shown by
    its key and values."""
    return " ".join(_told(language, each) for each in words)


def _told(language: Language, each: Said) -> str:
    try:
        return say(language, each)
    except (KeyError, IndexError, ValueError, TypeError):
        values = ", ".join(f"{name}={value}" for name, value in each.values.items())
        return f"[{each.key}: {values}]" if values else f"[{each.key}]"


def to_json(report: Report) -> dict[str, Any]:
    """As it is signed; `from_json` reads it again."""
    return report.model_dump(mode="json")


def from_json(data: Mapping[str, object]) -> Report:
    """What `to_json` gave. Raises InputError where it is something else."""
    try:
        # By way of text: only so are a list and a tuple the same, and true and 1 not.
        return Report.model_validate_json(canonical(data))
    except (ValidationError, ValueError) as error:
        where = ""
        if isinstance(error, ValidationError):
            loc = error.errors(include_input=False, include_url=False)[0]["loc"]
            where = _clean(": " + ".".join(str(part) for part in loc)[:80])
        raise InputError(
            f"this is not the report of an audit that this version of Vigil can read{where}",
            "read it with the version that wrote it; `vigil audit` writes a new one",
        ) from None
