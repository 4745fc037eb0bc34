"""The state of one camera, as staff and IT see it.

Theory of operation. A source reports what happens to it as events; the table says which state follows. Everything that
decides whether a picture may be called live must stand here. `live` is a promise: the newest packet is younger than
`stale_seconds`. Age is not an event of the source but of the clock, so the driver calls `observe` several times a
second with the age of the newest packet and this module turns that into `silent` or `flowing`. A picture that came
back must flow for a second before it is called live again (DOMAIN.md, times).

    off ──start──▶ connecting ──picture──▶ live ◀──flowing── stale
                      ▲    │                 │ ──silent──▶   │
                      │  refused            lost            lost
                      │    ▼                 │               │
                      ├── failed             │               │
                      └──────retry───────────┴───────────────┘
    any ──curtain──▶ curtain ──open──▶ connecting        any ──stop──▶ off
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

CameraStateName = Literal["off", "connecting", "live", "stale", "curtain", "failed"]

CameraReason = Literal[
    "",
    "first-picture-awaited",  # connected, no keyframe yet
    "no-packets",  # connection stands, nothing comes
    "unreachable",  # no TCP connection: off, unplugged, wrong address
    "name-not-found",  # the host name does not resolve
    "wrong-password",
    "no-such-path",
    "no-video",
    "h265-unsupported",
    "codec-unsupported",
    "closed-by-camera",
    "timeout",  # the camera does not answer a request in time
    "protocol-error",  # the camera's answer makes no sense
    "transport-refused",  # the camera does not offer the configured transport
    "file-unreadable",
    "outage",  # the demo's planned loss
    "process-lost",  # the media process died: set by the control process
    "not-sealed",  # the media process has not proved its seal: set by the control process
    "guarantee-broken",  # no picture may flow until what could keep one is mended: set by the control process
]

CameraFault = Literal["b-frames", "long-keyframe-interval", "packet-loss", "clock-wrong", "window-too-small"]

CameraEvent = Literal[
    "start", "connecting", "refused", "picture", "silent", "flowing", "lost", "curtain", "open", "stop"
]

STEADY_MS = 1000
"""How long packets must flow before a stale picture is called live again."""

REPORT_OVERDUE_MS = 1500
"""A media process reports on each camera twice a second; three reports missed mean that it does not run."""

PERMANENT: frozenset[str] = frozenset(
    {
        "wrong-password",
        "no-such-path",
        "no-video",
        "h265-unsupported",
        "codec-unsupported",
        "transport-refused",
        "file-unreadable",
    }
)
"""Reasons that a person must mend: the camera is `failed`. It is tried again all the same."""

TABLE: dict[CameraStateName, dict[CameraEvent, CameraStateName]] = {
    "off": {"start": "connecting", "curtain": "curtain"},
    "connecting": {
        "connecting": "connecting",
        "picture": "live",
        "lost": "connecting",
        "refused": "failed",
        "curtain": "curtain",
        "stop": "off",
    },
    "live": {
        "picture": "live",
        "silent": "stale",
        "lost": "connecting",
        "refused": "failed",
        "curtain": "curtain",
        "stop": "off",
    },
    "stale": {"flowing": "live", "lost": "connecting", "refused": "failed", "curtain": "curtain", "stop": "off"},
    "failed": {
        "connecting": "failed",  # trying again does not make it better: it stays failed until a picture comes
        "picture": "live",
        "lost": "connecting",
        "refused": "failed",
        "curtain": "curtain",
        "stop": "off",
    },
    "curtain": {"open": "connecting", "stop": "off"},
}
"""state → event → next state. An event that is not listed changes nothing."""

logger = logging.getLogger(__name__)


def picture_age_ms(picture_ms: int, sent_ms: int, now_ms: int) -> int | None:
    """The age of the newest picture, from a report of `sent_ms`; None where there was no picture.

    Between two reports of a camera that flows the picture does not age: the next one is on its way. A report that is
    overdue is another matter: from then on the age is counted to now.
    """
    if not picture_ms:
        return None
    return max(0, (sent_ms if now_ms - sent_ms <= REPORT_OVERDUE_MS else now_ms) - picture_ms)


@dataclass
class CameraState:
    """One camera's state. `since_ms` is when it took this state or reason."""

    camera: str
    state: CameraStateName = "off"
    reason: CameraReason = ""
    since_ms: int = 0
    _flowing_since_ms: int | None = None

    def on(self, event: CameraEvent, now_ms: int, reason: CameraReason = "") -> bool:
        """Take an event. Returns whether state or reason changed; one that the table does not list changes nothing."""
        following = TABLE[self.state].get(event)
        if following is None:
            return False
        if event == "connecting" and not reason:
            reason = self.reason  # why it was lost stays on show while we try again
        return self._set(following, reason, now_ms)

    def observe(self, newest_packet_ms: int | None, now_ms: int, stale_ms: int) -> bool:
        """Let the clock speak: `newest_packet_ms` is the moment of the newest packet, None where there was none."""
        if newest_packet_ms is None:
            return False
        fresh = now_ms - newest_packet_ms <= stale_ms
        if self.state == "live" and not fresh:
            self._flowing_since_ms = None
            return self.on("silent", now_ms, "no-packets")
        if self.state == "stale":
            if not fresh:
                self._flowing_since_ms = None
            elif self._flowing_since_ms is None:
                self._flowing_since_ms = newest_packet_ms
            elif newest_packet_ms - self._flowing_since_ms >= STEADY_MS:  # one packet alone is no flow
                return self.on("flowing", now_ms)
        return False

    def _set(self, state: CameraStateName, reason: CameraReason, now_ms: int) -> bool:
        if (state, reason) == (self.state, self.reason):
            return False
        logger.info("camera %s: %s -> %s (%s)", self.camera, self.state, state, reason or "no reason")
        self.state, self.reason, self.since_ms = state, reason, now_ms
        self._flowing_since_ms = None
        return True
