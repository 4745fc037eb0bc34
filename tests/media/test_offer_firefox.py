"""What Debian's Firefox really offers (153), with H.264 and without: one is taken, the other refused for what it lacks.

`firefox.sdp` is what the wall's own page sends (H.264 and nothing else), `firefox-no-h264.sdp` what Firefox offers
before it has fetched its plug-in for H.264.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor.media.offer import Codec, OfferRefused, parse_offer

OFFERS = Path(__file__).parents[1] / "data" / "offers"
WITH = (OFFERS / "firefox.sdp").read_bytes().decode()
WITHOUT = (OFFERS / "firefox-no-h264.sdp").read_bytes().decode()


def test_what_is_said_once_for_all_sections_is_found() -> None:
    offer = parse_offer(WITH)
    assert (offer.mid, offer.video_index, offer.other_mids) == ("0", 0, [])
    assert WITH.index("a=fingerprint:") < WITH.index("m=video")  # above the section that it holds for
    assert offer.fingerprints == [("sha-256", re.search(r"sha-256 (\S+)", WITH)[1])]  # type: ignore[index]
    assert f"a=ice-ufrag:{offer.ufrag}\r\n" in WITH
    assert f"a=ice-pwd:{offer.pwd}\r\n" in WITH


def test_its_h264_in_whole_packets_only_is_not_taken() -> None:
    """126 and 105 have packetization-mode 1; 97 and 103, without, cannot carry a picture larger than a packet."""
    assert parse_offer(WITH).codecs == [Codec(126, "42e01f"), Codec(105, "42001f")]


@pytest.mark.parametrize("profile", ["baseline", "constrained-baseline", "main", "high", ""])
def test_every_profile_is_sent_under_its_one_good_entry(profile: str) -> None:
    assert parse_offer(WITH).codec_for(profile) == Codec(126, "42e01f")


def test_without_its_plug_in_it_is_refused_for_that() -> None:
    assert "H264" not in WITHOUT
    with pytest.raises(OfferRefused) as caught:
        parse_offer(WITHOUT)
    assert caught.value.why == "no-h264"
