"""Players who were deleted, as the store lists them for the lake: their rows get numbers that lead to nobody.

The meta service lists a player again with each of its sweeps, every day for some weeks, because events of
theirs may still have been in the log. A number is drawn anew each time and kept nowhere.
"""

from __future__ import annotations

import structlog

from launchday.clock import Clock
from rewards.analytics.lake import Lake
from rewards.consumer.store_connection import ConnectionPool
from rewards.errors import StoreRefusedError, StoreUnavailableError

LOOK_S = 60.0  # between two looks; each that finds somebody reads the ids of the whole lake
MAX_AT_ONCE = 1_000

_LISTED = "SELECT player_id FROM erasures WHERE lake_at IS NULL ORDER BY asked_at LIMIT $1"
_DONE = "UPDATE erasures SET lake_at = to_timestamp($2) WHERE player_id = ANY ($1::bigint[])"

log = structlog.get_logger()


class ErasedPlayers:
    """Looks for deleted players now and then.

    Args:
        store_url: ``postgresql://…`` of the global store.
        clock: times the looks, and draws the numbers.
    """

    def __init__(self, store_url: str, clock: Clock) -> None:
        self._connections = ConnectionPool(store_url)
        self._clock = clock
        self._looked_at: float | None = None

    async def look(self, lake: Lake) -> int:
        """Take deleted players out of the lake's files, if it is time to look; return how many players.

        Nothing else may write to the lake meanwhile. While the store does not answer, it is done later.
        """
        monotonic = self._clock.monotonic()
        if self._looked_at is not None and monotonic - self._looked_at < LOOK_S:
            return 0
        self._looked_at = monotonic
        try:
            async with self._connections.acquire() as connection:
                listed = [row["player_id"] for row in await connection.fetch(_LISTED, MAX_AT_ONCE)]
            if listed:
                draw = self._clock.random("pseudonym").getrandbits
                rows = await self._clock.run_in_thread(
                    lake.replace_players, {player_id: draw(62) | 1 for player_id in listed}
                )
                async with self._connections.acquire() as connection:
                    await connection.execute(_DONE, listed, self._clock.wall())
                log.info("analytics_players_erased", players=len(listed), rows=rows)
        except (StoreUnavailableError, StoreRefusedError) as error:
            log.debug("analytics_erasures_wait", reason=str(error))
            return 0
        return len(listed)

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()
