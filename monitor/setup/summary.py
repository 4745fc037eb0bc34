"""What a configuration will do, in words: `vigil check` says it before anything starts.

This module must never show a password: addresses are written without their user part.
"""

from __future__ import annotations

from collections.abc import Iterator

from monitor.core.config import Bay, Config


def base_url(config: Config) -> str:
    """By which address browsers reach the server."""
    scheme, usual = ("http", 80) if config.server.tls == "off" else ("https", 443)
    host = config.server.public_host
    if ":" in host:
        host = f"[{host}]"
    return f"{scheme}://{host}" if config.server.port == usual else f"{scheme}://{host}:{config.server.port}"


def lines(config: Config, cores: int) -> Iterator[str]:
    """One line for each thing, without a full stop."""
    server, media, retention = config.server, config.media, config.retention
    count = config.media_processes(cores)
    yield f"{config.clinic.name}: {_many(len(config.bays), 'bay')}, {_many(len(config.cameras()), 'camera stream')}"
    ports = f"{server.udp_port}" if count == 1 else f"{server.udp_port}-{server.udp_port + count - 1}"
    yield f"pages at {base_url(config)}, pictures from UDP {ports}, listening on {server.host}"
    certificate = {"auto": "made and kept by Vigil", "off": "none"}
    yield f"certificate: {certificate.get(server.tls, '') if isinstance(server.tls, str) else server.tls.cert}"
    yield (
        f"{_many(count, 'media process', 'media processes')}, seal {media.enforce}; at most {media.window_seconds:g} s "
        f"and {media.window_bytes >> 10} KiB of each camera in memory, no picture anywhere else"
    )
    yield (
        f"kept in {server.state_dir}: calls {retention.calls_days} days, access log {retention.access_log_days} days, "
        f"security log {retention.security_log_days} days"
    )
    for bay in config.bays:
        yield _bay(bay)


def _bay(bay: Bay) -> str:
    parts = []
    if bay.camera:
        transport = f" over {bay.transport.upper()}" if bay.camera.kind == "rtsp" else ""
        parts.append(f"camera {bay.camera}{transport}")
        if bay.camera_sub:
            parts.append(f"sub stream {bay.camera_sub}")
    else:
        parts.append("no camera")
    buttons = ", ".join(f"{button.id} ({button.kind})" for button in bay.buttons)
    parts.append(f"buttons {buttons}" if buttons else "no button")
    if bay.buttons:
        parts.append("closed at the bay" if bay.presence == "bay" else "closed from any screen")
    return f"bay {bay.id} ({bay.name}): {'; '.join(parts)}"


def _many(count: int, one: str, more: str = "") -> str:
    return f"{count} {one if count == 1 else more or one + 's'}"
