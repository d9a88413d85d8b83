"""Display names that players chose: changed in the store, where no two are alike, and shown by the cache.

`meta_service.domain.name_rules` says what may be a name. A name that is left stays its player's for as long
as they would have to wait for the next one, so that nobody can step into it at once.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from meta_service.cache.cache import Cache
from meta_service.domain.accounts import default_name
from meta_service.domain.name_rules import checked_name
from meta_service.domain.players import Players
from meta_service.errors import (
    NameChangedLatelyError,
    NameTakenError,
    StoreUnavailableError,
    UnknownPlayerError,
)
from meta_service.store.store import Store

KEPT_S = 300  # for a name of a player whom the cache does not hold; a change elsewhere is seen after so long

_TAKE = "SELECT refusal, changeable_at FROM name_take($1, $2, $3, $4, $5, $6)"
_NAMES = "SELECT player_id, display_name FROM display_names WHERE player_id = ANY($1::bigint[])"


@dataclass(frozen=True, slots=True)
class TakenName:
    """A player's display name, and when it may be changed (Unix seconds)."""

    display_name: str
    changeable_at: float


class Names:
    """Changes names.

    Args:
        players: over one cache and one store.
        every_s: seconds between two changes of a player's name.
    """

    def __init__(self, players: Players, every_s: float) -> None:
        self._players = players
        self._store = players.store
        self._redis = players.cache.redis
        self._every_s = every_s

    async def take(self, player_id: int, typed: str, now: float) -> TakenName:
        """Give a player the name that they typed; repeating it changes nothing.

        Raises BadNameError, NameTakenError, NameChangedLatelyError, UnknownPlayerError, or
        StoreUnavailableError.
        """
        name = checked_name(typed)
        (row,) = await self._store.change(
            _TAKE, player_id, name.text, list(name.keys), self._every_s, now, self._players.cache.region
        )
        if row["refusal"] == "name-taken":
            raise NameTakenError("another player has this name, or one that looks like it: choose another")
        if row["refusal"] == "name-changed-lately":
            when = datetime.datetime.fromtimestamp(row["changeable_at"], datetime.UTC)
            raise NameChangedLatelyError(
                f"the name was changed lately: the next change is on {when:%Y-%m-%d}"
            )
        if row["refusal"]:
            raise UnknownPlayerError(f"player {player_id} is not known: log in")
        await self._players.show_account(player_id, now)
        await self._redis.delete(self._players.cache.keys.name(player_id))
        return TakenName(name.text, row["changeable_at"])

    async def of(self, player_ids: Sequence[int]) -> list[str]:
        """The display names of players, in order, as `names_of` finds them."""
        return await names_of(self._players.cache, self._store, player_ids) if player_ids else []


async def names_of(cache: Cache, store: Store, player_ids: Sequence[int]) -> list[str]:
    """The display names of players, in order; as last seen, or the default ones, while the store is away."""
    pipeline = cache.redis.pipeline(transaction=False)
    for player_id in player_ids:
        pipeline.hget(cache.keys.player(player_id), "display_name")
        pipeline.get(cache.keys.name(player_id))
    answers = await pipeline.execute()
    found = {
        id_: shown or kept
        for id_, shown, kept in zip(player_ids, answers[::2], answers[1::2], strict=True)
        if shown or kept
    }
    if missing := [id_ for id_ in dict.fromkeys(player_ids) if id_ not in found]:
        found |= await _stored(cache, store, missing)
    return [found.get(id_) or default_name(id_) for id_ in player_ids]


async def _stored(cache: Cache, store: Store, player_ids: Sequence[int]) -> dict[int, str]:
    try:
        rows = await store.read(_NAMES, list(player_ids))
    except StoreUnavailableError:
        return {}
    chosen: dict[int, str] = {row["player_id"]: row["display_name"] for row in rows}
    pipeline = cache.redis.pipeline(transaction=False)
    for player_id in player_ids:
        name = chosen.get(player_id, default_name(player_id))
        pipeline.set(cache.keys.name(player_id), name, ex=KEPT_S)
    await pipeline.execute()
    return chosen
