"""Why a ticket waits: asked over HTTP, answered by the director that leads its queue."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from redis.asyncio import Redis

from dedicated_server.fleet.client import AllocatorClient
from launchday.clock import ManualClock, SystemClock
from launchday.identity import OPERATOR, VIEWER, Signer
from launchday.problems import ProblemError
from launchday.settings import Settings
from matchmaker.api.why import MAX_ASKED, WAIT_S, why_it_waits
from matchmaker.client import MatchmakerClient, MatchmakerUnavailableError, NoSuchTicketError
from matchmaker.director import why as director_why
from matchmaker.director.director import Director
from matchmaker.director.why import AT_FAULT, HELD, MAX_TICKETS, NOT_KNOWN, WhyAnswers, tickets_of
from matchmaker.matching.pool import Pool
from matchmaker.queue.lease import Lease
from matchmaker.queue.queue import Queue
from matchmaker.queue.scripts import KEYS, Scripts
from matchmaker.rules.modes import load_modes, load_rules
from matchmaker.tickets.ticket import RecordFormat, binary_ids, text_ids
from tests.matchmaker.conftest import SECRET, WEST_EUROPE, MakeDirector, claim_of, running, token_of
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)  # where the search has not been compiled yet, it is

HUNT = Path(__file__).parents[3] / "docs" / "examples" / "hunt.json"
ATTRIBUTES = {"level": {"N": 10}, "variant": {"S": "day"}, "maps": {"SL": ["harbour", "mill"]}}


@pytest.fixture
def mm_overrides() -> dict[str, Any]:
    return {"rule_sets": f"hunt:teams_of_five={HUNT}", "ticket_liveness_s": 0.0}


@pytest.fixture
def hunt_director(cache: Redis, allocator: AllocatorClient, mm_settings: Settings) -> Director:
    return Director(load_modes(mm_settings)["hunt"].rules, mm_settings, cache, allocator, clock=SystemClock())


@pytest.fixture
async def fence(scripts: Scripts) -> bytes:
    """The office of a director of battle_royale that does nothing."""
    fence = await Lease(scripts, "battle_royale", 60.0).acquire()
    assert fence is not None
    return fence


async def queued(client: MatchmakerClient, player: int, mode: str = "battle_royale", **wish: Any) -> str:
    return (await client.with_token(token_of(player)).create_ticket(mode, WEST_EUROPE, **wish)).ticket_id


async def test_the_rule_that_keeps_a_ticket_waiting_is_named(
    client: MatchmakerClient, hunt_director: Director
) -> None:
    low = await queued(client, 1, "hunt", attributes=ATTRIBUTES)
    for player in (2, 3, 4):
        await queued(client, player, "hunt", attributes=ATTRIBUTES | {"level": {"N": 60}})
    async with running(hunt_director):
        told = await until(lambda: client.why(low), ignore=MatchmakerUnavailableError)
    assert (told["ticket_id"], told["mode"], told["state"]) == (low, "hunt", "searching")
    assert told["waited_s"] >= 0
    assert told["says"] == told["why"]["reason"]
    assert told["why"]["tickets"] == 4
    assert sum(rule["turned_away"] for rule in told["why"]["rules"]) > 0


async def test_a_queue_of_the_fast_kernel_explains_itself_too(
    client: MatchmakerClient, make_director: MakeDirector, mm_settings: Settings
) -> None:
    alone = await queued(client, 1)
    async with running(make_director(mm_settings)):
        told = await until(lambda: client.why(alone), ignore=MatchmakerUnavailableError)
    assert told["why"]["tickets"] == 1
    assert told["says"]


async def test_services_and_operators_may_ask_and_nobody_else(
    client: MatchmakerClient, api_url: str, make_director: MakeDirector, mm_settings: Settings
) -> None:
    own = await queued(client, 1)
    await client.with_token(token_of(1)).cancel_ticket(own)
    signer, now = Signer(SECRET), time.time()
    tokens = {
        "operator": signer.service_token("console", now, roles=(OPERATOR,)),
        "viewer": signer.service_token("console", now, roles=(VIEWER,)),
        "player": token_of(1),
    }
    async with httpx2.AsyncClient(base_url=api_url, trust_env=False) as http:
        status = {
            who: (
                await http.get(f"/v1/tickets/{own}/why", headers={"Authorization": f"Bearer {token}"})
            ).status_code
            for who, token in tokens.items()
        }
        nobody = await http.get(f"/v1/tickets/{own}/why")
        nonsense = await http.get(
            "/v1/tickets/none/why", headers={"Authorization": f"Bearer {tokens['operator']}"}
        )
    assert status == {"operator": 200, "viewer": 403, "player": 403}
    assert (nobody.status_code, nonsense.status_code) == (401, 422)
    with pytest.raises(NoSuchTicketError):
        await client.why(str(uuid.uuid4()))


async def test_what_the_cache_knows_needs_no_director(
    client: MatchmakerClient, cache: Redis, mm_settings: Settings, scripts: Scripts
) -> None:
    cancelled, placing, early = [await queued(client, player) for player in (1, 2, 3)]
    lost = await queued(client, 4)
    await client.with_token(token_of(1)).cancel_ticket(cancelled)
    await cache.hset(KEYS["ticket"] + placing, "state", "proposed")
    await cache.hset(KEYS["ticket"] + early, mapping={"state": "proposed", "accept_by": "9e9"})
    await cache.hset(KEYS["ticket"] + lost, "record", "…")
    first = await queued(client, 5, party=claim_of("p", (5, 6, 7)))
    await queued(client, 6, party=claim_of("p", (5, 6, 7)))
    told = {each: await client.why(each) for each in (cancelled, placing, early, lost, first)}
    assert [told[each]["says"] for each in told] == [
        "the ticket is cancelled: cancelled by the player",
        "its match is getting a server",
        "its match waits for the players to accept it",
        "its match was lost, and its player has not come back for this ticket yet",
        "its party is not complete: 2 of 3 have come",
    ]
    assert {told[each]["why"] for each in told} == {None}
    assert told[cancelled]["state"] == "cancelled"


async def test_a_queue_without_a_director_is_said_at_once(client: MatchmakerClient, api_url: str) -> None:
    alone = await queued(client, 1)
    with pytest.raises(MatchmakerUnavailableError, match="no director leads battle_royale") as away:
        await client.why(alone)
    assert away.value.retry_after_s == 1.0


class Waiter(ManualClock):
    """A clock whose sleeps pass at once, and at each of them something happens."""

    def __init__(self) -> None:
        super().__init__(time.time())
        self.sleeps = 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        self.advance(seconds)
        await self.happens()

    async def happens(self) -> None:
        """Nothing."""


async def test_a_director_that_is_stopped_is_waited_for_no_longer_than_three_seconds(
    client: MatchmakerClient, scripts: Scripts, fence: bytes
) -> None:
    alone = await queued(client, 1)
    clock = Waiter()
    begun = clock.monotonic()
    with pytest.raises(ProblemError, match="did not answer in time") as silent:
        await why_it_waits(scripts, clock, alone)
    assert (silent.value.status, silent.value.headers) == (504, {"Retry-After": "1"})
    assert WAIT_S <= clock.monotonic() - begun <= WAIT_S + 0.1


async def test_who_asks_about_a_ticket_that_ends_meanwhile_learns_how(
    client: MatchmakerClient, scripts: Scripts, fence: bytes
) -> None:
    alone = await queued(client, 1)

    class Cancels(Waiter):
        async def happens(self) -> None:
            await client.with_token(token_of(1)).cancel_ticket(alone)

    told = await why_it_waits(scripts, Cancels(), alone)
    assert (told.state, told.says) == ("cancelled", "the ticket is cancelled: cancelled by the player")


async def test_a_director_that_dies_while_somebody_waits_is_said(
    client: MatchmakerClient, scripts: Scripts, fence: bytes, cache: Redis
) -> None:
    alone = await queued(client, 1)

    class Dies(Waiter):
        async def happens(self) -> None:
            await cache.delete(KEYS["lease"] + "battle_royale")

    with pytest.raises(ProblemError, match="no director leads") as gone:
        await why_it_waits(scripts, Dies(), alone)
    assert gone.value.status == 503


async def ask_why(scripts: Scripts, ticket_id: str) -> list[bytes]:
    keys = [KEYS[name] + ticket_id for name in ("ticket", "why_told")]
    found: list[bytes] = await scripts.ask_why([ticket_id, "1", MAX_ASKED, 5], keys=keys)
    return found


async def test_only_so_many_questions_wait_and_one_ticket_is_asked_about_once(
    client: MatchmakerClient, scripts: Scripts, fence: bytes, cache: Redis
) -> None:
    tickets = [await queued(client, player) for player in range(1, MAX_ASKED + 2)]

    async def ask(ticket_id: str) -> bytes:
        return bytes((await ask_why(scripts, ticket_id))[0])

    answers = [await ask(each) for each in (tickets[0], *tickets)]
    assert answers == [b"asked"] * (MAX_ASKED + 1) + [b"full"]
    assert await cache.llen(KEYS["why_asked"] + "battle_royale") == MAX_ASKED
    assert 0 < await cache.ttl(KEYS["why_asked"] + "battle_royale") <= 5
    with pytest.raises(ProblemError, match="too many ask at once") as full:
        await why_it_waits(scripts, Waiter(), tickets[-1])
    assert (full.value.status, full.value.headers) == (503, {"Retry-After": "1"})


async def test_an_explanation_that_fails_costs_its_asker_an_answer_and_the_queue_nothing(
    client: MatchmakerClient,
    make_director: MakeDirector,
    mm_settings: Settings,
    cache: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> dict[str, Any]:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(WhyAnswers.__init__, "__defaults__", (fail,))
    alone = await queued(client, 1)
    async with running(make_director(mm_settings)):
        await cache.rpush(KEYS["why_asked"] + "battle_royale", "no id", "")
        told = await until(lambda: client.why(alone), ignore=MatchmakerUnavailableError)
        assert (told["says"], told["why"]) == (AT_FAULT, None)
        others = [await queued(client, player) for player in (2, 3, 4)]
        for player, ticket_id in enumerate((alone, *others), start=1):
            end = await client.with_token(token_of(player)).wait_for_end(ticket_id, 50)
            assert end.state == "assigned"


async def test_whoever_asks_how_often_the_queue_goes_on_and_one_answer_follows_another(
    client: MatchmakerClient,
    make_director: MakeDirector,
    mm_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    under_way, most, explained = 0, 0, 0

    def explain(rules: Any, tickets: Sequence[Any], ticket_id: str, now: float, **_: Any) -> dict[str, Any]:
        nonlocal under_way, most, explained
        under_way += 1
        most, explained = max(most, under_way), explained + 1
        under_way -= 1
        return {"reason": "because", "tickets": len(tickets), "infinite": float("inf")}

    monkeypatch.setattr(WhyAnswers.__init__, "__defaults__", (explain,))
    monkeypatch.setattr(director_why, "MIN_PAUSE_S", 0.0)
    waiting = await queued(client, 1, cross_play=False, platform="mobile")
    over = asyncio.Event()

    async def ask() -> int:
        answered = 0
        while not over.is_set() or not answered:
            try:
                told = await client.why(waiting)
            except MatchmakerUnavailableError:
                continue
            assert told["says"] == "because"
            answered += 1
        return answered

    async with running(make_director(mm_settings)):
        asking = [asyncio.create_task(ask()) for _ in range(6)]
        for batch in range(10):
            players = range(10 + 4 * batch, 14 + 4 * batch)
            tickets = {player: await queued(client, player) for player in players}
            for player, ticket_id in tickets.items():
                end = await client.with_token(token_of(player)).wait_for_end(ticket_id, 50)
                assert end.state == "assigned"
        over.set()
        assert min(await asyncio.gather(*asking)) > 0
    assert most == 1
    assert explained > 0
    counters = await client.counters()
    assert (counters["queued"], counters["matched"], counters["searching"]) == (41, 40, 1)


class Told:
    """A queue that keeps what is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bytes]] = []

    async def tell_why(self, ticket_id: str, told: bytes) -> None:
        self.told.append((ticket_id, told))


