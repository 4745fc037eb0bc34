"""First picture: from the offer to the first picture in a real Chromium, by the wall's own `whep.js`.

Vigil beside a sender of stock aiortc, by turns on the same camera, whose keyframes come once a second. Each repetition
begins at another moment between two keyframes. The end is what `requestVideoFrameCallback` calls the first picture: it
was decoded before that, so the true figure is smaller.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.browser import page_at
from tests.bench.report import Result, Row
from tests.bench.senders import BAY, PICTURE, AiortcPeer, Picture, Sender, Vigil

GOAL_MS = 250.0
PATHS = {Vigil.name: "/sign-in", AiortcPeer.name: "/"}
"""Pages that show no picture of their own."""

_SET_UP = """async () => {
  const { WhepViewer } = await import("/whep.js");
  const video = document.createElement("video");
  video.muted = video.autoplay = video.playsInline = true;
  document.body.replaceChildren(video);
  const plain = window.fetch;
  let offered = 0;
  window.fetch = (path, options) => {
    if (options?.method === "POST") offered = performance.now();
    return plain(path, options);
  };
  window.firstPicture = async (bay) => {
    let viewer;
    const started = performance.now();
    const seen = new Promise((resolve, reject) => {
      viewer = new WhepViewer(bay, "main", video, () => resolve(performance.now()));
      setTimeout(() => reject(new Error(`no picture: ${viewer.state} ${viewer.trouble}`)), 10000);
    });
    viewer.start();
    try {
      const at = await seen;
      return { fromOffer: at - offered, fromStart: at - started, height: video.videoHeight };
    } finally {
      viewer.stop();
      video.srcObject = null;
    }
  };
}"""


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    repetitions: int = 30
    """Of each sender, over all rounds."""
    rounds: int = 2
    warm_up: int = 2
    """Repetitions that are not counted: they load scripts, decoder and DTLS for the first time."""
    pause_ms: float = 1000.0
    """The longest pause before a repetition: the keyframe interval, so that every phase of it comes."""
    picture: Picture = PICTURE


def measure(setting: Setting | None = None) -> Result:
    """A B A B: every sender `rounds` times, by turns."""
    setting = setting or Setting()
    makers: list[Callable[[Path, str], Sender]] = [Vigil, AiortcPeer]
    from_offer: dict[str, list[float]] = {Vigil.name: [], AiortcPeer.name: []}
    from_start: dict[str, list[float]] = {Vigil.name: [], AiortcPeer.name: []}
    chance = random.Random(1)
    with (
        tempfile.TemporaryDirectory(prefix="vigil-bench-") as folder,
        setting.picture.camera() as camera,
    ):
        for number in range(setting.rounds):
            count = setting.repetitions // setting.rounds + (number < setting.repetitions % setting.rounds)
            for make in makers:
                with contextlib.ExitStack() as stack:
                    sender = make(Path(folder) / f"{number}", camera.url())
                    stack.callback(sender.stop)
                    for seen in _repeat(sender, count, setting, chance):
                        from_offer[sender.name].append(seen["fromOffer"])
                        from_start[sender.name].append(seen["fromStart"])
    return Result(
        "first_frame",
        {
            "repetitions": setting.repetitions,
            "rounds": setting.rounds,
            **setting.picture.conditions(),
        },
        [
            _row("offer to first picture", from_offer, GOAL_MS),
            _row("start of the page's viewer to first picture", from_start, None),
        ],
    )


def _row(label: str, values: dict[str, list[float]], goal: float | None) -> Row:
    return Row(label, "ms", values[Vigil.name], values[AiortcPeer.name], tail=0.9, goal=goal)


def _repeat(sender: Sender, count: int, setting: Setting, chance: random.Random) -> list[dict[str, float]]:
    with page_at(sender, PATHS[sender.name]) as page:
        page.evaluate(_SET_UP)
        seen: list[dict[str, float]] = []
        for _ in range(setting.warm_up + count):
            page.wait_for_timeout(chance.uniform(0, setting.pause_ms))
            one: dict[str, float] = page.evaluate("(bay) => window.firstPicture(bay)", BAY)
            if one["height"] != setting.picture.height:
                raise RuntimeError(f"the picture is {one['height']} lines high, not {setting.picture.height}")
            seen.append(one)
    return seen[setting.warm_up :]
