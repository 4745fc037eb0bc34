"""A server to be killed: for each line on standard input it forks a site with a fake media room.

Prints its pid. Forked rather than started, because importing takes longer than serving. Run as
`python -m tests.control.forking_server STATE_DIR PORT`; ends, with its child, when standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from monitor.control.site import Site
from tests.control.fake_media import FakeMedia
from tests.control.harness import config


def _serve(state_dir: Path, port: int) -> None:
    base = config(state_dir)
    configured = base.model_copy(update={"server": base.server.model_copy(update={"port": port})})
    asyncio.run(Site(configured, tls=None, make_media=FakeMedia).run())


def main() -> None:
    """Fork on request."""
    state_dir, port = Path(sys.argv[1]), int(sys.argv[2])
    child = 0
    for _ in sys.stdin:
        if child:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)
        child = os.fork()
        if not child:
            _serve(state_dir, port)
            os._exit(0)
        print(child, flush=True)
    if child:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


if __name__ == "__main__":
    main()
