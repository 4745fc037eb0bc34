"""What browsers offer, what we take of it, and that nothing else than OfferRefused ever comes of a text.

`tests/data/offers/*.sdp` are Chromium's own (156), as it made them for `addTransceiver("video", recvonly)`, and for
sound, video and a data channel. Firefox's shape is written by hand: its fingerprint and direction stand above the media
sections.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from aiortc import RTCPeerConnection
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.messages import ViewerAnswer, ViewerRefused
from monitor.media.offer import PROFILE_ORDER, Codec, Offer, OfferRefused, Why, parse_offer

OFFERS = Path(__file__).parents[1] / "data" / "offers"


def read(name: str) -> str:
    return (OFFERS / name).read_bytes().decode()


CHROMIUM = read("chromium.sdp")
FIREFOX = """v=0
o=mozilla...THIS_IS_SDPARTA-99.0 1234567890123456789 0 IN IP4 0.0.0.0
s=-
t=0 0
a=sendrecv
a=fingerprint:sha-256 {fingerprint}
a=group:BUNDLE 0
a=ice-options:trickle
a=msid-semantic:WMS *
m=video 9 UDP/TLS/RTP/SAVPF 120 124 126 127 97 98
c=IN IP4 0.0.0.0
a=recvonly
a=fmtp:126 profile-level-id=42e01f;level-asymmetry-allowed=1;packetization-mode=1
a=fmtp:97 profile-level-id=42e01f;level-asymmetry-allowed=1
a=fmtp:120 max-fs=12288;max-fr=60
a=fmtp:124 apt=120
a=fmtp:127 apt=126
a=fmtp:98 apt=97
a=ice-pwd:{pwd}
a=ice-ufrag:a1b2c3d4
a=mid:0
a=rtcp-fb:126 nack
a=rtcp-fb:126 nack pli
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:120 VP8/90000
a=rtpmap:124 rtx/90000
a=rtpmap:126 H264/90000
a=rtpmap:127 rtx/90000
a=rtpmap:97 H264/90000
a=rtpmap:98 rtx/90000
a=setup:actpass
a=ssrc:1234567890 cname:x
""".format(fingerprint=":".join(["9A"] * 32), pwd="0f" * 16).replace("\n", "\r\n")


def refused(text: str) -> Why:
    with pytest.raises(OfferRefused) as caught:
        parse_offer(text)
    assert caught.value.__cause__ is None
    return caught.value.why


def without(text: str, start: str) -> str:
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(start)]
    assert len(kept) < len(lines), f"no line starts with {start}"
    return "".join(kept)


def replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


# ---- what is taken ---------------------------------------------------------------------------------------------------


def test_chromium() -> None:
    offer = parse_offer(CHROMIUM)
    assert (offer.mid, offer.video_index, offer.other_mids) == ("0", 0, [])
    assert f"a=ice-ufrag:{offer.ufrag}\r\n" in CHROMIUM
    assert f"a=ice-pwd:{offer.pwd}\r\n" in CHROMIUM
    assert offer.fingerprints == [("sha-256", re.search(r"sha-256 (\S+)", CHROMIUM)[1])]  # type: ignore[index]
    assert [codec.profile_level_id for codec in offer.codecs] == ["42001f", "42e01f", "4d001f", "f4001f"]
    for codec in offer.codecs:
        assert f"a=rtpmap:{codec.payload_type} H264/90000\r\n" in CHROMIUM
        assert re.search(rf"a=fmtp:{codec.payload_type} .*packetization-mode=1", CHROMIUM)


def test_chromium_with_sound_and_data() -> None:
    offer = parse_offer(read("chromium-audio-video-data.sdp"))
    assert (offer.mid, offer.video_index, offer.other_mids) == ("1", 1, ["0", "2"])


def test_firefox() -> None:
    offer = parse_offer(FIREFOX)
    assert offer.codecs == [Codec(126, "42e01f")]
    assert offer.fingerprints == [("sha-256", ":".join(["9A"] * 32))]
    assert (offer.ufrag, offer.pwd) == ("a1b2c3d4", "0f" * 16)


def test_aiortc() -> None:
    async def make() -> str:
        connection = RTCPeerConnection()
        connection.addTransceiver("audio")
        connection.addTransceiver("video", direction="recvonly")
        await connection.setLocalDescription(await connection.createOffer())
        text: str = connection.localDescription.sdp
        await connection.close()
        return text

    offer = parse_offer(asyncio.run(make()))
    assert (offer.video_index, len(offer.other_mids)) == (1, 1)
    assert {codec.profile_level_id for codec in offer.codecs} >= {"42e01f"}
    assert {algorithm for algorithm, _ in offer.fingerprints} >= {"sha-256"}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_ends_of_both_kinds(ending: str) -> None:
    assert parse_offer(CHROMIUM.replace("\r\n", ending)) == parse_offer(CHROMIUM)


def test_a_direction_that_is_not_said_is_both() -> None:  # RFC 8866 section 6.7
    assert parse_offer(without(CHROMIUM, "a=recvonly")).mid == "0"


def test_setup_active_is_as_good_as_actpass() -> None:
    assert parse_offer(replaced(CHROMIUM, "a=setup:actpass", "a=setup:active")).mid == "0"


def test_a_section_without_a_mid_is_named_by_its_place() -> None:
    offer = parse_offer(without(without(read("chromium-audio-video-data.sdp"), "a=mid:"), "a=group:"))
    assert (offer.mid, offer.other_mids) == ("1", ["0", "2"])


def test_the_first_video_section_that_is_open_is_taken() -> None:
    closed = CHROMIUM[CHROMIUM.index("m=video") :].replace("m=video 9", "m=video 0").replace("a=mid:0", "a=mid:9")
    head, section = CHROMIUM.split("m=video", 1)
    offer = parse_offer(head + closed + "m=video" + section)
    assert (offer.mid, offer.video_index, offer.other_mids) == ("0", 1, ["9"])


def test_whatever_is_taken_fits_the_answer() -> None:
    """`messages.ViewerAnswer` must be able to carry it: an offer may not bring the media process down."""
    longest = replaced(CHROMIUM, "a=mid:0", "a=mid:" + "m" * 16)
    offer = parse_offer(longest)
    assert ViewerAnswer.model_validate(answer_of(offer))
    for mid in ("m" * 17, "a b", "<script>", "ø"):
        assert refused(replaced(CHROMIUM, "a=mid:0", f"a=mid:{mid}")) == "broken-sdp"


def answer_of(offer: Offer) -> dict[str, object]:
    codec = offer.codec_for("main")
    return {
        "viewer": "v" * 16,
        "ufrag": "abcd",
        "pwd": "p" * 22,
        "fingerprint": ":".join(["AB"] * 32),
        "mid": offer.mid,
        "payload_type": codec.payload_type,
        "profile_level_id": codec.profile_level_id,
        "ssrc": 1,
        "udp_port": 8555,
        "rejected_mids": offer.other_mids,
        "video_index": offer.video_index,
    }


@pytest.mark.parametrize(("others", "fits"), [(16, True), (17, False)])
def test_more_sections_than_an_answer_can_name_are_refused(others: int, fits: bool) -> None:
    more = "".join(f"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:a{n}\r\n" for n in range(others))
    if fits:
        offer = parse_offer(CHROMIUM + more)
        assert offer.other_mids == [f"a{n}" for n in range(others)]
        assert ViewerAnswer.model_validate(answer_of(offer))
    else:
        assert refused(CHROMIUM + more) == "broken-sdp"


# ---- which entry -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "level"),
    [
        ("constrained-baseline", "42e01f"),
        ("baseline", "42e01f"),
        ("main", "4d001f"),
        ("high", "4d001f"),  # Chromium lists no High, and decodes it all the same
        ("other", "42e01f"),
        ("", "42e01f"),
    ],
)
def test_the_entry_nearest_to_the_camera_s_profile(profile: str, level: str) -> None:
    assert parse_offer(CHROMIUM).codec_for(profile).profile_level_id == level
    assert parse_offer(FIREFOX).codec_for(profile).profile_level_id == "42e01f"


def test_high_is_taken_where_it_is_offered() -> None:
    codecs = [Codec(96, "42e01f"), Codec(97, "4d001f"), Codec(98, "64001f"), Codec(99, "640c1f")]
    offer = Offer("0", 0, [], "u", "p", [], codecs)
    assert offer.codec_for("high") == codecs[3]
    assert Offer("0", 0, [], "u", "p", [], codecs[:3]).codec_for("high") == codecs[2]
    assert Offer("0", 0, [], "u", "p", [], [Codec(96, "f4001f")]).codec_for("high") == Codec(96, "f4001f")
    assert set(PROFILE_ORDER) >= {"baseline", "constrained-baseline", "main", "high"}


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "broken-sdp"),
        ("v=0\r\n", "broken-sdp"),
        ("hello", "broken-sdp"),
        (CHROMIUM[3:], "broken-sdp"),
        (re.sub("H264", "VP8", CHROMIUM), "no-h264"),
        (re.sub("packetization-mode=1", "packetization-mode=0", CHROMIUM), "no-h264"),
        (re.sub(";packetization-mode=1", "", CHROMIUM), "no-h264"),
        (re.sub("profile-level-id=......", "profile-level-id=zzzzzz", CHROMIUM), "no-h264"),
        (re.sub("H264/90000", "H264/48000", CHROMIUM), "no-h264"),
        (re.sub("m=video 9", "m=video 0", CHROMIUM), "no-h264"),
        (re.sub("m=video", "m=audio", CHROMIUM), "no-h264"),
        (re.sub("a=recvonly", "a=sendonly", CHROMIUM), "not-receiving"),
        (re.sub("a=recvonly", "a=inactive", CHROMIUM), "not-receiving"),
        (without(CHROMIUM, "a=rtpmap:108 H264"), "broken-sdp"),
        (without(CHROMIUM, "a=fingerprint"), "no-fingerprint"),
        (re.sub("a=setup:actpass", "a=setup:passive", CHROMIUM), "no-fingerprint"),
        (without(CHROMIUM, "a=ice-ufrag"), "no-ice"),
        (without(CHROMIUM, "a=ice-pwd"), "no-ice"),
        (without(without(CHROMIUM, "a=ice-pwd"), "a=ice-ufrag"), "no-ice"),
    ],
)
def test_what_cannot_be_answered(text: str, why: Why) -> None:
    assert refused(text) == why
    ViewerRefused(viewer="v" * 16, why=why)


def test_without_a_level_baseline_is_meant() -> None:
    text = re.sub(r";profile-level-id=\w+", "", CHROMIUM)
    assert {codec.profile_level_id for codec in parse_offer(text).codecs} == {"42000a"}  # RFC 6184 section 8.1


# ---- junk ------------------------------------------------------------------------------------------------------------


def taken_or_refused(text: str) -> None:
    try:
        offer = parse_offer(text)
    except OfferRefused as refusal:
        ViewerRefused(viewer="v" * 16, why=refusal.why)
    else:
        ViewerAnswer.model_validate(answer_of(offer))


LINES = CHROMIUM.splitlines()
PARTS = sorted(set(re.split(r"[ :;=/\r\n]", CHROMIUM)))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300) | st.text("v=0moacsti\r\n :/1 ", max_size=300).map(lambda text: "v=0\r\n" + text))
def test_any_text_is_taken_or_refused(text: str) -> None:
    taken_or_refused(text)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_an_offer_with_lines_left_out_doubled_and_spoiled(data: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(lines) - 1))
        what = data.draw(st.sampled_from(["drop", "double", "cut", "word", "number", "move"]))
        line = lines[at]
        if what == "drop":
            del lines[at]
        elif what == "double":
            lines.insert(data.draw(st.integers(0, len(lines))), line)
        elif what == "move":
            lines.insert(data.draw(st.integers(0, len(lines) - 1)), lines.pop(at))
        elif what == "cut":
            lines[at] = line[: data.draw(st.integers(0, len(line)))]
        elif what == "number":
            number = data.draw(st.integers(-1, 1 << 70) | st.sampled_from(["", "NaN", "128", "255", "1e9", "٣"]))
            lines[at] = re.sub(r"\d+", str(number), line, count=data.draw(st.integers(1, 3)))
        else:
            words = re.split(r"([ :;=/])", line)
            words[data.draw(st.integers(0, len(words) - 1))] = data.draw(st.sampled_from(PARTS))
            lines[at] = "".join(words)
        if not lines:
            break
    taken_or_refused("\r\n".join(lines) + "\r\n")
