"""The throw-away processes of `vigil prove`: started as media processes are, ordered, listened to, and ended.

Nothing that they print is waited for or believed, and none may outlive the proof.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monitor.audit import prove_ground
from monitor.audit.prove_look import Look
from monitor.core.errors import SealError

ROLES = ("attacker", "heir", "early", "victim")
STEP_SECONDS = 30.0
_MODULE = "monitor.media.prove_process"
_LARGEST = 1 << 20
_LAST_WORDS_SECONDS = 2.0


class Process:
    """A throw-away process: what it says, and what can be seen of it."""

    def __init__(self, popen: subprocess.Popen[bytes], channel: socket.socket, look: Look, folder: Path) -> None:
        self.popen, self.channel, self.look, self.folder = popen, channel, look, folder
        self.last_words: collections.deque[bytes] = collections.deque(maxlen=5)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def order(self, ground: prove_ground.Ground, without: Sequence[str], role: str) -> None:
        """Tell it what to do. It may dump core until it seals itself, if anything here may."""
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.prlimit(self.popen.pid, resource.RLIMIT_CORE, (hard, hard))
        heir = role == "heir"
        self.tell(
            {
                "role": role,
                "without": list(without),
                "directories": [[str(each.path), each.row] for each in ground.scratches],
                "token": ground.token.hex(),
                "prover": {
                    "existing": prove_ground.EXISTING,
                    "folder": prove_ground.FOLDER,
                    "shared": ground.shared,
                    "pid": os.getpid(),
                    "address": ground.address,
                    "descriptor": ground.descriptor,
                    "datagrams": ground.datagrams,
                    "stream": ground.stream,
                    "abstract": ground.abstract,
                    "block": _block_device(),
                    "file": ground.file if heir else -1,
                    "pipe": ground.pipe if heir else -1,
                },
            }
        )

    def tell(self, what: Mapping[str, object] | str) -> None:
        """Say something to it; one that has ended is noticed when it should answer."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.channel.send(json.dumps(what).encode())

    def messages(self) -> Iterator[dict[str, Any]]:
        """What it says until it is done. Raises SealError where it ends before, or is silent for too long."""
        while True:
            try:
                data = self.channel.recv(_LARGEST)
            except (TimeoutError, ConnectionResetError):
                data = b""
            if not data:
                raise SealError(
                    f"a process that attacked its seal ended too early{self._why()}", "run vigil prove again"
                )
            message: dict[str, Any] = json.loads(data)
            if "refused" in message and "hint" in message:
                raise SealError(message["refused"], message["hint"])
            if "end" in message:
                return
            yield message
            if "address" in message:
                return  # it was killed

    def _why(self) -> str:
        self.end()
        critical = [line for line in self.last_words if b"CRITICAL" in line]
        text = "".join(chr(octet) for octet in (critical or [b""])[-1][:200] if 0x20 <= octet <= 0x7E)
        return f": {text}" if text else ""

    def _listen(self) -> None:
        """Read what it prints, so that it never waits for us."""
        assert self.popen.stdout is not None
        with self.popen.stdout as printed:
            for line in printed:
                self.last_words.append(line)

    def end(self) -> None:
        """Kill it, and take its last words."""
        self.popen.kill()
        self.popen.wait()
        self._listener.join(_LAST_WORDS_SECONDS)


@contextlib.contextmanager
def started(role: str, ground: prove_ground.Ground, environment: Mapping[str, str]) -> Iterator[Process]:
    """A process of a role, until the end of the block. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST)
    ours.settimeout(STEP_SECONDS)
    folder = ground.scratches[0].path.parent / role
    folder.mkdir(mode=0o700)
    inherited = (ground.file, ground.pipe) if role == "heir" else ()
    with ours:
        popen = subprocess.Popen(
            [sys.executable, "-P", "-s", "-m", _MODULE, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs.fileno(), *inherited),
            env=dict(environment),
            cwd=folder if role == "victim" else "/",  # where a core would be written
            start_new_session=True,
        )
        theirs.close()
        process = Process(popen, ours, Look(popen.pid, ground.shared), folder)
        try:
            yield process
        finally:
            process.end()


def _block_device() -> str:
    """A disk of this machine; it is only opened. A loop device first: one that is mounted may be closed to everyone."""
    names = sorted((path.name for path in Path("/sys/block").glob("*")), key=lambda name: (name[:4] != "loop", name))
    return f"/dev/{names[0] if names else 'loop0'}"
