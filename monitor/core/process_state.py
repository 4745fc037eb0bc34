"""The life of a media process as the control process sees it: a table, and the rule that says when to give up.

Pure: the moment is an argument. This module must never let a process be `proved` that has not proved its seal in this
life.

Theory of operation: `launch` starts a life, `hello` says that the seal is closed, `proof` that it holds from both
threads, `exit` ends the life. Five replacements within a minute are made at once; the next death is a failure, which is
shown, and after which one new life is tried every `RETRY_MS`, for nobody may be there at night who could ask for it. A
failed process stays `failed` until a new life has proved its seal.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

ProcessStateName = Literal["starting", "sealed", "proved", "ended", "failed"]
ProcessEvent = Literal["launch", "hello", "proof", "exit", "give-up"]

TABLE: dict[ProcessStateName, dict[ProcessEvent, ProcessStateName]] = {
    "ended": {"launch": "starting", "give-up": "failed"},
    "starting": {"hello": "sealed", "exit": "ended"},
    "sealed": {"proof": "proved", "exit": "ended"},
    "proved": {"proof": "proved", "exit": "ended"},
    "failed": {"launch": "failed", "hello": "failed", "proof": "proved", "exit": "failed"},
}
"""state → event → next state. An event that is not listed changes nothing."""

RESTARTS = 5
RESTARTS_WITHIN_MS = 60_000
RETRY_MS = 60_000
"""How long after a failed life the next one is tried."""

EXIT_UNSEALED, EXIT_CANNOT_START, EXIT_NOT_STARTED_BY_US = 4, 5, 6
"""Exit codes of a media process: its seal could not be closed, its port not opened, it was started by hand."""

logger = logging.getLogger(__name__)


@dataclass
class ProcessState:
    """One media process over all its lives. `since_ms` is when it took this state."""

    index: int
    state: ProcessStateName = "ended"
    since_ms: int = 0
    _restarts: deque[int] = field(default_factory=deque)

    def on(self, event: ProcessEvent, now_ms: int) -> bool:
        """Take an event. Returns whether the state changed; an event that the table does not list changes nothing."""
        following = TABLE[self.state].get(event)
        return following is not None and self._set(following, event, now_ms)

    def may_restart(self, now_ms: int) -> bool:
        """Whether an ended process is to be replaced at once; counts the replacement."""
        if self.state != "ended":
            return False
        while self._restarts and now_ms - self._restarts[0] >= RESTARTS_WITHIN_MS:
            self._restarts.popleft()
        if len(self._restarts) >= RESTARTS:
            return False
        self._restarts.append(now_ms)
        return True

    def forgive(self) -> None:
        """Forget the restarts so far: the operator asked for a new try."""
        self._restarts.clear()

    def _set(self, state: ProcessStateName, event: ProcessEvent, now_ms: int) -> bool:
        if state == self.state:
            return False
        logger.info("media process %d: %s -> %s (%s)", self.index, self.state, state, event)
        self.state, self.since_ms = state, now_ms
        return True
