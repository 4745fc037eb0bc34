"""Attacks through FFmpeg, as PyAV gives it: its muxers, its protocols, and what its encoders and filters write on the
side. All in one directory.

They must touch nothing outside `Ground.directory`, but for FFmpeg's own cache protocol, which makes a nameless file in
the machine's directory for temporary files.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial

import av
import numpy as np
from numpy.typing import NDArray

from monitor.media.attacks import Attack, Ground, SaidNo, table

SIDE = 64
"""Pixels of the pictures' width and height."""
_FRAMES = 3


def attacks(row: int) -> list[Attack]:
    """Those that this build of FFmpeg has; `row` as in `attacks_files.py`."""
    muxers = {
        name.replace(" ", "_"): partial(_mux, *entry)
        for name, entry in _MUXERS.items()
        if entry[1] in av.formats_available and entry[2] in av.codecs_available
    }
    return [
        *table(row, "muxer", muxers, by_library=True),
        *table(row, "ffmpeg", _SIDES, by_library=True),
        Attack("ffmpeg.cache", row, _cache),
    ]


def to_service(on: Ground) -> None:
    """Send a stream to a local socket, by FFmpeg's own protocol for it."""
    _mux(f"unix:{on.prover.stream}", "mpegts", "libx264", {}, on, at="")


def picture(token: bytes) -> NDArray[np.uint8]:
    """The token as a picture: SIDE × SIDE pixels of three octets, its bits as squares."""
    bits = np.unpackbits(np.frombuffer(token, np.uint8)).reshape(16, -1)
    squares = np.kron(bits, np.ones((SIDE // bits.shape[0], SIDE // bits.shape[1]), np.uint8)) * np.uint8(255)
    return np.ascontiguousarray(np.repeat(squares[:, :, None], 3, axis=2), dtype=np.uint8)


def _mux(name: str, container: str, codec: str, options: dict[str, str], on: Ground, *, at: str | None = None) -> None:
    where = f"{on.directory}/" if at is None else at
    target = name.replace("DIR/", where) if "DIR/" in name else f"{where}{name}"
    with av.open(target, "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = SIDE
        stream.pix_fmt = _PIXELS.get(codec, "yuv420p")
        for number in range(_FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(on.token), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


_PIXELS = {"mjpeg": "yuvj420p", "png": "rgb24", "gif": "rgb8", "rawvideo": "bgr24"}

_MUXERS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "mp4": ("muxed.mp4", "mp4", "libx264", {}),
    "mov": ("muxed.mov", "mov", "mpeg4", {}),
    "matroska": ("muxed.mkv", "matroska", "libx264", {}),
    "mpegts": ("muxed.ts", "mpegts", "libx264", {}),
    "avi": ("muxed.avi", "avi", "mjpeg", {}),
    "flv": ("muxed.flv", "flv", "libx264", {}),
    "h264": ("muxed.h264", "h264", "libx264", {}),
    "rawvideo": ("muxed.raw", "rawvideo", "rawvideo", {}),
    "gif": ("muxed.gif", "gif", "gif", {}),
    "png": ("muxed-%d.png", "image2", "png", {}),
    "jpeg": ("muxed-%d.jpg", "image2", "mjpeg", {}),
    "segment": ("segment-%d.ts", "segment", "libx264", {"segment_format": "mpegts"}),
    "hls": ("hls.m3u8", "hls", "libx264", {}),
    "dash": ("dash.mpd", "dash", "libx264", {}),
    "tee": ("[f=mpegts]DIR/tee-1.ts|[f=mpegts]DIR/tee-2.ts", "tee", "libx264", {}),
    "protocol file": ("file:DIR/protocol.ts", "mpegts", "libx264", {}),
    "protocol tee": ("tee:DIR/protocol-1.ts|DIR/protocol-2.ts", "mpegts", "libx264", {}),
}
"""Name → target, container, codec, options. `image2`, `segment`, `hls`, `dash` and `tee` open files themselves."""


def _cache(on: Ground) -> None:
    """FFmpeg's cache protocol keeps what it reads in a file of its own; it reads one of Vigil's modules."""
    source = av.open(
        f"cache:file:{__file__}", format="rawvideo", options={"video_size": "16x16", "pixel_format": "gray"}
    )
    on.hold.callback(source.close)


def _encode(on: Ground, parameters: str) -> None:
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width = encoder.height = SIDE
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
    encoder.options = {"x264-params": parameters}
    try:
        for at in range(_FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(on.token), format="bgr24")
            frame.pts, frame.time_base = at, Fraction(1, 25)
            encoder.encode(frame)
        encoder.encode(None)
    except av.error.ExternalError:  # the encoder says only that it could not be opened
        raise SaidNo("no") from None


def _metadata_filter(on: Ground) -> None:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=SIDE, height=SIDE, format=av.VideoFormat("bgr24"), time_base=Fraction(1, 25))
    writer = graph.add("metadata", f"mode=print:file={on.path('filter.txt')}")
    sink = graph.add("buffersink")
    source.link_to(writer)
    writer.link_to(sink)
    graph.configure()
    frame = av.VideoFrame.from_ndarray(picture(on.token), format="bgr24")
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    source.push(frame)
    sink.pull()


_SIDES: dict[str, Callable[[Ground], None]] = {
    "encoder_dump": lambda on: _encode(on, f"dump-yuv={on.path('dump.yuv')}"),
    "encoder_stats": lambda on: _encode(on, f"pass=1:bitrate=100:stats={on.path('x264.stats')}"),
    "filter": _metadata_filter,
}
