"""Players of a match that was lost with its server: told, and in the queue again with their age, once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from redis.asyncio import Redis

from dedicated_server.fleet.client import Cursor, FinishedMatch, FleetRefusedError, FleetUnavailableError
from launchday import child_processes
from launchday.clock import SystemClock
from launchday.settings import Settings, environment
from loadtest.chaos.requeue_check import LostPlayer, check_requeue
from loadtest.players.backend_client import HttpBackendClient
from matchmaker.client import MatchmakerClient, TicketExistsError, TicketView
from matchmaker.director import requeue as requeue_module
from matchmaker.director.requeue import Requeuer
from matchmaker.queue.scripts import KEYS, Scripts
from matchmaker.queue.ticket_store import TicketStore
from tests.matchmaker.conftest import (
    SECRET,
    WEST_EUROPE,
    MakeDirector,
    StubFleet,
    claim_of,
    running,
    served,
    token_of,
)
from tests.waiting import until

MODE = "battle_royale"
PLAYERS = (1, 2, 3, 4)


class TellingFleet:
    """A fleet that tells what the test says."""

    def __init__(self) -> None:
        self.settled: list[FinishedMatch] = []
        self.servers: list[dict[str, Any]] = []
        self.missed = False
        self.error: Exception | None = None
        self.asked: list[Cursor] = []

    async def finished_matches(
        self, cursor: Cursor, *, wait_s: float = 0.0
    ) -> tuple[Cursor, list[FinishedMatch], bool]:
        self.asked.append(cursor)
        if self.error is not None:
            raise self.error
        seen = cursor.seq if cursor.epoch == "e" else 0
        if seen == len(self.settled):
            await asyncio.sleep(0.01)
        return Cursor("e", len(self.settled)), self.settled[seen:], self.missed

    async def gameservers(self) -> list[dict[str, Any]]:
        if self.error is not None:
            raise self.error
        return self.servers

    def tell(self, match_id: str, *, ended: bool = False) -> None:
        self.settled.append(FinishedMatch(match_id, "gs-1", "west-europe", PLAYERS, "killed", 1.0, ended))


def server(match_id: str, state: str = "Allocated", gone: bool = False, **report: Any) -> dict[str, Any]:
    return {"match_id": match_id, "state": state, "gone": gone, "report": report}


@pytest.fixture
def telling() -> TellingFleet:
    return TellingFleet()


@pytest.fixture
def requeuer(cache: Redis, scripts: Scripts, telling: TellingFleet) -> Requeuer:
    return Requeuer(cache, scripts, telling, ticket_ttl_s=300.0, clock=SystemClock())


class Played:
    """A match that was assigned: each player's ticket, since when they waited, and the match's id."""

    def __init__(self, concerned: dict[int, LostPlayer], match_id: str) -> None:
        self.concerned = concerned
        self.match_id = match_id


async def play(
    client: MatchmakerClient,
    make_director: MakeDirector,
    settings: Settings,
    players: tuple[int, ...] = PLAYERS,
    party: str | None = None,
) -> Played:
    director = make_director(settings)
    async with running(director):
        made = {
            player: await client.with_token(token_of(player)).create_ticket(MODE, WEST_EUROPE, party=party)
            for player in players
        }
        ends = [
            await client.with_token(token_of(player)).wait_for_end(ticket.ticket_id, 50)
            for player, ticket in made.items()
        ]
    assert {end.state for end in ends} == {"assigned"}
    assert ends[0].assignment is not None
    concerned = {player: LostPlayer(ticket.ticket_id, ticket.created_at) for player, ticket in made.items()}
    return Played(concerned, ends[0].assignment.match_id)


async def old_ticket(client: MatchmakerClient, player: int, played: Played) -> TicketView:
    return await client.with_token(token_of(player)).read_ticket(played.concerned[player].ticket_id)


async def test_players_of_a_lost_match_have_a_live_ticket_each_with_the_old_age(
    client: MatchmakerClient,
    cache: Redis,
    make_director: MakeDirector,
    mm_settings: Settings,
    telling: TellingFleet,
    requeuer: Requeuer,
) -> None:
    played = await play(client, make_director, mm_settings)
    telling.tell(played.match_id)
    await requeuer.follow(0.0)
    assert await check_requeue(cache, played.concerned) == []
    assert (requeuer.requeued, requeuer.backdated) == (4, 0)
    old = await old_ticket(client, 1, played)
    assert (old.state, old.reason) == (
        "assigned",
        "the game server of the match was lost; you are in the queue again",
    )
    assert old.assignment is not None
    assert old.assignment.match_id == played.match_id
    counters = await client.counters()
    assert (counters["queued"], counters["matched"], counters["searching"]) == (8, 4, 4)
    assert (counters["requeued"], counters["reclaimed"]) == (4, 0)


async def test_they_are_matched_again_before_everybody_else_once_they_look(
    client: MatchmakerClient,
    fleet: StubFleet,
    make_director: MakeDirector,
    mm_settings: Settings,
    telling: TellingFleet,
    requeuer: Requeuer,
) -> None:
    played = await play(client, make_director, mm_settings)
    for player in range(10, 14):  # they have queued before the server died
        await client.with_token(token_of(player)).create_ticket(MODE, WEST_EUROPE)
    telling.tell(played.match_id)
    await requeuer.follow(0.0)
    again = {player: (await old_ticket(client, player, played)).requeued_as for player in PLAYERS}
    for player, ticket_id in again.items():
        assert ticket_id is not None
        assert (await client.with_token(token_of(player)).read_ticket(ticket_id)).state == "searching"
    async with running(make_director(mm_settings)):
        ends = [
            await client.with_token(token_of(player)).wait_for_end(str(ticket_id), 50)
            for player, ticket_id in again.items()
        ]
    [match_id] = {end.assignment.match_id for end in ends if end.assignment}
    [first, second] = [match for match in fleet.matches.values() if match["match_id"] != played.match_id]
    assert first["match_id"] == match_id
    assert {int(seat["player_id"]) for seat in second["players"]} == set(range(10, 14))
    counters = await client.counters()
    assert (counters["requeued"], counters["reclaimed"], counters["matched"]) == (4, 4, 12)


async def test_nobody_waits_for_a_player_who_does_not_come_back(
    client: MatchmakerClient,
    cache: Redis,
    scripts: Scripts,
    make_director: MakeDirector,
    mm_settings: Settings,
    telling: TellingFleet,
    requeuer: Requeuer,
) -> None:
    played = await play(client, make_director, mm_settings)
    telling.tell(played.match_id)
    await requeuer.follow(0.0)
    assert await cache.xlen(KEYS["queue"] + MODE) == 0
    looks = (await old_ticket(client, 1, played)).requeued_as
    assert looks is not None
    await client.with_token(token_of(1)).read_ticket(looks)
    later = time.time() + requeue_module.RECLAIM_S + 1.0
    assert await TicketStore(cache, scripts).expire_due(MODE, later) == 3
    gone = (await old_ticket(client, 2, played)).requeued_as
    assert gone is not None
    status = await client.with_token(token_of(2)).read_ticket(gone)
    assert (status.state, status.reason) == ("expired", "its player did not come back")
    assert (await client.with_token(token_of(1)).read_ticket(looks)).state == "searching"


async def test_read_twice_and_by_two_directors_at_once_a_match_is_salvaged_once(
    client: MatchmakerClient,
    cache: Redis,
    scripts: Scripts,
    make_director: MakeDirector,
    mm_settings: Settings,
    telling: TellingFleet,
    requeuer: Requeuer,
) -> None:
    played = await play(client, make_director, mm_settings)
    telling.tell(played.match_id)
    other = Requeuer(cache, scripts, telling, ticket_ttl_s=300.0, clock=SystemClock())
    await asyncio.gather(requeuer.follow(0.0), other.follow(0.0))
    telling.tell(played.match_id)
    await requeuer.follow(0.0)
    await cache.delete(KEYS["cursor"])  # from the beginning
    await other.follow(0.0)
    assert requeuer.requeued + other.requeued == 4
    assert await check_requeue(cache, played.concerned) == []


async def test_who_queued_again_keeps_his_ticket_and_gets_the_old_age_and_who_plays_is_left_alone(
    client: MatchmakerClient,
    cache: Redis,
    make_director: MakeDirector,
    mm_settings: Settings,
    telling: TellingFleet,
    requeuer: Requeuer,
) -> None:
    played = await play(client, make_director, mm_settings)
    playing = await play(client, make_director, mm_settings, players=(2, 5, 6, 7))
    own = await client.with_token(token_of(1)).create_ticket(MODE, WEST_EUROPE)
    telling.tell(played.match_id)
    await requeuer.follow(0.0)
    assert (requeuer.requeued, requeuer.backdated) == (2, 1)
    with pytest.raises(TicketExistsError) as busy:
        await client.with_token(token_of(1)).create_ticket(MODE, WEST_EUROPE)
    assert busy.value.ticket_id == own.ticket_id
    since = await cache.hget(KEYS["ticket"] + own.ticket_id, "created_at")
    assert float(since or 0) == played.concerned[1].since
    assert (await old_ticket(client, 2, playing)).reason is None
    assert (await old_ticket(client, 2, played)).requeued_as is None
    director = make_director(mm_settings)
    for _ in range(2):  # the age survives the director that was told of it
        fence = await director._lease.acquire()
        assert fence is not None
        match_loop = director.match_loop(fence)
        async with asyncio.TaskGroup() as placements:
            await match_loop.recover(placements)
            await match_loop.cycle(placements)
        [row] = match_loop.pool.searching(time.time())
        assert match_loop.pool.enqueued_at[row] == played.concerned[1].since
        await director._lease.release(fence)
    await client.with_token(token_of(1)).cancel_ticket(own.ticket_id)
    async with running(make_director(mm_settings)):
        await until(lambda: _empty(cache))


async def _empty(cache: Redis) -> bool:
    return bool(await cache.xlen(KEYS["queue"] + MODE) == 0)


async def test_a_party_comes_back_whole_or_not_at_all(
    client: MatchmakerClient,
    cache: Redis,
    make_director: MakeDirector,
    mm_settings: Settings,
    telling: TellingFleet,
    requeuer: Requeuer,
) -> None:
    settings = mm_settings.model_copy(update={"match_players": 3})
    whole = await play(client, make_director, settings, players=(1, 2, 3), party=claim_of("whole", (1, 2, 3)))
    party = claim_of("torn", (11, 12, 13))
    torn = await play(client, make_director, settings, players=(11, 12, 13), party=party)
    await play(client, make_director, settings, players=(11, 20, 21))
    telling.tell(whole.match_id)
    telling.tell(torn.match_id)
    await requeuer.follow(0.0)
    assert await check_requeue(cache, whole.concerned) == []
    left = await old_ticket(client, 12, torn)
    assert left.requeued_as is None
    assert "the party is not whole any more: queue again" in (left.reason or "")
    async with running(make_director(settings)):
        ends = []
        for player in (1, 2, 3):
            new = (await old_ticket(client, player, whole)).requeued_as
            assert new is not None
            await client.with_token(token_of(player)).read_ticket(new)
            ends.append((player, new))
        seats = [
            (await client.with_token(token_of(player)).wait_for_end(new, 50)).assignment
            for player, new in ends
        ]
    assert len({seat.match_id for seat in seats if seat}) == 1
    assert len({seat.entity for seat in seats if seat}) == 3


async def test_who_follows_the_old_ticket_is_told_the_moment_it_is_known(
    client: MatchmakerClient,
    make_director: MakeDirector,
    mm_settings: Settings,
    telling: TellingFleet,
    requeuer: Requeuer,
) -> None:
    played = await play(client, make_director, mm_settings)
    own = client.with_token(token_of(1))
    waiting = asyncio.create_task(own.read_ticket(played.concerned[1].ticket_id, 30.0, lost=True))
    assert (await own.read_ticket(played.concerned[1].ticket_id, 0.05, lost=True)).reason is None
    telling.tell(played.match_id)
    await requeuer.follow(0.0)
    assert (await waiting).requeued_as is not None
    stream = [status async for status in own.follow_ticket(played.concerned[1].ticket_id)]
    assert stream[-1].requeued_as == (await waiting).requeued_as


async def test_a_simulated_player_finds_the_ticket_by_asking_and_by_queueing(
    client: MatchmakerClient,
    api_url: str,
    make_director: MakeDirector,
    mm_settings: Settings,
    telling: TellingFleet,
    requeuer: Requeuer,
) -> None:
    played = await play(client, make_director, mm_settings)
    telling.tell(played.match_id)
    await requeuer.follow(0.0)
    async with HttpBackendClient(mm_settings.model_copy(update={"matchmaker_url": api_url}), 4) as lobby:
        asked = await lobby.requeued(token_of(1), played.concerned[1].ticket_id)
        assert asked == (await old_ticket(client, 1, played)).requeued_as
        queued = await lobby.open_ticket(token_of(2), mode=MODE, latencies_ms=WEST_EUROPE, client_key="k")
        assert queued == (await old_ticket(client, 2, played)).requeued_as
    assert (await client.counters())["reclaimed"] == 1  # the other one has yet to come back


async def test_a_match_that_nobody_knows_of_is_salvaged_and_one_that_lives_or_ended_is_not(
    client: MatchmakerClient,
    cache: Redis,
    make_director: MakeDirector,
    mm_settings: Settings,
    telling: TellingFleet,
    requeuer: Requeuer,
) -> None:
    lost = await play(client, make_director, mm_settings)
    lives = await play(client, make_director, mm_settings, players=(11, 12, 13, 14))
    ended = await play(client, make_director, mm_settings, players=(21, 22, 23, 24))
    telling.servers = [
        server(lives.match_id),
        server(ended.match_id, "Shutdown", True, outcome="ended"),
        server("", "Ready"),
    ]
    telling.missed = True
    await requeuer.follow(0.0)
    assert requeuer.requeued == 4
    assert await check_requeue(cache, lost.concerned) == []
    assert await cache.zrange(KEYS["playing"], 0, -1) == [lives.match_id.encode()]


async def test_what_is_kept_of_matches_goes_with_them(
    client: MatchmakerClient,
    cache: Redis,
    make_director: MakeDirector,
    mm_settings: Settings,
    telling: TellingFleet,
    requeuer: Requeuer,
) -> None:
    played = await play(client, make_director, mm_settings)
    expires_s = await cache.ttl(KEYS["match"] + played.match_id)
    assert 0 < expires_s <= mm_settings.match_s + 120.0
    telling.tell(played.match_id, ended=True)
    await requeuer.follow(0.0)
    assert await cache.exists(KEYS["match"] + played.match_id) == 0
    assert await cache.zcard(KEYS["playing"]) == 0
    telling.tell(played.match_id)
    await requeuer.follow(0.0)
    assert requeuer.requeued == 0


async def test_a_match_longer_than_tickets_are_kept_can_be_salvaged_to_its_end(
    client: MatchmakerClient, cache: Redis, make_director: MakeDirector, mm_settings: Settings
) -> None:
    settings = mm_settings.model_copy(update={"match_s": 3_000.0})
    played = await play(client, make_director, settings)
    kept_s = await cache.ttl(KEYS["match"] + played.match_id)
    assert await cache.ttl(KEYS["ticket"] + played.concerned[1].ticket_id) > kept_s > 3_000
    assert await cache.ttl(KEYS["player"] + "1") > kept_s


async def test_a_match_that_fails_before_its_players_are_told_of_it_is_salvaged_then(
    client: MatchmakerClient,
    cache: Redis,
    make_director: MakeDirector,
    mm_settings: Settings,
    telling: TellingFleet,
    requeuer: Requeuer,
) -> None:
    played = await play(client, make_director, mm_settings)
    key = KEYS["match"] + played.match_id
    [kept] = await cache.lrange(key, 0, -1)
    await cache.delete(key)  # as it is before the assignment
    telling.tell(played.match_id)
    await requeuer.follow(0.0)
    assert requeuer.requeued == 0
    await cache.rpush(key, kept)
    await requeuer.follow(0.0)
    assert await check_requeue(cache, played.concerned) == []


async def test_a_fleet_without_that_feed_is_mentioned_once_and_asked_rarely(
    requeuer: Requeuer,
    telling: TellingFleet,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(requeue_module, "REFUSED_RETRY_S", 0.01)
    monkeypatch.setattr(requeue_module, "RETRY_S", 0.01)
    telling.error = FleetRefusedError("HTTP 404: Not Found")
    following = asyncio.create_task(requeuer.run())

    async def asked(times: int) -> bool:
        return len(telling.asked) >= times

    await until(lambda: asked(5))
    assert capsys.readouterr().out.count("have to queue again themselves") == 1
    telling.error = None
    await until(lambda: asked(8))
    for error in (FleetUnavailableError("no answer"), KeyError("match_id")):
        telling.error = error
        before = len(telling.asked)
        await until(lambda before=before: asked(before + 2))
    assert not following.done()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


@pytest.mark.parametrize("fault", ["twice", "fresh", "gone", "untold", "counters"])
async def test_the_checker_finds_a_planted_fault(
    fault: str,
    client: MatchmakerClient,
    cache: Redis,
    make_director: MakeDirector,
    mm_settings: Settings,
    telling: TellingFleet,
    requeuer: Requeuer,
) -> None:
    played = await play(client, make_director, mm_settings)
    telling.tell(played.match_id)
    await requeuer.follow(0.0)
    new = str((await old_ticket(client, 1, played)).requeued_as)
    key = KEYS["ticket"] + new
    match fault:
        case "twice":
            await cache.copy(key, KEYS["ticket"] + str(uuid4()))
        case "fresh":
            await cache.hset(key, "created_at", repr(time.time()))
        case "gone":
            await cache.delete(key)
        case "untold":
            old = KEYS["ticket"] + played.concerned[1].ticket_id
            await cache.hset(
                old, "view", '{"ticket_id":"x","state":"assigned","reason":null,"assignment":null}'
            )
        case "counters":
            await cache.hincrby(KEYS["counters"], "queued", 1)
    assert await check_requeue(cache, played.concerned) != []


async def test_a_director_process_killed_in_the_middle_leaves_the_rest_to_the_next(
    client: MatchmakerClient,
    cache: Redis,
    make_director: MakeDirector,
    mm_settings: Settings,
    tmp_path: Path,
) -> None:
    director = make_director(mm_settings)
    async with running(director):
        made = {
            player: await client.with_token(token_of(player)).create_ticket(MODE, WEST_EUROPE)
            for player in range(1, 41)
        }
        ends = [
            await client.with_token(token_of(player)).wait_for_end(ticket.ticket_id, 50)
            for player, ticket in made.items()
        ]
    matches = sorted({end.assignment.match_id for end in ends if end.assignment})
    assert len(matches) == 10
    changes = [
        {
            "match_id": match_id,
            "name": "gs",
            "region": "west-europe",
            "player_ids": [],
            "reason": "killed",
            "at": 1.0,
            "outcome": "failed",
        }
        for match_id in matches
    ]
    feed = FastAPI()

    async def follow(since: int = 0) -> JSONResponse:
        """One match at a time, so that a kill falls between two."""
        found = changes[since : since + 1]
        await asyncio.sleep(0.0 if found else 0.2)
        return JSONResponse({"epoch": "e", "seq": since + len(found), "lost": False, "changes": found})

    async def gameservers() -> JSONResponse:
        return JSONResponse({"gameservers": [server(match_id) for match_id in matches]})

    feed.get("/v1/changes")(follow)
    feed.get("/v1/gameservers")(gameservers)
    async with served(feed) as url:
        settings = mm_settings.model_copy(update={"fleet_url": url})
        env = {**os.environ, **environment(settings), "LAUNCHDAY_IDENTITY_SECRET": SECRET}

        def start() -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "matchmaker.director"]
            return child_processes.spawn(command, log=tmp_path / "director.log", env=env)

        async def requeued(at_least: int) -> bool:
            return bool((await client.counters())["requeued"] >= at_least)

        first, second = start(), start()
        await until(lambda: requeued(1))
        first.kill()
        await asyncio.to_thread(first.wait)
        await until(lambda: requeued(40))
        second.terminate()
        assert await asyncio.to_thread(second.wait) == 0
    concerned = {player: LostPlayer(ticket.ticket_id, ticket.created_at) for player, ticket in made.items()}
    assert await check_requeue(cache, concerned) == []
