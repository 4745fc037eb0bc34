"""From checks to entries: what is written when, and that no time beside a break counts as held."""

from __future__ import annotations

import re

from monitor.evidence.entries import Draft, read_body
from monitor.evidence.finding import Finding, broken, holds, impossible, said, skipped
from monitor.evidence.watch_spans import MAX_BETWEEN_MS, SPAN_MS, WatchSpans, verdict_of

T0 = 1_800_000_000_000
EVERY = 30_000
GOOD = [holds(6), holds(5)]
BAD = [broken(6, said("machine.core-pattern")), holds(5)]


def told(drafts: list[Draft]) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for draft in drafts:
        body = dict(read_body(draft.body))
        body.pop("finding", None)
        numbers = [value - T0 if isinstance(value, int) and value > T0 / 2 else value for value in body.values()]
        found.append((draft.kind, *(f"{name}={value}" for name, value in zip(body, numbers, strict=True))))
    return found


def watch(from_ms: int, to_ms: int, checks: int, broken: list[int], not_checked: list[int]) -> tuple[object, ...]:
    named = f"broken={broken} checks={checks} from_ms={from_ms} not_checked={not_checked} ok={not broken} to_ms={to_ms}"
    return ("watch", *re.split(r" (?=[a-z])", named))


def looked(spans: WatchSpans, at: int, findings: list[Finding], ok: bool = True) -> list[tuple[object, ...]]:
    return told(spans.looked(T0 + at, findings, ok))


def test_a_quiet_day_is_written_every_five_minutes() -> None:
    spans, written = WatchSpans(), []
    for at in range(0, 2 * SPAN_MS + 1, EVERY):
        written += looked(spans, at, GOOD)
    assert written == [watch(0, SPAN_MS, 11, [], []), watch(SPAN_MS, 2 * SPAN_MS, 10, [], [])]
    assert told(spans.so_far()) == [], "all is written"
    assert told(spans.stop(T0 + 2 * SPAN_MS + 5)) == [("stop", f"ended_ms={2 * SPAN_MS + 5}")]


def test_a_break_counts_from_the_check_before_it_and_until_it_is_mended() -> None:
    spans = WatchSpans()
    assert looked(spans, 0, GOOD) == []
    assert looked(spans, EVERY, GOOD) == []
    assert looked(spans, 2 * EVERY, BAD) == [
        watch(0, EVERY, 2, [], []),
        ("break", "row=6", f"seen_ms={2 * EVERY}", f"since_ms={EVERY}"),
    ]
    assert looked(spans, 3 * EVERY, BAD) == [], "it is written once"
    assert looked(spans, 4 * EVERY, GOOD) == [
        watch(EVERY, 4 * EVERY, 2, [6], []),
        ("mended", f"mended_ms={4 * EVERY}", "row=6", f"since_ms={EVERY}"),
    ]
    assert told(spans.so_far()) == [watch(4 * EVERY, 4 * EVERY, 1, [], [])]


def test_the_first_check_may_see_a_break() -> None:
    spans = WatchSpans()
    assert looked(spans, 7, BAD) == [("break", "row=6", "seen_ms=7", "since_ms=7")]


def test_a_second_row_and_one_mended_of_two() -> None:
    spans = WatchSpans()
    both = [broken(6, said("a.b")), broken(5, said("a.b"))]
    looked(spans, 0, BAD)
    assert [each[0] for each in looked(spans, EVERY, both)] == ["watch", "break"]
    assert [each[:2] for each in looked(spans, 2 * EVERY, BAD)][1] == ("mended", f"mended_ms={2 * EVERY}")
    assert told(spans.so_far()) == [watch(2 * EVERY, 2 * EVERY, 1, [6], [])]


def test_said_ahead_it_is_not_written_twice() -> None:
    spans = WatchSpans()
    looked(spans, 0, GOOD)
    assert [each[0] for each in told(spans.broke(T0 + EVERY, BAD[0]))] == ["break"]
    assert spans.broke(T0 + EVERY, BAD[0]) == []
    assert [each[0] for each in looked(spans, EVERY, BAD)] == ["watch"]
    assert [each[0] for each in told(spans.mended(T0 + 2 * EVERY, 6))] == ["mended"]
    assert spans.mended(T0 + 2 * EVERY, 6) == []
    assert looked(spans, 2 * EVERY, GOOD) == [watch(0, 2 * EVERY, 1, [6], [])]


def test_checks_too_far_apart_leave_a_gap() -> None:
    for later in (EVERY + MAX_BETWEEN_MS + 1, EVERY - 1):
        spans = WatchSpans()
        looked(spans, 0, GOOD)
        looked(spans, EVERY, GOOD)
        assert looked(spans, later, GOOD) == [watch(0, EVERY, 2, [], [])]
        assert told(spans.so_far()) == [watch(later, later, 1, [], [])]
    spans = WatchSpans()
    looked(spans, 0, GOOD)
    assert looked(spans, MAX_BETWEEN_MS, GOOD) == [], "negative control"


def test_a_break_after_a_gap_does_not_reach_over_it() -> None:
    spans = WatchSpans()
    looked(spans, 0, GOOD)
    after = MAX_BETWEEN_MS + 1
    assert looked(spans, after, BAD)[-1] == ("break", "row=6", f"seen_ms={after}", f"since_ms={after}")


def test_what_is_not_checked_is_kept_apart() -> None:
    part = [holds(6), skipped(5, said("a.b")), impossible(14, said("a.b"))]
    assert verdict_of(part).not_checked == {5, 14}
    assert verdict_of(part).ok
    assert not verdict_of(part, ok=False).ok
    assert not verdict_of(BAD, ok=True).ok, "a broken row is never ok"
    spans = WatchSpans()
    looked(spans, 0, part)
    assert looked(spans, EVERY, GOOD) == [watch(0, EVERY, 1, [], [5, 14])]


def test_not_ok_without_a_row_is_broken_time() -> None:
    spans = WatchSpans()
    looked(spans, 0, GOOD)
    looked(spans, EVERY, GOOD)
    assert looked(spans, 2 * EVERY, GOOD, ok=False) == [watch(0, EVERY, 2, [], [])], "held no longer than seen"
