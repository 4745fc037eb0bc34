"""The evidence journal as a hash chain: each entry carries the hash of the one before and a signature, and so does the
head, which says which entry is the last.

Pure. It must never take an entry's own word for anything: hashes are computed anew, and what is edited is named, not
skipped. What is deleted becomes time of which nothing is known (`uptime.py`), never time in which the guarantee held.

What shows, to anybody who has the public key and no copy of the private one:
- an entry that was edited, removed, inserted or moved: its hash, its signature or its neighbour's no longer fits;
- a tail that was cut off: the head is signed apart from the entries, and the head of an earlier moment is overwritten;
- a beginning that was cut off: only a signed `pruned` entry may say where the chain begins, if not at 1.
What does not show from the file alone: the whole file replaced by an earlier copy of itself. The running server notices
(`rolled_back`), and every report carries the head of its moment (`contains`).
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from monitor.evidence import keys
from monitor.evidence.entries import MAX_AT_MS, Draft, canonical_json, number, read_body, text
from monitor.evidence.finding import Said, said
from monitor.evidence.keys import SigningKey

GENESIS = "0" * 64
"""What the first entry has for the hash of the one before."""
CLOCK_SLACK_MS = 10_000
"""Two processes write, and one may wait for the other: so much may a moment lie before the one before it."""
MAX_KEYS = 8
"""Other keys that are tried on a signature that is not the trusted key's."""

MAX_SAID = 20
"""Faults that are put into words; the others are counted."""

FaultKind = Literal[
    "empty",
    "edited",
    "signature",
    "other-key",
    "link",
    "missing",
    "beginning",
    "inserted",
    "order",
    "tail",
    "head",
    "head-signature",
    "rolled-back",
    "clock",
]
NOTES: frozenset[FaultKind] = frozenset({"clock"})
"""Named, and no sign of an edit: the machine's clock was set back."""


@dataclass(frozen=True)
class Entry:
    """One entry as it is stored."""

    seq: int
    """From 1, without a gap."""
    at_ms: int
    """When it was written, by the machine's clock."""
    kind: str
    body: str
    """Canonical JSON."""
    prev: str
    hash: str
    signature: str
    """Hexadecimal, as the hashes."""


@dataclass(frozen=True)
class Head:
    """Which entry is the last. Of an empty chain: 0, GENESIS and no signature."""

    seq: int
    hash: str
    signature: str


EMPTY = Head(0, GENESIS, "")


@dataclass(frozen=True)
class Evidence:
    """Everything that the journal has, in order."""

    entries: tuple[Entry, ...]
    head: Head


@dataclass(frozen=True)
class ChainFault:
    """Something that does not fit: entries `seq` to `last`; `at_ms` is the moment of the entry it was seen at, or 0."""

    kind: FaultKind
    seq: int
    last: int
    at_ms: int = 0
    key: str = ""
    """`other-key`: the public key that did sign it."""

    @property
    def is_note(self) -> bool:
        """Whether it is no sign of an edit."""
        return self.kind in NOTES


def entry_hash(seq: int, at_ms: int, kind: str, body: str, prev: str) -> str:
    """SHA-256 (hexadecimal) over a list in canonical JSON: no two entries have the same encoding."""
    return hashlib.sha256(canonical_json(["vigil evidence entry 1", seq, at_ms, kind, body, prev]).encode()).hexdigest()


def signed_entry(digest: str) -> bytes:
    """What is signed of an entry."""
    return b"vigil evidence entry 1\n" + digest.encode()


def signed_head(seq: int, digest: str) -> bytes:
    """What is signed of a head: something else than of its entry, so that no entry's signature can be taken for it."""
    return b"vigil evidence head 1\n%d\n" % seq + digest.encode()


