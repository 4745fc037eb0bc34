"""Real Chromium against a whole site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import Chromium
from tests.fakes import wall_page
from tests.fakes.site import VigilSite
from tests.fakes.web_pages import WebPages, running_pages


@pytest.fixture(scope="module")
def browser(chromium: Chromium) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium.path, args=list(chromium.flags))
        yield running
        running.close()


class Screen:
    """A staff screen: a page that is signed in, and what went wrong on it."""

    def __init__(self, browser: Browser, site: VigilSite, role: str = "nurse") -> None:
        self.context = browser.new_context(viewport={"width": 1920, "height": 1080}, locale="da-DK")
        self.page: Page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda message: self._note(message.type, message.text))
        wall_page.sign_in(self.page, site, role)

    def _note(self, kind: str, text: str) -> None:
        if kind == "error" and "Content Security Policy" in text:
            self.faults.append(text)

    def frames(self) -> int:
        """Pictures that the first tile's decoder has given so far."""
        return wall_page.frames(self.page)

    def wait_for_frames(self, more: int, seconds: float = 15) -> None:
        wall_page.wait_for_frames(self.page, self.frames() + more, seconds)

    def close(self) -> None:
        self.context.close()
        assert self.faults == []


@pytest.fixture(scope="module")
def pages() -> Iterator[WebPages]:
    """The web pages alone, under the real content security policy."""
    with running_pages() as running:
        yield running


@pytest.fixture(scope="module")
def blank(browser: Browser, pages: WebPages) -> Iterator[Page]:
    """An empty page of that server."""
    context = browser.new_context(locale="da-DK")
    opened = context.new_page()
    opened.goto(f"{pages.url}/blank")
    yield opened
    context.close()


@pytest.fixture(scope="module")
def ask(blank: Page) -> Callable[..., Any]:
    """`ask(module, body, *arguments)` imports a module as the pages do; `body` is a function's, of `m` and `args`."""

    def run(module: str, body: str, *arguments: object) -> Any:
        script = f"async ([path, ...args]) => {{ const m = await import(path); {body} }}"
        return blank.evaluate(script, [f"/{module}.js", *arguments])

    return run
