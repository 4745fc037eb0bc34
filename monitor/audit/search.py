"""What is searched for, and in what: the canary's token in the forms in which it could have been kept, and the first
bytes by which files of pictures and video are known.

Works on data that comes in pieces, for files and memories are large. It must never keep what it searched, nor say more
of it than which pattern stood in it.
"""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

TOKEN_BYTES = 32
MOMENT_DIGITS = 13
"""What stands behind the token in each access unit: the moment of its sending, in ms of Unix time, in ASCII digits."""
PIECE = 1 << 20
RAW = "raw"
"""The pattern that is the token itself."""
_HEAD_BYTES = 400


def patterns(token: bytes, sps: bytes = b"", pictures: Sequence[bytes] = ()) -> dict[str, bytes]:
    """What is searched for, by name: the token raw, in hex and in base64 (at each of the three alignments, without the
    characters that its neighbours decide), a start code before the stream's sequence parameter set (`sps`, with its
    NAL unit header; ITU-T H.264 section B.1), and lines of the decoded picture."""
    found = {RAW: token, "hex": token.hex().encode(), "HEX": token.hex().upper().encode()}
    for shift in range(3):
        coded = base64.b64encode(bytes(shift) + token).rstrip(b"=")
        found[f"base64+{shift}"] = coded[4 if shift else 0 : -1]
    if sps:
        found["start code + SPS"] = b"\0\0\1" + sps
    found.update({f"picture line {number}": line for number, line in enumerate(pictures)})
    return found


def search(data: Iterable[bytes], wanted: Mapping[str, bytes]) -> Iterator[str]:
    """The names of the patterns that occur in data that comes in pieces, each once."""
    overlap = max((len(pattern) for pattern in wanted.values()), default=1) - 1
    rest = b""
    seen: set[str] = set()
    for piece in data:
        block = rest + piece
        for name, pattern in wanted.items():
            if name not in seen and pattern in block:
                seen.add(name)
                yield name
        rest = block[-overlap:] if overlap else b""


def read_fd(fd: int, begin: int = 0) -> Iterator[bytes]:
    """The data of an open file from a position on, in pieces; ends early where it cannot be read."""
    position = begin
    with contextlib.suppress(OSError):
        while piece := os.pread(fd, PIECE, position):
            position += len(piece)
            yield piece


def read_file(path: Path) -> Iterator[bytes]:
    """The data of a file in pieces; ends early where it cannot be read. Never waits for the writer of a pipe."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            yield from read_fd(fd)
        finally:
            os.close(fd)


def search_tree(folder: Path, wanted: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """(path, pattern) of every hit in the regular files below a folder, or in one file."""
    files = [folder] if folder.is_file() else [path for path in folder.rglob("*") if path.is_file()]
    return [(str(path), name) for path in files for name in search(read_file(path), wanted)]


# ---- what files of pictures begin with -------------------------------------------------------------------------------

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\x1aE\xdf\xa3", "Matroska"),
    (b"DKIF", "IVF"),
    (b"FLV\x01", "FLV"),
    (b"OggS", "Ogg"),
    (b"YUV4MPEG2 ", "YUV4MPEG"),
    (b"\x93NUMPY", "NumPy array"),
    (b"\0\0\x01\xba", "MPEG-PS"),
    (b"0&\xb2u\x8ef\xcf\x11", "ASF"),
)
_ISO_BOXES = (b"ftyp", b"moov", b"moof", b"mdat", b"styp")
"""ISO/IEC 14496-12: the boxes that an MP4 file begins with; HEIF and AVIF are of its family."""
_H264_TYPES = (1, 5, 6, 7, 9)
_H265_TYPES = (32, 35)
_TS_PACKET = 188
_PNM_KINDS = b"123456f"


def header_of(first: bytes) -> str:
    """The name of the picture or video format whose files begin so; empty where it is none that is known. `first` is
    the beginning of a file, 400 bytes where there are as many."""
    for beginning, name in _BEGINNINGS:
        if first.startswith(beginning):
            return name
    if first[4:8] in _ISO_BOXES:
        return "MP4"
    if first[:4] == b"RIFF" and first[8:12] in (b"AVI ", b"WEBP", b"WAVE"):
        return first[8:12].decode().strip()
    # ISO/IEC 13818-1: a transport stream's packets of 188 bytes each begin with 0x47
    if len(first) > 2 * _TS_PACKET and all(first[at] == ord("G") for at in (0, _TS_PACKET, 2 * _TS_PACKET)):
        return "MPEG-TS"
    if first[:2] == b"BM" and len(first) >= 18 and first[6:10] == bytes(4):
        return "BMP"
    if len(first) > 2 and first[:1] == b"P" and first[1] in _PNM_KINDS and first[2] in b" \t\r\n":
        return "PNM"
    return _byte_stream(first)


def _byte_stream(first: bytes) -> str:
    """H.264 or H.265 with start codes (H.264 section B.1): told by the type of the first NAL unit."""
    code = first.find(b"\0\0\1", 0, 4)
    if code < 0 or first[:code].strip(b"\0") or len(first) < code + 5:
        return ""
    header = first[code + 3]
    if header & 0x80:  # forbidden_zero_bit
        return ""
    if header >> 1 in _H265_TYPES and first[code + 4] & 7 == 1:  # nuh_temporal_id_plus1
        return "H.265"
    return "H.264" if header & 0x1F in _H264_TYPES else ""


def head_of(fd: int) -> bytes:
    """As much of an open file's beginning as `header_of` wants; empty where it cannot be read."""
    with contextlib.suppress(OSError):
        return os.pread(fd, _HEAD_BYTES, 0)
    return b""
