"""What tests do on the wall in a real browser: sign in, and count the pictures that its first tile has shown."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.fakes.site import VigilSite

_FRAMES = "document.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames ?? 0"


def sign_in(page: Page, site: VigilSite, role: str = "nurse") -> None:
    """Open the wall by the sign-in link."""
    page.goto(f"{site.url}/sign-in#{site.token(role)}")
    page.wait_for_url(f"{site.url}/")


def frames(page: Page) -> int:
    """Pictures that the first tile's decoder has given so far."""
    return page.evaluate(f"() => {_FRAMES}")


def wait_for_frames(page: Page, count: int, seconds: float = 15) -> None:
    """Wait until it has given more than `count`."""
    page.wait_for_function(f"count => ({_FRAMES}) > count", arg=count, timeout=seconds * 1000)
