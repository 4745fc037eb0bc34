"""What media processes have proved themselves → findings, under the kernel's own. Pure.

A process's proof is its own word: a finding says so. It counts under what the kernel shows from outside. An attempt
that is not known here makes its process not checked: it must never be passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monitor.evidence.finding import Finding, Said, Verdict, said, skipped

_ROWS_BY_ATTEMPT: Mapping[int, tuple[str, ...]] = {
    1: (
        *("create", "O_TMPFILE", "creat", "open O_RDWR", "open O_APPEND", "open O_TRUNC", "truncate", "chmod", "utime"),
        *("setxattr", "link", "symlink", "rename", "mkdir", "mknod", "unix bind", "ffmpeg muxer", "opencv imwrite"),
        *("numpy tofile", "write", "unlink", "open own source", "open core_pattern", "open power state"),
        *("read outside", "io_uring_setup", "splice", "tee", "vmsplice", "sendfile", "copy_file_range", "ftruncate"),
        *("fallocate", "ioctl FICLONE", "openat2", "mount", "unshare", "setns", "state capabilities"),
    ),
    2: ("raise a limit", "recvmsg", "state file size limit", "state descriptors"),
    3: ("state all threads filtered", "state no-new-privs"),
    4: (
        *("memfd_create", "shmget", "msgget", "semget", "mq_open", "add_key", "shared file mapping"),
        "state shared mappings",
    ),
    5: ("swapon", "munlock", "state nothing in swap", "state memory kept from swap"),
    6: ("state core limit",),
    7: (
        *("ptrace", "process_vm_writev", "process_vm_readv", "pidfd_getfd", "perf_event_open", "userfaultfd", "bpf"),
        *("become dumpable", "state undumpable"),
    ),
    8: ("local socket", "local datagram pair"),
    10: ("execve", "execveat", "fork", "clone", "clone3", "outlive the parent", "state no children"),
}
"""Row → what belongs to it: opening the kernel's own switches is writing a file (1), a socket to the machine's log
daemon is a log (8)."""
_ATTEMPTS = {name: row for row, names in _ROWS_BY_ATTEMPT.items() for name in names}
_LOCKS: Mapping[str, int] = {
    "descriptors": 2,
    "one-thread": 3,
    "fsize": 2,
    "core": 6,
    "undumpable": 7,
    "no-new-privs": 3,
    "memory": 5,
    "landlock": 1,
    "seccomp": 1,
    "capabilities": 1,
}
_THREADS = frozenset({"first", "second"})
WRITTEN_ALLOWANCE = 16 << 20
"""Octets that a process may count as written by itself in its whole life, of access times of the files that it reads
(`judge_process.START_ALLOWANCE`): two minutes of one camera are more."""
PROOF_ROWS = tuple(_ROWS_BY_ATTEMPT)


def row_of_attempt(name: str) -> int:
    """The row of GUARANTEE.md that a way of writing (`Attempt.name`) belongs to. Raises KeyError for an unknown one."""
    return _ATTEMPTS[name]


def row_of_lock(name: str) -> int:
    """The row that a lock of the seal (`Hello.missing`) belongs to. Raises KeyError for an unknown one."""
    return _LOCKS[name]


def judge_proofs(processes: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """One finding for each row that an attempt belongs to, `PROOF_ROWS`.

    `processes` are /api/guarantee's `processes`: of each, `pid`, `missing` and `proofs` are read. A process without
    proofs from both threads is not checked.
    """
    if not processes:
        return [skipped(row, said("process.none")) for row in PROOF_ROWS]
    broken: dict[int, list[Said]] = {}
    open_: dict[int, list[Said]] = {}
    kinds: dict[int, set[str]] = {row: set() for row in PROOF_ROWS}
    for process in processes:
        _judge_one(process, broken, open_, kinds)
    proofs = [proof for process in processes for proof in process["proofs"]]
    tried = said("proof.tried", tried=sum(proof["tried"] for proof in proofs), threads=len(proofs))
    findings = []
    for row in PROOF_ROWS:
        why, verdict = broken.get(row) or open_.get(row) or [], _verdict(row, broken, open_)
        seen = (tried if row == 1 else said("proof.part", count=len(kinds[row])),) if verdict == "holds" else ()
        findings.append(
            Finding(row, verdict, seen, tuple(dict(_keyed(why)).values()), possible=verdict == "not_checked")
        )
    return findings


def _verdict(row: int, broken: Mapping[int, object], open_: Mapping[int, object]) -> Verdict:
    if row in broken:
        return "broken"
    return "not_checked" if row in open_ else "holds"


def _keyed(why: Sequence[Said]) -> list[tuple[str, Said]]:
    """Both threads say the same: once is enough."""
    return [(repr(each.to_json()), each) for each in why]


def _judge_one(
    process: Mapping[str, Any], broken: dict[int, list[Said]], open_: dict[int, list[Said]], kinds: dict[int, set[str]]
) -> None:
    pid = process.get("pid") or 0
    for lock in process.get("missing") or ():
        broken.setdefault(_LOCKS.get(lock, 1), []).append(said("proof.lock-open", pid=pid, lock=lock))
    proofs = process["proofs"]
    if {proof["thread"] for proof in proofs} != _THREADS:
        for row in PROOF_ROWS:
            open_.setdefault(row, []).append(said("proof.missing", pid=pid))
        return
    for proof in proofs:
        tried = set()
        for attempt in proof["attempts"]:
            name = attempt["name"]
            if name not in _ATTEMPTS:
                open_.setdefault(1, []).append(said("proof.unknown", pid=pid, name=name))
            row = _ATTEMPTS.get(name, 1)
            tried.add(row)
            kinds[row].add(name)
            if not attempt["refused"]:
                answer, where = attempt["answer"], attempt["where"] or "-"
                why = said("proof.succeeded", pid=pid, name=name, where=where, answer=answer)
                broken.setdefault(row, []).append(why)
        if not proof["holds"] and all(attempt["refused"] for attempt in proof["attempts"]):
            why = said("proof.not-whole", pid=pid, refused=proof["refused"], tried=proof["tried"])
            broken.setdefault(1, []).append(why)
        for row in set(PROOF_ROWS) - tried:
            open_.setdefault(row, []).append(said("proof.not-tried", pid=pid))
        if proof.get("written_octets", 0) > WRITTEN_ALLOWANCE:
            broken.setdefault(1, []).append(said("proof.written", pid=pid, octets=proof["written_octets"]))
