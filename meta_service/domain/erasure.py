"""Accounts that are deleted: in a few steps that may be repeated, so that a job that was killed goes on.

The first step decides: a row of ``erasures`` is written, all ways to log in are gone, and from then on no
change, event or load brings the player back. Then, in any order and as often as needed, each region's cache
is cleaned and the store is (`meta_service.store.erase`). Whoever asked does both at once; write-behind
workers look for what was left and finish it. At the end the store forgets which pseudonym was whose.

What was under way meanwhile (a batch of the write-behind, an event in the log) may still write a row after
that. So a minute later, and then every day, all is swept again, until after `KEPT_S` the row of ``erasures``
goes, too: by then no token and no event of the player's is left. The analytics' files are rewritten by their
own process, which finds in ``erasures`` whom it has not done since the last sweep (`rewards.analytics`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog

from launchday.clock import Clock
from launchday.telemetry import request_id
from meta_service.cache import keys
from meta_service.domain import leaderboards
from meta_service.domain.players import Players
from meta_service.store.erase import ERASE

KEPT_S = 45 * 24 * 3600.0  # longer than a refresh token lives (30 days), and than the event log keeps (7)
FIRST_SWEEP_S = 60.0
SWEEP_S = 24 * 3600.0
# A region that has not cleaned its cache by then is no more: caches let go of players within a week.
PATIENCE_S = 8 * 24 * 3600.0
LATE_REQUEST_S = 3600  # for so long a request that was let in before may still come to a party's step
MAX_DUE = 100  # a turn of a worker's

# The others are of a region's partitions, see `meta_service.cache.epoch`.
_REGIONS = "ARRAY(SELECT region FROM cache_epochs WHERE strpos(region, '#') = 0)"
_BEGIN = "SELECT begun FROM erasure_begin($1, $2, $3, $4, $5, $6)"
_READ = """
SELECT pseudonym, login_name, coalesce(logins, '{}') AS logins, coalesce(others, '{}') AS others,
    ARRAY(SELECT unnest(seasons) UNION SELECT season FROM season_windows) AS seasons,
    $2 = ANY (cleaned) AS is_cleaned, stored_at IS NOT NULL AS is_stored,
    finished_at IS NOT NULL AS is_finished
FROM erasures WHERE player_id = $1
"""
_CLEANED = """
UPDATE erasures SET cleaned = array_append(cleaned, $2) WHERE player_id = $1 AND NOT $2 = ANY (cleaned)
RETURNING true
"""
_FINISH = f"""
UPDATE erasures SET finished_at = to_timestamp($2), pseudonym = NULL, login_name = NULL, logins = NULL,
    others = NULL, seasons = NULL
WHERE player_id = $1 AND stored_at IS NOT NULL AND (
    cleaned @> {_REGIONS}
    OR asked_at < to_timestamp($2) - make_interval(secs => {PATIENCE_S})
)
RETURNING true
"""
_DUE = f"""
SELECT player_id FROM erasures
WHERE finished_at IS NULL AND (
    stored_at IS NULL OR NOT $1 = ANY (cleaned) OR cleaned @> {_REGIONS}
    OR asked_at < to_timestamp($2) - make_interval(secs => {PATIENCE_S})
)
ORDER BY asked_at LIMIT {MAX_DUE}
"""
_SWEEP = f"""
UPDATE erasures SET swept_at = to_timestamp($1), finished_at = NULL, stored_at = NULL, cleaned = '{{}}',
    pseudonym = $2, lake_at = NULL
