"""What the watch sees, said by a test: no process is looked at."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.control.media_room import ProcessGuarantee
from monitor.control.watch import Seen, Subject
from monitor.evidence.finding import Finding, broken, holds, said

BREAKS = said("watch.window-grew", camera="bay-1", lived_ms=9000, window_ms=2000)
"""Some reason: which one is not what these tests are about."""


class FakeLook:
    """Sees rows 1 and 3 hold in every process, and row 5 of the machine, but for what a test sets."""

    def __init__(self) -> None:
        self.machine: list[Finding] = []
        self.of_process: dict[int, list[Finding]] = {}
        self.unseen: set[int] = set()
        self.failed: list[Finding] = []
        self.error: Exception | None = None
        self.subjects: list[Subject] = []

    def __call__(self, subject: Subject) -> Seen:
        """As the real one, in a thread."""
        self.subjects.append(subject)
        if self.error is not None:
            raise self.error
        sealed = [number for number, one in enumerate(subject.processes) if one.pid and one.hello is not None]
        return Seen(
            machine=(holds(5), *self.machine, *subject.cameras),
            of_process={
                number: (holds(1), holds(3), *self.of_process.get(number, []))
                for number in sealed
                if number not in self.unseen
            },
        )

    def failed_proofs(self, processes: Sequence[ProcessGuarantee]) -> list[Finding]:
        """What the test set, once."""
        failed, self.failed = self.failed, []
        return failed


def wrong(row: int) -> Finding:
    """A row that is broken."""
    return broken(row, BREAKS)