def pool_of(players: int, regions: int, party: int = 0) -> tuple[Pool, list[str]]:
    """A pool of tickets of like age; the last ``party`` players are one party."""
    clock = ManualClock(1_000.0, seed=3)
    records = np.zeros(players, RecordFormat(regions).dtype)
    ids = [str(clock.uuid()) for _ in range(players)]
    records["ticket_id"] = binary_ids(ids)
    records["player_id"] = np.arange(1, players + 1)
    records["enqueued_at"] = 900.0 + np.arange(players) / players
    records["expires_at"] = 2_000.0
    records["skill_mean"] = np.arange(players)
    records["party_size"] = 1
    records["latency_ms"] = [12.0, *[300.0] * (regions - 1)]
    if party:
        records["party"][-party:], records["party_size"][-party:] = 77, party
    pool = Pool(regions)
    pool.add(b"1-0", records)
    return pool, ids


async def test_a_large_pool_is_looked_at_in_part_with_parties_whole(mm_settings: Settings) -> None:
    pool, ids = pool_of(3 * MAX_TICKETS, 2, party=5)
    seen: list[Any] = []

    def explain(
        rules: Any, tickets: Sequence[Any], ticket_id: str, now: float, **more: Any
    ) -> dict[str, Any]:
        seen.append((tickets, ticket_id, more))
        return {"reason": "because"}

    told: Any = Told()
    answers = WhyAnswers(told, load_rules(mm_settings)["battle_royale"], ["a", "b"], ManualClock(), explain)
    async with asyncio.TaskGroup() as tasks:
        answers.answer(pool, [ids[-2]], 1_000.0, tasks)
        assert answers.wanted() == 0
    [(tickets, asked, more)] = seen
    assert MAX_TICKETS / 2 < len(tickets) <= MAX_TICKETS
    assert len(more["group"]) == len(more["platform"]) == len(tickets)
    [party] = [each for each in tickets if each.ticket_id == asked]
    assert [player.player_id for player in party.players] == [
        str(3 * MAX_TICKETS - i) for i in (4, 3, 2, 1, 0)
    ]
    assert party.start_time == pool.enqueued_at[3 * MAX_TICKETS - 1]
    assert party.players[0].latency_ms == {"a": 12.0}
    assert told.told == [(ids[-2], b'{"says":"because","why":{"reason":"because"}}')]


