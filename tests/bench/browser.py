"""A real Chromium at one of the senders' pages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from playwright.sync_api import Page, sync_playwright

from tests.bench.senders import Sender
from tests.conftest import CHROMIUM_FLAGS, find_chromium

_SIGN_IN = """async (code) => {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch("/api/session", { method: "POST", headers, body: JSON.stringify({ code }) });
  if (!answer.ok) throw new Error(`sign-in: status ${answer.status}`);
}"""


@contextlib.contextmanager
def page_at(sender: Sender, path: str) -> Iterator[Page]:
    """A page of the sender's, signed in where it asks for that. Raises RuntimeError where there is no browser."""
    chromium = find_chromium()
    if chromium is None:
        raise RuntimeError("no Chromium: `make setup-test` installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            if code := sender.code():
                page.goto(f"{sender.url}/sign-in")
                page.evaluate(_SIGN_IN, code)
            page.goto(sender.url + path)
            yield page
        finally:
            browser.close()
