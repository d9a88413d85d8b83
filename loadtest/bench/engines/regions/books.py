"""What has become of what was acknowledged: the store's tables against what players were told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from loadtest.bench.engines.measuring import Audit
from loadtest.bench.engines.regions.play import Acknowledged, Player, Side, all_players
from loadtest.bench.engines.regions.world import Region, World
from loadtest.bench.harness.store_books import WALLETS_OFF
from loadtest.errors import BenchError
from meta_service.client import MetaClient, MetaRefusedError, MetaUnavailableError
from meta_service.messages.players import PlayerLookup

CONVERGED_S = 30.0
LOOK_S = 0.2
_SUMS = """
SELECT count(*) FROM (
    SELECT 1 FROM ledger GROUP BY transfer_id, currency HAVING sum(amount) <> 0
) AS odd
"""


async def audit(
    world: World,
    sides: Sequence[Side],
    alive: Sequence[Region],
    may_lose: frozenset[tuple[str, int]] = frozenset(),
) -> Audit:
    """Wait until all has settled, and compare.

    Args:
        world: the store.
        sides: the players of both regions.
        alive: regions that must agree with the store.
        may_lose: what a lost cache alone had: ("loadout", player) and ("result", player).
    """
    for side in sides:
        await side_settled(side, alive[0].client if side.region not in alive else side.region.client)
    await drained(alive)
    apart = await _apart(world, alive, all_players(tuple(sides)))
    async with world.in_store() as store:
        lost = doubled = 0
        balanced = not await store.fetchval(_SUMS) and not await store.fetchval(WALLETS_OFF) and not apart
        for told in (side.told for side in sides):
            money = await store.fetch(
                "SELECT player_id, balance, (SELECT count(*) FROM purchases WHERE purchases.player_id ="
                " wallets.player_id) AS bought FROM wallets WHERE player_id = ANY($1::bigint[])",
                list(told.balances),
            )
            for row in money:
                missing = told.purchases[row["player_id"]] - row["bought"]
                lost, doubled = lost + max(missing, 0), doubled + max(-missing, 0)
                balanced &= row["balance"] == told.balances[row["player_id"]]
            results = await store.fetch(
                "SELECT match_id, player_id, count(*) FILTER (WHERE outcome = 'committed') AS taken"
                " FROM match_history WHERE match_id = ANY($1::uuid[]) GROUP BY 1, 2",
                [match for match, _ in told.results],
            )
            taken = {(row["match_id"], row["player_id"]): row["taken"] for row in results}
            for result in told.results:
                if ("result", result[1]) not in may_lose:
                    lost += not taken.get(result)
                doubled += taken.get(result, 0) > 1
        stored = dict(await store.fetch("SELECT player_id, version FROM loadouts"))
        for player in all_players(tuple(sides)):
            if ("loadout", player.player_id) not in may_lose:
                lost += stored.get(player.player_id, 0) < player.version
        matches = await store.fetchval("SELECT count(*) FROM match_history WHERE outcome = 'committed'")
        balanced &= matches == await store.fetchval("SELECT coalesce(sum(matches), 0) FROM season_records")
    return Audit(
        lost, doubled, balanced, f"{apart} players differ between regions and store" if apart else ""
    )


async def side_settled(side: Side, client: MetaClient) -> None:
    """Ask again for what was not answered, until it is. Raises BenchError."""
    until = time.monotonic() + CONVERGED_S
    while True:
        try:
            await side.spending.subject.settle(client)  # type: ignore[attr-defined]
            return
        except MetaUnavailableError as error:
            if time.monotonic() > until:
                raise BenchError(f"purchases are not answered after {CONVERGED_S:g} s: {error}") from error
            await asyncio.sleep(LOOK_S)


async def drained(regions: Sequence[Region]) -> float:
    """Wait until nothing waits for the store; return the seconds. Raises BenchError."""
    began = time.monotonic()
    for region in regions:
        while True:
            try:
                if not (await region.client.counters()).writebehind_depth:
                    break
            except MetaUnavailableError:
                pass
            if time.monotonic() > began + CONVERGED_S:
                raise BenchError(f"changes of {region.name} are not stored after {CONVERGED_S:g} s")
            await asyncio.sleep(LOOK_S)
    return time.monotonic() - began


async def _apart(world: World, regions: Sequence[Region], players: Sequence[Player]) -> int:
    """How many players another region than the store shows, once all had time to hear of each other."""
    until = time.monotonic() + CONVERGED_S
    while True:
        async with world.in_store() as store:
            rows = await store.fetch("SELECT player_id, skin, version FROM loadouts")
        stored = {row["player_id"]: (row["skin"], row["version"]) for row in rows}
        apart = 0
        for region in regions:
            for player in players:
                shown = await _shown(region, player.player_id)
                apart += shown is not None and shown != stored.get(player.player_id, shown)
        if not apart or time.monotonic() > until:
            return apart
        await asyncio.sleep(LOOK_S)


async def _shown(region: Region, player_id: int) -> tuple[str, int] | None:
    """What a region's cache has; None where it does not know the player."""
    path = f"/v1/internal/players/{player_id}/lease"
    try:
        found = await region.client.call("GET", path, PlayerLookup, region.client.token)
    except MetaRefusedError:
        return None
    return found.skin, found.version


def since(told: Acknowledged, players: Sequence[Player], at: float) -> frozenset[tuple[str, int]]:
    """What was acknowledged after a moment (monotonic seconds), in the form of `audit`'s ``may_lose``."""
    results = {("result", player_id) for (_, player_id), when in told.results.items() if when > at}
    loadouts = {("loadout", one.player_id) for one in players if any(when > at for when, _ in one.versions)}
    return frozenset(results | loadouts)
