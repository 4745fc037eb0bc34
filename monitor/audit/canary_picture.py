"""The canary's pictures: a short loop of H.264 that shows a token as squares, and carries it in each access unit
together with the moment of its sending.

Nothing in it is a patient's: it is drawn and encoded here. This module must never be used for any other picture.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from monitor.audit.search import MOMENT_DIGITS, TOKEN_BYTES
from monitor.media import h264

WIDTH, HEIGHT, FPS = 320, 180, 10
LOOP = 2 * FPS
"""Pictures in the loop: two groups of pictures, so that neighbours among the IDR pictures differ in idr_pic_id (H.264
section 7.4.3)."""
_SIDE, _LEFT = 8, 16
"""Pixels of a square's side, and of the margin: on the borders of macroblocks, so that the squares stay sharp."""
_BLACK, _WHITE, _GREY = 16, 235, 128
_LINES = 2

Image = NDArray[np.uint8]


def make_token() -> bytes:
    """A new token: random, and without zero bytes, so that it stands in the stream as it is (H.264 section 7.4.1.1)."""
    return bytes(1 + secrets.randbelow(255) for _ in range(TOKEN_BYTES))


@dataclass(frozen=True)
class CanaryPicture:
    """The loop. `units` are access units, each a list of NAL units without start codes."""

    token: bytes
    units: tuple[tuple[bytes, ...], ...]
    sps: bytes
    pps: bytes
    lines: tuple[bytes, ...]
    """Lines of squares as a decoder gives them, in luma, grey and RGB: what a picture that was decoded would hold."""

    def access_unit(self, number: int, now_ms: int) -> list[bytes]:
        """The `number`th access unit since the start, with token and moment before its first slice (section
        7.4.1.2.3)."""
        nals = list(self.units[number % len(self.units)])
        first = next(at for at, nal in enumerate(nals) if h264.nal_type(nal) in (h264.SLICE, h264.IDR))
        nals.insert(first, h264.insert_sei(self.token + f"{now_ms:0{MOMENT_DIGITS}d}".encode()))
        return nals


def draw(token: bytes) -> CanaryPicture:
    """Draw and encode the loop; takes some tenths of a second."""
    encoder, decoder = _encoder(), av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    units: list[tuple[bytes, ...]] = []
    decoded: list[Image] = []
    for number in range(LOOP):
        frame = av.VideoFrame.from_ndarray(_scene(token, number), "yuv420p")
        frame.pts = number
        for packet in encoder.encode(frame):
            units.append(tuple(h264.split_annexb(bytes(packet))))
            decoded += [_planes(each) for each in decoder.decode(av.Packet(bytes(packet)))]
    decoded += [_planes(each) for each in decoder.decode(None)]
    sets = {h264.nal_type(nal): nal for nal in units[0]}
    return CanaryPicture(token, tuple(units), sets[h264.SPS], sets[h264.PPS], _lines(decoded))


def _planes(frame: av.VideoFrame) -> Image:
    return np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)


def _encoder() -> av.VideoCodecContext:
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context.time_base, context.framerate = Fraction(1, FPS), Fraction(FPS)
    context.thread_count = 1
    context.options = {
        "preset": "superfast",
        "tune": "zerolatency",
        "profile": "baseline",
        "qp": "4",
        "x264-params": f"keyint={FPS}:min-keyint={FPS}:scenecut=0:bframes=0:repeat-headers=1:threads=1",
    }
    return context


def _scene(token: bytes, number: int) -> Image:
    """A picture in planar YUV 4:2:0: the squares, and a bar that moves."""
    picture = np.full((HEIGHT * 3 // 2, WIDTH), _GREY, np.uint8)
    bits = np.unpackbits(np.frombuffer(token, np.uint8), bitorder="little").reshape(16, 16)
    squares = np.where(bits, _WHITE, _BLACK).astype(np.uint8).repeat(_SIDE, 0).repeat(_SIDE, 1)
    picture[_LEFT : _LEFT + 16 * _SIDE, _LEFT : _LEFT + 16 * _SIDE] = squares
    x = 160 + 8 * number % 144
    picture[_LEFT : _LEFT + 16 * _SIDE, x : x + 8] = _WHITE
    return picture


def _lines(decoded: list[Image]) -> tuple[bytes, ...]:
    """Some lines through the squares, as decoded: luma, grey of full range, and RGB (in black and white without
    chroma, all three are alike)."""
    found: list[bytes] = []
    for row in range(_LINES):
        y = _LEFT + row * 8 * _SIDE + _SIDE // 2
        luma = decoded[0][y, _LEFT : _LEFT + 16 * _SIDE]
        found.append(luma.tobytes())
        full = np.clip((luma.astype(np.int32) - _BLACK) * 255 // (_WHITE - _BLACK), 0, 255).astype(np.uint8)
        found += [full.tobytes(), full.repeat(3).tobytes()]
    return tuple(dict.fromkeys(found))