def make_entry(key: SigningKey, head: Head, draft: Draft, at_ms: int) -> tuple[Entry, Head]:
    """The entry that follows `head`, and the new head."""
    seq = head.seq + 1
    digest = entry_hash(seq, at_ms, draft.kind, draft.body, head.hash)
    entry = Entry(seq, at_ms, draft.kind, draft.body, head.hash, digest, keys.sign(key, signed_entry(digest)).hex())
    return entry, Head(seq, digest, keys.sign(key, signed_head(seq, digest)).hex())


def anchor_of(entries: Sequence[Entry], public_key: str) -> Head | None:
    """After which entry the chain begins, as the last `pruned` entry with a good signature says; None: at 1."""
    for entry in reversed(entries):
        if entry.kind == "pruned" and _is_whole(entry) and _signed_by(public_key, entry):
            data = read_body(entry.body)
            return Head(number(data, "seq") or 0, text(data, "hash"), "")
    return None


def verify_chain(entries: Sequence[Entry], public_key: str, head: Head, anchor: Head | None = None) -> list[ChainFault]:
    """Everything that does not fit, in the order of the entries; empty where it is as the key's owner wrote it.

    `public_key` is hexadecimal. `anchor` is what `anchor_of` gave: with it the chain may begin after that entry. Takes
    about 0.1 ms an entry.
    """
    if not entries:
        faults = [ChainFault("empty", 0, 0)]
        return faults if head.seq == 0 else [*faults, ChainFault("tail", 1, head.seq)]
    own_keys = _keys_named(entries)
    faults = _beginning(entries[0], anchor)
    before: Entry | None = None
    for entry in entries:
        if before is not None:
            faults += _neighbours(before, entry)
        faults += _entry(entry, public_key, own_keys)
        before = entry
    return faults + _end(entries[-1], head, public_key)


def contains(evidence: Evidence, seq: int, digest: str) -> bool | None:
    """Whether the chain has the head that an earlier report printed; None where that entry is no longer kept."""
    if seq == 0:
        return True
    if evidence.entries and seq < evidence.entries[0].seq - 1:
        return None
    if evidence.entries and seq == evidence.entries[0].seq - 1:
        return evidence.entries[0].prev == digest
    return any(entry.seq == seq and entry.hash == digest for entry in evidence.entries)


def _beginning(first: Entry, anchor: Head | None) -> list[ChainFault]:
    after = anchor if anchor is not None else EMPTY
    if first.seq <= after.seq:
        return [ChainFault("inserted", first.seq, after.seq, first.at_ms)]
    if first.seq > after.seq + 1:
        return [ChainFault("beginning", after.seq + 1, first.seq - 1, first.at_ms)]
    return [] if first.prev == after.hash else [ChainFault("link", first.seq, first.seq, first.at_ms)]


def _neighbours(before: Entry, entry: Entry) -> list[ChainFault]:
    faults: list[ChainFault] = []
    if entry.seq <= before.seq:
        faults.append(ChainFault("order", entry.seq, entry.seq, entry.at_ms))
    elif entry.seq > before.seq + 1:
        faults.append(ChainFault("missing", before.seq + 1, entry.seq - 1, before.at_ms))
    elif entry.prev != before.hash:
        faults.append(ChainFault("link", entry.seq, entry.seq, entry.at_ms))
    if entry.at_ms < before.at_ms - CLOCK_SLACK_MS:
        faults.append(ChainFault("clock", entry.seq, entry.seq, entry.at_ms))
    return faults


def _entry(entry: Entry, public_key: str, own_keys: Sequence[str]) -> list[ChainFault]:
    if not _is_whole(entry):
        return [ChainFault("edited", entry.seq, entry.seq, entry.at_ms)]
    if not _signed_by(public_key, entry):
        other = next((each for each in own_keys if each != public_key and _signed_by(each, entry)), "")
        return [ChainFault("other-key" if other else "signature", entry.seq, entry.seq, entry.at_ms, other)]
    if entry.kind == "rolled_back":
        lost = number(read_body(entry.body), "seq") or 0
        return [ChainFault("rolled-back", lost, lost, entry.at_ms)]
    return []


