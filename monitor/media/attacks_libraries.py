"""Attacks through the libraries that the media process has loaded, and through Python's own, in one directory: what a
mistake in the program, or in one of them, would do.

They must touch nothing outside `Ground.directory`. What a library is told to write is synthetic.
"""

from __future__ import annotations

import asyncio
import contextlib
import dbm.dumb
import faulthandler
import logging
import pickle
import shelve
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from aiortc import VideoStreamTrack
from aiortc.contrib.media import MediaRecorder
from aiortc.mediastreams import MediaStreamError

from monitor.media.attacks import Attack, Ground, SaidNo, table
from monitor.media.attacks_ffmpeg import SIDE, picture

_FRAMES = 3
_RECORD_SECONDS = 0.4


def attacks(row: int) -> list[Attack]:
    """All of them; `row` as in `attacks_files.py`."""
    return [
        *table(row, "opencv", _OPENCV, by_library=True),
        *table(row, "aiortc", {"recorder": _media_recorder}, by_library=True),
        *table(row, "numpy", _NUMPY, by_library=True),
        *table(row, "python", _PYTHON, by_library=True),
    ]


# ---- OpenCV ----------------------------------------------------------------------------------------------------------


def _imwrite(suffix: str, on: Ground) -> None:
    if not cv2.imwrite(on.path(f"imwrite.{suffix}"), picture(on.token)):
        raise SaidNo("no")


def _video_writer(backend: str, fourcc: str, name: str, on: Ground) -> None:
    writer = cv2.VideoWriter(
        on.path(name), getattr(cv2, backend), cv2.VideoWriter.fourcc(*fourcc) if fourcc else 0, 25.0, (SIDE, SIDE)
    )
    on.hold.callback(writer.release)
    if not writer.isOpened():
        raise SaidNo("no")
    for _ in range(_FRAMES):
        writer.write(picture(on.token))
    writer.release()


def _file_storage(on: Ground) -> None:
    storage = cv2.FileStorage(on.path("storage.yml"), cv2.FILE_STORAGE_WRITE)
    on.hold.callback(storage.release)
    if not storage.isOpened():
        raise SaidNo("no")
    storage.write("picture", picture(on.token))
    storage.release()


_OPENCV: dict[str, Callable[[Ground], None]] = {
    "jpeg": partial(_imwrite, "jpg"),
    "png": partial(_imwrite, "png"),
    "tiff": partial(_imwrite, "tiff"),
    "video_mjpeg": partial(_video_writer, "CAP_OPENCV_MJPEG", "MJPG", "writer.avi"),
    "video_ffmpeg": partial(_video_writer, "CAP_FFMPEG", "mp4v", "writer.mp4"),
    "video_images": partial(_video_writer, "CAP_IMAGES", "", "writer_%02d.png"),
    "storage": _file_storage,
}


# ---- aiortc ----------------------------------------------------------------------------------------------------------


class _Pictures(VideoStreamTrack):
    """A track of a few pictures."""

    def __init__(self, token: bytes) -> None:
        super().__init__()
        self._token, self._sent = token, 0

    async def recv(self) -> Any:
        """The next picture, at once."""
        import av

        if self._sent >= _FRAMES:
            raise MediaStreamError
        frame = av.VideoFrame.from_ndarray(picture(self._token), format="bgr24")
        frame.pts, frame.time_base = self._sent * 3600, Fraction(1, 90000)
        self._sent += 1
        return frame


def _media_recorder(on: Ground) -> None:
    async def record() -> None:
        recorder = MediaRecorder(on.path("recorder.mp4"))
        recorder.addTrack(_Pictures(on.token))
        await recorder.start()
        await asyncio.sleep(_RECORD_SECONDS)
        await recorder.stop()

    asyncio.run(record())


# ---- numpy -----------------------------------------------------------------------------------------------------------


def _memmap(on: Ground) -> None:
    pixels = picture(on.token)
    mapped = np.memmap(on.path("numpy.map"), dtype=np.uint8, mode="w+", shape=pixels.shape)
    mapped[:] = pixels
    mapped.flush()


_NUMPY: dict[str, Callable[[Ground], None]] = {
    "save": lambda on: np.save(on.path("numpy.npy"), picture(on.token)),
    "savez": lambda on: np.savez_compressed(on.path("numpy.npz"), picture(on.token)),
    "tofile": lambda on: picture(on.token).tofile(on.path("numpy.raw")),
    "memmap": _memmap,
}


# ---- Python's own ----------------------------------------------------------------------------------------------------


def _sqlite(on: Ground) -> None:
    try:
        with contextlib.closing(sqlite3.connect(on.path("pictures.sqlite"))) as base, base:
            base.execute("CREATE TABLE pictures (picture BLOB)")
            base.execute("INSERT INTO pictures VALUES (?)", (on.picture,))
    except sqlite3.OperationalError as error:
        raise SaidNo(error.sqlite_errorname) from None


def _pickle(on: Ground) -> None:
    with open(on.path("picture.pickle"), "wb") as file:
        pickle.dump(on.picture, file)


def _shelve(on: Ground) -> None:
    with dbm.dumb.open(on.path("shelf"), "n") as base:
        shelf: shelve.Shelf[Any] = shelve.Shelf(cast("Any", base))
        shelf["picture"] = on.picture


def _zip(on: Ground) -> None:
    with zipfile.ZipFile(on.path("pictures.zip"), "w") as archive:
        archive.writestr("picture", on.picture)


def _log_file(on: Ground) -> None:
    handler = logging.FileHandler(on.path("media.log"))
    on.hold.callback(handler.close)
    record = logging.LogRecord("attack", logging.INFO, __file__, 0, "%s", (on.picture.hex(),), None)
    handler.emit(record)


def _faulthandler(on: Ground) -> None:
    with open(on.path("fault.log"), "wb") as file:
        faulthandler.dump_traceback(file)


def _tempfile(on: Ground) -> None:
    file = tempfile.NamedTemporaryFile(dir=on.directory)  # noqa: SIM115  held until the prover has looked
    on.hold.callback(file.close)
    file.write(on.picture)
    file.flush()


_PYTHON: dict[str, Callable[[Ground], None]] = {
    "write_bytes": lambda on: _ignored(Path(on.path("picture.jpg")).write_bytes(on.picture)),
    "tempfile": _tempfile,
    "pickle": _pickle,
    "shelve": _shelve,
    "sqlite": _sqlite,
    "zip": _zip,
    "log_file": _log_file,
    "faulthandler": _faulthandler,
}


def _ignored(_: object) -> None:
    """Nothing more is to be done with it."""
