"""Keeps the media processes: starts them, has them prove their seal, replaces dead ones, and routes to proved ones
only.

It must never send a camera or a viewer to a process that has not proved its seal in this life, from its first and from
a second thread. Under `enforce = "strict"` it ends a process whose proof fails or is late; under `warn` it says so and
goes on.

Theory of operation: each slot holds one process over all its lives (`core/process_state.py` has the table). Messages
and ends come in as callbacks; what hangs on time (proofs due and late, starts that hang, failed processes to try again,
reports that ceased) is done by one tick. All of it runs in one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence

from monitor.control.media_process import MediaProcess
from monitor.control.media_slot import (
    REPORT_STALE_MS,
    CameraStatus,
    ProcessGuarantee,
    Question,
    Slot,
    SupervisorSettings,
)
from monitor.core.errors import BadOffer, NotFound, TooMany, Unavailable, VigilError
from monitor.core.messages import (
    AddCamera,
    AddViewer,
    CameraReport,
    CloseViewer,
    Fault,
    Hello,
    Proof,
    RunProof,
    SetCurtain,
    Start,
    Stop,
    ToControl,
    ViewerAnswer,
    ViewerClosed,
    ViewerRefused,
)
from monitor.core.process_state import EXIT_UNSEALED, RETRY_MS, ProcessState

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25
START_DEADLINE_SECONDS = 30.0
ANSWER_SECONDS = 3.0
SPARE_PAUSE_MS = 10_000
STOP_SECONDS = 1.0
KILL_SECONDS = 0.5
SUB_STREAM = ".sub"

_REFUSED: dict[str, str] = {
    "broken-sdp": "the offer is not an SDP that can be read",
    "no-h264": "the offer has no H.264 with packetization-mode 1",
    "not-receiving": "the offer does not ask to receive video",
    "no-fingerprint": "the offer has no SHA-256 DTLS fingerprint",
    "no-ice": "the offer has no ICE user name and password",
}


class Supervisor:
    """All media processes. `cameras` are dealt out by bay, so that a bay's main and sub stream share a process.

    `on_camera(camera)` is called at each report and whenever a camera's status changes otherwise,
    `on_viewer_closed(viewer, why)` when a session ends (`why` is ViewerClosed's, or `process-lost`),
    `on_guarantee()` when `guarantee()` has something new. `module` is the media process to run; tests give their own.
    """

    def __init__(
        self,
        settings: SupervisorSettings,
        cameras: Sequence[AddCamera],
        on_camera: Callable[[str], None],
        on_viewer_closed: Callable[[str, str], None],
        on_guarantee: Callable[[], None],
        *,
        module: str = "monitor.media.process",
    ) -> None:
        self._settings = settings
        self._on_camera = on_camera
        self._on_viewer_closed = on_viewer_closed
        self._on_guarantee = on_guarantee
        self._module = module
        bays = list(dict.fromkeys(camera.camera.removesuffix(SUB_STREAM) for camera in cameras))
        wanted = settings.processes or len(os.sched_getaffinity(0))
        count = max(1, min(wanted, len(bays)))
        self._slots = [Slot(index, ProcessState(index)) for index in range(count)]
        self._slot_of: dict[str, Slot] = {}
        for camera in cameras:
            slot = self._slots[bays.index(camera.camera.removesuffix(SUB_STREAM)) % count]
            slot.cameras[camera.camera] = camera
            self._slot_of[camera.camera] = slot
        self._viewers: dict[str, Slot] = {}
        self._waiting: dict[str, tuple[Slot, asyncio.Future[ViewerAnswer]]] = {}
        self._ticking: asyncio.Task[None] | None = None
        self._stopping = False
        self._spare: MediaProcess | None = None
        self._spare_due_ms = 0

    # ---- what others call --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start all processes; does not wait for their proofs. Call it in the main thread's event loop."""
        for slot in self._slots:
            self._launch(slot)
        self._ticking = asyncio.create_task(self._tick_for_ever())

    async def stop(self) -> None:
        """End all processes: asked first, killed after a second."""
        self._stopping = True
        if self._ticking is not None:
            self._ticking.cancel()
        running = [slot.process for slot in self._slots if slot.process is not None]
        for process in running:
            process.send(Stop())
        if self._spare is not None:
            self._spare.kill()  # it has nothing to put away
            running.append(self._spare)
        if await self._all_ended(running, STOP_SECONDS):
            return
        for process in running:
            if not process.ended.is_set():
                process.kill()
        await self._all_ended(running, KILL_SECONDS)

    def camera(self, camera: str) -> CameraStatus:
        """How a camera is. Raises NotFound."""
        return self._slot(camera).status(camera, self._now())

    async def add_viewer(self, camera: str, viewer: str, offer: str) -> ViewerAnswer:
        """Offer a browser's session to the camera's process.

        Raises NotFound, BadOffer, TooMany as the process answers, Unavailable where none is proved or it does not
        answer.
        """
        slot = self._slot(camera)
        if not slot.serving or slot.process is None:
            raise Unavailable("the camera's media process is not ready", "try again in some seconds")
        answer: asyncio.Future[ViewerAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[viewer] = (slot, answer)
        process = slot.process
        process.send(AddViewer(viewer=viewer, camera=camera, offer=offer))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            process.send(CloseViewer(viewer=viewer))
            raise Unavailable("the media process does not answer", "try again in some seconds") from None
        except asyncio.CancelledError:
            process.send(CloseViewer(viewer=viewer))
            raise
        finally:
            self._waiting.pop(viewer, None)

    def close_viewer(self, viewer: str) -> None:
        """End a session; one that is not known (any more) is no error. `on_viewer_closed` follows."""
        slot = self._viewers.get(viewer)
        if slot is not None:
            slot.send(CloseViewer(viewer=viewer))

    def set_curtain(self, camera: str, closed: bool) -> None:
        """Draw or open a camera's curtain; a process that is replaced starts with it as it is. Raises NotFound."""
        slot = self._slot(camera)
        slot.cameras[camera] = slot.cameras[camera].model_copy(update={"curtain": closed})
        if slot.serving:
            slot.send(SetCurtain(camera=camera, closed=closed))
        self._on_camera(camera)

    def guarantee(self) -> list[ProcessGuarantee]:
        """What is known of each process's seal."""
        return [slot.guarantee() for slot in self._slots]

    @property
    def spare_pid(self) -> int:
        """The process that stands by: it imports and waits, has no camera and no port, and seals itself when it is
        needed. 0 where there is none."""
        return self._spare.pid if self._spare is not None else 0

    def retry(self) -> None:
        """Try failed processes again now, instead of within a minute: the operator mended something."""
        for slot in self._slots:
            if slot.process is None:
                slot.state.forgive()
                slot.relaunch_ms = self._now()

    # ---- lives -------------------------------------------------------------------------------------------------------

    def _launch(self, slot: Slot) -> None:
        slot.relaunch_ms = None
        slot.incarnation += 1
        slot.launched_ms = self._now()
        slot.hello = slot.question = None
        slot.proofs, slot.proved_ms, slot.serving, slot.ending = (), 0, False, False
        settings = self._settings
        readable = [camera.source.removeprefix("file:") for camera in slot.cameras.values()]
        start = Start(
            enforce=settings.enforce,
            udp_host=settings.udp_host,
            udp_port=settings.udp_port + slot.index if settings.udp_port else 0,
            readable=[path for path in dict.fromkeys(readable) if path.startswith("/")],
            clock_offset_ms=settings.clock_offset_ms,
            max_viewers=settings.max_viewers,
        )
        try:
            process = self._take_spare() or MediaProcess(lambda _: None, self._module)
        except OSError as error:
            logger.error(  # noqa: TRY400  a traceback says no more
                "media process %d cannot be started: %s", slot.index, error.strerror
            )
            slot.why = f"cannot be started: {error.strerror}"
            slot.state.on("give-up", self._now())
            slot.relaunch_ms = self._now() + RETRY_MS
            self._changed(slot)
            return
        slot.process = process
        slot.state.on("launch", self._now())
        process.begin(
            slot.index,
            start,
            lambda message: self._on_message(slot, message),
            lambda code: self._on_ended(slot, code),
        )
        self._changed(slot)

    def _take_spare(self) -> MediaProcess | None:
        spare, self._spare = self._spare, None
        return spare

    def _keep_spare(self, now: int) -> None:
        """One process stands by with its libraries imported, so that a replacement takes its place at once. It is made
        when all others are up, so that it holds up none of them."""
        if self._spare is not None or not self._settings.spare or now < self._spare_due_ms:
            return
        if all(slot.serving for slot in self._slots):
            self._spare_due_ms = now + SPARE_PAUSE_MS
            try:
                self._spare = MediaProcess(self._on_spare_ended, self._module)
            except OSError as error:
                logger.warning("no media process can be kept ready: %s", error.strerror)

    def _on_spare_ended(self, code: int) -> None:
        if not self._stopping:
            logger.warning("the media process that was kept ready ended (code %d)", code)
        self._spare = None

    def _on_ended(self, slot: Slot, code: int) -> None:
        process, slot.process, slot.serving = slot.process, None, False
        slot.question = None
        slot.reports.clear()
        slot.stale.clear()
        now = self._now()
        slot.state.on("exit", now)
        if self._stopping:
            return
        if not slot.ending:  # else it is known why
            said = process.log.last_words if process is not None else ""
            slot.why = said or (f"ended by signal {-code}" if code < 0 else f"ended with code {code}")
        logger.error("media process %d ended (code %d): %s", slot.index, code, slot.why)
        self._forget_viewers(slot)
        # A seal that cannot be closed now cannot be closed a second later either: that is a failure at once.
        if code != EXIT_UNSEALED and slot.state.may_restart(now):
            self._launch(slot)
            return
        if slot.state.on("give-up", now):
            logger.error("media process %d has failed; it is tried again in %d s", slot.index, RETRY_MS // 1000)
        slot.relaunch_ms = now + RETRY_MS
        self._changed(slot)

    def _forget_viewers(self, slot: Slot) -> None:
        for viewer, (its_slot, answer) in list(self._waiting.items()):
            if its_slot is slot and not answer.done():
                self._waiting.pop(viewer)
                answer.set_exception(Unavailable("the media process ended", "try again in some seconds"))
        for viewer in [viewer for viewer, its_slot in self._viewers.items() if its_slot is slot]:
            del self._viewers[viewer]
            self._on_viewer_closed(viewer, "process-lost")

    def _end(self, slot: Slot, why: str) -> None:
        """End a process that is not to be trusted any more; it is replaced like any that died."""
        logger.error("media process %d is ended: %s", slot.index, why)
        slot.why, slot.serving, slot.question, slot.ending = why, False, None, True
        if slot.process is not None:
            slot.process.kill()
        self._changed(slot)

    # ---- messages ----------------------------------------------------------------------------------------------------

    def _on_message(self, slot: Slot, message: ToControl) -> None:
        if slot.ending:
            return
        if isinstance(message, CameraReport):
            if slot.serving and message.camera in slot.cameras:
                slot.reports[message.camera] = message
                slot.stale.discard(message.camera)
                self._on_camera(message.camera)
        elif isinstance(message, Hello):
            slot.hello = message
            slot.state.on("hello", self._now())
            self._ask(slot)
            self._changed(slot)
        elif isinstance(message, Proof):
            self._on_proof(slot, message)
        elif isinstance(message, ViewerAnswer):
            self._on_answer(slot, message)
        elif isinstance(message, ViewerRefused):
            self._settle(message.viewer, slot, _refusal(message))
        elif isinstance(message, ViewerClosed):
            if self._viewers.get(message.viewer) is slot:
                del self._viewers[message.viewer]
                self._on_viewer_closed(message.viewer, message.why)
        elif isinstance(message, Fault):
            logger.warning("media process %d: %s (%d)", slot.index, message.what, message.count)

    def _on_answer(self, slot: Slot, message: ViewerAnswer) -> None:
        its_slot, answer = self._waiting.get(message.viewer, (None, None))
        if its_slot is slot and answer is not None and not answer.done():
            self._viewers[message.viewer] = slot
            answer.set_result(message)

    def _settle(self, viewer: str, slot: Slot, error: VigilError) -> None:
        its_slot, answer = self._waiting.get(viewer, (None, None))
        if its_slot is slot and answer is not None and not answer.done():
            answer.set_exception(error)

    def _ask(self, slot: Slot) -> None:
        slot.question = Question(secrets.token_urlsafe(24), self._now())
        slot.send(RunProof(nonce=slot.question.nonce))

    def _on_proof(self, slot: Slot, proof: Proof) -> None:
        question = slot.question
        if question is None or proof.nonce != question.nonce:
            logger.warning("media process %d sent a proof that was not asked for", slot.index)
            return
        question.answers[proof.thread] = proof
        if len(question.answers) < 2:  # the first and the second thread's
            return
        slot.question = None
        slot.proofs, slot.proved_ms = (question.answers["first"], question.answers["second"]), self._now()
        broken = [attempt for answer in slot.proofs for attempt in answer.attempts if not attempt.refused]
        if all(answer.holds for answer in slot.proofs):
            slot.why = ""
            slot.state.on("proof", self._now())
            self._serve(slot)
        else:
            named = ", ".join(dict.fromkeys(attempt.name for attempt in broken)) or "unknown"
            self._distrust(slot, f"the proof of the seal failed: {named[:200]}")
        self._changed(slot)

    def _distrust(self, slot: Slot, why: str) -> None:
        """A proof that failed or did not come."""
        if self._settings.enforce == "strict":
            self._end(slot, why)
            return
        logger.warning("media process %d: %s (enforce = warn: it goes on)", slot.index, why)
        slot.why = why
        self._serve(slot)

    def _serve(self, slot: Slot) -> None:
        if slot.serving:
            return
        slot.serving = True
        for camera in slot.cameras.values():
            slot.send(camera)

    # ---- time --------------------------------------------------------------------------------------------------------

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for slot in self._slots:
                self._tick(slot, self._now())
            self._keep_spare(self._now())

    def _tick(self, slot: Slot, now: int) -> None:
        if slot.process is None:
            if slot.relaunch_ms is not None and now >= slot.relaunch_ms:
                self._launch(slot)
            return
        if slot.ending:
            return
        if slot.hello is None:
            if now - slot.launched_ms > START_DEADLINE_SECONDS * 1000:
                self._end(slot, "it did not come up in time")
            return
        if slot.question is not None:
            if now - slot.question.asked_ms > self._settings.proof_deadline * 1000:
                slot.question = None
                self._distrust(slot, "the proof of the seal is late")
                self._changed(slot)
        elif now - slot.proved_ms >= self._settings.proof_interval * 1000:
            self._ask(slot)
        for camera, report in slot.reports.items():
            if camera not in slot.stale and now - report.sent_ms > REPORT_STALE_MS:
                slot.stale.add(camera)
                self._on_camera(camera)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _changed(self, slot: Slot) -> None:
        self._on_guarantee()
        for camera in slot.cameras:
            self._on_camera(camera)

    def _slot(self, camera: str) -> Slot:
        try:
            return self._slot_of[camera]
        except KeyError:
            raise NotFound(f"no camera is called {camera[:64]!r}") from None

    def _now(self) -> int:
        return int(time.monotonic() * 1000) + self._settings.clock_offset_ms

    @staticmethod
    async def _all_ended(processes: Sequence[MediaProcess], seconds: float) -> bool:
        if not processes:
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for process in processes:
                    await process.ended.wait()
        return all(process.ended.is_set() for process in processes)


def _refusal(message: ViewerRefused) -> VigilError:
    if message.why == "unknown-camera":
        return NotFound("the media process does not know this camera")
    if message.why == "too-many":
        return TooMany("too many sessions are open", "close one, or raise the limit")
    return BadOffer(_REFUSED[message.why])
