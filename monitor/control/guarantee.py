"""What the media processes have proved, as screens and IT see it.

It must never say more than was proved: `ok` only while every process runs with a proof that holds.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.control.media_room import ProcessGuarantee


def ok(processes: Sequence[ProcessGuarantee]) -> bool:
    """Whether every media process has proved its seal, with no lock missing."""
    return bool(processes) and all(process.state == "proved" and not _missing(process) for process in processes)


def summary(processes: Sequence[ProcessGuarantee]) -> dict[str, object]:
    """The `guarantee` event: whether all is well, and each process's state."""
    return {
        "ok": ok(processes),
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


def full(processes: Sequence[ProcessGuarantee]) -> dict[str, object]:
    """/api/guarantee: the same with every attempt by name. `audit` is the last audit's result; there is none yet."""
    rows = []
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
    return {"ok": ok(processes), "processes": rows, "audit": None}


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
