"""What no setting shows alone: settings that contradict each other, and gaps that the clinic should know of.

A contradiction is refused; a warning is said by `vigil check` and changes nothing. This module must never fill a gap
with an invention: which law the clinic relies on is for the clinic to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from monitor.core.config_problems import Problem
from monitor.core.config_tables import MAX_PORT, SUB, Config

MAX_FILES = 64
"""As `messages.Start.readable`."""
CANARY = ".canary"
"""Behind a media process's name it names the audit's own camera, so no id may end in it."""
_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")
CALLS_REASON_DAYS = 180
ACCESS_REASON_DAYS = 400
"""Beyond these a reason is asked for (LAW.md section 5.2)."""
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def contradictions(config: Config) -> Iterator[Problem]:
    """What each setting alone does not show."""
    last_port = config.server.udp_port + config.media.processes - 1
    if last_port > MAX_PORT:
        yield Problem(("server", "udp_port"), f"{config.media.processes} media processes need ports up to {last_port}")
    if not config.bays:
        yield Problem(("bays",), "there is no bay", "add [[bays]]")
    yield from _ids(config)
    yield from _addresses(config)


def _ids(config: Config) -> Iterator[Problem]:
    bays: set[str] = set()
    buttons: set[str] = set()
    for position, bay in enumerate(config.bays):
        yield from _id(bay.id, ("bays", position, "id"), bays, "bay")
        for place, button in enumerate(bay.buttons):
            yield from _id(button.id, ("bays", position, "buttons", place, "id"), buttons, "button")
        if not bay.camera and not bay.buttons:
            yield Problem(("bays", position), "a bay has a camera, a button or both", "add camera or [[bays.buttons]]")
        if bay.camera_sub and not bay.camera:
            yield Problem(("bays", position, "camera_sub"), "a sub stream needs a main stream", "set camera too")
        if bay.serial and not (bay.camera and bay.camera.kind == "rtsp"):
            yield Problem(("bays", position, "serial"), "a serial number needs an rtsp camera", "leave it out")


def _id(value: str, path: tuple[str | int, ...], taken: set[str], what: str) -> Iterator[Problem]:
    if not _ID.fullmatch(value):
        yield Problem(path, f"not the id of a {what}", "use a-z, 0-9, dot, hyphen and underscore, like bay-1")
    elif value.endswith(SUB):
        yield Problem(path, f"an id does not end in {SUB}", "that names a camera's sub stream")
    elif value.endswith(CANARY):
        yield Problem(path, f"an id does not end in {CANARY}", "that names the audit's own cameras")
    elif value in taken:
        yield Problem(path, f"the {what} id {value} is there twice", "give each its own id")
    taken.add(value)


def _addresses(config: Config) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    real = any(address.kind == "rtsp" for _, _, address in config.cameras())
    for position, bay in enumerate(config.bays):
        for key, address in (("camera", bay.camera), ("camera_sub", bay.camera_sub)):
            if not address:
                continue
            path = ("bays", position, key)
            if address.identity and address.identity in seen:
                yield Problem(
                    path,
                    f"the address of {seen[address.identity]} is used again",
                    "each camera is read once; leave camera_sub out where there is no sub stream",
                )
            seen.setdefault(address.identity, f"bay {bay.id}")
            if address.kind == "file" and real and config.media.enforce == "strict":
                yield Problem(
                    path,
                    'a file is no camera: refused beside real bays under enforce = "strict"',
                    "use files in a configuration of their own, for demonstration and tests",
                )
    files = {address.path for _, _, address in config.cameras() if address.kind == "file"}
    if len(files) > MAX_FILES:
        yield Problem(("bays",), f"at most {MAX_FILES} different files can be shown")


def warnings(config: Config) -> Iterator[tuple[str, str]]:
    """Each gap as what is seen and what to do about it; both one line."""
    yield from _camera_warnings(config)
    yield from _notice_warnings(config)
    if config.media.enforce == "warn":
        yield 'enforce = "warn": a media process that cannot be sealed runs all the same', 'use enforce = "strict"'
    if config.server.tls == "off" and config.server.host not in _LOOPBACK:
        yield (
            'tls = "off": sign-ins and calls cross the network unencrypted',
            'use tls = "auto", or host = "127.0.0.1" behind a proxy that has TLS',
        )
    if config.retention.calls_days > CALLS_REASON_DAYS:
        yield (
            f"calls are kept {config.retention.calls_days} days",
            f"write down why it is more than {CALLS_REASON_DAYS}",
        )
    if config.retention.access_log_days > ACCESS_REASON_DAYS:
        yield (
            f"the access log is kept {config.retention.access_log_days} days",
            f"write down why it is more than {ACCESS_REASON_DAYS}",
        )


def _camera_warnings(config: Config) -> Iterator[tuple[str, str]]:
    for bay in config.bays:
        if bay.camera and not bay.buttons:
            yield f"bay {bay.id} has a camera and no call button", "give it [[bays.buttons]]"
        if bay.camera and bay.camera.kind == "rtsp" and not bay.sign:
            yield f"bay {bay.id} has a camera and no sign is named", "hang a sign up and say where: sign = …"
        if bay.camera and bay.camera.kind == "rtsp" and not bay.onvif_port:
            yield f"the camera of bay {bay.id} is not asked whether it records by itself", "set onvif_port"
    for camera, _, address in config.cameras():
        if address.kind == "rtsp" and not address.has_password:
            yield f"camera {camera} has no password", "set one in the camera, and rtsp://user:${PASSWORD}@… here"


def _notice_warnings(config: Config) -> Iterator[tuple[str, str]]:
    notice = config.notice
    if not notice.controller:
        yield "no controller is named in the notice", "set controller in [notice] (GDPR Article 13(1)(a))"
    if not notice.legal_bases:
        yield "no legal basis is named in the notice", "set legal_bases in [notice] (GDPR Article 13(1)(c))"
    if "6(1)(f)" in notice.legal_bases and not notice.legitimate_interest:
        yield (
            "6(1)(f) is a legal basis and the interest is not named",
            "set legitimate_interest in [notice] (GDPR Article 13(1)(d))",
        )
    if not notice.article_9:
        yield (
            "no exception of GDPR Article 9(2) is named: health data needs one",
            "let the clinic's adviser decide, then set article_9 in [notice]",
        )
    if not notice.policy_url:
        yield "the notice links to no whole privacy policy", "set policy_url in [notice]"
