"""What a camera said of itself over ONVIF: whether it records, where to, and which device it is (GUARANTEE.md, rows 12
and 13).

Values only: `onvif.py` fetches them, `onvif_judge.py` judges them. They must never hold a password, a user's name or
anything else that a camera's answer carries beyond what is named here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from monitor.core.config_tables import Config

Outcome = Literal[
    "asked",  # it answered as ONVIF does, and let us in; `parts` says what of
    "switched-off",  # onvif_port = 0
    "library-missing",  # vigil[onvif] is not installed
    "unreachable",  # no way to the host, or no such host
    "no-onvif",  # the host is there, and nothing at this port speaks ONVIF
    "too-slow",  # no answer in time: off, behind a firewall, or slow
    "refused",  # user or password is not accepted
    "not-understood",  # an answer that cannot be read, or that must not be: too large, with entities
]
Part = Literal["identity", "addresses", "recordings", "jobs", "storages", "summary", "actions", "stream"]
Answer = Literal[
    "answered",
    "not-offered",  # no such service, or the service knows no such request
    "refused",  # this user may not ask it
    "failed",  # no answer in time, or one that cannot be read
]
UPLOAD_KINDS = ("nfs", "cifs", "cdmi", "ftp", "sftp", "objectstorage")
"""How the type of a storage configuration begins where it lies outside the camera (ONVIF device service)."""


@dataclass(frozen=True)
class OnvifCamera:
    """A camera to ask. Never shown whole: `repr` leaves user and password out."""

    bay: str
    name: str
    """The bay's, as staff read it."""
    host: str
    """As it is dialled: a name, an IPv4 address, or an IPv6 address without brackets."""
    port: int
    """0: it is not asked."""
    user: str = field(repr=False)
    password: str = field(repr=False)
    serial: str
    """As configured; empty where none is."""


@dataclass(frozen=True)
class Job:
    """One recording job (ONVIF recording service)."""

    token: str
    mode: str
    """`Active` or `Idle`: what it is set to."""
    state: str
    """`Active`, `PartiallyActive`, `Idle` or `Error`: what it does; empty where the camera did not say."""

    @property
    def active(self) -> bool:
        """Whether it records, or will as soon as it can."""
        return self.mode.casefold() == "active" or self.state.casefold() in {"active", "partiallyactive"}

    @property
    def idle(self) -> bool:
        """Whether it is said that it does not: a job of which neither is said is neither."""
        return not self.active and self.mode.casefold() == "idle"


@dataclass(frozen=True)
class Storage:
    """One storage configuration (ONVIF device service)."""

    kind: str
    where: str
    """Protocol and host of a target outside, or a path inside; never a user or a password."""
    uploads: bool
    """It lies outside the camera."""


@dataclass(frozen=True)
class CameraStorageFacts:
    """One camera's answers. What was not answered is empty: `parts` says why."""

    outcome: Outcome
    parts: tuple[tuple[Part, Answer], ...] = ()
    maker: str = ""
    model: str = ""
    firmware: str = ""
    serial: str = ""
    own_addresses: tuple[str, ...] = ()
    recordings: int = 0
    """Recordings that are set up: containers, which may be empty."""
    jobs: tuple[Job, ...] = ()
    storages: tuple[Storage, ...] = ()
    uploads: tuple[str, ...] = ()
    """Actions that send pictures away, by their type."""
    recorded: int = 0
    """Recordings that hold something."""
    recorded_until: str = ""
    """The newest recorded moment, as UTC in ISO 8601; empty where nothing is recorded."""
    recorded_age: int = -1
    """Seconds from then to now by the camera's own clock; -1 where nothing is recorded."""
    replays: bool = False
    """It offers to play recordings back: it is able to record."""
    receives: bool = False
    """It offers to take streams from other devices, as a recorder does."""
    stream_host: str = ""
    """Where it says that its own stream is."""

    def answer(self, part: Part) -> Answer:
        """How a part was answered; `failed` where it was not reached."""
        return dict(self.parts).get(part, "failed")


def cameras_of(config: Config) -> list[OnvifCamera]:
    """The cameras of a site that could record: each bay's RTSP devices, one for each host."""
    found: dict[tuple[str, str], OnvifCamera] = {}
    for camera, bay, address in config.cameras():
        login = address.login()
        if login is not None:
            # The serial number is that of the main stream's device; both streams of one are asked once.
            serial = bay.serial if camera == bay.id else ""
            asked = OnvifCamera(bay.id, bay.name, login.host, bay.onvif_port, login.user, login.password, serial)
            found.setdefault((bay.id, login.host), asked)
    return list(found.values())
