"""A media room without media processes: reports what a test says, and remembers what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from monitor.control.building import MediaEvents
from monitor.control.clock import ServiceClock
from monitor.core.camera_state import CameraReason, CameraStateName
from monitor.core.config import Config
from monitor.core.errors import BadOffer, Conflict, NotFound, TooMany, Unavailable, VigilError
from monitor.core.messages import AddCamera, Attempt, CameraReport, Hello, Proof, ViewerAnswer
from monitor.core.process_state import ProcessStateName

OFFER = (
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "m=video 9 UDP/TLS/RTP/SAVPF 103\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\n"
    "a=rtpmap:103 H264/90000\r\na=fmtp:103 packetization-mode=1\r\n"
)
"""An offer that the fake answers. One without H264 is refused as the real room refuses it."""


@dataclass(frozen=True)
class FakeStatus:
    """As supervisor.CameraStatus."""

    report: CameraReport | None
    state: CameraStateName = "live"
    reason: CameraReason = ""
    since_ms: int = 0
    incarnation: int = 1
    process: int = 0


@dataclass(frozen=True)
class FakeGuarantee:
    """As supervisor.ProcessGuarantee."""

    pid: int = 4242
    incarnation: int = 1
    state: ProcessStateName = "proved"
    since_ms: int = 1
    hello: Hello | None = None
    proofs: tuple[Proof, ...] = ()
    proved_ms: int = 1
    written_octets: int = 0
    why: str = ""
    door_bytes: int = 10
    log_bytes: int = 0
    log_dropped: int = 0


def report(camera: str, now_ms: int, **changes: object) -> CameraReport:
    """A healthy camera's report."""
    values: dict[str, object] = {
        "camera": camera,
        "state": "live",
        "reason": "",
        "faults": [],
        "since_ms": now_ms,
        "sent_ms": now_ms,
        "picture_ms": now_ms,
        "frames": 100,
        "packets": 1000,
        "octets": 1_000_000,
        "lost": 3,
        "reconnects": 2,
        "keyframe_interval_ms": 1000,
        "width": 1280,
        "height": 720,
        "profile": "main",
        "residency_max_ms": 1500,
        "window_octets": 100_000,
        "clock_offset_ms": 0,
        "capture_from": "arrival",
        "viewers": 1,
        "viewer_packets": 50,
        "viewer_skips": 1,
        "retransmitted": 4,
    }
    return CameraReport.model_validate(values | changes)


class FakeMedia:
    """Duck-typed MediaRoom."""

    def __init__(self, config: Config, clock: ServiceClock, cameras: list[AddCamera], events: MediaEvents) -> None:
        self.clock = clock
        self.events = events
        self.cameras = {camera.camera: camera for camera in cameras}
        self.status = {
            camera: FakeStatus(report(camera, clock.now_ms()), since_ms=clock.now_ms()) for camera in self.cameras
        }
        self.closed: list[str] = []
        self.viewers: dict[str, str] = {}
        self.curtains: list[tuple[str, bool]] = []
        self.refuse: VigilError | None = None
        self.close_before_answer = False
        self.running = False
        self.holding = ""
        self.ended_processes: list[tuple[int, str]] = []
        self.proofs_asked = 0
        hello = Hello(landlock_abi=7, locks=["landlock", "seccomp"], missing=[], memory="no-swap", udp_port=8555)
        attempt = Attempt(name="open", where="/tmp", refused=True, answer="EACCES")
        first = Proof(nonce="n" * 20, thread="first", holds=True, tried=48, refused=48, attempts=[attempt], took_ms=20)
        self.process = FakeGuarantee(hello=hello, proofs=(first, first.model_copy(update={"thread": "second"})))

    async def start(self) -> None:
        """Begin."""
        self.running = True

    async def stop(self) -> None:
        """End."""
        self.running = False

    def camera(self, camera: str) -> FakeStatus:
        """What the test set."""
        return self.status[camera]

    def set(self, camera: str, **changes: object) -> None:
        """Change a camera's status and tell."""
        self.status[camera] = replace(self.status[camera], **changes)  # type: ignore[arg-type]
        self.events.on_camera(camera)

    async def add_viewer(self, camera: str, viewer: str, offer: str) -> ViewerAnswer:
        """Answer OFFER and its like."""
        await asyncio.sleep(0)
        if self.refuse:
            raise self.refuse
        if "H264" not in offer:
            raise BadOffer("the offer has no H.264 with packetization-mode 1")
        if len(self.viewers) >= 1000:
            raise TooMany("too many")
        self.viewers[viewer] = camera
        if self.close_before_answer:
            self.end(viewer, "never-connected")
        return ViewerAnswer(
            viewer=viewer,
            ufrag="abcd",
            pwd="p" * 24,
            fingerprint=":".join(["AB"] * 32),
            mid="0",
            payload_type=103,
            profile_level_id="42e01f",
            ssrc=99,
            udp_port=8555,
            rejected_mids=[],
            video_index=0,
        )

    def close_viewer(self, viewer: str) -> None:
        """Remember, and say so as the real room does."""
        self.closed.append(viewer)
        self.end(viewer, "asked")

    def end(self, viewer: str, why: str) -> None:
        """A viewer is gone."""
        if self.viewers.pop(viewer, None):
            self.events.on_viewer_closed(viewer, why)

    def set_curtain(self, camera: str, closed: bool) -> None:
        """Remember."""
        self.curtains.append((camera, closed))
        self.set(camera, state="curtain" if closed else "connecting")

    spare_pid = 0

    @property
    def held(self) -> str:
        """Why the media processes may not run."""
        return self.holding

    def hold(self, why: str) -> None:
        """Remember."""
        self.holding = why

    def release(self) -> None:
        """Remember."""
        self.holding = ""

    def end_process(self, index: int, why: str) -> None:
        """Remember."""
        self.ended_processes.append((index, why))

    def prove(self) -> None:
        """Count, and answer with a new proof a moment later."""
        self.proofs_asked += 1
        nonce = f"{self.proofs_asked:020d}"
        proofs = tuple(proof.model_copy(update={"nonce": nonce}) for proof in self.process.proofs)
        asyncio.get_running_loop().call_later(0.02, self._proved, proofs)

    def _proved(self, proofs: tuple[Proof, ...]) -> None:
        self.process = replace(self.process, proofs=proofs, proved_ms=self.proofs_asked)

    def add_camera(self, index: int, camera: AddCamera) -> None:
        """As the real one: a camera that connects."""
        if camera.camera in self.cameras:
            raise Conflict(f"the camera {camera.camera} is there already")
        if index != 0:
            raise NotFound(f"there is no media process {index}")
        self.cameras[camera.camera] = camera
        self.status[camera.camera] = FakeStatus(report(camera.camera, self.clock.now_ms()))
        self.events.on_camera(camera.camera)

    def remove_camera(self, camera: str) -> None:
        """As the real one."""
        if self.cameras.pop(camera, None) is None:
            raise NotFound(f"no camera is called {camera!r}")
        del self.status[camera]

    def guarantee(self) -> Sequence[FakeGuarantee]:
        """One process."""
        return [self.process]

    def guarantee_is(self, **changes: object) -> None:
        """Change what the process proved, and tell."""
        self.process = replace(self.process, **changes)  # type: ignore[arg-type]
        self.events.on_guarantee()


NOT_READY = Unavailable("the camera's media process is not ready", "try again in some seconds")
