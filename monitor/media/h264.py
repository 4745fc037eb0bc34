"""What the relay must know of H.264 without decoding it: NAL units, parameter sets, slice types, and RTP payloads.

Pure functions over bytes: RTP payloads by RFC 6184, NAL units and their syntax by ITU-T H.264 (sections are cited as
§). This module must never keep, log or decode a picture; it raises ValueError on what makes no sense, and the message
never shows a byte of it. What a camera sends is not trusted: every read is bounded.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from monitor.media.h264_syntax import Bits, ProfileName, Sps, escape, parse_sps, profile_name, unescape

__all__ = [
    "AUD",
    "FU_A",
    "IDR",
    "PPS",
    "SEI",
    "SEI_UUID",
    "SLICE",
    "SPS",
    "STAP_A",
    "NalPiece",
    "ProfileName",
    "Sps",
    "escape",
    "has_sps",
    "insert_sei",
    "iter_nals",
    "nal_type",
    "packetise",
    "parameter_sets_from_sprop",
    "parse_sps",
    "profile_name",
    "slice_is_b",
    "split_annexb",
    "starts_idr",
    "unescape",
]

SLICE = 1
IDR = 5
SEI = 6
SPS = 7
PPS = 8
AUD = 9
STAP_A = 24
FU_A = 28
"""NAL unit types: H.264 table 7-1, and RFC 6184 section 5.2 for those above 23."""

SEI_UUID = bytes.fromhex("5f0c9b5e7d1b4c8c9d5b0d2f6a7e4131")
"""Marks our own user data among all others (§D.2.7). Without two zero bytes in a row, so it is found as it is."""

_TYPE = 0x1F
_F_NRI = 0xE0
_FU_START = 0x80
_FU_END = 0x40
_LONGEST_SLICE_START = 24  # bytes that surely hold first_mb_in_slice and slice_type (two codes of at most 63 bits)


class NalPiece(NamedTuple):
    """A NAL unit in an RTP payload, or the part of one that a FU-A carries."""

    type: int
    header: int
    """The NAL unit's first byte (of a FU-A, put together again)."""
    body: memoryview
    """What comes behind the first byte. Not valid longer than the payload."""
    start: bool
    end: bool


# ---- RTP payloads (RFC 6184) -----------------------------------------------------------------------------------------


def nal_type(payload: bytes | memoryview) -> int:
    """The type in the first byte of an RTP payload or NAL unit: 24 is STAP-A, 28 FU-A; 0 where it is empty."""
    return payload[0] & _TYPE if len(payload) else 0


def iter_nals(payload: memoryview | bytes) -> Iterator[NalPiece]:
    """The NAL units of a payload: single NAL unit, STAP-A or FU-A (RFC 6184 sections 5.6, 5.7.1, 5.8).

    Yields what is whole and leaves out the rest: a payload that is cut off, empty, or of another type (STAP-B, MTAP,
    FU-B belong to interleaved mode, which is never negotiated) ends the iteration early.
    """
    view = memoryview(payload)
    if not view:
        return
    kind = view[0] & _TYPE
    if 1 <= kind < STAP_A:
        yield NalPiece(kind, view[0], view[1:], True, True)
    elif kind == FU_A and len(view) > 2:
        flags = view[1]
        header = (view[0] & _F_NRI) | (flags & _TYPE)
        yield NalPiece(flags & _TYPE, header, view[2:], bool(flags & _FU_START), bool(flags & _FU_END))
    elif kind == STAP_A:
        at = 1
        while at + 2 < len(view):
            size = (view[at] << 8) | view[at + 1]
            at += 2
            if not size or at + size > len(view):
                return
            yield NalPiece(view[at] & _TYPE, view[at], view[at + 1 : at + size], True, True)
            at += size


def starts_idr(payload: memoryview | bytes) -> bool:
    """Whether an IDR picture (§7.4.1.2.4) has a NAL unit that begins in this payload."""
    return _begins(payload, IDR)


def has_sps(payload: memoryview | bytes) -> bool:
    """Whether a sequence parameter set begins in this payload."""
    return _begins(payload, SPS)


def _begins(payload: memoryview | bytes, wanted: int) -> bool:
    if len(payload) < 2:
        return False
    kind = payload[0] & _TYPE
    if kind == FU_A:  # first, for most packets are one
        return payload[1] & (_TYPE | _FU_START) == wanted | _FU_START
    if kind == STAP_A:
        return any(piece.type == wanted for piece in iter_nals(payload))
    return kind == wanted


