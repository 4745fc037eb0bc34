"""Keeps an eye on cameras that record by themselves: asks each over ONVIF, and keeps what was found (rows 12 and 13).

    comes to live ──SETTLE──▶ asked ──at most one in AGAIN──▶ asked …        every night: all of them

It runs beside everything else in one task and asks few cameras at a time, each within its own bounded time: nothing
ever waits for it. It changes nothing in a camera, and takes no picture from a nurse: a camera's own card is not mended
by that. It must never log an address or a password: a bay's id says enough.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from monitor.core.config import Config
from monitor.core.config_tables import SUB
from monitor.evidence.finding import Finding
from monitor.evidence.onvif import ask
from monitor.evidence.onvif_facts import CameraStorageFacts, OnvifCamera, cameras_of
from monitor.evidence.onvif_judge import judge_camera, judge_no_cameras, judge_not_yet, records

SETTLE_SECONDS = 5.0
"""After a camera came to live: what else wants it at that moment goes first."""
AGAIN_SECONDS = 3600.0
"""Between two questions to one camera, however often its connection comes and goes."""
AT_ONCE = 4
"""Cameras that are asked at the same time."""
NIGHT = datetime.time(3, 17)
"""By the machine's clock."""

Ask = Callable[[OnvifCamera], Awaitable[CameraStorageFacts]]

logger = logging.getLogger(__name__)


@dataclass
class _Asked:
    """One camera, and what is known of it."""

    camera: OnvifCamera
    due: float | None = None
    """When it is to be asked, by the monotonic clock; None: not before the night."""
    last: float | None = None
    facts: CameraStorageFacts | None = None
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Before the first answer there is a reason for there being none."""
        self.findings = judge_not_yet(self.camera)

    @property
    def summary(self) -> list[object]:
        """What a change is seen by: verdicts and reasons, not figures."""
        return [(each.row, each.verdict, tuple(why.key for why in each.why)) for each in self.findings]


class CameraStorage:
    """What the site's cameras say of their own recording. To be used in one event loop."""

    def __init__(
        self,
        config: Config,
        on_change: Callable[[], None],
        *,
        asker: Ask = ask,
        now: Callable[[], float] = time.monotonic,
        until_night: Callable[[], float] | None = None,
    ) -> None:
        """`on_change` is called when a verdict or its reason changed. The rest is for tests: `now` in seconds,
        `until_night` in seconds from now."""
        self._asked = [_Asked(camera) for camera in cameras_of(config)]
        self._on_change = on_change
        self._asker = asker
        self._now = now
        self._until_night = until_night or seconds_until_night
        self._night = now() + self._until_night()
        self._live: set[str] = set()
        self._wake = asyncio.Event()

    def on_camera(self, camera: str, live: bool) -> None:
        """A camera reported: its id as the media processes know it, and whether it is live. Costs next to nothing."""
        if not live:
            self._live.discard(camera)
            return
        if camera in self._live:
            return
        self._live.add(camera)
        bay = camera.removesuffix(SUB)
        for asked in self._asked:
            if asked.camera.bay == bay and asked.due is None:
                settled = self._now() + SETTLE_SECONDS
                asked.due = settled if asked.last is None else max(settled, asked.last + AGAIN_SECONDS)
                self._wake.set()

    def findings(self) -> list[Finding]:
        """The newest findings of rows 12 and 13, not yet combined."""
        return [each for asked in self._asked for each in asked.findings] or judge_no_cameras()

    def recording_bays(self) -> list[str]:
        """Bays of which a camera keeps pictures or sends them away, in the configuration's order."""
        bays = (asked.camera.bay for asked in self._asked if asked.facts is not None and records(asked.facts))
        return list(dict.fromkeys(bays))

    def facts(self) -> Mapping[str, CameraStorageFacts]:
        """The newest facts, by bay; of a bay with two devices the first's."""
        known = {asked.camera.bay: asked.facts for asked in reversed(self._asked) if asked.facts is not None}
        return MappingProxyType(known)

    async def run(self) -> None:
        """Ask when it is time; until it is cancelled, which leaves nothing behind."""
        while self._asked:
            self._wake.clear()
            due = [asked.due for asked in self._asked if asked.due is not None]
            wait = min([*due, self._night]) - self._now()
            try:
                async with asyncio.timeout(max(0.0, wait)):
                    await self._wake.wait()
            except TimeoutError:
                await self._ask_who_is_due()
        await asyncio.Event().wait()

    async def _ask_who_is_due(self) -> None:
        now = self._now()
        night = now >= self._night
        if night:
            self._night = now + self._until_night()
        limit = asyncio.Semaphore(AT_ONCE)
        due = [asked for asked in self._asked if night or (asked.due is not None and asked.due <= now)]
        await asyncio.gather(*(self._ask_one(asked, limit) for asked in due))

    async def _ask_one(self, asked: _Asked, limit: asyncio.Semaphore) -> None:
        async with limit:
            asked.due = None
            asked.last = self._now()
            before, recorded = asked.summary, asked.facts is not None and records(asked.facts)
            asked.facts = await self._asker(asked.camera)
        asked.findings = judge_camera(asked.facts, asked.camera)
        if asked.summary == before:
            return
        logger.info("bay %s: the camera was asked over ONVIF: %s", asked.camera.bay, asked.facts.outcome)
        if records(asked.facts) != recorded:
            level, what = (logging.INFO, "no longer records") if recorded else (logging.ERROR, "records by itself")
            logger.log(level, "bay %s: the camera %s", asked.camera.bay, what)
        self._on_change()


def seconds_until_night(now: datetime.datetime | None = None) -> float:
    """Until the next NIGHT, by the machine's clock; never 0."""
    now = now or datetime.datetime.now()
    night = datetime.datetime.combine(now.date(), NIGHT)
    if night <= now:
        night += datetime.timedelta(days=1)
    return max(1.0, (night - now).total_seconds())
