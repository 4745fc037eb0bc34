"""How a site's parts are put together: the one place that knows all of them. Starts nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from monitor import __version__
from monitor.control import curtains as curtain_store
from monitor.control.accounts import Accounts, Identity
from monitor.control.bay_board import BayBoard
from monitor.control.call_desk import CallDesk
from monitor.control.camera_storage import CameraStorage
from monitor.control.canaries import CanaryDesk
from monitor.control.candidates import Candidates
from monitor.control.clock import ServiceClock
from monitor.control.curtains import CurtainDesk
from monitor.control.events import EventHub
from monitor.control.evidence_log import EvidenceLog
from monitor.control.journal import Journal
from monitor.control.media_room import MediaRoom
from monitor.control.metrics import Metrics
from monitor.control.proof_desk import ProofDesk
from monitor.control.routes_pages import web_dir
from monitor.control.services import Services
from monitor.control.viewers import ViewerDesk
from monitor.control.watch import Look, Watch
from monitor.control.watch_look import SiteLook
from monitor.core.config import Config
from monitor.core.config_tables import SUB
from monitor.core.messages import AddCamera
from monitor.evidence.keys import ensure_key


@dataclass(frozen=True)
class MediaEvents:
    """What the media room is to call when something happens."""

    on_camera: Callable[[str], None]
    """With the id of a camera that reported or changed."""
    on_viewer_closed: Callable[[str, str], None]
    """With a session's id and why it is over."""
    on_guarantee: Callable[[], None]
    """A process proved its seal, lost it, ended or began."""


MakeMedia: TypeAlias = Callable[[Config, ServiceClock, list[AddCamera], MediaEvents], MediaRoom]


def build(
    config: Config,
    journal: Journal,
    make_media: MakeMedia,
    *,
    tls: bool,
    outages: Mapping[str, float],
    look: Look | None = None,
) -> Services:
    """All parts of a site. `outages`: bay → seconds of each minute without its camera, for the demonstration. `look` is
    for tests; without it the watch looks at this machine.

    Raises InputError where the signing key in the state directory cannot be used.
    """
    clock = ServiceClock()
    closed = curtain_store.stored(journal)

    # The parts call each other when something happens; by then all of them exist.
    def on_camera(camera: str) -> None:
        viewers.camera_changed(camera)
        board.camera_changed(camera)
        storage.on_camera(camera, media.camera(camera).state == "live")

    def on_viewer_closed(viewer: str, why: str) -> None:
        viewers.closed(viewer, why)

    def on_guarantee() -> None:
        watch.guarantee_changed()

    def tell_guarantee() -> None:
        hub.publish("guarantee", services.guarantee_summary())

    def on_storage() -> None:
        watch.cameras_changed()

    def on_curtain(bay_id: str) -> None:
        bay = config.bay(bay_id)
        if bay is not None:
            board.tell_curtain(bay, curtains)
            board.tell_camera(bay)

    def on_page(identity: Identity) -> None:
        if identity.button is not None:
            board.button_heard(identity.button)

    def ringing() -> int:
        return calls.ringing()

    events = MediaEvents(on_camera, on_viewer_closed, on_guarantee)
    media = make_media(config, clock, cameras_of(config, set(closed), outages), events)
    hub = EventHub(on_page)
    board = BayBoard(config, media, clock.now_ms, hub)
    viewers = ViewerDesk(journal, media, clock.now_ms, config.media.max_viewers)
    evidence = EvidenceLog(journal, ensure_key(Path(config.server.state_dir)))
    streams = {bay.id: tuple(camera for camera, owner, _ in config.cameras() if owner is bay) for bay in config.bays}
    curtains = CurtainDesk(journal, media, clock.now_ms, streams, on_curtain, closed)
    storage = CameraStorage(config, on_storage)
    watch = Watch(
        media,
        look or SiteLook(config),
        evidence,
        strict=config.media.enforce == "strict",
        now_ms=clock.now_ms,
        monotonic=time.monotonic,
        camera_ids=[camera for camera, _, _ in config.cameras()],
        cameras=lambda: (storage.findings(), storage.recording_bays()),
        tell=tell_guarantee,
    )
    metrics = Metrics(config, media, clock.now_ms, ringing, viewers.__len__, watch.report)
    calls = CallDesk(journal, clock.now_ms, hub.call, metrics.on_step)
    services = Services(
        config=config,
        version=__version__,
        tls=tls,
        web=web_dir(),
        clock=clock,
        journal=journal,
        accounts=Accounts(journal),
        media=media,
        hub=hub,
        calls=calls,
        curtains=curtains,
        board=board,
        viewers=viewers,
        metrics=metrics,
        watch=watch,
        evidence=evidence,
        storage=storage,
        proofs=ProofDesk(media),
        candidates=Candidates(config.server.public_host, config.server.host),
        canaries=CanaryDesk(media, config.media),
    )
    return services


def cameras_of(config: Config, closed: set[str], outages: Mapping[str, float]) -> list[AddCamera]:
    """What the media processes are told of each camera: its address with the password, which must go nowhere else."""
    return [
        AddCamera(
            camera=camera,
            label=bay.name if camera == bay.id else f"{bay.name[: 64 - len(SUB)]}{SUB}",
            source=address.secret(),
            transport=bay.transport,
            window_seconds=config.media.window_seconds,
            window_bytes=config.media.window_bytes,
            stale_seconds=config.media.stale_seconds,
            outage_seconds=outages.get(bay.id, 0.0),
            curtain=bay.id in closed,
        )
        for camera, bay, address in config.cameras()
    ]
