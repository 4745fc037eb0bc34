"""What the pages say: a bay's tile, from the server's word and the screen's own eyes; the patient's page, from what is
known of the press. Neither may say more than is true.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import pytest

from monitor.core.camera_state import CameraReason
from tests.fakes.web_pages import WEB

pytestmark = pytest.mark.browser

Ask = Callable[..., Any]


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
    """ "No new picture" counts from the last picture, first in the screen's words and then in the server's."""
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


def test_every_word_that_a_view_wants_is_there(ask: Ask) -> None:
    words = json.loads((WEB / "text" / "da.json").read_text())
    for reason in filter(None, get_args(CameraReason)):
        said = view(ask, camera("failed", reason))
        assert said["why"] in words, said
        assert said["doing"] in words, said


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
        ({"pendingSinceMs": 1000}, 5000, "sending"),
        ({"pendingSinceMs": 1000}, 5001, "unheard"),
        ({"pendingSinceMs": 1000, "lost": True}, 5001, "unheard"),
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
        ({"call": call("acknowledged"), "pendingSinceMs": 1000}, 5001, "unheard"),
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
