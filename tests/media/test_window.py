"""The window: nothing lives in it longer than its bound, and what is gone is zero. Each with its negative control."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.media.window import EXPIRE_EVERY_MS, MAX_PAYLOAD, Window

MARK = b"\x65canary-7f3a9c"
SMALL = 64 * MAX_PAYLOAD
"""The smallest ring there is: 64 slots."""


def memory(window: Window) -> bytes:
    return bytes(window._memory)


def filled(count: int, *, seconds: float = 2.0, octets: int = SMALL, every_ms: float = 10.0) -> Window:
    window = Window(seconds, octets)
    for number in range(count):
        window.append(MARK + number.to_bytes(4, "big"), number, number % 5 == 4, number * every_ms)
    return window


# ---- what it holds ---------------------------------------------------------------------------------------------------


def test_what_goes_in_comes_out() -> None:
    window = filled(50)
    for number in range(50):
        assert window.payload(number) == MARK + number.to_bytes(4, "big")
        slot = number % window.slots
        assert (window.timestamps[slot], bool(window.markers[slot])) == (number, number % 5 == 4)
    assert window.payload(50) is window.payload(-1) is None
    assert (window.first, window.end, window.octets) == (0, 50, 50 * (len(MARK) + 4))
    assert not window.overrun


@pytest.mark.parametrize("size", [1, MAX_PAYLOAD - 1, MAX_PAYLOAD])
def test_payloads_up_to_a_whole_slot(size: int) -> None:
    window = Window(2.0, SMALL)
    for number in range(3):
        window.append(bytes([number + 1]) * size, 0, False, 0.0)
    assert [window.payload(number) for number in range(3)] == [bytes([n + 1]) * size for n in range(3)]


def test_a_payload_larger_than_a_slot_is_refused_and_changes_nothing() -> None:
    window = filled(3)
    with pytest.raises(ValueError, match="larger than a slot"):
        window.append(bytes(MAX_PAYLOAD + 1), 0, False, 30.0)
    assert (window.first, window.end) == (0, 3)
    assert window.payload(2) == MARK + (2).to_bytes(4, "big")


@pytest.mark.parametrize(("octets", "slots"), [(0, 64), (65536, 64), (64 * MAX_PAYLOAD, 64), (1 << 20, 748)])
def test_its_size_is_bounded_by_octets(octets: int, slots: int) -> None:
    window = Window(2.0, octets)
    assert window.slots == slots
    assert len(window._memory) == slots * MAX_PAYLOAD


def test_the_oldest_is_overwritten_when_the_ring_is_full() -> None:
    window = filled(64 * 3 + 7)
    assert window.overrun
    assert (window.first, window.end) == (64 * 2 + 7, 64 * 3 + 7)
    for number in range(64 * 3 + 7):
        held = window.payload(number)
        assert held is None if number < window.first else held == MARK + number.to_bytes(4, "big")
    assert memory(window).count(MARK) == 64


def test_a_long_payload_leaves_nothing_behind_a_short_one() -> None:
    window = Window(2.0, SMALL)
    for _ in range(64):
        window.append(MARK * 90, 0, False, 0.0)
    for _ in range(64):
        window.append(b"x", 0, False, 1.0)
    assert MARK not in memory(window)
    assert memory(window).count(b"x") == 64


# ---- time ------------------------------------------------------------------------------------------------------------


def test_expire_zeroes_what_is_old_and_nothing_else() -> None:
    window = filled(60, every_ms=50.0)  # 0 … 2950 ms
    assert memory(window).count(MARK) == 60, "the negative control: before it expires it is there"
    window.expire(3000.0)
    limit = 3000.0 - window.max_age_ms
    held = [number for number in range(60) if number * 50.0 > limit]
    assert (window.first, window.end) == (held[0], 60)
    assert memory(window).count(MARK) == len(held)
    assert window.octets == len(held) * (len(MARK) + 4)
    window.expire(10_000.0)
    assert MARK not in memory(window)
    assert not any(memory(window))
    assert window.first == window.end == 60
    assert window.keyframe is None


def test_expire_across_the_end_of_the_ring() -> None:
    window = filled(64 + 30, every_ms=10.0)  # first is 30, its slot too; the end's slot is 30
    window.expire(800.0 + window.max_age_ms)  # everything up to index 80: slots 30 … 63 and 0 … 16
    assert (window.first, window.end) == (81, 94)
    assert memory(window).count(MARK) == 13
    for number in range(81, 94):
        assert window.payload(number) == MARK + number.to_bytes(4, "big")


def test_clear_zeroes_all() -> None:
    window = filled(64 + 30)
    window.mark_keyframe(90)
    assert memory(window).count(MARK) == 64, "the negative control"
    window.clear(950.0)
    assert not any(memory(window))
    assert window.keyframe is None
    assert window.first == window.end == 94, "an index never names another packet"
    assert window.append(b"new", 0, False, 960.0) == 94
    assert window.payload(94) == b"new"


def test_clear_zeroes_even_what_is_not_held() -> None:
    window = Window(2.0, SMALL)
    window._view[5000 : 5000 + len(MARK)] = MARK
    window.clear(0.0)
    assert not any(memory(window))


class Step(NamedTuple):
    wait: float
    size: int
    late: float


STEPS = st.lists(
    st.builds(Step, st.floats(0, 400), st.integers(0, MAX_PAYLOAD), st.sampled_from([0.0, 0.0, 0.0, 5.0, 80.0])),
    max_size=120,
)


@settings(max_examples=120, deadline=None)
@given(STEPS, st.sampled_from([0.5, 1.0, 2.0]), st.floats(1, EXPIRE_EVERY_MS))
def test_nothing_lives_longer_than_the_bound(steps: list[Step], seconds: float, tick: float) -> None:
    """A model beside it: what was put in when, and what of it is still there. Packets may come a little late (a UDP
    source puts them in order), ticks at most EXPIRE_EVERY_MS apart."""
    window = Window(seconds, SMALL)
    bound = seconds * 1000
    now, next_tick = 1000.0, 1000.0
    born: dict[int, float] = {}
    longest = 0.0

    def look() -> None:
        nonlocal longest
        for index in [index for index in born if index < window.first]:
            del born[index]
        longest = max([longest, *(now - arrival for arrival in born.values())])

    for step in steps:
        until = now + step.wait
        while next_tick <= until:
            now = next_tick
            look()
            window.expire(now)
            look()
            assert all(now - arrival < window.max_age_ms for arrival in born.values())
            next_tick += tick
        now = until
        arrival = now - step.late
        if len(born) == window.slots:
            look()
        born[window.append(bytes([1]) * step.size, 0, False, arrival)] = arrival
        look()
        assert set(born) == set(range(window.first, window.end))
    for _ in range(int((bound + EXPIRE_EVERY_MS) / tick) + 2):
        now += tick
        look()
        window.expire(now)
    assert not any(memory(window))
    assert longest < bound
    assert window.residency_max_ms < bound
    assert window.residency_max_ms >= longest - 1e-6, "the published figure must not be kinder than the truth"


def test_without_ticks_the_bound_is_broken_and_the_figure_says_so() -> None:
    """The negative control of the one above."""
    window = filled(10)
    window.expire(5000.0)
    assert window.residency_max_ms == 5000.0


def test_a_packet_put_in_order_late_does_not_outlive_its_time() -> None:
    window = Window(2.0, SMALL)
    window.append(b"first to leave the camera", 0, False, 1080.0)
    window.append(b"first to arrive", 0, False, 1000.0)
    window.expire(1000.0 + window.max_age_ms)
    assert window.payload(1) is None
    assert window.residency_max_ms == window.max_age_ms


def test_the_residency_counts_what_the_ring_pushed_out() -> None:
    window = Window(2.0, SMALL)
    for number in range(65):
        window.append(b"x", 0, False, number * 10.0)
    assert window.residency_max_ms == 640.0


# ---- gaps and keyframes ----------------------------------------------------------------------------------------------


def test_skipped_indexes_are_gaps() -> None:
    window = filled(3)
    window.skip(4, 30.0)
    assert window.append(b"after", 0, True, 31.0) == 7
    assert [window.payload(number) is None for number in range(8)] == [False] * 3 + [True] * 4 + [False]
    assert window.octets == 3 * (len(MARK) + 4) + 5


def test_a_keyframe_counts_as_long_as_it_is_held() -> None:
    window = filled(10, every_ms=100.0)
    assert window.keyframe is None
    window.mark_keyframe(4)
    assert window.keyframe == 4
    window.expire(400.0 - 1 + window.max_age_ms)
    assert window.keyframe == 4
    window.expire(400.0 + window.max_age_ms)
    assert window.first == 5
    assert window.keyframe is None


def test_a_keyframe_that_the_ring_pushed_out_is_gone() -> None:
    window = filled(1)
    window.mark_keyframe(0)
    for _ in range(63):
        window.append(b"x", 0, False, 1.0)
    assert window.keyframe == 0
    window.append(b"x", 0, False, 1.0)
    assert window.keyframe is None


def test_a_damaged_keyframe_is_not_offered() -> None:
    window = filled(10)
    window.mark_keyframe(4)
    window.unmark_keyframe()
    assert window.keyframe is None
    window.mark_keyframe(8)
    assert window.keyframe == 8


# ---- the mapping -----------------------------------------------------------------------------------------------------


class Mapping(NamedTuple):
    permissions: str
    inode: int
    flags: str


def mapping_of(address: int) -> Mapping:
    """What the kernel says of the mapping that holds an address."""
    found: tuple[str, int] | None = None
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if head := re.match(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)", line):
            inside = int(head[1], 16) <= address < int(head[2], 16)
            found = (head[3], int(head[4])) if inside else None
        elif found and line.startswith("VmFlags:"):
            return Mapping(*found, line)
    raise AssertionError("no such mapping")


def address_of(window: Window) -> int:
    return int(window._rows.ctypes.data)


def test_the_mapping_is_private_anonymous_and_left_out_of_core_dumps() -> None:
    window = Window(2.0, 1 << 20)
    window.append(MARK, 0, False, 0.0)
    assert ctypes.string_at(address_of(window), len(MARK)) == MARK
    mapping = mapping_of(address_of(window))
    assert (mapping.permissions, mapping.inode) == ("rw-p", 0)
    assert " dd " in f"{mapping.flags} ", "not left out of core dumps"


def test_another_mapping_would_have_been_seen() -> None:
    """The negative control: a shared mapping, and memory that is not left out."""
    import mmap

    with mmap.mmap(-1, 1 << 20) as shared:  # Python's default is MAP_SHARED
        rows = np.frombuffer(shared, np.uint8)
        mapping = mapping_of(int(rows.ctypes.data))
        assert mapping.permissions == "rw-s"
        assert mapping.inode != 0
        assert " dd " not in f"{mapping.flags} "
        del rows
