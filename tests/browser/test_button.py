"""The patient's page in a real Chromium against the whole site: what it says became of a press is what became of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator

import httpx2
import pytest
from playwright.sync_api import Browser, Page, Request, Route

from tests.browser.conftest import Screen
from tests.fakes.site import VigilSite, running_site

pytestmark = [pytest.mark.browser, pytest.mark.whole]

BUTTON, BAY = "bay-1-tablet", "bay-1"
CALLS = "**/api/bays/*/calls"
BAYS = [
    {"id": BAY, "name": "Leje 1", "buttons": [{"id": BUTTON, "kind": "web"}]},
    {"id": "bay-2", "name": "Leje 2", "buttons": [{"id": "bay-2-tablet", "kind": "web"}]},
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VigilSite]:
    with running_site(tmp_path_factory.mktemp("site"), BAYS) as running:
        yield running


class Tablet:
    """The patient's page on a tablet, and every press that it sent."""

    def __init__(self, browser: Browser, site: VigilSite, token: str | None) -> None:
        self.context = browser.new_context(viewport={"width": 1024, "height": 768}, locale="da-DK")
        self.page: Page = self.context.new_page()
        self.faults: list[str] = []
        self.sent: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._request)
        self.url = f"{site.url}/button/{BUTTON}"
        self.page.goto(f"{self.url}#{token}" if token else self.url)

    def _request(self, request: Request) -> None:
        if request.method == "POST" and request.url.endswith("/calls"):
            self.sent.append(json.loads(request.post_data or "{}")["id"])

    @property
    def view(self) -> str:
        view: str = self.page.evaluate("() => document.body.dataset.view")
        return view

    @property
    def words(self) -> str:
        words: str = self.page.evaluate("() => document.body.innerText")
        return words

    def wait_for(self, view: str, seconds: float) -> float:
        """Wait until the page says so; how many seconds that took."""
        began = time.monotonic()
        self.page.wait_for_selector(f"body[data-view={view}]", timeout=seconds * 1000)
        return time.monotonic() - began

    def press(self) -> None:
        self.page.click("#press")

    def close(self) -> None:
        self.context.close()
        assert self.faults == []


@pytest.fixture
def tablet(browser: Browser, site: VigilSite) -> Iterator[Tablet]:
    opened = Tablet(browser, site, site.token("button", BUTTON))
    opened.wait_for("idle", 10)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def nothing_left_open(site: VigilSite) -> Iterator[None]:
    """A bay has one open call at most: each test ends its own."""
    yield
    with site.http() as nurse:
        for call in nurse.get("/api/calls?state=open").raise_for_status().json():
            end(nurse, call["id"])


def end(nurse: httpx2.Client, call: str) -> None:
    nurse.post(f"/api/calls/{call}/attend", json={}).raise_for_status()
    nurse.post(f"/api/calls/{call}/close", json={"presence": True}).raise_for_status()


def open_calls(site: VigilSite) -> list[dict[str, object]]:
    with site.http() as nurse:
        calls: list[dict[str, object]] = nurse.get("/api/calls?state=open").raise_for_status().json()
        return calls


def journalled(site: VigilSite, press: str) -> tuple[int, int]:
    """How many calls and how many presses the journal holds under that id."""
    with contextlib.closing(sqlite3.connect(site.state_dir / "journal.sqlite3")) as db:
        (calls,) = db.execute("SELECT count(*) FROM calls WHERE id = ?", (press,)).fetchone()
        (presses,) = db.execute("SELECT count(*) FROM presses WHERE id = ?", (press,)).fetchone()
        return calls, presses


def until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def test_the_code_in_the_address_becomes_a_session_and_leaves_the_address(tablet: Tablet) -> None:
    assert tablet.page.url == tablet.url
    assert tablet.page.evaluate("() => [location.hash, history.length <= 2, document.cookie]") == ["", True, ""]
    (cookie,) = tablet.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    kept = tablet.page.evaluate("() => JSON.stringify(localStorage)")
    assert json.loads(kept) == {f"vigil.bay.{BUTTON}": BAY}, "no token is kept where a script can read it"
    assert "Leje 1" in tablet.words
    assert "Tryk for hjælp" in tablet.words
    tablet.page.reload()
    tablet.wait_for("idle", 10)


def test_received_is_said_after_the_answer_and_never_before(tablet: Tablet, site: VigilSite) -> None:
    held: list[Route] = []
    tablet.page.route(CALLS, lambda route: held.append(route))
    tablet.press()
    tablet.wait_for("sending", 1)
    tablet.page.wait_for_timeout(700)
    assert (tablet.view, len(held), open_calls(site)) == ("sending", 1, [])
    assert "Sender" in tablet.words
    held[0].continue_()
    tablet.page.unroute(CALLS)
    tablet.wait_for("received", 2)
    assert "Kaldet er modtaget" in tablet.words
    assert [call["id"] for call in open_calls(site)] == tablet.sent
    # … and with no screen to show it, that is said too
    assert tablet.wait_for("unseen", 4) < 4
    assert "Kald højt på personalet" in tablet.words


def test_an_answer_that_refuses_is_no_receipt(tablet: Tablet, site: VigilSite) -> None:
    tablet.page.route(CALLS, lambda route: route.fulfill(status=503, json={"type": "unavailable"}))
    tablet.press()
    assert tablet.wait_for("unheard", 2) < 2
    assert "Kaldet er ikke nået frem" in tablet.words
    tablet.page.unroute(CALLS)
    tablet.wait_for("received", 4)
    assert len(tablet.sent) >= 2
    assert set(tablet.sent) == {open_calls(site)[0]["id"]}


