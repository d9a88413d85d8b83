"""Backfill by a rule set: whoever comes into a running match suits those who play in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from dedicated_server.fleet.client import AllocatorClient
from launchday.clock import SystemClock
from launchday.settings import Settings
from matchmaker.client import MatchmakerClient
from matchmaker.director.director import Director
from matchmaker.queue.scripts import KEYS
from matchmaker.rules.modes import SearchRules, load_modes
from matchmaker.tickets.seated import read_seats, seats_of
from matchmaker.tickets.ticket import NO_REQUEUE_RECORD
from tests.matchmaker.conftest import WEST_EUROPE, StubFleet, token_of
from tests.matchmaker.director.test_backfill import Office, Server, office_of

pytestmark = pytest.mark.timeout(300)  # where the plans have not been compiled yet, they are

MODE = "duos"
RULES = {
    "ruleLanguageVersion": "1.0",
    "playerAttributes": [{"name": "level", "type": "number"}],
    "teams": [
        {"name": "left", "minPlayers": 2, "maxPlayers": 2},
        {"name": "right", "minPlayers": 2, "maxPlayers": 2},
    ],
    "rules": [{"name": "Alike", "type": "batchDistance", "batchAttribute": "level", "maxDistance": 5}],
}


@pytest.fixture
def mm_overrides(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "duos.json").write_text(json.dumps(RULES))
    return {
        "rule_sets": f"{MODE}:teams_of_five={tmp_path / 'duos.json'}",
        "backfill_until": f"{MODE}=0.5",
        "director_lease_s": 60.0,  # cycles come when the test makes them
    }


@pytest.fixture
def director(cache: Redis, allocator: AllocatorClient, mm_settings: Settings) -> Director:
    return Director(load_modes(mm_settings)[MODE].rules, mm_settings, cache, allocator, clock=SystemClock())


@pytest.fixture
async def office(loaded_kernels: None, director: Director) -> Office:
    return await office_of(director)


async def queue_up(client: MatchmakerClient, levels: dict[int, float]) -> dict[int, str]:
    """Queue players of these levels; returns their tickets."""
    return {
        player: (
            await client.with_token(token_of(player)).create_ticket(
                MODE, WEST_EUROPE, attributes={"level": {"N": level}}
            )
        ).ticket_id
        for player, level in levels.items()
    }


async def seated(cache: Redis, match_id: str) -> dict[int, int]:
    """Who is known to sit where: player by entity."""
    stored: Any = await cache.hgetall(KEYS["seats"] + match_id)
    return {int(entity): (read_seats({entity: seat}) or [])[0].player_id for entity, seat in stored.items()}


async def begun(client: MatchmakerClient, office: Office, fleet: StubFleet, level: float) -> Server:
    """A match of players 1 to 4, of one level, that is played."""
    await queue_up(client, dict.fromkeys(range(1, 5), level))
    await office.cycle()
    [match] = fleet.matches.values()
    assert match["backfill"]["until_s"] == 0.5 * match["match_s"]
    server = Server(client, {}, mode=MODE)
    server.match_id = match["match_id"]
    return server


async def test_who_comes_into_a_running_match_suits_those_who_play_in_it(
    client: MatchmakerClient, office: Office, fleet: StubFleet, cache: Redis
) -> None:
    server = await begun(client, office, fleet, 10.0)
    there = await seated(cache, server.match_id)
    assert sorted(there.values()) == [1, 2, 3, 4]
    assert await cache.ttl(KEYS["seats"] + server.match_id) > 0
    server.slots = {2: 1}
    await server.announce(excluded=[there[2]])
    assert 2 not in await seated(cache, server.match_id)
    tickets = await queue_up(client, {5: 40.0, 6: 14.0})
    await office.cycle()
    [coming] = await server.announce(excluded=[there[2]])
    assert [(player.player_id, player.entity) for player in coming.players] == [(6, 2)]
    await server.seat(coming)
    await office.cycle()
    view = await client.with_token(token_of(6)).read_ticket(tickets[6])
    assert view.assignment is not None
    assert view.assignment.match_id == server.match_id
    assert (await seated(cache, server.match_id))[2] == 6
    server.slots = {1: 0}  # of the two who wait then, one suits the first players, but not the newcomer
    await queue_up(client, {7: 8.0, 8: 11.0})
    await server.announce(excluded=[there[2], there[1]])
    await office.cycle()
    proposals = await server.announce(excluded=[there[2], there[1]])
    assert [p.player_id for each in proposals if each.state == "offered" for p in each.players] == [8]


async def test_another_director_knows_who_plays(
    client: MatchmakerClient,
    office: Office,
    fleet: StubFleet,
    cache: Redis,
    allocator: AllocatorClient,
    mm_settings: Settings,
) -> None:
    server = await begun(client, office, fleet, 10.0)
    server.slots = {2: 1}
    await server.announce()
    await queue_up(client, {5: 40.0, 6: 14.0})

    def make(settings: Settings) -> Director:
        return Director(load_modes(settings)[MODE].rules, settings, cache, allocator, clock=SystemClock())

    after = await office.next(make, mm_settings)
    await after.cycle()
    [coming] = await server.announce()
    assert [player.player_id for player in coming.players] == [6]


async def test_a_match_of_whose_players_something_is_not_known_takes_nobody_in(
    client: MatchmakerClient, office: Office, fleet: StubFleet, cache: Redis
) -> None:
    server = await begun(client, office, fleet, 10.0)
    server.slots = {2: 1}
    await queue_up(client, {6: 14.0})
    for seat in (b"", b"damaged"):
        await cache.hset(KEYS["seats"] + server.match_id, "0", seat)
        await server.announce()
        await office.cycle()
        assert await server.announce() == []
    await cache.delete(KEYS["seats"] + server.match_id)
    await server.announce()
    await office.cycle()
    assert await server.announce() == []


def test_a_rule_set_fills_running_matches_where_the_setting_says_so(mm_settings: Settings) -> None:
    rules = load_modes(mm_settings)[MODE].rules
    assert isinstance(rules, SearchRules)
    assert rules.backfill_until == 0.5
    for changed in ({"backfill_until": ""}, {"accept_s": 5.0}):
        assert load_modes(mm_settings.model_copy(update=changed))[MODE].rules.backfill_until == 0.0


def test_a_player_whose_ticket_is_not_there_any_more_has_an_empty_seat() -> None:
    seats = seats_of(NO_REQUEUE_RECORD, ["eu"], [7], [3], [1])
    assert seats == [(3, "")]
    assert read_seats({b"3": b""}) is None
    assert read_seats({}) is None
