"""The bit-level syntax of H.264 that the relay reads: Exp-Golomb codes, emulation prevention, the SPS.

Pure functions over bytes; ITU-T H.264 sections are cited as §. This module must never keep or log what it reads, and
every read is bounded: a parameter set that a camera sends is not trusted. Used through `monitor.media.h264`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ProfileName = Literal["baseline", "constrained-baseline", "main", "high", "other"]

_SPS = 7
_WITH_CHROMA = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})  # §7.3.2.1.1
_EXTENDED_SAR = 255
_MAX_SIDE = 16384


def escape(rbsp: bytes) -> bytes:
    """Put emulation prevention bytes in (§7.4.1): no three bytes 00 00 00 … 00 00 03 are left."""
    out = bytearray()
    zeros = 0
    for byte in rbsp:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    if out and out[-1] == 0:
        out.append(3)  # a NAL unit must not end in a zero byte
    return bytes(out)


def unescape(data: bytes) -> bytes:
    """Take the emulation prevention bytes out (§7.3.1)."""
    if b"\x00\x00\x03" not in data:
        return data
    out = bytearray()
    zeros = 0
    for byte in data:
        if zeros >= 2 and byte == 3:
            zeros = 0
            continue
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


class Bits:
    """Reads bits, most significant first; ValueError past the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def u(self, count: int) -> int:
        """An unsigned number of `count` bits."""
        if count > self._left:
            raise ValueError("the bits end too early")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def ue(self) -> int:
        """Exp-Golomb, unsigned (§9.1)."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 31:
                raise ValueError("an Exp-Golomb code that is too long")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """Exp-Golomb, signed (§9.1.1)."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


@dataclass(frozen=True)
class Sps:
    """What the relay needs of a sequence parameter set (§7.3.2.1.1). `width` and `height` in pixels, after cropping."""

    width: int
    height: int
    profile_idc: int
    constraint_flags: int
    """The byte of constraint_set0_flag (0x80) … constraint_set5_flag (0x04)."""
    level_idc: int
    max_num_reorder_frames: int | None
    """From the VUI's bitstream restriction (§E.2.1): over 0 means B-frames; None where the stream does not say."""

    @property
    def profile_level_id(self) -> str:
        """As in SDP (RFC 6184 section 8.1): six lower-case hex digits."""
        return f"{self.profile_idc:02x}{self.constraint_flags:02x}{self.level_idc:02x}"


def parse_sps(sps: bytes) -> Sps:
    """Read a sequence parameter set NAL unit, with its first byte and emulation prevention, without a start code.

    Raises ValueError where it is not one, is cut off, or names a size that no camera has.
    """
    if not sps or sps[0] & 0x1F != _SPS or len(sps) < 5:
        raise ValueError("not a sequence parameter set")
    profile_idc, flags, level_idc = sps[1], sps[2], sps[3]
    bits = Bits(unescape(sps[4:]))
    bits.ue()  # seq_parameter_set_id
    chroma = _read_chroma(bits) if profile_idc in _WITH_CHROMA else 1
    bits.ue()  # log2_max_frame_num_minus4
    _skip_picture_order(bits)
    bits.ue()  # max_num_ref_frames
    bits.u(1)  # gaps_in_frame_num_value_allowed_flag
    width_mbs = bits.ue() + 1
    height_units = bits.ue() + 1
    frame_mbs_only = bits.u(1)
    if not frame_mbs_only:
        bits.u(1)  # mb_adaptive_frame_field_flag
    bits.u(1)  # direct_8x8_inference_flag
    left = right = top = bottom = 0
    if bits.u(1):  # frame_cropping_flag
        left, right, top, bottom = (bits.ue() for _ in range(4))
    # Table 6-1, and equations 7-19 to 7-22: cropping counts in chroma samples.
    unit_x = 2 if chroma in (1, 2) else 1
    unit_y = (2 if chroma == 1 else 1) * (2 - frame_mbs_only)
    width = width_mbs * 16 - unit_x * (left + right)
    height = height_units * 16 * (2 - frame_mbs_only) - unit_y * (top + bottom)
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        raise ValueError("a picture size that makes no sense")
    try:
        reorder = _read_reorder(bits) if bits.u(1) else None  # vui_parameters_present_flag
    except ValueError:
        reorder = None  # some cameras cut the VUI short; what matters stands before it
    return Sps(width, height, profile_idc, flags, level_idc, reorder)


