"""Facts about processes → findings of rows 1 to 7, 10, 18 and 19 of GUARANTEE.md. Pure.

One fault turns one row broken. What could not be read is `not_checked`, never holds. It must not take a process's word
for anything: what the processes say of themselves is in `judge_proofs.py`.

Theory of operation: CHECKS is the table, row → check. A check looks at one process and answers with its faults, or None
where it could not look; `seen` says what was seen of all of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monitor.evidence.finding import Finding, Said, said, skipped
from monitor.evidence.proc import MEDIA_MODULE, DescriptorFacts, DescriptorKind, ProcessFacts

_SEALED_KINDS: frozenset[DescriptorKind] = frozenset(
    {"socket-inet", "socket-local", "pipe", "eventpoll", "eventfd", "null"}
)
_SPARE_KINDS: frozenset[DescriptorKind] = frozenset({"socket-local", "pipe", "null"})
_FILTER = 2
"""Of /proc/PID/status, Seccomp: a filter is in force."""
_CAP_IPC_LOCK = 1 << 14
"""The one that the seal may keep: it lets a process lock memory."""
_NEEDS_ROOT = said("process.needs-root")
START_ALLOWANCE, DAY_ALLOWANCE = 1 << 20, 64 << 10
"""Octets that the kernel may count as written by a process that only reads: where a file was last read more than a day
ago, reading it changes its access time, and the file system's block with it is written (mount(8), relatime). Starting
reads some 1000 files; 500 KB were seen. A picture may be smaller than that: what proves that none is written is the
seal and the witness, and this counter only stands beside them."""


@dataclass(frozen=True)
class Expected:
    """What a media process ought to look like."""

    environment: Mapping[str, str]
    """All of its environment: `monitor.control.media_process.environment()`."""
    module: str = MEDIA_MODULE
    files: Collection[str] = ()
    """Paths that `file:` sources may hold open for reading."""
    devices: Collection[str] = ()
    """Device nodes of cameras that may be open."""
    core_pattern: str = ""
    """`MachineFacts.core_pattern`."""
    looked_into: Mapping[int, bool | None] = field(default_factory=dict)
    """pid → what `same_user.can_look_into` says; where it is missing, `ProcessFacts.dumpable` alone is used."""


_Check = Callable[[ProcessFacts, Expected], "list[Said] | None"]
_Seen = Callable[[Sequence[ProcessFacts]], "list[Said]"]


def judge_processes(processes: Sequence[ProcessFacts], expected: Expected) -> list[Finding]:
    """Rows 1, 2, 3, 4, 5, 6, 7, 10, 18 and 19 for serving media processes, one finding for each row. For the fault of
    one process alone, give that process alone. With no process all of them are not checked."""
    if not processes:
        return [skipped(row, said("process.none")) for row in CHECKS]
    return [_row(row, processes, expected, *check) for row, check in CHECKS.items()]


def judge_spares(processes: Sequence[ProcessFacts], expected: Expected) -> list[Finding]:
    """Rows 2, 10 and 19 for processes that wait unsealed; nothing at all where there is none."""
    if not processes:
        return []
    return [
        _row(2, processes, expected, _spare_descriptors, lambda all_: [said("process.spare", count=len(all_))]),
        _row(10, processes, expected, *CHECKS[10]),
        _row(19, processes, expected, *CHECKS[19]),
    ]


def is_dumpable(process: ProcessFacts, expected: Expected) -> bool | None:
    """Whether its own user may look into it, or have it dumped; None where that was not seen."""
    answers = {expected.looked_into.get(process.pid), process.dumpable} - {None}
    return any(answers) if answers else None


def _row(row: int, processes: Sequence[ProcessFacts], expected: Expected, check: _Check, seen: _Seen) -> Finding:
    answers = [check(process, expected) for process in processes]
    why = [each for answer in answers if answer for each in answer]
    if why:
        return Finding(row, "broken", (), tuple(why))
    if None in answers:
        return skipped(row, _NEEDS_ROOT)
    return Finding(row, "holds", tuple(seen(processes)))


# ---- 1: writes a file ------------------------------------------------------------------------------------------------


def _filter(process: ProcessFacts, _: Expected) -> list[Said] | None:
    why = []
    if all(thread.seccomp != _FILTER for thread in process.threads):
        why.append(said("process.not-filtered", pid=process.pid))
    # Where only some have the filter, those without it are row 3's, with all that they may.
    filtered = [thread for thread in process.threads if thread.seccomp == _FILTER]
    held = 0
    for thread in filtered or process.threads:
        held |= thread.effective | thread.permitted
    if held & ~_CAP_IPC_LOCK:
        why.append(said("process.capabilities", pid=process.pid, capabilities=f"{held:#x}"))
    written = process.written_octets or 0
    if written > _allowance(process):
        why.append(said("process.written", pid=process.pid, octets=written))
    return why or (None if process.written_octets is None else [])


def _filter_seen(processes: Sequence[ProcessFacts]) -> list[Said]:
    octets = sum(process.written_octets or 0 for process in processes)
    written = said("process.little-written", octets=octets) if octets else said("process.nothing-written")
    return [said("process.filtered", processes=len(processes)), written]


def _allowance(process: ProcessFacts) -> float:
    return START_ALLOWANCE + DAY_ALLOWANCE * process.age_seconds / 86_400


# ---- 2: open descriptors ---------------------------------------------------------------------------------------------


def _descriptors(process: ProcessFacts, expected: Expected) -> list[Said] | None:
    why = _limit("process.fsize", process, process.limits.fsize)
    for each in process.descriptors or ():
        if not _is_harmless(each, expected):
            why.append(_descriptor("process.descriptor", process, each))
    return why or (None if process.descriptors is None else [])


def _is_harmless(each: DescriptorFacts, expected: Expected) -> bool:
    if each.kind in {"regular", "directory"}:
        return each.access in {"read", "path"}  # of which only those that are named may be open: row 18
    return each.kind in _SEALED_KINDS or (each.kind == "device" and each.target in expected.devices)


def _descriptor(key: str, process: ProcessFacts, each: DescriptorFacts) -> Said:
    return said(key, pid=process.pid, target=each.target, kind=each.kind, number=each.number)


def _descriptors_seen(processes: Sequence[ProcessFacts]) -> list[Said]:
    count = sum(len(process.descriptors or ()) for process in processes)
    return [said("process.descriptors", count=count), said("process.fsize-zero")]


def _spare_descriptors(process: ProcessFacts, _: Expected) -> list[Said] | None:
    if process.descriptors is None:
        return None
    why = [
        _descriptor("process.spare-descriptor", process, each)
        for each in process.descriptors
        if each.kind not in _SPARE_KINDS
    ]
    sockets = sum(each.kind == "socket-local" for each in process.descriptors)
    if sockets > 1:
        why.append(said("process.spare-sockets", pid=process.pid, count=sockets))
    return why


# ---- 3: threads ------------------------------------------------------------------------------------------------------


def _threads(process: ProcessFacts, _: Expected) -> list[Said] | None:
    why = []
    some_filtered = any(thread.seccomp == _FILTER for thread in process.threads)  # where none is, that is row 1
    for thread in process.threads:
        if some_filtered and thread.seccomp != _FILTER:
            why.append(said("process.thread-not-filtered", pid=process.pid, tid=thread.tid, name=thread.name))
        elif not thread.no_new_privs:
            why.append(said("process.thread-new-privs", pid=process.pid, tid=thread.tid, name=thread.name))
    return why


def _threads_seen(processes: Sequence[ProcessFacts]) -> list[Said]:
    return [said("process.threads", count=sum(len(process.threads) for process in processes))]


# ---- 4, 5, 6, 7: memory ----------------------------------------------------------------------------------------------


def _shared(process: ProcessFacts, _: Expected) -> list[Said] | None:
    if process.shared_mappings is None:
        return None
    return [said("process.shared", pid=process.pid, path=path) for path in process.shared_mappings]


def _swapped(process: ProcessFacts, _: Expected) -> list[Said] | None:
    if not process.vm_swap_kb:  # 0, or a kernel without swap
        return []
    return [said("process.swapped", pid=process.pid, kilobytes=process.vm_swap_kb)]


def _core(process: ProcessFacts, expected: Expected) -> list[Said] | None:
    why = _limit("process.core", process, process.limits.core)
    # A pattern that is a pipe is fed whatever the limit says (core(5)): only being undumpable stands against it.
    if expected.core_pattern.startswith("|") and is_dumpable(process, expected):
        why.append(said("process.core-pipe", pid=process.pid, pattern=expected.core_pattern))
    return why


def _looked_into(process: ProcessFacts, expected: Expected) -> list[Said] | None:
    answer = is_dumpable(process, expected)
    if answer is None:
        return None
    return [said("process.looked-into", pid=process.pid)] if answer else []


# ---- 10, 18, 19: children, files, switches ---------------------------------------------------------------------------


def _children(process: ProcessFacts, _: Expected) -> list[Said] | None:
    return [said("process.child", pid=process.pid, child=child) for child in process.children]


def _files(process: ProcessFacts, expected: Expected) -> list[Said] | None:
    if process.descriptors is None:
        return None
    named = {str(Path(each)) for each in expected.files}
    return [
        said("process.file", pid=process.pid, path=each.target)
        for each in process.descriptors
        if each.kind in {"regular", "directory"} and each.access in {"read", "path"} and each.target not in named
    ]


def _files_seen(processes: Sequence[ProcessFacts]) -> list[Said]:
    count = sum(each.kind == "regular" for process in processes for each in process.descriptors or ())
    return [said("process.no-file", count=count)]


def _closed_list(process: ProcessFacts, expected: Expected) -> list[Said] | None:
    why = []
    options = process.cmdline[1:] or ("",)
    if options[:-1] != ("-P", "-s", "-m", expected.module) or not options[-1].isdecimal():  # the door's number
        why.append(said("process.command-line", pid=process.pid))
    if process.environ is not None:
        names = sorted({*process.environ, *expected.environment})
        why += [
            said("process.variable", pid=process.pid, name=name)  # its value may be a secret
            for name in names
            if process.environ.get(name) != expected.environment.get(name)
        ]
    return why or (None if process.environ is None else [])


# ---- inside ----------------------------------------------------------------------------------------------------------


def _limit(key: str, process: ProcessFacts, limit: tuple[int | None, int | None]) -> list[Said]:
    """A fault where a limit is not 0: a hard limit above it could be used again."""
    if limit == (0, 0):
        return []
    most = max((each for each in limit if each is not None), default=0)
    return [said(key, pid=process.pid, octets="∞" if None in limit else most)]


def _only(key: str) -> _Seen:
    return lambda _: [said(key)]


CHECKS: Mapping[int, tuple[_Check, _Seen]] = {
    1: (_filter, _filter_seen),
    2: (_descriptors, _descriptors_seen),
    3: (_threads, _threads_seen),
    4: (_shared, _only("process.no-shared")),
    5: (_swapped, _only("process.not-swapped")),
    6: (_core, _only("process.core-zero")),
    7: (_looked_into, _only("process.not-looked-into")),
    10: (_children, _only("process.no-children")),
    18: (_files, _files_seen),
    19: (_closed_list, _only("process.closed-list")),
}
"""Row → (faults of one process, what was seen of all)."""
