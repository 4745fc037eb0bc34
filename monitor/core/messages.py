"""Everything that crosses the door between the control process and a media process.

This module must never contain a field that could hold bytes of a picture: there is no `bytes` field, every string has
a length bound and a pattern, every list a length bound, every number a range. `tests/core/test_messages.py` walks all
types and fails on one that does not keep to this. A message is one JSON object of at most `MAX_MESSAGE` bytes whose
`kind` names its type.

    control → media    Start AddCamera RemoveCamera SetCurtain AddViewer CloseViewer RunProof Stop
    media → control    Hello Proof CameraReport ViewerAnswer ViewerRefused ViewerClosed Fault

Times: `_ms` fields that name a moment are milliseconds of *service time*: the wall clock at the start of the control
process, carried on by CLOCK_MONOTONIC, which both processes read alike (`core/service_clock.py`).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from monitor.core.camera_state import CameraFault, CameraReason, CameraStateName
from monitor.core.errors import DoorError

MAX_MESSAGE = 65536
"""Bytes of the largest message (GUARANTEE.md row 9)."""

Id = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*$")]
"""Of a bay's camera: the bay's id, with `.sub` behind it for the sub stream."""
SessionId = Annotated[str, StringConstraints(min_length=16, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
Label = Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]
Path = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^/[^\x00-\x1f\x7f]*$")]
Address = Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=r"^[^\x00-\x20\x7f]+$")]
Host = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_-]+$")]
Sdp = Annotated[str, StringConstraints(min_length=1, max_length=32768, pattern=r"^[\x20-\x7e\r\n\t]+$")]
IceToken = Annotated[str, StringConstraints(min_length=4, max_length=64, pattern=r"^[A-Za-z0-9+/]+$")]
Fingerprint = Annotated[
    str, StringConstraints(min_length=95, max_length=95, pattern=r"^([0-9A-F]{2}:){31}[0-9A-F]{2}$")
]
Mid = Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r"^[A-Za-z0-9_.-]+$")]
ProfileLevelId = Annotated[str, StringConstraints(min_length=6, max_length=6, pattern=r"^[0-9a-f]{6}$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=48, pattern=r"^[A-Za-z0-9_./ -]+$")]
"""A name from our own closed lists: an attack's name, an errno, a lock. Far too short, and too plain, for a picture."""
MountPoint = Annotated[str, StringConstraints(max_length=256, pattern=r"^[A-Za-z0-9_./ +:@,-]*$")]
Ms = Annotated[int, Field(ge=0, le=1 << 52)]
Count = Annotated[int, Field(ge=0, le=1 << 52)]


class Message(BaseModel):
    """One message. Immutable; unknown fields and wrong types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


# ---- control → media -------------------------------------------------------------------------------------------------


class Start(Message):
    """The first message, read before the seal: all that the seal must know, for nothing can be opened up afterwards."""

    kind: Literal["start"] = "start"
    enforce: Literal["strict", "warn"]
    udp_host: Host
    udp_port: Annotated[int, Field(ge=0, le=65535)]
    readable: Annotated[list[Path], Field(max_length=64)]
    """Files of `file:` sources: the only ones beside the program's own that stay readable."""
    clock_offset_ms: Annotated[int, Field(ge=0, le=1 << 52)]
    """Service time in ms = CLOCK_MONOTONIC in ms + this."""
    max_viewers: Annotated[int, Field(ge=1, le=10000)]


class AddCamera(Message):
    """Read this camera from now on. A camera that is known already is replaced."""

    kind: Literal["add_camera"] = "add_camera"
    camera: Id
    label: Label
    source: Address
    """`rtsp://…` with its password, `pattern:`, `file:PATH`. Must never reach a log."""
    transport: Literal["tcp", "udp"]
    window_seconds: Annotated[float, Field(gt=0, le=10)]
    window_bytes: Annotated[int, Field(ge=65536, le=1 << 28)]
    stale_seconds: Annotated[float, Field(gt=0, le=10)]
    outage_seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """`pattern:` only: how long the camera is lost in each minute. For the demo."""
    curtain: bool = False


class RemoveCamera(Message):
    """Stop reading, end its viewers, zero its window."""

    kind: Literal["remove_camera"] = "remove_camera"
    camera: Id


class SetCurtain(Message):
    """Close: stop reading and zero the window at once, viewers stay connected and get nothing. Open: read again."""

    kind: Literal["set_curtain"] = "set_curtain"
    camera: Id
    closed: bool


class AddViewer(Message):
    """A browser's offer for a camera. Answered by ViewerAnswer or ViewerRefused."""

    kind: Literal["add_viewer"] = "add_viewer"
    viewer: SessionId
    camera: Id
    offer: Sdp


class CloseViewer(Message):
    """End a viewer's session."""

    kind: Literal["close_viewer"] = "close_viewer"
    viewer: SessionId


class RunProof(Message):
    """Prove the seal now, from the first and from another thread. Answered by two Proof messages with this nonce."""

    kind: Literal["run_proof"] = "run_proof"
    nonce: SessionId


class Stop(Message):
    """Zero all windows and exit."""

    kind: Literal["stop"] = "stop"


# ---- media → control -------------------------------------------------------------------------------------------------


class Hello(Message):
    """The seal is set: what of it this kernel offers."""

    kind: Literal["hello"] = "hello"
    landlock_abi: Annotated[int, Field(ge=0, le=1000)]
    locks: Annotated[list[Word], Field(max_length=32)]
    """Names of the locks that are on."""
    missing: Annotated[list[Word], Field(max_length=32)]
    """Names of the locks that this machine does not offer. Empty under `strict`, or the process does not start."""
    memory: Literal["no-swap", "mlockall", "cgroup", "swappable"]
    udp_port: Annotated[int, Field(ge=0, le=65535)]


