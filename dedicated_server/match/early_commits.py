"""Early commits: players who have lost their slot in a running match are committed at once and may play
elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import Protocol
from uuid import UUID

import structlog

from launchday.clock import Clock
from meta_service.client import CheckoutResponse, CommitResponse, MetaClientError, PlayerCommit

RETRY_S = 1.0  # between two attempts

log = structlog.get_logger()


class MetaService(Protocol):
    """The meta service, as a match needs it. Every call raises MetaClientError."""

    async def check_out(
        self, match_id: UUID, server: str, region: str, ttl_s: float, player_ids: list[int]
    ) -> CheckoutResponse:
        """Lease players to a match for ``ttl_s`` seconds."""

    async def commit(self, match_id: UUID, players: list[PlayerCommit]) -> CommitResponse:
        """Commit results, which ends the leases of their players."""


class EarlyCommits:
    """The early commits of one match.

    Args:
        match_id: the match.
        meta: takes the results.
        counts: the match's counts of commits, to which these are added.
        clock: paces the attempts.

    Attributes:
        pending: results by player id that the meta service has not taken yet. What is left at the end of the
            match is committed with everybody's results.
    """

    def __init__(self, match_id: UUID, meta: MetaService, counts: dict[str, int], clock: Clock) -> None:
        self._match_id, self._meta, self._counts, self._clock = match_id, meta, counts, clock
        self._slots: dict[int, int] = {}  # entity: the player who had it
        self._next_attempt_s = clock.monotonic()
        self._lock = asyncio.Lock()  # one attempt at a time, so that each result is counted once
        self.pending: dict[int, PlayerCommit] = {}

    def add(self, result: PlayerCommit, entity: int | None = None) -> None:
        """Commit a result; ``entity`` is the slot that stays closed until that is done."""
        self.pending[result.player_id] = result
        self._next_attempt_s = self._clock.monotonic()
        if entity is not None:
            self._slots[entity] = result.player_id

    def is_pending(self, entity: int) -> bool:
        """Whether the former player of a slot is still to be committed."""
        return entity in self._slots

    def is_due(self) -> bool:
        """Whether to try now. Once it was True, it is False for RETRY_S."""
        if not self.pending or self._clock.monotonic() < self._next_attempt_s:
            return False
        self._next_attempt_s = self._clock.monotonic() + RETRY_S
        return True

    async def commit(self) -> bool:
        """Try to commit all pending results; return whether the meta service answered."""
        async with self._lock:
            results = list(self.pending.values())
            if not results:
                return True
            try:
                answer = await self._meta.commit(self._match_id, results)
            except MetaClientError as error:
                log.warning("players of free slots are not committed yet", reason=str(error))
                return False
            for refusal in answer.refused:
                log.error("commit refused", player_id=refusal.player_id, reason=refusal.reason)
            self._counts["commits"] += len(answer.committed)
            self._counts["commits_refused"] += len(answer.refused)
            for result in results:
                self.pending.pop(result.player_id, None)
            self._slots = {entity: id_ for entity, id_ in self._slots.items() if id_ in self.pending}
            return True
