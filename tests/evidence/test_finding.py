"""Findings: what contradicts itself is refused, a skip never holds, and one row's parts add up to the worst of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evidence.finding import (
    MAX_SAID,
    MAX_VALUE,
    ROWS,
    Finding,
    all_rows,
    broken,
    combined,
    from_json,
    holds,
    impossible,
    is_complete,
    said,
    skipped,
    to_json,
)

SEEN, WHY = said("door.types", largest=1), said("door.unsafe", where="x")
PARTS = st.sampled_from([holds(3, SEEN), broken(3, WHY, SEEN), skipped(3, WHY), impossible(3, WHY)])


@pytest.mark.parametrize(
    ("row", "verdict", "why", "possible"),
    [
        (0, "holds", (), False),
        (21, "holds", (), False),
        (1, "holds", (WHY,), False),
        (1, "broken", (), False),
        (1, "not_checked", (), True),
        (1, "broken", (WHY,), True),
    ],
)
def test_what_contradicts_itself_is_refused(row: int, verdict: str, why: tuple, possible: bool) -> None:
    with pytest.raises(ValueError, match=r"row|reason|skipped"):
        Finding(row, verdict, (), why, possible)  # type: ignore[arg-type]


@given(st.lists(PARTS, min_size=1))
def test_a_row_is_as_its_worst_part(parts: list[Finding]) -> None:
    (one,) = combined(parts)
    verdicts = {part.verdict for part in parts}
    assert one.verdict == (
        "broken" if "broken" in verdicts else "not_checked" if "not_checked" in verdicts else "holds"
    )
    if one.verdict == "not_checked":
        assert is_complete([one]) != any(part.possible for part in parts)
    else:
        assert is_complete([one]) == (one.verdict == "holds")


def test_a_skip_never_counts_as_holding() -> None:
    assert not is_complete([holds(1), skipped(2, WHY)])
    assert not is_complete([broken(1, WHY)])
    assert is_complete([holds(1), impossible(14, WHY)])


def test_a_row_that_nobody_spoke_of_is_skipped() -> None:
    found = all_rows([holds(4)], WHY)
    assert [each.row for each in found] == list(ROWS)
    assert [each.row for each in found if each.verdict == "holds"] == [4]
    assert not is_complete(found)


def test_reasons_are_bounded() -> None:
    (one,) = combined([broken(1, said("process.child", pid=pid, child=0)) for pid in range(300)])
    assert len(one.why) == MAX_SAID
    assert one.why[-1] == said("finding.more", count=300 - MAX_SAID + 1)
    assert len(str(said("x", path="y" * 10_000).values["path"])) == MAX_VALUE


@given(PARTS)
def test_it_comes_back_as_it_was_kept(finding: Finding) -> None:
    assert from_json(json.loads(json.dumps(to_json(finding)))) == finding


@pytest.mark.parametrize("change", [{"row": "3"}, {"row": True}, {"verdict": "fine"}, {"possible": 1}, {"seen": {}}])
def test_what_is_not_a_finding_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"not a|row|reason|skipped"):
        from_json({**to_json(holds(3, SEEN)), **change})
