"""H.264 payloads and parameter sets: against x264's own output, by properties, and what is cut off or random."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.media import h264


def encode(
    profile: str, *, bframes: int = 0, width: int = 320, height: int = 180, frames: int = 12
) -> list[list[bytes]]:
    """The NAL units of each access unit, in decoding order, as x264 makes them."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    transform = int(profile == "high")
    context.options = {
        "profile": profile,
        "preset": "veryfast",
        "x264-params": f"b-adapt=0:bframes={bframes}:keyint=12:8x8dct={transform}:cabac={int(profile != 'baseline')}",
    }
    packets = []
    for index in range(frames):
        picture = np.full((height, width, 3), index * 16, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts = index
        packets += context.encode(frame)
    packets += context.encode(None)
    return [h264.split_annexb(bytes(packet)) for packet in packets]


def depacketise(payloads: Sequence[bytes]) -> list[bytes]:
    """NAL units from payloads that arrive whole and in order."""
    nals: list[bytes] = []
    fragments = bytearray()
    for payload in payloads:
        for piece in h264.iter_nals(memoryview(payload)):
            if piece.start:
                fragments = bytearray([piece.header])
            fragments += piece.body
            if piece.end:
                nals.append(bytes(fragments))
    return nals


@pytest.mark.parametrize(
    ("profile", "name"), [("baseline", "constrained-baseline"), ("main", "main"), ("high", "high")]
)
@pytest.mark.parametrize(("width", "height"), [(320, 180), (640, 360), (1920, 1080), (1366, 768)])
def test_sps_of_x264(profile: str, name: str, width: int, height: int) -> None:
    sps = next(
        nal for nal in encode(profile, width=width, height=height, frames=1)[0] if h264.nal_type(nal) == h264.SPS
    )
    parsed = h264.parse_sps(sps)
    assert (parsed.width, parsed.height) == (width, height)  # 180, 1080 and 1366 need cropping
    assert h264.profile_name(parsed) == name
    assert parsed.max_num_reorder_frames == 0
    assert parsed.profile_level_id == sps[1:4].hex()


def test_sps_tells_b_frames() -> None:
    units = encode("high", bframes=2)
    sps = next(nal for nal in units[0] if h264.nal_type(nal) == h264.SPS)
    assert (h264.parse_sps(sps).max_num_reorder_frames or 0) > 0


class BitWriter:
    """Writes what `Bits` reads, for parameter sets that x264 does not make."""

    def __init__(self) -> None:
        self.bits = ""

    def u(self, count: int, value: int) -> BitWriter:
        self.bits += f"{value:0{count}b}"
        return self

    def ue(self, *values: int) -> BitWriter:
        for value in values:
            code = f"{value + 1:b}"
            self.bits += "0" * (len(code) - 1) + code
        return self

    def nal(self, head: bytes) -> bytes:
        bits = self.bits + "1"
        bits += "0" * (-len(bits) % 8)
        return head + h264.escape(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def test_sps_that_cameras_send_and_x264_does_not() -> None:
    interlaced = BitWriter().ue(0, 0, 1).u(1, 0).ue(3, 2, 1, 5, 4).u(1, 0).ue(119, 33)  # poc type 1, two offsets
    interlaced.u(1, 0).u(1, 1).u(1, 1).u(1, 1).ue(0, 0, 0, 2).u(1, 0)  # fields, cropped by 2 x 4 lines, no VUI
    parsed = h264.parse_sps(interlaced.nal(bytes([0x67, 77, 0, 40])))
    assert (parsed.width, parsed.height, parsed.max_num_reorder_frames) == (1920, 1080, None)

    scaling = BitWriter().ue(0, 1, 0, 0).u(1, 0).u(1, 1)  # 4:2:0, a scaling matrix: lists 0 and 6 are there
    scaling.u(1, 1).ue(*[0] * 16).u(5, 0).u(1, 1).ue(2, *[0] * 63).u(1, 0)
    scaling.ue(0, 2, 1).u(1, 0).ue(39, 29).u(1, 1).u(1, 1).u(1, 0)
    scaling.u(1, 1).u(1, 1).u(8, 255).u(16, 4).u(16, 3)  # VUI with an extended aspect ratio
    scaling.u(1, 1).u(1, 0).u(1, 1).u(4, 5).u(1, 1).u(24, 0).u(1, 1).ue(0, 0).u(1, 1).u(32, 1).u(32, 50).u(1, 1)
    scaling.u(1, 1).ue(1).u(8, 0).ue(9, 9).u(1, 0).ue(9, 9).u(1, 1).u(20, 0)  # NAL HRD with two buffers
    scaling.u(1, 0).u(1, 0).u(1, 0).u(1, 1).u(1, 1).ue(0, 0, 9, 9, 2, 4)
    parsed = h264.parse_sps(scaling.nal(bytes([0x67, 100, 0, 30])))
    assert (parsed.width, parsed.height, parsed.max_num_reorder_frames) == (640, 480, 2)

    plain = BitWriter().ue(0, 0, 2, 1).u(1, 0).ue(2**14, 2**14).u(1, 1).u(1, 1).u(1, 0).u(1, 0)
    with pytest.raises(ValueError, match="size"):
        h264.parse_sps(plain.nal(bytes([0x67, 66, 0, 30])))


def test_truncated_sps_is_refused_or_read_without_its_vui() -> None:
    sps = next(nal for nal in encode("high")[0] if h264.nal_type(nal) == h264.SPS)
    whole = h264.parse_sps(sps)
    for length in range(len(sps)):
        try:
            parsed = h264.parse_sps(sps[:length])
        except ValueError:
            continue
        assert length > 8
        assert (parsed.width, parsed.height) == (whole.width, whole.height)


@given(st.binary(max_size=80))
def test_random_sps_raises_only_value_error(data: bytes) -> None:
    try:
        parsed = h264.parse_sps(bytes([0x67]) + data)
    except ValueError:
        return
    assert 0 < parsed.width <= 16384


def test_b_slices_are_seen() -> None:
    units = encode("main", bframes=2)
    kinds = ["B" if any(h264.slice_is_b(nal) for nal in unit) else "-" for unit in units]
    assert kinds.count("B") >= 4
    assert kinds[0] == "-"
    # The same through RTP: only the fragment that starts the slice tells.
    b_unit = units[kinds.index("B")]
    slice_nal = next(nal for nal in b_unit if h264.nal_type(nal) == h264.SLICE)
    long = slice_nal + bytes(range(1, 200))
    payloads = h264.packetise([long], 100)
    assert [h264.slice_is_b(memoryview(one)) for one in payloads] == [True] + [False] * (len(payloads) - 1)
    assert not any(h264.slice_is_b(nal) for unit in encode("main") for nal in unit)


def test_idr_and_sps_are_seen_in_every_form() -> None:
    units = encode("baseline")
    first, second = h264.packetise(units[0], 1200), h264.packetise(units[1], 1200)
    assert any(h264.has_sps(one) for one in first)
    assert any(h264.starts_idr(one) for one in first)
    assert not any(h264.has_sps(one) or h264.starts_idr(one) for one in second)
    idr = bytes([0x65]) + bytes(300)
    parts = h264.packetise([idr], 100)
    assert [h264.starts_idr(one) for one in parts] == [True] + [False] * (len(parts) - 1)
    aggregate = h264.packetise([b"\x67abc", b"\x68de"], 100)
    assert [h264.nal_type(one) for one in aggregate] == [h264.STAP_A]
    assert h264.has_sps(memoryview(aggregate[0]))
    assert not h264.has_sps(b"\x68de")


NAL = st.builds(
    lambda head, body: bytes([head]) + body,
    st.integers(0, 3).flatmap(lambda nri: st.integers(1, 23).map(lambda kind: nri << 5 | kind)),
    st.binary(min_size=1, max_size=5000),
)


@given(st.lists(NAL, min_size=1, max_size=6), st.integers(64, 1400))
@settings(max_examples=150, deadline=None)
def test_packetise_round_trip(nals: list[bytes], limit: int) -> None:
    payloads = h264.packetise(nals, limit)
    assert depacketise(payloads) == nals
    assert all(0 < len(payload) <= limit for payload in payloads)
    fragments: list[int] = []
    for payload in payloads:
        if h264.nal_type(payload) != h264.FU_A:
            continue
        fragments.append(len(payload))
        if payload[1] & 0x40:
            assert len(set(fragments[:-1])) <= 1
            assert fragments[-1] <= fragments[0]
            fragments = []


@given(st.binary(max_size=200))
def test_iter_nals_of_anything_never_raises(data: bytes) -> None:
    for piece in h264.iter_nals(memoryview(data)):
        assert len(piece.body) < len(data)
    h264.starts_idr(data), h264.has_sps(data), h264.slice_is_b(data)


@pytest.mark.parametrize("bad", [b"", b"\x18abc", b"\x1cabc", b"\x00abc"])
def test_packetise_refuses_what_is_not_a_nal_unit(bad: bytes) -> None:
    with pytest.raises(ValueError, match="NAL unit"):
        h264.packetise([bad], 1200)


@given(st.binary(max_size=300))
def test_emulation_prevention_round_trip(data: bytes) -> None:
    escaped = h264.escape(data)
    assert all(code not in escaped for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))
    if not data.endswith(b"\0"):  # a zero byte at the end gets one more, which the RBSP's own syntax drops
        assert h264.unescape(escaped) == data


def test_split_annexb() -> None:
    stream = b"junk\0\0\0\1\x67sps\0\0\1\x68pps\0\0\0\0\1\x65idr\0\0"
    assert h264.split_annexb(stream) == [b"\x67sps", b"\x68pps", b"\x65idr"]
    assert h264.split_annexb(b"") == []


def test_sprop() -> None:
    sps, pps = b"\x67\x42\xc0\x1e", b"\x68\xce"
    text = ",".join(base64.b64encode(one).decode() for one in (sps, pps))
    assert h264.parameter_sets_from_sprop(text) == (sps, pps)
    assert h264.parameter_sets_from_sprop(text.replace("=", "")) == (sps, pps)
    for bad in ("", "!!!", text.split(",", maxsplit=1)[0], "Z0LA"):
        with pytest.raises(ValueError, match="sprop"):
            h264.parameter_sets_from_sprop(bad)


def test_sei_carries_the_token_and_does_not_disturb_a_decoder() -> None:
    token = bytes(range(1, 33))
    sei = h264.insert_sei(token)
    assert h264.nal_type(sei) == h264.SEI
    assert token in sei
    assert h264.unescape(h264.insert_sei(bytes(40)))[-41:-1] == bytes(40)
    assert h264.insert_sei(bytes([7]) * 300)[1:4] == bytes([5, 255, 316 - 255])
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    units = [[*unit[:-1], sei, unit[-1]] for unit in encode("baseline")]
    pictures = 0
    for unit in units:
        pictures += len(decoder.decode(av.Packet(b"".join(b"\0\0\0\1" + nal for nal in unit))))
    pictures += len(decoder.decode(None))
    assert pictures == 12
