"""A live queue by a rule set that the fast kernel has no numbers for: the real API, cache and director."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from dedicated_server.fleet.client import AllocatorClient
from launchday.settings import Settings
from matchmaker.client import CreatedTicket, MatchmakerClient
from matchmaker.director import Director
from matchmaker.modes import load_modes
from matchmaker.salvage import Salvage
from matchmaker.scripts import Scripts
from matchmaker.warm_up import warm_up
from tests.matchmaker.conftest import (
    EAST_US,
    WEST_EUROPE,
    StubFleet,
    StubSkills,
    running,
    token_of,
)
from tests.matchmaker.test_salvage import TellingFleet

pytestmark = pytest.mark.timeout(300)  # where the search has not been compiled yet, it is

MODE = "hunt"
HUNT: dict[str, Any] = {
    "name": "hunt",
    "ruleLanguageVersion": "1.0",
    "playerAttributes": [
        {"name": "skill", "type": "number", "default": 25},
        {"name": "level", "type": "number"},
        {"name": "variant", "type": "string", "default": "night"},
        {"name": "maps", "type": "string_list", "default": ["harbour"]},
        {"name": "roles", "type": "string_number_map", "default": {"tracker": 1}},
    ],
    "algorithm": {"strategy": "exhaustiveSearch", "expansionAgeSelection": "oldest"},
    "teams": [
        {"name": "hunters", "minPlayers": 2, "maxPlayers": 3},
        {"name": "beast", "minPlayers": 1, "maxPlayers": 1},
    ],
    "rules": [
        {"name": "LikeLevel", "type": "batchDistance", "batchAttribute": "level", "maxDistance": 5},
        {"name": "CommonMap", "type": "collection", "operation": "intersection", "minCount": 1,
         "measurements": ["flatten(teams[*].players.attributes[maps])"]},
        {"name": "SameVariant", "type": "comparison", "operation": "=",
         "measurements": ["flatten(teams[*].players.attributes[variant])"]},
        {"name": "StrongBeast", "type": "comparison", "operation": ">=",
         "measurements": ["avg(teams[beast].players.attributes[skill])"], "referenceValue": 30},
        {"name": "Near", "type": "latency", "maxLatency": 60},
        {"name": "Trackers", "type": "absoluteSort", "sortAttribute": "roles", "mapKey": "maxValue",
         "sortDirection": "descending"},
    ],
    "expansions": [
        {"target": "teams[hunters].minPlayers", "steps": [{"waitTimeSeconds": 100, "value": 1}]},
        {"target": "rules[LikeLevel].maxDistance", "steps": [{"waitTimeSeconds": 50, "value": 40}]},
    ],
}  # fmt: skip
ATTRIBUTES = {"level": {"N": 10}, "variant": {"S": "day"}, "maps": {"SL": ["harbour", "mill"]}}


@pytest.fixture(scope="module")
def compiled_search() -> None:
    """Compile before anything waits."""
    warm_up(searching=True)


@pytest.fixture
def rules() -> dict[str, Any]:
    """The mode's rule set; parametrize it."""
    return HUNT


@pytest.fixture
def mm_overrides(tmp_path: Path, rules: dict[str, Any]) -> dict[str, Any]:
    path = tmp_path / "hunt.json"
    path.write_text(json.dumps(rules))
    return {"rule_sets": f"hunt:teams_of_five={path}"}


@pytest.fixture
def director(
    compiled_search: None,
    compiled_kernel: None,
    cache: Redis,
    allocator: AllocatorClient,
    mm_settings: Settings,
) -> Director:
    return one_more(cache, allocator, mm_settings)


def one_more(cache: Redis, allocator: AllocatorClient, settings: Settings, after_s: float = 0.0) -> Director:
    """A director of the mode whose clock is ``after_s`` ahead."""
    rules = load_modes(settings)[MODE].rules
    rng = np.random.default_rng(7)
    return Director(rules, settings, cache, allocator, rng=rng, clock=lambda: time.time() + after_s)


async def hunt(
    client: MatchmakerClient, player: int, latencies: dict[str, float] = WEST_EUROPE, **attributes: Any
) -> CreatedTicket:
    wish = {**ATTRIBUTES, **attributes}
    return await client.with_token(token_of(player)).create_ticket(MODE, latencies, attributes=wish)


async def test_a_rule_set_of_collections_comparisons_and_distances_forms_its_matches(
    client: MatchmakerClient, fleet: StubFleet, skills: StubSkills, director: Director, mm_settings: Settings
) -> None:
    skills.means = {4: 35.0, 8: 36.0}
    for player in range(1, 4):
        await hunt(client, player)
    await hunt(client, 9, maps={"SL": ["desert"]})  # no map in common with the others
    await hunt(client, 10, level={"N": 30})  # of another level, as yet
    await hunt(client, 11, EAST_US)
    made = await hunt(client, 4)
    async with running(director):
        status = await client.with_token(token_of(4)).wait_for_end(made.ticket_id, 50)
    assert status.assignment is not None
    [(key, told)] = fleet.matches.items()
    assert (status.assignment.match_id, told["mode"], told["region"]) == (key, "teams_of_five", "west-europe")
    assert {(int(seat["player_id"]), seat["team"]) for seat in told["players"]} == {
        (1, 0),
        (2, 0),
        (3, 0),
        (4, 1),
    }
    books = await client.books()
    assert (books["queued"], books["matched"], books["searching"]) == (7, 4, 3)


async def test_players_of_a_lost_match_are_in_the_queue_again_with_what_they_brought(
    client: MatchmakerClient,
    fleet: StubFleet,
    skills: StubSkills,
    scripts: Scripts,
    cache: Redis,
    director: Director,
    allocator: AllocatorClient,
    mm_settings: Settings,
) -> None:
    skills.means = {4: 35.0}
    made = {player: await hunt(client, player) for player in range(1, 5)}
    async with running(director):
        for player, ticket in made.items():
            await client.with_token(token_of(player)).wait_for_end(ticket.ticket_id, 50)
    [lost] = fleet.matches
    await Salvage(cache, scripts, TellingFleet(), ticket_ttl_s=300.0, clock=time.time).salvage(lost)
    again: dict[int, str] = {}
    for player, ticket in made.items():
        reader = client.with_token(token_of(player))
        new = (await reader.read_ticket(ticket.ticket_id)).requeued_as
        assert new is not None
        await reader.read_ticket(new)
        again[player] = new
    successor = one_more(cache, allocator, mm_settings)
    successor._rng = np.random.default_rng(8)  # no two with the same ids
    async with running(successor):
        ends = [
            await client.with_token(token_of(player)).wait_for_end(new, 50) for player, new in again.items()
        ]
    assert {end.state for end in ends} == {"assigned"}
    assert [len(told["players"]) for told in fleet.matches.values()] == [4, 4]