def profile_name(sps: Sps) -> ProfileName:
    """The profile's name as in `messages.CameraReport` (§A.2)."""
    if sps.profile_idc == 66:
        return "constrained-baseline" if sps.constraint_flags & 0x40 else "baseline"
    if sps.profile_idc == 77:
        return "main"
    return "high" if sps.profile_idc == 100 else "other"


def _read_chroma(bits: Bits) -> int:
    """ChromaArrayType (§7.4.2.1.1), and past the bit depths and scaling lists."""
    chroma = bits.ue()
    if chroma > 3:
        raise ValueError("a chroma format that does not exist")
    separate = chroma == 3 and bits.u(1)
    bits.ue()  # bit_depth_luma_minus8
    bits.ue()  # bit_depth_chroma_minus8
    bits.u(1)  # qpprime_y_zero_transform_bypass_flag
    if bits.u(1):  # seq_scaling_matrix_present_flag
        for index in range(12 if chroma == 3 else 8):
            if bits.u(1):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return 0 if separate else chroma


def _skip_scaling_list(bits: Bits, size: int) -> None:
    """§7.3.2.1.1.1."""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _skip_picture_order(bits: Bits) -> None:
    kind = bits.ue()  # pic_order_cnt_type
    if kind == 0:
        bits.ue()  # log2_max_pic_order_cnt_lsb_minus4
    elif kind == 1:
        bits.u(1)  # delta_pic_order_always_zero_flag
        bits.se()  # offset_for_non_ref_pic
        bits.se()  # offset_for_top_to_bottom_field
        cycle = bits.ue()
        if cycle > 255:
            raise ValueError("a picture order cycle that is too long")
        for _ in range(cycle):
            bits.se()
    elif kind != 2:
        raise ValueError("a picture order that does not exist")


def _read_reorder(bits: Bits) -> int | None:
    """max_num_reorder_frames of the VUI (§E.1.1), None where it has no bitstream restriction."""
    if bits.u(1) and bits.u(8) == _EXTENDED_SAR:  # aspect_ratio_info_present_flag, aspect_ratio_idc
        bits.u(32)
    if bits.u(1):  # overscan_info_present_flag
        bits.u(1)
    if bits.u(1):  # video_signal_type_present_flag
        bits.u(4)
        if bits.u(1):  # colour_description_present_flag
            bits.u(24)
    if bits.u(1):  # chroma_loc_info_present_flag
        bits.ue()
        bits.ue()
    if bits.u(1):  # timing_info_present_flag
        bits.u(65)
    nal_hrd = bits.u(1)
    if nal_hrd:
        _skip_hrd(bits)
    vcl_hrd = bits.u(1)
    if vcl_hrd:
        _skip_hrd(bits)
    if nal_hrd or vcl_hrd:
        bits.u(1)  # low_delay_hrd_flag
    bits.u(1)  # pic_struct_present_flag
    if not bits.u(1):  # bitstream_restriction_flag
        return None
    bits.u(1)  # motion_vectors_over_pic_boundaries_flag
    for _ in range(4):
        bits.ue()  # max_bytes_per_pic_denom … log2_max_mv_length_vertical
    return bits.ue()


def _skip_hrd(bits: Bits) -> None:
    """§E.1.2."""
    count = bits.ue() + 1
    if count > 32:
        raise ValueError("more coded picture buffers than there can be")
    bits.u(8)  # bit_rate_scale, cpb_size_scale
    for _ in range(count):
        bits.ue()
        bits.ue()
        bits.u(1)
    bits.u(20)
