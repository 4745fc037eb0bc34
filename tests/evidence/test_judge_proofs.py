"""What the processes' own proofs mean: every way that is known belongs to a row, and none that fails is passed over."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from monitor.evidence.judge_proofs import PROOF_ROWS, judge_proofs, row_of_attempt, row_of_lock
from monitor.evidence.words import LANGUAGES, shown
from monitor.media import seal
from monitor.media.seal_proof import states
from monitor.media.seal_ways_calls import ways_of_calls
from monitor.media.seal_ways_files import ways_in, ways_of_opening
from tests.sealed.launch import ask

NAMES = sorted({way.name for way in (*states("no-swap"), *ways_of_calls(), *ways_of_opening(), *ways_in("/nowhere"))})


def proof(thread: str) -> dict[str, Any]:
    attempts = [{"name": name, "where": "", "refused": True, "answer": "EPERM"} for name in NAMES]
    return {"thread": thread, "holds": True, "tried": 96, "refused": 96, "attempts": attempts, "written_octets": 0}


def process() -> dict[str, Any]:
    return {"pid": 4711, "missing": [], "proofs": [proof("first"), proof("second")]}


def verdicts(processes: list[dict[str, Any]]) -> dict[int, str]:
    findings = judge_proofs(processes)
    for finding in findings:
        for language in LANGUAGES:
            shown(language, finding)
    return {each.row: each.verdict for each in findings}


def broken(processes: list[dict[str, Any]]) -> list[int]:
    return [row for row, verdict in verdicts(processes).items() if verdict == "broken"]


def test_every_way_and_every_lock_of_the_seal_belongs_to_a_row() -> None:
    assert len(NAMES) > 60
    assert {row_of_attempt(name) for name in NAMES} == set(PROOF_ROWS)
    assert {row_of_lock(name) for name in seal.LOCKS} <= set(PROOF_ROWS)


def test_a_way_without_a_row_is_found() -> None:
    with pytest.raises(KeyError):
        row_of_attempt("send by pigeon")
    with pytest.raises(KeyError):
        row_of_lock("paper")


def test_whole_proofs_hold_and_say_how_much_was_tried() -> None:
    assert verdicts([process()]) == dict.fromkeys(PROOF_ROWS, "holds")
    first = shown("en", judge_proofs([process(), process()])[0])
    assert "384 attempts" in str(first["seen"])
    assert "4 threads" in str(first["seen"])


@pytest.mark.parametrize("name", NAMES)
def test_a_way_that_succeeded_breaks_its_row(name: str) -> None:
    leaky = process()
    attempt = next(each for each in leaky["proofs"][1]["attempts"] if each["name"] == name)
    attempt |= {"refused": False, "answer": "succeeded", "where": "/dev/shm"}
    leaky["proofs"][1] |= {"holds": False, "refused": 95}
    assert broken([process(), leaky]) == [row_of_attempt(name)]
    why = [finding.why for finding in judge_proofs([leaky]) if finding.verdict == "broken"]
    assert dict(why[0][0].values) == {"pid": 4711, "name": name, "where": "/dev/shm", "answer": "succeeded"}


@pytest.mark.parametrize("lock", list(seal.LOCKS))
def test_a_lock_that_is_missing_breaks_its_row(lock: str) -> None:
    assert broken([{**process(), "missing": [lock]}]) == [row_of_lock(lock)]


def test_a_proof_that_is_not_whole_or_counts_writing_breaks_the_first_row() -> None:
    cut, writing = process(), process()
    cut["proofs"][0] |= {"holds": False, "refused": 95}
    writing["proofs"][0]["written_octets"] = 20 << 20
    assert broken([cut]) == broken([writing]) == [1]
    writing["proofs"][0]["written_octets"] = 500_000  # access times of the files that it read
    assert broken([writing]) == []


def test_what_is_not_proved_never_holds() -> None:
    assert set(verdicts([])) == set(PROOF_ROWS)
    for missing in ({"proofs": []}, {"proofs": [proof("first")]}, {"proofs": [proof("first"), proof("first")]}):
        assert verdicts([process(), {**process(), **missing}]) == dict.fromkeys(PROOF_ROWS, "not_checked")
    assert verdicts([]) == dict.fromkeys(PROOF_ROWS, "not_checked")


def test_what_was_not_tried_or_is_not_known_never_holds() -> None:
    less, more = process(), process()
    for each in less["proofs"]:
        each["attempts"] = [one for one in each["attempts"] if row_of_attempt(one["name"]) != 10]
    more["proofs"][0]["attempts"].append({"name": "new way", "where": "", "refused": True, "answer": "EPERM"})
    assert [row for row, verdict in verdicts([less]).items() if verdict == "not_checked"] == [10]
    assert [row for row, verdict in verdicts([more]).items() if verdict == "not_checked"] == [1]
    failing = copy.deepcopy(more)
    failing["proofs"][0]["attempts"][-1]["refused"] = False
    assert broken([failing]) == [1]


LOCKS_OFF = {
    "landlock": {1},
    "fsize": {2},
    "core": {6},
    "undumpable": {7},
    "no-new-privs": {3},
}


@pytest.mark.sealed
@pytest.mark.parametrize("lock", LOCKS_OFF)
def test_a_real_proof_with_a_lock_off_breaks_that_lock_s_row(tmp_path: Path, lock: str) -> None:
    said = ask("proof", tmp_path, lock)
    found = set(broken([{"pid": 1, "missing": [], "proofs": said["proofs"]}]))
    print(f"without {lock}: rows {sorted(found)}")
    assert found == LOCKS_OFF[lock]


@pytest.mark.sealed
def test_a_real_proof_holds(tmp_path: Path) -> None:
    said = ask("proof", tmp_path)
    assert verdicts([{"pid": 1, "missing": [], "proofs": said["proofs"]}]) == dict.fromkeys(PROOF_ROWS, "holds")
