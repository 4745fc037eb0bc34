"""One camera's stream: from packets as a camera sends them to what lies in the window and goes out to viewers."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from monitor.core.messages import encode
from monitor.core.service_clock import ms_from_rtp
from monitor.media import h264
from monitor.media.batch import MAX_BATCH
from monitor.media.stream import LONGEST_GAP, Stream
from monitor.media.window import MAX_PAYLOAD, Window

START = 1_790_000_000_000.0
STALE_MS = 2000.0
CANARY = b"canary-7f3a9c"
IDR_SLICE = b"\x65\x88\x84\x00" + CANARY  # first_mb_in_slice 0, slice_type 7 (I)
IDR_SECOND_SLICE = b"\x65\x42\x22\x11" + CANARY  # first_mb_in_slice 1
P_SLICE = b"\x41\x9a\x02\x04" + CANARY  # first_mb_in_slice 0, slice_type 5 (P)
B_SLICE = b"\x01\x9e\x02\x04" + CANARY  # slice_type 6 (B)
AUD = b"\x09\xf0"
SEI = b"\x06\x05\x01\x80"


@pytest.fixture(scope="module")
def sets() -> tuple[bytes, bytes]:
    """The SPS and PPS of x264's own, Main profile, 320 × 180."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 320, 180, "yuv420p"
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    context.options = {"profile": "main", "x264-params": "bframes=0"}
    frame = av.VideoFrame.from_ndarray(np.zeros((180, 320, 3), np.uint8), "rgb24")
    frame.pts = 0
    nals = [n for packet in (*context.encode(frame), *context.encode(None)) for n in h264.split_annexb(bytes(packet))]
    return tuple(next(nal for nal in nals if h264.nal_type(nal) == kind) for kind in (h264.SPS, h264.PPS))  # type: ignore[return-value]


class Camera:
    """Feeds a stream as a camera would, 25 pictures a second that arrive at once."""

    def __init__(self, *, seconds: float = 2.0, seq: int = 65_000, timestamp: int = 2**32 - 9000) -> None:
        self.batches: list[list[int]] = []
        self.changes: list[tuple[str, str]] = []
        self.window = Window(seconds, 4 << 20)
        self.stream = Stream("bay-1", self.window, STALE_MS, self._on_batch, self._on_change)
        self.sent: list[bytes] = []
        self.seq, self.timestamp, self.now = seq, timestamp, START
        self.stream.on_event("start", "", self.now)
        self.stream.connected()

    def _on_batch(self, indexes: list[int]) -> None:
        self.batches.append(indexes)
        for index in indexes:
            self.sent.append(bytes(self.window.payload(index) or b""))

    def _on_change(self) -> None:
        self.changes.append((self.stream.state.state, self.stream.state.reason))

    def payload(self, payload: bytes, *, marker: bool = False, lost: bool = False) -> None:
        if not lost:
            self.stream.packet(self.seq, self.timestamp, marker, memoryview(payload), self.now)
        self.seq = (self.seq + 1) & 0xFFFF

    def unit(self, nals: list[bytes], *, marker: bool = True, lose: set[int] = frozenset(), size: int = 1400) -> None:  # type: ignore[assignment]
        """One access unit; the packets in `lose` do not come. Then a 25th of a second passes, with its ticks."""
        payloads = h264.packetise(nals, size)
        for number, payload in enumerate(payloads):
            self.payload(payload, marker=marker and number == len(payloads) - 1, lost=number in lose)
        self.wait(40.0)

    def wait(self, ms: float) -> None:
        self.timestamp = (self.timestamp + round(ms * 90)) % 2**32
        while ms > 0:
            step = min(ms, 100.0)
            self.now += step
            ms -= step
            self.stream.tick(self.now)

    def held(self) -> list[bytes]:
        """The payloads that the window holds; empty where there is a gap."""
        return [bytes(self.window.payload(i) or b"") for i in range(self.window.first, self.window.end)]

    def report(self):  # type: ignore[no-untyped-def]
        report = self.stream.report(self.now, 0, 0, 0, 0, 0)
        encode(report)
        return report


# ---- the plain way ---------------------------------------------------------------------------------------------------


