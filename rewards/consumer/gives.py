"""What tiers and challenges give: found where a batch climbs, and given in its transaction, once.

The store writes down who was given what for which tier, or challenge and period, and moves what was not
written down before (``progress_give``, migration r0019). So it does not matter how often something is found
to be due: two consumers at once, an event told twice or a catch-up give it once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from launchday.gives import Give
from launchday.seasons import Season
from rewards.consumer import statements
from rewards.consumer.store_connection import ConnectionPool
from rewards.progression.challenges import Challenge

ACTOR = "service:rewards"  # who moved it, in the ledger and in the book of items
MAX_PAGE_PLAYERS = 2_000  # looked at in one transaction of a catch-up: some ms, and as many row locks at most

Balance = tuple[int, str, int, int]
"""Player id, currency, balance and its version, as stored."""

Owned = tuple[int, str, int, int]
"""Player id, item, pieces owned and their version, as stored."""


class Due(NamedTuple):
    """What a player is due for one tier, or for one challenge in one period."""

    player_id: int
    source: str
    key: str
    gives: tuple[Give, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """What players have, after the transaction, of the things that it gave.

    Attributes:
        balances: wallets that grew.
        items: what is owned of items that were given, whether more of them came or not.
    """

    balances: Sequence[Balance] = ()
    items: Sequence[Owned] = ()


NOTHING = Given()


def tiers_due(player_id: int, season: Season, before: int, after: int) -> list[Due]:
    """What a player is due who had reached ``before`` tiers of a season, and has reached ``after`` now."""
    return [
        Due(player_id, season_source(season), tier.key, tier.gives) for tier in season.tiers[before:after]
    ]


def challenge_due(player_id: int, challenge: Challenge, period: str) -> list[Due]:
    """What a player is due who has completed a challenge of a period."""
    if not challenge.gives:
        return []
    return [Due(player_id, f"challenge/{challenge.name}", period, challenge.gives)]


def season_source(season: Season) -> str:
    """The name under which what a season's tiers gave is written down."""
    return f"season/{season.name}"


async def give(connection: Any, due: Iterable[Due], now_s: float) -> Given:
    """Give what is due and was not given before, in the connection's transaction; ``now_s`` dates it."""
    wanted = sorted(due, key=lambda one: one[:3])  # all lock rows in one order
    if not wanted:
        return NOTHING
    lists = {gives: place for place, gives in enumerate(dict.fromkeys(one.gives for one in wanted), start=1)}
    rows = await connection.fetch(
        statements.GIVE,
        [one.player_id for one in wanted],
        [one.source for one in wanted],
        [one.key for one in wanted],
        [lists[one.gives] for one in wanted],
        json.dumps([[thing.as_json() for thing in gives] for gives in lists]),
        ACTOR,
        now_s,
    )
    return _of_rows(rows)


async def give_page(
    connections: ConnectionPool, season: Season, after: int, now_s: float
) -> tuple[int | None, Given]:
    """Give a page of a season's players what tiers that they have reached still owe them.

    Args:
        connections: to the store; the page is one transaction.
        season: whose tiers.
        after: the player id behind which the page begins.
        now_s: Unix seconds, which dates what is given.

    Returns the page's last player, None where there was no further one; and what they have now.
    """
    async with connections.transaction() as connection:
        last = await connection.fetchval(
            statements.SEASON_PAGE, season.name, after, season.thresholds[0], MAX_PAGE_PLAYERS
        )
        if last is None:
            return None, NOTHING
        gives = {tier.key: tier.gives for tier in season.tiers}
        source = season_source(season)
        rows = await connection.fetch(
            statements.TIERS_DUE, season.name, after, last, season.thresholds, list(gives), source
        )
        due = [Due(row["player_id"], source, row["key"], gives[row["key"]]) for row in rows]
        return last, await give(connection, due, now_s)


async def recently_given(connection: Any, window_s: float) -> Given:
    """What players have of the things that were given in the last ``window_s`` before the newest gift."""
    return _of_rows(await connection.fetch(statements.RECENTLY_GIVEN, window_s))


def _of_rows(rows: Iterable[Any]) -> Given:
    """Of each wallet and item the row with the newest version: one player may have been given twice."""
    balances: dict[tuple[int, str], tuple[int, int]] = {}
    items: dict[tuple[int, str], tuple[int, int]] = {}
    for player_id, currency, item, total, version in rows:
        found, name = (items, item) if currency is None else (balances, currency)
        known = found.get((player_id, name))
        if known is None or version > known[1]:
            found[player_id, name] = total, version
    return Given(
        [(*key, *newest) for key, newest in balances.items()],
        [(*key, *newest) for key, newest in items.items()],
    )
