"""What is searched for is found: in every form, across the borders of pieces, in files and in memories; and the first
bytes of picture files are known, as real encoders write them."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys

import av
import cv2
import numpy as np
import pytest

from monitor.audit import memory as memory_module
from monitor.audit.canary_picture import draw, make_token
from monitor.audit.memory import search_memory
from monitor.audit.search import header_of, patterns, read_file, search, search_tree

TOKEN = bytes((37 * place + 91) % 251 + 1 for place in range(32))
"""Like no table of any library."""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="the memory of others needs root")
IMAGE = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)


# ---- patterns --------------------------------------------------------------------------------------------------------


def test_search_across_the_border_of_two_pieces():
    wanted = patterns(TOKEN)
    assert list(search([b"a" * 10 + TOKEN[:5], TOKEN[5:] + b"b"], wanted)) == ["raw"]
    assert list(search([bytes([one]) for one in b"." + TOKEN], wanted)) == ["raw"]
    assert list(search([TOKEN[:-1], b"b"], wanted)) == []
    for shift in range(3):
        coded = base64.b64encode(os.urandom(shift + 3) + TOKEN + os.urandom(2))
        assert any(name.startswith("base64") for name in search([coded], wanted)), shift


def test_every_form_is_found():
    picture = draw(make_token())
    wanted = patterns(picture.token, picture.sps, picture.lines)
    unit = picture.access_unit(0, 1_700_000_000_000)
    stream = b"".join(b"\0\0\0\1" + nal for nal in unit)
    assert set(search([stream], wanted)) == {"raw", "start code + SPS"}
    assert picture.token + b"1700000000000" in stream, "the moment stands right behind the token"
    assert set(search([picture.token.hex().upper().encode()], wanted)) == {"HEX"}
    decoder = av.CodecContext.create("h264", "r")
    (frame,) = [*decoder.decode(av.Packet(stream)), *decoder.decode(None)]
    for form in ("yuv420p", "gray", "rgb24", "bgr24"):
        found = set(search([frame.to_ndarray(format=form).tobytes()], wanted))
        assert found, form
        assert all(name.startswith("picture line") for name in found)


def test_a_tree(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"..." + TOKEN)
    assert search_tree(tmp_path, patterns(TOKEN)) == [(str(tmp_path / "deep" / "file"), "raw")]


def test_reading_never_waits(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert list(read_file(tmp_path / "pipe")) == []
    assert list(read_file(tmp_path / "nothing")) == []
    assert list(read_file(tmp_path)) == []


# ---- headers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "name"),
    [(".jpg", "JPEG"), (".png", "PNG"), (".bmp", "BMP"), (".tiff", "TIFF"), (".webp", "WEBP"), (".ppm", "PNM")],
)
def test_pictures_as_opencv_writes_them(suffix, name):
    assert header_of(cv2.imencode(suffix, IMAGE)[1].tobytes()[:400]) == name


@pytest.mark.parametrize(
    ("container", "codec", "name"),
    [
        ("mp4", "libx264", "MP4"),
        ("mov", "libx264", "MP4"),
        ("matroska", "libx264", "Matroska"),
        ("webm", "libvpx", "Matroska"),
        ("mpegts", "libx264", "MPEG-TS"),
        ("avi", "libx264", "AVI"),
        ("ivf", "libvpx", "IVF"),
        ("flv", "libx264", "FLV"),
        ("h264", "libx264", "H.264"),
        ("hevc", "libx265", "H.265"),
        ("yuv4mpegpipe", "wrapped_avframe", "YUV4MPEG"),
        ("gif", "gif", "GIF"),
    ],
)
def test_video_as_ffmpeg_writes_it(container, codec, name):
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=5:duration=1", "-c:v", codec]
    if container in ("mp4", "mov"):
        command += ["-movflags", "frag_keyframe+empty_moov"]
    if codec == "libx265":
        command += ["-x265-params", "log-level=none"]
    made = subprocess.run([*command, "-f", container, "pipe:1"], stdout=subprocess.PIPE, check=True).stdout
    assert header_of(made[:400]) == name


def test_an_array_that_numpy_saves():
    file = io.BytesIO()
    np.save(file, IMAGE)
    assert header_of(file.getvalue()[:400]) == "NumPy array"


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\xff",
        b"SQLite format 3\0" + bytes(84),
        b"-----BEGIN CERTIFICATE-----\n",
        b'{"rows": []}',
        b"2026-11-24 12:00:00 INFO BM PNG GIF",
        b"\x1f\x8b\x08\0",
        b"\x7fELF\x02\x01\x01" + bytes(100),
        b"\0" * 400,
        b"\0\0\1\0\1\0" + bytes(50),
        b"BMW is a car, and no picture",
        b"P.S.: nothing",
        b"GGGG" + bytes(396),
        b"LPKSHHRH" + bytes(100),
    ],
)
def test_what_is_no_picture(first):
    assert header_of(first) == ""


# ---- memory ----------------------------------------------------------------------------------------------------------

CHILD = """
import mmap, sys
size, offsets, sent = int(sys.argv[1]), [int(each) for each in sys.argv[2].split(",")], sys.argv[3].encode()
memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for offset in offsets:
    for place in range(32):  # byte by byte: there is no second copy of it anywhere
        memory[offset + place] = (37 * place + 91) % 251 + 1
    memory[offset + 32 : offset + 32 + len(sent)] = sent
