"""What the control room needs of the media room, declared beside its consumer. `supervisor.py` is the real one.

Nothing here may hold a frame: states, figures and proofs only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.core.camera_state import CameraReason, CameraStateName
from monitor.core.messages import AddCamera, CameraReport, Hello, Proof, ViewerAnswer


class CameraStatus(Protocol):
    """How a camera is, with what its process's own state adds to it."""

    @property
    def report(self) -> CameraReport | None:
        """The newest report of the camera; None before the first."""

    @property
    def state(self) -> CameraStateName:
        """As staff see it."""

    @property
    def reason(self) -> CameraReason:
        """Why; empty where there is nothing to say."""

    @property
    def since_ms(self) -> int:
        """When it took this state, in service time."""

    @property
    def incarnation(self) -> int:
        """Grows with each start of the camera's process: what was watched through an older one is over."""

    @property
    def process(self) -> int:
        """The number of the process that reads it, as in `guarantee`."""


class ProcessGuarantee(Protocol):
    """What a media process has proved."""

    @property
    def pid(self) -> int:
        """Its process id; 0 where none runs."""

    @property
    def incarnation(self) -> int:
        """Which start this is, from 1."""

    @property
    def state(self) -> str:
        """starting, sealed, proved, ended or failed."""

    @property
    def since_ms(self) -> int:
        """When it took this state, in service time: of a proved one, when it first proved its seal in this life."""

    @property
    def hello(self) -> Hello | None:
        """The locks that are on; None before the seal."""

    @property
    def proofs(self) -> Sequence[Proof]:
        """The newest complete pair, of the first and the second thread; empty before."""

    @property
    def proved_ms(self) -> int:
        """When it came, in service time; 0 before."""

    @property
    def written_octets(self) -> int:
        """What the kernel has counted as written by it since its first proof, before which it reads no camera."""

    @property
    def why(self) -> str:
        """Why it is not proved, or why the life before it ended; empty where there is nothing to say."""

    @property
    def door_bytes(self) -> int:
        """What came out of this life's process through the door."""

    @property
    def log_bytes(self) -> int:
        """What came out of it through its log pipe."""

    @property
    def log_dropped(self) -> int:
        """Lines of its log that were beyond the limit."""


class MediaRoom(Protocol):
    """All media processes."""

    async def start(self) -> None:
        """Start them. Does not wait for their proofs."""

    async def stop(self) -> None:
        """End them; nothing is left when this returns."""

    def camera(self, camera: str) -> CameraStatus:
        """How a camera is."""

    async def add_viewer(self, camera: str, viewer: str, offer: str) -> ViewerAnswer:
        """Give a viewer's offer to the camera's process. Raises BadOffer, TooMany, NotFound, Unavailable."""

    def close_viewer(self, viewer: str) -> None:
        """End a viewer's session; one that is unknown is no error."""

    def set_curtain(self, camera: str, closed: bool) -> None:
        """Stop or resume reading a camera, also after its process was replaced."""

    def guarantee(self) -> Sequence[ProcessGuarantee]:
        """All processes, in their order."""

    def prove(self) -> None:
        """Have every process prove its seal now."""

    def end_process(self, index: int, why: str) -> None:
        """End a process whose seal was seen to be broken; it is replaced."""

    def hold(self, why: str) -> None:
        """No picture until `release`: end all processes and start none."""

    def release(self) -> None:
        """What `hold` was for is mended: start all processes again."""

    @property
    def held(self) -> str:
        """Why no process may run; empty where they may."""

    @property
    def spare_pid(self) -> int:
        """Of the process that stands by, unsealed and without a camera; 0 where there is none."""

    def add_camera(self, index: int, camera: AddCamera) -> None:
        """Have the process of this index read one more camera, for the audit's canary. Raises Conflict."""

    def remove_camera(self, camera: str) -> None:
        """Have it no longer read. Raises NotFound."""
