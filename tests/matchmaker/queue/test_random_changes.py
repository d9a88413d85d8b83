"""Whatever changes tickets, in any order: each has one state, the books balance, parties stay together."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from redis.asyncio import Redis

from launchday.clock import ManualClock
from launchday.settings import Settings
from matchmaker.api.ticket_writer import TicketWriter
from matchmaker.queue.lease import Lease
from matchmaker.queue.proposals import MatchProposal
from matchmaker.queue.queue import Queue
from matchmaker.queue.scripts import KEYS, Scripts
from matchmaker.queue.ticket_store import TicketStore
from matchmaker.tickets.ticket import Ticket
from tests.matchmaker.conftest import StubSkills

MODE = "battle_royale"
PLAYERS = 9  # 1 to 5 queue alone, 6 and 7 together, 8 and 9 too
STEPS = 200
ENDS = ("matched", "cancelled", "expired", "failed")


class World:
    """Players, an API and a director of one queue, step by step, in virtual time."""

    def __init__(self, cache: Redis, settings: Settings, seed: int) -> None:
        self.cache, self.settings = cache, settings
        self.chance = random.Random(seed)
        self.clock = ManualClock(1_000_000.0, seed=seed)
        self.scripts = Scripts(cache, 600.0, self.clock)
        self.store = TicketStore(cache, self.scripts)
        self.lease = Lease(self.scripts, MODE, 3_600.0)
        self.writer = TicketWriter(self.scripts, StubSkills(), settings.region_names)
        self.tickets: list[tuple[str, int]] = []
        self.matches: dict[str, MatchProposal] = {}  # as the director knows them
        self.queue: Queue

    async def take_office(self) -> None:
        """A director takes over: it knows of the matches that lie in the cache, and of nothing else."""
        await self.cache.delete(KEYS["lease"] + MODE)
        fence = await self.lease.acquire()
        assert fence is not None
        self.queue = Queue(self.cache, self.scripts, MODE, self.settings.region_names, self.lease, fence)
        found, unreadable = await self.queue.proposals()
        assert unreadable == []
        self.matches = {each.match_id: each for each in found}

    async def create(self) -> None:
        player = self.chance.randint(1, PLAYERS)
        party = {6: "a", 7: "a", 8: "b", 9: "b"}.get(player, "")
        now = self.clock.now()
        ticket = Ticket(
            self.clock.uuid(), player, now, now + self.chance.choice((5.0, 60.0)), "pc", True,
            self.chance.choice(("", "k", "l")), (12.0,) * len(self.settings.region_names), party,
            2 if party else 1, wish=self.chance.choice("vw"),
        )  # fmt: skip
        writing = self.writer.enqueue(MODE, ticket)
        await self.writer.drain()
        if (await writing).outcome == "created":
            self.tickets.append((str(ticket.ticket_id), player))

    async def propose(self) -> None:
        states = await self.states()
        searching = [each for each in self.tickets if states[each[0]] == "searching"]
        whole = await self.whole(searching)
        if len(whole) < 2:
            return
        asked = self.chance.random() < 0.7
        n, ids = len(whole), [ticket_id for ticket_id, _ in whole]
        proposal = MatchProposal(
            str(self.clock.uuid()), MODE, "west-europe", 1, 60.0, 1.0, ids, [player for _, player in whole],
            [1.0] * n, [12.0] * n, [0] * n, self.clock.now() + 3.0 if asked else None,
        )  # fmt: skip
        assert await self.queue.propose([proposal]) == [[]]
        self.matches[proposal.match_id] = proposal

    async def whole(self, searching: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Some of them, parties whole."""
        chosen = []
        for group in ([1], [2], [3], [4], [5], [6, 7], [8, 9]):
            members = [each for each in searching if each[1] in group]
            if len(members) == len(group) and self.chance.random() < 0.7:
                chosen += members
        return chosen

    async def answer(self) -> None:
        """A player says something about a ticket, theirs or an old one."""
        if self.tickets:
            ticket_id, player = self.chance.choice(self.tickets[-20:])
            say = self.chance.choice(("accept", "accept", "reject", "cancel"))
            if say == "accept":
                await self.store.accept(ticket_id, player, self.clock.now())
            elif say == "reject":
                await self.store.reject(ticket_id, player)
            else:
                await self.store.cancel(ticket_id, player)

    async def end_session(self) -> None:
        row = (str(self.chance.randint(1, PLAYERS)), repr(self.clock.now()), "", "logged out")
        await self.scripts.end_sessions([msgspec.msgpack.encode([row])], players=[row[0]])

    async def direct(self) -> None:
        """The director looks at one of its matches, as `MatchLoop` does."""
        if not self.matches:
            return
        proposal = self.matches[self.chance.choice(list(self.matches))]
        [count] = await self.queue.accepted([proposal.match_id])
        states = await self.states()
        if proposal.accept_by is not None and count < len(proposal.ticket_ids):
            if count >= 0 and self.clock.now() <= proposal.accept_by:
                return
            ended = await self.queue.decline(proposal)
            if ended is None:
                return
            after = await self.states()
            for place, ticket_id in enumerate(proposal.ticket_ids):
                assert (after[ticket_id] != "searching") == (place in ended), (count, states[ticket_id])
        else:
            what = self.chance.choice(("assign", "withdraw", "fail"))
            if what == "assign":
                views = [
                    f'{{"ticket_id":"{id_}","state":"assigned","reason":null,"assignment":null}}'.encode()
                    for id_ in proposal.ticket_ids
                ]
                await self.queue.assign(proposal, views, self.clock.now())
            elif what == "withdraw":
                await self.queue.withdraw(proposal.match_id, proposal.ticket_ids)
            else:
                await self.queue.fail(proposal, "nothing works")
        del self.matches[proposal.match_id]

    async def pass_time(self) -> None:
        self.clock.advance(self.chance.choice((0.1, 0.5, 2.0)))
        await self.scripts.attend(["api"])
        await self.store.expire_due(MODE, self.clock.now())

    async def states(self) -> dict[str, str]:
        pipeline = self.cache.pipeline(transaction=False)
        for ticket_id, _ in self.tickets:
            pipeline.hget(KEYS["ticket"] + ticket_id, "state")
        found: Any = await pipeline.execute()
        return {each[0]: (state or b"").decode() for each, state in zip(self.tickets, found, strict=True)}

    async def check(self) -> None:
        """What holds at every instant."""
        states = await self.states()
        counted: Any = await self.cache.hgetall(KEYS["counters"])
        counters = {name.decode(): value for name, value in counted.items()}
        live = {each for each, state in states.items() if state in ("searching", "proposed", "accepted")}
        kept: Any = await self.cache.zrange(KEYS["live"] + MODE, 0, -1)
        assert {each.decode() for each in kept} == live
        ended = {name: int(counters.get(name, 0)) for name in ENDS}
        names = {"matched": "assigned"}
        assert ended == {
            name: sum(state == names.get(name, name) for state in states.values()) for name in ENDS
        }
        assert int(counters.get("queued", 0)) == len(self.tickets) == len(live) + sum(ended.values())
        stored: Any = await self.cache.hgetall(KEYS["proposals"] + MODE)
        claimed = [
            ticket_id
            for proposal in stored.values()
            for ticket_id in msgspec.json.decode(proposal, type=MatchProposal).ticket_ids
        ]
        assert len(claimed) == len(set(claimed))
        assert set(claimed) == {each for each, state in states.items() if state in ("proposed", "accepted")}
        waits: Any = await self.cache.hgetall(KEYS["accepted"] + MODE)
        for match_id, count in waits.items():
            assert match_id in stored or int(count) < 0
            assert match_id in stored or match_id.decode() in self.matches
        for together in ((6, 7), (8, 9)):
            now = [
                state for (ticket_id, player), state in zip(self.tickets, states.values(), strict=True)
                if player in together and ticket_id in live
            ]  # fmt: skip
            assert len(now) <= 2
            assert len({state == "searching" for state in now}) <= 1


@pytest.mark.parametrize("seed", range(4))
async def test_the_books_balance_after_every_change_whatever_the_order(
    cache: Redis, mm_settings: Settings, seed: int
) -> None:
    world = World(cache, mm_settings, seed)
    await world.take_office()
    steps = [world.create] * 5 + [world.propose] * 2 + [world.answer] * 8 + [world.direct] * 4
    steps += [world.pass_time] * 2 + [world.end_session, world.take_office]
    for _ in range(STEPS):
        await world.chance.choice(steps)()
        await world.check()
    assert len(world.tickets) > 20
    assert UUID(world.tickets[0][0])
