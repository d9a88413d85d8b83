"""Tickets as the cache holds them: read one, cancel one, expire those whose time is up."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis

from matchmaker.queue.scripts import KEYS, Scripts
from matchmaker.tickets.ticket import ASSIGNED, FINAL_STATES, State, live_view

MAX_EXPIRED = 1_000  # tickets a call: about 10 ms of the cache


@dataclass(frozen=True, slots=True)
class StoredTicket:
    """A ticket as read.

    Attributes:
        player_id: whose it is.
        created_at: Unix seconds.
        state: as its player sees it.
        view: the JSON that its player reads.
    """

    player_id: int
    created_at: float
    state: State
    view: bytes

    @property
    def final(self) -> bool:
        """Whether it has its end."""
        return self.state in FINAL_STATES

    @property
    def lost(self) -> bool:
        """Whether its match was lost with its game server."""
        return self.state == ASSIGNED and b'"reason":null' not in self.view

    @property
    def accept_requested(self) -> bool:
        """Whether its player is asked to accept a match."""
        return self.state == "proposed" and b'"accept_by"' in self.view


class TicketStore:
    """Reads and ends tickets, for the API."""

    def __init__(self, cache: Redis, scripts: Scripts) -> None:
        self._cache = cache
        self._scripts = scripts

    async def read(self, ticket_id: str) -> StoredTicket | None:
        """The ticket, or None where there is none (any more).

        One that was made because its player's match was lost is searched for from now on: somebody looks at it.
        """
        fields: list[Any] = await self._cache.hmget(
            KEYS["ticket"] + ticket_id, ["player", "created_at", "state", "view", "accept_by", "expires_at"]
        )
        player, created_at, state, view, accept_by, waits = fields
        if player is None:
            return None
        if waits is not None and state == b"searching":
            await self._scripts.reclaim_ticket([ticket_id])
        named = cast(State, state.decode())
        return StoredTicket(
            int(player), float(created_at), named, view or live_view(ticket_id, named, accept_by)
        )

    async def accept(self, ticket_id: str, player_id: int, now: float) -> str | None:
        """Say yes to the match that was found for a ticket; returns the state found before, or None where the player has no such ticket."""
        state: bytes | None = await self._scripts.accept_ticket([ticket_id, player_id, repr(now)])
        return None if state is None else state.decode()

    async def depths(self) -> dict[str, Any]:
        """What waits in each queue, by mode, as its director said last."""
        stored = await self._cache.hgetall(KEYS["depth"])
        return {
            (mode.decode() if isinstance(mode, bytes) else mode): json.loads(depth)
            for mode, depth in stored.items()
        }

    async def cancel(self, ticket_id: str, player_id: int) -> str | None:
        """Cancel a player's ticket if it is searching.

        Returns the state found before (``proposed``: its match is being placed, too late), or None where the player has
        no such ticket.
        """
        state: bytes | None = await self._scripts.cancel_ticket([ticket_id, player_id])
        return None if state is None else state.decode()

    async def expire_due(self, mode: str, now: float) -> int:
        """Expire the mode's tickets whose time is up at ``now``; returns how many were due."""
        total = 0
        while True:
            due = int(await self._scripts.expire_tickets([mode, repr(now), MAX_EXPIRED]))
            total += due
            if due < MAX_EXPIRED:
                return total
