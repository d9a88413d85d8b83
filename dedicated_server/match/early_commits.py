"""Check-ins in the middle of a match: players who have no seat any more are committed at once, so that they may play elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol
from uuid import UUID

import structlog

from meta_service.client import CommitResponse, MetaClientError
from meta_service.client import PlayerCommit as Committed

RETRY_S = 1.0  # between two tries

log = structlog.get_logger()


class CommitService(Protocol):
    """The meta service, as check-ins need it."""

    async def commit(self, match_id: UUID, players: list[Committed]) -> CommitResponse:
        """Commit results."""


class EarlyCommits:
    """The check-ins of one match.

    Args:
        match_id: the match.
        meta: who is asked.
        counts: the match's counts of commits; added to.
        now_s: Unix seconds.

    Attributes:
        due: results that the meta service has not taken yet, by player id; what is left at the end is committed with everybody's.
    """

    def __init__(
        self, match_id: UUID, meta: CommitService, counts: dict[str, int], now_s: Callable[[], float]
    ) -> None:
        self._match_id, self._meta, self._counts, self._now_s = match_id, meta, counts, now_s
        self._closed: dict[int, int] = {}  # entity → the player who had it
        self._next_try_s = 0.0
        self._lock = asyncio.Lock()  # each is counted once
        self.pending: dict[int, Committed] = {}

    def add(self, result: Committed, entity: int | None = None) -> None:
        """Have a player checked in; ``entity``: the seat that is closed until he is."""
        self.pending[result.player_id] = result
        self._next_try_s = 0.0
        if entity is not None:
            self._closed[entity] = result.player_id

    def is_pending(self, entity: int) -> bool:
        """Whether who had the seat is still to be checked in."""
        return entity in self._closed

    def is_due(self) -> bool:
        """Whether to try now; asked again, not before RETRY_S."""
        if not self.pending or self._now_s() < self._next_try_s:
            return False
        self._next_try_s = self._now_s() + RETRY_S
        return True

    async def commit(self) -> bool:
        """Try to commit all that are due; whether the meta service answered."""
        async with self._lock:
            results = list(self.pending.values())
            if not results:
                return True
            try:
                answer = await self._meta.commit(self._match_id, results)
            except MetaClientError as error:
                log.warning("players of free seats are not checked in yet", reason=str(error))
                return False
            for refusal in answer.refused:
                log.error("commit refused", player_id=refusal.player_id, reason=refusal.reason)
            self._counts["commits"] += len(answer.committed)
            self._counts["commits_refused"] += len(answer.refused)
            for result in results:
                self.pending.pop(result.player_id, None)
            self._closed = {entity: id_ for entity, id_ in self._closed.items() if id_ in self.pending}
            return True
