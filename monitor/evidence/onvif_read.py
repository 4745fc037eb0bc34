"""From the answers of a camera to `CameraStorageFacts`: what a reply says, cut to length and freed of control signs.

Pure functions over the library's objects. They must never take a user or a password out of an answer, and never trust
that a field is there: a camera leaves out what it likes.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from monitor.evidence.onvif_facts import UPLOAD_KINDS, Job, Storage

MAX_TEXT = 64
MAX_ENTRIES = 64
_SENDS = ("ftp", "mail", "http", "upload", "post", "record", "storage", "snapshot")
"""What the type of an action that takes pictures elsewhere has in its name."""


def get(thing: object, *path: str) -> object:
    """The field at the end of a path, or None."""
    for name in path:
        thing = getattr(thing, name, None)
    return thing


def many(thing: object) -> Iterator[object]:
    """The entries of a list that may be missing, or be one thing alone; at most MAX_ENTRIES."""
    entries = thing if isinstance(thing, list) else [] if thing is None else [thing]
    yield from entries[:MAX_ENTRIES]


def text(thing: object) -> str:
    """As one short line."""
    if thing is None:
        return ""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in str(thing)).split())[:MAX_TEXT]


def clock(reply: object) -> datetime.datetime | None:
    """The camera's clock, in UTC; None where it does not say (GetSystemDateAndTime)."""
    date, time = get(reply, "UTCDateTime", "Date"), get(reply, "UTCDateTime", "Time")
    parts = [get(date, name) for name in ("Year", "Month", "Day")]
    parts += [get(time, name) for name in ("Hour", "Minute", "Second")]
    numbers = [part for part in parts if isinstance(part, int)]
    if len(numbers) != len(parts):
        return None
    try:
        return datetime.datetime(*numbers[:6], tzinfo=datetime.UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        return None


def services(entries: Iterable[object]) -> dict[str, str]:
    """Namespace → address (GetServices)."""
    pairs = ((text(get(each, "Namespace")), str(get(each, "XAddr") or "")) for each in entries)
    return {namespace: address for namespace, address in pairs if namespace and address}


def capabilities(reply: object) -> dict[str, str]:
    """The same (GetCapabilities), from cameras that know no GetServices."""
    places = {
        "http://www.onvif.org/ver10/media/wsdl": ("Media",),
        "http://www.onvif.org/ver10/recording/wsdl": ("Extension", "Recording"),
        "http://www.onvif.org/ver10/search/wsdl": ("Extension", "Search"),
        "http://www.onvif.org/ver10/replay/wsdl": ("Extension", "Replay"),
        "http://www.onvif.org/ver10/receiver/wsdl": ("Extension", "Receiver"),
    }
    found = {namespace: str(get(reply, *path, "XAddr") or "") for namespace, path in places.items()}
    # The library leaves what stands in the extension as XML, because the schema lets anything stand before it.
    for element in many(get(reply, "Extension", "_value_1")):
        name = str(get(element, "tag")).rpartition("}")[2]
        for namespace, path in places.items():
            if path[-1] == name and isinstance(element, Iterable):
                child = next((each for each in element if str(get(each, "tag")).endswith("}XAddr")), None)
                found[namespace] = found[namespace] or str(get(child, "text") or "")
    return {namespace: address for namespace, address in found.items() if address}


def addresses(entries: Iterable[object]) -> tuple[str, ...]:
    """The camera's own IP addresses (GetNetworkInterfaces), without those of its loopback."""
    found: dict[str, None] = {}
    for interface in entries:
        four, six = get(interface, "IPv4", "Config"), get(interface, "IPv6", "Config")
        for config, names in (
            (four, ("Manual", "LinkLocal", "FromDHCP")),
            (six, ("Manual", "LinkLocal", "FromDHCP", "FromRA")),
        ):
            for name in names:
                for entry in many(get(config, name)):
                    address = _address(text(get(entry, "Address")))
                    if address:
                        found[address] = None
    return tuple(found)


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return ""


def job(entry: object, state: object) -> Job:
    """A recording job (GetRecordingJobs) and what it does (GetRecordingJobState)."""
    return Job(text(get(entry, "JobToken")), text(get(entry, "JobConfiguration", "Mode")), text(get(state, "State")))


def storage(entry: object) -> Storage | None:
    """A storage configuration (GetStorageConfigurations); None where it cannot be told whether it lies outside."""
    data = get(entry, "Data")
    kind = text(get(data, "type"))
    outside = _outside(str(get(data, "StorageUri") or ""))
    local = text(get(data, "LocalPath"))
    uploads = bool(outside) or kind.casefold().startswith(UPLOAD_KINDS)
    return Storage(kind, outside or local, uploads) if uploads or local else None


def _outside(target: str) -> str:
    """Protocol and host of a target that lies elsewhere: neither user, password nor path."""
    try:
        parts = urlsplit(target)
        host = parts.hostname
    except ValueError:
        return "?"
    if parts.scheme == "file" or not host:
        return ""
    return text(f"{parts.scheme}://{host}" if parts.scheme else host)


def action(entry: object) -> str:
    """The type of an action (GetActions), without its namespace; empty where there is none."""
    return text(get(entry, "Configuration", "Type")).rpartition("}")[2].rpartition(":")[2]


def sends(action_type: str) -> bool:
    """Whether an action of this type takes pictures elsewhere."""
    return any(word in action_type.casefold() for word in _SENDS)


def recorded(reply: object, now: datetime.datetime) -> tuple[int, str, int]:
    """How many recordings hold something, until when, and how long ago that is by the camera's clock
    (GetRecordingSummary). `now` is the camera's."""
    count, until = get(reply, "NumberRecordings"), get(reply, "DataUntil")
    begun = get(reply, "DataFrom")
    if not isinstance(count, int) or count < 1 or not isinstance(until, datetime.datetime):
        return 0, "", -1
    until, begun = _utc(until), _utc(begun) if isinstance(begun, datetime.datetime) else None
    if until.year <= 1970 or until == begun:  # how an empty card is said
        return 0, "", -1
    return count, until.strftime("%Y-%m-%dT%H:%MZ"), max(0, int((now - until).total_seconds()))


def _utc(moment: datetime.datetime) -> datetime.datetime:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    try:
        return moment.astimezone(datetime.UTC)
    except OverflowError:
        return datetime.datetime.fromtimestamp(0, datetime.UTC)


def stream_host(reply: object) -> str:
    """Where the camera says that its stream is (GetStreamUri)."""
    try:
        return text(urlsplit(str(get(reply, "Uri") or "")).hostname)
    except ValueError:
        return ""
