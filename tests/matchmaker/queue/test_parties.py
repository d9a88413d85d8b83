"""Parties, the accept step, many tickets at once, and servers that do not answer: the real API, cache and
director.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from dedicated_server.protocol import connect_token, datagrams
from launchday.settings import Settings
from matchmaker.client import (
    MatchmakerClient,
    MatchmakerUnavailableError,
    TicketEndedError,
    TicketExistsError,
    TicketRefusedError,
)
from matchmaker.director.reach import probe
from tests.matchmaker.conftest import (
    EAST_US,
    WEST_EUROPE,
    KnowingFleet,
    MakeDirector,
    StubFleet,
    StubMeta,
    claim_of,
    running,
    token_of,
)
from tests.waiting import until

MODE = "battle_royale"
MATCH = UUID(int=7)


async def join(client: MatchmakerClient, player: int, party: str, size: int, **wish: Any) -> str:
    """A ticket of a member of the party of players 1 to ``size``."""
    own = client.with_token(token_of(player))
    claim = claim_of(party, range(1, size + 1))
    return (await own.create_ticket(MODE, WEST_EUROPE, party=claim, **wish)).ticket_id


async def state(client: MatchmakerClient, player: int, ticket_id: str) -> str:
    return (await client.with_token(token_of(player)).read_ticket(ticket_id)).state


async def test_a_party_waits_for_its_last_player_and_then_plays_together(
    client: MatchmakerClient, fleet: StubFleet, make_director: MakeDirector, mm_settings: Settings
) -> None:
    async with running(make_director(mm_settings)):
        early = {1: await join(client, 1, "p", 3), 2: await join(client, 2, "p", 3)}
        alone = {
            player: (await client.with_token(token_of(player)).create_ticket(MODE, WEST_EUROPE)).ticket_id
            for player in (10, 11, 12, 13)
        }
        for player, ticket_id in alone.items():  # a full match of others forms, the party stays
            status = await client.with_token(token_of(player)).wait_for_end(ticket_id, 50)
            assert status.state == "assigned"
        assert {await state(client, player, ticket) for player, ticket in early.items()} == {"searching"}
        late = {3: await join(client, 3, "p", 3)}
        single = {14: (await client.with_token(token_of(14)).create_ticket(MODE, WEST_EUROPE)).ticket_id}
        matches = set()
        for player, ticket_id in (early | late | single).items():
            status = await client.with_token(token_of(player)).wait_for_end(ticket_id, 50)
            assert status.assignment is not None
            matches.add(status.assignment.match_id)
    assert len(matches) == 1
    assert len(fleet.matches) == 2


async def test_who_leaves_takes_the_party_along_and_it_may_queue_again(client: MatchmakerClient) -> None:
    tickets = {player: await join(client, player, "p", 2) for player in (1, 2)}
    await client.with_token(token_of(2)).cancel_ticket(tickets[2])
    assert {await state(client, player, ticket) for player, ticket in tickets.items()} == {"cancelled"}
    with pytest.raises(TicketEndedError, match="the leader queues the party again"):
        await join(client, 1, "p", 2)
    again = {player: await join(client, player, "p again", 2) for player in (1, 2)}
    assert {await state(client, player, ticket) for player, ticket in again.items()} == {"searching"}


async def test_a_party_agrees_on_cross_play_and_takes_members_of_any_platform_and_nobody_beyond(
    client: MatchmakerClient,
) -> None:
    await join(client, 1, "p", 2)
    with pytest.raises(TicketEndedError, match="must agree"):
        await join(client, 2, "p", 2, cross_play=False)
    await join(client, 2, "p", 2, platform="switch")
    with pytest.raises(TicketRefusedError, match="you are not in the party"):
        await join(client, 3, "p", 2)
    assert (await client.counters())["searching"] == 2


async def test_a_party_larger_than_any_team_is_refused(client: MatchmakerClient) -> None:
    own = client.with_token(token_of(1))
    with pytest.raises(TicketRefusedError, match="fits into no team of teams_of_five: at most 5"):
        await own.create_ticket(
            "teams_of_five", WEST_EUROPE, party=claim_of("p", range(1, 7), "teams_of_five")
        )


async def test_a_party_without_a_common_region_fails_with_the_reason(
    client: MatchmakerClient, make_director: MakeDirector, mm_settings: Settings
) -> None:
    here = await join(client, 1, "p", 2)
    other = client.with_token(token_of(2))
    there = await other.create_ticket(MODE, {"east-us": 15.0}, party=claim_of("p", (1, 2)))
    first = client.with_token(token_of(1))
    settings = mm_settings.model_copy(update={"max_latency_ms": 80.0})
    async with running(make_director(settings)):
        ends = [await first.wait_for_end(here, 50), await other.wait_for_end(there.ticket_id, 50)]
    assert [end.state for end in ends] == ["failed", "failed"]
    assert {end.reason for end in ends} == {"no region is near enough for all of the party"}


async def test_two_teams_of_five_get_seats_in_two_teams(
    client: MatchmakerClient, fleet: StubFleet, mm_settings: Settings, make_team_director: MakeDirector
) -> None:
    parties = {1: "a", 2: "a", 3: "a", 4: "a", 5: "b", 6: "b", 7: "b"}
    tickets = {}
    for player in range(1, 11):
        party = parties.get(player)
        members = [each for each, of in parties.items() if of == party]
        own = client.with_token(token_of(player))
        claim = claim_of(party, members, "teams_of_five") if party else None
        made = await own.create_ticket("teams_of_five", WEST_EUROPE, party=claim)
        tickets[player] = made.ticket_id
    async with running(make_team_director(mm_settings)):
        ends = {
            player: await client.with_token(token_of(player)).wait_for_end(ticket, 50)
            for player, ticket in tickets.items()
        }
    team = {player: end.assignment.team for player, end in ends.items() if end.assignment}
    assert sorted(team.values()) == [0] * 5 + [1] * 5
    assert len({team[player] for player in (1, 2, 3, 4)}) == 1
    assert len({team[player] for player in (5, 6, 7)}) == 1
    [match] = fleet.matches.values()
    assert {int(seat["player_id"]): seat["team"] for seat in match["players"]} == team


async def test_a_match_is_placed_when_all_of_its_players_have_accepted(
    client: MatchmakerClient, fleet: StubFleet, make_director: MakeDirector, mm_settings: Settings
) -> None:
    settings = mm_settings.model_copy(update={"accept_s": 30.0})
    players = {player: client.with_token(token_of(player)) for player in range(1, 5)}
    tickets = {p: (await own.create_ticket(MODE, WEST_EUROPE)).ticket_id for p, own in players.items()}
    with pytest.raises(TicketEndedError, match="no match waits for your yes"):
        await players[1].accept_match(tickets[1])
    async with running(make_director(settings)):
        for player, own in players.items():
            async for status in own.follow_ticket(tickets[player]):
                if status.state == "proposed":
                    break
            assert not fleet.matches
            assert (await own.accept_match(tickets[player])).state in ("accepted", "assigned")
        ends = [await own.wait_for_end(tickets[player], 50) for player, own in players.items()]
    assert {end.state for end in ends} == {"assigned"}


async def test_who_does_not_accept_loses_the_ticket_and_the_others_search_on_with_their_age(
    client: MatchmakerClient, make_director: MakeDirector, mm_settings: Settings, cache: Redis
) -> None:
    settings = mm_settings.model_copy(update={"accept_s": 0.4})
    players = {player: client.with_token(token_of(player)) for player in range(1, 5)}
    tickets = {p: (await own.create_ticket(MODE, WEST_EUROPE)).ticket_id for p, own in players.items()}

    async def proposed() -> bool:
        return await state(client, 1, tickets[1]) == "proposed"

    async with running(make_director(settings)):
        await until(proposed)
        for player in (1, 2, 3):
            await players[player].accept_match(tickets[player])
        end = await players[4].wait_for_end(tickets[4], 50)
        assert (end.state, end.reason) == ("cancelled", "the match was not accepted in time")
        assert {await state(client, player, tickets[player]) for player in (1, 2, 3)} == {"searching"}


async def test_a_player_who_says_no_ends_the_match_at_once_and_the_others_search_on(
    client: MatchmakerClient, make_director: MakeDirector, mm_settings: Settings
) -> None:
    settings = mm_settings.model_copy(update={"accept_s": 600.0})
    players = {player: client.with_token(token_of(player)) for player in range(1, 5)}
    tickets = {p: (await own.create_ticket(MODE, WEST_EUROPE)).ticket_id for p, own in players.items()}

    async def proposed() -> bool:
        return await state(client, 1, tickets[1]) == "proposed"

    async with running(make_director(settings)):
        await until(proposed)
        await players[1].accept_match(tickets[1])
        marked = await players[4].cancel_ticket(tickets[4])
        end = await players[4].wait_for_end(tickets[4], 50)
        assert (end.state, end.reason) == ("cancelled", "cancelled by the player")
        assert marked.cancel_requested or marked == end
        assert {await state(client, player, tickets[player]) for player in (1, 2, 3)} == {"searching"}


async def test_a_service_makes_many_tickets_at_once_and_hears_of_each(client: MatchmakerClient) -> None:
    await client.with_token(token_of(2)).create_ticket(MODE, WEST_EUROPE)
    wishes = [{"mode": MODE, "latencies_ms": WEST_EUROPE, "player_id": player} for player in (1, 2, 3)]
    wishes[2]["mode"] = "chess"
    made = await client.create_tickets(wishes)
    assert [each["outcome"] for each in made] == ["created", "busy", "refused"]
    assert "no mode 'chess'" in made[2]["detail"]
    assert (await client.counters())["searching"] == 2
    with pytest.raises(TicketRefusedError, match="403"):
        await client.with_token(token_of(1)).create_tickets(wishes[:1])


async def test_the_queues_depth_is_told_by_region(
    client: MatchmakerClient, make_director: MakeDirector, mm_settings: Settings
) -> None:
    for player in (1, 2, 3):
        await client.with_token(token_of(player)).create_ticket(MODE, WEST_EUROPE if player < 3 else EAST_US)

    async def told() -> bool:
        return bool((await client.queue_depths()).get(MODE, {}).get("searching"))

    async with running(make_director(mm_settings)):
        await until(told)
        assert (await client.queue_depths())[MODE]["searching"] == {"west-europe": 2, "east-us": 1}


@pytest.mark.parametrize("mm_overrides", [{"tickets_per_player_s": 0.2}])
async def test_a_player_who_makes_too_many_tickets_is_told_when_to_come_again(
    client: MatchmakerClient, mm_overrides: dict[str, Any]
) -> None:
    own = client.with_token(token_of(1))
    await own.create_ticket(MODE, WEST_EUROPE)
    with pytest.raises(TicketExistsError):
        await own.create_ticket(MODE, WEST_EUROPE)
    with pytest.raises(MatchmakerUnavailableError, match=r"429: you make too many tickets: wait \d"):
        await own.create_ticket(MODE, WEST_EUROPE)
    await client.with_token(token_of(2)).create_ticket(MODE, WEST_EUROPE)


class Server(asyncio.DatagramProtocol):
    """Answers each request with a challenge, as a game server does."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if len(data) == datagrams.REQUEST_BYTES and data[0] == datagrams.REQUEST:
            self.transport.sendto(bytes([datagrams.CHALLENGE]) + bytes(40), addr)