def test_packets_go_out_as_they_came_an_access_unit_at_a_time(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    units = [[*sets, IDR_SLICE], [P_SLICE], [P_SLICE + bytes(5000)], [SEI, P_SLICE]]
    for unit in units:
        camera.unit(unit)
    expected = [h264.packetise(unit, MAX_PAYLOAD) for unit in units]
    assert camera.sent == [payload for unit in expected for payload in unit]
    assert [len(batch) for batch in camera.batches] == [len(unit) for unit in expected]
    assert camera.held() == camera.sent
    markers = [bool(camera.window.markers[i]) for i in range(camera.window.end)]
    assert [number for number, marker in enumerate(markers) if marker] == list(
        np.cumsum([len(unit) for unit in expected]) - 1
    )
    assert not camera.stream.gathering
    report = camera.report()
    assert (report.frames, report.packets, report.lost, report.faults) == (4, len(camera.sent), 0, [])
    assert report.octets == report.window_octets == sum(map(len, camera.sent))
    assert (report.width, report.height, report.profile) == (320, 180, "main")


def test_the_timestamp_is_the_capture_moment(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    for number in range(5):
        camera.unit([*sets, IDR_SLICE] if not number else [P_SLICE, P_SLICE])
    moments = [ms_from_rtp(int(camera.window.timestamps[i]), START) for i in range(camera.window.end)]
    assert moments == pytest.approx([START, START, *(START + 40 * n for n in (1, 1, 2, 2, 3, 3, 4, 4))], abs=0.05)
    report = camera.report()
    assert (report.picture_ms, report.capture_from) == (START + 160, "arrival")


def test_a_sender_report_that_can_be_true_counts(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.unit([*sets, IDR_SLICE])
    camera.stream.sender_report(camera.now - 40 - 30, camera.timestamp - 3600, camera.now)
    for _ in range(5):
        camera.unit([P_SLICE])
    report = camera.report()
    assert report.capture_from == "sender-report"
    assert report.picture_ms == pytest.approx(camera.now - 40 - 30, abs=1)
    assert "clock-wrong" not in report.faults
    camera.stream.sender_report(camera.now - 3_600_000, camera.timestamp, camera.now)
    camera.unit([P_SLICE])
    report = camera.report()
    assert report.capture_from == "arrival"
    assert "clock-wrong" in report.faults
    assert report.clock_offset_ms == pytest.approx(-3_600_000, abs=100)


def test_a_unit_that_fills_more_than_a_batch_goes_out_in_batches(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.unit([*sets, IDR_SLICE + bytes(MAX_PAYLOAD * MAX_BATCH * 2)])
    assert [len(batch) for batch in camera.batches][:-1] == [MAX_BATCH] * (len(camera.batches) - 1)
    assert len(camera.batches) == 3
    assert [index for batch in camera.batches for index in batch] == list(range(camera.window.end))


def test_a_camera_without_markers(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.unit([*sets, IDR_SLICE], marker=False)
    assert camera.stream.gathering
    assert camera.stream.state.state == "connecting"
    camera.unit([P_SLICE], marker=False)
    assert camera.stream.state.state == "live"
    camera.unit([P_SLICE], marker=False)
    assert camera.report().frames == 2
    assert camera.batches == [[0, 1], [2]]


def test_large_payloads_are_cut_and_the_marker_stays_last(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.unit([*sets, IDR_SLICE + bytes(range(256)) * 100], size=60_000)
    assert all(len(payload) <= MAX_PAYLOAD for payload in camera.sent)
    markers = [bool(camera.window.markers[i]) for i in range(camera.window.end)]
    assert markers == [False] * (len(markers) - 1) + [True]
    fragments = b"".join(payload[2:] for payload in camera.sent[1:])
    assert fragments == (IDR_SLICE + bytes(range(256)) * 100)[1:]
    assert camera.report().packets == 2


# ---- keyframes -------------------------------------------------------------------------------------------------------


def test_a_keyframe_begins_with_its_unit(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.unit([P_SLICE])
    assert camera.window.keyframe is None
    camera.unit([AUD, *sets, SEI, IDR_SLICE, IDR_SECOND_SLICE])
    assert camera.window.keyframe == 1
    assert h264.nal_type(camera.held()[1]) == h264.AUD
    camera.unit([P_SLICE])
    assert camera.window.keyframe == 1
    camera.unit([*sets, IDR_SLICE])
    assert camera.window.keyframe == 7


@pytest.mark.parametrize("slices", [[IDR_SLICE], [IDR_SLICE, IDR_SECOND_SLICE], [IDR_SLICE + bytes(4000)]])
def test_parameter_sets_from_the_sdp_come_before_each_keyframe(sets: tuple[bytes, bytes], slices: list[bytes]) -> None:
    camera = Camera()
    camera.stream.parameter_sets(*sets)
    for _ in range(2):
        camera.unit(slices)
        camera.unit([P_SLICE])
    together = h264.packetise(sets, MAX_PAYLOAD)[0]
    assert camera.sent.count(together) == 2
    expected = [together, *h264.packetise(slices, MAX_PAYLOAD)]
    assert camera.sent == [*expected, P_SLICE, *expected, P_SLICE]
    assert camera.window.keyframe == len(expected) + 1
    assert camera.stream.state.state == "live"
    assert camera.report().packets == 2 * len(expected)  # what we put in ourselves is not the camera's


def test_parameter_sets_that_the_camera_sends_are_not_doubled(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.stream.parameter_sets(*sets)
    camera.unit([*sets, IDR_SLICE])
    camera.unit([AUD, *sets, IDR_SLICE])
    assert sum(h264.has_sps(payload) for payload in camera.sent) == 2


def test_the_sets_come_behind_the_delimiter_and_before_the_slice(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.stream.parameter_sets(*sets)
    camera.unit([AUD, IDR_SLICE])
    assert [h264.nal_type(payload) for payload in camera.sent] == [h264.AUD, h264.STAP_A, h264.IDR]
    assert camera.window.keyframe == 0


def test_without_any_parameter_sets_nobody_can_start() -> None:
    camera = Camera()
    camera.unit([IDR_SLICE])
    assert camera.window.keyframe is None
    assert camera.stream.state.state == "connecting"


def test_to_join_in_the_middle_of_a_keyframe_is_no_keyframe(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.stream.parameter_sets(*sets)
    camera.unit([IDR_SECOND_SLICE])
    assert camera.window.keyframe is None
    assert camera.stream.state.state == "connecting"
    camera.unit([IDR_SLICE])
    assert camera.window.keyframe is not None


# ---- loss ------------------------------------------------------------------------------------------------------------


def test_a_gap_is_a_gap_for_viewers(sets: tuple[bytes, bytes]) -> None:
    camera = Camera(seq=65_534)
    camera.unit([*sets, IDR_SLICE])
    camera.unit([P_SLICE + bytes(6000)], lose={1, 2})
    camera.unit([P_SLICE])
    held = camera.held()
    assert [number for number, payload in enumerate(held) if not payload] == [3, 4]
    assert held[5] == h264.packetise([P_SLICE + bytes(6000)], MAX_PAYLOAD)[3]
    report = camera.report()
    assert (report.lost, report.faults) == (2, ["packet-loss"])
    assert camera.window.keyframe == 0, "the keyframe before it is whole"


@pytest.mark.parametrize("lost", [0, 1, 2, 3, 4])
def test_a_damaged_keyframe_is_not_offered(sets: tuple[bytes, bytes], lost: int) -> None:
    """Whichever of its packets is lost, the last one too: 0 is the parameter sets, 1 to 4 the slice."""
    camera = Camera()
    camera.unit([P_SLICE])
    camera.unit([*sets, IDR_SLICE + bytes(5000)], lose={lost})
    camera.unit([P_SLICE])
    assert camera.window.keyframe is None
    assert camera.stream.state.state == "connecting"
    camera.unit([*sets, IDR_SLICE])
    assert camera.window.keyframe is not None
    assert camera.stream.state.state == "live"


def test_a_packet_lost_behind_a_whole_keyframe_does_not_damage_it(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.unit([*sets, IDR_SLICE])
    camera.unit([P_SLICE, P_SLICE], lose={0})
    assert camera.window.keyframe == 0
    assert camera.held()[2] == b""


@pytest.mark.parametrize("first", [[AUD], [SEI], []], ids=["delimiter", "sei", "slice"])
def test_a_keyframe_right_behind_a_gap_is_whole_where_it_shows_its_beginning(
    sets: tuple[bytes, bytes], first: list[bytes]
) -> None:
    camera = Camera()
    camera.stream.parameter_sets(*sets)
    camera.unit([IDR_SLICE])
    camera.unit([P_SLICE], lose={0})
    camera.unit([*first, IDR_SLICE])
    assert camera.window.keyframe == 3
    camera.unit([P_SLICE], lose={0})
    camera.unit([IDR_SLICE, IDR_SECOND_SLICE], lose={0})
    assert camera.window.keyframe == 3, "it may have lost its first slice"


def test_a_damaged_unit_is_no_new_picture(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.unit([*sets, IDR_SLICE])
    camera.unit([P_SLICE + bytes(5000)], lose={1})
    assert camera.report().picture_ms == START
    camera.unit([P_SLICE])
    assert camera.report().picture_ms == START + 80


def test_a_long_gap_is_bounded(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.unit([*sets, IDR_SLICE])
    camera.seq = (camera.seq + 5000) & 0xFFFF
    camera.unit([P_SLICE])
    assert camera.held().count(b"") == LONGEST_GAP
    assert camera.report().lost == 5000


def test_sequence_numbers_that_go_back_are_a_new_beginning_and_no_loss(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.unit([*sets, IDR_SLICE])
    camera.seq = (camera.seq - 100) & 0xFFFF
    camera.unit([*sets, IDR_SLICE])
    assert camera.report().lost == 0
    assert camera.window.keyframe is not None


def test_a_new_connection_is_no_gap(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.unit([*sets, IDR_SLICE])
    camera.stream.on_event("lost", "closed-by-camera", camera.now)
    camera.stream.connected()
    camera.seq, camera.timestamp = 7, 77
    camera.unit([*sets, IDR_SLICE])
    report = camera.report()
    assert (report.lost, report.faults, report.state) == (0, [], "live")


# ---- faults ----------------------------------------------------------------------------------------------------------


def test_b_frames_are_a_fault_that_goes_away(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.unit([*sets, IDR_SLICE])
    camera.unit([P_SLICE])
    assert camera.report().faults == []
    camera.unit([B_SLICE])
    assert camera.report().faults == ["b-frames"]
    camera.wait(10_100)
    camera.unit([P_SLICE])
    assert camera.report().faults == []


@pytest.mark.parametrize(("every", "faults"), [(50, []), (60, ["long-keyframe-interval"])])
def test_keyframes_more_than_two_seconds_apart(sets: tuple[bytes, bytes], every: int, faults: list[str]) -> None:
    camera = Camera()
    for number in range(every + 1):
        camera.unit([P_SLICE] if number % every else [*sets, IDR_SLICE])
    report = camera.report()
    assert report.keyframe_interval_ms == every * 40
    assert report.faults == faults


def test_a_window_that_is_too_small_is_a_fault(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.window = camera.stream.window = Window(2.0, 64 * MAX_PAYLOAD)
    camera.unit([*sets, IDR_SLICE + bytes(MAX_PAYLOAD * 70)])
    assert camera.report().faults == ["window-too-small"]


def test_an_sps_that_makes_no_sense_is_passed_on_and_not_read(caplog: pytest.LogCaptureFixture) -> None:
    camera = Camera()
    camera.unit([b"\x67\x42", b"\x68\xce", IDR_SLICE])
    assert camera.stream.sps is None
    assert (camera.report().width, camera.stream.profile) == (0, "")
    assert "makes no sense" in caplog.text
    assert "67" not in caplog.text


def test_random_payloads_do_no_harm(sets: tuple[bytes, bytes]) -> None:
    rng = np.random.default_rng(7)
    camera = Camera()
    camera.unit([*sets, IDR_SLICE])
    for number in range(600):
        size = int(rng.choice([0, 1, 2, 3, 40, 1400, 1401, 9000]))
        camera.payload(rng.bytes(size), marker=bool(rng.integers(2)), lost=bool(rng.integers(10) == 0))
        camera.wait(float(rng.integers(30)))
        assert len(camera.held()) <= camera.window.slots, number
    camera.report()


# ---- states ----------------------------------------------------------------------------------------------------------


def test_live_with_the_first_whole_keyframe(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.unit([P_SLICE])
    assert camera.stream.state.state == "connecting"
    camera.unit([*sets, IDR_SLICE])
    assert camera.changes[-1] == ("live", "")
    assert camera.report().since_ms == START + 40


def test_stale_when_packets_stop_and_live_when_they_flow(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.unit([*sets, IDR_SLICE])
    camera.wait(1900)
    assert camera.stream.state.state == "live"
    camera.wait(200)
    assert camera.changes[-1] == ("stale", "no-packets")
    count = len(camera.changes)
    camera.unit([*sets, IDR_SLICE])
    for _ in range(20):
        camera.unit([P_SLICE])
    assert camera.stream.state.state == "stale", "not before a second"
    for _ in range(10):
        camera.unit([P_SLICE])
    assert camera.changes[count:] == [("live", "")]


def test_one_packet_does_not_make_it_live_again(sets: tuple[bytes, bytes]) -> None:
    camera = Camera()
    camera.unit([*sets, IDR_SLICE])
    camera.wait(5000)
    camera.unit([P_SLICE])
    camera.wait(1900)
    assert camera.stream.state.state == "stale"


# ---- nothing is left -------------------------------------------------------------------------------------------------


def leftovers(camera: Camera) -> list[str]:
    """Where a byte of a picture is still held."""
    return [
        name
        for name, held in (
            ("window", bytes(camera.window._memory)),
            ("resizer", bytes(camera.stream._resizer._held)),
        )
        if CANARY in held
    ]


def half_a_keyframe(camera: Camera, sets: tuple[bytes, bytes]) -> None:
    """A whole unit, and the first fragment of one that is cut anew: the end of it waits."""
    camera.unit([*sets, IDR_SLICE])
    camera.payload(h264.packetise([b"\x65\x88" + CANARY * 500], 3000)[0])
    assert leftovers(camera) == ["window", "resizer"], "the negative control"
    assert camera.stream.gathering


@pytest.mark.parametrize("event", ["curtain", "stop", "lost", "refused"])
def test_what_ends_a_picture_leaves_no_byte(sets: tuple[bytes, bytes], event: str) -> None:
    camera = Camera()
    half_a_keyframe(camera, sets)
    batches = len(camera.batches)
    camera.stream.on_event(event, "closed-by-camera", camera.now)  # type: ignore[arg-type]
    assert leftovers(camera) == []
    assert not any(bytes(camera.window._memory))
    assert not camera.stream.gathering
    assert camera.window.keyframe is None
    assert camera.stream.report(camera.now, 0, 0, 0, 0, 0).window_octets == 0
    assert len(camera.batches) == batches, "what waited must not go out afterwards"


@pytest.mark.parametrize("event", ["curtain", "stop"])
def test_behind_the_curtain_nothing_is_taken(sets: tuple[bytes, bytes], event: str) -> None:
    camera = Camera()
    camera.unit([*sets, IDR_SLICE])
    camera.stream.on_event(event, "", camera.now)  # type: ignore[arg-type]
    before = camera.report()
    camera.unit([*sets, IDR_SLICE])
    after = camera.report()
    assert (after.packets, after.frames, after.octets) == (before.packets, before.frames, before.octets)
    assert not any(bytes(camera.window._memory))
    assert after.state == {"curtain": "curtain", "stop": "off"}[event]
    camera.stream.on_event("open" if event == "curtain" else "start", "", camera.now)
    camera.stream.connected()
    camera.unit([*sets, IDR_SLICE])
    assert camera.report().state == "live", "the negative control: open again it is taken"
    assert leftovers(camera) == ["window"]


def test_silence_empties_all_within_the_bound(sets: tuple[bytes, bytes]) -> None:
    """A camera that freezes in the middle of a fragment: its connection stands, and no packet comes any more."""
    camera = Camera(seconds=2.0)
    half_a_keyframe(camera, sets)
    camera.wait(1000)
    assert leftovers(camera) == ["window", "resizer"]
    camera.wait(950)
    assert leftovers(camera) == []
    assert not any(bytes(camera.window._memory))
    assert camera.report().residency_max_ms < 2000


@pytest.mark.parametrize("size", [1400, 3000], ids=["gathered", "cut anew"])
def test_a_unit_that_went_on_after_such_a_silence_is_damaged(sets: tuple[bytes, bytes], size: int) -> None:
    camera = Camera()
    camera.unit([*sets, IDR_SLICE])
    payloads = h264.packetise([*sets, b"\x65\x88" + CANARY * 500], size)
    camera.payload(payloads[0])
    camera.payload(payloads[1])
    timestamp = camera.timestamp
    camera.wait(3000)
    camera.timestamp = timestamp
    for payload in payloads[2:]:
        camera.payload(payload, marker=payload is payloads[-1])
    assert camera.window.keyframe is None
    assert camera.report().picture_ms == START
