"""Asks cameras over ONVIF whether they record by themselves, and which device they are. For rows 12 and 13.

It changes nothing in a camera: every request is one that reads. It must never hold anything up: each camera has its
own bounded time, and one that does not answer costs the others nothing. A refused password is tried once and not
again: cameras lock a user out after a few. Where the library (`vigil[onvif]`) is not installed, the facts say so.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from monitor.core.config_tables import Config
from monitor.evidence import onvif_read as read
from monitor.evidence.finding import Finding
from monitor.evidence.onvif_client import Device, prepare
from monitor.evidence.onvif_facts import Answer, CameraStorageFacts, OnvifCamera, Outcome, Part, cameras_of
from monitor.evidence.onvif_judge import judge_camera, judge_no_cameras
from monitor.evidence.onvif_transport import AskError, NoOnvif, NotOffered, NotUnderstood, Refused, Unreachable

ASK_SECONDS = 5.0
"""For one camera as a whole."""
AT_ONCE = 32
"""Cameras that are asked at the same time."""

logger = logging.getLogger(__name__)


async def ask(camera: OnvifCamera, timeout: float = ASK_SECONDS) -> CameraStorageFacts:
    """What the camera says, within `timeout` seconds. Raises nothing but CancelledError: what went wrong is in the
    facts."""
    if not camera.port:
        return CameraStorageFacts("switched-off")
    asking = _Asking()
    try:
        await asyncio.to_thread(prepare)
        async with asyncio.timeout(timeout), Device(camera) as device:
            await asking.all(device)
    except TimeoutError:
        if not asking.known:
            asking.outcome = "too-slow"
    except (NoOnvif, NotOffered):
        asking.outcome = "no-onvif"
    except Unreachable:
        asking.outcome = "unreachable"
    except Refused:
        asking.outcome = "refused"
    except NotUnderstood as error:
        logger.info("bay %s: the camera's ONVIF answer cannot be read: %s", camera.bay, error)
        asking.outcome = "not-understood"
    except ImportError:
        asking.outcome = "library-missing"
    except Exception as error:  # noqa: BLE001 (an optional library of another version must not end the site)
        logger.error("bay %s: the camera cannot be asked over ONVIF: %s", camera.bay, type(error).__name__)  # noqa: TRY400
        asking.outcome = "not-understood"
    return asking.facts()


async def ask_all(config: Config, timeout: float = ASK_SECONDS) -> list[Finding]:
    """Ask all cameras of a site and judge: findings of rows 12 and 13, one of each for each camera."""
    cameras = cameras_of(config)
    if not cameras:
        return judge_no_cameras()
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(camera: OnvifCamera) -> list[Finding]:
        async with limit:
            return judge_camera(await ask(camera, timeout), camera)

    return [finding for found in await asyncio.gather(*map(one, cameras)) for finding in found]


class _Asking:
    """One camera's questions, and what was answered so far: time may be up at any of them."""

    def __init__(self) -> None:
        self.outcome: Outcome = "asked"
        self.known = False
        """It let us in."""
        self._parts: dict[Part, Answer] = {}
        self._found: dict[str, Any] = {}
        self._listed = False
        """It said which services it has."""
        self._now = datetime.datetime.now(datetime.UTC)

    def facts(self) -> CameraStorageFacts:
        """What is known now."""
        facts = CameraStorageFacts(self.outcome, tuple(self._parts.items()))
        return dataclasses.replace(facts, **self._found) if self.outcome == "asked" else facts

    async def all(self, device: Device) -> None:
        """Ask everything, the most telling first."""
        await self._clock(device)
        identity = await device.call("device", "GetDeviceInformation")
        self.known = True
        self._parts["identity"] = "answered"
        self._found |= {
            "maker": read.text(read.get(identity, "Manufacturer")),
            "model": read.text(read.get(identity, "Model")),
            "firmware": read.text(read.get(identity, "FirmwareVersion")),
            "serial": read.text(read.get(identity, "SerialNumber")),
        }
        await self._services(device)
        await self._part("jobs", self._jobs, device)
        await self._part("storages", self._storages, device)
        await self._part("actions", self._actions, device)
        await self._part("summary", self._summary, device)
        await self._part("recordings", self._recordings, device)
        await self._part("addresses", self._addresses, device)
        await self._part("stream", self._stream, device)

    async def _part(self, part: Part, question: Callable[[Device], Awaitable[None]], device: Device) -> None:
        """One part: what goes wrong in it is noted, and the next is asked."""
        try:
            await question(device)
        except (NotOffered, NoOnvif):
            self._parts[part] = "not-offered" if self._listed else "failed"
        except Refused:
            self._parts[part] = "refused"
        except AskError as error:
            logger.info("a camera's answer about %s cannot be read: %s", part, error)
            self._parts[part] = "failed"
        else:
            self._parts[part] = "answered"

    async def _clock(self, device: Device) -> None:
        """Asked without a password, as ONVIF has it (Core, section 8.3.5): a wrong one is then tried once only."""
        try:
            reply = await device.call("device", "GetSystemDateAndTime", signed=False)
        except (Refused, NotOffered, NotUnderstood):  # some want a password for everything: then by our own clock
            return
        now = read.clock(reply)
        if now is not None:
            self._now = now
            await device.take_clock(now - datetime.datetime.now(datetime.UTC))

    async def _services(self, device: Device) -> None:
        found: dict[str, str] = {}
        try:
            found = read.services(await device.entries("device", "GetServices", {"IncludeCapability": False}))
            if not found:
                raise NotOffered("no service")
        except AskError:  # cameras from before ONVIF 2.1
            try:
                found = read.capabilities(await device.call("device", "GetCapabilities", {"Category": ["All"]}))
            except AskError:
                return
        self._listed = True
        device.addresses = found | device.addresses
        self._found |= {
            "replays": "http://www.onvif.org/ver10/replay/wsdl" in found,
            "receives": "http://www.onvif.org/ver10/receiver/wsdl" in found,
        }

    async def _jobs(self, device: Device) -> None:
        jobs = []
        for entry in await device.entries("recording", "GetRecordingJobs"):
            try:
                params = {"JobToken": read.get(entry, "JobToken")}
                state = await device.call("recording", "GetRecordingJobState", params)
            except AskError:
                state = None  # what it is set to is known all the same
            jobs.append(read.job(entry, state))
            self._found["jobs"] = tuple(jobs)
        if not all(job.active or job.idle for job in jobs):
            raise NotUnderstood("a recording job that does not say what it is set to")

    async def _storages(self, device: Device) -> None:
        storages = [read.storage(entry) for entry in await device.entries("storage", "GetStorageConfigurations")]
        self._found["storages"] = tuple(storage for storage in storages if storage is not None)
        if None in storages:
            raise NotUnderstood("a storage place that does not say where it is")

    async def _actions(self, device: Device) -> None:
        actions = [read.action(entry) for entry in await device.entries("action", "GetActions")]
        self._found["uploads"] = tuple(filter(read.sends, actions))
        if not all(actions):
            raise NotUnderstood("an action without a type")

    async def _summary(self, device: Device) -> None:
        reply = await device.call("search", "GetRecordingSummary")
        count, until, age = read.recorded(reply, self._now)
        self._found |= {"recorded": count, "recorded_until": until, "recorded_age": age}

    async def _recordings(self, device: Device) -> None:
        self._found["recordings"] = len(await device.entries("recording", "GetRecordings"))

    async def _addresses(self, device: Device) -> None:
        self._found["own_addresses"] = read.addresses(await device.entries("device", "GetNetworkInterfaces"))

    async def _stream(self, device: Device) -> None:
        profiles = await device.entries("media", "GetProfiles")
        if not profiles:
            raise NotOffered("no profile")
        setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
        token = read.get(profiles[0], "token")
        reply = await device.call("media", "GetStreamUri", {"StreamSetup": setup, "ProfileToken": token})
        self._found["stream_host"] = read.stream_host(reply)
