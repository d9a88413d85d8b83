from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest
from redis.asyncio import Redis

from dedicated_server.fleet.client import AllocatorClient
from dedicated_server.protocol import connect_token
from launchday import child_processes
from launchday.settings import Settings, environment
from matchmaker.client import CreatedTicket, MatchmakerClient, TicketEndedError, TicketView
from matchmaker.errors import LeaseLostError
from matchmaker.queue.entries import QueueEntry
from matchmaker.queue.queue import Queue
from matchmaker.queue.scripts import KEYS
from tests.matchmaker.conftest import (
    EAST_US,
    SECRET,
    WEST_EUROPE,
    MakeDirector,
    StubFleet,
    StubSkills,
    running,
    served,
    token_of,
)
from tests.waiting import until

MODE = "battle_royale"


async def queue_players(
    client: MatchmakerClient, players: range, latencies: dict[str, float]
) -> dict[int, CreatedTicket]:
    created = await asyncio.gather(
        *(client.with_token(token_of(player)).create_ticket(MODE, latencies) for player in players)
    )
    return dict(zip(players, created, strict=True))


async def ends(client: MatchmakerClient, tickets: dict[int, CreatedTicket]) -> dict[int, TicketView]:
    statuses = await asyncio.gather(
        *(
            client.with_token(token_of(player)).wait_for_end(ticket.ticket_id, 50)
            for player, ticket in tickets.items()
        )
    )
    return dict(zip(tickets, statuses, strict=True))


async def check_counters(client: MatchmakerClient, **expected: int) -> None:
    counters = await client.counters()
    parts = ("matched", "cancelled", "expired", "failed", "searching")
    assert counters["queued"] == sum(counters[part] for part in parts)
    assert {name: counters[name] for name in expected} == expected


async def test_a_full_match_gets_a_server_and_each_player_a_seat_of_his_own(
    client: MatchmakerClient, fleet: StubFleet, make_director: MakeDirector, mm_settings: Settings
) -> None:
    async with running(make_director(mm_settings)):
        tickets = await queue_players(client, range(1, 5), WEST_EUROPE)
        statuses = await ends(client, tickets)
    [(key, match)] = fleet.matches.items()
    assert match["match_id"] == key
    assert (match["mode"], match["region"], match["match_s"]) == (MODE, "west-europe", mm_settings.match_s)
    assert match["quality"] == 1.0  # nobody has played yet: anybody may win
    roster = {int(seat["player_id"]): seat for seat in match["players"]}
    assert sorted(seat["entity"] for seat in match["players"]) == [0, 1, 2, 3]
    for player, status in statuses.items():
        assert status.state == "assigned"
        seat = status.assignment
        assert seat is not None
        assert (seat.match_id, seat.region, seat.address, seat.port) == (
            key,
            "west-europe",
            "127.0.0.1",
            7000,
        )
        assert (seat.team, seat.entity) == (roster[player]["team"], roster[player]["entity"])
        assert seat.mode == MODE
        token = connect_token.open_private(mm_settings.fleet_key_bytes, base64.b64decode(seat.connect_token))
        assert (token.match_id, token.player_id, token.entity) == (UUID(key), player, seat.entity)
        lives_s = mm_settings.match_s + mm_settings.connect_token_ttl_s
        assert token.expires_at - token.issued_at == pytest.approx(lives_s, abs=0.01)
    counters = await client.counters()
    await check_counters(client, queued=4, matched=4, matches=1, searching=0)
    assert counters["latency_ms"]["p50"] == pytest.approx(12.0, rel=0.02)
    assert 0 < counters["wait_s"]["p50"] <= counters["wait_s"]["p95"]
    assert counters["wait_s"]["max"] == pytest.approx(counters["wait_s"]["p95"], rel=0.05)


