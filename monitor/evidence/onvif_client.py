"""One camera's ONVIF services, asked by way of `onvif-zeep-async` (optional: `vigil[onvif]`), which brings the WSDLs
and WS-UsernameToken.

It must go to no host but the one that was dialled, whatever the camera names, and never take "nothing" for an answer
where the library left out what it does not know: `entries` counts. What travels, and what is let in, is
`onvif_transport`'s to say.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import threading
from collections.abc import Mapping
from contextlib import AsyncExitStack
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import urlsplit

from monitor.evidence.onvif_facts import OnvifCamera
from monitor.evidence.onvif_transport import (
    TLS_PORT,
    AskError,
    NotOffered,
    NotUnderstood,
    Refused,
    Transport,
    tls_context,
)

ServiceName = Literal["device", "storage", "media", "recording", "search", "action"]
DEVICE = "http://www.onvif.org/ver10/device/wsdl"
NAMESPACES: Mapping[ServiceName, str] = {
    "device": DEVICE,
    "storage": DEVICE,
    "media": "http://www.onvif.org/ver10/media/wsdl",
    "recording": "http://www.onvif.org/ver10/recording/wsdl",
    "search": "http://www.onvif.org/ver10/search/wsdl",
    "action": "http://www.onvif.org/ver10/actionengine/wsdl",
}
_WSDLS: Mapping[ServiceName, tuple[str, str]] = {
    "device": ("devicemgmt.wsdl", "DeviceBinding"),
    "storage": ("onvif_storage.wsdl", "StorageBinding"),  # ours: the library's WSDL is older than this request
    "media": ("media.wsdl", "MediaBinding"),
    "recording": ("recording.wsdl", "RecordingBinding"),
    "search": ("search.wsdl", "SearchBinding"),
    "action": ("actionengine.wsdl", "ActionEngineBinding"),
}
DEVICE_PATH = "/onvif/device_service"
"""Where every ONVIF device has its device service (ONVIF Core, section 5.1.1)."""
_loading = threading.Lock()
_loaded = threading.Event()


def prepare() -> None:
    """Import the library and read its WSDLs, once: half a second and 60 MB. To be called in a thread.

    Raises ImportError where it is not installed.
    """
    with _loading:
        if not _loaded.is_set():
            _import()
            asyncio.run(_read_wsdls())
            tls_context()  # 30 ms, once
            _loaded.set()


def _import() -> None:
    # The library calls logging.basicConfig, which does nothing where the root has a handler.
    root, guard = logging.getLogger(), logging.NullHandler()
    root.addHandler(guard)
    try:
        import onvif.client
    finally:
        root.removeHandler(guard)
    # Whatever level somebody sets: these two would write down whole messages.
    for name in ("onvif", "zeep"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    del onvif


async def _read_wsdls() -> None:
    for name in _WSDLS:
        service = _service(name, "http://127.0.0.1", "", "", None)
        try:
            await service.setup()  # keeps what it read for all that follow
        finally:
            await service.close()


def _service(name: ServiceName, url: str, user: str, password: str, offset: datetime.timedelta | None) -> Any:
    from onvif import client

    file, binding = _WSDLS[name]
    if name == "storage":
        path = str(resources.files("monitor.evidence").joinpath(file))
    else:
        path = str(Path(client.__file__).with_name("wsdl") / file)
    return client.ONVIFService(
        url,
        user,
        password,
        path,
        no_cache=True,  # the cache is a file
        dt_diff=offset,
        binding_name=f"{{{NAMESPACES[name]}}}{binding}",
        binding_key=name,
    )


class Device:
    """One camera's services. An async context: its connections end with it."""

    def __init__(self, camera: OnvifCamera) -> None:
        """Connects nowhere yet. `prepare` must have returned before."""
        self._camera = camera
        self._stack = AsyncExitStack()
        self._services: dict[ServiceName, Any] = {}
        self._transport = Transport(camera)
        self._offset: datetime.timedelta | None = None
        self.addresses: dict[str, str] = {DEVICE: DEVICE_PATH}
        """Namespace of each service → address as the camera gives it: only its path is used, and its port where the
        host is the one that was dialled."""

    async def __aenter__(self) -> Device:
        """Itself."""
        self._stack.push_async_callback(self._transport.aclose)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._stack.aclose()

    async def take_clock(self, offset: datetime.timedelta) -> None:
        """From now on sign requests by the camera's clock: `offset` is how far it is ahead of ours."""
        self._offset = offset
        self._services.clear()  # made anew with the offset; the old ones are closed with the stack

    async def call(
        self, service: ServiceName, request: str, params: Mapping[str, object] | None = None, *, signed: bool = True
    ) -> Any:
        """One request and its answer, as the library's object. Raises AskError; TimeoutError is the caller's affair."""
        from zeep.exceptions import Fault

        try:
            ready = await self._ready(service)
            target = ready.ws_client if signed and self._camera.user else ready.ws_client_authless
            return await getattr(target, request)(**(params or {}))
        except (AskError, TimeoutError):
            raise
        except Fault as fault:
            raise _of_fault(fault, request) from None
        except Exception as error:  # noqa: BLE001 (a camera's nonsense comes out of the parser as any error there is)
            raise NotUnderstood(f"{request}: {type(error).__name__}") from None

    async def entries(
        self, service: ServiceName, request: str, params: Mapping[str, object] | None = None
    ) -> list[object]:
        """The entries of an answer that is a list. Raises NotUnderstood where it has more than the library found."""
        reply = await self.call(service, request, params)
        found: list[object] = reply if isinstance(reply, list) else [] if reply is None else [reply]
        if len(found) != self._transport.entries or any(each is None for each in found):
            raise NotUnderstood(f"{request}: entries that cannot be read")
        return found

    async def _ready(self, name: ServiceName) -> Any:
        if name not in self._services:
            address = self.addresses.get(NAMESPACES[name])
            if address is None:
                raise NotOffered(f"no {name} service")
            camera = self._camera
            service = _service(name, self._url(address), camera.user, camera.password, self._offset)
            self._stack.push_async_callback(service.close)
            service.transport = self._transport
            await service.setup()
            self._services[name] = service
        return self._services[name]

    def _url(self, address: str) -> str:
        """The address of a service, at the host that was dialled: a camera cannot send us elsewhere."""
        camera = self._camera
        try:
            parts = urlsplit(address)
            port = parts.port if parts.hostname == camera.host and parts.scheme == "http" else None
        except ValueError:
            raise NotUnderstood("an address of a service that is none") from None
        scheme = "https" if camera.port == TLS_PORT else "http"
        host = f"[{camera.host}]" if ":" in camera.host else camera.host
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not path.startswith("/"):
            path = f"/{path}"
        return f"{scheme}://{host}:{camera.port if scheme == 'https' else port or camera.port}{path}"


def _of_fault(fault: Any, request: str) -> AskError:
    """ONVIF Core, section 5.8.2: the codes of faults."""
    from onvif.util import extract_subcodes_as_strings, is_auth_error

    codes = " ".join(extract_subcodes_as_strings(fault.subcodes or []))
    if is_auth_error(fault) or "FailedAuthentication" in codes:
        return Refused(request)
    if any(word in codes for word in ("ActionNotSupported", "NotSupported", "NoRecordings", "UnknownAction")):
        return NotOffered(request)
    return NotUnderstood(f"{request}: a fault")
