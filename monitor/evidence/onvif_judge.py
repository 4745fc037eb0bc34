"""Judges what a camera said over ONVIF: does it record by itself (row 12), and is it the camera itself that we read
(row 13)?

    row 12   a recording job that is active, a recording of this very moment, a target outside,
             an action that sends pictures away                                → broken
             the jobs were answered, and nothing else was withheld             → holds
             no ONVIF, no recording service                                    → not checked, and cannot be
             anything else: password, library, time, switched off              → not checked, and could be
    row 13   another serial number than configured                             → broken
             dialled by an IP address that the camera does not have            → broken
             the configured serial number, or its own address                  → holds

A storage place in the camera that nothing writes to is no break: it is named. What a camera does not offer over ONVIF
cannot hold: a camera without the recording service may record all the same, so it never counts as one that does not.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from monitor.evidence.finding import Finding, Said, broken, holds, impossible, said, skipped
from monitor.evidence.onvif_facts import CameraStorageFacts, OnvifCamera, Outcome, Part

FRESH_SECONDS = 600
"""A newest recording that is younger than this means that the camera records, whatever its jobs say."""
UNKNOWN = "–"

_WHY: Mapping[Outcome, str] = {
    "switched-off": "onvif.why-switched-off",
    "library-missing": "onvif.why-library",
    "unreachable": "onvif.why-unreachable",
    "no-onvif": "onvif.why-no-onvif",
    "too-slow": "onvif.why-slow",
    "refused": "onvif.why-refused",
    "not-understood": "onvif.why-unclear",
}
_WITHHELD: Mapping[Part, str] = {
    "jobs": "onvif.jobs-withheld",
    "storages": "onvif.storages-withheld",
    "actions": "onvif.actions-withheld",
}
"""Parts of row 12 that must not stay open where the camera offers them."""


def judge_no_cameras() -> list[Finding]:
    """A site without a device that could record: test pictures, files, or no camera."""
    return [holds(12, said("onvif.no-cameras")), holds(13, said("onvif.no-cameras"))]


def judge_not_yet(camera: OnvifCamera) -> list[Finding]:
    """A camera that has not been asked since the start."""
    why = said("onvif.why-not-yet", bay=camera.name)
    return [skipped(12, why), skipped(13, why)]


def judge_camera(facts: CameraStorageFacts, camera: OnvifCamera) -> list[Finding]:
    """Rows 12 and 13 of one camera."""
    if facts.outcome != "asked":
        why = said(_WHY[facts.outcome], bay=camera.name, port=camera.port, host=camera.host)
        make = impossible if facts.outcome == "no-onvif" else skipped
        return [make(12, why), make(13, why)]
    return [_recording(facts, camera), _itself(facts, camera)]


def records(facts: CameraStorageFacts) -> bool:
    """Whether the camera keeps pictures, or sends them somewhere to be kept."""
    return bool(_breaks(facts, ""))


def _recording(facts: CameraStorageFacts, camera: OnvifCamera) -> Finding:
    bay = camera.name
    seen = [_identity(facts, bay)]
    if facts.answer("jobs") == "answered":
        inactive = sum(not job.active for job in facts.jobs)
        seen.append(said("onvif.jobs", bay=bay, jobs=len(facts.jobs), inactive=inactive, recordings=facts.recordings))
    if facts.answer("storages") == "answered":
        seen.append(said("onvif.storages", bay=bay, places=len(facts.storages)))
        seen += [
            said("onvif.card", bay=bay, where=f"{each.kind} {each.where}".strip() or UNKNOWN)
            for each in facts.storages
            if not each.uploads
        ]
    if facts.answer("storages") == "not-offered" and facts.answer("actions") == "not-offered":
        seen.append(said("onvif.uploads-unasked", bay=bay))
    if facts.recorded and not 0 <= facts.recorded_age < FRESH_SECONDS:
        seen.append(said("onvif.old", bay=bay, count=facts.recorded, until=facts.recorded_until))
    breaks = _breaks(facts, bay)
    if breaks:
        return Finding(12, "broken", tuple(seen), tuple(breaks))
    if facts.answer("jobs") == "not-offered":
        key = "onvif.can-record" if facts.replays else "onvif.no-recording-service"
        return impossible(12, said(key, bay=bay), *seen)
    withheld = [key for part, key in _WITHHELD.items() if facts.answer(part) in {"refused", "failed"}]
    if withheld:
        return Finding(12, "not_checked", tuple(seen), tuple(said(key, bay=bay) for key in withheld), possible=True)
    return holds(12, *seen)


def _breaks(facts: CameraStorageFacts, bay: str) -> list[Said]:
    active = [job for job in facts.jobs if job.active]
    found = []
    if active:
        found.append(said("onvif.records", bay=bay, jobs=", ".join(job.token or UNKNOWN for job in active)))
    elif facts.recorded and 0 <= facts.recorded_age < FRESH_SECONDS:
        found.append(said("onvif.recorded-now", bay=bay, until=facts.recorded_until))
    found += [
        said("onvif.stores-outside", bay=bay, kind=each.kind or UNKNOWN, where=each.where or UNKNOWN)
        for each in facts.storages
        if each.uploads
    ]
    found += [said("onvif.sends", bay=bay, action=action) for action in facts.uploads]
    return found


def _itself(facts: CameraStorageFacts, camera: OnvifCamera) -> Finding:
    bay = camera.name
    seen = [_identity(facts, bay)]
    if facts.receives:
        seen.append(said("onvif.receives", bay=bay))
    if facts.stream_host and not _same(facts.stream_host, camera.host):
        seen.append(said("onvif.stream-elsewhere", bay=bay, host=facts.stream_host))
    if camera.serial and facts.serial != camera.serial:
        serial = facts.serial or UNKNOWN
        return broken(13, said("onvif.serial-differs", bay=bay, serial=serial, configured=camera.serial), *seen)
    own = any(_same(address, camera.host) for address in facts.own_addresses)
    if facts.own_addresses and not own and _is_place(camera.host):
        addresses = ", ".join(facts.own_addresses)
        return broken(13, said("onvif.address-differs", bay=bay, host=camera.host, own=addresses), *seen)
    if own:
        seen.append(said("onvif.own-address", bay=bay, host=camera.host))
    if camera.serial:
        return holds(13, said("onvif.serial-as-configured", bay=bay, serial=camera.serial), *seen)
    if not facts.serial:
        return holds(13, *seen) if own else impossible(13, said("onvif.no-serial", bay=bay), *seen)
    key = "onvif.serial-to-configure"
    if own:
        return holds(13, *seen, said(key, bay=bay, serial=facts.serial))
    return skipped(13, said(key, bay=bay, serial=facts.serial), *seen)


def _identity(facts: CameraStorageFacts, bay: str) -> Said:
    device = f"{facts.maker} {facts.model}".strip()
    return said(
        "onvif.identity",
        bay=bay,
        device=device or UNKNOWN,
        firmware=facts.firmware or UNKNOWN,
        serial=facts.serial or UNKNOWN,
    )


def _same(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one.strip("[]")) == ipaddress.ip_address(other.strip("[]"))
    except ValueError:
        return one.casefold() == other.casefold()


def _is_place(host: str) -> bool:
    """An IP address that a camera must know as its own: no name, and not this machine."""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
