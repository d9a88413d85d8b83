"""A live queue by a rule set that the fast kernel has no numbers for: the real API, cache and director."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from dedicated_server.fleet.client import AllocatorClient
from launchday.clock import ManualClock, SystemClock
from launchday.settings import Settings
from matchmaker.api.ticket_writer import TicketWriter
from matchmaker.client import CreatedTicket, MatchmakerClient, TicketRefusedError
from matchmaker.director.director import Director
from matchmaker.director.match_loop import MatchLoop
from matchmaker.director.requeue import Requeuer
from matchmaker.plans.matching import match
from matchmaker.queue.scripts import KEYS, Scripts
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.ticket_file import read_tickets
from matchmaker.rules.modes import load_modes
from matchmaker.tickets.ticket import Ticket
from tests.matchmaker.conftest import EAST_US, WEST_EUROPE, StubFleet, StubSkills, claim_of, running, token_of
from tests.matchmaker.director.test_requeue import TellingFleet

pytestmark = pytest.mark.timeout(300)  # where the search has not been compiled yet, it is

MODE = "hunt"
EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
HUNT = EXAMPLES / "hunt.json"
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "level": {"N": 10},
    "variant": {"S": "day"},
    "maps": {"SL": ["harbour", "mill"]},
}
NOW = 1_800_000_000.0

Waiting = list[dict[str, Any]]  # tickets in FlexMatch's shape


@pytest.fixture
def mm_overrides() -> dict[str, Any]:
    return {"rule_sets": f"hunt:teams_of_five={HUNT}"}


@pytest.fixture
def director(cache: Redis, allocator: AllocatorClient, mm_settings: Settings) -> Director:
    rules = load_modes(mm_settings)[MODE].rules
    return Director(rules, mm_settings, cache, allocator, clock=SystemClock())


class Office:
    """The queue at an instant that the test chooses: writes tickets, and runs cycles of one director after
    another.
    """

    def __init__(
        self,
        settings: Settings,
        cache: Redis,
        allocator: AllocatorClient,
        fleet: StubFleet,
        skills: StubSkills,
    ) -> None:
        self.clock = ManualClock(NOW, seed=7)
        self.settings, self.cache, self.fleet, self.skills = settings, cache, fleet, skills
        self.mode = load_modes(settings)[MODE]
        self.scripts = Scripts(cache, settings.ticket_retention_s, self.clock)
        self.director = Director(self.mode.rules, settings, cache, allocator, clock=self.clock)

    async def write(self, waiting: Waiting) -> None:
        """Queue tickets through the writer; their ids become the uuids of the players'."""
        writer = TicketWriter(self.scripts, self.skills, self.settings.region_names, {MODE: "teams_of_five"})
        for each in waiting:
            players = each["Players"]
            for player in players:
                attributes = dict(player["PlayerAttributes"])
                number = int(player["PlayerId"])
                self.skills.means[number] = attributes.pop("skill")["N"]
                latency = [player["LatencyInMs"].get(r, np.inf) for r in self.settings.region_names]
                ticket = Ticket(
                    uuid.UUID(int=number),
                    number,
                    NOW + each["StartTime"],
                    NOW + 1e6,
                    "pc",
                    True,
                    "",
                    tuple(latency),
                    each["TicketId"] if len(players) > 1 else "",
                    len(players),
                    self.mode.attributes.check(attributes),
                )
                task = writer.submit(MODE, ticket)
                assert (await _drained(writer, task)).outcome == "created"

    async def takes_over(self) -> MatchLoop:
        """Another director in office, after it has recovered."""
        await self.cache.delete(KEYS["lease"] + MODE)
        fence = await self.director._lease.acquire()
        assert fence is not None
        match_loop = self.director.match_loop(fence)
        async with asyncio.TaskGroup() as placements:
            await match_loop.recover(placements)
        return match_loop

    async def cycle(self, match_loop: MatchLoop, after_s: float) -> list[list[set[str]]]:
        """One cycle; returns the teams of the matches that have got servers in it."""
        self.clock.step_wall(NOW + after_s - self.clock.now())
        before = set(self.fleet.matches)
        async with asyncio.TaskGroup() as placements:
            await match_loop.cycle(placements)
        return [_teams(told) for key, told in self.fleet.matches.items() if key not in before]


@pytest.fixture
def office(
    mm_settings: Settings,
    cache: Redis,
    allocator: AllocatorClient,
    fleet: StubFleet,
    skills: StubSkills,
) -> Office:
    return Office(mm_settings, cache, allocator, fleet, skills)


async def _drained(writer: TicketWriter, submitted: Any) -> Any:
    task = asyncio.ensure_future(submitted)
    await asyncio.sleep(0)
    await writer.drain()
    return await task


def _teams(told: dict[str, Any]) -> list[set[str]]:
    teams = sorted({seat["team"] for seat in told["players"]})
    return [{seat["player_id"] for seat in told["players"] if seat["team"] == team} for team in teams]


