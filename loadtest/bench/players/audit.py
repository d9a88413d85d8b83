"""What must hold after random operations: each rule compares what was acknowledged, what the store and the
cache hold, and what players are answered. It shares no code with the services.
"""

from __future__ import annotations

import functools
import json
import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import asyncpg
from redis.asyncio import Redis

from loadtest.bench.players import world as setting
from loadtest.chaos import meta_cache
from loadtest.chaos.operation_log import Operation, select_operations
from loadtest.shipped_worth import xp_of

KILL_XP, MATCH_XP, WIN_XP = (xp_of(name) for name in ("kill", "match_played", "win"))
DAY_MATCHES, DAY_MATCHES_XP = 10, 250
PARTY = "{meta}:party:"
TOMBSTONE = {"erased", "session_state", "loaded"}  # fields of a deleted player's hash


@dataclass(frozen=True)
class Standing:
    """A line of a board as a player reads it."""

    rank: int
    player_id: int
    score: int


@dataclass(frozen=True)
class PlayersEvidence:
    """What the rules look at.

    Attributes:
        operations: of the round.
        boards: name to its lines from the best down, as answered.
        worn: player to the skin that a game server was told at a last check-out.
    """

    operations: list[Operation]
    store: asyncpg.Connection
    cache: Redis
    boards: Mapping[str, Sequence[Standing]]
    worn: Mapping[int, str]

    @functools.cached_property
    def deleted(self) -> set[int]:
        """The players whose deletion was acknowledged."""
        return {line["player"] for line in select_operations(self.operations, "delete", "ack")}

    @functools.cached_property
    def left_out(self) -> set[int]:
        """The players of whom a change may have been made that was never answered."""
        return {line["player"] for line in select_operations(self.operations, "lost", "refused")}

    @functools.cached_property
    def living(self) -> set[int]:
        """The players whose account was opened and not deleted, and of whom every change is known."""
        opened = {line["player"] for line in select_operations(self.operations, "open", "ack")}
        return opened - self.deleted - self.left_out


@dataclass(frozen=True)
class _UnderWay:
    """When an act was sent and answered (ns): it took effect between the two. Without an answer: whenever."""

    asked: float
    answered: float


Rule = Callable[[PlayersEvidence], Awaitable[list[str]]]
"""Returns what is wrong, a line each; empty where nothing is."""


async def wallets_are_what_was_moved(evidence: PlayersEvidence) -> list[str]:
    """A wallet is what was acknowledged: grants, debits, purchases, refunds, and what its tiers gave."""
    want: Counter[int] = Counter()
    for line in select_operations(evidence.operations, "money", "ack"):
        want[line["player"]] += line["amount"]
    paid = {row["id"]: row["paid"] for row in await _purchases(evidence)}
    for line in _first_refunds(evidence):
        want[line["player"]] += paid.get(line["purchase"], 0)
    for player, points in _season_points(evidence).items():
        want[player] += setting.TIER_COINS if points >= setting.COINS_TIER_XP else 0
    rows = await evidence.store.fetch("SELECT player_id, balance FROM wallets WHERE currency = 'coins'")
    have = {row["player_id"]: row["balance"] for row in rows}
    return [
        f"player {player} has {have.get(player, 0)} coins and was given {want[player]}"
        for player in sorted(evidence.living)
        if have.get(player, 0) != want[player]
    ]


