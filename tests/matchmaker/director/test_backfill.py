"""Backfill as the matchmaker sees it: the real API, cache and director; game servers are what calls of their
client say.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import msgspec
import pytest
from redis.asyncio import Redis

from dedicated_server.protocol import connect_token
from launchday import child_processes
from launchday.identity import Signer
from launchday.settings import Settings, environment
from matchmaker.client import MatchmakerClient, TicketView
from matchmaker.director.director import Director
from matchmaker.director.match_loop import MatchLoop
from matchmaker.errors import LeaseLostError
from matchmaker.messages import BackfillAnswer, BackfillProposal
from matchmaker.queue.scripts import KEYS, Scripts
from matchmaker.rules.modes import load_modes
from tests.matchmaker.conftest import (
    SECRET,
    WEST_EUROPE,
    MakeDirector,
    StubFleet,
    StubSkills,
    claim_of,
    served,
    token_of,
)
from tests.waiting import until

MODE = "teams_of_five"


class Server:
    """A game server with free seats, as the matchmaker meets it."""

    def __init__(self, client: MatchmakerClient, seats: dict[int, int], **changes: Any) -> None:
        self.match_id = str(uuid4())
        self.slots = dict(seats)
        self._client, self._changes, self._revision = client, changes, 0

    def announcement(self, **changes: Any) -> dict[str, Any]:
        self._revision += 1
        return {
            "mode": MODE,
            "region": "west-europe",
            "address": "127.0.0.1",
            "port": 7001,
            "group": 0,
            "skill_lowest": 24.0,
            "skill_highest": 26.0,
            "opened_at": 1000.0,
            "revision": self._revision,
            "slots": [{"entity": entity, "team": team} for entity, team in self.slots.items()],
            **self._changes,
            **changes,
        }

    async def announce(self, **changes: Any) -> list[BackfillProposal]:
        return await self.send(self.announcement(**changes))

    async def send(self, announcement: dict[str, Any]) -> list[BackfillProposal]:
        response = await self._client._call("PUT", route(self.match_id), json=announcement)
        return msgspec.json.decode(response.content, type=BackfillAnswer).proposals

    async def seat(self, joining: BackfillProposal) -> list[BackfillProposal]:
        """Let them in, and say so."""
        for player in joining.players:
            del self.slots[player.entity]
        return await self.announce(admitted=[joining.proposal_id])

    async def close(self) -> None:
        await self._client._call("DELETE", route(self.match_id), params={"mode": MODE})


class Office:
    """A director in office whose cycles the test makes."""

    def __init__(self, director: Director, fence: bytes) -> None:
        self.director, self.fence = director, fence
        self.match_loop: MatchLoop = director.match_loop(fence)

    async def cycle(self) -> None:
        async with asyncio.TaskGroup() as placements:
            await self.match_loop.cycle(placements)

    async def next(self, make: MakeDirector, settings: Settings) -> Office:
        """Another director, after this one is gone without a word."""
        await self.director._lease.release(self.fence)
        after = await office_of(make(settings))
        async with asyncio.TaskGroup() as placements:
            await after.match_loop.recover(placements)
        return after


async def office_of(director: Director) -> Office:
    fence = await director._lease.acquire()
    assert fence is not None
    return Office(director, fence)


@pytest.fixture
async def office(make_team_director: MakeDirector, mm_settings: Settings) -> Office:
    # Cycles come when the test makes them: on a busy machine too late for a short lease.
    return await office_of(make_team_director(mm_settings.model_copy(update={"director_lease_s": 60.0})))


async def queue_up(client: MatchmakerClient, player: int, party: str | None = None) -> str:
    made = await client.with_token(token_of(player)).create_ticket(MODE, WEST_EUROPE, party=party)
    return made.ticket_id


async def read(client: MatchmakerClient, player: int, ticket_id: str) -> TicketView:
    return await client.with_token(token_of(player)).read_ticket(ticket_id)


async def check_counters(client: MatchmakerClient, **expected: int) -> None:
    counters = await client.counters()
    assert counters["queued"] == sum(
        counters[k] for k in ("matched", "cancelled", "expired", "failed", "searching")
    )
    assert {name: counters[name] for name in expected} == expected


async def test_who_waits_is_given_a_free_seat_and_told_once_the_server_has_opened_it(
    client: MatchmakerClient, office: Office, fleet: StubFleet, mm_settings: Settings
) -> None:
    server = Server(client, {3: 0, 7: 1})
    assert await server.announce() == []
    ticket = await queue_up(client, 500)
    await office.cycle()
    assert (await read(client, 500, ticket)).state == "proposed"
    [joining] = await server.announce()
    [seat] = joining.players
    assert (joining.state, seat.player_id, server.slots[seat.entity]) == ("offered", 500, seat.team)
    assert seat.waited_s >= 0
    assert seat.skill == 25.0
    assert await server.announce() == [joining]  # an answer may be lost
    await office.cycle()
    assert (
        await read(client, 500, ticket)
    ).state == "proposed"  # the server has not said yet that it admits them
    [seated] = await server.seat(joining)
    assert seated.state == "admitted"
    await office.cycle()
    status = await read(client, 500, ticket)
    assert status.state == "assigned"
    assert status.assignment is not None
    token = connect_token.open_private(
        mm_settings.fleet_key_bytes, base64.b64decode(status.assignment.connect_token)
    )
    assert (token.match_id, token.player_id, token.entity, token.team, token.port) == (
        UUID(server.match_id), 500, seat.entity, seat.team, 7001,
    )  # fmt: skip
    assert status.assignment.mode == MODE
    assert [each.state for each in await server.announce()] == ["assigned"]
    assert fleet.calls == 0
    await check_counters(client, queued=1, matched=1, backfilled=1, matches=0, searching=0)
    assert office.match_loop.pool.state.max() == 0  # nothing of it is left


async def test_a_seat_is_never_reserved_twice(client: MatchmakerClient, office: Office, cache: Redis) -> None:
    server = Server(client, {3: 0})
    await server.announce()
    tickets = {player: await queue_up(client, player) for player in (501, 502, 503)}
    for _ in range(3):
        await office.cycle()
    [joining] = await server.announce()
    states = [(await read(client, player, ticket)).state for player, ticket in tickets.items()]
    assert sorted(states) == ["proposed", "searching", "searching"]
    await server.seat(joining)
    await office.cycle()
    await office.cycle()
    assert [each.state for each in await server.announce()] == ["assigned"]
    assert await cache.hlen(KEYS["claims"] + MODE) == 0
    server.slots[3] = 0  # the player came, and is gone for good: the slot is free once more
    await server.announce()
    await office.cycle()
    [again] = await server.announce()
    assert again.players[0].player_id != joining.players[0].player_id
    await check_counters(client, queued=3, matched=1, backfilled=1, searching=2)


async def test_a_refused_joiner_searches_again_with_his_age_and_is_not_sent_there_again(
    client: MatchmakerClient, office: Office
) -> None:
    refusing, other = Server(client, {3: 0}), Server(client, {4: 0}, opened_at=2000.0)
    await refusing.announce()
    ticket = await queue_up(client, 500)
    await office.cycle()
    [joining] = await refusing.announce()
    await refusing.announce(rejected=[joining.proposal_id], excluded=[500])
    for _ in range(3):
        await office.cycle()
    assert (await read(client, 500, ticket)).state == "searching"
    assert await refusing.announce(excluded=[500]) == []
    late = await queue_up(client, 501)
    await office.cycle()
    await office.cycle()
    [instead] = await refusing.announce(excluded=[500])
    assert [player.player_id for player in instead.players] == [501], "the seat stays free for others"
    assert (await read(client, 501, late)).state == "proposed"
    await other.announce()
    await office.cycle()
    [elsewhere] = await other.announce()
    assert [player.player_id for player in elsewhere.players] == [500]
    assert elsewhere.players[0].waited_s >= instead.players[0].waited_s
    await check_counters(client, queued=2, searching=2, failed=0)


async def test_joiners_of_a_server_that_falls_silent_search_again(
    client: MatchmakerClient, office: Office, cache: Redis
) -> None:
    server = Server(client, {3: 0})
    await server.announce()
    ticket = await queue_up(client, 500)
    await office.cycle()
    [joining] = await server.announce()
    await server.seat(joining)
    await cache.hset(KEYS["open_match"] + server.match_id, "until", 0)  # five seconds pass without a word
    await office.cycle()
    assert (await read(client, 500, ticket)).state == "searching"
    await check_counters(client, queued=1, matched=0, searching=1)
    assert await server.announce() == []  # back again, it hears that nobody is coming


async def test_a_match_that_is_over_by_then_gives_the_tickets_back_once_it_has_checked_them_in(
    client: MatchmakerClient, office: Office
) -> None:
    server = Server(client, {3: 0})
    await server.announce()
    ticket = await queue_up(client, 500)
    await office.cycle()
    [joining] = await server.announce()
    await server.seat(joining)
    [seated] = await server.announce(over=True)
    assert seated.state == "admitted"  # and never assigned: the server releases them now
    await office.cycle()
    assert (await read(client, 500, ticket)).state == "proposed"  # leased to it until it says so
    await server.close()
    await office.cycle()
    assert (await read(client, 500, ticket)).state == "searching"
    await check_counters(client, queued=1, searching=1, backfilled=0)


async def test_a_reservation_that_the_server_never_asked_for_is_withdrawn(
    client: MatchmakerClient, office: Office, cache: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(client, {3: 0})
    await server.announce()
    ticket = await queue_up(client, 500)
    await office.cycle()
    await office.cycle()
    assert (await read(client, 500, ticket)).state == "proposed"
    [(id_, claimed)] = office.match_loop._backfill._in_progress.items()
    office.match_loop._backfill._in_progress[id_] = replace(claimed, seen_by=0.0)  # it was claimed long ago
    await cache.hset(KEYS["open_match"] + server.match_id, "slots", "[]")
    await office.cycle()
    assert (await read(client, 500, ticket)).state == "searching"


async def test_an_announcement_that_comes_late_changes_nothing(
    client: MatchmakerClient, office: Office
) -> None:
    server = Server(client, {3: 0})
    late = server.announcement()
    await server.announce()
    await queue_up(client, 500)
    await office.cycle()
    [joining] = await server.announce()
    await server.seat(joining)
    await office.cycle()
    await server.send(late)  # it would offer the seat once more
    await queue_up(client, 501)
    await office.cycle()
    assert [each.players[0].player_id for each in await server.announce()] == [500]


async def test_a_party_comes_whole_into_one_team_or_not_at_all(
    client: MatchmakerClient, office: Office
) -> None:
    apart = Server(client, {3: 0, 7: 1})
    await apart.announce()
    claim = claim_of("p", (500, 501), MODE)
    tickets = {player: await queue_up(client, player, claim) for player in (500, 501)}
    for _ in range(2):
        await office.cycle()
    assert await apart.announce() == []
    assert {(await read(client, player, ticket)).state for player, ticket in tickets.items()} == {"searching"}
    together = Server(client, {1: 0, 6: 1, 8: 1})
    await together.announce()
    await office.cycle()
    [joining] = await together.announce()
    assert sorted(player.player_id for player in joining.players) == [500, 501]
    assert {(player.entity, player.team) for player in joining.players} == {(6, 1), (8, 1)}
    await together.announce(rejected=[joining.proposal_id], excluded=[501])  # one of them cannot come
    await office.cycle()
    assert {(await read(client, player, ticket)).state for player, ticket in tickets.items()} == {"searching"}


async def test_only_those_like_the_ones_who_play_come(
    client: MatchmakerClient, office: Office, skills: StubSkills
) -> None:
    skills.means = {500: 60.0, 501: 25.5}
    server = Server(client, {3: 0}, opened_at=time.time())
    await server.announce()
    await queue_up(client, 500)
    await queue_up(client, 501)
    await office.cycle()
    [joining] = await server.announce()
    assert [player.player_id for player in joining.players] == [501]


@pytest.mark.parametrize("until", ["teams_of_five=0", "teams_of_five=0.5"])
async def test_a_mode_whose_share_is_0_fills_no_running_match(
    client: MatchmakerClient, make_team_director: MakeDirector, mm_settings: Settings, until: str
) -> None:
    settings = Settings.model_validate({**mm_settings.model_dump(), "backfill_until": until})
    office = await office_of(make_team_director(settings))
    server = Server(client, {3: 0})
    await server.announce()
    await queue_up(client, 500)
    await office.cycle()
    assert len(await server.announce()) == (until != "teams_of_five=0")


def test_the_share_is_one_number_a_mode_and_0_where_players_are_asked(mm_settings: Settings) -> None:
    def shares(settings: Settings) -> list[float]:
        return [mode.rules.backfill_until for mode in load_modes(settings).values()]

    assert shares(mm_settings) == [0.1, 0.6, 0.6]
    assert shares(mm_settings.model_copy(update={"backfill_until": "battle_royale=0"})) == [0.0, 0.6, 0.6]
    assert shares(mm_settings.model_copy(update={"accept_s": 5.0})) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("text", ["teams_of_five", "teams_of_five=2", "=0.5", "teams_of_five=x", "a=nan"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a mode, =, and a number from 0 to 1"):
        Settings(backfill_until=text)


async def test_new_matches_are_told_on_what_terms_to_offer_seats(
    client: MatchmakerClient, office: Office, fleet: StubFleet, skills: StubSkills, mm_settings: Settings
) -> None:
    skills.means = {player: 24.0 + player % 3 for player in range(1, 11)}
    for player in range(1, 11):
        await queue_up(client, player)
    await office.cycle()
    [match] = fleet.matches.values()
    assert match["backfill"] == {
        "queue": "teams_of_five",
        "until_s": pytest.approx(0.6 * mm_settings.match_s),
        "group": 0,
        "skill_lowest": 24.0,
        "skill_highest": 26.0,
    }


# --- a director that dies at any point ----------------------------------------------------------------------


async def test_another_director_assigns_whom_the_first_had_only_claimed(
    client: MatchmakerClient, office: Office, make_team_director: MakeDirector, mm_settings: Settings
) -> None:
    server = Server(client, {3: 0})
    await server.announce()
    ticket, _ = await queue_up(client, 500), await queue_up(client, 501)
    await office.cycle()
    second = await office.next(make_team_director, mm_settings)
    [joining] = await server.announce()
    await server.seat(joining)
    with pytest.RaisesGroup(LeaseLostError):
        await office.cycle()
    assert (await read(client, 500, ticket)).state == "proposed"
    third = await second.next(make_team_director, mm_settings)
    await third.cycle()
    assert (await read(client, 500, ticket)).state == "assigned"
    await check_counters(client, queued=2, matched=1, backfilled=1, searching=1)


async def test_another_director_gives_back_whom_the_first_had_claimed_for_a_server_that_is_gone(
    client: MatchmakerClient, office: Office, make_team_director: MakeDirector, mm_settings: Settings
) -> None:
    server = Server(client, {3: 0})
    await server.announce()
    ticket = await queue_up(client, 500)
    await office.cycle()
    await server.close()
    second = await office.next(make_team_director, mm_settings)
    await second.cycle()
    assert (await read(client, 500, ticket)).state == "searching"
    other = Server(client, {2: 1})
    await other.announce()
    await second.cycle()
    assert [each.players[0].player_id for each in await other.announce()] == [500]


async def test_a_director_killed_between_claim_and_assignment_costs_nobody_anything(
    client: MatchmakerClient, fleet: StubFleet, mm_settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "director.log"
    async with served(fleet.app) as fleet_url:
        settings = mm_settings.model_copy(
            update={"fleet_url": fleet_url, "director_lease_s": 0.5, "director_queues": MODE}
        )
        env = {**os.environ, **environment(settings), "LAUNCHDAY_IDENTITY_SECRET": SECRET}

        def start() -> subprocess.Popen[bytes]:
            return child_processes.spawn([sys.executable, "-m", "matchmaker.director"], log=log, env=env)

        first, second = start(), start()
        server = Server(client, {3: 0})
        tickets = {player: await queue_up(client, player) for player in (500, 501)}
        told = await until(server.announce, "a proposal")
        for director in (first, second):  # whichever is in office has claimed, and has not assigned
            director.kill()
            await asyncio.to_thread(director.wait)
        [joining] = told
        await server.seat(joining)
        player = joining.players[0].player_id
        assert (await read(client, player, tickets[player])).state == "proposed"
        third = start()

        async def is_assigned() -> bool:
            await server.announce(admitted=[joining.proposal_id])
            return (await read(client, player, tickets[player])).state == "assigned"

        await until(is_assigned, within_s=100)
        status = await read(client, player, tickets[player])
        third.terminate()
        assert await asyncio.to_thread(third.wait) == 0, log.read_text()
    assert status.assignment is not None
    assert (status.assignment.match_id, status.assignment.entity) == (server.match_id, 3)
    assert [each.state for each in await server.announce()] == ["assigned"]
    await check_counters(client, queued=2, matched=1, backfilled=1, searching=1, matches=0)
    assert "Traceback" not in log.read_text()


async def test_a_director_out_of_office_reserves_nothing(scripts: Scripts) -> None:
    for script in (scripts.propose_backfill, scripts.assign_backfill, scripts.withdraw_backfill):
        with pytest.raises(LeaseLostError):
            await script([MODE, b"7", str(uuid4()), str(uuid4()), "{}", "[]", "[]", ""], mode=MODE)


# --- the route ----------------------------------------------------------------------------------------------


@pytest.fixture
async def http(api_url: str) -> Any:
    headers = {"Authorization": f"Bearer {Signer(SECRET).service_token('server', time.time())}"}
    async with httpx2.AsyncClient(base_url=api_url, headers=headers, trust_env=False) as made:
        yield made


def route(match_id: str) -> str:
    return f"/v1/internal/matches/{match_id}/backfill"


@pytest.mark.parametrize(
    ("change", "pointer", "words"),
    [
        (
            {"mode": "chess"},
            None,
            "there is no mode 'chess'; modes: battle_royale, capture_the_flag, teams_of_five",
        ),
        ({"region": "atlantis"}, None, "there is no region 'atlantis'; regions: west-europe, east-us"),
        ({"address": "localhost"}, "/body", "not appear to be an IPv4 or IPv6 address"),
        ({"port": 0}, "/body/port", ">= 1"),
        (
            {"slots": [{"entity": -1, "team": 0}]},
            "/body/slots/0/entity",
            ">= 0",
        ),
        ({"slots": [{"entity": 1, "team": 0}] * 2}, "/body", "a slot is listed twice"),
        ({"skill_lowest": 30.0}, "/body", "skill_lowest must not be above skill_highest"),
        ({"admitted": ["x"]}, "/body/admitted/0", "Invalid UUID"),
        ({"revision": 0}, "/body/revision", ">= 1"),
        ({"who": 1}, "/body", "unknown field `who`"),
    ],
)
async def test_an_announcement_that_makes_no_sense_is_refused_and_says_where(
    http: httpx2.AsyncClient,
    client: MatchmakerClient,
    cache: Redis,
    change: dict[str, Any],
    pointer: Any,
    words: str,
) -> None:
    server = Server(client, {3: 0})
    answer = await http.put(route(server.match_id), json=server.announcement(**change))
    problem = answer.json()
    assert answer.status_code == 422
    if pointer is None:
        assert words in problem["detail"]
    else:
        assert any(each["pointer"] == pointer and words in each["detail"] for each in problem["errors"]), (
            problem
        )
    assert await cache.exists(KEYS["open_match"] + server.match_id) == 0


async def test_players_may_not_announce_openings(http: httpx2.AsyncClient, client: MatchmakerClient) -> None:
    server = Server(client, {3: 0})
    player = {"Authorization": f"Bearer {token_of(7)}"}
    put = await http.put(route(server.match_id), json=server.announcement(), headers=player)
    delete = await http.delete(route(server.match_id), params={"mode": MODE}, headers=player)
    nobody = await http.put(route(server.match_id), json=server.announcement(), headers={"Authorization": ""})
    assert (put.status_code, delete.status_code, nobody.status_code) == (403, 403, 401)


async def test_no_announcement_whatsoever_is_a_fault_of_the_service(
    http: httpx2.AsyncClient,
    client: MatchmakerClient,
    make_team_director: MakeDirector,
    mm_settings: Settings,
) -> None:
    rng = random.Random(20261125)
    odd: list[Any] = [None, -1, 2**63, 1e308, "", "x" * 70, [], {}, True, [None], {"a": 1}, "\u0000", 0.5]
    server, codes = Server(client, {3: 0, 4: 1}), set()
    await queue_up(client, 500)
    for _ in range(80):
        body = server.announcement(admitted=[str(uuid4())], rejected=[], excluded=[5], over=False)
        for name in rng.sample(sorted(body), rng.randint(0, 2)):
            body[name] = rng.choice(odd)
        if rng.random() < 0.2 and isinstance(body["slots"], list) and body["slots"]:
            body["slots"][0] = rng.choice(odd)
        codes.add((await http.put(route(server.match_id), json=body)).status_code)
    for text in (b"", b"{", b"[]", b"\xff", b'{"mode":' * 50):
        codes.add((await http.put(route(server.match_id), content=text)).status_code)
    assert codes <= {200, 422}, codes
    assert 200 in codes
    office = await office_of(make_team_director(mm_settings))
    await office.cycle()  # what was taken of it, the director can read
