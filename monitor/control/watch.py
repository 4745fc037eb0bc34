"""The watch: looks at the media processes and the machine from outside, twice a minute, and acts on what it sees.

What is broken becomes a `guarantee` event (a banner on every screen), a metric and an entry of the journal, at once and
once; what is mended likewise. Under `enforce = "strict"` a break in one media process ends it, and another takes its
place; a break of the machine itself (`OF_MACHINE`) ends them all, and none runs until a later round sees it mended: no
picture rather than a picture that might be stored. Rows 9, 11, 12, 13 and 20, and a spare process that is not as it
should be, are told and not acted on: a camera's own memory card, say, is not emptied by taking the picture from the
nurse.

It must never hold up the event loop (the looking is done in a thread of its own, `watch_look.py`), never say of an
older process what is true of its successor, and never take a break for mended because nobody looked: a row stays broken
until a round that saw every process finds it whole. A round that fails makes nothing hold: after `OVERDUE_MS` without
one the guarantee counts as not known.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from monitor.control.guarantee import Watched
from monitor.control.media_room import MediaRoom, ProcessGuarantee
from monitor.core.errors import VigilError
from monitor.evidence.finding import Finding, combined
from monitor.evidence.words import say_all

logger = logging.getLogger(__name__)

EVERY_SECONDS = 30.0
"""Between two rounds. GUARANTEE.md wants every break seen within a minute."""
START_SECONDS = 15.0
"""How long the first round waits for the processes' proofs."""
PAUSE_SECONDS = 1.0
"""The shortest time between two rounds, however much happens."""
LOOK_SECONDS = 20.0
"""How long a round may take: one that hangs (in a kernel's lock, say) has failed."""
OVERDUE_MS = 90_000

OF_PROCESS = frozenset({1, 2, 3, 4, 5, 6, 7, 10, 15, 18, 19})
"""Rows of which a break in one media process ends that process (5: a part of its memory is in swap)."""
OF_MACHINE = frozenset({5, 6})
"""Rows of which a break of the machine lets no media process run: swap, hibernation, core dumps."""


@dataclass(frozen=True)
class Subject:
    """What one round looks at, as it was when the round began."""

    at: float
    """Monotonic seconds."""
    processes: tuple[ProcessGuarantee, ...]
    spare_pid: int
    held: bool
    residency: tuple[tuple[int, str, int], ...] = ()
    """Process, camera, milliseconds: the longest that a byte lived in that camera's window."""
    cameras: tuple[Finding, ...] = ()
    """What the cameras said of their own recording."""


@dataclass(frozen=True)
class Seen:
    """What one round saw."""

    machine: tuple[Finding, ...] = ()
    """Of the machine, `OF_MACHINE` among them, and of all that is no single process's."""
    of_process: Mapping[int, tuple[Finding, ...]] = field(default_factory=dict)
    """By the process's number; one that is missing could not be looked at."""


@dataclass(frozen=True)
class WatchReport:
    """What the watch can say now."""

    watched: Watched = field(default_factory=Watched)
    findings: tuple[Finding, ...] = ()
    """Of the newest round, one for each row that it looks at; rows that are not mended yet stay broken."""


class Look(Protocol):
    """One round of looking."""

    def __call__(self, subject: Subject) -> Seen:
        """Look. Runs in a thread of its own, one at a time. Raises OSError or VigilError where it cannot."""

    def failed_proofs(self, processes: Sequence[ProcessGuarantee]) -> list[Finding]:
        """What of these processes' own proofs is broken. Takes no time."""


class Records(Protocol):
    """The journal, as the watch writes it. None of these raises where the journal cannot be written."""

    async def broke(self, finding: Finding) -> None:
        """A row is broken from now on."""

    async def mended(self, row: int) -> None:
        """It is no more."""

    async def looked(self, findings: Sequence[Finding], ok: bool) -> None:
        """A round was made."""


