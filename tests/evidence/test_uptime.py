"""Uptime: every millisecond of a period is counted once, and none as held that nobody looked at."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.evidence import entries as kinds
from monitor.evidence.chain import Entry
from monitor.evidence.entries import Draft
from monitor.evidence.finding import broken, holds, said
from monitor.evidence.uptime import Uptime, uptime, written_until
from monitor.evidence.watch_spans import MAX_BETWEEN_MS, SPAN_MS, WatchSpans

HOUR = 3_600_000
WHY = said("machine.core-pattern", pattern="|x")


def written(drafts: Iterable[Draft]) -> list[Entry]:
    return [Entry(seq, 0, draft.kind, draft.body, "", "", "") for seq, draft in enumerate(drafts, 1)]


def start(at: int) -> Draft:
    return kinds.start("1", "", at, 0)


def held(begin: int, end: int) -> Draft:
    return kinds.watch(begin, end, 2, True, [], [])


def not_held(begin: int, end: int, row: int = 6) -> Draft:
    return kinds.watch(begin, end, 2, True, [row], [])


def break_of(row: int, since: int, seen: int) -> Draft:
    return kinds.row_broken(broken(row, WHY), since, seen)


def sums(found: Uptime) -> tuple[int, int, int, int]:
    return found.held_ms, found.broken_ms, found.off_ms, found.unknown_ms


def of(drafts: Iterable[Draft], from_ms: int, to_ms: int) -> tuple[int, int, int, int]:
    return sums(uptime(written(drafts), from_ms, to_ms))


def test_nothing_is_known_of_what_nobody_wrote() -> None:
    assert of([], 0, 100) == (0, 0, 0, 100)
    assert of([kinds.report("", True, []), kinds.pruned(3, "", 5)], 0, 100) == (0, 0, 0, 100)


def test_a_day_with_all_of_it() -> None:
    day = [
        start(10),
        held(20, 50),
        not_held(50, 70),
        break_of(6, 50, 60),
        kinds.row_mended(6, 50, 70),
        held(70, 90),
        kinds.stop(90),
        start(95),
        held(97, 110),
    ]
    found = uptime(written(day), 0, 120)
    assert sums(found) == (30 + 20 + 13, 20, 5, 20 + 2 + 10)
    (only,) = found.breaks
    assert (only.row, only.from_ms, only.to_ms, only.why) == (6, 50, 70, (WHY,))
    assert of(day, 40, 60) == (10, 10, 0, 0), "cut to the period"
    assert of(day, 91, 94) == (0, 0, 3, 0)
    assert of(day, 60, 60) == (0, 0, 0, 0)


def test_a_crash_is_unknown_and_a_stop_is_off() -> None:
    assert of([start(0), held(0, 50), start(80), held(80, 100)], 0, 100) == (70, 0, 0, 30)
    assert of([start(0), held(0, 50), kinds.stop(50), start(80), held(80, 100)], 0, 100) == (70, 0, 30, 0)
    assert of([start(0), held(0, 50), kinds.stop(50)], 0, 100) == (50, 0, 50, 0)
    stopped = [held(0, 50), kinds.stop(50), kinds.report("", True, []), kinds.pruned(1, "", 0)]
    assert of(stopped, 60, 100) == (0, 0, 40, 0), "an audit of a site that is off does not start it"
    watched = of([kinds.stop(50), held(70, 90)], 0, 100)
    assert watched == (20, 0, 0, 80), "a server ran, and since when is not known: what is watched is not off"


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_break_ends_with_its_server(after: int) -> None:
    begin = [start(0), held(0, 20), break_of(6, 20, 25), not_held(20, 40)]
    ends = [[kinds.stop(45)], [start(60)], []][after]
    (only,) = uptime(written([*begin, *ends]), 0, 100).breaks
    assert only.to_ms == (45, 40, None)[after]
    assert of([*begin, *ends], 0, 100) == [(20, 25, 55, 0), (20, 20, 0, 60), (20, 20, 0, 60)][after]


def test_a_break_whose_mending_was_lost_ends_where_the_watch_saw_it_hold() -> None:
    story = [held(0, 20), break_of(6, 20, 25), not_held(20, 40), held(40, 60)]
    (only,) = uptime(written(story), 0, 60).breaks
    assert (only.from_ms, only.to_ms) == (20, 40)
    assert of(story, 0, 60) == (40, 20, 0, 0)


@pytest.mark.parametrize("begin", [0, 20])
def test_the_span_that_a_break_ended_does_not_mend_it(begin: int) -> None:
    """It is written behind the break, and may be one check long."""
    story = [break_of(6, 20, 25), held(begin, 20), not_held(20, 40), kinds.row_mended(6, 20, 40), held(40, 60)]
    (only,) = uptime(written(story), 0, 60).breaks
    assert (only.from_ms, only.to_ms) == (20, 40)


def test_a_break_that_lasts_over_a_gap_is_broken_all_the_time() -> None:
    story = [break_of(6, 20, 25), not_held(20, 30), not_held(50, 60), kinds.row_mended(6, 20, 60), held(60, 70)]
    assert of(story, 0, 70) == (10, 40, 0, 20)


def test_claims_that_contradict_each_other_are_not_held() -> None:
    assert of([held(0, 60), not_held(40, 80)], 0, 100) == (40, 40, 0, 20)
    assert of([kinds.stop(20), start(80), held(40, 60)], 0, 100) == (0, 0, 40, 60), "held while off: not known"
    assert of([held(10, 60), held(40, 80)], 0, 100) == (70, 0, 0, 30), "counted once"


def test_breaks_outside_the_period_are_not_its() -> None:
    story = [break_of(6, 10, 11), kinds.row_mended(6, 10, 20), break_of(5, 40, 41), kinds.row_mended(5, 40, 90)]
    assert [each.row for each in uptime(written(story), 0, 100).breaks] == [6, 5]
    assert [each.row for each in uptime(written(story), 30, 60).breaks] == [5]
    assert uptime(written(story), 21, 40).breaks == ()


@pytest.mark.parametrize(
    "body",
    ["", "[]", "7", "{", '{"from_ms":"0","to_ms":9}', '{"from_ms":0,"to_ms":90}', '{"ok":1,"from_ms":0,"to_ms":90}'],
)
def test_what_is_malformed_says_nothing(body: str) -> None:
    entries = [Entry(1, 0, kind, body, "", "", "") for kind in ("watch", "break", "mended", "stop", "start", "odd")]
    assert uptime(entries, 0, 100).held_ms == 0


def test_a_period_has_a_direction() -> None:
    with pytest.raises(ValueError, match="end before"):
        uptime([], 10, 9)


def test_what_the_server_has_not_written_yet_is_not_in_a_reports_period() -> None:
    now = 10 * HOUR
    assert written_until(written([held(0, now - SPAN_MS)]), now) == now - SPAN_MS
    gone = SPAN_MS + MAX_BETWEEN_MS + 1
    assert written_until(written([held(0, now - gone)]), now) == now, "that is no server that runs"
    assert written_until([], now) == now
    assert written_until(written([held(0, now + 5)]), now) == now, "a clock that was set back explains nothing"


MOMENTS = st.integers(0, 200)
ROWS = st.integers(1, 20)
DRAFTS = st.one_of(
    st.builds(start, MOMENTS),
    st.builds(kinds.stop, MOMENTS),
    st.builds(lambda a, b, rows: kinds.watch(a, b, 1, True, rows, []), MOMENTS, MOMENTS, st.lists(ROWS, max_size=2)),
    st.builds(break_of, ROWS, MOMENTS, MOMENTS),
    st.builds(kinds.row_mended, ROWS, MOMENTS, MOMENTS),
    st.just(kinds.report("", True, [])),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(DRAFTS, max_size=14), MOMENTS, MOMENTS, MOMENTS)
def test_whatever_is_written_the_sums_are_the_period(drafts: list[Draft], a: int, b: int, c: int) -> None:
    begin, middle, end = sorted((a, b, c))
    entries = written(drafts)
    found = uptime(entries, begin, end)
    assert sum(sums(found)) == end - begin
    assert min(sums(found)) >= 0
    claimed = set()
    for entry in entries:
        body = kinds.read_body(entry.body)
        if entry.kind == "watch" and body["ok"]:
            claimed |= set(range(int(str(body["from_ms"])), int(str(body["to_ms"]))))
    assert found.held_ms <= len(claimed & set(range(begin, end))), "none held that no entry says"
    for each in found.breaks:
        assert each.to_ms is None or each.to_ms >= each.from_ms
    if not any(each.to_ms is None for each in found.breaks):
        halves = uptime(entries, begin, middle), uptime(entries, middle, end)
        assert [sum(pair) for pair in zip(*map(sums, halves), strict=True)] == list(sums(found))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 150), st.sampled_from(["good", "bad", "stop", "crash"])), max_size=40))
def test_from_checks_to_sums(steps: list[tuple[int, str]]) -> None:
    """A server's life second by second, against what really was."""
    now, spans, drafts, truth = 0, WatchSpans(), [start(0)], {}
    last: tuple[int, str] | None = None
    for seconds, what in steps:
        then, now = now, now + seconds * 1000
        if what in {"good", "bad"}:
            close = last is not None and now - last[0] <= MAX_BETWEEN_MS
            if close and last is not None:
                truth[then, now] = "held" if {last[1], what} == {"good"} else "broken"
            drafts += spans.looked(now, [holds(6) if what == "good" else broken(6, WHY)])
            last = (now, what)
        elif what == "stop":
            drafts += spans.stop(now)
            now += 7000
            truth[now - 7000, now] = "off"
            drafts.append(start(now))
            last = None
        else:
            spans, last = WatchSpans(), None
            drafts.append(start(now))
    drafts += spans.so_far()
    found = uptime(written(drafts), 0, now)
    expected = {
        state: sum(end - begin for (begin, end), each in truth.items() if each == state)
        for state in ("held", "broken", "off")
    }
    assert found.off_ms == expected["off"]
    # A crash loses up to five minutes of what was seen, and a break may last over a gap: never more held than true.
    assert found.held_ms <= expected["held"]
    if not any(what == "crash" for _, what in steps):
        assert found.held_ms == expected["held"]
        assert found.broken_ms >= expected["broken"]


def test_a_hundred_days_are_summed_in_no_time() -> None:
    rng = random.Random(1)
    story = [start(0)]
    for at in range(0, 100 * 24 * HOUR, 300_000):
        story.append(held(at, at + 300_000) if rng.random() < 0.999 else not_held(at, at + 300_000))
    entries = written(story)
    began = time.process_time()
    found = uptime(entries, 30 * 24 * HOUR, 100 * 24 * HOUR)
    assert time.process_time() - began < 3
    assert sum(sums(found)) == 70 * 24 * HOUR
    assert found.unknown_ms == 0
