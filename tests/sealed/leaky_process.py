"""A relay with a planted leak and no seal: what the canary tests must find.

It is the product's own stream and window, fed by its own RTSP source, in a process that was never sealed, whose stream
also appends each payload to a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def leaky_relay(url: str, leak: Path) -> Iterator[int]:
    """Runs it; gives its pid."""
    process = subprocess.Popen([sys.executable, "-m", "tests.sealed.leaky_process", url, str(leak)], cwd=ROOT)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(5)


async def _leak(url: str, leak: Path) -> None:
    from monitor.media.sources.base import SourceEnded
    from monitor.media.sources.rtsp import RtspSource
    from monitor.media.stream import Stream
    from monitor.media.window import Window

    def clock_ms() -> float:
        return time.monotonic() * 1000

    class LeakyStream(Stream):
        def packet(self, seq: int, timestamp: int, marker: bool, payload: memoryview, arrival_ms: float) -> None:
            super().packet(seq, timestamp, marker, payload, arrival_ms)
            with leak.open("ab") as file:
                file.write(payload)

    stream = LeakyStream("bay-1", Window(2.0, 1 << 22), 2000, lambda indexes: None, lambda: None)
    stream.on_event("start", "", clock_ms())
    with contextlib.suppress(SourceEnded):
        await RtspSource(url, "tcp", clock_ms).run(stream)


if __name__ == "__main__":
    asyncio.run(_leak(sys.argv[1], Path(sys.argv[2])))