def slice_is_b(payload: memoryview | bytes) -> bool:
    """Whether a B slice begins in this payload (slice_type 1 or 6, §7.4.3 table 7-6).

    Looks at single NAL units, STAP-A, and the FU-A that starts a slice; False for everything else and for what is cut
    off.
    """
    for piece in iter_nals(payload):
        if piece.start and piece.type in (SLICE, IDR):
            bits = Bits(unescape(bytes(piece.body[:_LONGEST_SLICE_START])))
            try:
                bits.ue()  # first_mb_in_slice
                if bits.ue() in (1, 6):
                    return True
            except ValueError:
                continue
    return False


def packetise(nals: Sequence[bytes], max_payload: int) -> list[bytes]:
    """The RTP payloads of the NAL units of one access unit, none longer than `max_payload` bytes (at least 64).

    Parameter sets that follow each other share a STAP-A, what fits goes as a single NAL unit, and what does not in FU-A
    of equal size, only the last one shorter (so that one UDP_SEGMENT send can carry them). Raises ValueError on an
    empty NAL unit or one with a type that is RTP's own.
    """
    if max_payload < 64:
        raise ValueError("an RTP payload of fewer than 64 bytes is of no use")
    payloads: list[bytes] = []
    waiting: list[bytes] = []

    def flush() -> None:
        if len(waiting) == 1:
            payloads.append(waiting[0])
        elif waiting:
            payloads.append(_stap_a(waiting))
        waiting.clear()

    for nal in nals:
        if not 1 <= nal_type(nal) < STAP_A:
            raise ValueError("a NAL unit that is empty or of a type that RTP uses itself")
        small = nal_type(nal) in (SPS, PPS) and 3 + len(nal) <= max_payload
        if not small or 1 + sum(2 + len(one) for one in [*waiting, nal]) > max_payload:
            flush()
        if small:
            waiting.append(nal)
        elif len(nal) <= max_payload:
            payloads.append(bytes(nal))
        else:
            payloads.extend(_fu_a(nal, max_payload))
    flush()
    return payloads


def _stap_a(nals: Sequence[bytes]) -> bytes:
    forbidden = max(nal[0] & 0x80 for nal in nals)
    importance = max(nal[0] & 0x60 for nal in nals)  # RFC 6184 section 5.7: the highest of all
    parts = [bytes([forbidden | importance | STAP_A])]
    for nal in nals:
        parts += [len(nal).to_bytes(2, "big"), nal]
    return b"".join(parts)


def _fu_a(nal: bytes, max_payload: int) -> Iterator[bytes]:
    body = memoryview(nal)[1:]
    pieces = -(-len(body) // (max_payload - 2))
    size = -(-len(body) // pieces)
    indicator = (nal[0] & _F_NRI) | FU_A
    for at in range(0, len(body), size):
        flags = (_FU_START if at == 0 else 0) | (_FU_END if at + size >= len(body) else 0)
        yield bytes([indicator, flags | (nal[0] & _TYPE)]) + body[at : at + size]


# ---- byte streams and parameter sets ---------------------------------------------------------------------------------


def split_annexb(data: bytes) -> list[bytes]:
    """The NAL units of a byte stream (§B.1), without start codes. What precedes the first start code is left out."""
    # A NAL unit holds no 00 00 01 and never ends in 00 (§7.4.1), so the zeros before a start code belong to that.
    return [nal for part in data.split(b"\x00\x00\x01")[1:] if (nal := part.rstrip(b"\x00"))]


def parameter_sets_from_sprop(sprop: str) -> tuple[bytes, bytes]:
    """The first SPS and PPS of an SDP's sprop-parameter-sets (RFC 6184 section 8.1).

    Raises ValueError where it is not base64 or lacks one of them.
    """
    found: dict[int, bytes] = {}
    for part in sprop.split(","):
        text = part.strip()
        try:
            nal = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except binascii.Error as error:
            raise ValueError("sprop-parameter-sets is not base64") from error
        found.setdefault(nal_type(nal), nal)
    if SPS not in found or PPS not in found:
        raise ValueError("sprop-parameter-sets has no SPS or no PPS")
    return found[SPS], found[PPS]


# ---- supplemental enhancement information ----------------------------------------------------------------------------


def insert_sei(token: bytes) -> bytes:
    """A NAL unit of user_data_unregistered (§D.1.7) that carries `token` behind SEI_UUID.

    For the canary camera: decoders pass over it. The token stands in it byte for byte unless it holds two zero bytes in
    a row, which emulation prevention would break up.
    """
    content = SEI_UUID + token
    size = len(content)
    message = b"\x05" + b"\xff" * (size // 255) + bytes([size % 255]) + content
    return bytes([SEI]) + escape(message + b"\x80")