class Watch:
    """The watch over one site. `cameras` gives the cameras' own findings and the bays whose camera records; `tell` is
    called whenever what screens are told may have changed."""

    def __init__(
        self,
        media: MediaRoom,
        look: Look,
        records: Records,
        *,
        strict: bool,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
        camera_ids: Sequence[str],
        cameras: Callable[[], tuple[Sequence[Finding], Sequence[str]]],
        tell: Callable[[], None],
    ) -> None:
        self._media = media
        self._look = look
        self._records = records
        self._strict = strict
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._camera_ids = camera_ids
        self._cameras = cameras
        self._tell = tell
        self._thread = ThreadPoolExecutor(1, "watch")
        self._looking: asyncio.Future[Seen] | None = None
        self._writing: asyncio.Future[None] | None = None
        self._wake = asyncio.Event()
        self._said = ""
        """Why the newest round failed."""
        self._checked_ms = 0
        self._broken: dict[int, Finding] = {}
        self._findings: list[Finding] = []
        self._failed: list[Finding] = []
        """Of proofs that failed since the last round: their process may be gone when the next one looks."""

    # ---- what others read --------------------------------------------------------------------------------------------

    @property
    def watched(self) -> Watched:
        """What the watch says now."""
        overdue = self._checked_ms > 0 and self._now_ms() - self._checked_ms > OVERDUE_MS
        bays = tuple(self._cameras()[1])
        return Watched(self._checked_ms, tuple(sorted(self._broken)), bays, overdue, self._media.held)

    def report(self) -> WatchReport:
        """All that it can say now."""
        rows = {finding.row: finding for finding in self._findings} | self._broken
        return WatchReport(self.watched, tuple(rows[row] for row in sorted(rows)))

    # ---- what happens ------------------------------------------------------------------------------------------------

    def guarantee_changed(self) -> None:
        """A process proved its seal, lost it, ended or began."""
        failed = self._look.failed_proofs(self._media.guarantee())
        if failed:
            self._failed = combined([*self._failed, *failed])
        if failed or self._broken or not self._checked_ms:
            self._wake.set()
        self._tell()

    def cameras_changed(self) -> None:
        """A camera was asked whether it records."""
        self._wake.set()

    async def run(self) -> None:
        """Look again and again; never returns."""
        try:
            await self._proved(START_SECONDS)
            while True:
                self._wake.clear()
                await self.look_now()
                pause = min(PAUSE_SECONDS, EVERY_SECONDS)
                await asyncio.sleep(pause)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(EVERY_SECONDS - pause):
                        await self._wake.wait()
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)
            if self._writing is not None:
                await self._writing

    async def _proved(self, seconds: float) -> None:
        """Wait until every process has proved its seal or failed, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not all(one.state in {"proved", "failed"} or one.proofs for one in self._media.guarantee()):
                    self._wake.clear()
                    await self._wake.wait()

    async def look_now(self) -> None:
        """One round: look, act, tell, write it down."""
        subject = self._subject()
        seen = await self._seen(subject)
        if seen is None:
            self._tell()  # by and by it is overdue
            return
        before = self.watched
        broke, mended = self._take(subject, seen)
        if self._strict:
            self._act(subject, seen)
        if self.watched.ok != before.ok or broke or mended or self.watched.bays != before.bays or not before.checked_ms:
            self._tell()
        self._writing = asyncio.ensure_future(self._write_down(broke, mended, self.report()))
        await asyncio.shield(self._writing)  # the site's last entry comes after this one

    async def _write_down(self, broke: Sequence[Finding], mended: Sequence[int], report: WatchReport) -> None:
        for finding in broke:
            await self._records.broke(finding)
        for row in mended:
            await self._records.mended(row)
        await self._records.looked(report.findings, report.watched.ok)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _subject(self) -> Subject:
        residency = []
        for camera in self._camera_ids:
            status = self._media.camera(camera)
            if status.report is not None:
                residency.append((status.process, camera, status.report.residency_max_ms))
        return Subject(
            at=self._monotonic(),
            processes=tuple(self._media.guarantee()),
            spare_pid=self._media.spare_pid,
            held=bool(self._media.held),
            residency=tuple(residency),
            cameras=tuple(self._cameras()[0]),
        )

    async def _seen(self, subject: Subject) -> Seen | None:
        """What the thread saw; None where it failed, which is said."""
        if self._looking is not None and not self._looking.done():
            self._trouble("it has not come back from the round before")
            return None
        self._looking = asyncio.get_running_loop().run_in_executor(self._thread, self._look, subject)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                seen = await asyncio.shield(self._looking)
        except TimeoutError:
            self._trouble(f"it took more than {LOOK_SECONDS:g} s")
        except VigilError as error:
            self._trouble(error.message)
        except OSError as error:
            self._trouble(error.strerror or "it may not")
        except Exception as error:  # noqa: BLE001
            # A fault of ours, met by a kernel that answers as none did before. Patients' calls must go on, and the
            # guarantee is not known any more, which every screen says as soon as it is overdue.
            self._trouble(type(error).__name__, error)
        else:
            self._said = ""
            return seen
        return None

    def _trouble(self, why: str, error: Exception | None = None) -> None:
        """Say why a round failed: once, not at each round."""
        if why != self._said:
            logger.error("the watch could not look at the processes: %s", why, exc_info=error)
        self._said = why

    def _take(self, subject: Subject, seen: Seen) -> tuple[list[Finding], list[int]]:
        """Take over what a round saw. Returns what broke and which rows were mended."""
        now = self._media.guarantee()
        same = [
            number < len(now) and now[number].incarnation == one.incarnation
            for number, one in enumerate(subject.processes)
        ]
        of_process = {number: found for number, found in seen.of_process.items() if same[number]}
        # Nothing can be wrong with a process that is not there.
        complete = all(
            number in of_process or (one.pid == 0 and (one.state == "failed" or subject.held))
            for number, one in enumerate(subject.processes)
        )
        failed, self._failed = self._failed, []
        self._findings = combined([*seen.machine, *_all(of_process.values()), *failed])
        self._checked_ms = self._now_ms()
        found = {finding.row: finding for finding in self._findings if finding.verdict == "broken"}
        broke = [finding for row, finding in found.items() if row not in self._broken]
        mended = [row for row in self._broken if row not in found] if complete else []
        for finding in broke:
            logger.error("the guarantee is broken, row %d: %s", finding.row, _words(finding))
        for row in mended:
            logger.warning("the guarantee's row %d is mended", row)
        kept = {row: finding for row, finding in self._broken.items() if row not in mended}
        self._broken = kept | found
        return broke, mended

    def _act(self, subject: Subject, seen: Seen) -> None:
        """What `strict` asks for."""
        of_machine = [one for one in seen.machine if one.verdict == "broken" and one.row in OF_MACHINE]
        if of_machine:
            self._media.hold(_words(of_machine[0]))
            return
        self._media.release()
        now = self._media.guarantee()
        for number, found in seen.of_process.items():
            wrong = [one for one in found if one.verdict == "broken" and one.row in OF_PROCESS]
            if wrong and now[number].pid and now[number].incarnation == subject.processes[number].incarnation:
                self._media.end_process(number, _words(wrong[0]))


def _all(groups: Iterable[Iterable[Finding]]) -> list[Finding]:
    return [finding for group in groups for finding in group]


def _words(finding: Finding) -> str:
    """For the log: English, as all of it."""
    return say_all("en", finding.why)
