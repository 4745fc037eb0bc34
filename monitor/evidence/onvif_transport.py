"""What travels to a camera over ONVIF, and what of its answers is let in.

The library's own transport is not used: it follows redirects to other hosts, reads answers of any size, and logs whole
messages. Here a request's name must begin with Get, redirects are not followed, and an answer that is too large or too
deep, has a document type (entities), or answers something else is not parsed. No message, user name or password is ever
logged, and no error holds a byte of an answer.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from xml.parsers import expat

from monitor.evidence.onvif_facts import OnvifCamera

TLS_PORT = 443
MAX_ANSWER = 512 * 1024
"""Octets. A camera with hundreds of recordings stays far below."""
MAX_DEPTH = 60
MAX_ELEMENTS = 20_000


class AskError(Exception):
    """A request that brought no answer. Its text holds nothing of the camera's answer."""


class Unreachable(AskError):
    """No way to the host."""


class NoOnvif(AskError):
    """The host is there, and this port does not speak ONVIF."""


class NotOffered(AskError):
    """No such service or request in this camera."""


class Refused(AskError):
    """User or password is not accepted, or this user may not ask it."""


class NotUnderstood(AskError):
    """An answer that cannot be read, or must not be."""


@cache
def tls_context() -> ssl.SSLContext:
    """A camera's certificate is its own; who it is, row 13 tells by its serial number."""
    from onvif.util import create_no_verify_ssl_context

    context: ssl.SSLContext = create_no_verify_ssl_context()
    return context


@dataclass
class Reply:
    """An HTTP answer as zeep reads it."""

    status_code: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/soap+xml"})
    encoding: str = "utf-8"


class Transport:
    """What zeep sends with. Everything that leaves goes through `post_xml`."""

    def __init__(self, camera: OnvifCamera) -> None:
        """Connects nowhere yet."""
        self._camera = camera
        self._session: Any = None
        self.entries = 0
        """Elements in the newest answer."""

    async def post_xml(self, address: str, envelope: Any, headers: Mapping[str, str]) -> Reply:
        """Send a request that reads, and take an answer that may be parsed. Raises AskError, TimeoutError."""
        import aiohttp
        from zeep.wsdl import utils

        as_bytes: Any = utils.etree_to_string  # which has no types
        name = str(envelope.find("{*}Body")[0].tag).rpartition("}")[2]
        if not name.startswith("Get"):
            raise RuntimeError(f"{name} is not a request that reads")
        try:
            async with self._connected().post(
                address,
                data=as_bytes(envelope),
                headers={**headers, "Accept-Encoding": "identity"},  # no answer that unfolds to gigabytes
                allow_redirects=False,
            ) as response:
                content = await _bounded(response.content)
                _check_status(response.status, content, response.headers.get("Content-Type", ""), name)
                self.entries = check_xml(content, name)
                return Reply(response.status, content)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, ConnectionRefusedError):
                raise NoOnvif(f"{name}: nobody listens") from None
            raise Unreachable(f"{name}: {type(error.os_error).__name__}") from None
        except aiohttp.ClientResponseError:
            raise NoOnvif(f"{name}: no HTTP") from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise NotUnderstood(f"{name}: {type(error).__name__}") from None

    def _connected(self) -> Any:
        import aiohttp

        if self._session is None:
            camera = self._camera
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls_context(), limit=1),
                # Some cameras take HTTP digest only (ONVIF Core, section 5.9.1).
                middlewares=(aiohttp.DigestAuthMiddleware(camera.user, camera.password),) if camera.user else (),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def load(self, url: str) -> bytes:
        """Nothing is fetched that a message names."""
        raise RuntimeError("nothing is loaded from the network")

    async def aclose(self) -> None:
        """Close the connections; a service that closes its own calls this too, and the next request connects anew."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def _bounded(stream: Any) -> bytes:
    content = bytearray()
    async for chunk in stream.iter_chunked(65536):
        content += chunk
        if len(content) > MAX_ANSWER:
            raise NotUnderstood("an answer that is too large")
    return bytes(content)


def _check_status(status: int, content: bytes, kind: str, name: str) -> None:
    """Whether this is ONVIF's answer at all."""
    if status in {401, 403}:
        raise Refused(name)
    is_xml = content.lstrip()[:1] == b"<" and "html" not in kind.lower()
    if status in {404, 405, 501} or not is_xml:
        # A fault comes with 400 or 500 and is XML; a web page is none.
        raise NoOnvif(f"{name}: HTTP {status}")


def check_xml(content: bytes, request: str) -> int:
    """Whether an answer may be parsed, and how many elements stand in it, one beside the other.

    Refused is what a SOAP message may not have (SOAP 1.2 part 1, section 5: no document type), what is too deep or has
    too many elements, and what answers something else. Looks nothing up, and unfolds no entity. Raises NotUnderstood.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    path: list[str] = []
    elements = entries = 0
    answers = False

    def doctype(*_: object) -> None:
        raise NotUnderstood("an answer with a document type")

    def start(tag: str, _: object) -> None:
        nonlocal elements, entries, answers
        path.append(tag.rpartition(" ")[2])
        elements += 1
        if len(path) > MAX_DEPTH or elements > MAX_ELEMENTS:
            raise NotUnderstood("an answer that is too deep")
        if path[:2] == ["Envelope", "Body"]:
            answers = answers or path[2:] in (["Fault"], [f"{request}Response"])
            entries += len(path) == 4  # envelope, body, response, entry

    def end(_: str) -> None:
        path.pop()

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError):  # the latter two: an encoding that it does not take
        raise NotUnderstood("an answer that is no XML, or in a rare encoding") from None
    if not answers:
        raise NotUnderstood("an answer to something else")
    return entries
