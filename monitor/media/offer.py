"""What a browser offers, and what of it we take: one video section, H.264, received by the browser.

Parsing is aiortc's; the choice is ours. An offer is untrusted text: whatever is wrong with it ends in an OfferRefused
with a word from the closed list of `messages.ViewerRefused`, never in another exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from aiortc import sdp
from pydantic import Field, TypeAdapter, ValidationError

from monitor.core.messages import Mid

Why = Literal["broken-sdp", "no-h264", "not-receiving", "no-fingerprint", "no-ice"]

PROFILE_ORDER = {
    "baseline": ("42e0", "4200", "42"),
    "constrained-baseline": ("42e0", "4200", "42"),
    "main": ("4d00", "4d", "42e0", "42"),
    "high": ("640c", "6400", "64", "4d00", "4d", "42e0", "42"),
}
"""For each profile of a camera, beginnings of profile-level-id from the nearest to the farthest. Browsers decode Main
and High sent under their 42e01f or 4d001f entry (DESIGN.md, the relay), so none is refused for its profile's name."""

_PARSER_ERRORS = (ValueError, LookupError, ArithmeticError, AssertionError, AttributeError, TypeError, StopIteration)
"""What aiortc's parser is known to raise on a broken text (StopIteration: a fmtp line whose rtpmap line is missing)."""

_MIDS: TypeAdapter[list[str]] = TypeAdapter(Annotated[list[Mid], Field(max_length=17)])
"""What `messages.ViewerAnswer` can carry back: the video section's and 16 others."""


class OfferRefused(Exception):
    """The offer cannot be answered; `why` says it in one word."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why: Why = why


@dataclass(frozen=True)
class Codec:
    """One H.264 entry of the offer."""

    payload_type: int
    profile_level_id: str


@dataclass(frozen=True)
class Offer:
    """What we take from an offer."""

    mid: str
    video_index: int
    other_mids: list[str]
    ufrag: str
    pwd: str
    fingerprints: list[tuple[str, str]]
    """(algorithm in lower case, value in upper case)"""
    codecs: list[Codec]
    """H.264 with packetization-mode 1, in the offer's order, at least one."""

    def codec_for(self, profile: str) -> Codec:
        """The entry nearest to a camera's profile ("" where it is not known yet)."""
        for beginning in PROFILE_ORDER.get(profile, PROFILE_ORDER["constrained-baseline"]):
            for codec in self.codecs:
                if codec.profile_level_id.startswith(beginning):
                    return codec
        return self.codecs[0]


def parse_offer(text: str) -> Offer:
    """Read an offer. Raises OfferRefused."""
    try:
        description = sdp.SessionDescription.parse(text)
    except _PARSER_ERRORS:
        raise OfferRefused("broken-sdp") from None
    if not description.media or not text.startswith("v=0"):
        raise OfferRefused("broken-sdp")
    index, media = next(
        ((i, m) for i, m in enumerate(description.media) if m.kind == "video" and m.port), (-1, description.media[0])
    )
    if index < 0:
        raise OfferRefused("no-h264")
    codecs = _h264(media)
    if not codecs:
        raise OfferRefused("no-h264")
    if media.direction not in ("recvonly", "sendrecv", None):  # nothing said is sendrecv (RFC 8866 section 6.7)
        raise OfferRefused("not-receiving")
    fingerprints = [(f.algorithm.lower(), f.value.upper()) for f in media.dtls.fingerprints] if media.dtls else []
    if not fingerprints or (media.dtls and media.dtls.role == "server"):
        # an offer with setup:passive would need us to call: a server with one port does not
        raise OfferRefused("no-fingerprint")
    if media.ice is None or not media.ice.usernameFragment or not media.ice.password:
        raise OfferRefused("no-ice")
    mids = [m.rtp.muxId or str(i) for i, m in enumerate(description.media)]
    try:
        _MIDS.validate_python(mids)
    except ValidationError:
        raise OfferRefused("broken-sdp") from None
    return Offer(
        mid=mids[index],
        video_index=index,
        other_mids=[mid for i, mid in enumerate(mids) if i != index],
        ufrag=media.ice.usernameFragment,
        pwd=media.ice.password,
        fingerprints=fingerprints,
        codecs=codecs,
    )


def _h264(media: sdp.MediaDescription) -> list[Codec]:
    """The section's H.264 entries with packetization-mode 1 (RFC 6184 section 6.3: FU-A needs it)."""
    found = []
    for codec in media.rtp.codecs:
        if codec.mimeType.lower() != "video/h264" or codec.clockRate != 90000:
            continue
        parameters = {str(key).lower(): str(value).lower() for key, value in codec.parameters.items()}
        if parameters.get("packetization-mode") == "1":
            # RFC 6184 section 8.1: without profile-level-id, Baseline at level 1 is meant
            level = parameters.get("profile-level-id", "42000a")
            fits = len(level) == 6 and all(c in "0123456789abcdef" for c in level)
            if fits and codec.payloadType is not None and codec.payloadType <= 127:
                found.append(Codec(codec.payloadType, level))
    return found
