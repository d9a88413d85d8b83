"""Tickets as the cache holds them: read one, cancel one, expire those whose time is up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis

from matchmaker.scripts import KEYS, Scripts
from matchmaker.tickets import FINAL_STATES, SEARCHING, State, searching_view

EXPIRE_AT_MOST = 1_000  # tickets a call: about 10 ms of the cache


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


class TicketStore:
    """Reads and ends tickets, for the API."""

    def __init__(self, cache: Redis, scripts: Scripts) -> None:
        self._cache = cache
        self._scripts = scripts

    async def read(self, ticket_id: str) -> StoredTicket | None:
        """The ticket, or None where there is none (any more)."""
        fields: list[Any] = await self._cache.hmget(
            KEYS["ticket"] + ticket_id, ["player", "created_at", "state", "view"]
        )
        player, created_at, state, view = fields
        if player is None:
            return None
        if view is None:  # searching, or proposed: which its player need not tell apart
            return StoredTicket(int(player), float(created_at), SEARCHING, searching_view(ticket_id))
        return StoredTicket(int(player), float(created_at), cast(State, state.decode()), view)

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
            due = int(await self._scripts.expire_tickets([mode, repr(now), EXPIRE_AT_MOST]))
            total += due
            if due < EXPIRE_AT_MOST:
                return total
