"""A camera that records by itself is seen, over ONVIF as real cameras speak it; one that is hostile gets nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from typing import Any

import pytest

from monitor.core.config import load
from monitor.evidence import onvif_client
from monitor.evidence.finding import Finding, combined, is_complete
from monitor.evidence.onvif import ask, ask_all
from monitor.evidence.onvif_client import Device, prepare
from monitor.evidence.onvif_facts import CameraStorageFacts, OnvifCamera, cameras_of
from monitor.evidence.onvif_judge import judge_camera, records
from monitor.evidence.onvif_transport import MAX_ELEMENTS, NotUnderstood, check_xml
from monitor.evidence.words import shown
from tests.fakes.onvif_server import PASSWORD, SERIAL, USER, Camera, Running, onvif_server


def asked(running: Running, **changed: Any) -> OnvifCamera:
    known = OnvifCamera("bay-1", "Leje 1", "127.0.0.1", running.port, USER, PASSWORD, "")
    return replace(known, **changed)


def facts_of(camera: Camera, timeout: float = 5.0, **changed: Any) -> tuple[CameraStorageFacts, Running]:
    with onvif_server(camera) as running:
        return asyncio.run(ask(asked(running, **changed), timeout)), running


def keys(finding: Finding) -> list[str]:
    return [each.key for each in finding.why]


@pytest.fixture(params=[True, False], ids=["strict", "lenient"])
def strict(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The library's own validation, as it comes and at its strictest."""
    import onvif.settings

    monkeypatch.setattr(onvif.settings.DEFAULT_SETTINGS, "strict", request.param)
    yield


BUSY = Camera(
    jobs=[("job1", "Active", "Active"), ("job2", "Idle", "Idle")],
    storages=[("NFS", "", "nfs://nas:n4s-s3cret@nas.example/cam"), ("LOCAL", "/mnt/sd", "")],
    actions=["FtpPut", "RelayOn"],
    recorded=3,
    recorded_ago=7200,
    clock_ahead=3000,
)


def test_everything_is_asked_and_understood(strict: None) -> None:
    facts, running = facts_of(BUSY)
    assert facts.outcome == "asked"
    assert {answer for _, answer in facts.parts} == {"answered"} and len(facts.parts) == 8
    assert (facts.maker, facts.model, facts.firmware, facts.serial) == ("Example", "Dome 1", "5.1", SERIAL)
    assert facts.own_addresses == ("127.0.0.1", "fe80::1") and facts.stream_host == "127.0.0.1"
    assert [(job.token, job.mode, job.state, job.active) for job in facts.jobs] == [
        ("job1", "Active", "Active", True),
        ("job2", "Idle", "Idle", False),
    ]
    assert [(each.kind, each.where, each.uploads) for each in facts.storages] == [
        ("NFS", "nfs://nas.example", True),
        ("LOCAL", "/mnt/sd", False),
    ]
    assert facts.uploads == ("FtpPut",) and facts.recordings == 1
    assert facts.recorded == 3 and 7195 <= facts.recorded_age <= 7210, "by the camera's own clock"
    assert facts.replays and not facts.receives
    assert running.refused == 0
    assert all(request.startswith("Get") for request in running.asked), "nothing is changed in a camera"


