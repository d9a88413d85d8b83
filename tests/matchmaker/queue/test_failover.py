"""A replica takes over that lacks the last second: nothing is doubled, and nothing hangs.

The cache is set back to an older copy of itself, as such a replica is one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from launchday.clock import ManualClock
from launchday.settings import Settings
from matchmaker.client import MatchmakerClient, MatchmakerUnavailableError, NoSuchTicketError
from matchmaker.errors import LeaseLostError, QueueWentBackError
from matchmaker.queue.lease import Lease
from matchmaker.queue.proposals import MatchProposal
from matchmaker.queue.queue import Queue
from matchmaker.queue.scripts import KEYS, TAG, Scripts
from tests.matchmaker.conftest import WEST_EUROPE, MakeDirector, StubFleet, running, token_of
from tests.matchmaker.queue.queued import MODE, queued
from tests.waiting import until


@dataclass(frozen=True)
class OlderCopy:
    """What the cache had of the queues."""

    cache: Redis
    values: dict[bytes, tuple[bytes, int]]

    @classmethod
    async def of(cls, cache: Redis) -> OlderCopy:
        names: Any = await cache.keys(f"{TAG}:*")
        found = {name: (await cache.dump(name), max(0, await cache.pttl(name))) for name in names}
        return cls(cache, {name: (value, left) for name, (value, left) in found.items() if value is not None})

    async def take_over(self) -> None:
        """As if a replica that had just this became the primary."""
        async with self.cache.pipeline(transaction=True) as pipeline:
            for name in await self.cache.keys(f"{TAG}:*"):
                pipeline.delete(name)
            for name, (value, left_ms) in self.values.items():
                pipeline.restore(name, left_ms, value)
            await pipeline.execute()


async def lead(cache: Redis, scripts: Scripts, settings: Settings) -> Queue:
    lease = Lease(scripts, MODE, 60.0)
    fence = await lease.acquire()
    assert fence is not None
    return Queue(cache, scripts, MODE, settings.region_names, lease, fence)


def match_of(tickets: list[str]) -> MatchProposal:
    n = len(tickets)
    return MatchProposal(
        str(uuid4()), MODE, "west-europe", 1, 60.0, 1.0, tickets, list(range(1, n + 1)), [1.0] * n,
        [12.0] * n, [0] * n,
    )  # fmt: skip


async def test_a_fencing_token_that_was_lost_is_not_given_again(cache: Redis) -> None:
    clock = ManualClock(1_000_000.0)
    lease = Lease(Scripts(cache, 600.0, clock), MODE, 60.0)
    before = await OlderCopy.of(cache)
    lost = await lease.acquire()
    clock.advance(0.01)
    await before.take_over()
    again = await lease.acquire()
    assert lost is not None
    assert again is not None
    assert int(again) > int(lost)


async def test_tokens_count_up_though_clocks_differ_and_beside_processes_before_these(cache: Redis) -> None:
    given = []
    for now in (1_000_000.0, 999_995.0, 1_000_005.0):
        lease = Lease(Scripts(cache, 600.0, ManualClock(now)), MODE, 60.0)
        fence = await lease.acquire()
        assert fence is not None
        await lease.release(fence)
        given += [int(fence), int(await cache.incr(KEYS["fence"] + MODE))]  # as those did
    assert given == sorted(set(given))


async def test_a_director_that_is_given_what_it_has_begins_anew(
    cache: Redis, scripts: Scripts, mm_settings: Settings
) -> None:
    queue = await lead(cache, scripts, mm_settings)
    await queued(scripts, mm_settings, [1, 2])
    before = await OlderCopy.of(cache)
    assert len(await queue.read_new()) == 1
    await before.take_over()
    with pytest.raises(QueueWentBackError):
        await queue.read_new()


async def test_a_match_that_the_cache_has_forgotten_is_not_taken_for_assigned(
    cache: Redis, scripts: Scripts, mm_settings: Settings
) -> None:
    queue = await lead(cache, scripts, mm_settings)
    tickets = await queued(scripts, mm_settings, [1, 2])
    before = await OlderCopy.of(cache)
    match = match_of(tickets)
    assert await queue.propose([match]) == [[]]
    await before.take_over()
    with pytest.raises(QueueWentBackError):
        await queue.assign(match, [b"{}", b"{}"], 2.0)
    assert await cache.hget(KEYS["ticket"] + tickets[0], "state") == b"searching"


async def test_of_two_directors_with_a_token_each_the_one_before_changes_nothing(
    cache: Redis, scripts: Scripts, mm_settings: Settings
) -> None:
    before = await OlderCopy.of(cache)
    stopped = await lead(cache, scripts, mm_settings)
    await before.take_over()
    await queued(scripts, mm_settings, [1, 2])
    leading = await lead(cache, scripts, mm_settings)
    with pytest.raises(LeaseLostError):
        await stopped.read_new()
    assert len(await leading.read_new()) == 1


@pytest.mark.parametrize("lost", ["group", "stream", "lease"])
async def test_a_director_goes_on_from_whatever_is_there(
    cache: Redis, client: MatchmakerClient, make_director: MakeDirector, mm_settings: Settings, lost: str
) -> None:
    director = make_director(mm_settings.model_copy(update={"match_fill_s": 0.0}))
    async with running(director):
        await until(lambda: leads(cache), "a director leads")
        if lost == "group":
            await cache.xgroup_destroy(KEYS["queue"] + MODE, "directors")
        else:
            await cache.delete(KEYS["queue" if lost == "stream" else "lease"] + MODE)
        players = [client.with_token(token_of(player)) for player in (1, 2)]
        made = [await each.create_ticket(MODE, WEST_EUROPE) for each in players]
        ends = [
            await each.wait_for_end(ticket.ticket_id, 20.0)
            for each, ticket in zip(players, made, strict=True)
        ]
    assert [each.state for each in ends] == ["assigned"] * 2


async def test_a_match_being_placed_as_the_queue_goes_back_is_formed_again_and_told_once(
    cache: Redis,
    client: MatchmakerClient,
    make_director: MakeDirector,
    mm_settings: Settings,
    fleet: StubFleet,
) -> None:
    fleet.ready["west-europe"] = 0
    director = make_director(
        mm_settings.model_copy(update={"match_fill_s": 0.0, "allocation_timeout_s": 30.0})
    )
    players = [client.with_token(token_of(player)) for player in (1, 2)]
    made = [await each.create_ticket(MODE, WEST_EUROPE) for each in players]
    before = await OlderCopy.of(cache)
    async with running(director):
        await until(lambda: asked(fleet), "a server is asked for")
        await before.take_over()
        fleet.ready["west-europe"] = 9
        ends = await asyncio.gather(
            *(each.wait_for_end(ticket.ticket_id, 20.0) for each, ticket in zip(players, made, strict=True))
        )
    assert [each.state for each in ends] == ["assigned"] * 2
    assert len({each.assignment.match_id for each in ends if each.assignment}) == 1
    assert await cache.hget(KEYS["counters"], "matched") == b"2"


async def test_a_ticket_that_was_lost_is_not_found_by_whoever_waits_and_its_key_makes_a_new_one(
    cache: Redis, client: MatchmakerClient
) -> None:
    before = await OlderCopy.of(cache)
    player = client.with_token(token_of(1))
    ticket = await player.create_ticket(MODE, WEST_EUROPE, client_key="once")
    following = player.follow_ticket(ticket.ticket_id)
    assert (await anext(following)).state == "searching"
    waiting = asyncio.create_task(player.read_ticket(ticket.ticket_id, wait_s=20.0))
    await until(lambda: waits(cache), "the notifier and nobody else is waited for")
    await before.take_over()
    await cache.client_kill_filter(_type="normal", skipme=True)  # as the primary ends
    async with asyncio.timeout(10.0):
        with pytest.raises(MatchmakerUnavailableError):  # the stream ends; asked again, it is not found
            await anext(following)
        with pytest.raises(NoSuchTicketError):
            await anext(player.follow_ticket(ticket.ticket_id))
        with pytest.raises(NoSuchTicketError):
            await waiting
    again = await player.create_ticket(MODE, WEST_EUROPE, client_key="once")
    assert again.ticket_id != ticket.ticket_id


async def leads(cache: Redis) -> bool:
    return bool(await cache.exists(KEYS["lease"] + MODE))


async def asked(fleet: StubFleet) -> bool:
    return fleet.calls > 0


async def waits(cache: Redis) -> bool:
    """Whether the notifier's read waits in the cache."""
    clients: Any = await cache.client_list()
    return any(each["cmd"] == "xread" for each in clients)
