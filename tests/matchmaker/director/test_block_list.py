"""Where the rule set says so, nobody meets whom they block: the meta service says whom, with the skills."""

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
from matchmaker.rules.attributes import with_blocked
from matchmaker.rules.modes import load_modes
from tests.matchmaker.conftest import WEST_EUROPE, StubSkills, running, token_of

pytestmark = pytest.mark.timeout(300)  # where the search has not been compiled yet, it is

MODE = "duel"
RULES: dict[str, Any] = {
    "name": MODE,
    "ruleLanguageVersion": "1.0",
    "playerAttributes": [{"name": "BlockList", "type": "string_list"}],
    "teams": [{"name": name, "minPlayers": 1, "maxPlayers": 1} for name in ("one", "two")],
    "rules": [
        {
            "name": "NobodyWhoIsBlocked",
            "type": "collection",
            "operation": "reference_intersection_count",
            "measurements": ["flatten(teams[*].players.attributes[BlockList])"],
            "referenceValue": "flatten(teams[*].players[playerId])",
            "maxCount": 0,
        }
    ],
}  # fmt: skip


@pytest.fixture
def mm_overrides(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "duel.json").write_text(json.dumps(RULES))
    return {"rule_sets": f"{MODE}:teams_of_five={tmp_path / 'duel.json'}"}


async def test_nobody_meets_whom_they_block_or_who_blocks_them(
    client: MatchmakerClient,
    skills: StubSkills,
    mm_settings: Settings,
    cache: Redis,
    allocator: AllocatorClient,
) -> None:
    skills.blocked = {1: [2, 3]}
    made = {}
    for player in (1, 2, 3, 4):
        own = client.with_token(token_of(player))
        brought = {"BlockList": {"SL": ["3"]}} if player == 2 else None
        made[player] = await own.create_ticket(MODE, WEST_EUROPE, attributes=brought)
    director = Director(
        load_modes(mm_settings)[MODE].rules, mm_settings, cache, allocator, clock=SystemClock()
    )
    async with running(director):
        # 1 plays with nobody but 4; then 2, who brought a list of their own, and 3 are left.
        ends = {
            player: await client.with_token(token_of(player)).wait_for_end(made[player].ticket_id, 50)
            for player in (1, 4)
        }
        match = {end.assignment.match_id for end in ends.values() if end.assignment}
        assert len(match) == 1
        for player in (2, 3):
            view = await client.with_token(token_of(player)).read_ticket(made[player].ticket_id)
            assert view.state == "searching"


def test_a_blocked_player_is_named_once_and_a_list_has_as_many_as_it_may() -> None:
    stored = json.loads(with_blocked('{"BlockList":{"SL":["7","own"]},"map":{"S":"m"}}', [7, 8]))
    assert stored == {"BlockList": {"SL": ["7", "8", "own"]}, "map": {"S": "m"}}
    assert json.loads(with_blocked("", range(1, 200)))["BlockList"]["SL"] == [str(n) for n in range(1, 101)]
