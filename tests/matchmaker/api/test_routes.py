from __future__ import annotations

import asyncio
import time
import uuid

import httpx2
import pytest
from redis.asyncio import Redis

from launchday.identity import Signer
from launchday.settings import Settings
from matchmaker.client import (
    MatchmakerClient,
    MatchmakerUnavailableError,
    NoSuchTicketError,
    TicketEndedError,
    TicketExistsError,
    TicketRefusedError,
)
from matchmaker.queue.lease import Lease
from matchmaker.queue.scripts import KEYS, Scripts
from matchmaker.queue.ticket_store import TicketStore
from tests.matchmaker.conftest import SECRET, WEST_EUROPE, StubSkills, token_of

MODE = "battle_royale"


async def test_a_ticket_is_created_read_and_cancelled(client: MatchmakerClient) -> None:
    player = client.with_token(token_of(7))
    before = time.time()
    created = await player.create_ticket(MODE, WEST_EUROPE)
    assert (created.state, created.repeated) == ("searching", False)
    assert before <= created.created_at <= time.time()
    status = await player.read_ticket(created.ticket_id)
    assert (status.state, status.reason, status.assignment) == ("searching", None, None)
    cancelled = await player.cancel_ticket(created.ticket_id)
    assert (cancelled.state, cancelled.reason) == ("cancelled", "cancelled by the player")
    assert await player.cancel_ticket(created.ticket_id) == cancelled
    assert await player.read_ticket(created.ticket_id, wait_s=30) == cancelled


async def test_the_answer_has_the_agreed_fields_and_nothing_else(
    client: MatchmakerClient, api_url: str
) -> None:
    headers = {"Authorization": f"Bearer {token_of(7)}"}
    async with httpx2.AsyncClient(base_url=api_url, headers=headers, trust_env=False) as http:
        wish = {
            "mode": MODE,
            "latencies_ms": WEST_EUROPE,
            "platform": "pc",
            "cross_play": True,
            "client_key": "k",
        }
        created = await http.post("/v1/tickets", json=wish)
        assert created.status_code == 201
        assert set(created.json()) == {"ticket_id", "state", "created_at"}
        ticket_id = created.json()["ticket_id"]
        read = await http.get(f"/v1/tickets/{ticket_id}")
        assert read.json() == {
            "ticket_id": ticket_id,
            "state": "searching",
            "reason": None,
            "assignment": None,
        }
        again = await http.post("/v1/tickets", json=wish)
        assert (again.status_code, again.json()) == (200, created.json())


async def test_a_player_has_one_live_ticket(client: MatchmakerClient) -> None:
    player = client.with_token(token_of(7))
    first = await player.create_ticket(MODE, WEST_EUROPE, client_key="a")
    assert (await player.create_ticket(MODE, WEST_EUROPE, client_key="a")).ticket_id == first.ticket_id
    with pytest.raises(TicketExistsError, match="already searching") as exists:
        await player.create_ticket(MODE, WEST_EUROPE, client_key="b")
    assert exists.value.ticket_id == first.ticket_id
    await player.cancel_ticket(first.ticket_id)
    second = await player.create_ticket(MODE, WEST_EUROPE, client_key="b")
    assert second.ticket_id != first.ticket_id
    assert (await client.counters())["queued"] == 2


async def test_of_many_creations_at_once_one_makes_a_ticket(client: MatchmakerClient) -> None:
    player = client.with_token(token_of(7))
    outcomes = await asyncio.gather(
        *(player.create_ticket(MODE, WEST_EUROPE, client_key=str(n)) for n in range(20)),
        return_exceptions=True,
    )
    assert sum(not isinstance(outcome, TicketExistsError) for outcome in outcomes) == 1
    assert (await client.counters())["searching"] == 1


@pytest.mark.parametrize(
    ("mode", "latencies", "problem"),
    [
        ("king_of_the_hill", WEST_EUROPE, "no mode 'king_of_the_hill'; modes: battle_royale"),
        (MODE, {"west-europe": 250.5, "east-us": 300.0}, "no region is within 250 ms"),
        (MODE, {"moon-base": 5.0}, "measure at least one of: west-europe, east-us"),
        (MODE, {}, "no region is within 250 ms"),
        (MODE, {"west-europe": -1.0}, "/body/latencies_ms/west-europe: Expected `float` >= 0"),
    ],
)
async def test_a_ticket_that_can_never_match_is_refused(
    client: MatchmakerClient, mode: str, latencies: dict[str, float], problem: str
) -> None:
    with pytest.raises(TicketRefusedError, match="422") as refused:
        await client.with_token(token_of(7)).create_ticket(mode, latencies)
    assert problem in str(refused.value)
    assert (await client.counters())["queued"] == 0


async def test_only_its_player_sees_a_ticket(client: MatchmakerClient) -> None:
    created = await client.with_token(token_of(7)).create_ticket(MODE, WEST_EUROPE)
    stranger = client.with_token(token_of(8))
    with pytest.raises(NoSuchTicketError):
        await stranger.read_ticket(created.ticket_id)
    with pytest.raises(NoSuchTicketError):
        await stranger.cancel_ticket(created.ticket_id)
    with pytest.raises(NoSuchTicketError):
        await stranger.read_ticket(str(uuid.uuid4()))
    with pytest.raises(NoSuchTicketError):
        await anext(stranger.follow_ticket(created.ticket_id))