async def wallets_are_the_ledger(evidence: PlayersEvidence) -> list[str]:
    """Wallets are sums of entries; every transfer adds up to nothing; every entry says who made it."""
    off = await evidence.store.fetch(
        "WITH booked AS (SELECT account, currency, sum(amount) AS total FROM ledger"
        "   WHERE account > 0 GROUP BY 1, 2)"
        " SELECT coalesce(player_id, account) AS player, coalesce(balance, 0) AS balance,"
        "   coalesce(total, 0) AS total"
        " FROM wallets FULL JOIN booked ON account = player_id AND booked.currency = wallets.currency"
        " WHERE coalesce(balance, 0) <> coalesce(total, 0)"
    )
    wrong = [f"player {row['player']}: {row['balance']} in the wallet, {row['total']} booked" for row in off]
    unbalanced = await evidence.store.fetch(
        "SELECT transfer_id FROM ledger GROUP BY transfer_id, currency HAVING sum(amount) <> 0"
    )
    wrong += [f"transfer {row['transfer_id']} does not add up to nothing" for row in unbalanced]
    nobody = await evidence.store.fetchval("SELECT count(*) FROM ledger WHERE actor = ''")
    return [*wrong, f"{nobody} entries do not say who made them"] if nobody else wrong


async def items_are_what_was_moved(evidence: PlayersEvidence) -> list[str]:
    """What a player owns is what was acknowledged, and the sum of its movements."""
    want: Counter[tuple[int, str]] = Counter()
    for line in select_operations(evidence.operations, "items", "ack"):
        want[line["player"], line["item"]] += line["quantity"]
    bought = {line["purchase"]: line for line in select_operations(evidence.operations, "purchase", "ack")}
    for line in _first_refunds(evidence):
        purchase = bought[line["purchase"]]
        want[purchase["player"], purchase["item"]] -= purchase["quantity"]
    for player, points in _season_points(evidence).items():
        want[player, setting.TIER_ITEM] += points >= setting.ITEM_TIER_XP
    rows = await evidence.store.fetch("SELECT player_id, item_id, quantity FROM inventory")
    have = {(row["player_id"], row["item_id"]): row["quantity"] for row in rows}
    wrong = [
        f"player {place[0]} has {have.get(place, 0)} of {place[1]} and was given {want[place]}"
        for place in sorted({*want, *have})
        if have.get(place, 0) != want[place] and place[0] in evidence.living
    ]
    off = await evidence.store.fetch(
        "WITH moved AS (SELECT player_id, item_id, sum(quantity) AS total FROM item_movements GROUP BY 1, 2)"
        " SELECT player_id, item_id, coalesce(quantity, 0) AS quantity, coalesce(total, 0) AS total"
        " FROM inventory FULL JOIN moved USING (player_id, item_id)"
        " WHERE coalesce(quantity, 0) <> coalesce(total, 0)"
    )
    return wrong + [
        f"player {row['player_id']}: {row['quantity']} of {row['item_id']}, {row['total']} moved"
        for row in off
    ]


async def nobody_wears_what_they_do_not_own(evidence: PlayersEvidence) -> list[str]:
    """Neither for game servers nor in the store, once everybody was checked out."""
    rows = await evidence.store.fetch("SELECT player_id, item_id FROM inventory WHERE quantity > 0")
    owned: dict[int, set[str]] = defaultdict(set)
    for row in rows:
        owned[row["player_id"]].add(row["item_id"])
    free_rows = await evidence.store.fetch("SELECT item_id FROM catalogue WHERE on_sale AND price = 0")
    free = {row["item_id"] for row in free_rows}
    stored = await evidence.store.fetch("SELECT player_id, skin, emotes::text AS emotes FROM loadouts")
    wearing: list[tuple[str, int, set[str]]] = [
        ("a game server sees that", player, {skin}) for player, skin in evidence.worn.items()
    ]
    wearing += [
        ("the store says that", row["player_id"], {row["skin"], *_names_in(row["emotes"])})
        for row in stored
        if row["player_id"] in evidence.living
    ]
    return [
        f"{where} player {player} has {item}, which is not theirs"
        for where, player, items in wearing
        for item in sorted(items - owned[player] - free)
    ]


async def progress_is_what_was_played(evidence: PlayersEvidence) -> list[str]:
    """Kills, matches and points are those of the matches, however often and by whom they were told."""
    want = _progress(evidence.operations)
    rows = await evidence.store.fetch("SELECT player_id, xp, kills, matches FROM progression")
    have = {row["player_id"]: (row["xp"], row["kills"], row["matches"]) for row in rows}
    return [
        f"player {player} has (xp, kills, matches) {have.get(player)}, played {want[player]}"
        for player in sorted(want.keys() & evidence.living)
        if have.get(player) != want[player]
    ]


