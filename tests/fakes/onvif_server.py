"""A camera's ONVIF side, answering in the shape of the ONVIF WSDLs (namespaces tds, trc, tse, trt, tae, tt).

It lets in by WS-UsernameToken digest as cameras do (OASIS UsernameToken Profile 1.1, section 3.1), or by HTTP digest,
notes every request that it was sent, and has switches for what cameras do differently and for what a hostile one
might send.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.etree import ElementTree
from xml.sax.saxutils import escape

USER, PASSWORD = "viewer", "p4ss/w:rd@æ"
SERIAL = "AB12CD34"
_WSSE = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd}"
_WSU = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}"
_SOAP = "http://www.w3.org/2003/05/soap-envelope"
_SERVICES = {
    "device": ("http://www.onvif.org/ver10/device/wsdl", "/onvif/device_service"),
    "media": ("http://www.onvif.org/ver10/media/wsdl", "/onvif/media"),
    "recording": ("http://www.onvif.org/ver10/recording/wsdl", "/onvif/recording"),
    "search": ("http://www.onvif.org/ver10/search/wsdl", "/onvif/search"),
    "replay": ("http://www.onvif.org/ver10/replay/wsdl", "/onvif/replay"),
    "receiver": ("http://www.onvif.org/ver10/receiver/wsdl", "/onvif/receiver"),
    "action": ("http://www.onvif.org/ver10/actionengine/wsdl", "/onvif/action"),
}
_BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + f'<!ENTITY out SYSTEM "http://192.0.2.99/steal">]><s:Envelope xmlns:s="{_SOAP}">'
    + "<s:Body>&j;&out;</s:Body></s:Envelope>"
)


@dataclass
class Camera:
    """How the camera is set up, and how it behaves."""

    serial: str = SERIAL
    address: str = "127.0.0.1"
    services: set[str] = field(default_factory=lambda: set(_SERVICES) - {"receiver"})
    jobs: list[tuple[str, str, str]] = field(default_factory=lambda: [("job1", "Idle", "Idle")])
    """Token, mode and state."""
    storages: list[tuple[str, str, str]] | None = field(default_factory=list)
    """Type, local path and address. None: the request is not known to it."""
    actions: list[str] = field(default_factory=list)
    recorded: int = 0
    recorded_ago: float = 86400.0
    clock_ahead: float = 0.0
    """Seconds. It refuses a token that is off its own clock by more than 5 s, as real ones do."""
    old: bool = False
    """Knows no GetServices."""
    http_digest: bool = False
    """Takes HTTP digest and no WS-UsernameToken."""
    anonymous: bool = False
    """Asks for no password."""
    forbidden: set[str] = field(default_factory=set)
    """Requests that this user may not make."""
    elsewhere: str = ""
    """Host and port that it names in the addresses of its services."""
    slow: dict[str, float] = field(default_factory=dict)
    """Seconds before the answer, by request; "" is any."""
    broken: dict[str, str] = field(default_factory=dict)
    """garbage, html, bomb, huge, deep, redirect, empty, wrong (an answer to something else) or misnamed (an entry that
    the schema does not know), by request; "" is any."""


@dataclass
class Running:
    """A camera that answers."""

    port: int
    camera: Camera
    asked: list[str] = field(default_factory=list)
    """Every request, in order."""
    refused: int = 0
    """Attempts with a wrong password, or none."""


@contextmanager
def onvif_server(camera: Camera | None = None) -> Iterator[Running]:
    """Runs until the context ends."""
    running = Running(0, camera or Camera())

    class Handler(_Handler):
        state = running

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece: else each answer waits for a delayed acknowledgement
    state: Running

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
        """Nothing: what was asked is noted in `asked`."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        camera = self.state.camera
        root = ElementTree.fromstring(body)
        element = next(iter(root.find(f"{{{_SOAP}}}Body") or []))
        namespace, _, name = element.tag[1:].partition("}")
        self.state.asked.append(name)
        time.sleep(camera.slow.get(name, camera.slow.get("", 0)))
        how = camera.broken.get(name) or camera.broken.get("")
        if how:
            self._break(how, f"{namespace} {name}")
            return
        if not (name == "GetSystemDateAndTime" or camera.anonymous or self._let_in(root)):
            return
        if name in camera.forbidden:
            self._fault("Sender", "NotAuthorized", "Sender not authorized")
            return
        answer = getattr(self, name, None)
        known = {_SERVICES[service][0] for service in camera.services}
        inner = answer(element) if answer is not None and namespace in known else None
        if inner is None:
            self._fault("Receiver", "ActionNotSupported", "Optional Action Not Implemented")
            return
        self._send(
            200,
            f'<s:Envelope xmlns:s="{_SOAP}" xmlns:tt="http://www.onvif.org/ver10/schema" xmlns:a="{namespace}">'
            f"<s:Body><a:{name}Response>{inner}</a:{name}Response></s:Body></s:Envelope>",
        )

    # ---- letting in --------------------------------------------------------------------------------------------------

    def _let_in(self, root: ElementTree.Element) -> bool:
        camera = self.state.camera
        if camera.http_digest:
            given = self.headers.get("Authorization", "")
            if given and self._http_digest(given):
                return True
            self.state.refused += bool(given)
            self._send(401, "", {"WWW-Authenticate": 'Digest realm="cam", nonce="n0nce", qop="auth", algorithm=MD5'})
            return False
        token = root.find(f".//{_WSSE}UsernameToken")
        if token is not None and self._token(token):
            return True
        self.state.refused += 1
        self._fault("Sender", "NotAuthorized", "Sender not authorized", status=400)
        return False

    def _token(self, token: ElementTree.Element) -> bool:
        created = token.findtext(f"{_WSU}Created") or ""
        nonce = base64.b64decode(token.findtext(f"{_WSSE}Nonce") or "")
        digest = hashlib.sha1(nonce + created.encode() + PASSWORD.encode()).digest()  # the profile's own way
        off = datetime.datetime.fromisoformat(created) - self._now()
        return (
            token.findtext(f"{_WSSE}Username") == USER
            and token.findtext(f"{_WSSE}Password") == base64.b64encode(digest).decode()
            and abs(off.total_seconds()) <= 5
        )

    def _http_digest(self, given: str) -> bool:
        values = dict(re.findall(r'(\w+)="?([^",]+)"?', given))
        one = hashlib.md5(f"{USER}:cam:{PASSWORD}".encode()).hexdigest()
        two = hashlib.md5(f"POST:{self.path}".encode()).hexdigest()
        line = f"{one}:n0nce:{values.get('nc')}:{values.get('cnonce')}:auth:{two}"
        return values.get("response") == hashlib.md5(line.encode()).hexdigest()

    def _now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=self.state.camera.clock_ahead)

    # ---- answers, as the WSDLs have them -----------------------------------------------------------------------------

    def GetSystemDateAndTime(self, _: ElementTree.Element) -> str:
        now = self._now()
        return (
            "<a:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType><tt:DaylightSavings>false</tt:DaylightSavings>"
            f"<tt:UTCDateTime><tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute>"
            f"<tt:Second>{now.second}</tt:Second></tt:Time><tt:Date><tt:Year>{now.year}</tt:Year>"
            f"<tt:Month>{now.month}</tt:Month><tt:Day>{now.day}</tt:Day></tt:Date></tt:UTCDateTime>"
            "</a:SystemDateAndTime>"
        )

    def GetDeviceInformation(self, _: ElementTree.Element) -> str:
        return (
            "<a:Manufacturer>Example</a:Manufacturer><a:Model>Dome 1</a:Model>"
            "<a:FirmwareVersion>5.1</a:FirmwareVersion>"
            f"<a:SerialNumber>{escape(self.state.camera.serial)}</a:SerialNumber><a:HardwareId>1</a:HardwareId>"
        )

    def _address(self, service: str) -> str:
        return f"http://{self.state.camera.elsewhere or f'127.0.0.1:{self.state.port}'}{_SERVICES[service][1]}"

    def GetServices(self, _: ElementTree.Element) -> str | None:
        if self.state.camera.old:
            return None
        return "".join(
            f"<a:Service><a:Namespace>{_SERVICES[service][0]}</a:Namespace><a:XAddr>{self._address(service)}</a:XAddr>"
            "<a:Version><tt:Major>19</tt:Major><tt:Minor>12</tt:Minor></a:Version></a:Service>"
            for service in sorted(self.state.camera.services)
        )

    def GetCapabilities(self, _: ElementTree.Element) -> str:
        services = self.state.camera.services
        flags = ("ReceiverSource", "MediaProfileSource", "DynamicRecordings", "DynamicTracks")
        inside = (
            "".join(f"<tt:{flag}>false</tt:{flag}>" for flag in flags) + "<tt:MaxStringLength>64</tt:MaxStringLength>"
        )
        recording, search = (
            f"<tt:{tag}><tt:XAddr>{self._address(tag.lower())}</tt:XAddr>{more}</tt:{tag}>"
            if tag.lower() in services
            else ""
            for tag, more in (("Recording", inside), ("Search", "<tt:MetadataSearch>false</tt:MetadataSearch>"))
        )
        return (
            f"<a:Capabilities><tt:Media><tt:XAddr>{self._address('media')}</tt:XAddr><tt:StreamingCapabilities/>"
            f"</tt:Media><tt:Extension>{recording}{search}</tt:Extension></a:Capabilities>"
        )

    def GetNetworkInterfaces(self, _: ElementTree.Element) -> str:
        return (
            '<a:NetworkInterfaces token="eth0"><tt:Enabled>true</tt:Enabled><tt:IPv4><tt:Enabled>true</tt:Enabled>'
            f"<tt:Config><tt:Manual><tt:Address>{self.state.camera.address}</tt:Address>"
            "<tt:PrefixLength>24</tt:PrefixLength></tt:Manual><tt:DHCP>false</tt:DHCP></tt:Config></tt:IPv4>"
            "<tt:IPv6><tt:Enabled>true</tt:Enabled><tt:Config><tt:DHCP>Off</tt:DHCP><tt:LinkLocal>"
            "<tt:Address>fe80::1</tt:Address><tt:PrefixLength>64</tt:PrefixLength></tt:LinkLocal></tt:Config></tt:IPv6>"
            "</a:NetworkInterfaces>"
        )

    def GetStorageConfigurations(self, _: ElementTree.Element) -> str | None:
        storages = self.state.camera.storages
        if storages is None:
            return None
        return "".join(
            f'<a:StorageConfigurations token="s{number}"><a:Data type="{kind}">'
            + (f"<a:LocalPath>{path}</a:LocalPath>" if path else "")
            + (f"<a:StorageUri>{address}</a:StorageUri>" if address else "")
            + "<a:User><a:UserName>nas</a:UserName><a:Password>n4s-s3cret</a:Password></a:User>"
            + "</a:Data></a:StorageConfigurations>"
            for number, (kind, path, address) in enumerate(storages)
        )

    def GetRecordings(self, _: ElementTree.Element) -> str:
        return (
            "<a:RecordingItem><tt:RecordingToken>rec1</tt:RecordingToken><tt:Configuration><tt:Source>"
            "<tt:SourceId>http://127.0.0.1/</tt:SourceId><tt:Name>cam</tt:Name><tt:Location/><tt:Description/>"
            "<tt:Address>http://127.0.0.1/</tt:Address></tt:Source><tt:Content/>"
            "<tt:MaximumRetentionTime>PT0S</tt:MaximumRetentionTime></tt:Configuration><tt:Tracks><tt:Track>"
            "<tt:TrackToken>VIDEO001</tt:TrackToken><tt:Configuration><tt:TrackType>Video</tt:TrackType>"
            "<tt:Description/></tt:Configuration></tt:Track></tt:Tracks></a:RecordingItem>"
        )

    def GetRecordingJobs(self, _: ElementTree.Element) -> str:
        return "".join(
            f"<a:JobItem><tt:JobToken>{token}</tt:JobToken><tt:JobConfiguration><tt:RecordingToken>rec1"
            f"</tt:RecordingToken><tt:Mode>{mode}</tt:Mode><tt:Priority>1</tt:Priority><tt:Source><tt:SourceToken "
            'Type="http://www.onvif.org/ver10/schema/Profile"><tt:Token>main</tt:Token></tt:SourceToken></tt:Source>'
            "</tt:JobConfiguration></a:JobItem>"
            for token, mode, _ in self.state.camera.jobs
        )

    def GetRecordingJobState(self, request: ElementTree.Element) -> str | None:
        wanted = request.findtext(f"{{{_SERVICES['recording'][0]}}}JobToken")
        for token, _, state in self.state.camera.jobs:
            if token == wanted and state:
                return (
                    f"<a:State><tt:RecordingToken>rec1</tt:RecordingToken><tt:State>{state}</tt:State><tt:Sources>"
                    '<tt:SourceToken Type="http://www.onvif.org/ver10/schema/Profile"><tt:Token>main</tt:Token>'
                    f"</tt:SourceToken><tt:State>{state}</tt:State><tt:Tracks/></tt:Sources></a:State>"
                )
        return None

    def GetRecordingSummary(self, _: ElementTree.Element) -> str:
        camera = self.state.camera
        until = self._now() - datetime.timedelta(seconds=camera.recorded_ago)
        begun = until - datetime.timedelta(hours=1 if camera.recorded else 0)
        return (
            f"<a:Summary><tt:DataFrom>{begun:%Y-%m-%dT%H:%M:%SZ}</tt:DataFrom>"
            f"<tt:DataUntil>{until:%Y-%m-%dT%H:%M:%SZ}</tt:DataUntil>"
            f"<tt:NumberRecordings>{camera.recorded}</tt:NumberRecordings></a:Summary>"
        )

    def GetActions(self, _: ElementTree.Element) -> str:
        return "".join(
            f'<a:Action Token="a{number}"><a:Configuration Name="n" Type="a:{kind}"><a:Parameters>'
            '<tt:SimpleItem Name="password" Value="ftp-s3cret"/></a:Parameters></a:Configuration></a:Action>'
            for number, kind in enumerate(self.state.camera.actions)
        )

    def GetProfiles(self, _: ElementTree.Element) -> str:
        return '<a:Profiles token="main" fixed="true"><tt:Name>main</tt:Name></a:Profiles>'

    def GetStreamUri(self, _: ElementTree.Element) -> str:
        return (
            f"<a:MediaUri><tt:Uri>rtsp://{self.state.camera.address}:554/main</tt:Uri>"
            "<tt:InvalidAfterConnect>false</tt:InvalidAfterConnect><tt:InvalidAfterReboot>false</tt:InvalidAfterReboot>"
            "<tt:Timeout>PT0S</tt:Timeout></a:MediaUri>"
        )

    # ---- sending -----------------------------------------------------------------------------------------------------

    def _fault(self, code: str, subcode: str, reason: str, status: int = 500) -> None:
        self._send(
            status,
            f'<s:Envelope xmlns:s="{_SOAP}" xmlns:ter="http://www.onvif.org/ver10/error"><s:Body><s:Fault><s:Code>'
            f"<s:Value>s:{code}</s:Value><s:Subcode><s:Value>ter:{subcode}</s:Value></s:Subcode></s:Code>"
            f'<s:Reason><s:Text xml:lang="en">{reason}</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>',
        )

    def _break(self, how: str, request: str) -> None:
        if how == "garbage":
            self._send(200, "<s:Envelope <<<")
        elif how == "html":
            self._send(200, "<html><body>camera</body></html>", {"Content-Type": "text/html"})
        elif how == "bomb":
            self._send(200, _BOMB)
        elif how == "huge":
            self._send(200, f'<s:Envelope xmlns:s="{_SOAP}"><s:Body>' + "a" * (64 << 20))
        elif how == "deep":
            self._send(200, "<a>" * 5000 + "</a>" * 5000)
        elif how == "redirect":
            self._send(307, "", {"Location": f"http://{self.state.camera.elsewhere}/onvif/device_service"})
        elif how == "empty":
            self._send(200, "")
        elif how == "wrong":
            self._send(200, f'<s:Envelope xmlns:s="{_SOAP}"><s:Body><x>1</x></s:Body></s:Envelope>')
        elif how == "misnamed":
            namespace, _, name = request.partition(" ")
            inner = f'<a:{name}Response xmlns:a="{namespace}"><Entry><Mode>Active</Mode></Entry></a:{name}Response>'
            self._send(200, f'<s:Envelope xmlns:s="{_SOAP}"><s:Body>{inner}</s:Body></s:Envelope>')
        else:
            raise ValueError(how)

    def _send(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/soap+xml; charset=utf-8", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the one who asked has had enough
