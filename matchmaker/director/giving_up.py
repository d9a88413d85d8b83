"""Giving a match up, so that nothing of it is left: closed in the meta service, then ended at the fleet.

The meta service is the arbiter, for director, fleet and server may all be late. ``close`` answers whether the
match's players have come to its server. Where they have not, or it is forced, no check-out of the match
succeeds any more, and no result of it is taken: then, and not before, its players may be found another match.
The fleet is told afterwards, so that the server does not run on for nothing; where there is nobody to tell,
real Agones for one, the server is refused its players and ends by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import structlog

from dedicated_server.fleet.client import FleetError, FleetRefusedError, MatchStatus
from launchday.clock import Clock
from launchday.resilience.retry import Backoff
from meta_service.client import MetaClientError, MetaRefusedError

FIRST_PAUSE_S, MAX_PAUSE_S = 0.25, 5.0  # between two tries to close a match, or to end its server
MAX_ENDING = 1_000  # matches whose end the fleet has still to acknowledge; its own claim_s ends those beyond

log = structlog.get_logger()


class MatchCloser(Protocol):
    """The meta service, as whoever gives matches up needs it."""

    async def close_match(self, match_id: UUID, player_ids: Sequence[int], force: bool = False) -> bool:
        """Close a match; False: its players have come, and nothing changed. Raises MetaClientError."""


class MatchFleet(Protocol):
    """The fleet, as whoever places matches needs it. Both raise FleetError."""

    async def match(self, match_id: str) -> MatchStatus | None:
        """How the server of a match is; None: nothing is known of it."""

    async def end_match(self, match_id: str) -> None:
        """End the server of a match, now or once it has one."""


class GivingUp:
    """Closes matches, and ends their servers.

    Args:
        meta: the arbiter; None: there is none, and each match counts as closed.
        fleet: ends servers; None: nobody does.
        clock: paces repeats.
    """

    def __init__(self, meta: MatchCloser | None, fleet: MatchFleet | None, clock: Clock) -> None:
        self._meta = meta
        self._fleet = fleet
        self._clock = clock
        self._ending: set[asyncio.Task[None]] = set()

    async def close(self, match_id: str, player_ids: Sequence[int], *, force: bool) -> bool:
        """Close a match; ask until there is an answer.

        Args:
            match_id: canonical UUID.
            player_ids: of its roster.
            force: close it even where its players have come: its server is gone, or patience with it is over.

        Returns:
            True: its players may be found another match. False: they have come.
        """
        if self._meta is None:
            return True
        pauses, told = Backoff(self._clock, FIRST_PAUSE_S, MAX_PAUSE_S), False
        while True:
            try:
                return await self._meta.close_match(UUID(match_id), player_ids, force)
            except MetaClientError as error:
                # A refusal is a fault of ours or a wrong token; opened again unclosed, the players could be
                # in two matches. So the match waits, and the log says for what.
                if not told:
                    level = log.error if isinstance(error, MetaRefusedError) else log.warning
                    level("a match cannot be closed, trying again", match_id=match_id, error=str(error))
                told = True
            await self._clock.sleep(FIRST_PAUSE_S + pauses.next_s())

    def end_server(self, match_id: str) -> None:
        """Have the fleet end the server of a closed match; it is asked beside whatever follows."""
        if self._fleet is None or len(self._ending) >= MAX_ENDING:
            return
        task = asyncio.get_running_loop().create_task(self._end_server(self._fleet, match_id))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        """Stop asking the fleet: servers of closed matches are refused their players, and end so."""
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _end_server(self, fleet: MatchFleet, match_id: str) -> None:
        pauses = Backoff(self._clock, FIRST_PAUSE_S, MAX_PAUSE_S)
        while True:
            try:
                await fleet.end_match(match_id)
                return
            except FleetRefusedError as error:
                log.info("the fleet ends no server by its match", match_id=match_id, error=str(error))
                return
            except FleetError as error:
                log.debug("the fleet does not answer yet", match_id=match_id, error=str(error))
            await self._clock.sleep(FIRST_PAUSE_S + pauses.next_s())
