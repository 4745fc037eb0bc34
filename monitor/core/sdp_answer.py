"""The SDP answer to a viewer's offer, written anew from checked fields.

No text of the media process reaches a browser: what it says comes as numbers and short tokens (messages.ViewerAnswer).
Of the offer, only the kinds of its media sections and what feedback it understands are used, each taken from a closed
list. This module must never copy a line of either side as it stands.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.core.errors import BadOffer, InputError
from monitor.core.messages import ViewerAnswer

MAX_OFFER = 32768
"""Characters of the largest offer (messages.Sdp)."""

NO_H264 = "the offer has no H.264 with packetization-mode 1"
NO_H264_HINT = "use a browser that decodes H.264; Firefox needs its OpenH264 plug-in, see about:addons"

_PRINTABLE = re.compile(r"[\x20-\x7e\r\n\t]+")
_MEDIA = re.compile(r"m=(audio|video|text|application|message) (\d{1,5})(?:/\d+)? ([A-Z/]{3,32}) (.+)")
_NO_FORMAT = re.compile(r"m=video (\d{1,5}) ([A-Z/]{3,32}) ?")
_FORMAT = re.compile(r"\d{1,3}|webrtc-datachannel")
_FEEDBACK = ("nack", "nack pli", "ccm fir")
"""What the relay answers: retransmission (RFC 4585), and wishes for a keyframe (RFC 4585, RFC 5104)."""


@dataclass(frozen=True)
class OfferedSection:
    """What is used of one of the offer's media sections."""

    kind: str
    proto: str
    formats: tuple[str, ...]
    attributes: tuple[str, ...]


@dataclass(frozen=True)
class Offered:
    """What is used of an offer."""

    bundled: frozenset[str]
    """Mids in a BUNDLE group (RFC 9143)."""
    sections: tuple[OfferedSection, ...]


def read_offer(text: str) -> Offered:
    """What of the offer matters for the answer's form.

    Raises InputError (HTTP 400) where the text is no session description at all (RFC 8866 section 5), BadOffer (422)
    where it offers nothing. Whether the rest can be answered is the media process's to say.
    """
    if len(text) > MAX_OFFER or not _PRINTABLE.fullmatch(text):
        raise InputError("the offer is not a session description", "send the browser's SDP offer as it stands")
    lines = text.replace("\r\n", "\n").strip("\n").split("\n")
    if lines[0] != "v=0" or not any(line.startswith("o=") for line in lines):
        raise InputError("the offer is not a session description", "send the browser's SDP offer as it stands")
    bundled: set[str] = set()
    heads: list[re.Match[str]] = []
    attributes: list[list[str]] = []
    for line in lines:
        if line[1:2] != "=" or not line[:1].isalpha():
            raise InputError("the offer has a line that is not 'type=value'")
        if line.startswith("m="):
            head = _MEDIA.fullmatch(line)
            if _NO_FORMAT.fullmatch(line):  # what Firefox 140 writes when it has no codec of those it was asked for
                raise BadOffer(NO_H264, NO_H264_HINT)
            if head is None:
                raise InputError("the offer has a media section that cannot be read")
            heads.append(head)
            attributes.append([])
        elif heads:
            attributes[-1].append(line)
        elif line.startswith("a=group:BUNDLE"):
            bundled.update(line.split()[1:])
    if not heads:
        raise BadOffer("the offer asks for nothing: it has no media section", "offer to receive video")
    sections = tuple(
        OfferedSection(head[1], head[3], tuple(head[4].split()), tuple(own))
        for head, own in zip(heads, attributes, strict=True)
    )
    return Offered(frozenset(bundled), sections)


def build_answer(answer: ViewerAnswer, offer: Offered, candidates: Sequence[str], session: int) -> str:
    """The answer's text (RFC 8866, RFC 8829, ICE-lite by RFC 8445 section 2.5, DTLS by RFC 8842).

    `candidates` are the addresses by which the viewer may reach `answer.udp_port`, best first; `session` is the number
    of the o= line. Raises InputError where the offer's sections and the answer's do not agree, ValueError without a
    candidate or on one that is no IP address.
    """
    if not candidates:
        raise ValueError("an answer needs at least one candidate")
    if len(offer.sections) != len(answer.rejected_mids) + 1 or answer.video_index >= len(offer.sections):
        raise InputError("the offer's media sections cannot be told apart", "send the browser's SDP offer as it stands")
    lines = ["v=0", f"o=- {session} 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=ice-lite"]
    if answer.mid in offer.bundled:
        lines.append(f"a=group:BUNDLE {answer.mid}")
    lines.append("a=msid-semantic:WMS *")
    rejected = iter(answer.rejected_mids)
    for index, section in enumerate(offer.sections):
        if index == answer.video_index:
            lines += _video(answer, section, [ipaddress.ip_address(address) for address in candidates])
        else:
            lines += _rejected(section, next(rejected))
    return "\r\n".join(lines) + "\r\n"


def _video(
    answer: ViewerAnswer, section: OfferedSection, candidates: list[ipaddress.IPv4Address | ipaddress.IPv6Address]
) -> list[str]:
    payload = answer.payload_type
    first = candidates[0]
    lines = [
        f"m=video {answer.udp_port} UDP/TLS/RTP/SAVPF {payload}",
        f"c=IN IP{first.version} {first}",
        f"a=mid:{answer.mid}",
        "a=sendonly",
        "a=msid:vigil video",
        "a=rtcp-mux",
        f"a=rtpmap:{payload} H264/90000",
        # RFC 6184 section 8.1: fragmentation units are sent, and the stream's own level holds.
        f"a=fmtp:{payload} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={answer.profile_level_id}",
    ]
    if "a=rtcp-rsize" in section.attributes:
        lines.append("a=rtcp-rsize")
    # RFC 4585 section 4.2: an answer may only keep what the offer named.
    lines += [
        f"a=rtcp-fb:{payload} {kind}"
        for kind in _FEEDBACK
        if {f"a=rtcp-fb:{payload} {kind}", f"a=rtcp-fb:* {kind}"} & set(section.attributes)
    ]
    lines += [
        f"a=ssrc:{answer.ssrc} cname:vigil",
        f"a=ice-ufrag:{answer.ufrag}",
        f"a=ice-pwd:{answer.pwd}",
        f"a=fingerprint:sha-256 {answer.fingerprint}",
        "a=setup:passive",
    ]
    for number, address in enumerate(candidates, start=1):
        # RFC 8445 section 5.1.2.1: type preference 126 for host, local preference falling, component 1.
        priority = (126 << 24) | ((65536 - number) << 8) | 255
        lines.append(f"a=candidate:{number} 1 udp {priority} {address} {answer.udp_port} typ host")
    lines.append("a=end-of-candidates")
    return lines


def _rejected(section: OfferedSection, mid: str) -> list[str]:
    """Port 0, with kind and transport as offered: browsers refuse an answer whose sections do not match (RFC 3264
    section 6)."""
    formats = [format_ for format_ in section.formats if _FORMAT.fullmatch(format_)][:1] or ["0"]
    return [f"m={section.kind} 0 {section.proto} {formats[0]}", "c=IN IP4 0.0.0.0", f"a=mid:{mid}", "a=inactive"]
