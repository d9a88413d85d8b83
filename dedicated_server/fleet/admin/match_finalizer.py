"""What follows when a match is over: it is journalled and published; of a failed one players are released.

Released players' check-outs end at once instead of with their lease: the meta service closes the match, after
which it takes neither a check-out nor a result of it.

None of this happens inside the pool's transitions, which only say what is over: a disk that is full then
costs a line of the journal, and no server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

import structlog

from dedicated_server.fleet.agones.allocation_journal import AllocationJournal, AllocationRecord
from dedicated_server.fleet.pool.changes import Changes
from dedicated_server.fleet.pool.gameserver import GameServer
from launchday.clock import Clock
from launchday.resilience import pauses
from meta_service.client import MetaClientError, MetaRefusedError

GIVE_UP_S = 60.0  # for the meta service to answer; leases end by themselves a little later
FIRST_RETRY_S, MAX_RETRY_S = 0.25, 5.0
MAX_RELEASING = 1000

log = structlog.get_logger()


class MatchCloser(Protocol):
    """The meta service, as a match finalizer needs it."""

    async def close_match(self, match_id: UUID, player_ids: Sequence[int], force: bool = False) -> bool:
        """Close a match; with ``force`` also one that has begun. Raises MetaClientError."""


class MatchFinalizer:
    """Finalizes matches.

    Args:
        journal: keeps which allocations are open.
        changes: returns the log in which the ends of matches are published.
        meta: closes failed matches.
        clock: dates changes, and waits between two attempts.
        was_played: whether a match's results wait for delivery: then it has ended, though its server or its
            fleet ended before it could say so.
        pause_s: seconds before the second attempt; each later pause is twice as long.

    Attributes:
        released: players of failed matches whose check-outs were ended.
        given_up: matches whose players could not be released; their leases end by themselves.
    """

    def __init__(
        self,
        journal: AllocationJournal,
        changes: Callable[[], Changes],
        meta: MatchCloser,
        clock: Clock,
        *,
        was_played: Callable[[UUID], bool] = lambda _: False,
        pause_s: float = FIRST_RETRY_S,
    ) -> None:
        self.journal = journal
        self._changes = changes
        self._meta = meta
        self._clock = clock
        self._was_played = was_played
        self._pause_s = pause_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._over: deque[tuple[AllocationRecord, bool, str]] = deque()
        self.released = 0
        self.given_up = 0

    def finalize(self, server: GameServer, ended: bool, reason: str) -> None:
        """Finalize, at the loop's next turn, the match of a server that has ended, or failed for a reason."""
        entry = AllocationRecord(
            "", server.name, server.region, server.match_id, server.player_ids, server.allocated_at
        )
        if not self._over:
            asyncio.get_running_loop().call_soon(self.settle)
        self._over.append((entry, ended, reason))

    def settle(self) -> None:
        """Journal and publish all matches that are over, in the order in which they were."""
        while self._over:
            entry, ended, reason = self._over.popleft()
            self.journal.finished(entry.server, ended, reason)
            self._publish(entry, ended, reason)

    def recover(self) -> None:
        """Publish what the previous fleet left: the matches it finished last, and its open ones as failed."""
        for finished in self.journal.recent:
            self._publish(finished.allocation, finished.ended, finished.reason)
        for entry in self.journal.orphans:
            played = bool(entry.match_id) and self._was_played(UUID(entry.match_id))
            self._publish(entry, played, "" if played else "the fleet was restarted")

    async def aclose(self) -> None:
        """Journal what is over, and stop releasing players; their leases end by themselves."""
        self.settle()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _publish(self, entry: AllocationRecord, ended: bool, reason: str) -> None:
        self._changes().publish(
            "match",
            self._clock.wall(),
            match_id=entry.match_id or None,
            name=entry.server,
            region=entry.region,
            outcome="ended" if ended else "failed",
            reason=reason,
            player_ids=[str(id_) for id_ in entry.player_ids],
        )
        if not ended and entry.match_id and entry.player_ids and len(self._tasks) < MAX_RELEASING:
            task = asyncio.get_running_loop().create_task(self._release(entry))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _release(self, entry: AllocationRecord) -> None:
        retry_s = self._pause_s
        try:
            async with pauses.timeout(GIVE_UP_S):
                while True:
                    try:
                        await self._meta.close_match(UUID(entry.match_id), entry.player_ids, force=True)
                    except MetaRefusedError as error:
                        self.given_up += 1
                        log.warning("players are not released", match_id=entry.match_id, reason=str(error))
                        return
                    except MetaClientError as error:
                        log.debug("players are not released yet", match_id=entry.match_id, reason=str(error))
                    else:
                        self.released += len(entry.player_ids)
                        log.info("players released", match_id=entry.match_id, players=len(entry.player_ids))
                        return
                    await self._clock.sleep(retry_s)
                    retry_s = min(2 * retry_s, MAX_RETRY_S)
        except TimeoutError:
            self.given_up += 1
            log.warning("players were not released: their leases end by themselves", match_id=entry.match_id)
