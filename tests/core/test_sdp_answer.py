"""The SDP answer, read back by aiortc's parser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription

from monitor.core.errors import BadOffer, InputError
from monitor.core.messages import ViewerAnswer
from monitor.core.sdp_answer import MAX_OFFER, build_answer, read_offer

OFFERS = Path(__file__).parents[1] / "data" / "offers"
FINGERPRINT = ":".join(["AB"] * 32)
OFFER = "\r\n".join(
    [
        "v=0",
        "o=- 123 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0 1 data",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 63",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=rtcp-mux",
        "m=video 9 UDP/TLS/RTP/SAVPF 96 103",
        "c=IN IP4 0.0.0.0",
        "a=mid:1",
        "a=recvonly",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=rtpmap:103 H264/90000",
        "a=fmtp:103 packetization-mode=1",
        "a=rtcp-fb:103 nack",
        "a=rtcp-fb:103 nack pli",
        "a=rtcp-fb:103 transport-cc",
        "a=rtcp-fb:96 ccm fir",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:data",
        "",
    ]
)


def answer(**changes: object) -> ViewerAnswer:
    """A media process's answer to OFFER."""
    values: dict[str, object] = {
        "viewer": "v" * 20,
        "ufrag": "abcd",
        "pwd": "p" * 24,
        "fingerprint": FINGERPRINT,
        "mid": "1",
        "payload_type": 103,
        "profile_level_id": "42e01f",
        "ssrc": 4321,
        "udp_port": 8555,
        "rejected_mids": ["0", "data"],
        "video_index": 1,
    }
    return ViewerAnswer.model_validate(values | changes)


def built(offer: str = OFFER, **changes: object) -> str:
    return build_answer(answer(**changes), read_offer(offer), ["192.0.2.7", "2001:db8::7"], 77)


def test_aiortc_reads_it_as_meant() -> None:
    session = SessionDescription.parse(built())
    audio, video, data = session.media
    assert [part.kind for part in session.media] == ["audio", "video", "application"]
    assert [part.port for part in session.media] == [0, 8555, 0]
    assert [part.rtp.muxId if part.rtp else part.rtp for part in (audio, video, data)][1] == "1"
    assert video.direction == "sendonly"
    assert video.rtcp_mux
    assert [(codec.mimeType, codec.payloadType) for codec in video.rtp.codecs] == [("video/H264", 103)]
    assert video.rtp.codecs[0].parameters == {
        "level-asymmetry-allowed": "1",
        "packetization-mode": "1",
        "profile-level-id": "42e01f",
    }
    feedback = {f"{one.type} {one.parameter or ''}".strip() for one in video.rtp.codecs[0].rtcpFeedback}
    assert feedback == {"nack", "nack pli"}, "only what was offered for this payload type"
    assert video.dtls.role == "server"
    assert [(one.algorithm, one.value) for one in video.dtls.fingerprints] == [("sha-256", FINGERPRINT)]
    assert (video.ice.usernameFragment, video.ice.password, video.ice.iceLite) == ("abcd", "p" * 24, True)
    assert [(one.ip, one.port, one.type, one.protocol) for one in video.ice_candidates] == [
        ("192.0.2.7", 8555, "host", "udp"),
        ("2001:db8::7", 8555, "host", "udp"),
    ]
    assert video.ice_candidates[0].priority > video.ice_candidates[1].priority
    assert video.ice_candidates_complete
    assert [one.ssrc for one in video.ssrc] == [4321]
    assert [(group.semantic, group.items) for group in session.group] == [("BUNDLE", ["1"])]


def test_its_form() -> None:
    text = built()
    assert text.startswith("v=0\r\no=- 77 1 IN IP4 127.0.0.1\r\n")
    assert text.endswith("\r\n")
    assert not re.search(r"(?<!\r)\n", text)
    assert "a=rtcp-rsize\r\n" in text
    assert "a=mid:0\r\n" in text
    assert "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n" in text


def test_nothing_is_added_that_was_not_offered() -> None:
    plain = OFFER.replace("a=rtcp-rsize\r\n", "").replace("a=group:BUNDLE 0 1 data\r\n", "")
    plain = re.sub(r"a=rtcp-fb:.*\r\n", "", plain)
    text = built(plain)
    assert "rtcp-rsize" not in text
    assert "BUNDLE" not in text
    assert "rtcp-fb" not in text


def test_no_line_of_the_offer_is_copied() -> None:
    planted = OFFER.replace("a=recvonly", "a=recvonly\r\na=planted:line\r\na=ice-ufrag:theirs")
    text = built(planted.replace("m=audio 9 UDP/TLS/RTP/SAVPF 111 63", "m=audio 9 UDP/TLS/RTP/SAVPF <b> 63"))
    assert "planted" not in text
    assert "theirs" not in text
    assert "<b>" not in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "v=0\r\n",
        OFFER.replace("v=0", "v=1"),
        OFFER.replace("s=-", "s"),
        OFFER.replace("m=audio 9", "m=audio nine"),
        OFFER.replace("s=-", "s=\x00"),
        OFFER + "a=x:" + "y" * MAX_OFFER,
    ],
    ids=["empty", "text", "only-version", "other-version", "no-equals", "bad-media", "nul", "too-long"],
)
def test_what_is_no_session_description(text: str) -> None:
    with pytest.raises(InputError) as refused:
        read_offer(text)
    assert refused.value.http_status == 400


def test_an_offer_of_nothing_is_unprocessable() -> None:
    with pytest.raises(BadOffer):
        read_offer(OFFER[: OFFER.index("m=audio")])


def test_sections_that_do_not_fit_the_answer() -> None:
    with pytest.raises(InputError):
        built(rejected_mids=["0"])
    with pytest.raises(InputError):
        built(rejected_mids=["0", "data"], video_index=3)
    with pytest.raises(ValueError, match="candidate"):
        build_answer(answer(), read_offer(OFFER), [], 1)
    with pytest.raises(ValueError, match="address"):
        build_answer(answer(), read_offer(OFFER), ["name.example"], 1)


@pytest.mark.parametrize("path", sorted(OFFERS.glob("*.sdp")), ids=lambda path: path.stem)
def test_offers_of_real_browsers_are_read(path: Path) -> None:
    offered = read_offer(path.read_text("ascii"))
    assert any(section.kind == "video" for section in offered.sections)
    assert offered.bundled


def test_a_video_section_without_any_format_is_an_offer_without_h264() -> None:
    """As Firefox 140 writes it when it lists H.264 and has no plug-in for it."""
    with pytest.raises(BadOffer, match=r"no H\.264") as refused:
        read_offer("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\nm=video 9 UDP/TLS/RTP/SAVPF\r\na=mid:0\r\n")
    assert "OpenH264" in refused.value.hint
