"""What the web pages reckon with, in a real Chromium under the real content security policy: time, age, events.

The modules are pure: times come in as arguments. Each test imports one as the pages do and asks it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser

Ask = Callable[..., Any]


def test_the_policy_is_the_real_one(blank: Page) -> None:
    """What the modules may not do is refused here too: an inline script does not run."""
    refused = blank.evaluate(
        """() => new Promise((resolve) => {
          addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective), { once: true });
          const script = document.createElement("script");
          script.append("globalThis.ran = true");
          document.head.append(script);
          setTimeout(resolve, 2000, "nothing was refused");
        })"""
    )
    assert refused.startswith(("script-src", "require-trusted-types"))
    assert blank.evaluate("() => globalThis.ran === undefined")


# ---- server-clock ----------------------------------------------------------------------------------------------------

CLOCK = """
const clock = new m.ServerClock();
for (const [service, page] of args[0]) clock.observe(service, page);
return clock.at(args[1]);
"""


def test_no_time_is_known_before_the_first_event(ask: Ask) -> None:
    assert ask("server-clock", CLOCK, [], 5000) is None


def test_the_quickest_event_sets_the_clock(ask: Ask) -> None:
    """Service time is page time + 1000 here; delays of 150, 20 and 900 ms: the error is the 20."""
    events = [[2000, 1150], [3000, 2020], [4000, 3900]]
    assert ask("server-clock", CLOCK, events, 5000) == 5980


def test_one_slow_event_sets_nothing_back(ask: Ask) -> None:
    events = [[1000 * n, 1000 * n + (4000 if n == 7 else 10)] for n in range(1, 20)]
    assert ask("server-clock", CLOCK, events, 20_000) == 19_990


def test_a_quick_event_of_long_ago_is_forgotten(ask: Ask) -> None:
    """A page clock that runs a little fast moves away from the server's: only the newest 30 events count."""
    events = [[0, 0], *([1000 * n, 1000 * n + 50] for n in range(1, 31))]
    assert ask("server-clock", CLOCK, events, 40_000) == 39_950
    assert ask("server-clock", CLOCK, events[:-1], 40_000) == 40_000


def test_a_new_connection_starts_from_nothing(ask: Ask) -> None:
    body = "const clock = new m.ServerClock(); clock.observe(9000, 10); clock.reset(); return clock.at(20)"
    assert ask("server-clock", body) is None


@pytest.mark.parametrize("wraps", [0, 1, 40_000])
def test_the_moment_of_a_timestamp_is_found_across_the_wrap(ask: Ask, wraps: int) -> None:
    """An RTP timestamp repeats after 2^32 / 90 ms, thirteen hours and a quarter: the nearest moment is meant."""
    wrap = 2**32 / 90
    cases = []
    for capture in (-1900, -400, -40, 0, 40, 500, 60_000):
        for delay in (-300, 0, 30, 1999, 30_000, 10_000_000):
            moment = wraps * wrap + 70_000 + capture if wraps == 0 else wraps * wrap + capture
            cases.append((int(moment * 90) % 2**32, moment + delay, moment))
    body = "return args[0].map(([rtp, near]) => m.captureMoment(rtp, near))"
    found = ask("server-clock", body, [[rtp, near] for rtp, near, _ in cases])
    for (rtp, near, moment), answer in zip(cases, found, strict=True):
        assert answer == pytest.approx(moment, abs=0.05), (rtp, near)


# ---- picture-age -----------------------------------------------------------------------------------------------------

FRESHNESS = """
const freshness = new m.Freshness("bay-1");
const seen = [];
for (const [what, ...times] of args[0]) {
  freshness[what](...times);
  seen.push(freshness.state);
}
return [seen, freshness.age(args[1] ?? 0)];
"""


def states(ask: Ask, steps: list[tuple[Any, ...]]) -> list[str]:
    seen: list[str] = ask("picture-age", FRESHNESS, [list(step) for step in steps])[0]
    return seen


def test_stale_is_over_2_seconds_and_not_before(ask: Ask) -> None:
    assert states(ask, [("tick", 0), ("frame", 1000, 1050), ("tick", 3000), ("tick", 3001)]) == [
        "none",
        "fresh",
        "fresh",
        "old",
    ]


