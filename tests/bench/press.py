"""Press: from the POST of a patient's press to a staff page that shows the call, in a real Chromium.

The wall shows its live picture meanwhile, as it does in a ward. Both moments are read from the same machine's clock.
No peer does this; what the figure is held against is the answer to the same POST, which comes when the call stands in
the journal, on the disk.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import httpx2
from playwright.sync_api import Page

from tests.bench.browser import page_at
from tests.bench.report import Result, Row
from tests.bench.senders import BAY, BUTTON, PICTURE, Picture, Vigil

GOAL_MS = 100.0
TIMEOUT_MS = 5000.0

# timeOrigin + now() is the wall clock of this machine in ms, as time.time() reads it, with more digits than Date.now().
_SET_UP = """() => {
  window.shownCalls = [];
  const clock = () => performance.timeOrigin + performance.now();
  new MutationObserver((records) => {
    const at = clock();
    const added = records.flatMap((record) => [...record.addedNodes]);
    if (!added.some((node) => node instanceof Element && node.matches(".call"))) return;
    const seen = { shown: at, drawn: 0 };
    window.shownCalls.push(seen);
    // The second frame begins when the first one, with the call in it, was drawn.
    requestAnimationFrame(() => requestAnimationFrame(() => { seen.drawn = clock(); }));
  }).observe(document.getElementById("calls"), { childList: true, subtree: true });
}"""


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    presses: int = 50
    picture: Picture = PICTURE
    warm_up: int = 2
    """Presses that are not counted."""
    pause_s: float = 0.3
    """The longest pause before a press."""


@dataclass(frozen=True)
class Pressed:
    """One press; milliseconds from just before the POST."""

    answered: float
    shown: float
    drawn: float


def measure(setting: Setting | None = None) -> Result:
    """Press, see it on the wall, close the call, again."""
    setting = setting or Setting()
    chance = random.Random(1)
    with (
        tempfile.TemporaryDirectory(prefix="vigil-bench-") as folder,
        setting.picture.camera() as camera,
        contextlib.ExitStack() as stack,
    ):
        vigil = Vigil(Path(folder) / "vigil", camera.url())
        stack.callback(vigil.stop)
        nurse = stack.enter_context(vigil.site.http("nurse"))
        button = stack.enter_context(vigil.site.http("button", BUTTON))
        page = stack.enter_context(page_at(vigil, "/"))
        page.wait_for_selector("vigil-bay[data-state=live]", timeout=15_000)
        page.evaluate(_SET_UP)
        seen = [
            _press(page, button, nurse, chance.uniform(0, setting.pause_s))
            for _ in range(setting.warm_up + setting.presses)
        ]
    seen = seen[setting.warm_up :]
    shown, answered = [one.shown for one in seen], [one.answered for one in seen]
    return Result(
        "press",
        {"presses": setting.presses, "wall": "one live picture", **setting.picture.conditions()},
        [
            Row("press to shown on the staff page", "ms", shown, tail=0.99, goal=GOAL_MS),
            Row("press to drawn there", "ms", [one.drawn for one in seen], tail=0.99),
            Row("press to answered, in the journal", "ms", answered, tail=0.99),
        ],
        [f"shown / answered, of the medians: {statistics.median(shown) / statistics.median(answered):.3g}"],
    )


def _press(page: Page, button: httpx2.Client, nurse: httpx2.Client, pause: float) -> Pressed:
    time.sleep(pause)
    page.evaluate("() => { window.shownCalls.length = 0; }")
    body = {"id": str(uuid.uuid4()), "button": BUTTON}
    began = time.time() * 1000
    answer = button.post(f"/api/bays/{BAY}/calls", json=body)
    answered = time.time() * 1000
    if answer.status_code != 201:
        raise RuntimeError(f"the press was answered {answer.status_code}")
    page.wait_for_function("() => window.shownCalls[0]?.drawn", timeout=TIMEOUT_MS)
    (seen,) = page.evaluate("() => window.shownCalls")
    closed = nurse.post(f"/api/calls/{answer.json()['id']}/close", json={"presence": True})
    if closed.status_code != 200:
        raise RuntimeError(f"the call was not closed: {closed.status_code}")
    page.wait_for_function("() => !document.querySelector('#calls .call')", timeout=TIMEOUT_MS)
    return Pressed(answered - began, seen["shown"] - began, seen["drawn"] - began)
