"""The notice in a browser: a verdict that is never older than its answer, the clinic's own words and nothing else, in
both languages, on a phone; and on a whole site."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.fakes.audit_answers import notice
from tests.fakes.site import running_site
from tests.fakes.web_pages import WebPages, running_pages

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}


@pytest.fixture
def served() -> Iterator[WebPages]:
    with running_pages() as running:
        running.answers["/api/notice"] = notice()
        yield running


@dataclasses.dataclass
class Reader:
    """Somebody who reads the notice."""

    page: Page

    def verdict(self, wanted: str, seconds: float = 5) -> str:
        """Wait for a verdict; its title."""
        self.page.wait_for_selector(f"#verdict[data-verdict={wanted}]", timeout=seconds * 1000)
        return self.page.inner_text("#verdict-title")

    def figures(self) -> dict[str, str]:
        names, values = (self.page.locator(f"#figures {tag}").all_inner_texts() for tag in ("dt", "dd"))
        return dict(zip(names, values, strict=True))

    def parts(self) -> list[str]:
        return self.page.evaluate("() => [...document.querySelectorAll('#parts > div')].map(part => part.id)")


@pytest.fixture
def read(browser: Browser) -> Iterator[Callable[..., Reader]]:
    opened = []
    faults: list[str] = []

    def open_notice(url: str, **options: Any) -> Reader:
        context = browser.new_context(**{"locale": "da-DK", "viewport": PHONE, **options})
        opened.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: "Content Security" in message.text and faults.append(message.text))
        page.goto(f"{url}/notice")
        return Reader(page)

    yield open_notice
    for context in opened:
        context.close()
    assert faults == []


# ---- what it says ---------------------------------------------------------------------------------------------------


def test_all_is_well(served, read) -> None:
    reader = read(served.url)
    assert reader.verdict("holds") == "Billederne gemmes ikke"
    figures = reader.figures()
    assert figures["Kameraer, der viser billeder nu"] == "3"
    assert figures["Skrevet til disken"].startswith("0 byte siden ")
    assert "sekunder siden" in figures["Nyeste bevis"]
    assert "Testklinik A/S" in reader.page.inner_text("header")
    assert "Testklinik A/S" in reader.page.title()
    text = reader.page.inner_text("main")
    assert "Billeder: de gemmes ikke." in text
    assert "Kald: 180 dage. Hvem der har set billeder: 90 dage." in text  # never "nothing is stored"
    assert "litra d" in text
    assert "litra h" in text
    assert "patienternes tryghed efter undersøgelsen" in text
    assert reader.page.get_attribute("#part-policy a", "href") == "https://clinic.example/privatliv"


@pytest.mark.parametrize(
    "changes",
    [
        {"ok": False},
        {"proof_age_ms": 91_000},
        {"proof_age_ms": None},
    ],
)
def test_it_is_not_proved(served, read, changes) -> None:
    served.answers["/api/notice"] = notice(**changes)
    reader = read(served.url)
    assert reader.verdict("broken") == "Det er ikke bevist lige nu, at billederne ikke gemmes"


def test_octets_that_were_written_are_said_as_they_are(served, read) -> None:
    reader = read(served.url)
    reader.verdict("holds")
    assert not reader.page.is_visible("#written-note")
    served.answers["/api/notice"] = notice(written_octets=4096)
    reader = read(served.url)
    reader.verdict("holds")
    assert reader.figures()["Skrevet til disken"].startswith("4.096 byte siden ")
    assert reader.page.is_visible("#written-note")
    served.answers["/api/notice"] = notice(written_octets=None, since_ms=None)
    reader = read(served.url)
    reader.verdict("holds")
    assert reader.figures()["Skrevet til disken"] == "vides ikke"


def test_a_lost_server_is_said_and_its_return_too(served, read) -> None:
    reader = read(served.url)
    reader.verdict("holds")
    served.silent = True
    assert reader.verdict("not_checked", 15) == "Det vides ikke lige nu"
    assert "0 byte" not in str(reader.figures())
    assert reader.figures()["Nyeste bevis"] == "vides ikke"
    served.silent = False
    reader.verdict("holds", 8)


def test_a_server_that_was_never_there_is_not_known(served, read) -> None:
    served.silent = True
    reader = read(served.url)
    assert reader.verdict("not_checked") == "Det vides ikke lige nu" or reader.page.wait_for_function(
        "() => document.querySelector('#verdict-title').textContent === 'Det vides ikke lige nu'"
    )
    assert reader.parts() == []


def test_the_age_of_an_answer_counts_against_it(ask) -> None:
    verdict = "return args[0].map(([notice, age]) => m.noticeVerdict(notice, age));"
    fine, later = notice(proof_age_ms=80_000), notice(proof_age_ms=0)
    cases = [[None, 0], [fine, 9000], [fine, 11_000], [later, 25_000], [later, 25_001]]
    assert ask("notice-view", verdict, cases) == ["not_checked", "holds", "broken", "holds", "not_checked"]


def test_gaps_are_left_out(served, read) -> None:
    gaps = {"controller": "", "legal_bases": [], "legitimate_interest": "", "article_9": "", "policy_url": ""}
    served.answers["/api/notice"] = notice(**gaps)
    reader = read(served.url)
    reader.verdict("holds")
    parts = reader.parts()
    assert not {"part-who", "part-grounds", "part-policy"} & set(parts)
    assert {"part-purpose", "part-data", "part-kept", "part-no-camera", "part-rights"} <= set(parts)
    text = reader.page.inner_text("#parts")
    assert "litra" not in text
    assert "indsigelse" not in text, "there is no right to object without Article 6(1)(f)"
    assert "{" not in text


def test_an_interest_is_said_only_with_its_basis(ask) -> None:
    keys = "return m.noticeParts(args[0]).flatMap(({ said }) => said.map(({ key }) => key));"
    with_f, without = notice(), notice(legal_bases=["6(1)(e)"])
    assert "notice.interest" in ask("notice-view", keys, with_f)
    said = ask("notice-view", keys, without)
    assert "notice.basis.e" in said
    assert not {"notice.interest", "notice.rights.object"} & set(said)


# ---- how it reads ---------------------------------------------------------------------------------------------------


def test_the_language_is_switched_and_kept(served, read) -> None:
    reader = read(served.url)
    reader.verdict("holds")
    reader.page.click("#language")
    assert reader.verdict("holds") == "The pictures are not stored"
    assert reader.page.get_attribute("html", "lang") == "en"
    assert "bytes since" in str(reader.figures())
    reader.page.reload()
    assert reader.verdict("holds") == "The pictures are not stored"
    assert read(served.url, locale="en-GB").verdict("holds") == "The pictures are not stored"
    assert read(served.url, locale="fr-FR").verdict("holds") == "Billederne gemmes ikke"


BELOW_16_PX = """() => [...document.querySelectorAll("body *")].filter((node) => node.textContent.trim() &&
  !node.children.length && node.getClientRects().length && parseFloat(getComputedStyle(node).fontSize) < 16)
  .map((node) => node.textContent)"""
TOO_SMALL_TO_TOUCH = """() => [...document.querySelectorAll("button, a")].filter((node) =>
  node.getClientRects().length && node.getBoundingClientRect().height < 44).map((node) => node.textContent)"""


@pytest.mark.parametrize("width", [320, 390, 1366, 1920])
def test_it_can_be_read_and_touched(served, read, width) -> None:
    reader = read(served.url, viewport={"width": width, "height": 800})
    reader.verdict("holds")
    assert reader.page.evaluate(BELOW_16_PX) == []
    assert reader.page.evaluate(TOO_SMALL_TO_TOUCH) == []
    assert reader.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off"


def test_its_headings_are_in_order_and_the_verdict_is_read_aloud(served, read) -> None:
    reader = read(served.url)
    reader.verdict("holds")
    levels = reader.page.evaluate("() => [...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert reader.page.get_attribute("#verdict", "role") == "status"
    assert reader.page.locator("#verdict svg[aria-hidden=true]").count() == 1
    assert reader.page.locator("video, img").count() == 0


def test_it_prints_without_its_buttons(served, read) -> None:
    reader = read(served.url)
    reader.verdict("holds")
    reader.page.emulate_media(media="print")
    assert not reader.page.is_visible("#language")
    assert not reader.page.is_visible("#print")
    assert reader.page.is_visible("#verdict")
    assert "https://clinic.example/privatliv" in reader.page.inner_text("#parts"), "a link on paper needs its address"


# ---- a whole site ---------------------------------------------------------------------------------------------------


@pytest.mark.whole
def test_on_a_whole_site_without_a_sign_in(browser, read, tmp_path) -> None:
    bays = [{"id": f"bay-{number}", "name": f"Leje {number}", "camera": "pattern:"} for number in (1, 2)]
    with running_site(tmp_path, bays, media={"enforce": "warn"}) as site:
        for bay in ("bay-1", "bay-2"):
            site.wait_for(bay, "live", 10)
        reader = read(site.url)
        reader.page.wait_for_selector("#figures dd")
        figures = reader.figures()
        assert figures["Kameraer, der viser billeder nu"] == "2"
        assert figures["Skrevet til disken"].startswith("0 byte siden ")
        text = reader.page.inner_text("body")
        assert "Testklinik" in text
        assert "Leje" not in text
        assert "bay-" not in text
        site.stop()
        assert reader.verdict("not_checked", 20) == "Det vides ikke lige nu"