print("ready", flush=True)
sys.stdin.readline()
"""


def search_child(size: int, offsets: list[int], sent: str, now_ms: int = 1_700_000_005_000, token: bytes = TOKEN):
    command = [sys.executable, "-c", CHILD, str(size), ",".join(map(str, offsets)), sent]
    with subprocess.Popen(command, stdin=-1, stdout=-1) as process:
        assert process.stdout.readline() == b"ready\n"
        found = search_memory(process.pid, patterns(token), lambda: now_ms)
        process.communicate(b"\n")
    return found


@needs_root
def test_memory_is_counted_and_dated_whatever_border_it_crosses():
    piece = memory_module.PIECE
    offsets = [0, 100, piece - 60, 2 * piece - 45, 3 * piece - 44, 4 * piece - 32, 5 * piece - 20, 6 * piece - 1]
    found = search_child(7 * piece, [*offsets, 7 * piece - 45], "1700000003500")
    assert found.tokens == len(offsets) + 1
    assert found.found == ("raw",)
    assert (found.oldest_ms, found.newest_ms) == (1500, 1500)
    assert found.octets > 7 * piece


@needs_root
def test_a_token_without_its_moment_is_counted_too():
    found = search_child(1 << 20, [5000], "")
    assert (found.tokens, found.oldest_ms) == (1, None)


@needs_root
def test_a_token_that_is_not_there():
    found = search_child(1 << 20, [5000], "1700000003500", token=os.urandom(32))
    assert (found.tokens, found.found, found.oldest_ms) == (0, (), None)


@needs_root
def test_memory_behind_the_end_of_a_file_is_left_out_and_counted(tmp_path):
    script = (
        "import mmap, os, sys\n"
        "fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
        "os.truncate(fd, 1 << 16)\n"
        "gone = mmap.mmap(fd, 1 << 16)\n"
        "os.truncate(fd, 4096)\n"
        "memory = mmap.mmap(-1, 1 << 16)\n"
        "for place in range(32): memory[(1 << 16) - 32 + place] = (37 * place + 91) % 251 + 1\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "file")], stdin=-1, stdout=-1) as process:
        assert process.stdout.readline() == b"ready\n"
        found = search_memory(process.pid, patterns(TOKEN))
        process.communicate(b"\n")
    assert found.tokens == 1
    assert found.unreadable >= (1 << 16) - 4096


def test_a_process_that_is_no_more():
    with pytest.raises(ProcessLookupError):
        search_memory(1 << 30, patterns(TOKEN))
