"""The entries of the evidence journal: what each kind says, written in one form and read back without trust.

Pure. Moments are Unix milliseconds. No entry has room for free text or for content: rows, moments, counts, hashes,
versions, and findings by key.

    start        a server began: Vigil's version, its public key, when the run before was last known to live
    watch        the watch looked `checks` times from from_ms to to_ms and saw the same each time: ok or not, which rows
                 are broken, which were not checked
    break        a row was seen broken at seen_ms, and the finding; since_ms is the last check before it, where there
                 was one shortly before
    mended       it was seen to hold again at mended_ms
    stop         the server ended in good order
    report       an audit's report was signed: its SHA-256, whether it held, its broken rows
    pruned       everything up to entry `seq`, whose hash was `hash`, was older than before_ms and was deleted
    rolled_back  the running server remembered entry `seq` with `hash`, and the journal no longer had it
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from monitor.evidence.finding import Finding, Said, Value, said, to_json

Kind = Literal["start", "watch", "break", "mended", "stop", "report", "pruned", "rolled_back"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MAX_BODY = 65536
"""Characters of the longest body; the table refuses longer ones."""
MAX_AT_MS = 253_402_300_800_000
"""Year 10000: no number of a body is as large."""
CUTS = ((64, 500), (8, 500), (1, 100))
"""How many sentences of a finding are kept, and how much of each value, until it fits."""


def canonical_json(data: object) -> str:
    """The one way to write `data` as JSON, in ASCII: what is hashed and signed. Raises ValueError, TypeError."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


@dataclass(frozen=True)
class Draft:
    """What is to become an entry: its number, moment, hash and signature come when it is written."""

    kind: Kind
    body: str
    """Canonical JSON."""

    def __post_init__(self) -> None:
        """Raises ValueError where the body is too long."""
        if len(self.body) > MAX_BODY:
            raise ValueError(f"the body of a {self.kind} entry has {len(self.body)} characters")


def _draft(kind: Kind, **body: object) -> Draft:
    return Draft(kind, canonical_json(body))


def start(version: str, public_key: str, began_ms: int, last_alive_ms: int) -> Draft:
    """A server began; `last_alive_ms` is 0 where none ran before."""
    return _draft("start", version=version, key=public_key, began_ms=began_ms, last_alive_ms=last_alive_ms)


def watch(from_ms: int, to_ms: int, checks: int, ok: bool, broken: Iterable[int], not_checked: Iterable[int]) -> Draft:
    """What the watch saw all the time from `from_ms` to `to_ms`; with a broken row it cannot be ok."""
    wrong = sorted(broken)
    return _draft(
        "watch",
        from_ms=from_ms,
        to_ms=to_ms,
        checks=checks,
        ok=ok and not wrong,
        broken=wrong,
        not_checked=sorted(not_checked),
    )


def row_broken(finding: Finding, since_ms: int, seen_ms: int) -> Draft:
    """A row that held, or was not looked at before, is broken. Of a finding that is too long the beginning is kept:
    however much is wrong, that must not keep the break out of the journal."""
    body = ""
    for sentences, characters in CUTS:
        kept = replace(
            finding, seen=_cut(finding.seen, sentences, characters), why=_cut(finding.why, sentences, characters)
        )
        body = canonical_json({"row": finding.row, "since_ms": since_ms, "seen_ms": seen_ms, "finding": to_json(kept)})
        if len(body) <= MAX_BODY:
            break
    return Draft("break", body)


def _cut(what: Sequence[Said], sentences: int, characters: int) -> tuple[Said, ...]:
    return tuple(
        said(each.key, **{name: _short(value, characters) for name, value in each.values.items()})
        for each in what[:sentences]
    )


def _short(value: Value, characters: int) -> Value:
    return value if isinstance(value, int) or len(value) <= characters else f"{value[: characters - 1]}…"


def row_mended(row: int, since_ms: int, mended_ms: int) -> Draft:
    """A row that was broken since `since_ms` holds again, or is not checked any more."""
    return _draft("mended", row=row, since_ms=since_ms, mended_ms=mended_ms)


def stop(ended_ms: int) -> Draft:
    """The server ends in good order: from now on there is no picture at all."""
    return _draft("stop", ended_ms=ended_ms)


def report(sha256: str, ok: bool, broken: Iterable[int]) -> Draft:
    """An audit's report was signed; `sha256` (hexadecimal) is of its file."""
    return _draft("report", sha256=sha256, ok=ok, broken=sorted(broken))


def pruned(seq: int, entry_hash: str, before_ms: int) -> Draft:
    """Retention deleted everything up to entry `seq`: where the chain begins now."""
    return _draft("pruned", seq=seq, hash=entry_hash, before_ms=before_ms)


def rolled_back(seq: int, entry_hash: str) -> Draft:
    """An entry that the running server wrote is gone, or is another one now."""
    return _draft("rolled_back", seq=seq, hash=entry_hash)


def read_body(body: str) -> Mapping[str, object]:
    """A body as it was given; empty where it is not a JSON object: what is edited must not stop who checks it."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def number(data: Mapping[str, object], name: str) -> int | None:
    """A moment or count of a body; None where it is none, for whoever edited it may have written any number."""
    value = data.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_AT_MS else None


def text(data: Mapping[str, object], name: str) -> str:
    """A string of a body; empty where it is none."""
    value = data.get(name)
    return value if isinstance(value, str) else ""


def rows(data: Mapping[str, object], name: str) -> frozenset[int]:
    """Row numbers of a body."""
    value = data.get(name)
    found = value if isinstance(value, list) else []
    return frozenset(each for each in found if isinstance(each, int) and not isinstance(each, bool))
