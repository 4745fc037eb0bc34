"""How a site's parts are put together: the one place that knows all of them. Starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from monitor import __version__
from monitor.control import curtains as curtain_store
from monitor.control.accounts import Accounts, Identity
from monitor.control.bay_board import BayBoard
from monitor.control.call_desk import CallDesk
from monitor.control.candidates import Candidates
from monitor.control.clock import ServiceClock
from monitor.control.curtains import CurtainDesk
from monitor.control.events import EventHub
from monitor.control.guarantee import summary
from monitor.control.journal import Journal
from monitor.control.media_room import MediaRoom
from monitor.control.metrics import Metrics
from monitor.control.routes_pages import web_dir
from monitor.control.services import Services
from monitor.control.viewers import ViewerDesk
from monitor.core.config import Config
from monitor.core.config_tables import SUB
from monitor.core.messages import AddCamera


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
    config: Config, journal: Journal, make_media: MakeMedia, *, tls: bool, outages: Mapping[str, float]
) -> Services:
    """All parts of a site. `outages`: bay → seconds of each minute without its camera, for the demonstration."""
    clock = ServiceClock()
    closed = curtain_store.stored(journal)

    # The parts call each other when something happens; by then all of them exist.
    def on_camera(camera: str) -> None:
        viewers.camera_changed(camera)
        board.camera_changed(camera)

    def on_viewer_closed(viewer: str, why: str) -> None:
        viewers.closed(viewer, why)

    def on_guarantee() -> None:
        hub.publish("guarantee", summary(media.guarantee()))

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
    streams = {bay.id: tuple(camera for camera, owner, _ in config.cameras() if owner is bay) for bay in config.bays}
    curtains = CurtainDesk(journal, media, clock.now_ms, streams, on_curtain, closed)
    metrics = Metrics(config, media, clock.now_ms, ringing, viewers.__len__)
    calls = CallDesk(journal, clock.now_ms, hub.call, metrics.on_step)
    return Services(
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
        candidates=Candidates(config.server.public_host, config.server.host),
    )


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
