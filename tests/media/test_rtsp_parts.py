"""The pure parts of the RTSP source: addresses, authentication, session descriptions, RTP, RTCP, order, pauses."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.media.sources.base import SourceEnded
from monitor.media.sources.reorder import ReorderBuffer
from monitor.media.sources.rtp import Bye, ReceiverStats, SenderReport, iter_rtcp, parse_rtp
from monitor.media.sources.rtsp_address import parse_address
from monitor.media.sources.rtsp_auth import Authorizer, challenges
from monitor.media.sources.rtsp_sdp import choose_video
from monitor.media.sources.runner import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    PERMANENT_PAUSE_SECONDS,
    pause_seconds,
)
from tests.fakes.faulty_rtsp import SDP, rtp

BASE = "rtsp://192.0.2.1/cam"


def test_address() -> None:
    address = parse_address("rtsp://us%40er:p%3A%2Fw@[2001:db8::1]:8554/live/main?channel=1&x=%20#top")
    assert (address.username, address.password) == ("us@er", "p:/w")
    assert (address.host, address.port) == ("2001:db8::1", 8554)
    assert address.url == "rtsp://[2001:db8::1]:8554/live/main?channel=1&x=%20"
    assert "p:/w" not in repr(address)
    assert "us@er" not in repr(address)
    assert parse_address("rtsp://192.0.2.1").port == 554


def test_digest_as_in_rfc_2617_and_2069() -> None:
    """RFC 2617 section 3.5's example; and the form without qop."""
    header = (
        'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    one = Authorizer("Mufasa", "Circle Of Life", lambda: "0a4f113b")
    assert one.header("GET", "/dir/index.html") is None
    assert one.challenged([header])
    answer = one.header("GET", "/dir/index.html") or ""
    assert 'response="6629fae49393a05397450978507c4ef1"' in answer
    assert "nc=00000001" in answer
    assert "nc=00000002" in (one.header("GET", "/dir/index.html") or "")
    old = Authorizer("Mufasa", "CircleOfLife", lambda: "x")
    assert old.challenged(['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'])
    answer = old.header("GET", "/dir/index.html") or ""
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in answer  # RFC 2069 section 2.4 with its erratum
    assert "nc=" not in answer


def test_digest_as_in_rfc_7616() -> None:
    """RFC 7616 section 3.9.1, both hashes: the stronger is chosen from what is offered."""
    nonce, opaque = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
    common = (
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", nonce="{nonce}", opaque="{opaque}", algorithm='
    )
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    for offered, response in (
        ([common + "SHA-256", common + "MD5"], "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ([common + "MD5"], "8ca523f5e9506fed4657c9700eebdbec"),
    ):
        one = Authorizer("Mufasa", "Circle of Life", lambda: cnonce)
        assert one.challenged(offered)
        assert f'response="{response}"' in (one.header("GET", "/dir/index.html") or "")


def test_basic_only_where_nothing_else_is_offered() -> None:
    both = Authorizer("u", "p", lambda: "c")
    assert both.challenged(['Basic realm="a", Digest realm="a", nonce="n"'])
    assert (both.header("PLAY", BASE) or "").startswith("Digest ")
    only = Authorizer("u", "p", lambda: "c")
    assert only.challenged(['Basic realm="a"'])
    assert only.header("PLAY", BASE) == "Basic dTpw"


def test_when_another_try_is_worth_it() -> None:
    assert not Authorizer("", "", lambda: "c").challenged(['Basic realm="a"'])
    assert not Authorizer("u", "p", lambda: "c").challenged([])
    assert not Authorizer("u", "p", lambda: "c").challenged(['Digest realm="a", nonce="n", algorithm=SHA-512-256'])
    one = Authorizer("u", "p", lambda: "c")
    stale = 'Digest realm="a", nonce="m", stale=TRUE'
    assert one.challenged(['Digest realm="a", nonce="n"'])
    assert not one.challenged(['Digest realm="a", nonce="m"'])
    one.accepted('nextnonce="k"')
    assert 'nonce="k"' in (one.header("PLAY", BASE) or "")
    assert one.challenged([stale])
    assert one.challenged([stale])
    assert not one.challenged([stale])


@given(st.text(max_size=200))
def test_any_challenge_is_read_without_an_error(text: str) -> None:
    for one in challenges([text]):
        assert one.strength >= -1


def with_video(lines: str) -> str:
    return "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=x\nt=0 0\n" + lines


@pytest.mark.parametrize(
    ("sdp", "reason"),
    [
        (with_video("m=audio 0 RTP/AVP 0\na=control:a\n"), "no-video"),
        (with_video("m=application 0 RTP/AVP 107\n"), "no-video"),
        (with_video("m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\n"), "h265-unsupported"),
        (with_video("m=video 0 RTP/AVP 96\na=rtpmap:96 hevc/90000\n"), "h265-unsupported"),
        (with_video("m=video 0 RTP/AVP 26\n"), "codec-unsupported"),
        (with_video("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/8000\n"), "codec-unsupported"),
        (
            with_video("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=2\n"),
            "codec-unsupported",
        ),
        (with_video("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:a b\n"), "protocol-error"),
        ("<html>", "protocol-error"),
        ("", "protocol-error"),
    ],
)
def test_what_the_description_lacks(sdp: str, reason: str) -> None:
    with pytest.raises(SourceEnded) as caught:
        choose_video(sdp, BASE)
    assert caught.value.reason == reason


def test_description_of_a_real_kind() -> None:
    """Two video tracks of which the second is H.264, a frame rate that upset other parsers, sound before all."""
    sdp = with_video(
        "a=control:*\nm=audio 0 RTP/AVP 0\na=control:trackID=9\n"
        "m=video 0 RTP/AVP 97\na=rtpmap:97 H265/90000\na=control:trackID=1\n"
        "m=video 0 RTP/AVP 98 99\na=rtpmap:99 h264/90000\na=framerate:25,0\na=control:trackID=2\n"
        "a=fmtp:99 packetization-mode=1;profile-level-id=42C01E;;x;"
        "sprop-parameter-sets=Z0LAHtsCgC3YCIAAAAMAgAAAGQeLF1A=,aM48gA==\n"
    ).replace("\n", "\r\n")
    track = choose_video(sdp, "rtsp://192.0.2.1/cam?channel=1&subtype=0")
    assert track.setup_url == "rtsp://192.0.2.1/cam?channel=1&subtype=0/trackID=2"
    assert track.session_url == "rtsp://192.0.2.1/cam?channel=1&subtype=0"
    assert track.payload_type == 99
    plain = choose_video(SDP, BASE + "/")
    assert plain.setup_url == BASE + "/picture"
    assert plain.parameter_sets is None


@given(st.text(max_size=400))
def test_any_description_is_a_track_or_a_reason(text: str) -> None:
    try:
        choose_video(with_video(text), BASE)
    except SourceEnded:
        return


@given(st.binary(max_size=60))
def test_any_bytes_are_a_packet_or_none(data: bytes) -> None:
    packet = parse_rtp(memoryview(data))
    assert packet is None or len(packet.payload) <= len(data) - 12
    list(iter_rtcp(memoryview(data)))


def test_rtp_lengths_that_do_not_fit() -> None:
    whole = rtp(1, b"abcd")
    assert parse_rtp(memoryview(whole)) is not None
    assert parse_rtp(memoryview(b"\x40" + whole[1:])) is None  # version 1
    assert parse_rtp(memoryview(b"\x8f" + whole[1:])) is None  # fifteen contributing sources
    assert parse_rtp(memoryview(b"\x90" + whole[1:-4] + b"\0\0\xff\xff")) is None  # an endless extension
    assert parse_rtp(memoryview(b"\xa0" + whole[1:-1] + b"\x40")) is None  # more padding than packet
    assert parse_rtp(memoryview(b"\xa0" + whole[1:-1] + b"\x00")) is None


def test_sender_report() -> None:
    report = struct.pack("!BBHIIIIII", 0x80, 200, 6, 7, 2_208_988_800 + 1_700_000_000 & 0xFFFFFFFF, 1 << 31, 900, 1, 2)
    bye = struct.pack("!BBHI", 0x81, 203, 1, 7)
    items = list(iter_rtcp(memoryview(report + bye)))
    assert items == [SenderReport(7, 1_700_000_000_500.0, items[0].ntp_middle, 900), Bye(7)]  # type: ignore[union-attr]
    no_clock = struct.pack("!BBHIIIIII", 0x80, 200, 6, 7, 0, 0, 900, 1, 2)
    assert list(iter_rtcp(memoryview(no_clock))) == []
    after_2036 = struct.pack("!BBHIIIIII", 0x80, 200, 6, 7, 0, 1, 900, 1, 2)
    assert next(iter(iter_rtcp(memoryview(after_2036)))).ntp_ms > 2_085_000_000_000  # type: ignore[union-attr]


def test_receiver_report_counts_loss_over_the_wrap() -> None:
    stats = ReceiverStats()
    assert stats.packet(7, 65530, 0, 0.0)
    for seq in (65531, 65532, 65535, 0, 1, 2, 3, 4, 5):
        assert not stats.packet(7, seq, 0, 0.0)
    stats.report(SenderReport(7, 0.0, 0x12345678, 0), 1000.0)
    data = stats.build(42, "cname", 1500.0)
    _, kind, _, own, about, lost, highest, _, last, since = struct.unpack_from("!BBHIIIIIII", data)
    assert (kind, own, about, last) == (201, 42, 7, 0x12345678)
    assert lost & 0xFFFFFF == 2
    assert lost >> 24 == 2 * 256 // 12
    assert highest == 0x10005
    assert since == 32768
    assert len(data) % 4 == 0
    assert stats.packet(8, 1, 0, 0.0)  # another SSRC: a new run
    assert struct.unpack_from("!BBHII", ReceiverStats().build(42, "cname", 0.0))[:3] == (0x80, 201, 1)


@given(st.integers(0, 65535), st.permutations(range(8)), st.data())
def test_order_within_the_buffer(start: int, order: list[int], data: st.DataObject) -> None:
    """Whatever the order, with duplicates: out they come in sequence, once each."""
    order = [0, *(one + 1 for one in order)]
    twice = data.draw(st.lists(st.sampled_from(order), max_size=3))
    dropped: list[int] = []
    buffer: ReorderBuffer[int] = ReorderBuffer(dropped.append)
    out: list[int] = []
    for number in [*order, *twice]:
        seq = (start + number) & 0xFFFF
        if buffer.is_next(seq):
            out.append(number)
        else:
            out += buffer.push(seq, number, 0.0)
    assert out == list(range(9))
    assert sorted(dropped) == sorted(twice)
    assert buffer.due_ms() is None


def test_a_missing_packet_is_waited_for_only_so_long() -> None:
    dropped: list[int] = []
    buffer: ReorderBuffer[int] = ReorderBuffer(dropped.append, max_held=3, max_wait_ms=40.0)
    assert buffer.is_next(10)
    assert buffer.push(12, 12, 100.0) == []
    assert buffer.due_ms() == 140.0
    assert buffer.expire(139.0) == []
    assert buffer.expire(140.0) == [12]
    assert buffer.given_up == 1
    assert buffer.push(11, 11, 141.0) == []  # too late
    assert (buffer.late, dropped) == (1, [11])
    assert [buffer.push(seq, seq, 200.0) for seq in (14, 15, 16)] == [[], [], []]
    assert buffer.push(18, 18, 200.0) == [14, 15, 16]  # more than may wait
    buffer.clear()
    assert dropped == [11, 18]


def test_a_camera_that_begins_anew_is_followed() -> None:
    dropped: list[int] = []
    buffer: ReorderBuffer[int] = ReorderBuffer(dropped.append)
    assert buffer.is_next(10)
    assert not buffer.is_next(40000)
    assert buffer.push(40000, 1, 0.0) == []
    assert buffer.push(40001, 2, 0.0) == [2]
    assert buffer.is_next(40002)
    assert dropped == [1]


def test_pauses_grow_and_are_spread_and_bounded() -> None:
    middle = [pause_seconds(failures, 0.5) for failures in range(1, 12)]
    assert middle[0] == FIRST_PAUSE_SECONDS
    assert all(after >= before for before, after in itertools.pairwise(middle))
    assert pause_seconds(3, 0.0) == 0.75 * middle[2]
    assert pause_seconds(3, 1.0) == 1.25 * middle[2]
    assert max(pause_seconds(failures, 1.0) for failures in range(1, 2000)) <= LONGEST_PAUSE_SECONDS < 5
    assert pause_seconds(99, 1.0, PERMANENT_PAUSE_SECONDS) == PERMANENT_PAUSE_SECONDS
