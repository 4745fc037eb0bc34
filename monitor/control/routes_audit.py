"""What IT and the administrator may know of the guarantee: every row, the evidence journal, and a proof on request.

It must never show a picture, a person or a call, and never more certainty than there is: a row that the watch does not
look at is `not_checked`, whoever asks.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request

from monitor.control.accounts import DAY_MS, Identity
from monitor.control.clock import wall_ms
from monitor.control.guarantee import full_processes
from monitor.control.services import services_of
from monitor.control.signed_in import may
from monitor.evidence.finding import all_rows, said
from monitor.evidence.keys import fingerprint
from monitor.evidence.uptime import Uptime
from monitor.evidence.words import Language, say_all, shown

router = APIRouter()

PERIODS = {"day": DAY_MS, "month": 30 * DAY_MS}
"""Name → the last so many milliseconds."""


@router.get("/api/audit")
async def audit(
    request: Request, who: Annotated[Identity, Depends(may("audit"))], lang: Language = "da"
) -> dict[str, object]:
    """What the watch found, row by row, in this language, and what the evidence journal holds. Raises Unavailable.

    `checked_ms` and `proved_ms` are service time; what comes from the journal is Unix milliseconds.
    """
    services = services_of(request)
    report, evidence = services.watch.report(), services.evidence
    head, now_ms = await evidence.head(), wall_ms()
    return {
        "ok": services.guarantee_summary()["ok"],
        "checked_ms": report.watched.checked_ms or None,
        "rows": [shown(lang, finding) for finding in all_rows(report.findings, said("watch.by-audit"))],
        "held": report.watched.held,
        "bays": list(report.watched.bays),
        "public_key": evidence.public_key,
        "fingerprint": fingerprint(evidence.public_key),
        "chain": {"entries": head.seq, "head": head.hash, "failing": evidence.failing},
        "period": {
            name: _uptime(await evidence.uptime(now_ms - length_ms, now_ms), lang)
            for name, length_ms in PERIODS.items()
        },
        "processes": full_processes(services.media.guarantee()),
    }


@router.post("/api/audit/proof")
async def proof(request: Request, who: Annotated[Identity, Depends(may("audit"))]) -> dict[str, object]:
    """Have every media process prove its seal now; those new proofs. Raises Unavailable, RetryLater."""
    proved = await services_of(request).proofs.prove()
    return {"processes": full_processes(proved)}


def _uptime(uptime: Uptime, lang: Language) -> dict[str, object]:
    """Sums in milliseconds, and the breaks with their reason in words."""
    return {
        "from_ms": uptime.from_ms,
        "to_ms": uptime.to_ms,
        "held_ms": uptime.held_ms,
        "broken_ms": uptime.broken_ms,
        "off_ms": uptime.off_ms,
        "unknown_ms": uptime.unknown_ms,
        "breaks": [
            {"row": one.row, "from_ms": one.from_ms, "to_ms": one.to_ms, "why": say_all(lang, one.why)}
            for one in uptime.breaks
        ],
    }
