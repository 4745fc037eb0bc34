"""Every setting of the configuration: its type, its limits, its default and its meaning.

This module must never hold a setting that does nothing, nor show a password: what a version does not have yet is
refused by name. `config/example.toml` shows every setting; a test holds the two together.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from monitor.core.config_address import Address
from monitor.core.config_problems import LATER
from monitor.core.messages import Host

VERSION = 1
MAX_PORT = 65535
SUB = ".sub"
"""Behind a bay's id it names the camera's sub stream, so no id may end in it."""

Id = Annotated[str, StringConstraints(min_length=1, max_length=60)]
"""As `messages.Id`, with room for `.sub`. Its pattern is checked with a message of its own."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
FilePath = Annotated[str, StringConstraints(max_length=1024, pattern=r"^/[^\x00-\x1f\x7f]+$")]
"""A whole path: what it means must not depend on where the service was started."""
Port = Annotated[int, Field(ge=1, le=MAX_PORT)]
Days = Annotated[int, Field(le=1827)]


class _Table(BaseModel):
    """One table of the file. Immutable; unknown keys and wrong types are refused; errors hold no input."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False)


class Clinic(_Table):
    """Whose cameras these are."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class TlsFiles(_Table):
    """The clinic's own certificate (PEM, with its chain) and key."""

    cert: FilePath
    key: FilePath


def _tls_form(value: object) -> str:
    return "files" if isinstance(value, dict | TlsFiles) else "word"


class Server(_Table):
    """Where Vigil listens and keeps its journal."""

    host: Host = "0.0.0.0"  # a clinic's screens are other machines than the server
    port: Port = 8443
    udp_port: Port = 8555
    """Of the first media process; the next takes the next port."""
    public_host: Host
    """The name or address by which browsers reach the server: it stands in links and in the certificate."""
    tls: Annotated[
        Annotated[Literal["auto", "off"], Tag("word")] | Annotated[TlsFiles, Tag("files")],
        Discriminator(_tls_form),
    ] = "auto"
    state_dir: FilePath = "/var/lib/vigil"


class Media(_Table):
    """How the media processes work, and how strictly they are sealed."""

    processes: Annotated[int, Field(ge=0, le=64)] = 0
    """0: one per core."""
    window_seconds: Annotated[float, Field(ge=0.5, le=5)] = 2.0
    window_bytes: Annotated[int, Field(ge=65536, le=1 << 28)] = 8 << 20
    """Of each camera."""
    enforce: Literal["strict", "warn"] = "strict"
    """`strict`: a media process that cannot be sealed does not start. `warn`: it starts and every screen says so."""
    stale_seconds: Annotated[float, Field(ge=0.5, le=5)] = 2.0
    max_viewers: Annotated[int, Field(ge=1, le=10000)] = 200


class Notice(_Table):
    """What the notice, the sign and the records say. Gaps are warned about, nothing is invented."""

    controller: Text = ""
    legal_bases: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^6\(1\)\([a-f]\)$")], ...], Field(strict=False, max_length=6)
    ] = ()
    """GDPR Article 6(1), as `6(1)(d)`."""
    legitimate_interest: Text = ""
    """To be said where `6(1)(f)` is a basis (GDPR Article 13(1)(d))."""
    article_9: Annotated[str, StringConstraints(pattern=r"^(9\(2\)\([a-j]\))?$")] = ""
    policy_url: Annotated[str, StringConstraints(max_length=500, pattern=r"^(https?://[^\x00-\x20\x7f]+)?$")] = ""


class Retention(_Table):
    """How many days each kind of record is kept (LAW.md section 5): one place for deletion, notice and records."""

    calls_days: Annotated[Days, Field(ge=7)] = 180
    access_log_days: Annotated[Days, Field(ge=30)] = 180
    security_log_days: Annotated[Days, Field(ge=180)] = 400


