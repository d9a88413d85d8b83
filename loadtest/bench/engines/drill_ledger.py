"""The ledger of the drill: what players were told before, while and after a backup was made, and what is
there.

It compares the log of what was acknowledged with the tables of the restored store, and shares no code with
the services or with the commands that were used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from loadtest.chaos.operation_log import Operation

JUDGED = ("login", "set_loadout", "buy", "refund", "grant", "checkout", "commit")

# Each counts what is half; zero everywhere in books that are whole.
HALVES: Mapping[str, str] = {
    "wallets that are not their entries": """
        SELECT count(*) FROM wallets FULL JOIN (
            SELECT account AS player_id, currency, sum(amount) AS balance FROM ledger
            WHERE account > 0 GROUP BY 1, 2
        ) AS booked USING (player_id, currency)
        WHERE coalesce(wallets.balance, 0) <> coalesce(booked.balance, 0)
    """,
    "transfers with one side": """
        SELECT count(*) FROM (
            SELECT FROM ledger GROUP BY transfer_id, currency HAVING sum(amount) <> 0
        ) AS unbalanced
    """,
    "items that are not their movements": """
        SELECT count(*) FROM inventory FULL JOIN (
            SELECT player_id, item_id, sum(quantity) AS moved FROM item_movements GROUP BY 1, 2
        ) AS moves USING (player_id, item_id)
        WHERE coalesce(quantity, 0) <> coalesce(moved, 0)
    """,
    "purchases without their money or their key": """
        SELECT count(*) FROM purchases
        WHERE NOT EXISTS (SELECT FROM idempotency WHERE answer->>'purchase_id' = purchase_id::text)
            OR (SELECT count(*) FROM purchases AS all_of WHERE all_of.player_id = purchases.player_id
                AND all_of.refunded_at IS NULL)
            <> (SELECT coalesce(sum(quantity), 0) FROM item_movements
                WHERE item_movements.player_id = purchases.player_id
                    AND item_movements.item_id = purchases.item_id)
    """,
    "results that the season does not have": """
        SELECT abs((SELECT count(*) FROM match_history WHERE outcome = 'committed')
            - (SELECT coalesce(sum(matches), 0) FROM season_records))
    """,
    "leases of matches that do not run": "SELECT count(*) FROM match_history WHERE outcome IS NULL",
}

# Results of matches that were played, not only told: they bring points by the events of their game servers.
_RESULTS = """
SELECT player_id, count(*) AS results, coalesce(max(matches), 0) AS with_points
FROM match_history LEFT JOIN progression USING (player_id)
WHERE outcome = 'committed' AND match_history.match_id <> ALL ($1::uuid[])
    AND match_history.ended_at < to_timestamp($2)
GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Window:
    """When a backup was made.

    Attributes:
        began_ns, ended_ns: by the clock of the log.
        began_wall: Unix seconds.
    """

    began_ns: int
    ended_ns: int
    began_wall: float

    def place(self, at_ns: int) -> str:
        """Whether something was answered before, between or after."""
        if at_ns < self.began_ns:
            return "before"
        return "after" if at_ns > self.ended_ns else "between"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of what was acknowledged.

    Attributes:
        before, between, after: acknowledged, by when they were.
        lost: of each of the three, how many are not there.
        half: by what is half, how many; nothing where all is whole.
    """

    before: int
    between: int
    after: int
    lost: Mapping[str, int]
    half: Mapping[str, int]


async def judge(store: asyncpg.Connection, operations: Sequence[Operation], window: Window) -> Verdict:
    """Compare a log with a restored store."""
    there = await _what_is_there(store, operations)
    told: dict[str, int] = defaultdict(int)
    lost: dict[str, int] = {"before": 0, "between": 0, "after": 0}
    for line in operations:
        if line["phase"] != "ack" or line["op"] not in JUDGED:
            continue
        when = window.place(line["at"])
        told[when] += 1
        lost[when] += not there.has(line)
    half = {name: int(await store.fetchval(statement)) for name, statement in HALVES.items()}
    only_told = {line["match"] for line in operations if "match" in line}
    results = await store.fetch(_RESULTS, sorted(only_told), window.began_wall)
    half["results without points"] = sum(max(0, row["results"] - row["with_points"]) for row in results)
    return Verdict(
        told["before"],
        told["between"],
        told["after"],
        lost,
        {name: count for name, count in half.items() if count},
    )


async def matches_played(store: asyncpg.Connection, operations: Sequence[Operation], before: float) -> int:
    """Results of played matches that were stored before a moment, in Unix seconds."""
    only_told = {line["match"] for line in operations if "match" in line}
    return sum(row["results"] for row in await store.fetch(_RESULTS, sorted(only_told), before))


@dataclass(frozen=True)
class _There:
    """What the restored store has.

    Attributes:
        players: who have an account.
        versions: of loadouts, by player.
        purchases: by id, whether it was given back.
        keys: the grants' idempotency keys that have a booking.
        matches: (player, fence) to the outcome.
    """

    players: set[int]
    versions: Mapping[int, int]
    purchases: Mapping[str, bool]
    keys: set[str]
    matches: Mapping[tuple[int, int], str | None]

    def has(self, line: Operation) -> bool:
        """Whether what was acknowledged is there."""
        match line["op"]:
            case "login":
                return line["player"] in self.players
            case "set_loadout":
                return bool(self.versions.get(line["player"], -1) >= line["version"])
            case "buy":
                return line["purchase"] in self.purchases
            case "refund":
                return self.purchases.get(line["purchase"], False)
            case "grant":
                return line["key"] in self.keys
            case "checkout":
                return (line["player"], line["fence"]) in self.matches
            case _:
                return self.matches.get((line["player"], line["fence"])) == "committed"


async def _what_is_there(store: asyncpg.Connection, operations: Sequence[Operation]) -> _There:
    async def rows(question: str, *arguments: Any) -> list[Any]:
        return list(await store.fetch(question, *arguments))

    booked = "SELECT key FROM idempotency JOIN ledger ON transfer_id::text = answer->>'transfer_id'"
    return _There(
        players={row[0] for row in await rows("SELECT player_id FROM accounts")},
        versions={row[0]: row[1] for row in await rows("SELECT player_id, version FROM loadouts")},
        purchases={
            row[0]: row[1]
            for row in await rows("SELECT purchase_id::text, refunded_at IS NOT NULL FROM purchases")
        },
        keys={row[0] for row in await rows(booked)},
        matches={
            (row[0], row[1]): row[2]
            for row in await rows("SELECT player_id, fence, outcome FROM match_history")
        },
    )