WHERE player_id = (
    SELECT player_id FROM erasures
    WHERE finished_at IS NOT NULL AND CASE
        WHEN swept_at IS NULL THEN finished_at < to_timestamp($1) - make_interval(secs => {FIRST_SWEEP_S})
        ELSE swept_at < to_timestamp($1) - make_interval(secs => {SWEEP_S})
    END
    ORDER BY swept_at NULLS FIRST LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING player_id
"""
_FORGET = f"""
DELETE FROM erasures
WHERE finished_at IS NOT NULL AND asked_at < to_timestamp($1) - make_interval(secs => {KEPT_S})
RETURNING true
"""

log = structlog.get_logger()


class Erasures:
    """Deletes players.

    Args:
        players: over one cache and one store.
        leave_party: takes a player out of their party, at a time (Unix seconds).
        clock: draws the pseudonyms.
    """

    def __init__(
        self, players: Players, leave_party: Callable[[int, float], Awaitable[object]], clock: Clock
    ) -> None:
        self._players = players
        self._store = players.store
        self._redis = players.cache.redis
        self._keys = players.cache.keys
        self._region = players.cache.region
        self._leave_party = leave_party
        self._clock = clock

    async def begin(self, player_id: int, who: str, why: str, now: float) -> bool:
        """Decide that a player is deleted; return False when that was decided before.

        Args:
            player_id: whom.
            who: ``player``, or ``operator:NAME``, whose act is noted.
            why: the operator's reason.
            now: Unix seconds.

        Raises StoreUnavailableError.
        """
        (row,) = await self._store.change(
            _BEGIN, player_id, self._pseudonym(), who, why, now, request_id() or None
        )
        return bool(row["begun"])

    async def is_begun(self, player_id: int) -> bool:
        """Whether a player was deleted within the last weeks. Raises StoreUnavailableError."""
        return bool(await self._store.read("SELECT 1 FROM erasures WHERE player_id = $1", player_id))

    async def go_on(self, player_id: int, now: float) -> bool:
        """Make the steps that are left; return whether all are made, in other regions too.

        Raises StoreUnavailableError or redis-py's errors: then some are left.
        """
        rows = await self._store.read(_READ, player_id, self._region)
        if not rows or rows[0]["is_finished"]:
            return True
        (left,) = rows
        if not left["is_cleaned"]:
            await self._clean_cache(player_id, left, now)
            await self._store.change(_CLEANED, player_id, self._region)
        if not left["is_stored"]:
            await self._store.change(ERASE, player_id, left["pseudonym"], now, at_one_moment=True)
        finished = bool(await self._store.change(_FINISH, player_id, now))
        if finished:
            log.info("player deleted")
        return finished

    async def go_on_with_all(self, now: float) -> int:
        """Finish what was left, sweep what is due, and forget what is over; return how many were touched.

        Raises StoreUnavailableError or redis-py's errors.
        """
        due = [row["player_id"] for row in await self._store.read(_DUE, self._region, now)]
        while len(due) < MAX_DUE and (swept := await self._store.change(_SWEEP, now, self._pseudonym())):
            due.append(swept[0]["player_id"])
        for player_id in due:
            await self.go_on(player_id, now)
        await self._store.change(_FORGET, now)
        return len(due)

    async def _clean_cache(self, player_id: int, left: Any, now: float) -> None:
        """Take a player out of the region's cache, but for the mark that keeps them away.

        The mark comes first: whoever has it joins no party and is invited to none while the rest goes.
        """
        await self._players.cache.load(await self._store.load([player_id]), [player_id], now)
        mark = keys.claims(player_id)  # as parties see it
        await cast(Any, self._redis.hset(mark, "erased", "1"))
        await self._leave_party(player_id, now)
        await self._decline_all(player_id)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hdel(mark, "queued", "void_claim")
        pipeline.expire(mark, LATE_REQUEST_S)
        names = self._keys
        own = [key(player_id) for key in (names.friends, names.blocks, names.presence, names.name)]
        own += [key(player_id) for key in (keys.declined, keys.invitations, keys.party_of)]
        own += [names.login(bytes(digest).hex()) for digest in left["logins"]]
        if left["login_name"] is not None:
            own.append(names.credential(left["login_name"]))
        for other in left["others"]:  # lists that name the player; they are read anew when needed
            own += [names.friends(other), names.blocks(other)]
            pipeline.zrem(keys.declined(other), str(player_id))
        for key in own:
            pipeline.delete(key)
        pipeline.zrem(names.of(player_id).unsettled, str(player_id))
        await pipeline.execute()
        await leaderboards.remove(self._redis, left["seasons"], player_id)

    async def _decline_all(self, player_id: int) -> None:
        """Take the player's name out of the parties that have invited them."""
        invited = await cast(Any, self._redis.zrange(keys.invitations(player_id), 0, -1))
        pipeline = self._redis.pipeline(transaction=False)
        for party_id in invited:
            pipeline.hdel(keys.party(party_id), f"i:{player_id}", f"b:{player_id}")
        if invited:
            await pipeline.execute()

    def _pseudonym(self) -> int:
        """A number that nobody can trace back: of 62 bits, and no other player's but by a wonder."""
        return self._clock.random("pseudonym").getrandbits(62) | 1
