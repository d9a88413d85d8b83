"""A player is in one place: who is in a match gets the way back instead of a ticket, and a newer token."""

from __future__ import annotations

import base64

import pytest
from redis.asyncio import Redis

from dedicated_server.protocol import connect_token
from launchday.clock import SystemClock
from launchday.settings import Settings
from matchmaker.api.skills import HeldPlayer
from matchmaker.client import (
    Assignment,
    InMatchError,
    MatchmakerClient,
    NoSuchTicketError,
    TicketEndedError,
    TicketExistsError,
)
from matchmaker.director.requeue import Requeuer
from matchmaker.queue.scripts import Scripts
from tests.matchmaker.conftest import WEST_EUROPE, MakeDirector, StubSkills, running, token_of
from tests.matchmaker.director.test_requeue import TellingFleet

MODE = "battle_royale"
FAR = 4e9  # Unix seconds


async def play(
    client: MatchmakerClient, make_director: MakeDirector, settings: Settings, skills: StubSkills
) -> dict[int, str]:
    """A match of four, which the meta service knows of; each player's ticket."""
    tickets = {}
    for player in range(1, 5):
        created = await client.with_token(token_of(player)).create_ticket(
            MODE, WEST_EUROPE, client_key=f"first-{player}"
        )
        tickets[player] = created.ticket_id
    async with running(make_director(settings)):
        for player, ticket_id in tickets.items():
            end = await client.with_token(token_of(player)).wait_for_end(ticket_id, 50)
            assert end.assignment is not None
            skills.held[player] = HeldPlayer(end.assignment.match_id, "gs-1", FAR)
    return tickets


def opened(settings: Settings, assignment: Assignment) -> connect_token.PrivateToken:
    return connect_token.open_private(settings.fleet_key_bytes, base64.b64decode(assignment.connect_token))


async def test_who_is_in_a_match_gets_the_way_back_instead_of_a_ticket_unless_they_repeat_themselves(
    client: MatchmakerClient, make_director: MakeDirector, mm_settings: Settings, skills: StubSkills
) -> None:
    tickets = await play(client, make_director, mm_settings, skills)
    player = client.with_token(token_of(2))
    first = (await player.read_ticket(tickets[2])).assignment
    assert first is not None
    queued = (await client.counters())["queued"]
    with pytest.raises(InMatchError, match="you are in a match") as found:
        await player.create_ticket(MODE, WEST_EUROPE)
    again = found.value.assignment
    assert again is not None
    assert found.value.match_id == first.match_id
    assert (again.match_id, again.address, again.port, again.entity, again.team, again.region) == (
        first.match_id,
        first.address,
        first.port,
        first.entity,
        first.team,
        first.region,
    )
    before, after = opened(mm_settings, first), opened(mm_settings, again)
    assert (after.player_id, after.entity) == (2, first.entity)
    assert after.issued_at > before.issued_at  # the game server lets the newest in
    assert after.client_to_server_key != before.client_to_server_key
    assert (await client.counters())["queued"] == queued
    made = await client.create_tickets([{"mode": MODE, "latencies_ms": WEST_EUROPE, "player_id": 3}])
    assert [each["outcome"] for each in made] == ["in-match"]
    repeated = await client.with_token(token_of(1)).create_ticket(MODE, WEST_EUROPE, client_key="first-1")
    assert (repeated.ticket_id, repeated.state, repeated.repeated) == (tickets[1], "assigned", True)


async def test_who_is_in_a_match_that_this_matchmaker_did_not_make_is_told_which(
    client: MatchmakerClient, skills: StubSkills
) -> None:
    skills.held[1] = HeldPlayer("6f9619ff-8b86-4d11-b42d-00c04fc964ff", "elsewhere", FAR)
    with pytest.raises(InMatchError) as found:
        await client.with_token(token_of(1)).create_ticket(MODE, WEST_EUROPE)
    assert found.value.match_id == "6f9619ff-8b86-4d11-b42d-00c04fc964ff"
    assert found.value.assignment is None


async def test_who_lost_the_match_with_its_server_is_not_sent_back_to_it(
    client: MatchmakerClient,
    make_director: MakeDirector,
    mm_settings: Settings,
    skills: StubSkills,
    cache: Redis,
    scripts: Scripts,
) -> None:
    await play(client, make_director, mm_settings, skills)
    telling = TellingFleet()
    telling.tell(skills.held[1].match_id)
    await Requeuer(cache, scripts, telling, ticket_ttl_s=300.0, clock=SystemClock()).follow(0.0)
    with pytest.raises(TicketExistsError, match="already searching"):
        await client.with_token(token_of(1)).create_ticket(MODE, WEST_EUROPE)


async def test_a_newer_token_is_for_who_is_assigned(
    client: MatchmakerClient, make_director: MakeDirector, mm_settings: Settings, skills: StubSkills
) -> None:
    waiting = client.with_token(token_of(9))
    searching = await waiting.create_ticket(MODE, WEST_EUROPE)
    with pytest.raises(TicketEndedError, match="no match to come back to: searching"):
        await waiting.renew_token(searching.ticket_id)
    await waiting.cancel_ticket(searching.ticket_id)
    tickets = await play(client, make_director, mm_settings, skills)
    with pytest.raises(NoSuchTicketError):
        await waiting.renew_token(tickets[1])
    renewed = await client.with_token(token_of(1)).renew_token(tickets[1])
    assert opened(mm_settings, renewed).player_id == 1
    lives_s = mm_settings.match_s + mm_settings.connect_token_ttl_s
    token = opened(mm_settings, renewed)
    assert token.expires_at - token.issued_at == pytest.approx(lives_s, abs=0.01)
