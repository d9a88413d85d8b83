"""The measurements of two regions: an ordinary moment, the store cut off from one, one lost for good."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import numpy as np

from loadtest.bench.engines.measuring import (
    AFTER_S,
    BEFORE_S,
    NORMAL,
    WINDOW_S,
    Audit,
    Load,
    until_normal,
)
from loadtest.bench.engines.regions.books import audit, drained, since
from loadtest.bench.engines.regions.matches import flooded, party_across
from loadtest.bench.engines.regions.play import (
    LEASE_S,
    Player,
    Playing,
    Side,
    Spending,
    all_players,
)
from loadtest.bench.engines.regions.world import World
from loadtest.bench.harness.statistics import percentiles
from loadtest.errors import BenchError
from meta_service.client import MetaClient, MetaUnavailableError
from meta_service.store import lost_region

PLAYING, SPENDING = 4, 2  # requests at the same time, of each region
NORMAL_S = 8.0
CUT_S = 60.0
# What a region accepts is in the store within this, with the store 100 ms away: the batch before, then its
# own, whose statements are a round trip each.
WRITTEN_S = 3.0
REFUSED_S = 6.0  # a purchase while the store is cut off is answered within this
STEADY_S = 2.0
LOOK_S = 0.2
FREE_S = 15.0  # after the lease of a match that was lost

_LEFT_OPEN = """
SELECT count(*) FROM pg_stat_activity
WHERE state = 'idle in transaction' AND state_change < now() - interval '15 s'
"""

Step = Callable[[], Awaitable[float | None]]


async def normal(world: World, sides: tuple[Side, Side]) -> dict[str, Any]:
    """Both regions with the store 100 ms away: real matches, a party of both, then the load."""
    west, east = (side.region for side in sides)
    played = await asyncio.gather(*(flooded(side.region) for side in sides))
    apart = await party_across(west, east)
    for side in sides:
        side.told.times_s.clear()
    async with _loads(sides):
        await asyncio.sleep(NORMAL_S)
        lags = [(await side.region.client.counters()).writebehind_lag_ms for side in sides]
    return {
        "bench": "engines",
        "engine": "two regions",
        "figure": "normal",
        "built_s": round(world.built_s, 1),
        **{
            f"{kind}_p95_ms": {
                side.region.name: percentiles(1e3 * np.array(side.told.times_s[kind]), 95)["p95"]
                for side in sides
            }
            for kind in ("purchase", "grant", "login", "loadout", "match")
        },
        "writebehind_lag_ms": {side.region.name: lag for side, lag in zip(sides, lags, strict=True)},
        "real_matches": {side.region.name: found for side, found in zip(sides, played, strict=True)},
        "party_across": apart or "one match",
        "passed": not apart and not any(found["players_lost"] or not found["matches"] for found in played),
        "drained_s": round(await drained([side.region for side in sides]), 2),
    }


def _p95_ms(times_s: list[float]) -> float:
    return percentiles(1e3 * np.array(times_s), 95)["p95"]


async def cut_off(world: World, sides: tuple[Side, Side], seconds: float) -> dict[str, Any]:
    """The store is cut off from the first region; a player of it logs in in the other one meanwhile."""
    west, east = (side.region for side in sides)
    traveller = Player("a-traveller-device", await west.client.login_device("a-traveller-device"))
    await west.client.set_loadout(traveller.session.session_token, "scout")
    await drained([west, east])
    await east.client.profile(traveller.session.session_token)
    for side in sides:
        side.told.refused_s.clear()

    async def inject() -> float | None:
        west.namespace.cut_off(world.store_port)
        await asyncio.sleep(seconds / 2)
        await west.client.set_loadout(traveller.session.session_token, "recruit")
        traveller.session = await east.client.login_device(traveller.device)
        await east.client.set_loadout(traveller.session.session_token, "scout")
        return None

    async def heal() -> None:
        west.namespace.heal()

    line = await _measure(world, sides, "store cut off from a region", inject, heal, seconds, _all_alive)
    refused = [time_s for side in sides for time_s in side.told.refused_s]
    line["refused_s"] = round(max(refused, default=0.0), 2)
    skins = {(await side.region.client.profile(traveller.session.session_token)).skin for side in sides}
    line["traveller_converged"] = skins == {"scout"}
    line["balanced"] &= line["traveller_converged"] and line["refused_s"] <= REFUSED_S
    return line


async def lost(world: World, sides: tuple[Side, Side]) -> dict[str, Any]:
    """The first region is killed; its players come to the other one, where they play on."""
    west, east = sides
    in_match = [
        Player(device, await west.region.client.login_device(device))
        for device in ("a-player-of-a-lost-match", "another-of-a-lost-match")
    ]
    killed_at = moved_s = free_s = 0.0
    left_open, refusals = 0, set[str]()

    async def inject() -> float | None:
        nonlocal killed_at, moved_s
        match = uuid4()
        await west.region.client.check_out(
            match, "west-europe-lost", west.region.name, LEASE_S, [player.player_id for player in in_match]
        )
        await asyncio.sleep(WRITTEN_S)
        killed_at = time.monotonic()
        await asyncio.to_thread(west.region.lose)
        for subject in (west.playing.subject, west.spending.subject):
            assert isinstance(subject, Playing | Spending)
            subject.client = east.region.client
        moving = [*all_players((west,)), *in_match]
        sessions = await asyncio.gather(*(_logged_in(east.region.client, one.device) for one in moving))
        for player, session in zip(moving, sessions, strict=True):
            player.session = session
        moved_s = time.monotonic() - killed_at
        return killed_at

    async def heal() -> None:
        nonlocal free_s, refusals
        refusals = await _refusals(east.region.client, in_match)
        async with world.in_store() as store:
            await lost_region.declare(store, west.region.name, time.time())
        free_s = await _free_s(east.region.client, in_match, killed_at)

    async def found(world: World, sides: tuple[Side, Side]) -> Audit:
        may = since(west.told, all_players((west,)), killed_at - WRITTEN_S)
        async with world.in_store() as store:
            nonlocal left_open
            left_open = await store.fetchval(_LEFT_OPEN)
        strict = await audit(world, sides, [east.region])
        lenient = await audit(world, sides, [east.region], may)
        bound = f"of what the lost region accepted in its last {WRITTEN_S:g} s: {strict.lost - lenient.lost}"
        return Audit(lenient.lost, lenient.doubled, lenient.balanced, bound)

    line = await _measure(world, sides, "region lost for good", inject, heal, 0.0, found)
    line |= {"moved_s": round(moved_s, 2), "held_first": "checked-out" in refusals}
    line |= {"free_s": round(free_s, 2), "left_open": left_open}
    return line


async def _measure(
    world: World,
    sides: tuple[Side, Side],
    fault: str,
    inject: Step,
    heal: Callable[[], Awaitable[None]],
    lasts_s: float,
    found: Callable[[World, tuple[Side, Side]], Awaitable[Audit]],
) -> dict[str, Any]:
    """Measure a fault under the load of both regions; the line is that of `measuring.measure`.

    ``inject`` returns the monotonic second from which the recovery counts, or None: from the healing.
    """
    async with _loads(sides) as loads:
        await asyncio.sleep(BEFORE_S)
        began = time.monotonic()
        usual = {name: load.rate(began - BEFORE_S * 0.8, began) for name, load in loads.items()}
        counts_from = await inject()
        await asyncio.sleep(max(0.0, began + lasts_s - time.monotonic()))
        healed = time.monotonic()
        await heal()
        for name, load in loads.items():
            await until_normal(load, usual[name], healed)
        ended = time.monotonic()
        await asyncio.sleep(AFTER_S)
    counts_from = healed if counts_from is None else counts_from
    recoveries = {
        name: round(_recovered_s(load, usual[name], counts_from, ended + AFTER_S), 2)
        for name, load in loads.items()
    }
    seen = await found(world, sides)
    errors: dict[str, int] = {}
    for load in loads.values():
        for kind, count in load.errors.items():
            errors[kind] = errors.get(kind, 0) + count
    return {
        "bench": "engines",
        "engine": "two regions",
        "fault": fault,
        "requests_per_s": {
            "before": round(sum(usual.values()), 1),
            "during": round(sum(load.rate(began, healed) for load in loads.values()), 1),
            "after": round(sum(load.rate(ended, ended + AFTER_S) for load in loads.values()), 1),
            **{
                name: [
                    round(usual[name], 1),
                    round(load.rate(began, healed), 1),
                    round(load.rate(ended, ended + AFTER_S), 1),
                ]
                for name, load in loads.items()
            },
        },
        "recovery_s": max(recoveries.values()),
        "recoveries_s": recoveries,
        "acknowledged": sum(len(load.acknowledged) for load in loads.values()),
        "failed": sum(errors.values()),
        "errors": dict(sorted(errors.items(), key=lambda item: -item[1])[:6]),
        "lost": seen.lost,
        "doubled": seen.doubled,
        "balanced": seen.balanced,
        "bound": seen.bound,
    }


def _recovered_s(load: Load, usual: float, since_s: float, ended: float) -> float:
    """Seconds from a moment until `STEADY_S` begin in which `NORMAL` of what was usual are answered."""
    starts = [since_s + step * WINDOW_S for step in range(int((ended - since_s) / WINDOW_S) + 1)]
    good = [at for at in starts if load.rate(at, at + STEADY_S) >= NORMAL * usual]
    return (good[0] if good else ended) - since_s


@contextlib.asynccontextmanager
async def _loads(sides: tuple[Side, Side]) -> AsyncIterator[dict[str, Load]]:
    """Run the load of both regions; give each by its name."""
    loads: dict[str, Load] = {}
    async with contextlib.AsyncExitStack() as stack:
        for side in sides:
            side.begin()
            for what, load, workers in (
                ("play", side.playing, PLAYING),
                ("money", side.spending, SPENDING),
            ):
                loads[f"{side.region.name} {what}"] = load
                await stack.enter_async_context(load.running(workers))
        yield loads


async def _all_alive(world: World, sides: tuple[Side, Side]) -> Audit:
    return await audit(world, sides, [side.region for side in sides])


async def _logged_in(client: MetaClient, device: str) -> Any:
    while True:
        try:
            return await client.login_device(device)
        except MetaUnavailableError:
            await asyncio.sleep(LOOK_S)


async def _refusals(client: MetaClient, players: list[Player]) -> set[str]:
    ids = [player.player_id for player in players]
    out = await client.check_out(uuid4(), "east-us-stub", "east-us", LEASE_S, ids)
    return {refusal.reason for refusal in out.refused}


async def _free_s(client: MetaClient, players: list[Player], since_s: float) -> float:
    """Seconds until players of a match that was lost can play again. Raises BenchError."""
    ids = [player.player_id for player in players]
    until = since_s + LEASE_S + FREE_S
    while time.monotonic() < until:
        held = (await client.skills("battle_royale", ids)).held
        if not held:
            return time.monotonic() - since_s
        await asyncio.sleep(LOOK_S)
    raise BenchError(f"players are held {LEASE_S + FREE_S:g} s after their region was lost")