def _end(last: Entry, head: Head, public_key: str) -> list[ChainFault]:
    if head.seq > last.seq:
        faults = [ChainFault("tail", last.seq + 1, head.seq, last.at_ms)]
    elif head.seq < last.seq:
        faults = [ChainFault("inserted", head.seq + 1, last.seq, last.at_ms)]
    elif head.hash != last.hash:
        faults = [ChainFault("head", head.seq, head.seq, last.at_ms)]
    else:
        faults = []
    if not keys.verify(public_key, signed_head(head.seq, head.hash), _unhex(head.signature)):
        faults.append(ChainFault("head-signature", head.seq, head.seq, last.at_ms))
    return faults


def _is_whole(entry: Entry) -> bool:
    return entry.hash == entry_hash(entry.seq, entry.at_ms, entry.kind, entry.body, entry.prev)


def _signed_by(public_key: str, entry: Entry) -> bool:
    return keys.verify(public_key, signed_entry(entry.hash), _unhex(entry.signature))


def _keys_named(entries: Sequence[Entry]) -> list[str]:
    """Keys that servers named when they began: who lost a key is told so, instead of that all was forged."""
    named = dict.fromkeys(text(read_body(entry.body), "key") for entry in entries if entry.kind == "start")
    return [each for each in named if each][:MAX_KEYS]


def _unhex(digits: str) -> bytes:
    """Strictly: `bytes.fromhex` would let spaces and capitals pass."""
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        return b""
    return raw if raw.hex() == digits else b""


# ---- in words --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checked:
    """What checking a journal gave. `ok`: nothing was edited, removed or added; a clock that was set back is named."""

    faults: tuple[ChainFault, ...]
    words: tuple[Said, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing but notes was found."""
        return all(fault.is_note for fault in self.faults)


def verify_journal(evidence: Evidence, public_key: str) -> Checked:
    """Check the whole chain against the public key (hexadecimal), and say what was found: each fault by its entries."""
    anchor = anchor_of(evidence.entries, public_key)
    faults = tuple(verify_chain(evidence.entries, public_key, evidence.head, anchor))
    runs = _runs(faults)
    words = [_said_of(fault) for fault in runs[:MAX_SAID]]
    if len(runs) > MAX_SAID:
        words.append(said("chain.fault.more", count=len(runs) - MAX_SAID))
    if all(fault.is_note for fault in faults):
        first, last = (evidence.entries[0].seq, evidence.entries[-1].seq) if evidence.entries else (0, 0)
        words.insert(0, said("chain.ok", count=len(evidence.entries), first=first, last=last, head=evidence.head.hash))
    return Checked(faults, tuple(words))


def _runs(faults: Sequence[ChainFault]) -> list[ChainFault]:
    """The same with what is wrong with one entry after the other said once: a key that was replaced is one thing, and
    must not hide the one entry that was edited."""
    runs: list[ChainFault] = []
    newest: dict[tuple[FaultKind, str], int] = {}
    for fault in faults:
        at = newest.get((fault.kind, fault.key))
        if at is not None and runs[at].last + 1 == fault.seq:
            runs[at] = replace(runs[at], last=fault.last)
        else:
            newest[fault.kind, fault.key] = len(runs)
            runs.append(fault)
    return runs


def _said_of(fault: ChainFault) -> Said:
    # An edited moment may be any number.
    at_ms = fault.at_ms if 0 < fault.at_ms < MAX_AT_MS else 0
    when = f"{datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC):%Y-%m-%d %H:%M:%S} UTC" if at_ms else "-"
    which = str(fault.seq) if fault.last <= fault.seq else f"{fault.seq}-{fault.last}"
    other = keys.fingerprint(fault.key) if fault.key else "-"
    return said(f"chain.fault.{fault.kind}", entries=which, when=when, other=other)
