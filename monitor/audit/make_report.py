"""An audit's outcome and the journal's evidence → the report that is signed and filed. Reads nothing itself."""

from __future__ import annotations

import datetime
import os

from monitor.audit.audit import Outcome
from monitor.audit.canary_run import CanaryResult
from monitor.audit.report import Camera, Canary, Chain, Report, period_of
from monitor.core.config import Config
from monitor.evidence import chain
from monitor.evidence.finding import Finding
from monitor.evidence.uptime import uptime
from monitor.evidence.words import Language

DAY_MS = 86_400_000


def make_report(
    config: Config, outcome: Outcome, evidence: chain.Evidence, public: str, language: Language, days: int
) -> Report:
    """The report on the `days` before the audit. `public` is the key (hex) that the journal is to be signed with."""
    checked = chain.verify_journal(evidence, public)
    return Report(
        made_ms=outcome.made_ms,
        utc_offset_minutes=_utc_offset(outcome.made_ms),
        clinic=config.clinic.name,
        public_host=config.server.public_host,
        versions=dict(outcome.versions),
        settings={
            "enforce": config.media.enforce,
            "window_seconds": str(config.media.window_seconds),
            "processes": str(config.media.processes),
        },
        auditor_uid=os.geteuid(),
        language=language,
        findings=tuple(outcome.findings),
        cameras=tuple(
            Camera(
                bay=bay.id,
                name=bay.name,
                address=str(bay.camera),
                findings=tuple(each for each in outcome.cameras if _is_of(each, bay.name)),
            )
            for bay in config.bays
            if bay.camera is not None
        ),
        period=period_of(uptime(evidence.entries, outcome.made_ms - days * DAY_MS, outcome.made_ms)),
        chain=Chain(
            entries=len(evidence.entries),
            seq=evidence.head.seq,
            head=evidence.head.hash,
            ok=checked.ok,
            words=checked.words,
        ),
        canary=None if outcome.canary is None else _canary(outcome.canary),
    )


def _canary(result: CanaryResult) -> Canary:
    return Canary(
        witness=result.witness,
        tokens=result.tokens,
        files=result.files,
        octets=result.octets,
        memory_octets=result.memory_octets,
        hits=len(result.hits),
    )


def _is_of(finding: Finding, bay: str) -> bool:
    return any(each.values.get("bay") == bay for each in (*finding.seen, *finding.why))


def _utc_offset(moment_ms: int) -> int:
    offset = datetime.datetime.fromtimestamp(moment_ms / 1000).astimezone().utcoffset()
    return 0 if offset is None else round(offset.total_seconds() / 60)
