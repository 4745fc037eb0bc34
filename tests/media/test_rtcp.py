"""RTCP: what viewers say of our stream is understood, of another it is passed over; others can read our reports."""

from __future__ import annotations

import pytest
from aiortc import rtp
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.media.rtcp import NTP_EPOCH, Feedback, read_feedback, sender_report

OURS, THEIRS, OTHER = 0x11223344, 0x55667788, 0x99AABBCC


def report(ssrc: int, lost: int) -> rtp.RtcpReceiverInfo:
    return rtp.RtcpReceiverInfo(
        ssrc=ssrc, fraction_lost=lost, packets_lost=0, highest_sequence=0, jitter=0, lsr=0, dlsr=0
    )


@pytest.mark.parametrize("lost", [0, 1, 64, 255])
def test_a_receiver_report_of_ours(lost: int) -> None:
    compound = bytes(rtp.RtcpRrPacket(ssrc=THEIRS, reports=[report(OTHER, 99), report(OURS, lost)]))
    assert read_feedback(compound, OURS) == Feedback(loss=lost / 256)


def test_a_receiver_report_of_another_stream_says_nothing() -> None:
    assert read_feedback(bytes(rtp.RtcpRrPacket(ssrc=THEIRS, reports=[report(OTHER, 99)])), OURS) == Feedback()
    assert read_feedback(bytes(rtp.RtcpRrPacket(ssrc=THEIRS, reports=[])), OURS) == Feedback()


def test_a_nack_of_ours_and_of_another() -> None:
    def nack(ssrc: int) -> bytes:
        return bytes(rtp.RtcpRtpfbPacket(fmt=rtp.RTCP_RTPFB_NACK, ssrc=THEIRS, media_ssrc=ssrc, lost=[7, 9, 300]))

    assert read_feedback(nack(OURS), OURS).lost == [7, 9, 300]
    assert read_feedback(nack(OTHER), OURS) == Feedback()


def test_a_nack_across_the_wrap_stays_within_16_bits() -> None:
    packet = rtp.RtcpRtpfbPacket(fmt=rtp.RTCP_RTPFB_NACK, ssrc=THEIRS, media_ssrc=OURS, lost=[65534])
    raw = bytearray(bytes(packet))
    raw[-2:] = b"\x00\x07"  # BLP: and the three after it
    assert read_feedback(bytes(raw), OURS).lost == [65534, 65535, 0, 1]


def test_other_transport_feedback_is_no_nack() -> None:
    packet = rtp.RtcpRtpfbPacket(fmt=15, ssrc=THEIRS, media_ssrc=OURS, lost=[7])  # transport-wide congestion control
    assert read_feedback(bytes(packet), OURS) == Feedback()


@pytest.mark.parametrize(
    ("packet", "wanted"),
    [
        (rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_PLI, ssrc=THEIRS, media_ssrc=OURS), True),
        (rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_PLI, ssrc=THEIRS, media_ssrc=OTHER), False),
        (rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_APP, ssrc=THEIRS, media_ssrc=OURS), False),  # REMB
        (
            rtp.RtcpPsfbPacket(
                fmt=rtp.RTCP_PSFB_FIR, ssrc=THEIRS, media_ssrc=0, fci=OURS.to_bytes(4, "big") + b"\x01\0\0\0"
            ),
            True,
        ),
        (
            rtp.RtcpPsfbPacket(
                fmt=rtp.RTCP_PSFB_FIR,
                ssrc=THEIRS,
                media_ssrc=0,
                fci=OTHER.to_bytes(4, "big") + b"\x01\0\0\0" + OURS.to_bytes(4, "big") + b"\x01\0\0\0",
            ),
            True,
        ),
        (
            rtp.RtcpPsfbPacket(
                fmt=rtp.RTCP_PSFB_FIR, ssrc=THEIRS, media_ssrc=0, fci=OTHER.to_bytes(4, "big") + b"\x01\0\0\0"
            ),
            False,
        ),
    ],
)
def test_a_wish_for_a_keyframe(packet: rtp.RtcpPsfbPacket, wanted: bool) -> None:
    assert read_feedback(bytes(packet), OURS) == Feedback(keyframe_wanted=wanted)


def test_a_compound_of_all() -> None:
    compound = (
        bytes(rtp.RtcpRrPacket(ssrc=THEIRS, reports=[report(OURS, 128)]))
        + bytes(rtp.RtcpSdesPacket(chunks=[rtp.RtcpSourceInfo(ssrc=THEIRS, items=[(1, b"x")])]))
        + bytes(rtp.RtcpRtpfbPacket(fmt=rtp.RTCP_RTPFB_NACK, ssrc=THEIRS, media_ssrc=OURS, lost=[5]))
        + bytes(rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_PLI, ssrc=THEIRS, media_ssrc=OURS))
    )
    assert read_feedback(compound, OURS) == Feedback(lost=[5], loss=0.5, keyframe_wanted=True)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=80)
    | st.builds(
        lambda count, kind, body: bytes([0x80 | count, kind]) + (len(body) // 4).to_bytes(2, "big") + body,
        st.integers(0, 31),
        st.integers(192, 223),
        st.binary(max_size=60).map(lambda body: body + bytes(-len(body) % 4)),
    )
)
def test_what_makes_no_sense_is_left_out(compound: bytes) -> None:
    feedback = read_feedback(compound, OURS)
    assert all(0 <= sequence <= 0xFFFF for sequence in feedback.lost)
    assert feedback.loss is None or 0 <= feedback.loss < 1


@pytest.mark.parametrize("moment", [1_790_000_000_123.0, 0.0, 1_790_000_000_999.9999])
def test_our_report_is_read_by_another_implementation(moment: float) -> None:
    compound = sender_report(OURS, moment, 0xFEDCBA98, (1 << 32) + 5, (1 << 33) + 7)
    assert len(compound) % 4 == 0
    sender, source = rtp.RtcpPacket.parse(compound)
    assert isinstance(sender, rtp.RtcpSrPacket)
    assert isinstance(source, rtp.RtcpSdesPacket)
    info = sender.sender_info
    assert (sender.ssrc, sender.reports) == (OURS, [])
    assert (info.rtp_timestamp, info.packet_count, info.octet_count) == (0xFEDCBA98, 5, 7)
    told_ms = ((info.ntp_timestamp >> 32) - NTP_EPOCH + (info.ntp_timestamp & 0xFFFFFFFF) / (1 << 32)) * 1000
    assert told_ms == pytest.approx(moment, abs=0.001)
    assert [(chunk.ssrc, chunk.items) for chunk in source.chunks] == [(OURS, [(1, b"vigil")])]
