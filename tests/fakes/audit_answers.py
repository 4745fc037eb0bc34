"""Answers of the server to the notice and to the audit's page, as `WebPages` gives them: all well, unless a test says
otherwise. The findings' words are the real ones."""

from __future__ import annotations

import time

from monitor.evidence.finding import ROWS, Finding, broken, holds, impossible, said, skipped
from monitor.evidence.words import Language, shown

ME = {"role": "it", "name": "IT", "may": ["see-bays", "guarantee", "health", "audit"]}
DAY_MS = 86_400_000
UNCHECKED = (8, 14, 15, 16, 17)


def now_ms() -> int:
    return round(time.time() * 1000)


def notice(**changes: object) -> dict[str, object]:
    """`GET /api/notice`."""
    return {
        "clinic": "Testklinik A/S",
        "controller": "Testklinik A/S, Prøvevej 1",
        "policy_url": "https://clinic.example/privatliv",
        "legal_bases": ["6(1)(d)", "6(1)(f)"],
        "legitimate_interest": "patienternes tryghed efter undersøgelsen",
        "article_9": "9(2)(h)",
        "cameras_on": 3,
        "written_octets": 0,
        "since_ms": now_ms() - 3 * DAY_MS,
        "proof_age_ms": 23_000,
        "ok": True,
        "retention": {"calls_days": 180, "access_log_days": 90},
        "version": "1.2.3",
        **changes,
    }


def finding(row: int, broken_rows: tuple[int, ...]) -> Finding:
    """One row; its words are `browser.*`, which are there whatever else is."""
    if row in broken_rows:
        return broken(row, said("browser.differs", address="/wall.js", file="wall.js"))
    if row == 14:
        return impossible(row, said("browser.no-files"))
    if row in UNCHECKED:
        return skipped(row, said("browser.not-served"))
    return holds(row, said("browser.headers", count=44))


def uptime(broken_ms: int, length_ms: int, breaks: list[dict[str, object]]) -> dict[str, object]:
    """One period that ends now."""
    to_ms = now_ms()
    off_ms, unknown_ms = length_ms // 100, length_ms // 1000
    return {
        "from_ms": to_ms - length_ms,
        "to_ms": to_ms,
        "held_ms": length_ms - broken_ms - off_ms - unknown_ms,
        "broken_ms": broken_ms,
        "off_ms": off_ms,
        "unknown_ms": unknown_ms,
        "breaks": breaks,
    }


def audit(broken_rows: tuple[int, ...] = (), language: Language = "da", **changes: object) -> dict[str, object]:
    """`GET /api/audit`."""
    moment = now_ms()
    breaks: list[dict[str, object]] = [
        {"row": 5, "from_ms": moment - 9 * DAY_MS, "to_ms": moment - 9 * DAY_MS + 372_000, "why": "Swap."},
        *({"row": row, "from_ms": moment - 240_000, "to_ms": None, "why": ""} for row in broken_rows),
    ]
    proof = {"thread": "first", "holds": True, "tried": 98, "refused": 98, "took_ms": 31, "written_octets": 0}
    process = {
        "process": 0,
        "pid": 4242,
        "state": "proved",
        "incarnation": 1,
        "why": "",
        "missing": [],
        "proved_ms": moment - 12_000,
        "proofs": [proof, proof | {"thread": "second"}],
    }
    return {
        "ok": not broken_rows,
        "checked_ms": moment - 8_000,
        "rows": [shown(language, finding(row, broken_rows)) for row in ROWS],
        "held": "",
        "public_key": "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "fingerprint": "9f0c 11ab 4c55 0d3e 7a62 18f4 c3b1 5e90",
        "chain": {"entries": 12_345, "head": "5e90" * 16, "failing": ""},
        "period": {"day": uptime(0, DAY_MS, []), "month": uptime(372_000, 30 * DAY_MS, breaks)},
        "processes": [process, process | {"process": 1, "pid": 4243}],
        **changes,
    }
