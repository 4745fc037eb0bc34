"""What the control process knows of one media process over all its lives, what it asks of it, and how it shows that
process's cameras.

When something is asked, and what is done about the answer or its absence, is in `supervisor.py`. This module must never
show a camera as live on the word of a process that is not proved or that has gone silent, and never take a proof that
was not asked for.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from monitor.control.media_process import MediaProcess
from monitor.core.camera_state import REPORT_OVERDUE_MS, CameraReason, CameraStateName
from monitor.core.messages import AddCamera, CameraReport, Hello, Message, Proof, RunProof, Start
from monitor.core.process_state import ProcessState, ProcessStateName

logger = logging.getLogger(__name__)

SUB_STREAM = ".sub"


@dataclass(frozen=True)
class SupervisorSettings:
    """How the media processes are to be."""

    enforce: Literal["strict", "warn"]
    udp_host: str
    udp_port: int
    """Of the first process; the next takes the next one. 0: any."""
    processes: int
    """0: one for each core."""
    max_viewers: int
    """Of each process."""
    clock_offset_ms: int
    """See `core/service_clock.py`."""
    proof_interval: float = 60.0
    """Seconds."""
    proof_deadline: float = 10.0
    """Seconds."""
    spare: bool = True
    """Keep one more process ready, imported and waiting: it costs its memory, and saves a replacement some seconds."""


@dataclass(frozen=True)
class CameraStatus:
    """A camera as the control process may show it: the media process's newest report, and what outweighs it."""

    report: CameraReport | None
    """The newest of the process's present life."""
    state: CameraStateName
    reason: CameraReason
    since_ms: int
    incarnation: int
    """The number of its process's life, from 1: when it grows, all sessions are gone."""
    process: int
    """The number of the process that reads it."""


@dataclass(frozen=True)
class ProcessGuarantee:
    """What is known of one media process's seal."""

    index: int
    pid: int
    """0 where none runs."""
    incarnation: int
    state: ProcessStateName
    since_ms: int
    hello: Hello | None
    proofs: tuple[Proof, ...]
    """The newest complete pair, of the first and the second thread; empty before."""
    proved_ms: int
    """When it came, in service time; 0 before."""
    written_octets: int
    """What the kernel has counted as written by it since its first proof; 0 before."""
    why: str
    """Why it is not proved, or why the life before it ended; empty where there is nothing to say."""
    door_bytes: int
    log_bytes: int
    log_dropped: int


