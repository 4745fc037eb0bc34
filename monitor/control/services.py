"""What the routes work with, in one place: `site.py` builds it, `app.py` hands it to each request."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from starlette.requests import HTTPConnection

from monitor.control.accounts import Accounts
from monitor.control.bay_board import BayBoard
from monitor.control.call_desk import CallDesk
from monitor.control.camera_storage import CameraStorage
from monitor.control.canaries import CanaryDesk
from monitor.control.candidates import Candidates
from monitor.control.clock import ServiceClock
from monitor.control.curtains import CurtainDesk
from monitor.control.events import EventHub
from monitor.control.evidence_log import EvidenceLog
from monitor.control.failure_limit import FailureLimit
from monitor.control.guarantee import summary
from monitor.control.journal import Journal
from monitor.control.media_room import MediaRoom
from monitor.control.metrics import Metrics
from monitor.control.proof_desk import ProofDesk
from monitor.control.viewers import ViewerDesk
from monitor.control.watch import Watch
from monitor.core.config import Bay, Config
from monitor.core.errors import NotFound


@dataclass(frozen=True)
class Services:
    """All parts of the control room."""

    config: Config
    version: str
    tls: bool
    web: Path
    clock: ServiceClock
    journal: Journal
    accounts: Accounts
    media: MediaRoom
    hub: EventHub
    calls: CallDesk
    curtains: CurtainDesk
    board: BayBoard
    viewers: ViewerDesk
    metrics: Metrics
    watch: Watch
    evidence: EvidenceLog
    storage: CameraStorage
    proofs: ProofDesk
    candidates: Candidates
    canaries: CanaryDesk
    failures: FailureLimit = field(default_factory=FailureLimit)

    def guarantee_summary(self) -> dict[str, object]:
        """The `guarantee` event as it is now."""
        return summary(self.media.guarantee(), self.watch.watched)

    def bay(self, bay_id: str) -> Bay:
        """The bay of this id. Raises NotFound."""
        bay = self.config.bay(bay_id)
        if bay is None:
            raise NotFound("there is no such bay", "see /api/bays")
        return bay


def services_of(connection: HTTPConnection) -> Services:
    """The parts that belong to the app that takes this request."""
    return cast(Services, connection.app.state.services)
