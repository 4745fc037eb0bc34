"""The audit's page and the wall's bar: what is broken is said in words, for those who may know it, as soon as the
server knows it; and a server that is lost leaves no good verdict behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.fakes.audit_answers import ME, audit, now_ms
from tests.fakes.site import running_site
from tests.fakes.web_pages import WebPages, running_pages

pytestmark = pytest.mark.browser

DISPLAY = {"role": "display", "name": "Skærm", "may": ["watch", "see-bays", "see-calls", "shown", "guarantee"]}
NURSE = {"role": "nurse", "name": "Personale", "may": ["watch", "see-bays", "see-calls", "guarantee"]}


@pytest.fixture
def served() -> Iterator[WebPages]:
    with running_pages() as running:
        running.answers |= {"/api/me": ME, "/api/audit": audit()}
        yield running


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    opened = []
    faults: list[str] = []

    def open_page(url: str, **options: Any) -> Page:
        context = browser.new_context(**{"locale": "da-DK", "viewport": {"width": 1366, "height": 768}, **options})
        opened.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: "Content Security" in message.text and faults.append(message.text))
        page.goto(url)
        return page

    yield open_page
    for context in opened:
        context.close()
    assert faults == []


def verdict(page: Page, wanted: str, seconds: float = 5) -> str:
    page.wait_for_selector(f"#verdict[data-verdict={wanted}]", timeout=seconds * 1000)
    return page.inner_text("#verdict-title")


# ---- /audit ---------------------------------------------------------------------------------------------------------


def test_all_rows_stand_there_with_word_and_form(served, visit) -> None:
    page = visit(f"{served.url}/audit")
    assert verdict(page, "holds") == "Intet er brudt"
    assert page.locator("#rows tbody tr").count() == 20
    marks = page.locator("#rows .mark").all_inner_texts()
    assert (marks.count("Holder"), marks.count("Brudt"), marks.count("Ikke kontrolleret")) == (15, 0, 5)
    assert page.locator("#rows .mark svg.icon-holds").count() == 15
    assert page.locator("#rows .mark svg.icon-not_checked").count() == 5
    assert page.locator("#rows th[scope=row]").count() == 20
    assert page.locator("#rows th[scope=col]").count() == 4
    assert "Ikke kontrolleret" in page.inner_text("#row-14"), "what was not checked never counts as holding"
    assert page.locator("video").count() == 0


def test_uptime_processes_and_signature(served, visit) -> None:
    page = visit(f"{served.url}/audit")
    verdict(page, "holds")
    figures = [figure.replace("\N{NO-BREAK SPACE}", " ") for figure in page.locator(".period-figure").all_inner_texts()]
    assert figures == ["100 %", "99,98 %"]
    assert page.locator("#breaks tbody tr").count() == 1
    assert "6 minutter" in page.inner_text("#breaks")
    assert page.locator("#processes tbody tr").count() == 2
    assert "196 forsøg, 196 afvist" in page.inner_text("#processes")
    assert "0 byte" in page.inner_text("#processes")
    assert "sekunder siden" in page.inner_text("#age-0")
    evidence = page.inner_text("#evidence")
    for fact in ("9f0c 11ab 4c55", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "12.345"):
        assert fact in evidence
    assert not page.is_visible("#journal-failing")


def test_a_break_is_shown_the_moment_it_is_told(served, visit) -> None:
    page = visit(f"{served.url}/audit")
    verdict(page, "holds")
    served.answers["/api/audit"] = audit((5, 12), held="swap")
    served.events.append(("guarantee", {"ok": False, "broken": [5, 12], "bays": [], "processes": []}))
    assert verdict(page, "broken", 3) == "Garantien er brudt"
    assert "Brudt: 2." in page.inner_text("#verdict-text")
    assert page.inner_text("#held") == "Alle billeder er stoppet, til det er rettet."
    for row in (5, 12):
        assert "Brudt" in page.inner_text(f"#row-{row}")
        assert page.locator(f"#row-{row} svg.icon-broken").count() == 1
        assert "/wall.js" in page.inner_text(f"#row-{row} .why"), "what is wrong and what to do"
    assert "endnu" in page.inner_text("#breaks")


def test_the_journal_that_cannot_be_written_is_said(served, visit) -> None:
    served.answers["/api/audit"] = audit(chain={"entries": 1, "head": "ab", "failing": "disk full"})
    page = visit(f"{served.url}/audit")
    verdict(page, "holds")
    assert page.is_visible("#journal-failing")


def test_a_lost_server_leaves_no_good_verdict(served, visit) -> None:
    page = visit(f"{served.url}/audit")
    verdict(page, "holds")
    served.silent = True
    assert verdict(page, "not_checked", 6) == "Ingen forbindelse til serveren"
    served.silent = False
    assert verdict(page, "holds", 8) == "Intet er brudt"


@pytest.mark.parametrize(("age_ms", "wanted"), [(89_000, "holds"), (90_001, "not_checked"), (None, "not_checked")])
def test_an_old_round_says_nothing_of_now(ask, age_ms, wanted) -> None:
    checked = None if age_ms is None else now_ms() - age_ms
    said = ask("audit-view", "return m.auditVerdict(args[0], args[1]);", audit(checked_ms=checked), now_ms())
    assert said == wanted
    assert ask("audit-view", "return m.auditVerdict(args[0], null);", audit()) == "not_checked"


def test_a_broken_row_outweighs_the_word_ok(ask) -> None:
    answer = audit((3,), ok=True)
    assert ask("audit-view", "return m.auditVerdict(args[0], args[1]);", answer, now_ms()) == "broken"


def test_shares_are_never_rounded_up(ask) -> None:
    share = "return args[0].map((period) => m.heldShare(period));"
    period = {"broken_ms": 1, "off_ms": 9, "unknown_ms": 9}
    cases = [period | {"held_ms": 10_000_000}, period | {"held_ms": 0, "broken_ms": 0}, period | {"held_ms": 0}]
    assert ask("audit-view", share, cases) == ["99,99\N{NO-BREAK SPACE}%", "", "0\N{NO-BREAK SPACE}%"]


def test_the_proofs_are_asked_for_on_request(served, visit) -> None:
    served.answers["/api/audit/proof"] = {"processes": audit()["processes"]}
    page = visit(f"{served.url}/audit")
    verdict(page, "holds")
    page.click("#prove")
    page.wait_for_function("() => document.querySelector('#proved').textContent.includes('392')")
    assert page.inner_text("#proved") == "Nye beviser: 392 forsøg på at skrive, 392 afvist."
    assert "POST /api/audit/proof" in served.asked


def test_the_language_goes_with_the_rows(served, visit) -> None:
    page = visit(f"{served.url}/audit")
    verdict(page, "holds")
    assert "GET /api/audit?lang=da" in served.asked
    served.answers["/api/audit"] = audit(language="en")
    page.click("#language")
    page.wait_for_function("() => document.querySelector('#row-5').textContent.includes('Holds')")
    assert "GET /api/audit?lang=en" in served.asked


def test_other_roles_are_told_that_this_is_not_for_them(served, visit) -> None:
    served.answers["/api/me"] = NURSE
    page = visit(f"{served.url}/audit")
    page.wait_for_selector("vigil-cover:not([hidden])")
    assert page.inner_text("vigil-cover h1") == "Denne side er for IT"
    assert page.get_attribute("vigil-cover a", "href") == "/"
    assert not [line for line in served.asked if "/api/audit" in line]


@pytest.mark.parametrize("width", [390, 1366, 1920])
def test_it_can_be_read(served, visit, width) -> None:
    page = visit(f"{served.url}/audit", viewport={"width": width, "height": 844})
    verdict(page, "holds")
    small = """() => [...document.querySelectorAll("body *")].filter((node) => node.textContent.trim() &&
      !node.children.length && node.getClientRects().length && parseFloat(getComputedStyle(node).fontSize) < 16)
      .map((node) => node.textContent)"""
    assert page.evaluate(small) == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


# ---- the bar on the wall --------------------------------------------------------------------------------------------

BAYS = [
    {"id": f"bay-{number}", "name": f"Leje {number}", "camera": None, "call": None, "curtain": None, "buttons": []}
    for number in (1, 2)
]


def bar(served: WebPages, visit: Callable[..., Page], event: dict[str, object] | None, me: object) -> Page:
    served.answers |= {"/api/me": me, "/api/bays": BAYS}
    served.events = [("guarantee", event)] if event else []
    page = visit(served.url)
    page.wait_for_selector("vigil-bay")
    return page


@pytest.mark.parametrize("me", [NURSE, DISPLAY], ids=["nurse", "display"])
def test_a_broken_row_is_said_in_words_until_it_is_mended(served, visit, me) -> None:
    event = {"ok": False, "broken": [5], "bays": [], "processes": []}
    page = bar(served, visit, event, me)
    page.wait_for_selector("#guarantee:not([hidden])")
    assert page.get_attribute("#guarantee", "role") == "alert"
    assert "Kontakt IT" in page.inner_text("#guarantee strong")
    assert "Hukommelsen kan blive skrevet ud på disken." in page.inner_text("#guarantee")
    page.wait_for_timeout(1500)
    assert page.is_visible("#guarantee"), "it stays"
    served.events.append(("guarantee", {"ok": True, "broken": [], "bays": [], "processes": []}))
    page.wait_for_selector("#guarantee", state="hidden")


def test_a_recording_camera_is_named_by_its_bay(served, visit) -> None:
    event = {"ok": False, "broken": [12], "bays": ["bay-2"], "processes": []}
    page = bar(served, visit, event, NURSE)
    page.wait_for_selector("#guarantee:not([hidden])")
    assert page.inner_text("#guarantee strong") == "Kameraet optager selv: Leje 2."


def test_no_bar_while_all_is_well(served, visit) -> None:
    page = bar(served, visit, {"ok": True, "broken": [], "bays": [], "processes": []}, NURSE)
    page.wait_for_timeout(600)
    assert not page.is_visible("#guarantee")


def test_the_bar_is_never_empty_while_something_is_wrong(blank, ask) -> None:
    words = """
    const { loadWords } = await import("/words.js"); await loadWords();
    return args[0].map((event) => m.barWords(event, (bay) => bay.toUpperCase()));
    """
    cases = [
        {"ok": True},
        {"ok": False},
        {"ok": False, "broken": [], "bays": ["bay-1"]},
        {"ok": False, "broken": [12], "bays": []},
        {"ok": False, "broken": [1, 3, 5, 12], "bays": ["bay-1"]},
        {"ok": True, "broken": [7]},
    ]
    none, plain, recording, unnamed, many, contradiction = ask("guarantee-bar", words, cases)
    assert none is None
    assert plain["title"]
    assert plain["details"] == []
    assert recording["title"] == "Kameraet optager selv: BAY-1."
    assert unnamed["details"] == ["Et kamera optager selv."]
    assert many["details"][0] == "Kameraet optager selv: BAY-1."
    assert len(many["details"]) == 4
    assert many["details"][-1] == "Og 1 til."
    assert contradiction["details"], "a row that is broken outweighs the word ok"


def test_who_may_not_watch_is_led_to_the_audit(served, visit) -> None:
    served.answers["/api/me"] = ME
    page = visit(served.url)
    page.wait_for_selector("vigil-cover:not([hidden]) a")
    page.click("vigil-cover a:visible")
    page.wait_for_url("**/audit")


# ---- a whole site ---------------------------------------------------------------------------------------------------


@pytest.mark.whole
def test_it_signs_in_and_lands_on_the_audit(visit, tmp_path) -> None:
    bays = [{"id": "bay-1", "name": "Leje 1", "camera": "pattern:"}]
    with running_site(tmp_path, bays, media={"enforce": "warn"}) as site:
        page = visit(f"{site.url}/sign-in#{site.token('it')}")
        page.wait_for_url("**/audit")
        page.wait_for_selector("#rows tbody tr")
        assert page.locator("#rows tbody tr").count() == 20
        page.wait_for_selector("#verdict:not([data-verdict=not_checked])", timeout=30_000)
        page.click("#prove")
        page.wait_for_function("() => /\\d/.test(document.querySelector('#proved').textContent)", timeout=20_000)
        page.click("#sign-out")
        page.wait_for_url("**/sign-in")
        nurse = visit(f"{site.url}/sign-in#{site.token('nurse')}")
        nurse.wait_for_url(f"{site.url}/")