CASES: list[tuple[str, Camera, str, list[str]]] = [
    # what is the matter, the camera, row 12, why
    ("quiet", Camera(), "holds", []),
    ("no job at all", Camera(jobs=[]), "holds", []),
    ("knows no storage request", Camera(storages=None), "holds", []),
    ("a card that nothing writes to", Camera(storages=[("LOCAL", "/mnt/sd", "")]), "holds", []),
    ("an action that sends nothing", Camera(actions=["RelayOn"]), "holds", []),
    ("old recordings", Camera(recorded=2), "holds", []),
    ("from before GetServices", Camera(old=True), "holds", []),
    ("HTTP digest", Camera(http_digest=True), "holds", []),
    ("its clock is a day ahead", Camera(clock_ahead=86400), "holds", []),
    ("job active", Camera(jobs=[("j", "Active", "Active")]), "broken", ["onvif.records"]),
    ("job active, waiting", Camera(jobs=[("j", "Active", "Idle")]), "broken", ["onvif.records"]),
    ("job idle, yet running", Camera(jobs=[("j", "Idle", "PartiallyActive")]), "broken", ["onvif.records"]),
    ("active, state not told", Camera(jobs=[("j", "Active", "")]), "broken", ["onvif.records"]),
    ("active, from before GetServices", Camera(old=True, jobs=[("j", "Active", "")]), "broken", ["onvif.records"]),
    ("recorded just now", Camera(jobs=[], recorded=1, recorded_ago=60), "broken", ["onvif.recorded-now"]),
    ("network share", Camera(storages=[("NFS", "", "nfs://n/x")]), "broken", ["onvif.stores-outside"]),
    ("share by its type alone", Camera(storages=[("CIFS", "/x", "")]), "broken", ["onvif.stores-outside"]),
    ("cloud", Camera(storages=[("ObjectStorageS3", "", "https://s3/x")]), "broken", ["onvif.stores-outside"]),
    ("FTP on an event", Camera(actions=["FtpPut"]), "broken", ["onvif.sends"]),
    ("two of them", BUSY, "broken", ["onvif.records", "onvif.stores-outside", "onvif.sends"]),
    ("no recording service", Camera(services={"device", "media"}), "-", ["onvif.no-recording-service"]),
    ("… and replays", Camera(services={"device", "media", "replay"}), "-", ["onvif.can-record"]),
    ("may not ask for jobs", Camera(forbidden={"GetRecordingJobs"}), "skipped", ["onvif.jobs-withheld"]),
    ("may not ask for storage", Camera(forbidden={"GetStorageConfigurations"}), "skipped", ["onvif.storages-withheld"]),
    ("may not ask for actions", Camera(forbidden={"GetActions"}), "skipped", ["onvif.actions-withheld"]),
    ("a job in an unknown mode", Camera(jobs=[("j", "", "")]), "skipped", ["onvif.jobs-withheld"]),
    ("a place that is nowhere", Camera(storages=[("X", "", "")]), "skipped", ["onvif.storages-withheld"]),
    ("entries nobody knows", Camera(broken={"GetRecordingJobs": "misnamed"}), "skipped", ["onvif.jobs-withheld"]),
    ("jobs: garbage", Camera(broken={"GetRecordingJobs": "garbage"}), "skipped", ["onvif.jobs-withheld"]),
    ("jobs: something else", Camera(broken={"GetRecordingJobs": "wrong"}), "skipped", ["onvif.jobs-withheld"]),
    (
        "services: garbage",
        Camera(broken={"GetServices": "garbage", "GetCapabilities": "garbage"}),
        "skipped",
        ["onvif.jobs-withheld", "onvif.actions-withheld"],
    ),
    ("garbage", Camera(broken={"": "garbage"}), "skipped", ["onvif.why-unclear"]),
    ("a bomb", Camera(broken={"": "bomb"}), "skipped", ["onvif.why-unclear"]),
    ("64 MB", Camera(broken={"": "huge"}), "skipped", ["onvif.why-unclear"]),
    ("too deep", Camera(broken={"": "deep"}), "skipped", ["onvif.why-unclear"]),
    ("something else", Camera(broken={"": "wrong"}), "skipped", ["onvif.why-unclear"]),
    ("a web page", Camera(broken={"": "html"}), "-", ["onvif.why-no-onvif"]),
    ("nothing", Camera(broken={"": "empty"}), "-", ["onvif.why-no-onvif"]),
]


