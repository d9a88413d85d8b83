"""Friends, which the store keeps, and their presence, which the regional cache knows.

A friendship is one row for both, so asking, accepting and ending are one statement each. While the store
does not answer, a player still sees the friends that the cache saw last, and their presence; making and
ending friendships waits.

What others ask of a player has a limit of its own and does not count against them. A request that its
receiver does not hear of, because they block the asker or have declined within a day, looks to the asker like
any other that waits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, cast
from uuid import UUID

from redis.asyncio import Redis

from meta_service.domain.accounts import default_name
from meta_service.domain.blocks import Blocks
from meta_service.domain.players import Players
from meta_service.errors import FriendshipError, StoreUnavailableError
from meta_service.messages.base import PlayerId
from meta_service.messages.social import Friend, Presence
from meta_service.store.store import Store

MAX_FRIENDS = 200  # a list of them with presence is one round trip of 400 small commands: 3 ms
MAX_INCOMING = 100  # requests of others that are open, then the oldest makes room
DECLINED_S = 24 * 3600.0  # for so long whoever asked does not ask again
FRIENDS_CACHE_TTL_S = 7 * 24 * 3600  # for players who do not ask for their friends meanwhile
PRESENCE_TTL_S = 60  # a client sets its presence twice in this time; one that does not is offline

OFFLINE: tuple[Presence, UUID | None] = ("offline", None)

_LIST = """
SELECT CASE WHEN low_id = $1 THEN high_id ELSE low_id END AS friend_id,
    CASE WHEN state = 'friends' THEN 'friends' WHEN asked_by = $1 THEN 'asked' ELSE 'invited' END AS relation,
    extract(epoch FROM since)::float8 AS since,
    coalesce(display_names.display_name, accounts.display_name, '') AS display_name
FROM friendships
LEFT JOIN accounts ON accounts.player_id = CASE WHEN low_id = $1 THEN high_id ELSE low_id END
LEFT JOIN display_names ON display_names.player_id = CASE WHEN low_id = $1 THEN high_id ELSE low_id END
WHERE (low_id = $1 OR high_id = $1) AND NOT (hidden AND asked_by <> $1)
ORDER BY 1
"""

_ASK = "SELECT refusal FROM friends_request($1, $2, $3, $4, $5)"
_ACCEPT = "SELECT refusal FROM friends_accept($1, $2, $3, $4)"
_END = "SELECT ended FROM friends_end($1, $2, $3, $4)"

_REFUSALS = {
    "friends-full": (
        409,
        f"one player has at most {MAX_FRIENDS} friends and requests of their own: end one first",
    ),
    "no-such-friendship": (404, "that player has not asked, or no longer"),
    "player-blocked": (409, "you block that player: end that first"),
}


class Friends:
    """What players do about friends. Times are Unix seconds given by the caller."""

    def __init__(self, players: Players, blocks: Blocks) -> None:
        self._players = players
        self._blocks = blocks
        self._store: Store = players.store
        self._redis: Redis = players.cache.redis
        self._keys = players.cache.keys

    async def request(self, player_id: int, other: int, now: float) -> None:
        """Ask ``other`` to be friends; one who had asked first becomes a friend.

        Raises FriendshipError, UnknownPlayerError or StoreUnavailableError.
        """
        if other == player_id:
            raise FriendshipError(409, "friend-is-self", "nobody is their own friend")
        await self._players.profile(other, now)
        _refuse(await self._store.change(_ASK, player_id, other, MAX_FRIENDS, MAX_INCOMING, now))

    async def accept(self, player_id: int, other: int, now: float) -> None:
        """Become friends with a player who asked; raises FriendshipError or StoreUnavailableError."""
        _refuse(await self._store.change(_ACCEPT, player_id, other, MAX_FRIENDS, now))

    async def remove(self, player_id: int, other: int, now: float) -> bool:
        """End a friendship, take a request back, or turn one down; return whether there was one.

        Whoever was turned down does not ask again for a day. Raises StoreUnavailableError.
        """
        rows = await self._store.change(_END, player_id, other, DECLINED_S, now)
        return bool(rows[0]["ended"])

    async def block(self, player_id: int, other: int, now: float) -> None:
        """Block a player; they are a friend no longer. Raises BlockError and as `request` does."""
        await self._blocks.add(player_id, other, now)
        for one in (player_id, other):
            await self._redis.delete(self._keys.friends(one))

    async def list_friends(self, player_id: int, now: float) -> list[Friend]:
        """All friends and requests with presence.

        Raises StoreUnavailableError when neither the store nor the cache knows them.
        """
        try:
            rows = [dict(row) for row in await self._store.read(_LIST, player_id)]
            await self._keep(player_id, rows)
        except StoreUnavailableError:
            kept = await cast(Any, self._redis.get(self._keys.friends(player_id)))
            if kept is None:
                raise
            rows = json.loads(kept)
        seen = await self._presence([row["friend_id"] for row in rows if row["relation"] == "friends"], now)
        return [
            Friend(
                PlayerId(row["friend_id"]),
                row["display_name"] or default_name(row["friend_id"]),
                row["relation"],
                row["since"],
                *seen.get(row["friend_id"], OFFLINE),
            )
            for row in rows
        ]

    async def set_presence(self, player_id: int, presence: Literal["online", "away"]) -> None:
        """Set a player's presence, for ``PRESENCE_TTL_S`` seconds."""
        await self._redis.set(self._keys.presence(player_id), presence, ex=PRESENCE_TTL_S)

    async def _keep(self, player_id: int, rows: Sequence[dict[str, Any]]) -> None:
        await self._redis.set(self._keys.friends(player_id), json.dumps(rows), ex=FRIENDS_CACHE_TTL_S)

    async def _presence(
        self, player_ids: Sequence[int], now: float
    ) -> dict[int, tuple[Presence, UUID | None]]:
        pipeline = self._redis.pipeline(transaction=False)
        for player_id in player_ids:
            pipeline.hmget(self._keys.player(player_id), ["lease_state", "lease_until", "lease_match"])
            pipeline.get(self._keys.presence(player_id))
        answers = await pipeline.execute()
        leases, words = answers[::2], answers[1::2]
        return {
            id_: _presence_of(lease, said, now)
            for id_, lease, said in zip(player_ids, leases, words, strict=True)
        }


def _refuse(rows: Sequence[Any]) -> None:
    refusal = rows[0]["refusal"]
    if refusal is not None:
        status, detail = _REFUSALS[refusal]
        raise FriendshipError(status, refusal, detail)


def _presence_of(lease: Sequence[str | None], said: str | None, now: float) -> tuple[Presence, UUID | None]:
    state, until_ms, match_id = lease
    if state == "held" and float(until_ms or 0) > now * 1000:
        return "in-match", UUID(match_id) if match_id else None
    if said in ("online", "away"):
        return cast(Presence, said), None
    return OFFLINE