async def test_the_counters_are_for_services_and_tickets_for_players(client: MatchmakerClient) -> None:
    with pytest.raises(TicketRefusedError, match="403"):
        await client.with_token(token_of(7)).counters()
    with pytest.raises(TicketRefusedError, match="403"):
        await client.create_ticket(MODE, WEST_EUROPE)
    with pytest.raises(TicketRefusedError, match="401"):
        await client.with_token(Signer(SECRET + "x").player_token(7, time.time(), 60)).create_ticket(
            MODE, WEST_EUROPE
        )


async def test_without_skills_nothing_is_queued_and_the_player_may_try_again(
    client: MatchmakerClient, skills: StubSkills
) -> None:
    player = client.with_token(token_of(7))
    skills.away = True
    with pytest.raises(MatchmakerUnavailableError, match="503"):
        await player.create_ticket(MODE, WEST_EUROPE, client_key="a")
    skills.away = False
    assert not (await player.create_ticket(MODE, WEST_EUROPE, client_key="a")).repeated


async def test_a_long_poll_answers_at_the_tickets_end(client: MatchmakerClient) -> None:
    player = client.with_token(token_of(7))
    created = await player.create_ticket(MODE, WEST_EUROPE)
    polls = [asyncio.create_task(player.read_ticket(created.ticket_id, wait_s=30)) for _ in range(3)]
    assert (await player.read_ticket(created.ticket_id, wait_s=0.01)).state == "searching"
    await player.cancel_ticket(created.ticket_id)
    assert [(await poll).state for poll in polls] == ["cancelled"] * 3


async def test_an_event_stream_tells_the_state_and_closes_at_the_end(client: MatchmakerClient) -> None:
    player = client.with_token(token_of(7))
    created = await player.create_ticket(MODE, WEST_EUROPE)
    states = []
    async for status in player.follow_ticket(created.ticket_id):
        states.append(status.state)
        if status.state == "searching":
            await player.cancel_ticket(created.ticket_id)
    assert states == ["searching", "cancelled"]


async def test_expired_tickets_end_once_and_their_players_are_told(
    client: MatchmakerClient, cache: Redis, scripts: Scripts, mm_settings: Settings
) -> None:
    players = {player_id: client.with_token(token_of(player_id)) for player_id in (1, 2, 3)}
    created = {
        player_id: await player.create_ticket(MODE, WEST_EUROPE) for player_id, player in players.items()
    }
    await players[3].cancel_ticket(created[3].ticket_id)
    poll = asyncio.create_task(players[1].read_ticket(created[1].ticket_id, wait_s=30))
    store = TicketStore(cache, scripts)
    assert await Lease(scripts, MODE, 60.0).acquire()  # a queue that is led
    assert await store.expire_due(MODE, created[1].created_at + mm_settings.ticket_ttl_s - 1) == 0
    later = created[3].created_at + mm_settings.ticket_ttl_s
    expired = await asyncio.gather(store.expire_due(MODE, later), store.expire_due(MODE, later))
    assert sum(expired) == 2
    assert (await poll).reason == "no match was found in time"
    with pytest.raises(TicketEndedError, match="expired"):
        await players[2].cancel_ticket(created[2].ticket_id)
    counters = await client.counters()
    assert (counters["queued"], counters["cancelled"], counters["expired"], counters["searching"]) == (
        3,
        1,
        2,
        0,
    )


async def test_tickets_of_one_moment_are_written_and_their_skills_read_together(
    client: MatchmakerClient, skills: StubSkills, cache: Redis
) -> None:
    players = [client.with_token(token_of(player_id)) for player_id in range(1, 61)]
    await asyncio.gather(*(player.create_ticket(MODE, WEST_EUROPE) for player in players))
    assert skills.calls < 60
    assert await cache.xlen(KEYS["queue"] + MODE) == skills.calls
    assert (await client.counters())["searching"] == 60


async def test_after_an_outage_of_the_cache_waiters_look_for_themselves(
    client: MatchmakerClient, cache: Redis
) -> None:
    player = client.with_token(token_of(7))
    created = await player.create_ticket(MODE, WEST_EUROPE)
    poll = asyncio.create_task(player.read_ticket(created.ticket_id, wait_s=30))
    await player.read_ticket(created.ticket_id, wait_s=0.01)
    # The end is written, but nothing on the stream tells it.
    view = f'{{"ticket_id":"{created.ticket_id}","state":"cancelled","reason":"","assignment":null}}'
    await cache.hset(KEYS["ticket"] + created.ticket_id, mapping={"state": "cancelled", "view": view})
    # All connections of the API at once, so that none is cut off in the middle of the look that follows.
    await cache.client_kill_filter(_type="normal", skipme=True)
    assert (await poll).state == "cancelled"


async def test_the_service_is_up_and_describes_itself(api_url: str) -> None:
    async with httpx2.AsyncClient(base_url=api_url, trust_env=False) as http:
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        paths = (await http.get("/openapi.json")).json()["paths"]
    assert {"/v1/tickets", "/v1/tickets/{ticket_id}", "/v1/tickets/{ticket_id}/events"} <= set(paths)
