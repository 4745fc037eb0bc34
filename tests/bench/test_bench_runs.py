"""The bench still runs: each measurement once, in its smallest form. No figure is judged here but for being one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import fanout, first_frame, press, watch
from tests.bench.report import Result, Row, quantile
from tests.bench.senders import Picture

pytestmark = pytest.mark.whole
SMALL = Picture(width=320, height=180, kbits=500)


def _complete(result: Result, folder: Path) -> None:
    """It can be printed and kept, and every row was measured."""
    table = result.table()
    assert all(row.label in table for row in result.rows)
    kept = json.loads(result.save(folder).read_text())
    assert [row["label"] for row in kept["rows"]] == [row.label for row in result.rows]
    assert all(row["vigil"]["values"] for row in kept["rows"])


def _values(result: Result, label: str) -> Row:
    return next(row for row in result.rows if row.label == label)


def test_fanout(tmp_path: Path) -> None:
    setting = fanout.Setting(viewers=2, rounds=1, window=1.0, settle=0.5, picture=SMALL)
    result = fanout.measure(setting)
    _complete(result, tmp_path)
    for values in (_values(result, "viewers that got packets").vigil, _values(result, "viewers that got packets").peer):
        assert values == [setting.viewers]
    rate = _values(result, "packets a viewer and second")
    # At least one packet for each picture, or what was counted are not the camera's pictures.
    assert min(rate.vigil + rate.peer) > SMALL.fps * 0.6


def test_watch(tmp_path: Path) -> None:
    result = watch.measure(watch.Setting(rounds=3, processes=1, bays=1))
    _complete(result, tmp_path)
    one, share, proofs, both = (row.vigil[0] for row in result.rows)
    assert 0 < one < 1000 and 0 < share < both and 0 < proofs < both


@pytest.mark.browser
def test_first_frame(tmp_path: Path) -> None:
    result = first_frame.measure(first_frame.Setting(repetitions=1, rounds=1, warm_up=0, pause_ms=0, picture=SMALL))
    _complete(result, tmp_path)
    offer, start = result.rows
    for from_offer, from_start in ((offer.vigil, start.vigil), (offer.peer, start.peer)):
        assert 0 < from_offer[0] < from_start[0]


@pytest.mark.browser
def test_press(tmp_path: Path) -> None:
    result = press.measure(press.Setting(presses=2, warm_up=0, picture=SMALL))
    _complete(result, tmp_path)
    shown, drawn, answered = (row.vigil for row in result.rows)
    assert all(0 < first < second for first, second in zip(shown, drawn, strict=True))
    assert len(shown) == len(answered) == 2


def test_quantiles_are_values_that_were_seen() -> None:
    values = [float(number) for number in range(1, 51)]
    assert quantile(values, 0.99) == 50
    assert quantile(values, 0.9) == 45
    assert quantile(values, 0.5) == 25
    assert quantile([7.0], 0.9) == 7


def test_a_ratio_comes_with_its_spread() -> None:
    row = Row("CPU", "us", vigil=[2.0, 4.0], peer=[20.0, 40.0])
    assert row.ratio() == "10 (5 to 20)"
    assert row.cell(row.vigil) == "3 (2 to 4)"
    assert Row("press", "ms", vigil=[2.0]).ratio() == "-"


def test_a_goal_that_is_missed_is_said() -> None:
    result = Result("x", {}, [Row("late", "ms", [300.0], goal=250), Row("soon", "ms", [200.0], goal=250)])
    assert "late under 250 ms: NOT met" in result.table()
    assert "soon under 250 ms: met" in result.table()