async def test_two_hundred_players_of_two_coasts_form_two_matches_one_a_region(
    client: MatchmakerClient, fleet: StubFleet, make_director: MakeDirector, mm_settings: Settings
) -> None:
    settings = mm_settings.model_copy(update={"match_players": 100, "match_fill_s": 30.0})
    async with running(make_director(settings)):
        tickets: dict[int, CreatedTicket] = {}
        for first in range(1, 101, 10):  # the coasts' players arrive in turns
            europeans, americans = range(first, first + 10), range(1000 + first, 1010 + first)
            tickets |= await queue_players(client, europeans, WEST_EUROPE)
            tickets |= await queue_players(client, americans, EAST_US)
        statuses = await ends(client, tickets)
    regions = Counter(
        (status.assignment.match_id, status.assignment.region)
        for status in statuses.values()
        if status.assignment
    )
    assert sorted(region for _, region in regions) == ["east-us", "west-europe"]
    assert set(regions.values()) == {100}
    for player, status in statuses.items():
        assert status.assignment is not None
        assert status.assignment.region == ("west-europe" if player < 1000 else "east-us")
    await check_counters(client, queued=200, matched=200, matches=2, searching=0)


async def test_event_streams_tell_the_assignment(
    client: MatchmakerClient, make_director: MakeDirector, mm_settings: Settings
) -> None:
    tickets = await queue_players(client, range(1, 5), WEST_EUROPE)

    async def follow(player: int) -> list[str]:
        stream = client.with_token(token_of(player)).follow_ticket(tickets[player].ticket_id)
        return [status.state async for status in stream]

    followers = [asyncio.create_task(follow(player)) for player in tickets]
    async with running(make_director(mm_settings)):
        assert [(await follower)[-1] for follower in followers] == ["assigned"] * 4


async def test_skills_of_the_meta_service_decide_who_meets(
    client: MatchmakerClient,
    fleet: StubFleet,
    skills: StubSkills,
    make_director: MakeDirector,
    mm_settings: Settings,
) -> None:
    skills.means = {player: 40.0 if player % 2 else 10.0 for player in range(1, 9)}
    await queue_players(client, range(1, 9), WEST_EUROPE)
    async with running(make_director(mm_settings)):
        await until(lambda: _all_matched(client))
    parities = [{int(seat["player_id"]) % 2 for seat in match["players"]} for match in fleet.matches.values()]
    assert sorted(map(tuple, parities)) == [(0,), (1,)]


async def _all_matched(client: MatchmakerClient) -> bool:
    return bool((await client.counters())["searching"] == 0)


async def test_without_a_ready_server_players_wait_and_may_still_cancel(
    client: MatchmakerClient, fleet: StubFleet, make_director: MakeDirector, mm_settings: Settings
) -> None:
    fleet.ready.clear()

    async def asked() -> bool:
        return fleet.calls > 0

    async with running(make_director(mm_settings)):
        tickets = await queue_players(client, range(1, 5), WEST_EUROPE)
        await until(asked)
        player, one = client.with_token(token_of(1)), tickets.pop(1)
        await player.cancel_ticket(one.ticket_id)  # marked, where the fleet is just being asked
        assert (await player.wait_for_end(one.ticket_id, 50)).state == "cancelled"
        await check_counters(client, queued=4, cancelled=1, failed=0, searching=3)
        tickets |= await queue_players(client, range(5, 6), WEST_EUROPE)
        fleet.ready["west-europe"] = 1
        assert {status.state for status in (await ends(client, tickets)).values()} == {"assigned"}
    await check_counters(client, queued=5, matched=4, cancelled=1, matches=1)


async def test_a_lost_answer_of_the_fleet_costs_no_second_server(
    client: MatchmakerClient, fleet: StubFleet, make_director: MakeDirector, mm_settings: Settings
) -> None:
    fleet.answers_to_lose = 2
    async with running(make_director(mm_settings)):
        statuses = await ends(client, await queue_players(client, range(1, 5), WEST_EUROPE))
    assert {status.state for status in statuses.values()} == {"assigned"}
    assert (fleet.calls, len(fleet.ports), fleet.ready["west-europe"]) == (3, 1, 99)


async def test_when_the_fleet_stays_away_the_players_search_again_and_are_placed_when_it_is_back(
    client: MatchmakerClient, fleet: StubFleet, make_director: MakeDirector, mm_settings: Settings
) -> None:
    fleet.answers_to_lose = 6  # more than the patience for one match
    async with running(make_director(mm_settings)):
        statuses = await ends(client, await queue_players(client, range(1, 5), WEST_EUROPE))
    assert {status.state for status in statuses.values()} == {"assigned"}
    assert len(fleet.ports) >= 2
    await check_counters(client, queued=4, matched=4, failed=0, matches=1)


