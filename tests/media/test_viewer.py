"""One viewer: its table of states, its sequence numbers over skips and wraps, and when its time is up."""

from __future__ import annotations

import datetime
import itertools
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.media import viewer as module
from monitor.media.dtls import DtlsIdentity, DtlsServer
from monitor.media.offer import Codec, Offer
from monitor.media.viewer import CONNECT_MS, CONSENT_MS, MOVES, SEGMENTS, Viewer, ViewerState

IDENTITY = DtlsIdentity(datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC))
CODEC = Codec(102, "42e01f")
OFFER = Offer("0", 0, [], "ufrag", "pwd", [("sha-256", "AB")], [CODEC])


def viewer(state: ViewerState = ViewerState.CHECKING, next_packet: int | None = None) -> Viewer:
    made = Viewer("v" * 16, "bay-1", OFFER, CODEC, DtlsServer(IDENTITY, OFFER.fingerprints), created_ms=1000.0)
    made.state = state
    if next_packet is not None:
        made._next_packet = next_packet
    return made


# ---- states ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "to"), list(itertools.product(ViewerState, ViewerState)))
def test_the_whole_table(state: ViewerState, to: ViewerState, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, module.__name__)
    one = viewer(state)
    moved = one.set_state(to)
    assert moved == (to in MOVES[state])
    assert one.state is (to if moved else state)
    expected = [f"viewer of bay-1: {state.value} -> {to.value}"] if moved else []
    assert [record.getMessage() for record in caplog.records] == expected


def test_the_table_leads_forward_only() -> None:
    assert set(MOVES) == set(ViewerState)
    order = list(ViewerState)
    for state, following in MOVES.items():
        assert all(order.index(to) > order.index(state) for to in following)
        assert state is ViewerState.CLOSED or ViewerState.CLOSED in following
    assert MOVES[ViewerState.CHECKING] == {ViewerState.HANDSHAKING, ViewerState.CLOSED}, "no keys without a handshake"


def test_each_viewer_has_its_own_secrets() -> None:
    some = [viewer() for _ in range(20)]
    for name in ("ufrag", "pwd", "ssrc"):
        assert len({getattr(one, name) for one in some}) == 20
    assert all(0 < one.ssrc <= 0xFFFFFFFF for one in some)
    assert all(len(one.ufrag) >= 4 and len(one.pwd) >= 22 for one in some)  # RFC 8445 section 5.3
    assert all(0 <= one._next_packet < 1 << 15 for one in some)


@pytest.mark.parametrize(
    ("state", "check_ms", "now", "why"),
    [
        (ViewerState.CHECKING, 0.0, 1000 + CONNECT_MS, None),
        (ViewerState.CHECKING, 0.0, 1001 + CONNECT_MS, "never-connected"),
        (ViewerState.HANDSHAKING, 1000 + CONNECT_MS, 1001 + CONNECT_MS, "never-connected"),
        (ViewerState.WATCHING, 50_000.0, 50_000 + CONSENT_MS, None),
        (ViewerState.WATCHING, 50_000.0, 50_001 + CONSENT_MS, "consent-lost"),
    ],
)
def test_when_its_time_is_up(state: ViewerState, check_ms: float, now: float, why: str | None) -> None:
    one = viewer(state)
    one.last_check_ms = check_ms
    assert one.overdue(now) == why


@pytest.mark.parametrize(
    ("reports", "verdicts"),
    [
        ([0.1, 0.2, 0.25, 0.1], [False] * 4),
        ([0.9, 0.0, 0.9, 0.0], [False] * 4),
        ([0.3, 0.3], [False, True]),
        ([0.3, 0.3, 0.3, 0.3], [False, True, False, True]),
    ],
)
def test_heavy_loss_counts_when_it_lasts(reports: list[float], verdicts: list[bool]) -> None:
    one = viewer(ViewerState.WATCHING)
    assert [one.note_loss(report) for report in reports] == verdicts


# ---- sequence numbers ------------------------------------------------------------------------------------------------


def test_it_starts_where_its_sequence_numbers_start() -> None:
    one = viewer(next_packet=500)
    one.begin_at(9000)
    assert (one.next_index, one.offset) == (9000, 500 - 9000)
    one.sent_until(9010, 10, 1234)
    assert (one.next_index, one.packets, one.octets) == (9010, 10, 1234)
    assert one.locate(500) == (9000, 500 - 9000)
    assert one.locate(509) == (9009, 500 - 9000)
    assert one.locate(510) is None, "not sent yet"
    assert one.locate(499) is None, "never sent"


def test_a_skip_leaves_no_gap_in_the_sequence_numbers() -> None:
    one = viewer(next_packet=100)
    one.begin_at(1000)
    one.sent_until(1010, 10, 0)
    one.wait_for_keyframe(1200, skipped=True)
    assert (one.next_index, one.resume_after, one.skips) == (None, 1200, 1)
    one.wait_for_keyframe(1300, skipped=True)
    assert one.skips == 1, "it was waiting already"
    one.begin_at(2000)
    one.sent_until(2005, 5, 0)
    assert [one.locate(sequence)[0] for sequence in range(100, 115)] == [  # type: ignore[index]
        *range(1000, 1010),
        *range(2000, 2005),
    ]


def test_waiting_without_a_skip_is_not_counted() -> None:
    one = viewer()
    one.begin_at(10)
    one.wait_for_keyframe(20, skipped=False)
    assert one.skips == 0


@pytest.mark.parametrize("start", [65530, 65535, 3 * 65536 - 4, (1 << 48) - 3])
def test_sequence_numbers_wrap(start: int) -> None:
    one = viewer(next_packet=start)
    one.begin_at(700)
    one.sent_until(700 + 20, 20, 0)
    if start + 20 < 1 << 48:
        for number in range(20):
            assert one.locate((start + number) & 0xFFFF) == (700 + number, start - 700)
    else:
        assert one._next_packet < 1 << 48


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 1 << 20),
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 300)), min_size=1, max_size=40),
)
def test_every_sequence_number_names_the_packet_that_bore_it(start: int, runs: list[tuple[int, int]]) -> None:
    """(packets left out, packets sent) again and again; the last SEGMENTS runs can be asked for."""
    one = viewer(next_packet=start)
    sent: list[tuple[int, int, int]] = []  # sequence, index, run
    index, packet = 0, start
    for run, (left_out, count) in enumerate(runs):
        index += left_out
        one.begin_at(index)
        one.sent_until(index + count, count, 0)
        sent += [(packet + number, index + number, run) for number in range(count)]
        index, packet = index + count, packet + count
    for number, at, run in sent:
        found = one.locate(number & 0xFFFF)
        if run >= len(runs) - SEGMENTS:
            assert found is not None
            assert found[0] == at
            assert (found[0] + found[1]) & 0xFFFF == number & 0xFFFF
        else:
            assert found is None, "better nothing than another packet"
