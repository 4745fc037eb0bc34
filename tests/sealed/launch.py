"""Runs `tests/sealed/harness.py` as a media process is run: with a pipe, /dev/null, and the media process's
environment."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.control.media_process import environment

SECONDS = 60


@dataclass
class Harness:
    process: subprocess.Popen[bytes]
    said: dict[str, Any]


@contextlib.contextmanager
def harness(do: str, where: Path, *without: str, env: dict[str, str] | None = None, **more: Any) -> Iterator[Harness]:
    """Start it with cwd `where`; `said` is its line of JSON. It lives until the end of the block."""
    order = json.dumps({"do": do, "without": without, **more})
    process = subprocess.Popen(
        [sys.executable, "-P", "-s", "-m", "tests.sealed.harness", order],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment() if env is None else env,
        cwd=where,
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            if line.startswith(b"{"):
                yield Harness(process, json.loads(line))
                break
            lines.append(line.decode(errors="replace"))
        else:
            raise AssertionError("the harness said nothing: " + "".join(lines)[-2000:])
    finally:
        process.kill()
        process.wait(SECONDS)
        if process.stdout is not None:
            process.stdout.close()


def ask(do: str, where: Path, *without: str, **more: Any) -> dict[str, Any]:
    """What the harness says."""
    with harness(do, where, *without, **more) as running:
        return running.said
