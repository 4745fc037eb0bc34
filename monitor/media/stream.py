"""One camera's stream: from the source's packets to the window and to its viewers.

Nothing is decoded and nothing is packetised twice. What happens to a packet on its way: a gap in the camera's sequence
numbers becomes a gap in ours; payloads that are too large are cut (`resize`); parameter sets that the camera gives only
in its SDP are put before each IDR picture; the timestamp becomes the capture moment (`capture_clock`). A part of an
access unit goes out when its last packet is there, or when it fills a batch.

The stream must never hold a payload outside the window, and must zero the window when it is stopped, curtained or its
source is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

from monitor.core.camera_state import CameraEvent, CameraFault, CameraReason, CameraState
from monitor.core.messages import CameraReport
from monitor.core.service_clock import rtp_from_ms
from monitor.media import h264
from monitor.media.batch import MAX_BATCH
from monitor.media.capture_clock import CaptureClock
from monitor.media.resize import Resizer
from monitor.media.window import MAX_PAYLOAD, Window

logger = logging.getLogger(__name__)

LONGEST_GAP = 64
"""Lost packets that are shown to viewers as such; a longer gap is a new beginning."""
FAULT_SHOWN_MS = 10_000.0
LONG_KEYFRAME_INTERVAL_MS = 2000.0
CLOCK_WRONG_MS = 5000

OnBatch = Callable[[list[int]], None]


class Stream:
    """A camera's packets. Implements `sources.base.PacketSink`; moments are ms of service time.

    `on_batch` takes the window's indexes to send, at most MAX_BATCH at a time and in order; `on_change` is called when
    the state changed and a report is due.
    """

    def __init__(self, camera: str, window: Window, stale_ms: float, on_batch: OnBatch, on_change: Callable[[], None]):
        self.camera = camera
        self.window = window
        self.state = CameraState(camera)
        self._stale_ms = round(stale_ms)
        self._on_batch = on_batch
        self._on_change = on_change
        self._clock = CaptureClock()
        self._resizer = Resizer(MAX_PAYLOAD)
        self._sets: list[bytes] = []
        self.sps: h264.Sps | None = None
        self._sps_bytes = b""
        self._expected: int | None = None
        self._timestamp: int | None = None
        self._rtp = 0
        self._pending: list[int] = []
        self._unit_first = 0
        self._unit_has_sps = self._unit_is_key = self._unit_damaged = False
        self._unit_open = False
        self._last_key_ms: float | None = None
        self.newest_packet_ms: float | None = None
        self.picture_ms = 0.0
        self.frames = self.packets = self.octets = self.lost = 0
        self.keyframe_interval_ms = 0.0
        self._fault_seen: dict[CameraFault, float] = {}

    # ---- what the source says (PacketSink) ---------------------------------------------------------------------------

    def connected(self) -> None:
        """A new run of packets begins."""
        self._clock = CaptureClock()
        self._expected = self._timestamp = None
        self._unit_open = False
        self._sets = []
        self._last_key_ms = None
        self._resizer.reset()

    def parameter_sets(self, sps: bytes, pps: bytes) -> None:
        """From the SDP."""
        self._sets = [sps, pps]
        self._read_sps(sps)

    def sender_report(self, ntp_ms: float, timestamp: int, arrival_ms: float) -> None:
        """The camera's own clock."""
        self._clock.sender_report(ntp_ms, timestamp)
        if abs(self._clock.clock_offset_ms) > CLOCK_WRONG_MS:
            self._fault_seen["clock-wrong"] = arrival_ms

    def packet(self, seq: int, timestamp: int, marker: bool, payload: memoryview, arrival_ms: float) -> None:
        """One packet from the camera."""
        if self.state.state in ("off", "curtain"):
            return  # the source is being closed; nothing of it may be kept any more
        self.newest_packet_ms = arrival_ms
        self.packets += 1
        self.octets += len(payload)
        unknown_before = self._note_gap(seq, arrival_ms)
        if timestamp != self._timestamp or not self._unit_open:
            self._end_unit(arrival_ms)  # the camera sent no marker
            self._begin_unit(timestamp, arrival_ms)
            # what was lost may have been the beginning of this unit, unless it shows its beginning
            self._unit_damaged = unknown_before and not _shows_beginning(payload)
        self._look(payload, arrival_ms)
        parts = list(self._resizer.feed(payload))
        for number, part in enumerate(parts, 1):
            self._take(part, marker and number == len(parts), arrival_ms)
        if marker:
            self._end_unit(arrival_ms)

    # ---- what the runner and the clock say ---------------------------------------------------------------------------

    def on_event(self, event: CameraEvent, reason: CameraReason, now_ms: float) -> None:
        """The runner's events, and curtain, open, start, stop. A source that is gone leaves nothing in the window."""
        if event in ("lost", "refused", "curtain", "stop"):
            self.clear(now_ms)
        if self.state.on(event, round(now_ms), reason):
            self._on_change()

    def tick(self, now_ms: float) -> None:
        """Several times a second: zero what is too old, and judge the age of the newest packet."""
        silent = self.newest_packet_ms is not None and now_ms - self.newest_packet_ms >= self.window.max_age_ms
        if silent and (self._pending or self._resizer.waiting):
            self._lose(1, now_ms)  # half a unit, and half a fragment, are bound by the window's time like all else
        self.window.expire(now_ms)
        newest = None if self.newest_packet_ms is None else round(self.newest_packet_ms)
        if self.state.observe(newest, round(now_ms), self._stale_ms):
            self._on_change()

    def clear(self, now_ms: float) -> None:
        """Zero all that is held of pictures."""
        self.window.clear(now_ms)
        self._resizer.reset()
        self._pending.clear()
        self._unit_open = False
        self._sets, self._sps_bytes = [], b""

    def report(
        self, now_ms: float, viewers: int, viewer_packets: int, skips: int, retransmitted: int, reconnects: int
    ) -> CameraReport:
        """How the camera is now. The viewers' counts are the relay's."""
        faults = [fault for fault, seen in self._fault_seen.items() if now_ms - seen < FAULT_SHOWN_MS]
        if self.window.overrun:
            faults.append("window-too-small")
        origin: Literal["", "sender-report", "arrival"] = ""
        if self.picture_ms:
            origin = "sender-report" if self._clock.from_report else "arrival"
        return CameraReport(
            camera=self.camera,
            state=self.state.state,
            reason=self.state.reason,
            faults=faults,
            since_ms=self.state.since_ms,
            sent_ms=round(now_ms),
            picture_ms=round(self.picture_ms),
            frames=self.frames,
            packets=self.packets,
            octets=self.octets,
            lost=self.lost,
            reconnects=reconnects,
            keyframe_interval_ms=round(self.keyframe_interval_ms),
            width=self.sps.width if self.sps else 0,
            height=self.sps.height if self.sps else 0,
            profile=h264.profile_name(self.sps) if self.sps else "",
            residency_max_ms=round(self.window.residency_max_ms),
            window_octets=self.window.octets,
            clock_offset_ms=self._clock.clock_offset_ms,
            capture_from=origin,
            viewers=viewers,
            viewer_packets=viewer_packets,
            viewer_skips=skips,
            retransmitted=retransmitted,
        )

    @property
    def gathering(self) -> bool:
        """Whether packets lie in the window that have not been given to `on_batch` yet."""
        return bool(self._pending)

    @property
    def profile(self) -> str:
        """The camera's profile, "" before its first sequence parameter set."""
        return h264.profile_name(self.sps) if self.sps else ""

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _note_gap(self, seq: int, arrival_ms: float) -> bool:
        """Whether it is not known what came right before this packet: it is the first one, or some are missing."""
        expected, self._expected = self._expected, (seq + 1) & 0xFFFF
        if expected is None:
            return True
        missing = (seq - expected) & 0xFFFF
        if not missing:
            return False
        self.lost += missing if missing < 0x8000 else 0
        self._fault_seen["packet-loss"] = arrival_ms
        self._lose(min(missing, LONGEST_GAP), arrival_ms)
        return True

    def _lose(self, count: int, arrival_ms: float) -> None:
        """Packets are missing here: the access unit that is open is damaged, and viewers get a gap to see."""
        self._resizer.reset()
        if self._unit_open:
            if self._unit_is_key and not self._unit_damaged:
                self.window.unmark_keyframe()
            self._unit_damaged = True
        self._flush()
        self.window.skip(count, arrival_ms)

    def _begin_unit(self, timestamp: int, arrival_ms: float) -> None:
        self._timestamp = timestamp
        self._rtp = rtp_from_ms(self._clock.capture_ms(timestamp, arrival_ms))
        self._unit_open = True
        self._unit_first = self.window.end
        self._unit_has_sps = self._unit_is_key = self._unit_damaged = False

    def _look(self, payload: memoryview, arrival_ms: float) -> None:
        """What the first bytes of the payload's NAL units tell. Later fragments tell nothing."""
        kind = h264.nal_type(payload)
        if kind == h264.FU_A and (len(payload) < 2 or not payload[1] & 0x80):
            return
        for piece in h264.iter_nals(payload):
            if piece.type == h264.SPS:
                self._unit_has_sps = True
                self._read_sps(bytes([piece.header]) + piece.body.tobytes())
            elif piece.type == h264.IDR and not self._unit_is_key:
                self._begin_keyframe(arrival_ms)
        if h264.slice_is_b(payload):
            self._fault_seen["b-frames"] = arrival_ms

    def _begin_keyframe(self, arrival_ms: float) -> None:
        if not self._unit_has_sps:
            if not self._sets:
                return  # no parameter sets at all yet: nobody can decode this
            for payload in h264.packetise(self._sets, MAX_PAYLOAD):
                self._take(payload, False, arrival_ms)
        self._unit_is_key = True
        if not self._unit_damaged:
            self.window.mark_keyframe(self._unit_first)
        if self._last_key_ms is not None:
            self.keyframe_interval_ms = arrival_ms - self._last_key_ms
            if self.keyframe_interval_ms > LONG_KEYFRAME_INTERVAL_MS * 1.05:
                self._fault_seen["long-keyframe-interval"] = arrival_ms + self.keyframe_interval_ms
        self._last_key_ms = arrival_ms

    def _read_sps(self, sps: bytes) -> None:
        if sps == self._sps_bytes:
            return
        try:
            self.sps = h264.parse_sps(sps)
            self._sps_bytes = sps
        except ValueError:
            logger.warning("camera %s: a sequence parameter set that makes no sense", self.camera)

    def _take(self, payload: memoryview | bytes, marker: bool, arrival_ms: float) -> None:
        self._pending.append(self.window.append(payload, self._rtp, marker, arrival_ms))
        if len(self._pending) >= MAX_BATCH:
            self._flush()

    def _end_unit(self, arrival_ms: float) -> None:
        self._flush()
        if not self._unit_open:
            return
        self._unit_open = False
        self.frames += 1
        if self._unit_damaged:
            return
        self.picture_ms = self._clock.capture_ms(self._timestamp or 0, arrival_ms)
        if self._unit_is_key and self.state.on("picture", round(arrival_ms)):
            self._on_change()

    def _flush(self) -> None:
        if self._pending:
            pending, self._pending = self._pending, []
            self._on_batch(pending)


def _shows_beginning(payload: memoryview) -> bool:
    """Whether no slice of an access unit can have come before this payload: it begins with what stands before all
    slices (H.264 section 7.4.1.2.3), or with the slice of the first macroblock."""
    first = next(h264.iter_nals(payload), None)
    if first is None or not first.start:
        return False
    if first.type in (h264.SLICE, h264.IDR):
        return bool(len(first.body) and first.body[0] & 0x80)  # first_mb_in_slice is 0 (section 7.3.3)
    return first.type in (h264.AUD, h264.SPS, h264.PPS, h264.SEI)
