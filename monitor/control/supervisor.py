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
import logging
from collections.abc import Callable, Sequence

from monitor.control.clock import service_ms
from monitor.control.media_cameras import MediaCameras
from monitor.control.media_process import MediaProcess, all_ended
from monitor.control.media_sessions import MediaSessions
from monitor.control.media_slot import (
    CameraStatus,
    ProcessGuarantee,
    Slot,
    SupervisorSettings,
    deal_out,
)
from monitor.control.media_spare import MediaSpare
from monitor.core.messages import (
    AddCamera,
    CameraReport,
    Fault,
    Hello,
    Proof,
    Stop,
    ToControl,
    ViewerAnswer,
    ViewerClosed,
    ViewerRefused,
)
from monitor.core.process_state import EXIT_UNSEALED, RETRY_MS

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25
START_DEADLINE_SECONDS = 30.0
STOP_SECONDS = 1.0
KILL_SECONDS = 0.5


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
        self._on_guarantee = on_guarantee
        self._module = module
        self._sessions = MediaSessions(on_viewer_closed)
        self._spare = MediaSpare(module)
        self._slots = deal_out(cameras, settings.processes)
        self._cameras = MediaCameras(self._slots)
        self._ticking: asyncio.Task[None] | None = None
        self._stopping = False
        self._held = ""
        """Why no process may run."""

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
        spare = self._spare.stop()
        if spare is not None:
            running.append(spare)
        if await all_ended(running, STOP_SECONDS):
            return
        for process in running:
            if not process.ended.is_set():
                process.kill()
        await all_ended(running, KILL_SECONDS)

    def camera(self, camera: str) -> CameraStatus:
        """How a camera is. Raises NotFound."""
        return self._cameras.status(camera, self._now())

    async def add_viewer(self, camera: str, viewer: str, offer: str) -> ViewerAnswer:
        """Offer a browser's session to the camera's process.

        Raises NotFound, BadOffer, TooMany as the process answers, Unavailable where none is proved or it does not
        answer.
        """
        return await self._sessions.open(self._cameras.slot(camera), camera, viewer, offer)

    def close_viewer(self, viewer: str) -> None:
        """End a session; one that is not known (any more) is no error. `on_viewer_closed` follows."""
        self._sessions.close(viewer)

    def set_curtain(self, camera: str, closed: bool) -> None:
        """Draw or open a camera's curtain; a process that is replaced starts with it as it is. Raises NotFound."""
        self._cameras.set_curtain(camera, closed)
        self._on_camera(camera)

    def guarantee(self) -> list[ProcessGuarantee]:
        """What is known of each process's seal."""
        return [slot.guarantee() for slot in self._slots]

    @property
    def spare_pid(self) -> int:
        """Of the process that stands by (see `media_spare.py`); 0 where there is none."""
        return self._spare.pid

    def prove(self) -> None:
        """Have every process that serves prove its seal now, instead of within a minute."""
        for slot in self._slots:
            slot.ask_now(self._now())

    def end_process(self, index: int, why: str) -> None:
        """End a process whose seal was seen to be broken from outside; it is replaced like any that died."""
        self._end(self._slots[index], why)

    def hold(self, why: str) -> None:
        """No picture until `release`: end all processes and start none, for the machine itself cannot be trusted."""
        if self._held:
            return
        self._held = why
        self._spare.drop()
        for slot in self._slots:
            slot.held = True
            self._end(slot, why)

    def release(self) -> None:
        """What `hold` was for is mended: start all processes again."""
        if not self._held:
            return
        logger.warning("media processes are started again; mended is: %s", self._held)
        self._held = ""
        for slot in self._slots:
            slot.held = False
        self.retry()

    @property
    def held(self) -> str:
        """Why no process may run; empty where they may."""
        return self._held

    def add_camera(self, index: int, camera: AddCamera) -> None:
        """Have a process read one more camera, for the audit's canary. Raises Conflict, NotFound."""
        self._cameras.add(index, camera)

    def remove_camera(self, camera: str) -> None:
        """Have it no longer read; its window is zeroed. Raises NotFound."""
        self._cameras.remove(camera)

    def retry(self) -> None:
        """Try failed processes again now, instead of within a minute: the operator mended something."""
        for slot in self._slots:
            slot.retry(self._now())

    # ---- lives -------------------------------------------------------------------------------------------------------

    def _launch(self, slot: Slot) -> None:
        slot.begin_life(self._now())
        start = slot.start_message(self._settings)
        try:
            process = self._spare.take() or MediaProcess(lambda _: None, self._module)
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

    def _on_ended(self, slot: Slot, code: int) -> None:
        process, now = slot.end_life(), self._now()
        slot.state.on("exit", now)
        if self._stopping:
            return
        if not slot.ending:  # else it is known why
            said = process.log.last_words if process is not None else ""
            slot.why = said or (f"ended by signal {-code}" if code < 0 else f"ended with code {code}")
        logger.error("media process %d ended (code %d): %s", slot.index, code, slot.why)
        self._sessions.forget(slot)
        if slot.held:
            slot.relaunch_ms = now
            self._changed(slot)
            return
        # A seal that cannot be closed now cannot be closed a second later either: that is a failure at once.
        if code != EXIT_UNSEALED and slot.state.may_restart(now):
            self._launch(slot)
            return
        if slot.state.on("give-up", now):
            logger.error("media process %d has failed; it is tried again in %d s", slot.index, RETRY_MS // 1000)
        slot.relaunch_ms = now + RETRY_MS
        self._changed(slot)

    def _end(self, slot: Slot, why: str) -> None:
        """End a process that is not to be trusted any more; it is replaced like any that died."""
        logger.error("media process %d is ended: %s", slot.index, why)
        slot.why, slot.serving, slot.question = why, False, None
        if slot.process is not None:
            slot.ending = True
            slot.process.kill()
        self._changed(slot)

    # ---- messages ----------------------------------------------------------------------------------------------------

    def _on_message(self, slot: Slot, message: ToControl) -> None:
        if slot.ending:
            return
        if isinstance(message, CameraReport):
            if slot.take_report(message):
                self._on_camera(message.camera)
        elif isinstance(message, Hello):
            slot.hello = message
            slot.state.on("hello", self._now())
            slot.ask(self._now())
            self._changed(slot)
        elif isinstance(message, Proof):
            self._on_proof(slot, message)
        elif isinstance(message, ViewerAnswer):
            self._sessions.answered(slot, message)
        elif isinstance(message, ViewerRefused):
            self._sessions.refused(slot, message)
        elif isinstance(message, ViewerClosed):
            self._sessions.closed(slot, message)
        elif isinstance(message, Fault):
            logger.warning("media process %d: %s (%d)", slot.index, message.what, message.count)

    def _on_proof(self, slot: Slot, proof: Proof) -> None:
        verdict = slot.take_proof(proof, self._now())
        if verdict is None:
            return
        if verdict.holds:
            slot.why = ""
            slot.state.on("proof", self._now())
            slot.serve()
        else:
            self._distrust(slot, f"the proof of the seal failed: {verdict.broken}")
        self._changed(slot)

    def _distrust(self, slot: Slot, why: str) -> None:
        """A proof that failed or did not come."""
        if self._settings.enforce == "strict":
            self._end(slot, why)
            return
        logger.warning("media process %d: %s (enforce = warn: it goes on)", slot.index, why)
        slot.why = why
        slot.serve()

    # ---- time --------------------------------------------------------------------------------------------------------

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for slot in self._slots:
                self._tick(slot, self._now())
            # Only when all others are up, so that it holds up none of them.
            if self._settings.spare and not self._held and all(slot.serving for slot in self._slots):
                self._spare.keep(self._now())

    def _tick(self, slot: Slot, now: int) -> None:
        if slot.process is None:
            if not slot.held and slot.relaunch_ms is not None and now >= slot.relaunch_ms:
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
            slot.ask(self._now())
        for camera in slot.newly_stale(now):
            self._on_camera(camera)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _changed(self, slot: Slot) -> None:
        self._on_guarantee()
        for camera in slot.cameras:
            self._on_camera(camera)

    def _now(self) -> int:
        return service_ms(self._settings.clock_offset_ms)
