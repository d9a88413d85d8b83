"""What follows when a match is over: it is journalled and published; of a failed one players are released.

Released players' check-outs end at once instead of with their lease. For that the same check-outs are asked
for again in the name of the same server, with a lease of a moment: the meta service's own way to change how
long a lease lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from uuid import UUID

import structlog

from dedicated_server.fleet.agones.allocation_journal import AllocationJournal, AllocationRecord
from dedicated_server.fleet.pool.changes import Changes
from dedicated_server.fleet.pool.gameserver import GameServer
from launchday.clock import Clock
from meta_service.client import MetaClientError

RELEASED_LEASE_S = 0.001  # for which a released lease still runs
GIVE_UP_S = 60.0  # for the meta service to answer; leases end by themselves a little later
FIRST_RETRY_S, MAX_RETRY_S = 0.25, 5.0
MAX_RELEASING = 1000

log = structlog.get_logger()


class CheckOutService(Protocol):
    """The meta service, as a match finalizer needs it."""

    async def check_out(
        self, match_id: UUID, server: str, region: str, ttl_s: float, player_ids: Sequence[int]
    ) -> Any:
        """Lease players, or change how long they are leased. Raises MetaClientError."""


class MatchFinalizer:
    """Finalizes matches.

    Args:
        journal: keeps which allocations are open.
        changes: returns the log in which the ends of matches are published.
        meta: ends check-outs.
        clock: dates changes, and waits between two attempts.
        pause_s: seconds before the second attempt; each later pause is twice as long.

    Attributes:
        released: players of failed matches whose check-outs were ended.
        given_up: matches whose players could not be released; their leases end by themselves.
    """

    def __init__(
        self,
        journal: AllocationJournal,
        changes: Callable[[], Changes],
        meta: CheckOutService,
        clock: Clock,
        *,
        pause_s: float = FIRST_RETRY_S,
    ) -> None:
        self.journal = journal
        self._changes = changes
        self._meta = meta
        self._clock = clock
        self._pause_s = pause_s
        self._tasks: set[asyncio.Task[None]] = set()
        self.released = 0
        self.given_up = 0

    def finalize(self, server: GameServer, ended: bool, reason: str) -> None:
        """Finalize the match of a server, which has ended, or failed for a reason."""
        self.journal.finished(server.name, ended, reason)
        entry = AllocationRecord(
            "", server.name, server.region, server.match_id, server.player_ids, server.allocated_at
        )
        self._publish(entry, ended, reason)

    def recover(self) -> None:
        """Publish what the previous fleet left: the matches it finished last, and its open ones as failed."""
        for finished in self.journal.recent:
            self._publish(finished.allocation, finished.ended, finished.reason)
        for entry in self.journal.orphans:
            self._publish(entry, False, "the fleet was restarted")

    async def aclose(self) -> None:
        """Stop releasing players; their leases end by themselves."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _publish(self, entry: AllocationRecord, ended: bool, reason: str) -> None:
        self._changes().publish(
            "match",
            self._clock.now(),
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
            async with asyncio.timeout(GIVE_UP_S):
                while True:
                    try:
                        await self._meta.check_out(
                            UUID(entry.match_id),
                            entry.server,
                            entry.region,
                            RELEASED_LEASE_S,
                            entry.player_ids,
                        )
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
