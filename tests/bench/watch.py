"""Watch: what looking after the guarantee costs a machine that is otherwise idle, in processor time of one core.

A real site runs, and this process looks at its media processes as the control process does, and reckons what that costs
it, the helpers that it starts included. To that come the proofs that each media process makes of itself. No peer does
either; the figure is held against the goal.
"""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.control.media_slot import ProcessGuarantee, SupervisorSettings
from monitor.control.watch import EVERY_SECONDS, Subject
from monitor.control.watch_look import SiteLook
from monitor.core.config import load
from monitor.core.messages import Hello, Proof
from tests.bench.report import Result, Row
from tests.fakes.site import VigilSite, running_site

GOAL_PERCENT = 5.0
READY_SECONDS = 30.0


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    rounds: int = 50
    processes: int = 2
    bays: int = 4


def measure(setting: Setting | None = None) -> Result:
    """Look so many times; the first one, which reads the whole program, is not counted."""
    setting = setting or Setting()
    bays = [
        {"id": f"bay-{number}", "name": f"Leje {number}", "camera": "pattern:"} for number in range(1, setting.bays + 1)
    ]
    with (
        tempfile.TemporaryDirectory(prefix="vigil-bench-") as folder,
        running_site(Path(folder), bays, media={"processes": setting.processes}) as site,
    ):
        for bay in bays:
            site.wait_for(str(bay["id"]), "live", READY_SECONDS)
        look = SiteLook(load(site.config.read_text(), file=site.config.name, environ={}, credentials={}))
        processes, spare = _processes(site)
        look(_subject(processes, spare))
        spent = []
        for _ in range(setting.rounds):
            before = _spent()
            look(_subject(processes, spare))
            spent.append(_spent() - before)
    rounds_a_minute = 60 / EVERY_SECONDS
    watch = [100 * seconds * rounds_a_minute / 60 for seconds in spent]
    proofs_a_minute = 60 / SupervisorSettings.proof_interval
    proof_ms = sum(proof.took_ms for one in processes for proof in one.proofs)
    proofs = 100 * proof_ms / 1000 * proofs_a_minute / 60
    return Result(
        "watch",
        {"media processes": setting.processes, "bays": setting.bays, "rounds a minute": f"{rounds_a_minute:g}"},
        [
            Row("one round of the watch", "ms", [1000 * seconds for seconds in spent], tail=0.9),
            Row("the watch", "% of one core", watch, tail=0.9),
            Row("the processes' own proofs", "% of one core", [proofs]),
            Row("both", "% of one core", [one + proofs for one in watch], tail=0.9, goal=GOAL_PERCENT),
        ],
    )


def _spent() -> float:
    """Seconds of processor time of this process and of helpers that have ended."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def _subject(processes: tuple[ProcessGuarantee, ...], spare: int) -> Subject:
    return Subject(time.monotonic(), processes, spare, held=False)


def _processes(site: VigilSite) -> tuple[tuple[ProcessGuarantee, ...], int]:
    """The site's media processes as its supervisor knows them, and the one that stands by."""
    with site.http("it") as http:
        shown = http.get("/api/guarantee").json()["processes"]
    known = {one["pid"] for one in shown}
    children = Path(f"/proc/{site.pid}/task/{site.pid}/children").read_text().split()
    spare = next((int(pid) for pid in children if int(pid) not in known), 0)
    return tuple(_guarantee(one) for one in shown), spare


def _guarantee(shown: dict[str, Any]) -> ProcessGuarantee:
    return ProcessGuarantee(
        index=shown["process"],
        pid=shown["pid"],
        incarnation=shown["incarnation"],
        state=shown["state"],
        since_ms=0,
        hello=Hello(
            landlock_abi=shown["landlock_abi"],
            locks=shown["locks"],
            missing=shown["missing"],
            memory=shown["memory"],
            udp_port=shown["udp_port"],
        ),
        proofs=tuple(Proof(nonce="0" * 16, **proof) for proof in shown["proofs"]),
        proved_ms=shown["proved_ms"],
        written_octets=0,
        why=shown["why"],
        door_bytes=shown["door_bytes"],
        log_bytes=shown["log_bytes"],
        log_dropped=shown["log_dropped"],
    )
