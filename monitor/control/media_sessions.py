"""Which media process carries which viewer's session, and the offers that it has not answered yet.

It must never take a word about a session from another process than the one that carries it. Who the viewers are it does
not know: that is `viewers.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from monitor.control.media_slot import Slot
from monitor.core.errors import BadOffer, DoorError, NotFound, TooMany, Unavailable, VigilError
from monitor.core.messages import AddViewer, CloseViewer, ViewerAnswer, ViewerClosed, ViewerRefused, encode
from monitor.core.sdp_answer import NO_H264, NO_H264_HINT

ANSWER_SECONDS = 3.0

_REFUSED: dict[str, str] = {
    "broken-sdp": "the offer is not an SDP that can be read",
    "no-h264": NO_H264,
    "not-receiving": "the offer does not ask to receive video",
    "no-fingerprint": "the offer has no SHA-256 DTLS fingerprint",
    "no-ice": "the offer has no ICE user name and password",
}
_HINTS: dict[str, str] = {
    "no-h264": NO_H264_HINT,
}


class MediaSessions:
    """All sessions of all processes. `on_closed(viewer, why)` is called when one ends: `why` is ViewerClosed's, or
    `process-lost`."""

    def __init__(self, on_closed: Callable[[str, str], None]) -> None:
        self._on_closed = on_closed
        self._slots: dict[str, Slot] = {}
        self._waiting: dict[str, tuple[Slot, asyncio.Future[ViewerAnswer]]] = {}

    async def open(self, slot: Slot, camera: str, viewer: str, offer: str) -> ViewerAnswer:
        """Offer a browser's session to a process.

        Raises NotFound, BadOffer, TooMany as the process answers, Unavailable where none serves or it does not answer.
        """
        if not slot.serving or slot.process is None:
            raise Unavailable("the camera's media process is not ready", "try again in some seconds")
        offered = AddViewer(viewer=viewer, camera=camera, offer=offer)
        try:
            encode(offered)
        except DoorError:  # within the limit of characters, but of such as JSON writes with several
            raise BadOffer("the offer does not fit through the door", "send the browser's own SDP offer") from None
        answer: asyncio.Future[ViewerAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[viewer] = (slot, answer)
        process = slot.process
        process.send(offered)
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

    def close(self, viewer: str) -> None:
        """End a session; one that is not known (any more) is no error. `on_closed` follows."""
        slot = self._slots.get(viewer)
        if slot is not None:
            slot.send(CloseViewer(viewer=viewer))

    def answered(self, slot: Slot, message: ViewerAnswer) -> None:
        """A process takes a session."""
        if answer := self._awaited(slot, message.viewer):
            self._slots[message.viewer] = slot
            answer.set_result(message)

    def refused(self, slot: Slot, message: ViewerRefused) -> None:
        """A process does not take a session."""
        if answer := self._awaited(slot, message.viewer):
            answer.set_exception(_refusal(message))

    def closed(self, slot: Slot, message: ViewerClosed) -> None:
        """A process says that a session is over."""
        if self._slots.get(message.viewer) is slot:
            del self._slots[message.viewer]
            self._on_closed(message.viewer, message.why)

    def forget(self, slot: Slot) -> None:
        """A process has ended, and with it all its sessions."""
        for viewer, (its_slot, answer) in list(self._waiting.items()):
            if its_slot is slot and not answer.done():
                self._waiting.pop(viewer)
                answer.set_exception(Unavailable("the media process ended", "try again in some seconds"))
        for viewer in [viewer for viewer, its_slot in self._slots.items() if its_slot is slot]:
            del self._slots[viewer]
            self._on_closed(viewer, "process-lost")

    def _awaited(self, slot: Slot, viewer: str) -> asyncio.Future[ViewerAnswer] | None:
        """The answer that is still awaited from this process."""
        its_slot, answer = self._waiting.get(viewer, (None, None))
        return answer if its_slot is slot and answer is not None and not answer.done() else None


def _refusal(message: ViewerRefused) -> VigilError:
    if message.why == "unknown-camera":
        return NotFound("the media process does not know this camera")
    if message.why == "too-many":
        return TooMany("too many sessions are open", "close one, or raise the limit")
    return BadOffer(_REFUSED[message.why], _HINTS.get(message.why, ""))
