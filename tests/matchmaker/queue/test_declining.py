"""Players who say no to a match that waits for their yes: it is given up at once, whoever leads the queue."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis

from launchday.settings import Settings
from matchmaker.client import (
    MatchmakerClient,
    MatchmakerClientError,
    NoSuchTicketError,
    TicketEndedError,
    TicketRefusedError,
)
from matchmaker.queue.lease import Lease
from matchmaker.queue.proposals import MatchProposal
from matchmaker.queue.queue import CLOSING, Queue
from matchmaker.queue.scripts import KEYS, Scripts
from tests.matchmaker.conftest import WEST_EUROPE, MakeDirector, claim_of, running, token_of
from tests.waiting import until

MODE = "battle_royale"
MATCH = "6f9619ff-8b86-4d11-b42d-00c04fc964ff"
DECLINED = "the match was declined"


@pytest.fixture
async def queue(cache: Redis, scripts: Scripts, mm_settings: Settings) -> Queue:
    """The queue of a director that does nothing by itself."""
    lease = Lease(scripts, MODE, 3_600.0)
    fence = await lease.acquire()
    assert fence is not None
    return Queue(cache, scripts, MODE, mm_settings.region_names, lease, fence)


class Asked:
    """A match of players 1, 2, 3 …, who are asked to accept it; the last ``party`` of them are one."""

    def __init__(self, client: MatchmakerClient, queue: Queue) -> None:
        self.client = client
        self.queue = queue
        self.tickets: list[str] = []
        self.proposal: MatchProposal

    def own(self, player: int) -> MatchmakerClient:
        return self.client.with_token(token_of(player))

    async def propose(self, players: int, *, party: int = 0, accept_s: float = 600.0) -> Asked:
        for player in range(1, players + 1):
            members = range(players - party + 1, players + 1)
            named = claim_of("p", members) if player in members else None
            made = await self.own(player).create_ticket(MODE, WEST_EUROPE, party=named)
            self.tickets.append(made.ticket_id)
        ids, n, until = list(range(1, players + 1)), players, time.time() + accept_s
        self.proposal = MatchProposal(
            MATCH, MODE, "west-europe", 1, 60.0, 1.0, self.tickets, ids, [1.0] * n, [12.0] * n, [0] * n, until
        )  # fmt: skip
        assert await self.queue.propose([self.proposal]) == [[]]
        return self

    async def accept(self, players: Sequence[int]) -> None:
        for player in players:
            await self.own(player).accept_match(self.tickets[player - 1])

    async def reject(self, player: int) -> tuple[str, str | None]:
        read = await self.own(player).reject_match(self.tickets[player - 1])
        return read.state, read.reason

    async def states(self) -> list[str]:
        return [
            (await self.own(player).read_ticket(ticket_id)).state
            for player, ticket_id in enumerate(self.tickets, start=1)
        ]


@pytest.fixture
def asked(client: MatchmakerClient, queue: Queue) -> Asked:
    return Asked(client, queue)


async def test_who_rejects_is_cancelled_with_the_party_and_the_others_search_on_without_any_director(
    asked: Asked, client: MatchmakerClient
) -> None:
    await asked.propose(5, party=2)
    await asked.accept([1, 5])
    assert await asked.reject(5) == ("cancelled", DECLINED)
    assert await asked.states() == ["searching"] * 3 + ["cancelled"] * 2
    counters = await client.counters()
    assert (counters["queued"], counters["cancelled"], counters["searching"]) == (5, 2, 3)
    # Its director reads it, and learns who has ended.
    assert (await asked.queue.accepted([MATCH]))[0] < 0
    assert await asked.queue.decline(asked.proposal) == [3, 4]
    assert await asked.queue.accepted([MATCH]) == [0]


async def test_whoever_was_declined_with_the_party_may_queue_again_at_once(asked: Asked) -> None:
    await asked.propose(4, party=2)
    await asked.reject(4)
    claim = claim_of("again", (3, 4))
    again = [await asked.own(player).create_ticket(MODE, WEST_EUROPE, party=claim) for player in (3, 4)]
    assert [each.state for each in again] == ["searching"] * 2
    assert [each.repeated for each in again] == [False] * 2


async def test_the_others_keep_their_age_and_can_be_proposed_anew(asked: Asked, cache: Redis) -> None:
    await asked.propose(3)
    before = [await cache.hget(KEYS["ticket"] + each, "created_at") for each in asked.tickets]
    await asked.reject(1)
    assert [await cache.hget(KEYS["ticket"] + each, "created_at") for each in asked.tickets] == before
    await asked.queue.decline(asked.proposal)
    assert await asked.queue.propose([asked.proposal]) == [[0]]


async def test_rejecting_twice_answers_the_same_and_counts_once(
    asked: Asked, client: MatchmakerClient
) -> None:
    await asked.propose(2)
    answers = await asyncio.gather(*[asked.reject(1) for _ in range(8)])
    assert set(answers) == {("cancelled", DECLINED)}
    assert (await client.counters())["cancelled"] == 1


async def test_a_cancelled_ticket_of_a_match_that_waits_is_a_no(asked: Asked) -> None:
    await asked.propose(3)
    ended = await asked.own(2).cancel_ticket(asked.tickets[1])
    assert (ended.state, ended.reason) == ("cancelled", "cancelled by the player")
    assert await asked.states() == ["searching", "cancelled", "searching"]


async def test_a_match_that_all_have_accepted_is_not_declined_any_more(asked: Asked) -> None:
    await asked.propose(2)
    await asked.accept([1, 2])
    with pytest.raises(TicketEndedError, match="getting its server already"):
        await asked.reject(1)
    assert not (await asked.own(1).read_ticket(asked.tickets[0])).cancel_requested
    marked = await asked.own(1).cancel_ticket(asked.tickets[0])
    assert (marked.state, marked.cancel_requested) == ("accepted", True)
    assert await asked.queue.accepted([MATCH]) == [2]


async def test_a_match_that_is_being_closed_stays_closed(asked: Asked) -> None:
    await asked.propose(2)
    await asked.accept([1, 2])
    await asked.queue.begin_closing(MATCH)
    await asked.own(1).cancel_ticket(asked.tickets[0])
    assert await asked.queue.accepted([MATCH]) == [CLOSING]


async def test_there_is_nothing_to_reject_where_no_match_waits(
    asked: Asked, client: MatchmakerClient
) -> None:
    made = await asked.own(1).create_ticket(MODE, WEST_EUROPE)
    with pytest.raises(TicketEndedError, match="no match waits for your yes or no"):
        await asked.own(1).reject_match(made.ticket_id)
    with pytest.raises(NoSuchTicketError):
        await asked.own(2).reject_match(made.ticket_id)
    with pytest.raises(TicketRefusedError, match="403"):
        await client.reject_match(made.ticket_id)
    await asked.own(1).cancel_ticket(made.ticket_id)
    assert (await asked.own(1).reject_match(made.ticket_id)).reason == "cancelled by the player"


async def test_after_the_time_to_accept_whoever_had_not_accepted_ends_too(
    asked: Asked, scripts: Scripts
) -> None:
    await scripts.attend(["api"])
    await asked.propose(4, accept_s=-0.5)
    await asked.accept([1])
    await asked.reject(2)
    assert await asked.states() == ["searching", "cancelled", "cancelled", "cancelled"]


async def test_a_proposal_that_cannot_be_read_is_left_to_the_director(asked: Asked, cache: Redis) -> None:
    await asked.propose(2)
    await cache.hset(KEYS["proposals"] + MODE, MATCH, "[")
    with pytest.raises(TicketEndedError):
        await asked.reject(1)
    assert await asked.states() == ["proposed", "proposed"]
    assert not (await asked.own(1).read_ticket(asked.tickets[0])).cancel_requested


async def test_who_follows_a_ticket_hears_that_it_searches_again(asked: Asked) -> None:
    await asked.propose(2)
    seen = []
    async for view in asked.own(1).follow_ticket(asked.tickets[0]):
        seen.append(view.state)
        if view.state == "proposed":
            await asked.reject(2)
        elif len(seen) > 1:
            break
    assert seen[-2:] == ["proposed", "searching"]


async def test_a_declined_match_of_a_dead_director_is_nobodys(
    asked: Asked, cache: Redis, scripts: Scripts
) -> None:
    await asked.propose(2)
    await cache.delete(KEYS["lease"] + MODE)
    await asked.reject(1)
    assert await Lease(scripts, MODE, 60.0).acquire()
    assert await cache.hlen(KEYS["accepted"] + MODE) == 0
    assert await cache.hlen(KEYS["proposals"] + MODE) == 0


async def test_who_leaves_between_a_no_and_the_directors_next_cycle_leaves_no_trace_in_the_pool(
    client: MatchmakerClient, make_director: MakeDirector, mm_settings: Settings, scripts: Scripts
) -> None:
    settings = mm_settings.model_copy(update={"accept_s": 600.0})
    own = {player: client.with_token(token_of(player)) for player in range(1, 9)}
    tickets = {p: (await own[p].create_ticket(MODE, WEST_EUROPE)).ticket_id for p in range(1, 5)}
    fence = await Lease(scripts, MODE, 60.0).acquire()
    assert fence is not None
    loop = make_director(settings).match_loop(fence)
    async with asyncio.TaskGroup() as placements:
        await loop.cycle(placements)
        assert (await own[1].read_ticket(tickets[1])).state == "proposed"
        await own[1].reject_match(tickets[1])
        await own[2].cancel_ticket(tickets[2])
        # New tickets, which may get the rows of those that left.
        tickets |= {p: (await own[p].create_ticket(MODE, WEST_EUROPE)).ticket_id for p in (1, 5)}
        for _ in range(3):
            await loop.cycle(placements)
    live = [(await own[p].read_ticket(tickets[p])).state for p in (1, 3, 4, 5)]
    assert live == ["proposed"] * 4
    assert len(loop.pool) == 4


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_players_and_directors_do_each_ticket_ends_once_and_the_books_balance(
    client: MatchmakerClient, make_director: MakeDirector, mm_settings: Settings, cache: Redis, seed: int
) -> None:
    settings = mm_settings.model_copy(update={"accept_s": 0.3, "director_lease_s": 0.3})
    chance = random.Random(seed)
    over = asyncio.Event()
    made: list[str] = []

    async def ticket_of(number: int) -> str:
        ticket: dict[str, Any] = {"player_id": number, "mode": MODE, "latencies_ms": WEST_EUROPE}
        if number < 6:  # a service queues them: their party keeps its name
            ticket["party"] = {"party_id": f"p{number // 2}", "size": 2}
        [answer] = await client.create_tickets([ticket])
        if answer["outcome"] == "created":
            made.append(answer["ticket_id"])
        elif answer["outcome"] != "busy":
            raise TicketEndedError(answer["outcome"])
        return str(answer["ticket_id"])

    async def player(number: int) -> None:
        own = client.with_token(token_of(number))
        while not over.is_set():
            try:
                ticket_id = await ticket_of(number)
                await until(partial(asked_or_over, own, ticket_id), within_s=60.0)
                calls: list[Any] = [own.accept_match, own.accept_match, own.reject_match, own.cancel_ticket]
                await asyncio.gather(
                    *[call(ticket_id) for call in chance.sample(calls, chance.randint(0, 3))],
                    return_exceptions=True,
                )
                await until(partial(answered, own, ticket_id), within_s=60.0)
            except MatchmakerClientError:  # one of the party was first
                await asyncio.sleep(0)

    async def asked_or_over(own: MatchmakerClient, ticket_id: str) -> bool:
        view = await own.read_ticket(ticket_id)
        return over.is_set() or view.final or view.accept_requested

    async def answered(own: MatchmakerClient, ticket_id: str) -> bool:
        view = await own.read_ticket(ticket_id)
        return over.is_set() or view.final or view.state == "searching"

    players = [asyncio.create_task(player(number)) for number in range(2, 14)]
    for _ in range(4):
        director = make_director(settings)
        before = len(made)
        async with running(director) as task:
            await until(lambda: len(made) >= before + 12, within_s=60.0)  # noqa: B023
            if chance.random() < 0.5:  # it dies holding the lease, as a killed process does
                task.cancel()
                await cache.delete(KEYS["lease"] + MODE)
    over.set()
    await asyncio.gather(*players)
    counters = await client.counters()
    ended = sum(counters[name] for name in ("matched", "cancelled", "expired", "failed"))
    assert counters["queued"] == len(made) == ended + counters["searching"]
    states = [(await cache.hget(KEYS["ticket"] + each, "state")) or b"" for each in made]
    final = [each for each in states if each in (b"assigned", b"cancelled", b"expired", b"failed")]
    assert (len(final), len(states) - len(final)) == (ended, counters["searching"])
    assert counters["cancelled"] > 0
