"""A proof on request: every media process proves its seal now, instead of within a minute.

One request at a time, and not in a row: each makes the sealed processes talk, and how much they talk is watched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from monitor.control.media_room import MediaRoom, ProcessGuarantee
from monitor.control.problems import RetryLater
from monitor.core.errors import Unavailable

PROOF_SECONDS = 15.0
"""How long the proofs may take: a process that has not proved its seal after 10 s is ended."""
PAUSE_SECONDS = 2.0
"""Between the end of one and the begin of the next."""
LOOK_SECONDS = 0.02


class ProofDesk:
    """To be used in one event loop."""

    def __init__(self, media: MediaRoom) -> None:
        self._media = media
        self._busy = asyncio.Lock()
        self._free_at = 0.0
        """By the event loop's clock."""

    async def prove(self) -> Sequence[ProcessGuarantee]:
        """Have all processes prove their seal, wait for it, and give what they then show: nothing of it was proved
        before this was called, and none of it need hold.

        Raises Unavailable where a process does not run or does not answer in time, RetryLater right after another one.
        """
        async with self._busy:
            loop = asyncio.get_running_loop()
            wait = self._free_at - loop.time()
            if wait > 0:
                raise RetryLater("the media processes have just proved their seals", "ask again in some seconds", wait)
            try:
                async with asyncio.timeout(PROOF_SECONDS):
                    return await self._proved()
            except TimeoutError:
                raise Unavailable("a media process does not prove its seal", "see /api/guarantee and the log") from None
            finally:
                self._free_at = loop.time() + PAUSE_SECONDS

    async def _proved(self) -> Sequence[ProcessGuarantee]:
        before = [_nonces(process) for process in self._media.guarantee()]
        self._media.prove()
        while True:
            now = self._media.guarantee()
            if self._media.held or not now:
                raise Unavailable("no media process runs", "see /api/audit: the guarantee is broken")
            if all(_nonces(one) and not _nonces(one) & old for one, old in zip(now, before, strict=True)):
                return now
            await asyncio.sleep(LOOK_SECONDS)


def _nonces(process: ProcessGuarantee) -> set[str]:
    return {proof.nonce for proof in process.proofs}
