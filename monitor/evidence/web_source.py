"""What browsers are given to run: the files of `web/`, read for anything by which a picture could be kept or sent
elsewhere, and compared with what the server really sends (GUARANTEE.md row 11).

It must never take the server's word: the files are read from the disk, and what came over the network is compared with
them, byte by byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path, PurePosixPath

from monitor.evidence.finding import Finding, Said, broken, holds, said, skipped

ROW = 11

SUFFIXES = frozenset({".html", ".js", ".css", ".json", ".svg", ".png", ".webmanifest"})
"""Kinds of files that are served; nothing else is."""
CODE = frozenset({".html", ".js", ".css", ".svg", ".webmanifest"})
"""Kinds that a browser obeys. The others are words and pictures of our own."""
PAGES: Mapping[str, str] = {
    "/": "index.html",
    "/sign-in": "sign-in.html",
    "/notice": "notice.html",
    "/audit": "audit.html",
}
"""Addresses under which a file is served beside its own: the pages that need nothing but themselves."""
NAMED = 5
"""How many faults of one kind are named; beyond that a list helps nobody."""

CAPTURE = re.compile(
    r"canvas|getContext|MediaRecorder|ImageCapture|captureStream|requestPictureInPicture|documentPictureInPicture"
    r"|createImageBitmap|drawImage|toDataURL|toBlob|texImage|webgl|VideoEncoder|new VideoFrame\b"
    r"|MediaStreamTrackProcessor|RTCRtpScriptTransform|createEncodedStreams|serviceWorker|\bcaches\b|indexedDB"
    r"|createObjectURL|showSaveFilePicker|getUserMedia|getDisplayMedia|download=|getDirectory\(|webkitRequestFileSystem",
    re.I,
)
"""Every way that a page has of taking a picture out of a video, or of keeping anything: no file in `web/` uses one."""
ELSEWHERE = re.compile(
    r"\b(?:https?|wss?|ftp)://(?!www\.w3\.org/)[^\s\"'`)]*"  # a namespace is a name and not loaded
    r"|[\"'`(]//[a-z0-9][^\s\"'`)]*|[\"'`(](?:data|blob|javascript):|@import\b|\bimportScripts\b|sendBeacon",
    re.I,
)
"""Anything that is loaded from, or sent to, another place than the server that the page came from."""


def web_dir() -> Path:
    """Where the pages are: in the installed package, else beside it in the repository."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "web"
    return inside if inside.is_dir() else package.parent / "web"


def index_of(web: Path) -> dict[str, Path]:
    """The files that are served, by their path below `/`."""
    return {
        path.relative_to(web).as_posix(): path
        for path in sorted(web.rglob("*"))
        if path.suffix in SUFFIXES and path.is_file() and not path.is_symlink() and "node_modules" not in path.parts
    }


def files_on_disk(web: Path | None = None) -> dict[str, bytes]:
    """What lies on the disk, by its path below `/`. Raises OSError where a file cannot be read."""
    return {name: path.read_bytes() for name, path in index_of(web or web_dir()).items()}


def addresses(names: Iterable[str]) -> dict[str, str]:
    """All addresses under which these files are served, with the file's name: what an auditor asks the server for."""
    own = {f"/{name}": name for name in names}
    return own | {address: name for address, name in PAGES.items() if f"/{name}" in own}


def forbidden_in(text: str) -> list[str]:
    """Words of a file's text by which a picture could be kept, each once, in order. A pure function of the text."""
    return list(dict.fromkeys(match[0] for match in CAPTURE.finditer(text)))


def elsewhere_in(text: str) -> list[str]:
    """Places outside of the server that a file's text names to load from or to send to, each once, in order."""
    return list(dict.fromkeys(match[0] for match in ELSEWHERE.finditer(text)))


def judge_sources(served: Mapping[str, bytes], on_disk: Mapping[str, bytes]) -> list[Finding]:
    """Findings of row 11: what lies on disk keeps nothing and loads nothing, and the server sends just that.

    `served` is address → body, for the addresses of `addresses(on_disk)`; empty where there is no server to ask.
    `on_disk` is what `files_on_disk` gave.
    """
    if not on_disk:
        return [skipped(ROW, said("browser.no-files"))]
    faults = [*islice(_capture(on_disk), NAMED), *islice(_elsewhere(on_disk), NAMED)]
    if not served:
        return [
            *(broken(ROW, fault) for fault in faults),
            skipped(ROW, said("browser.not-served"), said("browser.read", files=len(on_disk), octets=_octets(on_disk))),
        ]
    wanted = addresses(on_disk)
    faults += islice(_differing(served, on_disk, wanted), NAMED)
    missing = sorted(set(wanted) - set(served))
    found = [broken(ROW, fault) for fault in faults]
    if missing:
        found.append(skipped(ROW, said("browser.not-fetched", count=len(missing), address=missing[0])))
    if not found:
        found.append(holds(ROW, said("browser.sources", files=len(on_disk), octets=_octets(on_disk))))
    return found


def _octets(files: Mapping[str, bytes]) -> int:
    return sum(map(len, files.values()))


def _code(files: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    for name, content in sorted(files.items()):
        if PurePosixPath(name).suffix in CODE:
            yield name, content.decode("utf-8", "replace")


def _capture(files: Mapping[str, bytes]) -> Iterator[Said]:
    for name, text in _code(files):
        for what in forbidden_in(text):
            yield said("browser.capture", file=name, what=what)


def _elsewhere(files: Mapping[str, bytes]) -> Iterator[Said]:
    for name, text in _code(files):
        for place in elsewhere_in(text):
            yield said("browser.elsewhere", file=name, place=place)


def _differing(served: Mapping[str, bytes], on_disk: Mapping[str, bytes], wanted: Mapping[str, str]) -> Iterator[Said]:
    for address, content in sorted(served.items()):
        name = wanted.get(address)
        if name is None:
            yield said("browser.not-ours", address=address)
        elif content != on_disk[name]:
            yield said("browser.differs", address=address, file=name)
