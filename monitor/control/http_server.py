"""The HTTP server: uvicorn, told to leave signals, logs and its name alone, and to stop in time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from monitor.core.errors import InputError, Unavailable

GRACE_SECONDS = 1
"""How long open requests may take to end when the server stops."""


class HttpServer:
    """One listening server. `listen` first, then `start`."""

    def __init__(self, app: ASGIApp, host: str, port: int, tls: tuple[str, str] | None) -> None:
        """`tls`: paths of certificate and key. Raises InputError where they cannot be used, Unavailable where the
        address cannot be listened to."""
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # there is no proxy whose word about an address could be taken
            timeout_graceful_shutdown=GRACE_SECONDS,
            ssl_certfile=tls[0] if tls else None,
            ssl_keyfile=tls[1] if tls else None,
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise InputError("the certificate or its key cannot be used", "check server.tls") from error
        self._server = _Server(config)
        self._socket = _listen(host, port)
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The TCP port that it listens to."""
        return int(self._socket.getsockname()[1])

    def start(self) -> asyncio.Task[None]:
        """Serve from now on. The task ends when the server does."""
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[self._socket]))
        return self._task

    async def stop(self) -> None:
        """End open requests and stop. Streams should have been ended before: they would be cut off."""
        self._server.should_exit = True
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._socket.close()


class _Server(uvicorn.Server):
    """Signals are the site's to take."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = found[0]
        sock = socket.socket(family, kind)
    except OSError as error:
        raise Unavailable(f"{host} cannot be listened to: {error.strerror}", "check server.host") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(1024)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise Unavailable(
            f"TCP port {port} on {host} cannot be listened to: {error.strerror}", "check server.host and server.port"
        ) from error
    return sock
