"""What the web pages decide, decided in a real Chromium under the real content security policy.

The modules are pure: times come in as arguments. Each test imports one as the pages do and asks it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.fakes.web_pages import WebPages, running_pages

pytestmark = pytest.mark.browser

Ask = Callable[..., Any]
SIZES = [(1920, 1080), (1366, 768), (390, 844)]


@pytest.fixture(scope="module")
def pages() -> Iterator[WebPages]:
    with running_pages() as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser, pages: WebPages) -> Iterator[Page]:
    context = browser.new_context(locale="da-DK")
    opened = context.new_page()
    opened.goto(f"{pages.url}/blank")
    yield opened
    context.close()


@pytest.fixture(scope="module")
def ask(page: Page) -> Ask:
    """`ask(module, body, *arguments)`: the body of a function of `m`, the module, and `args`."""

    def run(module: str, body: str, *arguments: object) -> Any:
        script = f"async ([path, ...args]) => {{ const m = await import(path); {body} }}"
        return page.evaluate(script, [f"/{module}.js", *arguments])

    return run


def test_the_policy_is_the_real_one(page: Page) -> None:
    """What the modules may not do is refused here too: an inline script does not run."""
    refused = page.evaluate(
        """() => new Promise((resolve) => {
          addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective), { once: true });
          const script = document.createElement("script");
          script.append("globalThis.ran = true");
          document.head.append(script);
          setTimeout(resolve, 2000, "nothing was refused");
        })"""
    )
    assert refused.startswith(("script-src", "require-trusted-types"))
    assert page.evaluate("() => globalThis.ran === undefined")


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


# ---- bay-view --------------------------------------------------------------------------------------------------------

BAY_VIEW = """
const { Freshness } = await import("/picture-age.js");
const freshness = new Freshness("bay-1");
for (const [what, ...times] of args[0].seen) freshness[what](...times);
return m.bayView(args[0].bay, freshness, args[0].trouble, args[0].now, args[0].wasLive);
"""
FRESH = [["frame", 99_900, 100_000]]
OLD = [["frame", 90_000, 90_010], ["tick", 100_000]]
RETURNING = [*OLD, ["frame", 99_950, 100_000]]


def camera(state: str, reason: str = "", since: int = 1000, **more: object) -> dict[str, object]:
    return {"state": state, "reason": reason, "faults": [], "since_ms": since, "incarnation": 1, **more}


def view(ask: Ask, cam: object, seen: object = (), trouble: str = "", **more: object) -> dict[str, Any]:
    bay = {"id": "bay-1", "name": "Leje 1", "camera": cam, "call": None, "curtain": more.pop("curtain", None)}
    facts = {"bay": bay, "seen": list(seen), "trouble": trouble, "now": 100_000, "wasLive": False, **more}  # type: ignore[call-overload]
    answer: dict[str, Any] = ask("bay-view", BAY_VIEW, facts)
    return answer


def test_live_only_where_the_server_and_the_own_eyes_say_so(ask: Ask) -> None:
    for state in ("off", "connecting", "live", "stale", "curtain", "failed"):
        for seen in ([], FRESH, OLD, RETURNING):
            for now in (100_000, None):
                name = view(ask, camera(state), seen, now=now)["name"]
                assert (name == "live") == (state == "live" and seen is FRESH and now is not None), (state, seen, now)


def test_a_bay_without_camera_is_no_fault(ask: Ask) -> None:
    assert view(ask, None) == {
        "name": "no-camera",
        "why": "no-camera.why",
        "doing": "",
        "sinceMs": None,
        "fault": False,
    }


def test_a_curtain_is_no_fault_and_names_who_closed_it(ask: Ask) -> None:
    closed = view(ask, camera("curtain"), FRESH, curtain={"closed": True, "by": "somebody"})
    assert (closed["name"], closed["why"], closed["fault"]) == ("curtain", "curtain.by", False)
    assert view(ask, camera("curtain"), FRESH, curtain=None)["why"] == "curtain.why"


@pytest.mark.parametrize(
    ("seen", "trouble", "name", "why", "fault"),
    [
        ([], "", "connecting", "connecting", False),
        (OLD, "", "stale", "old-frames", True),
        (RETURNING, "", "stale", "returning", False),
        ([], "no-frames", "stale", "no-frames", True),
        ([], "no-h264", "stale", "no-h264", True),
        (FRESH, "no-frames", "live", None, False),  # the newest picture is what counts, not the line that brought it
    ],
)
def test_what_the_screen_says_itself(ask: Ask, seen: object, trouble: str, name: str, why: str, fault: bool) -> None:
    said = view(ask, camera("live"), seen, trouble)
    assert (said["name"], said["why"], said["fault"]) == (name, f"screen.{why}.why" if why else "", fault)


def test_since_when_goes_on_when_the_server_says_stale_too(ask: Ask) -> None:
    """"No new picture" counts from the last picture, first in the screen's words and then in the server's."""
    first = view(ask, camera("live"), OLD)
    then = view(ask, camera("stale", "no-packets", since=92_300), OLD)
    assert (first["sinceMs"], then["sinceMs"]) == (90_000, 90_000)
    assert view(ask, camera("stale", "no-packets", since=92_300), [])["sinceMs"] == 92_300
    assert view(ask, camera("connecting", "unreachable", since=99_000), OLD)["sinceMs"] == 99_000


def test_connecting_is_a_fault_after_a_picture_or_after_5_seconds(ask: Ask) -> None:
    assert view(ask, camera("connecting", since=95_000))["fault"] is False
    assert view(ask, camera("connecting", since=94_999))["fault"] is True
    assert view(ask, camera("connecting", since=99_999), wasLive=True)["fault"] is True


def test_a_sub_stream_counts_where_there_is_one(ask: Ask) -> None:
    sub = {"state": "stale", "reason": "no-packets", "since_ms": 98_000}
    assert view(ask, camera("live", sub=sub), FRESH)["name"] == "stale"
    assert view(ask, camera("live", sub={**sub, "state": "failed"}), FRESH)["name"] == "live"  # main is shown then
    assert ask("bay-view", "return args.map(m.tileStream)", camera("live"), camera("live", sub=sub)) == ["main", "sub"]


def test_every_word_that_a_view_wants_is_there(ask: Ask, pages: WebPages) -> None:
    from monitor.core.camera_state import CameraReason
    from tests.fakes.web_pages import WEB

    words = json.loads((WEB / "text" / "da.json").read_text())
    for reason in [reason for reason in CameraReason.__args__ if reason]:  # type: ignore[attr-defined]
        said = view(ask, camera("failed", reason))
        assert said["why"] in words, said
        assert said["doing"] in words, said


# ---- event-stream ----------------------------------------------------------------------------------------------------

STREAM = (
    ": awake\n\nid: 7\nevent: call\ndata: {\"a\":\ndata: 1}\n\n"
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


# ---- grid ------------------------------------------------------------------------------------------------------------

GRID = "return args[0].map(([count, width, height]) => m.bestGrid(count, width, height, 9))"
PICTURE = 16 / 9


def picture_width(count: int, columns: int, width: float, height: float, gap: float = 9) -> float:
    """How wide a 16:9 picture gets, reckoned from the style sheet's words: a caption of 14 %, 28 to 66 px."""
    rows = -(-count // columns)
    tile_width = (width - gap * (columns - 1)) / columns
    tile_height = (height - gap * (rows - 1)) / rows
    return min(tile_width, (tile_height - min(66, max(28, tile_height * 0.14))) * PICTURE)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_no_other_grid_has_larger_pictures(ask: Ask, width: int, height: int) -> None:
    for count, grid in enumerate(ask("grid", GRID, [[n, width, height] for n in range(1, 37)]), 1):
        columns, rows = grid["columns"], grid["rows"]
        assert columns * rows >= count > columns * (rows - 1)
        widths = [picture_width(count, each, width, height) for each in range(1, count + 1)]
        assert picture_width(count, columns, width, height) == pytest.approx(max(widths))


def test_known_grids(ask: Ask) -> None:
    """As one would lay them out by hand on a screen of 1080 lines."""
    wanted = {1: (1, 1), 2: (2, 1), 4: (2, 2), 6: (3, 2), 9: (3, 3), 12: (4, 3), 16: (4, 4), 36: (6, 6)}
    grids = ask("grid", GRID, [[count, 1893, 1000] for count in wanted])
    assert {count: (grid["columns"], grid["rows"]) for count, grid in zip(wanted, grids, strict=True)} == wanted


BOXES = """() => {
  const box = (node) => { const r = node.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom] };
  const tiles = [...document.querySelectorAll("vigil-bay")];
  const room = document.querySelector("#bays");
  return {
    count: tiles.length,
    tiles: tiles.map(box),
    pictures: tiles.map((tile) => box(tile.querySelector(".bay-picture"))),
    captions: tiles.map((tile) => box(tile.querySelector(".bay-caption"))),
    room: box(room),
    page: [innerWidth, document.documentElement.scrollWidth, document.querySelector(".wall").scrollHeight],
    letters: Math.min(...tiles.map((tile) => parseFloat(getComputedStyle(tile.querySelector(".bay-name")).fontSize))),
  };
}"""


@pytest.fixture(scope="module")
def wall(browser: Browser, pages: WebPages) -> Iterator[Page]:
    """The real wall, with bays that have no camera: their places are what counts here."""
    pages.answers["/api/me"] = {"role": "nurse", "name": "test", "may": ["watch", "acknowledge"]}
    pages.answers["/api/bays"] = []
    context = browser.new_context(locale="da-DK")
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto(pages.url)
    yield opened
    context.close()
    assert faults == []


def overlap(one: list[float], other: list[float]) -> bool:
    return one[0] < other[2] - 0.5 and other[0] < one[2] - 0.5 and one[1] < other[3] - 0.5 and other[1] < one[3] - 0.5


def inside(inner: list[float], outer: list[float]) -> bool:
    return (
        inner[0] >= outer[0] - 0.5
        and inner[1] >= outer[1] - 0.5
        and inner[2] <= outer[2] + 0.5
        and inner[3] <= outer[3] + 0.5
    )


def area(box: list[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 16, 20, 25, 36])
def test_every_tile_is_inside_and_the_room_is_used(wall: Page, pages: WebPages, count: int) -> None:
    bays = [{"id": f"bay-{n}", "name": f"Leje {n}", "camera": None, "call": None} for n in range(1, count + 1)]
    pages.answers["/api/bays"] = bays
    pages.renew()
    for width, height in SIZES:
        wall.set_viewport_size({"width": width, "height": height})
        wall.wait_for_function(
            "([count, width]) => document.querySelectorAll('vigil-bay').length === count && innerWidth === width",
            arg=[count, width],
            timeout=10_000,
        )
        # The observer lays out in the frame after the change: the second one after it shows the outcome.
        wall.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        seen = wall.evaluate(BOXES)
        tiles, phone = seen["tiles"], width <= 640
        assert seen["page"][1] <= width, "nothing to the right of the screen"
        assert all(inside(tile, seen["room"]) for tile in tiles), (width, count)
        assert not any(overlap(one, other) for n, one in enumerate(tiles) for other in tiles[:n]), (width, count)
        for tile, picture, caption in zip(tiles, seen["pictures"], seen["captions"], strict=True):
            assert inside(picture, tile)
            assert inside(caption, tile), "the name is never cut off"
            assert not overlap(picture, caption)
            assert area(picture) > 0.5 * area(tile)
        assert seen["letters"] >= 20
        if phone:
            assert seen["page"][2] > height or count < 4, "a phone's wall is scrolled"
            assert all(tile[2] - tile[0] > 0.9 * width for tile in tiles)
        else:
            assert seen["room"][3] <= height, "and a wall's is not"
            used = sum(map(area, tiles)) / area(seen["room"])
            assert used > count / (count + 4) * 0.9, (width, count, used)


# ---- button-view -----------------------------------------------------------------------------------------------------

BUTTON = """
const facts = { known: true, refused: false, lost: false, pendingSinceMs: null, pendingRefused: false, call: null,
  callSinceMs: 0, closedAtMs: Number.NEGATIVE_INFINITY, ...args[0] };
return m.buttonView(facts, args[1]);
"""


def call(state: str, *shown_on: str) -> dict[str, object]:
    return {"id": "x", "bay": "bay-1", "button": "b", "state": state, "presses": 1, "shown_on": list(shown_on)}


@pytest.mark.parametrize(
    ("facts", "now", "name"),
    [
        ({"known": False}, 0, "loading"),
        ({}, 0, "idle"),
        ({"lost": True}, 0, "offline"),
        ({"refused": True}, 0, "closed-page"),
        # a press without an answer: never "received"
        ({"pendingSinceMs": 1000}, 1000, "sending"),
        ({"pendingSinceMs": 1000}, 6000, "sending"),
        ({"pendingSinceMs": 1000}, 6001, "unheard"),
        ({"pendingSinceMs": 1000, "lost": True}, 6001, "unheard"),
        ({"pendingSinceMs": 1000, "pendingRefused": True}, 1001, "unheard"),
        ({"pendingSinceMs": 1000, "refused": True}, 1001, "sending"),
        # an open call, and what has become of it
        ({"call": call("ringing"), "callSinceMs": 1000}, 1000, "received"),
        ({"call": call("ringing"), "callSinceMs": 1000}, 4000, "received"),
        ({"call": call("ringing"), "callSinceMs": 1000}, 4001, "unseen"),
        ({"call": call("escalated"), "callSinceMs": 1000}, 4001, "unseen"),
        ({"call": call("ringing", "wall-1"), "callSinceMs": 1000}, 9000, "shown"),
        ({"call": call("escalated", "wall-1"), "callSinceMs": 1000}, 9000, "shown"),
        ({"call": call("acknowledged"), "callSinceMs": 1000}, 9000, "coming"),
        ({"call": call("attended"), "callSinceMs": 1000}, 9000, "here"),
        ({"call": call("acknowledged"), "lost": True}, 9000, "coming"),
        # pressed again while a call is open: what is known stays, until the press is known not to have come through
        ({"call": call("acknowledged"), "pendingSinceMs": 1000}, 5000, "coming"),
        ({"call": call("acknowledged"), "pendingSinceMs": 1000}, 6001, "unheard"),
        # closed: said for ten seconds
        ({"call": call("closed"), "closedAtMs": 1000}, 10_999, "closed"),
        ({"call": call("closed"), "closedAtMs": 1000}, 11_000, "idle"),
        ({"call": call("closed"), "closedAtMs": 1000, "lost": True}, 11_000, "offline"),
        ({"call": call("closed"), "closedAtMs": 1000, "pendingSinceMs": 2000}, 2100, "sending"),
    ],
)
def test_what_the_patient_is_told(ask: Ask, facts: dict[str, object], now: int, name: str) -> None:
    assert ask("button-view", BUTTON, facts, now) == name


def test_nothing_is_said_of_a_call_that_no_answer_or_event_told(ask: Ask) -> None:
    """Whatever else is the case: without a call from the server no view that tells of one."""
    told = {"received", "unseen", "shown", "coming", "here", "closed"}
    for known in (True, False):
        for lost in (True, False):
            for pending in (None, 0, 99_000):
                for refused in (True, False):
                    facts = {"known": known, "lost": lost, "pendingSinceMs": pending, "refused": refused}
                    assert ask("button-view", BUTTON, facts, 100_000) not in told
