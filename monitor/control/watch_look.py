"""One round of the watch: reads what the kernel shows of the media processes and of this machine, and judges it.

The control process usually runs without root's rights, and a sealed process is undumpable: some of what the kernel
knows it may not read. What it may not read stays `not_checked`; the processes' own proofs of the same rows stand beside
it as what they are, and only `vigil audit` as root closes the gap. This module must never take such a gap for a break
nor for a pass, and must not be used from the event loop: it reads files for some milliseconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Literal

from monitor.control.guarantee import full_processes
from monitor.control.headers import HEADERS
from monitor.control.media_process import environment
from monitor.control.media_room import ProcessGuarantee
from monitor.control.watch import Seen, Subject
from monitor.core.config import Config
from monitor.core.errors import NotFound, Unavailable
from monitor.evidence import web_source
from monitor.evidence.door_types import judge_door
from monitor.evidence.finding import Finding, broken, holds, said, skipped
from monitor.evidence.judge_machine import judge_machine
from monitor.evidence.judge_process import CHECKS, Expected, judge_processes, judge_spares
from monitor.evidence.judge_proofs import judge_proofs
from monitor.evidence.machine import MachineFacts, read_machine
from monitor.evidence.page_headers import judge_headers
from monitor.evidence.proc import MEDIA_MODULE, ProcessFacts, read_process
from monitor.evidence.same_thread import can_look_into
from monitor.evidence.versions import changed_since, judge_versions, what_runs

DOOR_BASE, DOOR_EACH_CAMERA = 8192, 2048
"""Bytes a second that a process has reason to say: its proofs and answers to viewers, and two reports a second of each
camera, of some 600 bytes. The door itself closes at 128 KiB (`media_process.DOOR_BYTES_PER_SECOND`)."""
DOOR_SPAN_SECONDS = 5.0
"""The shortest time over which that is reckoned: a proof comes all at once."""
OWN_SEGMENTS = 4
"""The row of the machine's findings that is one process's: who made a segment of shared memory."""
RESIDENCY_SLACK_MS = 500
"""What a busy machine may add to a window before it counts as grown."""


class SiteLook:
    """Looks at one site. Keeps of a round only what the next one compares with: counters, and what never changes."""

    def __init__(self, config: Config, *, module: str = MEDIA_MODULE) -> None:
        """`module` is what the media processes run."""
        files = frozenset(address.path for _, _, address in config.cameras() if address.kind == "file")
        self._environment, self._module, self._files = environment(), module, files
        self._window_ms = round(config.media.window_seconds * 1000)
        self._door_types = judge_door()
        self._door: dict[int, tuple[int, float, int]] = {}
        """By process: of which life, when its bytes were counted, and how many they were."""
        self._running: tuple[float, dict[str, str]] | None = None
        """When this process started, in Unix seconds, and of what it is made."""
        self._pages: tuple[object, list[Finding]] = (None, [])

    def __call__(self, subject: Subject) -> Seen:
        """Read and judge. Raises OSError where /proc is not there."""
        machine = read_machine()
        looked = {number: _read(one.pid) for number, one in _sealed(subject.processes)}
        facts = {number: read for number, read in looked.items() if isinstance(read, ProcessFacts)}
        expected = Expected(
            self._environment,
            self._module,
            self._files,
            core_pattern=machine.core_pattern,
            # Of root's processes the kernel shows it to nobody: then it is tried.
            looked_into={one.pid: can_look_into(one.pid) for one in facts.values() if one.dumpable is None},
        )
        of_process = {
            number: (
                *(_of_one(facts[number], machine, expected) if number in facts else _NOT_SHOWN),
                *judge_proofs(full_processes([subject.processes[number]])),
                *self._residency(subject, number),
                *self._through_door(subject, number),
            )
            for number, read in looked.items()
            if read is not None
        }
        spare = _read(subject.spare_pid) if subject.spare_pid else None
        return Seen(
            machine=(
                *self._machine(machine, list(facts.values()), subject.held),
                *judge_spares([spare] if isinstance(spare, ProcessFacts) else [], expected),
                self._door_types,
                *_BY_AUDIT,
                *self._browser(),
                *self._program(list(facts.values())),
                *subject.cameras,
            ),
            of_process=of_process,
        )

    def failed_proofs(self, processes: Sequence[ProcessGuarantee]) -> list[Finding]:
        """What of these processes' own proofs is broken: their process may be gone before the next round."""
        failed = [one for one in processes if any(proof.refused < proof.tried for proof in one.proofs)]
        return [one for one in judge_proofs(full_processes(failed)) if one.verdict == "broken"] if failed else []

    # ---- the parts ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _machine(machine: MachineFacts, serving: list[ProcessFacts], held: bool) -> list[Finding]:
        """The machine. While it is held no process can be asked whether its memory is locked: then swap is enough."""
        findings = [one for one in judge_machine(machine, serving) if one.row != OWN_SEGMENTS]
        swaps = [swap.path for swap in machine.swaps if not swap.in_memory]
        if held and swaps:
            findings.append(broken(5, said("watch.held-by-swap", path=", ".join(swaps))))
        return findings

    def _residency(self, subject: Subject, number: int) -> list[Finding]:
        """Row 15, as the process reports it; `vigil audit` measures it from outside."""
        own = [(camera, lived) for process, camera, lived in subject.residency if process == number]
        over = [(camera, lived) for camera, lived in own if lived > self._window_ms + RESIDENCY_SLACK_MS]
        if over:
            camera, lived = max(over, key=lambda one: one[1])
            return [broken(15, said("watch.window-grew", camera=camera, lived_ms=lived, window_ms=self._window_ms))]
        if not own:
            return []
        longest = max(lived for _, lived in own)
        return [holds(15, said("watch.window", cameras=len(own), lived_ms=longest, window_ms=self._window_ms))]

    def _through_door(self, subject: Subject, number: int) -> Iterator[Finding]:
        """Row 9: how much comes out of the sealed room, through the door and the log pipe."""
        process = subject.processes[number]
        now = process.incarnation, subject.at, process.door_bytes + process.log_bytes
        life, at, before = self._door.setdefault(number, now)
        if life != process.incarnation:
            self._door[number] = now
            return
        if subject.at - at < DOOR_SPAN_SECONDS:
            return
        self._door[number] = now
        cameras = sum(1 for one, _, _ in subject.residency if one == number)
        limit = DOOR_BASE + cameras * DOOR_EACH_CAMERA
        rate = round((now[2] - before) / (subject.at - at))
        if rate > limit:
            yield broken(9, said("watch.door-too-much", process=number, rate=rate, limit=limit))
        else:
            yield holds(9, said("watch.door", process=number, rate=rate, limit=limit))

    def _browser(self) -> list[Finding]:
        """Row 11: what browsers are given, read anew only where a file has changed."""
        web = web_source.web_dir()
        state = tuple((name, path.stat().st_ctime_ns) for name, path in web_source.index_of(web).items())
        if state != self._pages[0]:
            on_disk = web_source.files_on_disk(web)
            found = web_source.judge_sources({}, on_disk)
            self._pages = state, [*found, *judge_headers({"*": HEADERS})]
        return self._pages[1]

    def _program(self, facts: Sequence[ProcessFacts]) -> list[Finding]:
        """Row 20: whether what is on the disk is what runs."""
        if self._running is None:
            self._running = read_process(os.getpid()).started, what_runs()
        started, what = self._running
        changed = [str(path) for path in changed_since(started)]
        shown = all(one.replaced is not None for one in facts)
        replaced = sorted({path for one in facts for path in one.replaced or ()})
        return judge_versions(what, changed, [], replaced if shown or replaced else None)


def _sealed(processes: Sequence[ProcessGuarantee]) -> Iterator[tuple[int, ProcessGuarantee]]:
    """Those that have closed their seal: one that is starting has neither seal nor camera."""
    for number, one in enumerate(processes):
        if one.pid and one.hello is not None:
            yield number, one


def _of_one(read: ProcessFacts, machine: MachineFacts, expected: Expected) -> list[Finding]:
    """What the kernel shows of one media process alone."""
    own = [one for one in judge_machine(machine, [read]) if one.row == OWN_SEGMENTS]
    return [*judge_processes([read], expected), *own]


def _read(pid: int) -> ProcessFacts | Literal["hidden"] | None:
    """What the kernel shows of a process; None where it has ended."""
    try:
        return read_process(pid)
    except NotFound:
        return None
    except Unavailable:
        return "hidden"  # /proc is mounted with hidepid, and we are not root


_BY_AUDIT = tuple(skipped(row, said("watch.by-audit")) for row in (8, 16, 17))
"""Rows of which no more than a part can be seen without the audit's canary."""
_NOT_SHOWN = tuple(skipped(row, said("process.needs-root")) for row in CHECKS)
