"""Which track of a camera's session description Vigil takes: the first H.264 video, and no other.

Pure. Reads SDP by RFC 8866 as far as it concerns us and RTSP's use of it (RFC 2326 appendix C). Must never choose a
track that is not video: sound is never set up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from monitor.media import h264
from monitor.media.sources.base import SourceEnded
from monitor.media.sources.rtsp_address import without_credentials

_CLOCK_RATE = "90000"


@dataclass(frozen=True)
class VideoTrack:
    """The track to set up: its own URL, and that of the whole session (PLAY, TEARDOWN). Neither has credentials."""

    setup_url: str
    session_url: str
    payload_type: int
    parameter_sets: tuple[bytes, bytes] | None


@dataclass
class _Section:
    kind: str
    payload_types: list[int]
    attributes: list[tuple[str, str]] = field(default_factory=list)

    def first(self, name: str) -> str | None:
        return next((value for key, value in self.attributes if key == name), None)

    def of_payload(self, name: str, payload_type: int) -> str:
        """The value of `a=rtpmap:` or `a=fmtp:` for one payload type, else empty."""
        for key, value in self.attributes:
            number, _, rest = value.strip().partition(" ")
            if key == name and number == str(payload_type):
                return rest.strip()
        return ""


def choose_video(sdp: str, base_url: str) -> VideoTrack:
    """The H.264 track.

    `base_url` is Content-Base, else Content-Location, else the request's URL (RFC 2326 appendix C.1.1). Raises
    SourceEnded: `no-video`, `h265-unsupported`, `codec-unsupported`, or `protocol-error` where it is no SDP.
    """
    session, *media = _sections(sdp)
    videos = [section for section in media if section.kind == "video"]
    if not videos:
        raise SourceEnded("no-video" if sdp.lstrip().startswith("v=") else "protocol-error")
    encodings: set[str] = set()
    for section in videos:
        for payload_type in section.payload_types:
            encoding, _, rate = section.of_payload("rtpmap", payload_type).partition("/")
            encodings.add(encoding.upper())
            if encoding.upper() != "H264" or rate.split("/")[0] != _CLOCK_RATE:
                continue
            format_ = dict(_format(section.of_payload("fmtp", payload_type)))
            if format_.get("packetization-mode", "0") not in ("0", "1"):
                continue  # interleaved mode is not read
            session_url = _resolve(base_url, session.first("control"))
            return VideoTrack(
                _resolve(base_url, section.first("control")), session_url, payload_type, _parameter_sets(format_)
            )
    raise SourceEnded("h265-unsupported" if encodings & {"H265", "HEVC"} else "codec-unsupported")


def _sections(sdp: str) -> list[_Section]:
    """The session's part, then one for each media section."""
    sections = [_Section("session", [])]
    for raw in sdp.splitlines():
        key, _, value = raw.strip().partition("=")
        if key == "m":
            words = value.split()
            sections.append(
                _Section(words[0].lower() if words else "", [int(word) for word in words[3:] if word.isdigit()])
            )
        elif key == "a":
            name, _, content = value.partition(":")
            sections[-1].attributes.append((name.strip().lower(), content.strip()))
    return sections


def _format(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(";"):
        name, _, value = part.strip().partition("=")
        yield name.strip().lower(), value.strip()


def _parameter_sets(format_: dict[str, str]) -> tuple[bytes, bytes] | None:
    try:
        sps, pps = h264.parameter_sets_from_sprop(format_.get("sprop-parameter-sets", ""))
        h264.parse_sps(sps)
    except ValueError:
        return None  # they may come in-band all the same
    return sps, pps


def _resolve(base: str, control: str | None) -> str:
    """A control attribute's URL.

    Relative ones are put behind the base with a slash, as live555 and FFmpeg do: cameras put the track behind a query,
    where RFC 3986 would have it replace the last segment.
    """
    if control is None or control in ("", "*"):
        url = base
    elif "://" in control:
        url = control
    else:
        url = base + ("" if base.endswith("/") else "/") + control
    try:
        url = without_credentials(url)
    except ValueError:
        raise SourceEnded("protocol-error") from None
    if any(ord(char) <= 0x20 or ord(char) >= 0x7F for char in url):
        raise SourceEnded("protocol-error")
    return url