async def test_held_and_unknown_tickets_are_told_as_such_and_then_there_is_a_pause(
    mm_settings: Settings,
) -> None:
    pool, ids = pool_of(3, 2)
    pool.hold(pool.find(binary_ids(ids[:1])))
    told: Any = Told()
    clock = ManualClock()
    answers = WhyAnswers(told, load_rules(mm_settings)["battle_royale"], ["a", "b"], clock)
    for ticket_id in (ids[0], str(uuid.uuid4())):
        assert answers.wanted() == 1
        async with asyncio.TaskGroup() as tasks:
            answers.answer(pool, [ticket_id], 1_000.0, tasks)
        assert answers.wanted() == 0
        clock.advance(0.3)
    assert [HELD in told.told[0][1].decode(), NOT_KNOWN in told.told[1][1].decode()] == [True, True]


def test_a_party_that_is_not_whole_is_nobodys_partner(mm_settings: Settings) -> None:
    pool, ids = pool_of(4, 1, party=3)
    pool.remove(pool.find(binary_ids(ids[-1:])))
    rows = pool.searching(1_000.0)
    kept = RecordFormat(1).unpack(pool.requeue_record(rows).records)
    seen = director_why.Snapshot(kept, [], ids[-2], 1_000.0)
    tickets, *_, asked = tickets_of(seen, load_rules(mm_settings)["battle_royale"], ["a"])
    assert ([each.ticket_id for each in tickets], asked) == ([ids[0]], None)
    assert text_ids(kept["ticket_id"]) == ids[:3]


async def test_the_directors_round_trips_are_the_same_whether_anybody_asks(
    client: MatchmakerClient,
    cache: Redis,
    scripts: Scripts,
    fence: bytes,
    mm_settings: Settings,
) -> None:
    queue = Queue(
        cache,
        scripts,
        "battle_royale",
        mm_settings.region_names,
        Lease(scripts, "battle_royale", 60.0),
        fence,
    )
    tickets = [await queued(client, player) for player in (1, 2)]
    for each in tickets:
        await ask_why(scripts, each)
    assert len(await queue.read_new()) > 0
    assert queue.asked == []
    await queue.read_new(1)
    assert queue.asked == tickets[:1]
    await queue.read_unfinished()
    assert queue.asked == []
    assert await cache.llen(KEYS["why_asked"] + "battle_royale") == 1
