"""Chains as a server writes them, for tests to damage."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.evidence import chain, entries, keys
from monitor.evidence.chain import EMPTY, Entry, Evidence
from monitor.evidence.entries import Draft
from monitor.evidence.finding import broken, said

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = keys.public_hex(KEY)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER_PUBLIC = keys.public_hex(OTHER_KEY)
T = 1_795_500_000_000
"""24 November 2026, 06:00:00 UTC."""
MINUTE = 60_000
LEAK = broken(2, said("process.no-file", count=1), said("process.threads", count=38))


def drafts() -> list[Draft]:
    """A morning: a start, a break of three minutes, an audit, a stop, and the next start."""
    return [
        entries.start("0.4.0", PUBLIC, T, 0),
        entries.watch(T, T + 5 * MINUTE, 11, True, [], [14]),
        entries.row_broken(LEAK, T + 5 * MINUTE, T + 6 * MINUTE),
        entries.watch(T + 5 * MINUTE, T + 8 * MINUTE, 6, False, [2], [14]),
        entries.row_mended(2, T + 5 * MINUTE, T + 8 * MINUTE),
        entries.report("ab" * 32, False, [2]),
        entries.watch(T + 8 * MINUTE, T + 9 * MINUTE, 2, True, [], [14]),
        entries.stop(T + 9 * MINUTE),
        entries.start("0.4.0", PUBLIC, T + 10 * MINUTE, T + 9 * MINUTE),
    ]


def chained(
    what: Iterable[Draft], key: Ed25519PrivateKey = KEY, at_ms: int = T, after: Evidence | None = None
) -> Evidence:
    """These entries, one a minute."""
    made, head = ([], EMPTY) if after is None else (list(after.entries), after.head)
    for draft in what:
        entry, head = chain.make_entry(key, head, draft, at_ms + head.seq * MINUTE)
        made.append(entry)
    return Evidence(tuple(made), head)


def told(what: Iterable[Draft]) -> list[Entry]:
    """The same, where it does not matter that they are a chain."""
    return [Entry(seq, T, draft.kind, draft.body, "", "", "") for seq, draft in enumerate(what, 1)]
