"""Which media process reads which camera, and what it is told of them.

It must never send a camera to a process that does not serve: that is sent its cameras when it has proved its seal.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.control.media_slot import CameraStatus, Slot
from monitor.core.errors import Conflict, NotFound
from monitor.core.messages import AddCamera, RemoveCamera, SetCurtain


class MediaCameras:
    """All cameras, by the slot that reads them."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._slot_of = {camera: slot for slot in slots for camera in slot.cameras}

    def slot(self, camera: str) -> Slot:
        """The slot that reads it. Raises NotFound."""
        try:
            return self._slot_of[camera]
        except KeyError:
            raise NotFound(f"no camera is called {camera[:64]!r}") from None

    def status(self, camera: str, now_ms: int) -> CameraStatus:
        """How a camera is. Raises NotFound."""
        return self.slot(camera).status(camera, now_ms)

    def set_curtain(self, camera: str, closed: bool) -> None:
        """Draw or open a camera's curtain; a process that is replaced starts with it as it is. Raises NotFound."""
        slot = self.slot(camera)
        slot.cameras[camera] = slot.cameras[camera].model_copy(update={"curtain": closed})
        if slot.serving:
            slot.send(SetCurtain(camera=camera, closed=closed))

    def add(self, index: int, camera: AddCamera) -> None:
        """Have a process read one more. Raises Conflict where the id is taken, NotFound for an unknown process."""
        if camera.camera in self._slot_of:
            raise Conflict(f"the camera {camera.camera} is there already", "remove it first")
        if not 0 <= index < len(self._slots):
            raise NotFound(f"there is no media process {index}")
        slot = self._slots[index]
        slot.cameras[camera.camera] = camera
        self._slot_of[camera.camera] = slot
        if slot.serving:
            slot.send(camera)

    def remove(self, camera: str) -> None:
        """Have it no longer read; its window is zeroed. Raises NotFound."""
        slot = self.slot(camera)
        del slot.cameras[camera], self._slot_of[camera]
        slot.reports.pop(camera, None)
        slot.stale.discard(camera)
        if slot.serving:
            slot.send(RemoveCamera(camera=camera))
