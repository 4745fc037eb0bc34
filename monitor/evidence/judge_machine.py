"""Facts about the machine → findings of rows 4, 5, 6, 7 and 14 of GUARANTEE.md. Pure.

What the machine allows is a break only where it could reach a media process's memory; what is merely shown (a core
pattern, Yama's scope) is no check by itself, so with no process to look at, those rows are not checked.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.evidence.finding import Finding, Said, Verdict, holds, impossible, said, skipped
from monitor.evidence.machine import MachineFacts, SwapFacts
from monitor.evidence.proc import ProcessFacts

DUTIES = ("snapshots", "suspend", "container", "camera")
"""What only the operator can take care of: `duty.X.what` says what, `duty.X.do` which setting to use."""
_NONE = "process.none"
_OF_SWAP = ("/swaps", "/power/state")


def judge_machine(machine: MachineFacts, processes: Sequence[ProcessFacts]) -> list[Finding]:
    """Rows 4 (shared memory segments), 5, 6, 7 and 14. `processes` are the serving media processes."""
    return [
        _segments(machine, processes),
        _swap(machine, processes),
        _core(machine, processes),
        _yama(machine, processes),
        _below(machine),
    ]


def is_locked(process: ProcessFacts) -> bool:
    """Whether all of its memory is locked: what is locked is counted by mappings, and so is at least what is in use."""
    locked, resident = process.vm_locked_kb or 0, process.vm_resident_kb or 0
    return locked > 0 and locked >= resident


def reaches_disk(machine: MachineFacts) -> list[SwapFacts]:
    """Swap areas that are not memory themselves."""
    return [swap for swap in machine.swaps if not swap.in_memory]


def _segments(machine: MachineFacts, processes: Sequence[ProcessFacts]) -> Finding:
    if not processes:
        return skipped(4, said(_NONE))
    ours = {process.pid for process in processes}
    why = [
        said("machine.segment", pid=each.creator_pid, octets=each.octets, identifier=each.identifier)
        for each in machine.segments
        if {each.creator_pid, each.last_pid} & ours
    ]
    return _finding(4, why, [said("machine.segments-none")])


def _swap(machine: MachineFacts, processes: Sequence[ProcessFacts]) -> Finding:
    hidden = [each for each in machine.unreadable if each.endswith(_OF_SWAP)]
    if hidden:
        return skipped(5, said("machine.unreadable", path=hidden[0]))
    disks = reaches_disk(machine)
    paths = ", ".join(each.path for each in machine.swaps)
    seen: list[Said] = []
    why: list[Said] = []
    if not machine.swaps:
        seen.append(said("machine.no-swap"))
    elif not disks:
        seen.append(said("machine.swap-in-memory", paths=paths))
    else:
        locked = [each for each in processes if is_locked(each)]
        grouped = [each for each in processes if each not in locked and each.cgroup_no_swap]
        if locked:
            seen.append(said("machine.swap-locked", paths=paths, count=len(locked)))
        if grouped:
            seen.append(said("machine.swap-cgroup", paths=paths, count=len(grouped)))
        why += [
            said("machine.swap-open", paths=paths, pid=each.pid)
            for each in processes
            if each not in locked and each not in grouped
        ]
    if not machine.hibernation:
        seen.append(said("machine.no-hibernation"))
    elif disks:  # a locked page is written to the image like any other
        why.append(said("machine.hibernation-open", paths=", ".join(each.path for each in disks)))
    else:
        seen.append(said("machine.hibernation-no-swap"))
    if machine.zswap:
        seen.append(said("machine.zswap"))
    if disks and not processes and not why:
        return skipped(5, said(_NONE), *seen)
    return _finding(5, why, seen)


def _core(machine: MachineFacts, processes: Sequence[ProcessFacts]) -> Finding:
    seen = said("machine.core-pattern", pattern=machine.core_pattern or "-")
    return holds(6, seen) if processes else skipped(6, said(_NONE), seen)


def _yama(machine: MachineFacts, processes: Sequence[ProcessFacts]) -> Finding:
    scope = machine.yama_scope
    seen = said("machine.no-yama") if scope is None else said("machine.yama", scope=scope)
    return holds(7, seen) if processes else skipped(7, said(_NONE), seen)


def _below(machine: MachineFacts) -> Finding:
    seen = [said("machine.kernel", kernel=machine.kernel, architecture=machine.architecture)]
    if machine.lsm:
        seen.append(said("machine.lsm", modules=", ".join(machine.lsm)))
    if machine.virtual:
        seen.append(said("machine.virtual", signs=", ".join(machine.virtual)))
    if machine.container:
        seen.append(said("machine.container", signs=", ".join(machine.container)))
    if "overlay" in machine.root_filesystem or machine.root_filesystem == "aufs":
        seen.append(said("machine.overlay", filesystem=machine.root_filesystem))
    if len(seen) == 1 + bool(machine.lsm):
        seen.append(said("machine.bare"))
    return impossible(14, said("machine.operator"), *seen)


def _finding(row: int, why: Sequence[Said], seen: Sequence[Said]) -> Finding:
    verdict: Verdict = "broken" if why else "holds"
    return Finding(row, verdict, tuple(seen), tuple(why))