async def tiers_gave_once(evidence: PlayersEvidence) -> list[str]:
    """Whoever reached a tier was given what it gives, once, and nobody else was."""
    rows = await evidence.store.fetch(
        "SELECT player_id, count(*) AS movements, sum(quantity) AS pieces FROM item_movements"
        " WHERE item_id = $1 AND actor = 'service:rewards' GROUP BY 1",
        setting.TIER_ITEM,
    )
    given = {row["player_id"]: (row["movements"], row["pieces"]) for row in rows}
    points = _season_points(evidence)
    return [
        f"player {player} has {points.get(player, 0)} points; (movements, pieces) {given.get(player)}"
        for player in sorted(evidence.living)
        if given.get(player) != ((1, 1) if points.get(player, 0) >= setting.ITEM_TIER_XP else None)
    ]


async def boards_are_the_matches(evidence: PlayersEvidence) -> list[str]:
    """A board is the sums of committed results; equal scores share a rank; the best stand first."""
    sums: dict[str, Counter[int]] = defaultdict(Counter)
    rows = await evidence.store.fetch(
        "SELECT player_id, placement, kills FROM match_history WHERE outcome = 'committed'"
    )
    for row in rows:
        sums["kills"][row["player_id"]] += row["kills"]
        sums["wins"][row["player_id"]] += row["placement"] == 1
        sums["matches"][row["player_id"]] += 1
    wrong = []
    living, not_judged = evidence.living, evidence.deleted | evidence.left_out
    for name, lines in evidence.boards.items():
        want = {player: score for player, score in sums[name].items() if score and player in living}
        have = {
            line.player_id: line.score for line in lines if line.score and line.player_id not in not_judged
        }
        wrong += [
            f"board {name}: player {player} has {have.get(player)}, committed {want.get(player)}"
            for player in sorted(want.keys() | have.keys())
            if want.get(player) != have.get(player)
        ]
        scores = [line.score for line in lines]
        wrong += [
            f"board {name}: rank {line.rank} of player {line.player_id} with {line.score}"
            for line in lines
            if line.rank != 1 + sum(score > line.score for score in scores)
        ]
        if scores != sorted(scores, reverse=True):
            wrong.append(f"board {name} is not in order")
    return wrong


async def no_name_is_there_twice(evidence: PlayersEvidence) -> list[str]:
    """No two accounts have names that are one name in other letters."""
    rows = await evidence.store.fetch("SELECT player_id, display_name FROM accounts ORDER BY player_id")
    holders: dict[str, int] = {}
    wrong = []
    for row in rows:
        if not (name := row["display_name"]):
            continue
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
        if (first := holders.setdefault(folded, row["player_id"])) != row["player_id"]:
            wrong.append(f"players {first} and {row['player_id']} are both called {name!r}")
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name) or "\u202e" in name:
            wrong.append(f"player {row['player_id']} is called {name!r}")
    return wrong


async def who_is_banned_stays_out(evidence: PlayersEvidence) -> list[str]:
    """No login that was sent after a ban was acknowledged, unless an end of a ban may have come between.

    Several operators ban and unban a player side by side. An end took effect before the ban where it was
    answered before that was sent, and after the login where it was asked for after its answer.
    """
    bans, ends = _bans(evidence.operations)
    return [
        f"player {line['player']} logged in while banned, from {line['sent']} to {line['at']} ns"
        for line in select_operations(evidence.operations, "login", "ack")
        if any(
            ban.answered < line["sent"]
            and all(end.answered < ban.asked or line["at"] < end.asked for end in ends[line["player"]])
            for ban in bans[line["player"]]
        )
    ]


