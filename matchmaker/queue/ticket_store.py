"""Tickets as the cache holds them: read, accept or decline the match, cancel, expire those that are due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from matchmaker.messages import SEARCHING, QueueDepth, State, TicketView
from matchmaker.queue.scripts import KEYS, Scripts

MAX_EXPIRED = 1_000  # tickets a call: about 10 ms of the cache

_FIELDS = (
    "player",
    "created_at",
    "state",
    "view",
    "accept_by",
    "expires_at",
    "cancel",
    "mode",
    "client_key",
    "wish",
)
_decode_view = msgspec.json.Decoder(TicketView).decode
_decode_depth = msgspec.json.Decoder(QueueDepth).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class StoredTicket:
    """A ticket as read.

    Attributes:
        player_id: whose it is.
        created_at: Unix seconds.
        mode: what is played.
        client_key: the client's name for the request; empty: none.
        wish: what the key stands for; empty: not known.
        view: what its player reads.
        json: the same as JSON.
    """

    player_id: int
    created_at: float
    mode: str
    client_key: str
    wish: str
    view: TicketView
    json: bytes


class TicketStore:
    """Reads and ends tickets, for the API.

    Args:
        cache: Valkey or Redis.
        scripts: its scripts.
        watched: whether a requeued ticket ends without signs of life of its player, once they have read it.
    """

    def __init__(self, cache: Redis, scripts: Scripts, *, watched: bool = False) -> None:
        self._cache = cache
        self._scripts = scripts
        self._watched = "1" if watched else ""

    async def read(self, ticket_id: str) -> StoredTicket | None:
        """Return a ticket, or None where there is none (any more).

        A ticket that was made because its player's match was lost is searched for from now on: somebody reads
        it.
        """
        fields: list[Any] = await self._cache.hmget(KEYS["ticket"] + ticket_id, list(_FIELDS))
        player, created_at, state, stored, accept_by, unclaimed, cancel, mode, client_key, wish = fields
        if player is None:
            return None
        if unclaimed is not None and state == b"searching":
            await self._scripts.reclaim_ticket(
                [ticket_id, self._watched], mode=mode.decode(), keys=[KEYS["ticket"] + ticket_id]
            )
        if stored:
            view = _decode_view(stored)
        else:
            named = cast(State, state.decode())
            until = None if accept_by is None else float(accept_by)
            view = live_view(ticket_id, named, until, cancel is not None)
            stored = _encode(view)
        return StoredTicket(
            int(player),
            float(created_at),
            mode.decode(),
            (client_key or b"").decode(),
            (wish or b"").decode(),
            view,
            stored,
        )

    async def read_last(self, player_id: int) -> StoredTicket | None:
        """Return a player's last ticket, or None where none is known (any more)."""
        ticket_id: Any = await self._cache.get(f"{KEYS['player']}{player_id}")
        return None if ticket_id is None else await self.read(ticket_id.decode())

    async def accept(self, ticket_id: str, player_id: int, now: float) -> str | None:
        """Accept the match that was found for a ticket.

        Returns:
            The state found before, or None where the player has no such ticket.
        """
        state: bytes | None = await self._scripts.accept_ticket(
            [ticket_id, player_id], now, keys=[KEYS["ticket"] + ticket_id]
        )
        return None if state is None else state.decode()

    async def reject(self, ticket_id: str, player_id: int) -> str | None:
        """Decline the match that was found for a ticket.

        Returns:
            ``declined`` where that gave the match up. Else the state found before, or None where the player
            has no such ticket.
        """
        found: bytes | None = await self._scripts.reject_ticket(
            [ticket_id, player_id], keys=[KEYS["ticket"] + ticket_id]
        )
        return None if found is None else found.decode()

    async def depths(self) -> dict[str, QueueDepth]:
        """Return what waits in each queue, by mode, as its director said last."""
        stored = await self._cache.hgetall(KEYS["depth"])
        return {
            (mode.decode() if isinstance(mode, bytes) else mode): _decode_depth(depth)
            for mode, depth in stored.items()
        }

    async def cancel(self, ticket_id: str, player_id: int) -> str | None:
        """Cancel a player's ticket.

        Returns:
            ``marked`` where its match is getting a server: it ends if that comes to nothing. Else the state
            found before (``proposed``: one of its party is on the way into a match), or None where the player
            has no such ticket.
        """
        state: bytes | None = await self._scripts.cancel_ticket(
            [ticket_id, player_id], keys=[KEYS["ticket"] + ticket_id]
        )
        return None if state is None else state.decode()

    async def expire_due(self, mode: str, now: float, fresh_s: float = 0.0) -> int:
        """Expire the mode's tickets whose time is up at ``now`` (Unix seconds); return how many were due.

        ``fresh_s``: seconds that they get instead, because nobody could serve them for a while.
        """
        total = 0
        while True:
            due = int(await self._scripts.expire_tickets([mode, MAX_EXPIRED, fresh_s], now, mode=mode))
            total += due
            if due < MAX_EXPIRED:
                return total


def live_view(
    ticket_id: str, state: State = SEARCHING, accept_by: float | None = None, cancel_requested: bool = False
) -> TicketView:
    """Return the view of a ticket that has no end yet."""
    return TicketView(ticket_id, state, None, None, accept_by=accept_by, cancel_requested=cancel_requested)
