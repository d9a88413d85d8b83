"""The commit at the end of a match: to the meta service, or to the spool while that does not answer.

The results are on disk after the first attempt that fails, so a server that is killed while it waits loses
nothing. They leave the disk when a later attempt is answered; otherwise the fleet delivers them.
"""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

import structlog

from dedicated_server.errors import DedicatedServerError
from launchday.clock import Clock
from meta_service.client import CommitResponse, MetaClientError, MetaRefusedError, PlayerCommit

RETRY_S = 0.25
# For room on the disk, while the meta service does not answer either. Nobody waits for this server, but it
# holds a slot of the fleet.
MAX_DISK_WAIT_S = 600.0

log = structlog.get_logger()


class CommitService(Protocol):
    """The meta service, as the end of a match needs it."""

    async def commit(self, match_id: UUID, players: list[PlayerCommit]) -> CommitResponse:
        """Commit results. Raises MetaClientError."""


class Spool(Protocol):
    """The folder for results; `ResultSpool` is the real one. Its methods block on the disk."""

    def write(self, match_id: UUID, results: list[PlayerCommit]) -> None:
        """Keep a match's results. Raises OSError; then nothing is kept."""

    def remove(self, match_id: UUID) -> None:
        """Forget a match's results. Raises OSError."""


class ResultsLostError(DedicatedServerError):
    """Raised when neither the meta service nor the disk has taken a match's results."""


class FinalCommit:
    """Commits the results of one match.

    Args:
        match_id: the match.
        meta: takes the results.
        spool: keeps them where the meta service does not.
        counts: the match's counts of commits, to which these are added.
        clock: paces the attempts, and runs what blocks on the disk in a thread.

    Attributes:
        spooled: results on the disk that the meta service has not taken.
    """

    def __init__(
        self, match_id: UUID, meta: CommitService, spool: Spool, counts: dict[str, int], clock: Clock
    ) -> None:
        self._match_id, self._meta, self._spool = match_id, meta, spool
        self._counts, self._clock = counts, clock
        self._committed = False
        self.spooled = 0

    @property
    def safe(self) -> bool:
        """Whether the results are committed, or on the disk."""
        return self._committed or self.spooled > 0

    async def commit(self, results: list[PlayerCommit], timeout_s: float) -> None:
        """Commit, or spool after ``timeout_s`` seconds without an answer; whoever is refused stays spooled.

        Raises ResultsLostError when the disk has no room, either, for `MAX_DISK_WAIT_S` more.
        """
        until = self._clock.monotonic() + timeout_s
        while True:
            refused = False
            try:
                answer = await self._meta.commit(self._match_id, results)
            except MetaClientError as error:
                refused = isinstance(error, MetaRefusedError)
                log.warning("results are not committed yet", reason=str(error))
            else:
                self._count(answer)
                await self._forget()
                return
            if not self.spooled:
                await self._keep(results)
            now = self._clock.monotonic()
            if self.spooled and (refused or now >= until):
                log.warning("results were spooled: the fleet delivers them", count=self.spooled)
                return
            if now >= until + MAX_DISK_WAIT_S:
                raise ResultsLostError(f"no answer from the meta service in {timeout_s:g} s, and no disk")
            await self._clock.sleep(RETRY_S)

    def keep_now(self, results: list[PlayerCommit]) -> None:
        """Spool before this process is ended; blocks on the disk. Where that has no room, nothing is kept."""
        if self.safe:
            return
        try:
            self._spool.write(self._match_id, results)
        except OSError as error:
            log.error("results could not be spooled", reason=str(error))
        else:
            self.spooled = len(results)

    async def _keep(self, results: list[PlayerCommit]) -> None:
        try:
            await self._clock.run_in_thread(self._spool.write, self._match_id, results)
        except OSError as error:
            log.error("results cannot be spooled: make room on the disk", reason=str(error))
        else:
            self.spooled = len(results)

    async def _forget(self) -> None:
        if self.spooled:
            try:
                await self._clock.run_in_thread(self._spool.remove, self._match_id)
            except OSError as error:  # the fleet commits them again, which changes nothing
                log.warning("spooled results stay on the disk", reason=str(error))
            self.spooled = 0

    def _count(self, answer: CommitResponse) -> None:
        self._committed = True
        self._counts["commits"] += len(answer.committed)
        self._counts["commits_refused"] += len(answer.refused)
        for refusal in answer.refused:
            log.error("commit refused", player_id=refusal.player_id, reason=refusal.reason)
