"""What the media processes have proved and what the watch has seen, as screens and IT see it.

It must never say more than was proved: `ok` only while every process runs with a proof that holds, and while the watch
(`watch.py`) sees nothing broken from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.control.media_room import ProcessGuarantee


@dataclass(frozen=True)
class Watched:
    """What the watch says. As it is before its first round: nothing."""

    checked_ms: int = 0
    """When its newest round was made, in service time; 0 before the first."""
    broken: tuple[int, ...] = ()
    """Rows of GUARANTEE.md."""
    bays: tuple[str, ...] = ()
    """Ids of bays whose camera records by itself."""
    overdue: bool = False
    """Its newest round was made too long ago: what it says is not known to be so any more."""
    held: str = ""
    """Why no media process may run; empty where they may."""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the guarantee. Says nothing of what the processes have proved."""
        return not (self.broken or self.bays or self.overdue or self.held)


def ok(processes: Sequence[ProcessGuarantee], watched: Watched) -> bool:
    """Whether every media process has proved its seal, with no lock missing, and the watch sees nothing broken."""
    proved = bool(processes) and all(process.state == "proved" and not _missing(process) for process in processes)
    return proved and watched.ok


def summary(processes: Sequence[ProcessGuarantee], watched: Watched) -> dict[str, object]:
    """The `guarantee` event: whether all is well, what is broken, and each process's state."""
    return {
        "ok": ok(processes, watched),
        "broken": list(watched.broken),
        "bays": list(watched.bays),
        "processes": [
            {
                "process": number,
                "state": process.state,
                "incarnation": process.incarnation,
                "why": process.why,
                "missing": _missing(process),
                "proved_ms": process.proved_ms or None,
                "tried": sum(proof.tried for proof in process.proofs),
                "refused": sum(proof.refused for proof in process.proofs),
            }
            for number, process in enumerate(processes)
        ],
    }


def full(processes: Sequence[ProcessGuarantee], watched: Watched) -> dict[str, object]:
    """/api/guarantee: the same with every attempt by name. `audit` is what the watch says; None before its first
    round."""
    audit = {"ok": watched.ok, "checked_ms": watched.checked_ms, "broken": list(watched.broken)}
    return {
        "ok": ok(processes, watched),
        "processes": full_processes(processes),
        "audit": audit if watched.checked_ms else None,
    }


def full_processes(processes: Sequence[ProcessGuarantee]) -> list[dict[str, object]]:
    """Each process with every attempt by name."""
    rows: list[dict[str, object]] = []
    for number, process in enumerate(processes):
        hello = process.hello
        rows.append(
            {
                "process": number,
                "pid": process.pid or None,
                "state": process.state,
                "incarnation": process.incarnation,
                "why": process.why,
                "landlock_abi": hello.landlock_abi if hello else None,
                "locks": list(hello.locks) if hello else [],
                "missing": _missing(process),
                "memory": hello.memory if hello else None,
                "udp_port": hello.udp_port if hello else None,
                "proved_ms": process.proved_ms or None,
                "door_bytes": process.door_bytes,
                "log_bytes": process.log_bytes,
                "log_dropped": process.log_dropped,
                "proofs": [proof.model_dump(exclude={"kind", "nonce"}) for proof in process.proofs],
            }
        )
    return rows


def words(processes: Sequence[ProcessGuarantee]) -> str:
    """One line for the terminal: "96 ways of writing tried from 2 threads, 96 refused (Landlock ABI 7, …)"."""
    proofs = [proof for process in processes for proof in process.proofs]
    tried, refused = sum(proof.tried for proof in proofs), sum(proof.refused for proof in proofs)
    threads = len({(number, proof.thread) for number, process in enumerate(processes) for proof in process.proofs})
    hellos = [process.hello for process in processes if process.hello]
    if not proofs or not hellos:
        return "not proved yet"
    abi = min(hello.landlock_abi for hello in hellos)
    memory = {"no-swap": "no swap", "mlockall": "memory locked", "cgroup": "no swap for the group"}
    locks = [f"Landlock ABI {abi}" if abi else "no Landlock"]
    if all("seccomp" in hello.locks for hello in hellos):
        locks.append("seccomp")
    locks.append(memory.get(hellos[0].memory, "memory can be swapped"))
    count = len(processes)
    processes_words = "1 media process" if count == 1 else f"{count} media processes"
    return (
        f"{tried} ways of writing tried from {threads} threads of {processes_words}, {refused} refused "
        f"({', '.join(locks)})"
    )


def _missing(process: ProcessGuarantee) -> list[str]:
    return list(process.hello.missing) if process.hello else []
