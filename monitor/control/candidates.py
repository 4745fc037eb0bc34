"""Under which addresses a viewer may reach the media processes' UDP port.

Only what the operator named, and what the viewer's own request arrived at: nothing of the machine's other addresses is
told to a browser.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import time

logger = logging.getLogger(__name__)

CACHE_SECONDS = 60.0
RESOLVE_SECONDS = 1.0
"""How long an offer waits for a name server before it is answered without the name's addresses."""


class Candidates:
    """The addresses for `public_host`, as long as they are of a kind that `udp_host` listens to."""

    def __init__(self, public_host: str, udp_host: str) -> None:
        self._public_host = public_host
        self._versions = {4, 6} if udp_host == "::" else {6 if ":" in udp_host else 4}
        self._cached: list[str] = []
        self._cached_at = float("-inf")

    async def for_request(self, local_address: str | None) -> list[str]:
        """Candidates for a request that arrived at `local_address`, the nearest first; never none where it is known."""
        local = self._usable(local_address)
        if local is not None and ipaddress.ip_address(local).is_loopback:
            return [local]
        named = [address for address in await self._named() if not ipaddress.ip_address(address).is_loopback]
        return list(dict.fromkeys(([local] if local else []) + named))

    async def _named(self) -> list[str]:
        if time.monotonic() - self._cached_at < CACHE_SECONDS:
            return self._cached
        loop = asyncio.get_running_loop()
        try:
            found = await asyncio.wait_for(
                loop.getaddrinfo(self._public_host, None, type=socket.SOCK_DGRAM), RESOLVE_SECONDS
            )
        except (OSError, TimeoutError):
            logger.warning("public_host %s does not resolve here", self._public_host)
            found = []
        usable = (self._usable(str(entry[4][0])) for entry in found)
        self._cached = list(dict.fromkeys(address for address in usable if address))
        self._cached_at = time.monotonic()
        return self._cached

    def _usable(self, address: str | None) -> str | None:
        """The address in its plain form; None where it is none, names an interface, or nobody listens to its kind."""
        try:
            parsed = ipaddress.ip_address(address or "")
        except ValueError:
            return None
        if isinstance(parsed, ipaddress.IPv6Address):
            if parsed.ipv4_mapped:
                parsed = parsed.ipv4_mapped
            elif parsed.is_link_local:
                return None  # of no use without the interface's name
        return str(parsed) if parsed.version in self._versions and not parsed.is_unspecified else None