async def test_a_match_that_the_fleet_refuses_for_good_fails(
    client: MatchmakerClient, fleet: StubFleet, make_director: MakeDirector, mm_settings: Settings
) -> None:
    fleet.refuse = True
    async with running(make_director(mm_settings)):
        statuses = await ends(client, await queue_players(client, range(1, 5), WEST_EUROPE))
    assert {(status.state, status.reason) for status in statuses.values()} == {
        ("failed", "the fleet refused the match")
    }
    await check_counters(client, queued=4, failed=4, matches=0, searching=0)


async def test_a_cancelled_ticket_is_never_matched(
    client: MatchmakerClient, make_director: MakeDirector, mm_settings: Settings
) -> None:
    async with running(make_director(mm_settings)):
        tickets = await queue_players(client, range(1, 4), WEST_EUROPE)
        await client.with_token(token_of(2)).cancel_ticket(tickets.pop(2).ticket_id)
        tickets |= await queue_players(client, range(4, 6), WEST_EUROPE)
        assert {status.state for status in (await ends(client, tickets)).values()} == {"assigned"}
    await check_counters(client, queued=5, matched=4, cancelled=1, matches=1)


async def test_an_ended_queue_leaves_nothing_in_the_stream(
    client: MatchmakerClient, cache: Redis, make_director: MakeDirector, mm_settings: Settings
) -> None:
    async def empty() -> bool:
        return await cache.xlen(KEYS["queue"] + MODE) == 0

    async with running(make_director(mm_settings)):
        tickets = await queue_players(client, range(1, 6), WEST_EUROPE)
        await until(lambda: _searching(client, 1))
        for player, ticket in tickets.items():
            with contextlib.suppress(TicketEndedError):
                await client.with_token(token_of(player)).cancel_ticket(ticket.ticket_id)
        await until(empty)
    assert await cache.hlen(KEYS["proposals"] + MODE) == 0
    assert await cache.zcard(KEYS["live"] + MODE) == 0
    await check_counters(client, queued=5, matched=4, cancelled=1)


async def _searching(client: MatchmakerClient, count: int) -> bool:
    return bool((await client.counters())["searching"] == count)


async def test_only_the_director_in_office_changes_anything(
    client: MatchmakerClient, cache: Redis, make_director: MakeDirector, mm_settings: Settings
) -> None:
    director = make_director(mm_settings)
    first = await director._lease.acquire()
    assert first is not None
    assert await director._lease.acquire() is None
    old = director.match_loop(first)
    async with asyncio.TaskGroup() as placements:
        await old.cycle(placements)
    await director._lease.release(first)
    second = await director._lease.acquire()
    assert second is not None
    assert int(second) > int(first)
    await queue_players(client, range(1, 5), WEST_EUROPE)
    with pytest.RaisesGroup(LeaseLostError):
        async with asyncio.TaskGroup() as placements:
            await old.cycle(placements)
    await director._lease.release(first)  # not its any more: no effect
    async with asyncio.TaskGroup() as placements:
        await director.match_loop(second).cycle(placements)
    await check_counters(client, queued=4, matched=4, matches=1)


async def test_a_director_finishes_the_match_that_another_proposed_and_finds_its_tickets(
    client: MatchmakerClient,
    fleet: StubFleet,
    cache: Redis,
    make_director: MakeDirector,
    mm_settings: Settings,
) -> None:
    tickets = await queue_players(client, range(1, 7), WEST_EUROPE)
    director = make_director(mm_settings)
    fence = await director._lease.acquire()
    assert fence is not None
    fleet.answers_to_lose = 1_000
    crash = asyncio.create_task(director.match_loop(fence).serve(0.01))

    async def allocated() -> bool:
        return bool(fleet.ports)

    await until(allocated)  # the server is taken, its answer lost, the match not assigned
    crash.cancel()
    await asyncio.gather(crash, return_exceptions=True)
    assert await cache.hlen(KEYS["proposals"] + MODE) == 1
    await check_counters(client, queued=6, matched=0, searching=6)

    fleet.answers_to_lose = 0
    await director._lease.release(fence)
    async with running(make_director(mm_settings)):
        await until(lambda: _searching(client, 2))
        tickets |= await queue_players(client, range(7, 9), WEST_EUROPE)
        statuses = await ends(client, tickets)
    seats = Counter((s.assignment.match_id, s.assignment.entity) for s in statuses.values() if s.assignment)
    assert len(seats) == 8
    assert len(fleet.ports) == 2
    await check_counters(client, queued=8, matched=8, matches=2, searching=0)


