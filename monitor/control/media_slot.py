"""What the control process knows of one media process over all its lives, and how it shows that process's cameras.

Records and what follows from them; what is done about them is in `supervisor.py`. This module must never show a camera
as live on the word of a process that is not proved or that has gone silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from monitor.control.media_process import MediaProcess
from monitor.core.camera_state import CameraReason, CameraStateName
from monitor.core.messages import AddCamera, CameraReport, Hello, Message, Proof
from monitor.core.process_state import ProcessState, ProcessStateName

REPORT_STALE_MS = 1500
"""Reports come twice a second: without one for so long, the process hangs, and its pictures with it."""


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
    why: str = ""
    serving: bool = False
    """Cameras and viewers may be sent: proved, or, under `warn`, at least asked and answered."""
    reports: dict[str, CameraReport] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)
    relaunch_ms: int | None = None
    ending: bool = False
    """It was killed and its end is awaited: nothing that it still says counts."""

    def send(self, message: Message) -> None:
        """Pass a message to the process, if one runs."""
        if self.process is not None:
            self.process.send(message)

    def status(self, camera: str, now_ms: int) -> CameraStatus:
        """How a camera of this slot is: what outweighs the process's own word, the weightiest first."""
        report = self.reports.get(camera)
        state, reason, since = self._weigh(camera, report, now_ms)
        return CameraStatus(report, state, reason, since, self.incarnation)

    def _weigh(
        self, camera: str, report: CameraReport | None, now_ms: int
    ) -> tuple[CameraStateName, CameraReason, int]:
        since = self.state.since_ms
        if self.state.state == "failed":
            return "failed", "process-lost", since
        if not self.serving:
            if self.cameras[camera].curtain:
                return "curtain", "", since  # nothing flows, and nothing will
            return "connecting", "process-lost" if self.incarnation > 1 else "not-sealed", since
        if report is None:
            return "connecting", "", since
        if report.state == "live" and now_ms - report.sent_ms > REPORT_STALE_MS:
            return "stale", "no-packets", report.sent_ms
        return report.state, report.reason, report.since_ms

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
            why=self.why,
            door_bytes=process.door.bytes_in if process else 0,
            log_bytes=process.log.bytes_in if process else 0,
            log_dropped=process.log.dropped if process else 0,
        )
