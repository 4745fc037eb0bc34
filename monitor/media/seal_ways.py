"""One way of writing that the proof of the seal tries, and which answers to it count as the seal's own.

The ways themselves are in `seal_ways_files.py` and `seal_ways_calls.py`. A way must be harmless where the seal is off:
it uses names that cannot be anyone's, removes what it made, and where a call would do damage it is made with arguments
that the kernel refuses anyway, with another answer than the seal's. Only the answers listed as refusals count as
refused: EBADF or ENOENT would mean that the seal was not asked.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

FILES = frozenset({"EPERM", "EACCES", "EROFS"})
CALLS = frozenset({"EPERM"})
NEVER = frozenset({"ENOSYS"})
GROWTH = frozenset({"EFBIG"})


@dataclass(frozen=True)
class Way:
    """One way of writing: `attempt` returns where it succeeded and raises OSError where it was refused."""

    name: str
    where: str
    attempt: Callable[[], None]
    refusals: frozenset[str]

    def try_it(self) -> tuple[bool, str]:
        """Whether it was refused, and what the kernel answered."""
        try:
            self.attempt()
        except OSError as error:
            answer = errno.errorcode.get(error.errno or 0, "error")
            return answer in self.refusals, answer
        return False, "succeeded"