async def nobody_is_friends_with_whom_they_block(evidence: PlayersEvidence) -> list[str]:
    """A block ends a friendship, and none is made beside it."""
    rows = await evidence.store.fetch(
        "SELECT player_id, blocked_id FROM blocks JOIN friendships ON state = 'friends'"
        " AND low_id = least(player_id, blocked_id) AND high_id = greatest(player_id, blocked_id)"
    )
    return [f"player {row['player_id']} blocks their friend {row['blocked_id']}" for row in rows]


async def parties_make_sense(evidence: PlayersEvidence) -> list[str]:
    """One leader, who is a member; no more members than seats; nobody in two parties."""
    wrong: list[str] = []
    places: dict[str, list[str]] = defaultdict(list)
    async for key in evidence.cache.scan_iter(match=f"{PARTY}*", count=1000):
        if await evidence.cache.type(key) != "hash":
            continue
        fields = await cast(Any, evidence.cache.hgetall(key))
        members = [name[2:] for name in fields if name.startswith("m:")]
        if not members:
            continue
        if fields.get("leader") not in members:
            wrong.append(f"{key}: its leader {fields.get('leader')} is no member")
        if len(members) > int(fields["limit"]):
            wrong.append(f"{key}: {len(members)} members of at most {fields['limit']}")
        for member in members:
            places[member].append(key)
    wrong += [f"player {member} is in {len(keys)} parties" for member, keys in places.items() if keys[1:]]
    gone = {str(player) for player in evidence.deleted} & places.keys()
    return wrong + [f"player {player} is in a party and was deleted" for player in sorted(gone)]


async def every_act_of_an_operator_is_noted(evidence: PlayersEvidence) -> list[str]:
    """As many notes as acknowledged acts, each under the operator's name."""
    want = Counter(
        (line["player"], line["action"])
        for line in select_operations(evidence.operations, "action", "ack")
        if line["player"] in evidence.living
    )
    rows = await evidence.store.fetch(
        "SELECT player_id, action, count(*) AS acts FROM operator_actions WHERE operator = $1 GROUP BY 1, 2",
        setting.OPERATOR_NAME,
    )
    have = {(row["player_id"], row["action"]): row["acts"] for row in rows}
    return [
        f"player {player}: {want[player, action]} times {action}, {have.get((player, action), 0)} notes"
        for player, action in sorted(want)
        if want[player, action] != have.get((player, action), 0)
    ]


async def nothing_names_who_was_deleted(evidence: PlayersEvidence) -> list[str]:
    """No row of any table but the tombstone, no key and no board has the id of a deleted player.

    What was under way at the deletion is swept a minute later, so this is asked after that.
    """
    deleted = evidence.deleted
    columns = await evidence.store.fetch(
        "SELECT columns.table_name, column_name FROM information_schema.columns"
        " JOIN information_schema.tables USING (table_schema, table_name)"
        " WHERE table_schema = 'public' AND data_type = 'bigint' AND table_type = 'BASE TABLE'"
        " AND table_name <> 'erasures'"
    )
    wrong = []
    for table, column in columns:
        left = await evidence.store.fetch(
            f'SELECT DISTINCT "{column}" AS id FROM "{table}" WHERE "{column}" = ANY($1::bigint[])',
            sorted(deleted),
        )
        wrong += [f"{table}.{column} has the deleted player {row['id']}" for row in left]
    keys = await meta_cache.player_keys(evidence.cache)
    for player in sorted(deleted & keys.keys()):
        kept = await cast(Any, evidence.cache.hgetall(keys[player]))
        if kept.keys() - TOMBSTONE:
            wrong.append(f"the cache has the deleted player {player}: {kept}")
    for name, lines in evidence.boards.items():
        wrong += [
            f"board {name} has the deleted player {one.player_id}"
            for one in lines
            if one.player_id in deleted
        ]
    return wrong


