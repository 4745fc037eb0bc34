"""Reports as an audit may find them: all holds, something is broken, it is incomplete, it is large.

Their sentences are those that the checks themselves give, so that the page is tried at its real length.
"""

from __future__ import annotations

from monitor.audit.report import Break, Camera, Canary, Chain, Period, Report
from monitor.evidence.finding import Finding, Said, broken, holds, impossible, said, skipped

DAY = 86_400_000
MADE = 1_795_546_387_000  # 24 November 2026, 18:53:07 UTC

SEEN: dict[int, tuple[Said, ...]] = {
    1: (
        said("process.filtered", processes="2114, 2115"),
        said("process.nothing-written"),
        said("proof.tried", tried=412, threads=4),
    ),
    2: (said("process.descriptors", count=46), said("process.fsize-zero")),
    3: (said("process.threads", count=38),),
    4: (said("process.no-shared"), said("machine.segments-none"), said("proof.part", count=36)),
    5: (said("machine.no-swap"), said("process.not-swapped"), said("machine.no-hibernation")),
    6: (
        said("process.core-zero"),
        said("machine.core-pattern", pattern="|/usr/share/apport/apport -p%p -s%s -c%c -d%d -P%P -u%u -g%g -- %E"),
    ),
    7: (said("process.not-looked-into"), said("machine.yama", scope=1)),
    10: (said("process.no-children"), said("proof.part", count=8)),
    18: (said("process.no-file", count=0),),
    19: (said("process.closed-list"),),
    20: (said("machine.kernel", kernel="6.1.0-28-amd64", architecture="x86_64"),),
}
VIRTUAL = impossible(14, said("machine.operator"), said("machine.virtual", signs="VMware, Inc. VMware7,1"))


def findings(*others: Finding) -> tuple[Finding, ...]:
    """All rows: those given, row 14 as it is on a virtual machine, and the rest holding."""
    given = {14: VIRTUAL} | {each.row: each for each in others}
    usual = SEEN[3]
    return tuple(given.get(row) or holds(row, *SEEN.get(row, usual)) for row in range(1, 21))


def camera(number: int, *others: Finding, name: str = "") -> Camera:
    """A camera that does not store and is read directly, but for `others`."""
    given = {each.row: each for each in others}
    return Camera(
        bay=f"leje-{number}",
        name=name or f"Leje {number}",
        address=f"rtsp://192.0.2.{10 + number}:554/Streaming/Channels/101",
        findings=tuple(given.get(row) or holds(row, said("process.no-children")) for row in (12, 13)),
    )


def period(*breaks: Break, unknown_ms: int = 0, off_ms: int = 0) -> Period:
    """The 30 days before the report."""
    ended = sum((each.to_ms if each.to_ms is not None else MADE) - each.from_ms for each in breaks)
    return Period(
        from_ms=MADE - 30 * DAY,
        to_ms=MADE,
        held_ms=30 * DAY - ended - unknown_ms - off_ms,
        broken_ms=ended,
        off_ms=off_ms,
        unknown_ms=unknown_ms,
        breaks=breaks,
    )


SWAP = broken(5, said("machine.swap-open", paths="/swap.img", pid=2114), said("machine.no-hibernation"))
RECORDS = broken(12, said("process.child", pid=2114, child=2150))
BREAKS = (
    Break(row=5, from_ms=MADE - 21 * DAY - 7_000, to_ms=MADE - 21 * DAY + 754_000, why=SWAP.why),
    Break(row=12, from_ms=MADE - 9 * DAY, to_ms=MADE - 9 * DAY + 5 * 3_600_000 + 61_000, why=RECORDS.why),
    Break(row=5, from_ms=MADE - 3_660_000, to_ms=None, why=SWAP.why),
)


def report(**changes: object) -> Report:
    """Two cameras, all holding; `changes` are fields of the report."""
    fields: dict[str, object] = {
        "made_ms": MADE,
        "utc_offset_minutes": 60,
        "clinic": "CT Klinikken A/S",
        "public_host": "vigil.clinic.example",
        "versions": {
            "vigil": "0.4.0",
            "program": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
            "aiortc": "1.16.0", "av": "18.1.0", "cryptography": "50.0.2", "python": "3.11.2",
            "openssl": "OpenSSL 3.0.20 7 Apr 2026", "kernel": "6.1.0-28-amd64", "numpy": "2.4.1", "pydantic": "2.14.3",
            "fastapi": "0.130.0", "uvicorn": "0.40.0", "pylibsrtp": "1.0.0", "opencv-python-headless": "5.0.0.1",
        },
        "settings": {"enforce": "strict", "window_seconds": "2.0", "processes": "2"},
        "auditor_uid": 0,
        "language": "da",
        "findings": findings(),
        "cameras": (camera(1), camera(2)),
        "period": period(off_ms=3 * 3_600_000),
        "chain": Chain(entries=8641, seq=8641, head="ab" * 32, ok=True),
        "canary": Canary(
            witness="fanotify", tokens=161, files=23, octets=1_204_233, memory_octets=1_204_233_211, hits=0
        ),
    }  # fmt: skip
    return Report(**(fields | changes))  # type: ignore[arg-type]


def broken_report() -> Report:
    """Swap is on and a camera records."""
    return report(
        findings=findings(SWAP, RECORDS),
        cameras=(camera(1), camera(2, RECORDS)),
        period=period(*BREAKS, unknown_ms=2 * 3_600_000 + 240_000),
    )


def incomplete_report() -> Report:
    """Run without root, without a canary, and with cameras that do not answer."""
    needs_root = said("process.needs-root")
    return report(
        auditor_uid=1000,
        canary=None,
        findings=findings(
            *(skipped(row, needs_root) for row in (1, 2, 4, 7, 8, 9, 15, 16, 17)), impossible(13, needs_root)
        ),
        cameras=(camera(1, skipped(12, needs_root), impossible(13, needs_root)), camera(2)),
    )


def large_report() -> Report:
    """Eight cameras with long names, three breaks, three broken rows and long values."""
    long = "Opvågningsafsnit Øst, leje ved vinduet mod gården, Æblehaven"
    cameras = [camera(number, name=f"{long} {number}") for number in range(1, 9)]
    path = "/srv/" + "meget-lang-sti/" * 12 + "fil"
    cameras[3] = camera(4, RECORDS, impossible(13, said("process.needs-root")), name=f"{long} 4")
    cameras[6] = camera(7, skipped(12, said("process.needs-root")), name=f"{long} 7")
    return report(
        clinic="Privathospitalet Sankt Ægidius af Løgstør og Omegn, Afdeling for Anæstesi, Opvågning og Dagkirurgi A/S",
        public_host="vigil-opvaagning-oest.anaestesi.sygehus-nord.example.internal",
        cameras=tuple(cameras),
        findings=findings(
            SWAP,
            RECORDS,
            broken(2, said("process.descriptor", pid=2114, target=path, kind="regular", number=17)),
            skipped(8, said("process.needs-root")),
        ),
        period=period(*BREAKS, unknown_ms=2 * 3_600_000 + 240_000, off_ms=3 * DAY),
        chain=Chain(entries=8641, seq=8641, head="ab" * 32, ok=False, words=(said("process.child", pid=1, child=2),)),
    )  # fmt: skip


ALL = {"holds": report, "broken": broken_report, "incomplete": incomplete_report, "large": large_report}
