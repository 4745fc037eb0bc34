"""The wall fills the screen, whatever the number of bays: the choice of the grid, and the real page laid out by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.fakes.web_pages import WebPages

pytestmark = pytest.mark.browser

Ask = Callable[..., Any]
SIZES = [(1920, 1080), (1366, 768), (390, 844)]

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
            "([count, width]) => document.querySelectorAll('vigil-bay').length === count && innerWidth === width"
            " && document.querySelector('#loading').hidden",
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