def tried(waiting: Waiting, now: float) -> list[list[set[str]]]:
    """What ``launchday match --live`` makes of the same tickets."""
    rules = read_rule_set(HUNT.read_text())
    renamed = [
        {**each, "TicketId": str(uuid.UUID(int=int(each["Players"][0]["PlayerId"])))} for each in waiting
    ]
    outcome = match(rules, read_tickets(json.dumps(renamed), rules), now, live=True)
    return [[set(players) for players in each.teams.values()] for each in outcome.matches]


def crowd(count: int, seed: int) -> Waiting:
    """Tickets of one to three players, of two coasts, with all kinds of attributes."""
    rng = np.random.default_rng(seed)
    waiting: Waiting = []
    player = 1
    for number in range(count):
        near = int(rng.integers(10, 50))
        home = bool(rng.random() < 0.7)
        variant = str(rng.choice(["day", "night"]))
        players = []
        for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
            attributes: dict[str, Any] = {
                "skill": {"N": float(rng.integers(15, 40))},
                "level": {"N": float(rng.integers(1, 25))},
                "variant": {"S": variant},
            }
            if rng.random() < 0.8:
                attributes["maps"] = {
                    "SL": rng.choice(["harbour", "mill", "moor"], 2, replace=False).tolist()
                }
            if rng.random() < 0.5:
                attributes["roles"] = {
                    "SDM": {str(rng.choice(["tracker", "healer"])): float(rng.integers(1, 9))}
                }
            latency = {"west-europe": near, "east-us": near + 70} if home else {"east-us": near}
            players.append({"PlayerId": str(player), "PlayerAttributes": attributes, "LatencyInMs": latency})
            player += 1
        waiting.append(
            {"TicketId": f"party-{number}", "StartTime": int(rng.integers(0, 90)), "Players": players}
        )
    return waiting


async def hunt(
    client: MatchmakerClient, player: int, latencies: dict[str, float] = WEST_EUROPE, **attributes: Any
) -> CreatedTicket:
    wish = {**ATTRIBUTES, **attributes}
    return await client.with_token(token_of(player)).create_ticket(MODE, latencies, attributes=wish)