@pytest.mark.parametrize(("camera", "verdict", "why"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_row_12(camera: Camera, verdict: str, why: list[str]) -> None:
    facts, running = facts_of(camera)
    finding = judge_camera(facts, asked(running))[0]
    assert finding.row == 12
    assert keys(finding) == why
    shown_as = "skipped" if finding.possible else "-" if finding.verdict == "not_checked" else finding.verdict
    assert shown_as == verdict
    assert records(facts) == (verdict == "broken")
    for language in ("da", "en"):
        words = str(shown(language, finding))  # type: ignore[arg-type]
        assert "Leje 1" in words and "{" not in words.replace("{'", "")


def test_a_card_and_old_recordings_are_named() -> None:
    facts, running = facts_of(Camera(storages=[("LOCAL", "/mnt/sd", "")], recorded=2))
    seen = [each.key for each in judge_camera(facts, asked(running))[0].seen]
    assert "onvif.card" in seen and "onvif.old" in seen


# ---- row 13 ----------------------------------------------------------------------------------------------------------

AT = OnvifCamera("bay-1", "Leje 1", "192.0.2.11", 80, USER, PASSWORD, "")
KNOWN = CameraStorageFacts("asked", serial=SERIAL, own_addresses=("192.0.2.11", "2001:db8::11"))


@pytest.mark.parametrize(
    ("facts", "camera", "verdict", "why"),
    [
        (KNOWN, AT, "holds", []),
        (KNOWN, replace(AT, serial=SERIAL), "holds", []),
        (KNOWN, replace(AT, serial="OTHER"), "broken", ["onvif.serial-differs"]),
        (replace(KNOWN, serial=""), replace(AT, serial=SERIAL), "broken", ["onvif.serial-differs"]),
        (KNOWN, replace(AT, host="192.0.2.99"), "broken", ["onvif.address-differs"]),
        (KNOWN, replace(AT, host="192.0.2.99", serial=SERIAL), "broken", ["onvif.address-differs"]),
        (KNOWN, replace(AT, host="2001:DB8:0::11"), "holds", []),
        (KNOWN, replace(AT, host="cam.clinic.example", serial=SERIAL), "holds", []),
        (KNOWN, replace(AT, host="cam.clinic.example"), "skipped", ["onvif.serial-to-configure"]),
        (KNOWN, replace(AT, host="127.0.0.1"), "skipped", ["onvif.serial-to-configure"]),
        (replace(KNOWN, own_addresses=()), AT, "skipped", ["onvif.serial-to-configure"]),
        (replace(KNOWN, own_addresses=(), serial=""), AT, "-", ["onvif.no-serial"]),
        (replace(KNOWN, serial=""), AT, "holds", []),
        (CameraStorageFacts("no-onvif"), AT, "-", ["onvif.why-no-onvif"]),
        (CameraStorageFacts("refused"), AT, "skipped", ["onvif.why-refused"]),
    ],
)
def test_row_13(facts: CameraStorageFacts, camera: OnvifCamera, verdict: str, why: list[str]) -> None:
    finding = judge_camera(facts, camera)[1]
    assert finding.row == 13 and keys(finding) == why
    assert verdict == ("skipped" if finding.possible else "-" if finding.verdict == "not_checked" else finding.verdict)


def test_another_device_is_seen_over_the_wire() -> None:
    facts, running = facts_of(Camera(serial="OTHER", services={"device", "receiver", "media"}, address="192.0.2.5"))
    finding = judge_camera(facts, asked(running, serial=SERIAL))[1]
    assert keys(finding) == ["onvif.serial-differs"]
    assert {"onvif.receives", "onvif.stream-elsewhere"} <= {each.key for each in finding.seen}
    assert SERIAL in str(shown("da", finding)["why"]) and "OTHER" in str(shown("da", finding)["why"])


# ---- secrets ---------------------------------------------------------------------------------------------------------


def test_no_password_is_shown_anywhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = (PASSWORD, "p4ss", "n4s-s3cret", "ftp-s3cret")
    for camera in (BUSY, Camera(http_digest=True), Camera(broken={"GetRecordingJobs": "garbage"})):
        facts, running = facts_of(camera)
        findings = judge_camera(facts, asked(running))
        everything = f"{facts}{findings}{asked(running)}{caplog.text}"
        assert not [secret for secret in secrets if secret in everything]
        assert USER not in caplog.text and "Envelope" not in caplog.text
    assert "cannot be read" in caplog.text, "the log was on"


@pytest.mark.parametrize("camera", [Camera(), Camera(http_digest=True)], ids=["token", "HTTP digest"])
def test_a_wrong_password_is_tried_once(camera: Camera) -> None:
    """Cameras lock a user out after a few; the same user reads the pictures."""
    facts, running = facts_of(camera, password="wrong")
    assert facts.outcome == "refused" and running.refused == 1
    assert "GetRecordingJobs" not in running.asked
    assert [keys(each) for each in judge_camera(facts, asked(running))] == [["onvif.why-refused"]] * 2


def test_without_a_user_nothing_is_signed() -> None:
    assert facts_of(Camera(anonymous=True), user="", password="")[0].outcome == "asked"
    assert facts_of(Camera(), user="", password="")[0].outcome == "refused"


# ---- where it goes ---------------------------------------------------------------------------------------------------


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every place that this process connects to or looks up; nothing but this machine is really reached."""
    places: list[object] = []
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        places.append(address)
        if address[0] != "127.0.0.1":
            raise OSError("not reached in a test")
        real(self, address)

    def look_up(host: object, *rest: object, **more: object) -> Any:
        places.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "not looked up in a test")

    prepare()
    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return places


@pytest.mark.parametrize(
    "camera",
    [
        Camera(elsewhere="192.0.2.99:80"),
        Camera(elsewhere="user:x@evil.example"),
        Camera(elsewhere="192.0.2.99:80", broken={"GetDeviceInformation": "redirect"}),
        Camera(elsewhere="192.0.2.99:80", broken={"": "redirect"}),
        Camera(broken={"": "bomb"}),
        Camera(broken={"GetRecordingJobs": "bomb"}),
    ],
    ids=["other host", "other name", "redirect", "all redirect", "entity", "entity in the middle"],
)
def test_nothing_goes_to_another_host(camera: Camera, reached: list[object]) -> None:
    _, running = facts_of(camera)
    assert running.asked
    assert set(reached) == {("127.0.0.1", running.port)}


def test_what_goes_elsewhere_would_be_seen(reached: list[object]) -> None:
    camera = OnvifCamera("bay-1", "Leje 1", "192.0.2.99", 80, USER, PASSWORD, "")
    assert asyncio.run(ask(camera, 1.0)).outcome == "unreachable"
    assert asyncio.run(ask(replace(camera, host="cam.example"), 1.0)).outcome == "unreachable"
    assert reached == [("192.0.2.99", 80), "cam.example"]


def test_services_are_asked_at_the_host_that_was_dialled() -> None:
    """A camera behind address translation names an address of its own that nobody reaches."""
    facts, _ = facts_of(Camera(elsewhere="10.0.0.7:80", jobs=[("j", "Active", "Active")]))
    assert facts.jobs and facts.jobs[0].active


def test_only_what_reads_is_sent() -> None:
    async def tries(camera: OnvifCamera) -> None:
        async with Device(camera) as device:
            with pytest.raises(NotUnderstood):
                await device.call("device", "SetHostname", {"Name": "x"})
            with pytest.raises(NotUnderstood):
                await device.call("device", "SystemReboot")
            await device.call("device", "GetDeviceInformation")

    prepare()
    with onvif_server() as running:
        asyncio.run(tries(asked(running)))
        assert running.asked == ["GetDeviceInformation"]


def test_nothing_is_kept_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    import onvif.client

    def cache() -> None:
        raise AssertionError("the library's cache is a file")

    monkeypatch.setattr(onvif.client, "SqliteCache", cache)
    assert facts_of(Camera())[0].outcome == "asked"


# ---- time ------------------------------------------------------------------------------------------------------------


def test_a_slow_camera_is_given_up_in_time() -> None:
    prepare()
    begun = time.monotonic()
    facts, running = facts_of(Camera(slow={"": 2.0}), timeout=0.3)
    assert facts.outcome == "too-slow"
    assert time.monotonic() - begun < 3
    assert judge_camera(facts, asked(running))[0].possible


def test_what_was_answered_in_time_counts() -> None:
    prepare()
    slow = {"GetStorageConfigurations": 2.0}
    facts, running = facts_of(Camera(jobs=[("j", "Active", "Active")], slow=slow), timeout=0.5)
    assert facts.outcome == "asked" and facts.answer("jobs") == "answered" and facts.answer("storages") == "failed"
    assert judge_camera(facts, asked(running))[0].verdict == "broken"
    facts, running = facts_of(Camera(slow=slow), timeout=0.5)
    assert keys(judge_camera(facts, asked(running))[0]) == ["onvif.storages-withheld", "onvif.actions-withheld"]


def test_cameras_are_asked_side_by_side() -> None:
    prepare()
    text = 'version = 1\n[clinic]\nname = "K"\n[server]\npublic_host = "v.example"\n'
    with onvif_server(Camera(slow={"": 2.0})) as slow, onvif_server(BUSY) as busy:
        for number in range(6):
            port = busy.port if number == 5 else slow.port
            text += f'[[bays]]\nid = "bay-{number}"\nname = "Leje {number}"\nonvif_port = {port}\n'
            text += f'camera = "rtsp://{USER}:${{CAM}}@127.0.0.1/{number}"\n'
        config = load(text, file="f", environ={"CAM": PASSWORD}, credentials={})
        assert PASSWORD not in repr(cameras_of(config)) and cameras_of(config)[0].password == PASSWORD
        begun = time.monotonic()
        findings = asyncio.run(ask_all(config, 0.6))
        assert time.monotonic() - begun < 1.5, "six at once, each within its own time"
    assert len(findings) == 12
    row = combined(findings)[0]
    assert row.verdict == "broken" and "Leje 5" in str(shown("en", row)["why"])
    assert not is_complete(findings)


# ---- what is not there -----------------------------------------------------------------------------------------------


def test_nobody_listens(unused_port: int) -> None:
    camera = OnvifCamera("bay-1", "Leje 1", "127.0.0.1", unused_port, USER, PASSWORD, "")
    facts = asyncio.run(ask(camera))
    assert facts.outcome == "no-onvif"
    assert is_complete(judge_camera(facts, camera)), "it cannot be checked, whoever tries"


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port that is ours, and where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_switched_off() -> None:
    camera = replace(AT, port=0)
    facts = asyncio.run(ask(camera))
    findings = judge_camera(facts, camera)
    assert facts.outcome == "switched-off" and not is_complete(findings)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onvif_client, "_loaded", threading.Event())
    monkeypatch.setitem(sys.modules, "onvif", None)
    monkeypatch.setitem(sys.modules, "onvif.client", None)
    facts = asyncio.run(ask(AT))
    assert facts.outcome == "library-missing"
    assert "vigil[onvif]" in str(shown("da", judge_camera(facts, AT)[0])["why"])


def test_a_library_that_is_another_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare_nothing() -> None:
        raise AttributeError("ONVIFService")

    monkeypatch.setattr("monitor.evidence.onvif.prepare", prepare_nothing)
    assert asyncio.run(ask(AT)).outcome == "not-understood"


def test_a_site_without_cameras_that_could_record() -> None:
    text = (
        'version = 1\n[clinic]\nname = "K"\n[server]\npublic_host = "v.example"\n'
        '[[bays]]\nid = "b"\nname = "B"\ncamera = "pattern:"\n'
    )
    findings = asyncio.run(ask_all(load(text, file="f", environ={}, credentials={})))
    assert [(each.row, each.verdict) for each in findings] == [(12, "holds"), (13, "holds")]


# ---- parts -----------------------------------------------------------------------------------------------------------

SOAP = '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body>{}</e:Body></e:Envelope>'


@pytest.mark.parametrize(
    "inner",
    [
        "<GetXResponse>" + "<a>" * 100 + "</a>" * 100 + "</GetXResponse>",
        "<GetXResponse>" + "<a/>" * MAX_ELEMENTS + "</GetXResponse>",
        "<GetYResponse/>",
        "",
        "<GetXResponse>",
    ],
)
def test_what_is_not_parsed(inner: str) -> None:
    with pytest.raises(NotUnderstood):
        check_xml(SOAP.format(inner).encode(), "GetX")


def test_entities_in_any_encoding() -> None:
    bomb = '<?xml version="1.0" encoding="{}"?><!DOCTYPE x [<!ENTITY a "b">]>' + SOAP.format("<GetXResponse/>")
    for encoding in ("utf-8", "utf-16", "iso-8859-1", "utf-7"):
        with pytest.raises(NotUnderstood):
            check_xml(bomb.format(encoding).encode(encoding), "GetX")


def test_what_is_parsed() -> None:
    assert check_xml(SOAP.format("<GetXResponse><a><b/></a><a/></GetXResponse>").encode(), "GetX") == 2
    assert check_xml(SOAP.format("<e:Fault/>").encode(), "GetX") == 0


def test_both_languages_say_the_same() -> None:
    texts = [
        json.loads(resources.files("monitor.evidence").joinpath("text", language, "onvif.json").read_text("utf-8"))
        for language in ("da", "en")
    ]
    holes = [{key: set(re.findall(r"{(\w+)}", text)) for key, text in each.items()} for each in texts]
    assert holes[0] == holes[1]