async def test_a_server_is_reachable_when_it_answers_a_players_first_datagram(mm_settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    token = connect_token.seal(
        mm_settings.fleet_key_bytes,
        match_id=MATCH,
        player_id=1,
        entity=0,
        team=0,
        address="127.0.0.1",
        port=port,
        issued_at=time.time(),
        expires_at=time.time() + 60,
        random=secrets.token_bytes(connect_token.RANDOM_BYTES),
    )
    assert await probe("127.0.0.1", port, token, 30.0)
    transport.close()
    await asyncio.sleep(0)
    assert not await probe("127.0.0.1", port, token, 0.25)


async def test_a_server_that_is_late_is_asked_again_and_costs_no_second_one(
    client: MatchmakerClient,
    fleet: StubFleet,
    make_director: MakeDirector,
    mm_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, int]] = []

    async def answers_the_third_time(address: str, port: int, token: bytes, timeout_s: float) -> bool:
        asked.append((port, connect_token.open_private(mm_settings.fleet_key_bytes, token).entity))
        return len(asked) > 2

    monkeypatch.setattr("matchmaker.director.director.probe", answers_the_third_time)
    players = {player: client.with_token(token_of(player)) for player in range(1, 5)}
    tickets = {p: (await own.create_ticket(MODE, WEST_EUROPE)) for p, own in players.items()}
    settings = mm_settings.model_copy(update={"server_answer_s": 5.0})
    async with running(make_director(settings)):
        ends = [await own.wait_for_end(tickets[p].ticket_id, 50) for p, own in players.items()]
    # Asked with a token of the director's own: any player may have been refused at the check-out.
    assert asked == [(asked[0][0], connect_token.DIRECTOR_ENTITY)] * 3
    assert {end.assignment.port for end in ends if end.assignment} == {asked[0][0]}
    assert len(fleet.ports) == 1


