"""Deletions of players that were left: whoever was asked makes all steps at once, unless it was killed."""

from __future__ import annotations

from typing import Any, cast

from redis.exceptions import RedisError

from launchday.clock import Clock
from launchday.resilience.uncut import take_turns
from meta_service.cache.cache import Cache
from meta_service.domain.blocks import Blocks
from meta_service.domain.erasure import Erasures
from meta_service.domain.parties import Parties
from meta_service.domain.players import Players
from meta_service.errors import StoreUnavailableError
from meta_service.store.store import Store

LOOK_S = 1.0
ANSWER_S = 60.0  # for one statement: who has played for years has a hundred thousand rows


class LeftErasures:
    """Looks once a second for deletions that were left in a region, over connections of its own.

    Args:
        cache: of the region.
        store_url: postgresql://… address.
        clock: times the looks.
    """

    def __init__(self, cache: Cache, store_url: str, clock: Clock) -> None:
        self._clock = clock
        self._store = Store(store_url, clock, answer_s=ANSWER_S, change_s=ANSWER_S, connections=2)
        players = Players(cache, self._store, clock)
        parties = Parties(players, Blocks(players), cast(Any, None), clock)  # leaving one signs nothing
        self._erasures = Erasures(players, parties.leave, clock)

    async def run(self) -> None:
        """Go on with them, for ever; cancel it to stop. Outages are waited out."""
        try:
            await take_turns(
                *(self.go_on, LOOK_S, self._clock),
                what="deletions",
                away=(RedisError, OSError, StoreUnavailableError),
            )
        finally:
            await self._store.close()

    async def end(self) -> None:
        """Close the connections, for whoever has cancelled `run`: its turn would wait up to `ANSWER_S` for a
        store that is gone without a word.
        """
        await self._store.close()

    async def go_on(self) -> int:
        """Go on with all that are due now; return how many. Raises as `Erasures.go_on_with_all`."""
        return await self._erasures.go_on_with_all(self._clock.now())
