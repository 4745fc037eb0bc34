"""One audit: all rows of GUARANTEE.md, put together from what the kernel, the site, the cameras and the canary show.

Theory of operation. What needs nobody (machine, program, configuration, cameras over ONVIF) is looked at always; what
needs a running site is looked at from outside, by pids that are found without asking it; its own word is taken only
where the kernel has none to give, and the finding says so. Rows that nobody spoke of are not checked. It must never
make a row hold because something went wrong on the way: an error of the site's becomes a row that was not checked, and
an error of our own ends the audit.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from monitor.audit import canary_run
from monitor.audit.canary_run import CanaryResult
from monitor.audit.site_client import SiteClient
from monitor.core.config import Config
from monitor.core.errors import NotFound, Unavailable
from monitor.evidence import onvif, web_source
from monitor.evidence.door_types import judge_door
from monitor.evidence.finding import ROWS, Finding, all_rows, broken, holds, impossible, said, skipped
from monitor.evidence.judge_machine import judge_machine
from monitor.evidence.judge_process import Expected, judge_processes, judge_spares
from monitor.evidence.judge_proofs import judge_proofs
from monitor.evidence.machine import MachineFacts, read_machine
from monitor.evidence.page_headers import judge_headers
from monitor.evidence.proc import ProcessFacts, SiteFacts, find_site, read_process
from monitor.evidence.same_user import can_look_into
from monitor.evidence.versions import changed_since, judge_versions, record_mismatches, unrecorded, what_runs

PAGES = ("/", "/sign-in", "/audit", "/notice", "/api/guarantee", "/api/bays", "/healthz", "/no-such-page")
"""Whose headers are looked at, beside those of every file that the pages are made of: pages, answers, and errors."""
NEEDS_SITE = frozenset({1, 2, 3, 4, 6, 7, 8, 9, 10, 15, 16, 17, 19})
"""Rows of which at least a part can only be seen on a running site."""


@dataclass(frozen=True)
class Request:
    """What to audit, and how."""

    config: Config
    environment: Mapping[str, str]
    """All that a media process ought to have in its environment."""
    client: SiteClient | None
    """None: only what needs no running site."""
    canary: bool
    progress: Callable[[str], None] = lambda key: None
    """Told the key of what begins, for the one who waits."""


@dataclass(frozen=True)
class Outcome:
    """What was found."""

    findings: list[Finding]
    """All rows, in order."""
    cameras: list[Finding]
    """Rows 12 and 13, one finding for each camera."""
    versions: Mapping[str, str]
    canary: CanaryResult | None
    took_ms: int
    made_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)


async def audit(request: Request) -> Outcome:
    """Look at everything. Raises Unavailable where a site is to be looked at and none runs."""
    began = time.monotonic()
    cameras = asyncio.create_task(onvif.ask_all(request.config))
    try:
        findings, versions, canary = await _all(request)
        from_cameras = await cameras
    finally:
        cameras.cancel()
    findings += from_cameras
    if request.client is None:
        findings = _without_site(findings)
    return Outcome(
        findings=all_rows(findings, said("audit.nothing-said")),
        cameras=from_cameras,
        versions=versions,
        canary=canary,
        took_ms=round((time.monotonic() - began) * 1000),
    )


async def _all(request: Request) -> tuple[list[Finding], Mapping[str, str], CanaryResult | None]:
    request.progress("audit.step.program")
    versions = await asyncio.to_thread(what_runs)
    mismatches = await asyncio.to_thread(record_mismatches)
    machine = await asyncio.to_thread(read_machine)
    on_disk = await asyncio.to_thread(web_source.files_on_disk)
    findings = [judge_door(), *_configuration(request.config)]
    if request.client is None:
        findings += [*judge_machine(machine, ()), *web_source.judge_sources({}, on_disk)]
        findings += judge_versions(versions, [], mismatches, without=unrecorded())
        return findings, versions, None

    state_dir = Path(request.config.server.state_dir)
    site = await asyncio.to_thread(find_site, state_dir)
    request.progress("audit.step.processes")
    control = await asyncio.to_thread(read_process, site.control_pid)
    findings += await _pages(request.client, on_disk)
    findings += await _proofs(request.client, site)
    processes = await asyncio.to_thread(_read_all, site.media_pids)
    spares = await asyncio.to_thread(_read_all, site.spare_pids)
    findings += _processes(request, site, machine, processes, spares)
    findings += await asyncio.to_thread(
        lambda: judge_versions(
            versions,
            [str(path) for path in changed_since(min(each.started for each in (control, *processes)))],
            mismatches,
            _replaced((control, *processes)),
            unrecorded(),
        )
    )
    canary = None
    if request.canary:
        request.progress("audit.step.canary")
        canary = await canary_run.run(
            site, request.client, state_dir, window_seconds=request.config.media.window_seconds
        )
        # First, for reasons are bounded: a file that was written says more than each way by which it could have been.
        findings = [*canary_run.judge(canary), *findings]
    else:
        findings += canary_run.not_run(said("audit.no-canary"))
    findings += _changed(site, await asyncio.to_thread(find_site, state_dir))
    return findings, versions, canary


def _replaced(processes: Iterable[ProcessFacts]) -> list[str] | None:
    """Program files that were replaced after a process had loaded them; None where that could not be read of all."""
    found: list[str] = []
    for each in processes:
        if each.replaced is None:
            return None
        found += each.replaced
    return found


def _read_all(pids: Iterable[int]) -> list[ProcessFacts]:
    """Facts of those that still run."""
    found = []
    for pid in pids:
        try:
            found.append(read_process(pid))
        except NotFound:
            continue  # `_changed` says that the site is not the same any more
    return found


def _processes(
    request: Request,
    site: SiteFacts,
    machine: MachineFacts,
    processes: list[ProcessFacts],
    spares: list[ProcessFacts],
) -> list[Finding]:
    files = {address.path for _, _, address in request.config.cameras() if address.kind == "file"}
    expected = Expected(
        environment=request.environment,
        files=files,
        core_pattern=machine.core_pattern,
        looked_into={each.pid: can_look_into(each.pid) for each in processes},
    )
    found = [*judge_machine(machine, processes), *judge_processes(processes, expected)]
    found += judge_spares(spares, expected)
    if not processes:
        found += [skipped(row, said("audit.no-media-process")) for row in (1, 2, 3, 4, 6, 7, 10, 19)]
    for pid in site.other_pids:
        found.append(broken(10, said("audit.unknown-child", pid=pid)))
    return found


async def _pages(client: SiteClient, on_disk: Mapping[str, bytes]) -> list[Finding]:
    """Row 11: every file that the pages are made of, and the headers of pages, answers and errors."""
    served: dict[str, bytes] = {}
    headers: dict[str, Mapping[str, str]] = {}
    for address in dict.fromkeys((*web_source.addresses(on_disk), *PAGES)):
        answer = await client.arequest("GET", address)
        headers[address] = answer.headers
        if answer.status == 200:
            served[address] = answer.body
    wanted = web_source.addresses(on_disk)
    of_files = {address: body for address, body in served.items() if address in wanted}
    return [*web_source.judge_sources(of_files, on_disk), *judge_headers(headers)]


async def _proofs(client: SiteClient, site: SiteFacts) -> list[Finding]:
    """The processes' own proofs, made now because we ask: their word, which the witness and the kernel's facts test."""
    try:
        await client.apost("/api/audit/proof")
        processes = (await client.aget_json("/api/guarantee"))["processes"]
    except Unavailable as error:
        return [skipped(1, said("audit.no-proof", why=error.message))]
    found = judge_proofs(processes)
    told = {each["pid"] for each in processes if each["pid"]}
    if unknown := sorted(set(site.media_pids) - told):
        found.append(skipped(1, said("audit.untold-process", pids=", ".join(map(str, unknown)))))
    return found


def _changed(before: SiteFacts, after: SiteFacts) -> list[Finding]:
    """A process that was replaced during the audit was not looked at."""
    new = sorted(set(after.media_pids) - set(before.media_pids) - set(before.spare_pids))
    gone = sorted(set(before.media_pids) - set(after.media_pids))
    if not new and not gone:
        return []
    pids = ", ".join(map(str, [*gone, *new]))
    return [skipped(row, said("audit.replaced", pids=pids)) for row in (1, 2, 3, 4, 6, 7, 10, 19)]


def _configuration(config: Config) -> list[Finding]:
    """Row 18: no file is shown beside real cameras."""
    kinds = [address.kind for _, _, address in config.cameras()]
    if "file" in kinds and "rtsp" in kinds:
        return [broken(18, said("audit.file-beside-cameras"))]
    if "file" in kinds:
        return [holds(18, said("audit.files-only", files=kinds.count("file")))]
    return [holds(18, said("audit.no-files"))]


def _without_site(findings: list[Finding]) -> list[Finding]:
    """What an audit without a site could not look at cannot be looked at by it: it is named, and is no omission."""
    found = [
        dataclasses.replace(each, possible=False)
        if each.possible and (each.row in NEEDS_SITE or any(why.key == "browser.not-served" for why in each.why))
        else each
        for each in findings
    ]
    spoken_of = {each.row for each in found} - NEEDS_SITE
    return found + [impossible(row, said("audit.no-site")) for row in ROWS if row not in spoken_of]