def test_a_server_that_hangs_is_said_within_5_seconds_and_the_press_arrives_once(
    tablet: Tablet, site: VigilSite
) -> None:
    os.kill(site.pid, signal.SIGSTOP)
    try:
        pressed = time.monotonic()
        tablet.press()
        assert tablet.wait_for("sending", 1) < 1
        tablet.wait_for("unheard", 6)
        took = time.monotonic() - pressed
        print(f"said after {took:.2f} s that the press was not received")
        assert took < 5
        assert "Kaldet er ikke nået frem" in tablet.words
        assert "Kald højt på personalet" in tablet.words
        tablet.page.wait_for_timeout(3000)
        assert tablet.view == "unheard"
        assert len(tablet.sent) >= 2, "it is sent again"
    finally:
        os.kill(site.pid, signal.SIGCONT)
    tablet.page.wait_for_selector("body:is([data-view=received], [data-view=unseen])", timeout=8000)
    (press,) = set(tablet.sent)
    tablet.page.wait_for_timeout(1500)  # what hung in the server's ears while it stood still is answered by now
    (call,) = open_calls(site)
    assert (call["id"], call["presses"]) == (press, 1)
    assert journalled(site, press) == (1, 1)
    assert tablet.page.evaluate("() => localStorage.getItem('vigil.press.bay-1-tablet')") is None


def test_a_press_outlives_a_reload(tablet: Tablet, site: VigilSite) -> None:
    tablet.page.route(CALLS, lambda route: route.abort())
    tablet.press()
    tablet.wait_for("sending", 1)
    until(lambda: len(tablet.sent) >= 1, 2)
    tablet.page.unroute(CALLS)
    tablet.page.reload()
    tablet.wait_for("received", 8)
    (press,) = set(tablet.sent)
    assert [(call["id"], call["presses"]) for call in open_calls(site)] == [(press, 1)]


def test_from_the_screens_to_the_end_of_the_call(browser: Browser, tablet: Tablet, site: VigilSite) -> None:
    with contextlib.closing(Screen(browser, site)) as nurse, contextlib.closing(Screen(browser, site, "display")):
        nurse.page.wait_for_selector("vigil-bay >> nth=1")
        tablet.press()
        tablet.wait_for("shown", 4)
        until(lambda: "Vist på 2 skærme" in tablet.words, 4)
        assert "Personalet kan se dit kald" in tablet.words
        assert nurse.page.inner_text(".call-bay") == "Leje 1"

        nurse.page.get_by_role("button", name="Jeg kommer").click()
        assert tablet.wait_for("coming", 2) < 2
        assert "Hjælpen er på vej" in tablet.words
        assert "test-nurse" not in tablet.words, "a patient is not told the names of staff"

        nurse.page.get_by_role("button", name="Jeg er her").click()
        assert tablet.wait_for("here", 2) < 2
        assert "Personalet er hos dig" in tablet.words

        (call,) = open_calls(site)
        with site.http() as http:
            http.post(f"/api/calls/{call['id']}/close", json={"presence": True}).raise_for_status()
        assert tablet.wait_for("closed", 2) < 2
        assert "Kaldet er afsluttet" in tablet.words
        assert nurse.page.query_selector(".call") is None
    assert tablet.wait_for("idle", 12) > 5  # long enough to be read


def test_one_screen_is_counted_as_one(browser: Browser, tablet: Tablet, site: VigilSite) -> None:
    with contextlib.closing(Screen(browser, site)) as nurse:
        nurse.page.wait_for_selector("vigil-bay >> nth=1")
        tablet.press()
        tablet.wait_for("shown", 4)
        assert "Vist på 1 skærm hos" in tablet.words


def test_a_trembling_finger_presses_once_and_a_second_press_is_a_second(tablet: Tablet, site: VigilSite) -> None:
    tablet.page.dblclick("#press")
    tablet.wait_for("received", 2)
    assert open_calls(site)[0]["presses"] == 1
    tablet.page.wait_for_timeout(800)
    tablet.press()
    until(lambda: open_calls(site)[0]["presses"] == 2, 2)
    assert len(open_calls(site)) == 1
    assert len(set(tablet.sent)) == 2


def test_the_token_of_another_button_cannot_press(browser: Browser, site: VigilSite) -> None:
    other = Tablet(browser, site, site.token("button", "bay-2-tablet"))
    other.wait_for("closed-page", 10)
    assert "Knappen virker ikke" in other.words
    other.press()
    other.page.wait_for_timeout(500)
    assert other.sent == [], "it does not know its bay, so it does not ask"
    # … and a page that knows the bay from before asks, and is refused
    other.page.evaluate(f"() => localStorage.setItem('vigil.bay.{BUTTON}', '{BAY}')")
    other.page.wait_for_timeout(500)
    with other.page.expect_response(CALLS) as answer:
        other.press()
    assert answer.value.status == 403
    other.wait_for("unheard", 2)
    assert "Kald højt på personalet" in other.words
    assert open_calls(site) == []
    other.close()


def test_a_page_without_a_session_says_so(browser: Browser, site: VigilSite) -> None:
    nobody = Tablet(browser, site, None)
    nobody.wait_for("closed-page", 10)
    assert "Knappen virker ikke" in nobody.words
    assert "knappen er ikke logget ind" in nobody.words
    nobody.close()
