"""No word of the patient's page is ever cut off, and the button keeps its size whatever it says."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.fakes.web_pages import WEB, WebPages

pytestmark = pytest.mark.browser

SIZES = [(390, 844), (844, 390), (1024, 768), (1280, 800), (1920, 1080)]
VIEWS = [
    *("loading", "closed-page", "idle", "offline", "sending", "unheard"),
    *("received", "unseen", "shown", "coming", "here", "closed"),
]
DRAW = """async (says) => {
  const { setIcon } = await import("/dom.js");
  const { BUTTON_ICONS } = await import("/button-view.js");
  const seen = [];
  for (const [view, title, text, note] of says) {
    document.body.dataset.view = view;
    setIcon(document.querySelector("#picture"), BUTTON_ICONS[view]);
    for (const [id, words] of [["title", title], ["text", text], ["note", note]]) {
      document.getElementById(id).textContent = words;
    }
    const box = (selector) => { const r = document.querySelector(selector).getBoundingClientRect(); return r.toJSON() };
    const [press, picture, titleBox, textBox, noteBox] =
      ["#press", "#picture", "#title", "#text", "#note"].map(box);
    const words = note ? [textBox, noteBox] : [textBox];
    seen.push({ view, press: [press.width, press.height],
      inButton: [picture, titleBox].every((b) => b.top >= press.top && b.bottom <= press.bottom
        && b.left >= press.left && b.right <= press.right),
      onScreen: words.every((b) => b.top >= press.bottom && b.bottom <= innerHeight && b.left >= 0
        && b.right <= innerWidth) });
  }
  return seen;
}"""


def sayings(language: str) -> list[list[str]]:
    """(view, title, text, note), with the longest note that the page may put under the view's text."""
    words = json.loads((WEB / "text" / f"{language}.json").read_text())
    notes = {
        "closed-page": words["button.closed-page.staff"],
        **dict.fromkeys(("received", "shown", "coming"), words["button.offline-note"]),
    }
    return [
        [
            view,
            words[f"button.{view}.title"],
            words["button.shown.other"].replace("{count}", "12") if view == "shown" else words[f"button.{view}.text"],
            notes.get(view, ""),
        ]
        for view in VIEWS
    ]


@pytest.fixture(scope="module")
def page(browser: Browser, pages: WebPages) -> Iterator[Page]:
    """The page without its script, so that it says what the test says."""
    context = browser.new_context(locale="da-DK")
    opened = context.new_page()
    opened.route("**/button.js", lambda route: route.fulfill(status=200, content_type="text/javascript", body=""))
    opened.goto(f"{pages.url}/button.html")
    yield opened
    context.close()


def test_the_views_are_all_of_them(page: Page) -> None:
    known = page.evaluate("async () => Object.keys((await import('/button-view.js')).BUTTON_ICONS)")
    assert sorted(VIEWS) == sorted(known)


@pytest.mark.parametrize("language", ["da", "en"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_all_words_are_seen_whole(page: Page, width: int, height: int, language: str) -> None:
    page.set_viewport_size({"width": width, "height": height})
    seen = page.evaluate(DRAW, sayings(language))
    for each in seen:
        assert each["inButton"], (each, width, height)
        assert each["onScreen"], (each, width, height)
    assert len({tuple(map(round, each["press"])) for each in seen}) == 1, seen
