"""What anyone may know who reads the sign: whose cameras these are, on what grounds, and whether the guarantee holds
right now. Open, for a patient has no sign-in (LAW.md 3.8).

It must never tell what a visitor could use: no bay, no name, no address, no call, no process and no reason. What it
says of the clinic is what the configuration says; nothing is invented.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request

from monitor.control.services import Services, services_of

router = APIRouter()


@router.get("/api/notice")
async def notice(request: Request) -> dict[str, object]:
    """The notice's facts and figures, of this moment. Times in milliseconds of service time."""
    services = services_of(request)
    config = services.config
    return {
        "clinic": config.clinic.name,
        "controller": config.notice.controller,
        "policy_url": config.notice.policy_url,
        "legal_bases": list(config.notice.legal_bases),
        "legitimate_interest": config.notice.legitimate_interest,
        "article_9": config.notice.article_9,
        "retention": {
            "calls_days": config.retention.calls_days,
            "access_log_days": config.retention.access_log_days,
        },
        "version": services.version,
        "cameras_on": _cameras_on(services),
        **_guarantee(services),
    }


def _cameras_on(services: Services) -> int:
    """Bays whose camera gives a picture now; a camera with two streams is one camera."""
    cameras = [bay.id for bay in services.config.bays if bay.camera]
    return sum(services.media.camera(camera).state == "live" for camera in cameras)


def _guarantee(services: Services) -> dict[str, object]:
    """Whether it holds, and the figures that the kernel and the proofs give. None: not known.

    Octets are counted for each process from its own first proof, so they are said of the time since all that run now
    had proved their seal: a process that was replaced begins anew, and nothing is claimed of the one before. The age is
    the oldest of the processes' newest proofs.
    """
    proved = [process for process in services.media.guarantee() if process.proofs]
    return {
        "ok": services.guarantee_summary()["ok"],
        "written_octets": sum(process.written_octets for process in proved) if proved else None,
        "since_ms": max((process.since_ms for process in proved), default=None),
        "proof_age_ms": max((max(0, services.clock.now_ms() - process.proved_ms) for process in proved), default=None),
    }
