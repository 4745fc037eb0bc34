"""What facts about the machine mean for media processes that run on it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from monitor.evidence.finding import Finding
from monitor.evidence.judge_machine import DUTIES, is_locked, judge_machine
from monitor.evidence.machine import MachineFacts, SegmentFacts, SwapFacts
from monitor.evidence.proc import ProcessFacts, read_process
from monitor.evidence.words import LANGUAGES, shown, word
from tests.evidence.recorded import PID, sealed
from tests.sealed.launch import harness

BARE = MachineFacts(core_pattern="core", kernel="6.12.9", architecture="x86_64", root_filesystem="ext4")
DISK = SwapFacts("/dev/dm-1", "partition", 8388604, 0, in_memory=False)
ZRAM = SwapFacts("/dev/zram0", "partition", 4194300, 0, in_memory=True)
LOCKED = sealed(vm_locked_kb=612340)


def found(machine: MachineFacts, *processes: ProcessFacts) -> dict[int, Finding]:
    findings = judge_machine(machine, processes)
    for finding in findings:
        for language in LANGUAGES:
            shown(language, finding)
    return {each.row: each for each in findings}


def verdicts(machine: MachineFacts, *processes: ProcessFacts) -> dict[int, str]:
    return {row: finding.verdict for row, finding in found(machine, *processes).items()}


def on(**changed: object) -> MachineFacts:
    return dataclasses.replace(BARE, **changed)  # type: ignore[arg-type]


def test_a_bare_machine_holds_and_what_is_below_it_is_the_operator_s() -> None:
    assert verdicts(BARE, sealed()) == {4: "holds", 5: "holds", 6: "holds", 7: "holds", 14: "not_checked"}
    below = found(BARE, sealed())[14]
    assert not below.possible


FAULTS = [
    ("a segment it made", on(segments=(SegmentFacts(5, 4096, PID, 1),)), sealed(), 4),
    ("a segment it used", on(segments=(SegmentFacts(5, 4096, 1, PID),)), sealed(), 4),
    ("swap, memory not locked", on(swaps=(DISK,)), sealed(), 5),
    ("swap, a page locked", on(swaps=(DISK,)), sealed(vm_locked_kb=4), 5),
    ("swap beside zram", on(swaps=(ZRAM, DISK)), sealed(), 5),
    ("hibernation to swap", on(swaps=(DISK,), hibernation=True), LOCKED, 5),
    ("hibernation, group without swap", on(swaps=(DISK,), hibernation=True), sealed(cgroup_no_swap=True), 5),
]


@pytest.mark.parametrize(("name", "machine", "process", "row"), FAULTS, ids=[each[0] for each in FAULTS])
def test_one_fault_breaks_its_row_only(name: str, machine: MachineFacts, process: ProcessFacts, row: int) -> None:
    broken = [each for each, verdict in verdicts(machine, LOCKED, process).items() if verdict == "broken"]
    print(f"{name:32} → {broken}")
    assert broken == [row]


def test_one_process_that_is_not_locked_is_named() -> None:
    why = found(on(swaps=(DISK,)), LOCKED, sealed(pid=77))[5].why
    assert [dict(each.values) for each in why] == [{"paths": "/dev/dm-1", "pid": 77}]


@pytest.mark.parametrize(
    ("machine", "process", "key"),
    [
        (on(swaps=(DISK,)), LOCKED, "machine.swap-locked"),
        (on(swaps=(DISK,)), sealed(cgroup_no_swap=True), "machine.swap-cgroup"),
        (on(swaps=(ZRAM,)), sealed(), "machine.swap-in-memory"),
        (on(swaps=(ZRAM,), hibernation=True), sealed(), "machine.hibernation-no-swap"),
        (on(hibernation=True), sealed(), "machine.hibernation-no-swap"),
        (on(zswap=True), sealed(), "machine.zswap"),
        (BARE, sealed(), "machine.no-swap"),
    ],
)
def test_what_keeps_memory_from_a_disk_is_said(machine: MachineFacts, process: ProcessFacts, key: str) -> None:
    finding = found(machine, process)[5]
    assert finding.verdict == "holds"
    assert key in [each.key for each in finding.seen]


def test_a_segment_of_another_program_breaks_nothing() -> None:
    assert verdicts(on(segments=(SegmentFacts(5, 4096, 1, 2),)), sealed())[4] == "holds"


def test_what_may_not_be_read_never_holds() -> None:
    for hidden in ("/proc/swaps", "/sys/power/state"):
        assert verdicts(on(unreadable=(hidden,)), sealed())[5] == "not_checked"


def test_with_no_process_only_what_the_machine_alone_can_show_holds() -> None:
    assert verdicts(BARE) == {4: "not_checked", 5: "holds", 6: "not_checked", 7: "not_checked", 14: "not_checked"}
    assert verdicts(on(swaps=(DISK,)))[5] == "not_checked"
    assert verdicts(on(swaps=(DISK,), hibernation=True))[5] == "broken"


def test_hints_of_what_is_below_are_named() -> None:
    machine = on(virtual=("hypervisor",), container=("docker",), root_filesystem="overlay", lsm=("landlock",))
    words = str(shown("en", found(machine)[14])["seen"])
    for hint in ("hypervisor", "docker", "overlay", "landlock"):
        assert hint in words
    assert "No signs" not in words
    assert "No signs" in str(shown("en", found(on(lsm=("landlock",)))[14])["seen"])


def test_every_duty_says_what_and_which_setting() -> None:
    for language in LANGUAGES:
        for duty in DUTIES:
            assert len(word(language, f"duty.{duty}.what")) > 20
            assert len(word(language, f"duty.{duty}.do")) > 20


@pytest.mark.sealed
@pytest.mark.skipif(os.geteuid() != 0, reason="locking memory needs CAP_IPC_LOCK or a limit")
def test_a_process_that_locked_its_memory_is_seen_from_outside(tmp_path: Path) -> None:
    swaps = tmp_path / "swaps"
    swaps.write_text("Filename Type Size Used Priority\n/dev/dm-1 partition 8388604 0 -3\n")
    with harness("hang", tmp_path, swaps=str(swaps)) as running:
        assert running.said["memory"] == "mlockall"
        assert is_locked(read_process(running.process.pid))
    with harness("hang", tmp_path) as running:
        assert not is_locked(read_process(running.process.pid))