async def test_a_rule_set_of_collections_comparisons_and_distances_forms_its_matches(
    client: MatchmakerClient, fleet: StubFleet, skills: StubSkills, director: Director
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
    assert status.assignment.mode == "teams_of_five"  # the map that the client predicts on, not the queue
    assert _teams(told) == [{"1", "2", "3"}, {"4"}]
    counters = await client.counters()
    assert (counters["queued"], counters["matched"], counters["searching"]) == (7, 4, 3)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_queue_forms_the_matches_that_launchday_match_forms_of_the_same_tickets(
    office: Office, seed: int
) -> None:
    waiting = crowd(25, seed)
    await office.write(waiting)
    match_loop = await office.takes_over()
    found = await office.cycle(match_loop, 90.0)
    assert len(found) > 1
    assert sorted(map(sorted, map(_flat, found))) == sorted(map(sorted, map(_flat, tried(waiting, 90.0))))
    altered = json.loads(json.dumps(waiting))
    for each in altered:  # the comparison sees a queue that lost an attribute on its way
        for player in each["Players"]:
            for name in ("maps", "variant"):
                player["PlayerAttributes"].pop(name, None)
    assert sorted(map(sorted, map(_flat, found))) != sorted(map(sorted, map(_flat, tried(altered, 90.0))))


def _flat(teams: list[set[str]]) -> list[str]:
    return [f"{team}:{player}" for team, players in enumerate(teams) for player in sorted(players)]


async def test_a_director_that_takes_over_finds_the_attributes_and_the_age_of_what_was_left(
    office: Office,
) -> None:
    waiting = json.loads((EXAMPLES / "hunt_tickets.json").read_text())
    eve = waiting.pop()
    dee = waiting.pop()
    await office.write([*waiting, eve])
    first = await office.takes_over()
    assert await office.cycle(first, 10.0) == []  # eve is of another level, and nobody else is strong enough
    second = await office.takes_over()
    assert await office.cycle(second, 20.0) == []
    await office.write([dee])
    third = await office.takes_over()
    assert await office.cycle(third, 30.0) == [[{"1", "2", "3"}, {"4"}]] == tried([*waiting, dee, eve], 30.0)


async def test_limits_widen_as_the_oldest_ticket_waits(office: Office) -> None:
    waiting = [
        each for each in json.loads((EXAMPLES / "hunt_tickets.json").read_text()) if each["TicketId"] != "dee"
    ]
    await office.write(waiting)
    match_loop = await office.takes_over()
    assert await office.cycle(match_loop, 49.0) == []
    assert await office.cycle(match_loop, 50.0) == [[{"1", "2", "3"}, {"5"}]]
    assert len(match_loop.pool) == 0
    assert await office.cycle(match_loop, 51.0) == []
    assert await office.cache.xlen(KEYS["queue"] + MODE) == 0


async def test_a_party_waits_for_its_last_player_and_one_without_a_common_region_ends(office: Office) -> None:
    waiting = json.loads((EXAMPLES / "hunt_tickets.json").read_text())
    ada, pair, dee, _ = waiting
    apart = json.loads(json.dumps(pair))
    apart["TicketId"] = "apart"
    for player, region in zip(apart["Players"], ("west-europe", "east-us"), strict=True):
        player["PlayerId"] = f"9{player['PlayerId']}"
        player["LatencyInMs"] = {region: 20}
    await office.write([ada, dee, apart])
    match_loop = await office.takes_over()
    assert await office.cycle(match_loop, 10.0) == []
    assert await office.cache.hget(KEYS["ticket"] + str(uuid.UUID(int=92)), "state") == b"failed"
    assert len(match_loop.pool) == len(waiting) - 2
    await office.write([pair])
    assert await office.cycle(match_loop, 11.0) == [[{"1", "2", "3"}, {"4"}]]


@pytest.mark.parametrize(
    ("attributes", "pointer"),
    [
        (None, "/attributes: needs level"),
        ({"level": {"N": 1}, "colour": {"S": "red"}}, "/attributes/colour: is not among"),
        ({"level": {"S": "ten"}}, "/attributes/level/S: level is a number"),
        ({"level": {"N": 1, "S": "x"}}, "/attributes/level: must have exactly one"),
        ({"level": {}}, "/attributes/level: must have exactly one"),
        ({"level": {"N": 1}, "skill": {"N": 99}}, "/attributes/skill: is the rating"),
        ({"level": {"N": "1"}}, "/body/attributes/level/N"),
        ({"level": {"N": 1}, "maps": {"SL": ["x" * 101]}}, "/body/attributes/maps/SL/0"),
        ({"level": {"N": 1}, "maps": {"SL": ["x"] * 101}}, "/body/attributes/maps/SL"),
        (
            {"level": {"N": 1}, "maps": {"SL": [f"{n:0100}" for n in range(60)]}},
            "/attributes: must have at most",
        ),
    ],
)
async def test_attributes_that_do_not_suit_are_refused_with_their_pointer(
    client: MatchmakerClient, attributes: Any, pointer: str
) -> None:
    player = client.with_token(token_of(3))
    with pytest.raises(TicketRefusedError) as refused:
        await player.create_ticket(MODE, WEST_EUROPE, attributes=attributes)
    assert pointer in str(refused.value)
    assert (await client.counters())["queued"] == 0


async def test_tickets_that_can_never_match_are_refused_when_they_are_made(client: MatchmakerClient) -> None:
    player = client.with_token(token_of(3))
    with pytest.raises(TicketRefusedError, match="no region is within the 60 ms of the rule Near"):
        await player.create_ticket(MODE, {"west-europe": 61.0}, attributes=ATTRIBUTES)
    with pytest.raises(TicketRefusedError, match="fits into no team"):
        await player.create_ticket(
            MODE, WEST_EUROPE, attributes=ATTRIBUTES, party=claim_of("p", (3, 4, 5, 6), "hunt")
        )
    with pytest.raises(TicketRefusedError, match="is not among the rule set's playerAttributes"):
        await player.create_ticket("teams_of_five", WEST_EUROPE, attributes=ATTRIBUTES)


async def test_modes_whose_rules_read_no_attributes_carry_none(
    client: MatchmakerClient, cache: Redis
) -> None:
    await client.with_token(token_of(1)).create_ticket("teams_of_five", WEST_EUROPE)
    await hunt(client, 2)
    fields: list[set[bytes]] = []
    for mode in ("teams_of_five", MODE):
        entries: Any = await cache.xrange(KEYS["queue"] + mode)
        fields += [set(entry) for _, entry in entries]
    assert fields == [{b"tickets", b"regions"}, {b"tickets", b"regions", b"attributes"}]


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
    await Requeuer(cache, scripts, TellingFleet(), ticket_ttl_s=300.0, clock=SystemClock()).requeue_match(
        lost
    )
    again: dict[int, str] = {}
    for player, ticket in made.items():
        reader = client.with_token(token_of(player))
        new = (await reader.read_ticket(ticket.ticket_id)).requeued_as
        assert new is not None
        await reader.read_ticket(new)
        again[player] = new
    successor = Director(
        load_modes(mm_settings)[MODE].rules,
        mm_settings,
        cache,
        allocator,
        clock=SystemClock(),
    )
    async with running(successor):
        ends = [
            await client.with_token(token_of(player)).wait_for_end(new, 50) for player, new in again.items()
        ]
    assert {end.state for end in ends} == {"assigned"}
    assert [len(told["players"]) for told in fleet.matches.values()] == [4, 4]