class Attempt(Message):
    """One way of writing that was tried."""

    name: Word
    where: MountPoint
    """The mounted file system it was tried in; empty where that makes no difference."""
    refused: bool
    answer: Word
    """What the kernel answered: an errno's name, or `succeeded`."""


class Proof(Message):
    """The outcome of one proof from one thread. `attempts` holds each kind of attempt once, and every one that
    succeeded; `tried` counts them all."""

    kind: Literal["proof"] = "proof"
    nonce: SessionId
    thread: Literal["first", "second"]
    holds: bool
    tried: Count
    refused: Count
    attempts: Annotated[list[Attempt], Field(max_length=200)]
    took_ms: Count
    written_octets: Count = 0
    """What the kernel has counted since the seal as written to block devices by this process."""


class CameraReport(Message):
    """How a camera is: on each change of state, and twice a second."""

    kind: Literal["camera_report"] = "camera_report"
    camera: Id
    state: CameraStateName
    reason: CameraReason
    faults: Annotated[list[CameraFault], Field(max_length=8)]
    since_ms: Ms
    sent_ms: Ms
    picture_ms: Ms
    """The capture moment of the newest complete access unit; 0 where there is none."""
    frames: Count
    packets: Count
    octets: Count
    lost: Count
    reconnects: Count
    keyframe_interval_ms: Count
    width: Annotated[int, Field(ge=0, le=65535)]
    height: Annotated[int, Field(ge=0, le=65535)]
    profile: Literal["", "baseline", "constrained-baseline", "main", "high", "other"]
    residency_max_ms: Count
    """The longest that any byte has lived in the window so far."""
    window_octets: Count
    clock_offset_ms: Annotated[int, Field(ge=-(1 << 52), le=1 << 52)]
    """How far the camera's own clock (sender report) stands from ours; 0 where it sends none."""
    capture_from: Literal["", "sender-report", "arrival"]
    viewers: Count
    viewer_packets: Count
    viewer_skips: Count
    """How often a viewer was skipped forward to the next keyframe because it, or the socket, could not keep up."""
    retransmitted: Count


class ViewerAnswer(Message):
    """From these fields the control process writes the SDP answer: no text of the media process reaches a browser."""

    kind: Literal["viewer_answer"] = "viewer_answer"
    viewer: SessionId
    ufrag: IceToken
    pwd: IceToken
    fingerprint: Fingerprint
    """SHA-256 of the DTLS certificate."""
    mid: Mid
    payload_type: Annotated[int, Field(ge=0, le=127)]
    profile_level_id: ProfileLevelId
    ssrc: Annotated[int, Field(ge=1, le=0xFFFFFFFF)]
    udp_port: Annotated[int, Field(ge=1, le=65535)]
    rejected_mids: Annotated[list[Mid], Field(max_length=16)]
    """The offer's other media sections, in order, answered with port 0."""
    video_index: Annotated[int, Field(ge=0, le=16)]
    """Where among the offer's media sections the video stands."""


class ViewerRefused(Message):
    """The offer cannot be answered."""

    kind: Literal["viewer_refused"] = "viewer_refused"
    viewer: SessionId
    why: Literal["broken-sdp", "no-h264", "not-receiving", "no-fingerprint", "no-ice", "unknown-camera", "too-many"]


class ViewerClosed(Message):
    """A session is over."""

    kind: Literal["viewer_closed"] = "viewer_closed"
    viewer: SessionId
    why: Literal["asked", "consent-lost", "dtls-failed", "dtls-closed", "never-connected", "camera-removed"]


class Fault(Message):
    """Something went wrong inside the media process that the operator should know: counts only, never content."""

    kind: Literal["fault"] = "fault"
    what: Word
    count: Count


ToMedia = Annotated[
    Start | AddCamera | RemoveCamera | SetCurtain | AddViewer | CloseViewer | RunProof | Stop,
    Field(discriminator="kind"),
]
ToControl = Annotated[
    Hello | Proof | CameraReport | ViewerAnswer | ViewerRefused | ViewerClosed | Fault, Field(discriminator="kind")
]
_T = TypeVar("_T")
_TO_MEDIA: TypeAdapter[ToMedia] = TypeAdapter(ToMedia)
_TO_CONTROL: TypeAdapter[ToControl] = TypeAdapter(ToControl)


def encode(message: Message) -> bytes:
    """One message as JSON.

    Raises DoorError where it is larger than MAX_MESSAGE.
    """
    data = message.model_dump_json().encode()
    if len(data) > MAX_MESSAGE:
        raise DoorError(f"a {type(message).__name__} of {len(data)} bytes is too large for the door")
    return data


def decode_for_media(data: bytes) -> ToMedia:
    """A message from the control process. Raises DoorError where it is not one; never shows its content."""
    return _decode(_TO_MEDIA, data)


def decode_for_control(data: bytes) -> ToControl:
    """A message from a media process. Raises DoorError where it is not one; never shows its content."""
    return _decode(_TO_CONTROL, data)


def _decode(adapter: TypeAdapter[_T], data: bytes) -> _T:
    if len(data) > MAX_MESSAGE:
        raise DoorError(f"a message of {len(data)} bytes is too large for the door")
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        # The input itself may be anything: only where and how it is wrong may be repeated.
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        # … and a field that we do not know has its name from the sender.
        known = first["loc"][:-1] if first["type"] == "extra_forbidden" else first["loc"]
        where = ".".join(str(part) for part in known)
        raise DoorError(f"a malformed message at the door: {where or 'message'}: {first['type']}") from None