async def test_players_of_a_server_that_is_gone_search_again_with_their_age_once_its_match_is_closed(
    client: MatchmakerClient,
    fleet: StubFleet,
    make_director: MakeDirector,
    mm_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    knowing: KnowingFleet,
    meta: StubMeta,
) -> None:
    asked: list[int] = []

    async def the_first_one_dies(address: str, port: int, token: bytes, timeout_s: float) -> bool:
        asked.append(port)
        if len(asked) == 1:
            knowing.dead[next(iter(fleet.ports))] = "killed"
        return len(asked) > 1

    monkeypatch.setattr("matchmaker.director.director.probe", the_first_one_dies)
    players = {player: client.with_token(token_of(player)) for player in range(1, 5)}
    tickets = {p: (await own.create_ticket(MODE, WEST_EUROPE)) for p, own in players.items()}
    settings = mm_settings.model_copy(update={"server_answer_s": 5.0})
    async with running(make_director(settings)):
        ends = [await own.wait_for_end(tickets[p].ticket_id, 50) for p, own in players.items()]
        assert {end.assignment.port for end in ends if end.assignment} == {asked[1]}
        [first] = knowing.dead
        await until(lambda: knowing.ended == [first])
    assert meta.closed == [(first, True)]
    counters = await client.counters()
    assert (counters["matched"], counters["matches"], counters["failed"]) == (4, 1, 0)
    assert counters["given_up"] == {"server-gone": 1}