class Button(_Table):
    """One call button of a bay. `web`: a page on a tablet or phone. `http`: a device or script that posts presses."""

    id: Id
    kind: Literal["web", "http"]

    @model_validator(mode="before")
    @classmethod
    def _later_kinds(cls, value: object) -> object:
        kind = value.get("kind") if isinstance(value, dict) else None
        if kind in ("mqtt", "usb"):  # said first, so that its other keys are not called unknown
            raise PydanticCustomError(
                "vigil",
                "{message}",
                {
                    "message": f"buttons of kind {kind} are not supported yet",
                    "hint": f"{LATER}web and http",
                    "at": "kind",
                },
            )
        return value


def _presence(fields: dict[str, object]) -> Literal["bay", "none"]:
    """A bay with a page of its own can show that staff are there; a bare button cannot."""
    buttons = fields.get("buttons", ())
    has_page = isinstance(buttons, tuple) and any(button.kind == "web" for button in buttons)
    return "bay" if has_page else "none"


class Bay(_Table):
    """One recovery place: a camera, buttons, or both."""

    id: Id
    name: Name
    camera: Address | None = None
    camera_sub: Address | None = None
    """The camera's smaller stream, for the tiles of the wall."""
    transport: Literal["tcp", "udp"] = "tcp"
    onvif_port: Annotated[int, Field(ge=0, le=MAX_PORT)] = 80
    """Where the camera is asked over ONVIF whether it records by itself. 0: it is not asked, and that shows."""
    serial: Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    """The camera's serial number, as it gives it over ONVIF: another device at its address is seen by it."""
    sign: Text = ""
    """Where the sign that tells of this camera hangs: "door to the recovery room"."""
    buttons: Annotated[tuple[Button, ...], Field(strict=False, max_length=16)] = ()
    presence: Literal["bay", "none"] = Field(default_factory=_presence)
    """Whether a call can be closed only at the bay itself. Without the setting: `bay` where it has a web button."""


def _version(value: object) -> object:
    if type(value) is int and value == VERSION:
        return value
    raise PydanticCustomError(
        "vigil", "{message}", {"message": f"must be {VERSION}", "hint": f"this Vigil reads files of version {VERSION}"}
    )


class Config(_Table):
    """The whole file."""

    version: Annotated[int, BeforeValidator(_version)]
    clinic: Clinic
    server: Server
    media: Media = Media()
    notice: Notice = Notice()
    retention: Retention = Retention()
    bays: Annotated[tuple[Bay, ...], Field(strict=False, max_length=256)]

    def bay(self, bay_id: str) -> Bay | None:
        """The bay of this id."""
        return next((bay for bay in self.bays if bay.id == bay_id), None)

    def button(self, button_id: str) -> tuple[Bay, Button] | None:
        """The button of this id, and its bay."""
        return next(((bay, button) for bay in self.bays for button in bay.buttons if button.id == button_id), None)

    def cameras(self) -> list[tuple[str, Bay, Address]]:
        """Every stream with the id by which the media processes know it: the bay's, with `.sub` for the sub stream."""
        streams = []
        for bay in self.bays:
            if bay.camera:
                streams.append((bay.id, bay, bay.camera))
            if bay.camera_sub:
                streams.append((bay.id + SUB, bay, bay.camera_sub))
        return streams

    def media_processes(self, cores: int) -> int:
        """How many media processes there will be: never more than cameras (main and sub stream of one share a
        process), never less than one."""
        return max(1, min(self.media.processes or cores, sum(bay.camera is not None for bay in self.bays)))


TABLES: dict[tuple[str, ...], tuple[str, ...]] = {
    path: tuple(table.model_fields)
    for path, table in (
        ((), Config),
        (("clinic",), Clinic),
        (("server",), Server),
        (("server", "tls"), TlsFiles),
        (("media",), Media),
        (("notice",), Notice),
        (("retention",), Retention),
        (("bays",), Bay),
        (("bays", "buttons"), Button),
    )
}
"""The known keys of each table, by its path without positions."""