async def repeats_get_the_same_answer(evidence: PlayersEvidence) -> list[str]:
    """Two requests under one key at once are answered alike."""
    return [
        "two requests under one key had two answers"
        for line in select_operations(evidence.operations, "again", "ack")
        if not line["same"]
    ]


async def nothing_fails(evidence: PlayersEvidence) -> list[str]:
    """No request is answered with a fault of the service; one that cannot serve now says 503."""
    return [line["text"] for line in select_operations(evidence.operations, "failure", "refused")]


RULES: tuple[Rule, ...] = (
    wallets_are_what_was_moved,
    wallets_are_the_ledger,
    items_are_what_was_moved,
    nobody_wears_what_they_do_not_own,
    progress_is_what_was_played,
    tiers_gave_once,
    boards_are_the_matches,
    no_name_is_there_twice,
    who_is_banned_stays_out,
    nobody_is_friends_with_whom_they_block,
    parties_make_sense,
    every_act_of_an_operator_is_noted,
    repeats_get_the_same_answer,
    nothing_fails,
)
AT_THE_END: tuple[Rule, ...] = (*RULES, nothing_names_who_was_deleted)


async def audit(evidence: PlayersEvidence, rules: Sequence[Rule] = RULES) -> list[str]:
    """Everything that is wrong, each line with its rule's name."""
    return [f"{rule.__name__}: {line}" for rule in rules for line in await rule(evidence)]


def played(operations: Sequence[Operation]) -> dict[int, list[tuple[int, int, int]]]:
    """Player to (placement, kills, Unix day) of each match that was told."""
    found: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for line in select_operations(operations, "match", "ack"):
        for player, placement, kills in line["results"]:
            found[player].append((placement, kills, line["day"]))
    return found


def _progress(operations: Sequence[Operation]) -> dict[int, tuple[int, int, int]]:
    found = {}
    for player, matches in played(operations).items():
        kills = sum(kills for _, kills, _ in matches)
        wins = sum(placement == 1 for placement, _, _ in matches)
        days = Counter(day for _, _, day in matches)
        full_days = sum(count >= DAY_MATCHES for count in days.values())
        points = KILL_XP * kills + MATCH_XP * len(matches) + WIN_XP * wins
        found[player] = (points + DAY_MATCHES_XP * full_days, kills, len(matches))
    return found


def _season_points(evidence: PlayersEvidence) -> dict[int, int]:
    """Player to points of the season, from what was played; a day's challenge is not of the season."""
    return {
        player: sum(KILL_XP * kills + MATCH_XP + WIN_XP * (place == 1) for place, kills, _ in matches)
        for player, matches in played(evidence.operations).items()
    }


async def _purchases(evidence: PlayersEvidence) -> list[asyncpg.Record]:
    return list(await evidence.store.fetch("SELECT purchase_id::text AS id, paid FROM purchases"))


def _first_refunds(evidence: PlayersEvidence) -> Iterator[Operation]:
    """Each refunded purchase once: a repeat is answered, too."""
    seen: set[str] = set()
    for line in select_operations(evidence.operations, "refund", "ack"):
        if line["purchase"] not in seen:
            seen.add(line["purchase"])
            yield line


def _bans(
    operations: Sequence[Operation],
) -> tuple[dict[int, list[_UnderWay]], dict[int, list[_UnderWay]]]:
    """Player to bans that were answered, and player to their ends."""
    bans: dict[int, list[_UnderWay]] = defaultdict(list)
    for line in select_operations(operations, "ban", "ack"):
        bans[line["player"]].append(_UnderWay(line["sent"], line["at"]))
    ends: dict[int, list[_UnderWay]] = defaultdict(list)
    answered = {line["unban"]: line["at"] for line in select_operations(operations, "unban", "ack")}
    for line in select_operations(operations, "unban", "ask"):
        ends[line["player"]].append(_UnderWay(line["at"], answered.get(line["unban"], math.inf)))
    return bans, ends


def _names_in(emotes: str) -> list[str]:
    return [str(name) for name in json.loads(emotes)]
