"""The board: every bay as screens see it, and the events that keep them up to date.

It must never show a camera's address or password: it knows none, only what the media room reports.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from monitor.control.call_desk import CallDesk
from monitor.control.curtains import CurtainDesk
from monitor.control.events import EventHub
from monitor.control.media_room import MediaRoom
from monitor.core.call_state import to_json
from monitor.core.camera_state import picture_age_ms
from monitor.core.config import Bay, Config
from monitor.core.config_tables import SUB

REFRESH_SECONDS = 5.0
"""How often a camera whose state stays the same is told anew, for its figures."""
FPS_SPAN_MS = 900
"""The shortest time over which a rate is reckoned."""


@dataclass
class _Rate:
    """Frames at the begin of the span, and the last rate that was reckoned."""

    incarnation: int
    frames: int
    at_ms: int
    fps: float | None = None


class BayBoard:
    """All bays."""

    def __init__(self, config: Config, media: MediaRoom, now_ms: Callable[[], int], hub: EventHub) -> None:
        self._config = config
        self._media = media
        self._now_ms = now_ms
        self._hub = hub
        self._bay_of = {camera: bay for camera, bay, _ in config.cameras()}
        self._rates: dict[str, _Rate] = {}
        self._told: dict[str, tuple[tuple[object, ...], float]] = {}
        """By bay: what was told of its camera, and when (monotonic)."""
        self._heard_ms: dict[str, int] = {}
        """By button: when anything was heard of it last."""

    @property
    def bays(self) -> tuple[Bay, ...]:
        """The configured bays, in their order."""
        return self._config.bays

    def bay_json(self, bay: Bay, curtains: CurtainDesk, calls: CallDesk | None) -> dict[str, object]:
        """One row of /api/bays. `calls` is None for those who may not see calls."""
        call = calls.open_call(bay.id) if calls else None
        curtain = curtains.of(bay.id)
        return {
            "id": bay.id,
            "name": bay.name,
            "presence": bay.presence,
            "camera": self.camera_json(bay),
            "curtain": curtain.to_json() if curtain else None,
            "call": to_json(call) if call else None,
            "buttons": self.buttons_json(bay),
        }

    def camera_json(self, bay: Bay) -> dict[str, object] | None:
        """The bay's camera; None where it has none. Figures are the main stream's, viewers those of both."""
        if bay.camera is None:
            return None
        main = self._media.camera(bay.id)
        sub = self._media.camera(bay.id + SUB) if bay.camera_sub else None
        report = main.report
        age_ms = picture_age_ms(report.picture_ms, report.sent_ms, self._now_ms()) if report else None
        viewers = sum(status.report.viewers for status in (main, sub) if status and status.report)
        return {
            "state": main.state,
            "reason": main.reason,
            "faults": list(report.faults) if report else [],
            "since_ms": main.since_ms,
            "picture_age_ms": age_ms,
            "fps": self._fps(bay.id),
            "width": report.width if report else 0,
            "height": report.height if report else 0,
            "profile": report.profile if report else "",
            "keyframe_interval_ms": report.keyframe_interval_ms if report else 0,
            "residency_max_ms": report.residency_max_ms if report else 0,
            "viewers": viewers,
            "reconnects": report.reconnects if report else 0,
            "lost": report.lost if report else 0,
            "capture_from": report.capture_from if report else "",
            "incarnation": f"{main.incarnation}.{sub.incarnation}" if sub else f"{main.incarnation}",
            "streams": ["main", "sub"] if sub else ["main"],
            "sub": {"state": sub.state, "reason": sub.reason, "since_ms": sub.since_ms} if sub else None,
        }

    def buttons_json(self, bay: Bay) -> list[dict[str, object]]:
        """The bay's buttons: `online` says of a web button whether its page is open, null of others."""
        online = self._hub.buttons_online()
        return [
            {
                "id": button.id,
                "kind": button.kind,
                "online": button.id in online if button.kind == "web" else None,
                "heard_ms": self._heard_ms.get(button.id),
            }
            for button in bay.buttons
        ]

    def camera_changed(self, camera: str) -> None:
        """The media room reports on a camera: count its frames, and tell pages what they need to know."""
        bay = self._bay_of.get(camera)
        if bay is None:
            return
        self._count(camera)
        now = time.monotonic()
        essence = self._essence(bay)
        told, at = self._told.get(bay.id, ((), 0.0))
        if essence != told or now - at >= REFRESH_SECONDS:
            self._told[bay.id] = (essence, now)
            self.tell_camera(bay)

    def tell_camera(self, bay: Bay) -> None:
        """Tell pages of a bay's camera now."""
        json_ = self.camera_json(bay)
        if json_ is not None:
            self._hub.publish("camera", {"bay": bay.id, **json_})

    def tell_curtain(self, bay: Bay, curtains: CurtainDesk) -> None:
        """Tell pages of a bay's curtain now."""
        curtain = curtains.of(bay.id)
        self._hub.publish("curtain", {"bay": bay.id, "curtain": curtain.to_json() if curtain else None})

    def button_heard(self, button: str) -> None:
        """Something came from a button: its page opened or closed, or it was pressed."""
        found = self._config.button(button)
        if found is None:
            return
        self._heard_ms[button] = self._now_ms()
        for json_ in self.buttons_json(found[0]):
            if json_["id"] == button:
                self._hub.publish("button", {"bay": found[0].id, **json_})

    def _essence(self, bay: Bay) -> tuple[object, ...]:
        """What of a camera is told at once when it changes; its counters are not."""
        essence: list[object] = []
        for camera in (bay.id, bay.id + SUB)[: 2 if bay.camera_sub else 1]:
            status = self._media.camera(camera)
            report = status.report
            essence += [status.state, status.reason, status.since_ms, status.incarnation]
            essence += [tuple(report.faults), report.width, report.height] if report else []
        return tuple(essence)

    def _count(self, camera: str) -> None:
        """Reckon the rate from the frames of two reports that are far enough apart."""
        status = self._media.camera(camera)
        report = status.report
        if report is None:
            return
        rate = self._rates.get(camera)
        if rate is None or rate.incarnation != status.incarnation or report.frames < rate.frames:
            self._rates[camera] = _Rate(status.incarnation, report.frames, report.sent_ms)
        elif report.sent_ms - rate.at_ms >= FPS_SPAN_MS:
            rate.fps = round((report.frames - rate.frames) * 1000 / (report.sent_ms - rate.at_ms), 1)
            rate.frames, rate.at_ms = report.frames, report.sent_ms

    def _fps(self, camera: str) -> float | None:
        rate = self._rates.get(camera)
        return rate.fps if rate else None
