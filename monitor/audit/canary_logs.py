"""Where the site's logs go, and what became of what it sent them: files, journald, another program's pipe.

Reads the control process's descriptors from outside. It must never read a log's text for anything but the search.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDERS = ("/var/log", "/run/log")
_KEEPERS = frozenset({"systemd-journal", "rsyslogd", "syslog-ng", "syslogd", "dockerd", "containerd-shim", "conmon"})
"""Programs that keep the logs of others, by the kernel's name for them (15 characters at most, proc(5))."""


@dataclass(frozen=True)
class LogTargets:
    """Where standard output and error of the control process lead."""

    files: tuple[str, ...]
    keepers: tuple[int, ...]
    """Processes that keep logs: those at the other end of a pipe, and the machine's log services."""
    kinds: tuple[str, ...]
    """In words of the kernel: `file`, `pipe`, `socket`, `device`, or `unreadable`."""

    def is_log(self, path: str) -> bool:
        """Whether a file is one of the logs."""
        return path in self.files or path.startswith(tuple(f"{folder}/" for folder in FOLDERS))


def log_targets(control: int, own: int) -> LogTargets:
    """Of the control process. `own` is the auditor, which is no keeper of logs."""
    files, kinds, pipes = [], [], set()
    for number in (1, 2):
        try:
            target = os.readlink(f"/proc/{control}/fd/{number}")
        except OSError:
            kinds.append("unreadable")
            continue
        if target.startswith("pipe:"):
            kinds.append("pipe")
            pipes.add(target)
        elif target.startswith("socket:"):
            kinds.append("socket")
        elif Path(target).is_file():
            kinds.append("file")
            files.append(target)
        else:
            kinds.append("device")
    keepers = {pid for pid in _processes() if _name(pid) in _KEEPERS}
    if pipes:
        keepers |= {pid for pid in _processes() if pid not in (control, own) and pipes & set(_targets(pid))}
    return LogTargets(tuple(dict.fromkeys(files)), tuple(sorted(keepers - {own})), tuple(dict.fromkeys(kinds)))


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _targets(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                yield os.readlink(f"/proc/{pid}/fd/{number}")