@dataclass
class Question:
    """A proof that was asked for, and what of it has come."""

    nonce: str
    asked_ms: int
    answers: dict[str, Proof] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What a complete pair of proofs says."""

    holds: bool
    broken: str
    """Names of the ways that were not refused."""


@dataclass
class Slot:
    """One media process over all its lives."""

    index: int
    state: ProcessState
    cameras: dict[str, AddCamera] = field(default_factory=dict)
    process: MediaProcess | None = None
    incarnation: int = 0
    launched_ms: int = 0
    hello: Hello | None = None
    question: Question | None = None
    proofs: tuple[Proof, ...] = ()
    proved_ms: int = 0
    written_before: int = 0
    """What the kernel had counted at the first proof of this life."""
    why: str = ""
    serving: bool = False
    """Cameras and viewers may be sent: proved, or, under `warn`, at least asked and answered."""
    reports: dict[str, CameraReport] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)
    relaunch_ms: int | None = None
    held: bool = False
    """No process may run: the guarantee is broken by the machine itself."""
    ending: bool = False
    """It was killed and its end is awaited: nothing that it still says counts."""

    def begin_life(self, now_ms: int) -> None:
        """Nothing that was known of the life before holds for the next one, but why it ended."""
        self.relaunch_ms = None
        self.incarnation += 1
        self.launched_ms = now_ms
        self.hello = self.question = None
        self.proofs, self.proved_ms, self.serving, self.ending = (), 0, False, False

    def end_life(self) -> MediaProcess | None:
        """The process has ended, and what it reported holds no more. Returns it."""
        process, self.process, self.serving = self.process, None, False
        self.question = None
        self.reports.clear()
        self.stale.clear()
        return process

    def start_message(self, settings: SupervisorSettings) -> Start:
        """All that a process must know before it seals itself."""
        readable = [camera.source.removeprefix("file:") for camera in self.cameras.values()]
        return Start(
            enforce=settings.enforce,
            udp_host=settings.udp_host,
            udp_port=settings.udp_port + self.index if settings.udp_port else 0,
            readable=[path for path in dict.fromkeys(readable) if path.startswith("/")],
            clock_offset_ms=settings.clock_offset_ms,
            max_viewers=settings.max_viewers,
        )

    def send(self, message: Message) -> None:
        """Pass a message to the process, if one runs."""
        if self.process is not None:
            self.process.send(message)

    def ask(self, now_ms: int) -> None:
        """Ask the process to prove its seal."""
        self.question = Question(secrets.token_urlsafe(24), now_ms)
        self.send(RunProof(nonce=self.question.nonce))

    def ask_now(self, now_ms: int) -> None:
        """The same for a process that serves and is not being asked already."""
        if self.serving and self.question is None:
            self.ask(now_ms)

    def take_report(self, report: CameraReport) -> bool:
        """Take the report of a camera. Returns whether it counts: it is of one that this process was told to read."""
        if not self.serving or report.camera not in self.cameras:
            return False
        self.reports[report.camera] = report
        self.stale.discard(report.camera)
        return True

    def retry(self, now_ms: int) -> None:
        """Have a slot without a process begin its next life at the next tick, whatever became of the lives before."""
        if self.process is None:
            self.state.forgive()
            self.relaunch_ms = now_ms

    def take_proof(self, proof: Proof, now_ms: int) -> Verdict | None:
        """Take the proof of one thread. None until the other's has come too, and for one that was not asked for."""
        question = self.question
        if question is None or proof.nonce != question.nonce:
            logger.warning("media process %d sent a proof that was not asked for", self.index)
            return None
        question.answers[proof.thread] = proof
        if len(question.answers) < 2:  # the first and the second thread's
            return None
        self.question = None
        if not self.proofs:
            self.written_before = max(answer.written_octets for answer in question.answers.values())
        self.proofs, self.proved_ms = (question.answers["first"], question.answers["second"]), now_ms
        broken = [attempt.name for answer in self.proofs for attempt in answer.attempts if not attempt.refused]
        named = ", ".join(dict.fromkeys(broken)) or "unknown"
        return Verdict(all(answer.holds for answer in self.proofs), named[:200])

    def serve(self) -> None:
        """Send the process its cameras. From now on viewers may be sent to it too."""
        if self.serving:
            return
        self.serving = True
        for camera in self.cameras.values():
            self.send(camera)

    def status(self, camera: str, now_ms: int) -> CameraStatus:
        """How a camera of this slot is: what outweighs the process's own word, the weightiest first."""
        report = self.reports.get(camera)
        state, reason, since = self._weigh(camera, report, now_ms)
        return CameraStatus(report, state, reason, since, self.incarnation, self.index)

    def _weigh(
        self, camera: str, report: CameraReport | None, now_ms: int
    ) -> tuple[CameraStateName, CameraReason, int]:
        since = self.state.since_ms
        if self.held:
            return "failed", "guarantee-broken", since
        if self.state.state == "failed":
            return "failed", "process-lost", since
        if not self.serving:
            if self.cameras[camera].curtain:
                return "curtain", "", since  # nothing flows, and nothing will
            return "connecting", "process-lost" if self.incarnation > 1 else "not-sealed", since
        if report is None:
            return "connecting", "", since
        if report.state == "live" and now_ms - report.sent_ms > REPORT_OVERDUE_MS:
            return "stale", "no-packets", report.sent_ms
        return report.state, report.reason, report.since_ms

    def newly_stale(self, now_ms: int) -> list[str]:
        """Cameras whose reports have just ceased; each is named once."""
        overdue = [
            camera
            for camera, report in self.reports.items()
            if camera not in self.stale and now_ms - report.sent_ms > REPORT_OVERDUE_MS
        ]
        self.stale.update(overdue)
        return overdue

    @property
    def written_octets(self) -> int:
        """What the kernel has counted as written by the process since its first proof.

        Before that it reads its own program, which changes the times at which those files were last read, and the
        kernel counts this too. It reads no camera by then, so nothing of a picture can be in it.
        """
        return max((proof.written_octets for proof in self.proofs), default=self.written_before) - self.written_before

    def guarantee(self) -> ProcessGuarantee:
        """What is known of this slot's seal."""
        process = self.process
        return ProcessGuarantee(
            index=self.index,
            pid=process.pid if process else 0,
            incarnation=self.incarnation,
            state=self.state.state,
            since_ms=self.state.since_ms,
            hello=self.hello,
            proofs=self.proofs,
            proved_ms=self.proved_ms,
            written_octets=self.written_octets,
            why=self.why,
            door_bytes=process.door.bytes_in if process else 0,
            log_bytes=process.log.bytes_in if process else 0,
            log_dropped=process.log.dropped if process else 0,
        )


def deal_out(cameras: Sequence[AddCamera], processes: int) -> list[Slot]:
    """Slots for so many processes (0: one for each core), but no more than there are bays.

    The cameras are dealt out by bay, so that a bay's main and sub stream share a process.
    """
    bays = list(dict.fromkeys(camera.camera.removesuffix(SUB_STREAM) for camera in cameras))
    wanted = processes or len(os.sched_getaffinity(0))
    count = max(1, min(wanted, len(bays)))
    slots = [Slot(index, ProcessState(index)) for index in range(count)]
    for camera in cameras:
        slot = slots[bays.index(camera.camera.removesuffix(SUB_STREAM)) % count]
        slot.cameras[camera.camera] = camera
    return slots