def test_it_is_the_age_of_what_is_shown_that_counts(ask: Ask) -> None:
    """Pictures come without a pause, but late: what they show is over 2 s ago."""
    late = [step for t in range(3000, 9000, 100) for step in (("frame", t - 2500, t), ("tick", t))]
    assert set(states(ask, [("frame", 0, 50), ("tick", 2900), *late])[1:]) == {"old"}
    assert "fresh" not in states(ask, late)


def test_back_only_after_a_steady_second(ask: Ask) -> None:
    frames = [("frame", t - 50, t) for t in range(4000, 5001, 100)]
    steps = [("frame", 0, 50), ("tick", 3000), *frames[:-1], ("tick", 4999), ("tick", 5000)]
    assert states(ask, steps) == ["fresh", "old", *["returning"] * 11, "fresh"]


def test_a_gap_on_the_way_back_begins_the_second_anew(ask: Ask) -> None:
    before = [("frame", 0, 50), ("tick", 3000), ("frame", 3950, 4000), ("frame", 4400, 4450)]
    assert states(ask, [*before, ("tick", 5151)])[-1] == "old"
    # … and where the next picture comes before the next tick
    again = [*before, ("frame", 5150, 5200), ("tick", 5250), ("frame", 5700, 5750), ("tick", 6100)]
    assert states(ask, again)[-4:] == ["returning"] * 4
    assert states(ask, [*again, ("frame", 6150, 6190), ("tick", 6200)])[-1] == "fresh"


def test_a_picture_from_the_future_has_no_age(ask: Ask) -> None:
    seen, age = ask("picture-age", FRESHNESS, [["frame", 5000, 100], ["tick", 200]], 200)
    assert (seen, age) == (["none", "none"], None)


def test_a_clock_that_is_a_little_behind_makes_no_negative_age(ask: Ask) -> None:
    assert ask("picture-age", FRESHNESS, [["frame", 1030, 1000]], 1010) == [["fresh"], 0]


def test_after_forgetting_nothing_is_known(ask: Ask) -> None:
    steps = [["frame", 1000, 1010], ["forget", 1020], ["tick", 1030]]
    assert ask("picture-age", FRESHNESS, steps, 1040) == [["fresh", "old", "old"], None]
    assert states(ask, [("forget", 10), ("tick", 20)]) == ["none", "none"]


def test_the_whole_table(ask: Ask) -> None:
    """Only what the theory of operation draws; fresh is reached by a new picture, or after the steady second."""
    table = ask("picture-age", "return m.TABLE")
    assert table == {
        "none": {"new": "fresh"},
        "fresh": {"aged": "old"},
        "old": {"new": "returning"},
        "returning": {"aged": "old", "steady": "fresh"},
    }


# ---- event-stream ----------------------------------------------------------------------------------------------------

STREAM = (
    ': awake\n\nid: 7\nevent: call\ndata: {"a":\ndata: 1}\n\n'
    "event: clock\r\ndata: one\r\n\r\nevent: x\rdata:two\r\rdata\n\nevent: lost\n\nid: 8\ndata:  \u00e6\n\nnot complete"
)
EVENTS = [
    {"type": "call", "data": '{"a":\n1}', "id": "7"},
    {"type": "clock", "data": "one", "id": "7"},
    {"type": "x", "data": "two", "id": "7"},
    {"type": "message", "data": "", "id": "7"},
    {"type": "message", "data": " \u00e6", "id": "8"},
]


def test_events_are_the_same_however_the_text_is_cut(ask: Ask) -> None:
    body = """
    const texts = [[args[0]], [...args[0]]];
    for (let cut = 1; cut < args[0].length; cut += 1) texts.push([args[0].slice(0, cut), args[0].slice(cut)]);
    return texts.map((pieces) => {
      const parser = new m.EventStreamParser();
      return pieces.flatMap((piece) => parser.feed(piece));
    });
    """
    for events in ask("event-stream", body, STREAM):
        assert events == EVENTS


def test_an_id_with_a_null_is_passed_over(ask: Ask) -> None:
    body = "return new m.EventStreamParser().feed(args[0])"
    assert ask("event-stream", body, "id: 1\nid: 2\0\ndata: x\n\n") == [{"type": "message", "data": "x", "id": "1"}]
