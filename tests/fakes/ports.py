"""Ports of 127.0.0.1 that nobody listens on just now."""

from __future__ import annotations

import socket

_given: set[tuple[socket.SocketKind, int]] = set()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM, run: int = 1) -> int:
    """A port that was free a moment ago, another one at each call in this process. With `run` the first of so many
    in a row: for one media process each."""
    for _ in range(200):
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.bind(("127.0.0.1", 0))
            first: int = sock.getsockname()[1]
        wanted = {(kind, port) for port in range(first, first + run)}
        if wanted & _given or not all(_is_free(kind, port) for port in range(first + 1, first + run)):
            continue
        _given.update(wanted)
        return first
    raise AssertionError(f"no {run} free ports in a row")


def _is_free(kind: socket.SocketKind, port: int) -> bool:
    with socket.socket(socket.AF_INET, kind) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True
