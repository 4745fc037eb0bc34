"""What must be true of the machine before Vigil starts: free ports, a state directory, a usable certificate.

Everything is tried before anything starts, and an error names the setting. This module must never leave anything open,
and changes nothing but the state directory, which it makes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import tempfile
from pathlib import Path

from monitor.core.errors import InputError, Unavailable
from monitor.setup.certificates import check_files
from monitor.setup.config_file import ConfigFile


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0))


def check_ports(opened: ConfigFile) -> None:
    """Bind the TCP port and each media process's UDP port, and let go of them. Raises ConfigError."""
    server = opened.config.server
    _bind(opened, server.port, "port", socket.SOCK_STREAM)
    for number in range(opened.config.media_processes(cores())):
        _bind(opened, server.udp_port + number, "udp_port", socket.SOCK_DGRAM)


def demo_ports(host: str, asked: int | None, usual: int, count: int, option: str) -> int:
    """The first of `count` neighbouring ports that are free now: the one that was asked for, else the usual one, else
    any. `option` is "--port" (TCP) or "--udp-port".

    Raises InputError where the one that was asked for is not free, Unavailable where none is.
    """
    kind = socket.SOCK_STREAM if option == "--port" else socket.SOCK_DGRAM
    first = asked or usual
    for _ in range(50):
        taken = next((port for port in range(first, first + count) if not _is_free(host, port, kind)), None)
        if taken is None:
            return first
        if asked:
            protocol = "TCP" if kind == socket.SOCK_STREAM else "UDP"
            raise InputError(f"{protocol} port {taken} is in use", f"leave {option} out to take a free one")
        first = _try_bind(host, 0, kind)
    raise Unavailable("no free ports were found", "end a program that holds many, or try again")


def make_state_dir(opened: ConfigFile) -> Path:
    """Make the state directory, for its owner alone. Raises ConfigError where it cannot be used."""
    path = Path(opened.config.server.state_dir)

    def refuse(what: str) -> Exception:
        return opened.error(
            f"the state directory {path} {what}",
            "make it and give it to the user that runs Vigil, or set state_dir to another",
            "server",
            "state_dir",
        )

    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
        # A root shell must not leave files that the service's own user cannot open later.
        if os.geteuid() == 0 and found.st_uid != 0:
            raise refuse(f"belongs to user {found.st_uid}: run this as that user")
        if stat.S_IMODE(found.st_mode) & 0o077:
            path.chmod(0o700)
        with tempfile.TemporaryFile(dir=path):
            pass
    except FileExistsError:
        raise refuse("is not a directory") from None
    except OSError as error:
        raise refuse(f"cannot be used: {(error.strerror or 'unknown reason').lower()}") from None
    return path


def check_tls_files(opened: ConfigFile) -> None:
    """Where the clinic gave a certificate of its own: try it. Raises ConfigError."""
    tls = opened.config.server.tls
    if isinstance(tls, str):
        return
    wrong = check_files(tls.cert, tls.key)
    if wrong:
        raise opened.error(wrong, 'give two files that fit, or set tls = "auto"', "server", "tls")


def _bind(opened: ConfigFile, port: int, key: str, kind: socket.SocketKind) -> None:
    host = opened.config.server.host
    what = f"{'TCP' if kind == socket.SOCK_STREAM else 'UDP'} port {port}"
    try:
        _try_bind(host, port, kind)
    except socket.gaierror:
        raise opened.error(
            f"{host} is no address of this machine", 'use "0.0.0.0" for all of its addresses', "server", "host"
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            tool = "ss -ltnp" if kind == socket.SOCK_STREAM else "ss -lunp"
            raise opened.error(
                f"{what} is in use", f"stop what uses it ({tool} shows it), or set another {key}", "server", key
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM):
            raise opened.error(
                f"{what} may not be opened by this user", "set one from 1024 on", "server", key
            ) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise opened.error(
                f"{host} is no address of this machine", 'use "0.0.0.0" for all of its addresses', "server", "host"
            ) from None
        raise opened.error(f"{what} cannot be opened: {error.strerror}", "", "server", key) from None


def _is_free(host: str, port: int, kind: socket.SocketKind) -> bool:
    try:
        _try_bind(host, port, kind)
    except (OSError, OverflowError):  # the latter beyond the last port
        return False
    return True


def _try_bind(host: str, port: int, kind: socket.SocketKind) -> int:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)[0]
    with contextlib.closing(socket.socket(family, kind)) as probe:
        if kind == socket.SOCK_STREAM:
            # As the server does: connections of an earlier run that are still closing do not stand in the way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        if kind == socket.SOCK_STREAM:
            probe.listen(1)  # with SO_REUSEADDR it is this that fails where another program listens
        return int(probe.getsockname()[1])
