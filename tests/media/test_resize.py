"""Cutting payloads anew: however a camera cuts its NAL units, the same bytes come out, and never too many at once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.media import h264
from monitor.media.resize import Resizer

LIMIT = 100
NALS = st.builds(
    lambda header, body: bytes([header]) + body,
    st.builds(lambda nri, kind: nri << 5 | kind, st.integers(0, 3), st.integers(1, 23)),
    st.binary(max_size=600),
)


def fragments(nal: bytes, sizes: Sequence[int]) -> list[bytes]:
    """FU-A of these body sizes, and one of what is left (RFC 6184 section 5.8)."""
    parts, body = [], nal[1:]
    for size in sizes:
        parts.append(body[:size])
        body = body[size:]
    parts.append(body)
    last = len(parts) - 1
    return [
        bytes([nal[0] & 0xE0 | 28, (nal[0] & 0x1F) | (0x80 if at == 0 else 0) | (0x40 if at == last else 0)]) + part
        for at, part in enumerate(parts)
    ]


def stap_a(nals: Sequence[bytes]) -> bytes:
    return b"\x78" + b"".join(len(nal).to_bytes(2, "big") + nal for nal in nals)


def put_together(payloads: Sequence[bytes]) -> list[bytes]:
    """The NAL units in payloads, by a reader of its own that is strict about start and end bits."""
    nals: list[bytes] = []
    open_unit: bytearray | None = None
    for payload in payloads:
        kind = payload[0] & 0x1F
        if kind == 28:
            start, end = bool(payload[1] & 0x80), bool(payload[1] & 0x40)
            assert not (start and end), "RFC 6184 section 5.8: never both"
            assert start == (open_unit is None), "a start in the middle, or none at the beginning"
            if open_unit is None:
                open_unit = bytearray([payload[0] & 0xE0 | payload[1] & 0x1F])
            assert open_unit[0] == payload[0] & 0xE0 | payload[1] & 0x1F
            open_unit += payload[2:]
            if end:
                nals.append(bytes(open_unit))
                open_unit = None
            continue
        assert open_unit is None, "something else in the middle of a NAL unit"
        if kind == 24:
            rest = payload[1:]
            while rest:
                size = int.from_bytes(rest[:2], "big")
                nals.append(rest[2 : 2 + size])
                rest = rest[2 + size :]
        else:
            nals.append(payload)
    assert open_unit is None, "an end is missing"
    return nals


def resize(payloads: Sequence[bytes], limit: int = LIMIT) -> list[bytes]:
    resizer = Resizer(limit)
    out = [bytes(piece) for payload in payloads for piece in resizer.feed(memoryview(payload))]
    assert not resizer.waiting
    return out


@st.composite
def ways(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """NAL units, and some way of carrying them."""
    nals: list[bytes] = []
    payloads: list[bytes] = []
    for _ in range(draw(st.integers(1, 5))):
        way = draw(st.sampled_from(["single", "fragments", "together"]))
        if way == "together":
            some = draw(st.lists(NALS, min_size=1, max_size=4))
            nals += some
            payloads.append(stap_a(some))
            continue
        nal = draw(NALS)
        nals.append(nal)
        sizes = draw(st.lists(st.integers(0, 300), min_size=1, max_size=6))
        payloads += fragments(nal, sizes) if way == "fragments" else [nal]
    return nals, payloads


@settings(max_examples=200, deadline=None)
@given(ways(), st.integers(64, 300))
def test_every_way_of_cutting_gives_the_same_bytes(way: tuple[list[bytes], list[bytes]], limit: int) -> None:
    nals, payloads = way
    assert put_together(payloads) == nals, "the test's own tools"
    out = resize(payloads, limit)
    assert put_together(out) == nals
    assert all(0 < len(payload) <= limit for payload in out)


@settings(max_examples=100, deadline=None)
@given(NALS, st.integers(64, 300))
def test_pieces_are_of_one_size_but_for_the_last(nal: bytes, limit: int) -> None:
    """So that one segmented send can carry them."""
    for payloads in (resize([nal], limit), resize(fragments(nal, [400]), limit)):
        sizes = [len(payload) for payload in payloads]
        assert len(set(sizes[:-1])) <= 1
        assert len(sizes) == 1 or sizes[-1] <= sizes[0] + 1


def test_what_fits_goes_on_untouched_and_uncopied() -> None:
    resizer = Resizer(LIMIT)
    for payload in (b"\x41" * LIMIT, *fragments(b"\x65" + bytes(200), [90, 90]), stap_a([b"\x67abc", b"\x68d"])):
        view = memoryview(payload)
        assert list(resizer.feed(view)) == [view]
        assert next(iter(resizer.feed(view))) is view


def test_a_later_fragment_that_grew_is_cut_too() -> None:
    nal = b"\x65" + bytes(range(256)) * 2
    assert put_together(resize(fragments(nal, [50, 50, 300, 20]))) == [nal]


def test_pieces_go_out_as_soon_as_they_are_full() -> None:
    resizer = Resizer(LIMIT)
    first, second, last = fragments(b"\x65" + bytes(500), [250, 200])
    assert [len(piece) for piece in resizer.feed(memoryview(first))] == [100, 100]  # 196 of 250 bytes
    assert resizer.waiting
    assert [len(piece) for piece in resizer.feed(memoryview(second))] == [100, 100]  # 196 of 54 + 200
    assert len(list(resizer.feed(memoryview(last)))) == 2  # 58 + 50 bytes
    assert not resizer.waiting


def test_an_empty_last_fragment_ends_the_unit() -> None:
    nal = b"\x65" + bytes(range(200))
    payloads = fragments(nal, [200])
    assert len(payloads[-1]) == 2
    assert put_together(resize(payloads)) == [nal]


def test_reset_zeroes_what_waits() -> None:
    resizer = Resizer(LIMIT)
    list(resizer.feed(memoryview(fragments(b"\x65" + b"canary" * 40, [150])[0])))
    held = resizer._held
    assert b"canary" in held, "the negative control"
    resizer.reset()
    assert not resizer.waiting
    assert resizer._held is held
    assert not any(held)


def test_what_went_out_is_zeroed_too() -> None:
    resizer = Resizer(LIMIT)
    for payload in fragments(b"\x65" + b"canary" * 100, [150, 97, 200]):
        list(resizer.feed(memoryview(payload)))
        assert not any(resizer._held[resizer._length :])
    assert not any(resizer._held)


def test_less_than_a_packet_ever_waits() -> None:
    resizer = Resizer(LIMIT)
    for payload in fragments(b"\x65" + bytes(5000), [201] * 20):
        list(resizer.feed(memoryview(payload)))
        assert resizer._length <= len(resizer._held) < LIMIT


def test_after_a_reset_the_rest_of_a_unit_goes_on_as_it_is() -> None:
    """A packet was lost: the viewer sees the gap, and throws the unit away itself."""
    nal = b"\x65" + bytes(400)
    payloads = fragments(nal, [150, 90, 90])
    resizer = Resizer(LIMIT)
    list(resizer.feed(memoryview(payloads[0])))
    resizer.reset()
    assert [bytes(piece) for piece in resizer.feed(memoryview(payloads[2]))] == [payloads[2]]
    # … and the next one is whole
    after = [bytes(p) for payload in fragments(b"\x41" + bytes(300), [250]) for p in resizer.feed(memoryview(payload))]
    assert put_together(after) == [b"\x41" + bytes(300)]


@pytest.mark.parametrize("other", [b"\x41abc", stap_a([b"\x67abc"]), b"\x7c"], ids=["single", "together", "broken"])
def test_a_unit_that_is_broken_off_leaves_nothing_behind(other: bytes) -> None:
    resizer = Resizer(LIMIT)
    list(resizer.feed(memoryview(fragments(b"\x65" + bytes(400), [250])[0])))
    assert resizer.waiting
    assert [bytes(piece) for piece in resizer.feed(memoryview(other))] == [other]
    assert not resizer.waiting


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=12))
def test_random_payloads_never_raise_and_never_grow(payloads: list[bytes]) -> None:
    resizer = Resizer(LIMIT)
    for payload in payloads:
        assert all(len(piece) <= LIMIT for piece in resizer.feed(memoryview(payload)))
        assert resizer._length <= len(resizer._held) < LIMIT


@pytest.mark.parametrize("inner", [0x18, 0x1C, 0x00, 0x1F])
def test_types_that_make_no_sense_inside_are_left_out(inner: int) -> None:
    payload = stap_a([bytes([inner]) + bytes(150), b"\x41" + bytes(150)])
    assert put_together(resize([payload])) == [b"\x41" + bytes(150)]
    assert h264.nal_type(payload) == h264.STAP_A