async def test_a_killed_director_process_loses_no_ticket(
    client: MatchmakerClient,
    fleet: StubFleet,
    mm_settings: Settings,
    tmp_path: Path,
) -> None:
    log = tmp_path / "director.log"
    async with served(fleet.app) as fleet_url:
        settings = mm_settings.model_copy(update={"fleet_url": fleet_url, "director_lease_s": 0.5})
        env = {**os.environ, **environment(settings), "LAUNCHDAY_IDENTITY_SECRET": SECRET}

        def start() -> subprocess.Popen[bytes]:
            return child_processes.spawn([sys.executable, "-m", "matchmaker.director"], log=log, env=env)

        first, second = start(), start()
        tickets = await queue_players(client, range(1, 7), WEST_EUROPE)
        await until(lambda: _searching(client, 2))
        first.kill()
        await asyncio.to_thread(first.wait)
        tickets |= await queue_players(client, range(7, 9), WEST_EUROPE)
        statuses = await ends(client, tickets)
        second.terminate()
        assert await asyncio.to_thread(second.wait) == 0, log.read_text()
    assert {status.state for status in statuses.values()} == {"assigned"}
    assert len(fleet.matches) == 2
    assert "Traceback" not in log.read_text()


async def test_a_director_asked_to_stop_as_it_loses_the_lease_stops(
    make_director: MakeDirector, mm_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    director, serving = make_director(mm_settings), asyncio.Event()

    async def lose_the_lease_when_cancelled(_: bytes) -> None:
        serving.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LeaseLostError("STALE") from None

    monkeypatch.setattr(director, "_serve", lose_the_lease_when_cancelled)
    running_director = asyncio.create_task(director.run())
    await serving.wait()
    running_director.cancel()
    await asyncio.wait([running_director])
    assert running_director.done()


async def test_a_stop_that_the_caches_client_swallows_is_heard_before_the_next_cycle(
    make_director: MakeDirector, mm_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    director, reading = make_director(mm_settings), asyncio.Event()

    async def swallow(_: Queue, questions: int = 0) -> list[QueueEntry]:
        reading.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return []

    monkeypatch.setattr(Queue, "read_new", swallow)
    running_director = asyncio.create_task(director.run())
    await reading.wait()
    running_director.cancel()
    await asyncio.wait([running_director])
    assert running_director.cancelled()


async def test_the_counters_balance_at_every_instant(
    client: MatchmakerClient, make_director: MakeDirector, mm_settings: Settings
) -> None:
    async def come_and_perhaps_go(player: int) -> None:
        own = client.with_token(token_of(player))
        ticket = await own.create_ticket(MODE, WEST_EUROPE)
        if player % 3 == 0:
            with contextlib.suppress(TicketEndedError):
                await own.cancel_ticket(ticket.ticket_id)

    async with running(make_director(mm_settings)), asyncio.TaskGroup() as players:
        for player in range(1, 121):
            players.create_task(come_and_perhaps_go(player))
            if player % 4 == 0:
                await check_counters(client)
    await check_counters(client, queued=120, failed=0, expired=0)


async def test_short_matches_open_when_the_oldest_ticket_is_overdue(
    client: MatchmakerClient, make_director: MakeDirector, mm_settings: Settings
) -> None:
    settings = mm_settings.model_copy(update={"match_fill_s": 0.3})
    tickets = await queue_players(client, range(1, 4), WEST_EUROPE)
    async with running(make_director(settings)):
        statuses = await ends(client, tickets)
    assert {status.state for status in statuses.values()} == {"assigned"}
    assert (await client.counters())["wait_s"]["max"] >= 0.3


async def test_the_allocator_gets_no_call_while_nobody_waits(
    fleet: StubFleet, allocator: AllocatorClient, make_director: MakeDirector, mm_settings: Settings
) -> None:
    director = make_director(mm_settings)
    fence = await director._lease.acquire()
    assert fence is not None
    match_loop = director.match_loop(fence)
    async with asyncio.TaskGroup() as placements:
        for _ in range(3):
            await match_loop.cycle(placements)
    assert (fleet.calls, len(match_loop.pool)) == (0, 0)
