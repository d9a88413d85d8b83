"""What a step of the wall clock by an hour does to tickets and to the director: nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from dedicated_server.fleet.client import Allocation, FleetUnavailableError
from launchday.clock import ManualClock, SystemClock
from launchday.settings import Settings
from matchmaker.api.ticket_writer import TicketWriter
from matchmaker.director.giving_up import GivingUp
from matchmaker.director.placement import Placement, PlacementOutcome
from matchmaker.director.server_search import ServerSearch
from matchmaker.queue.proposals import MatchProposal, Withdrawal
from matchmaker.queue.queue import Queue
from matchmaker.queue.scripts import Scripts
from matchmaker.queue.ticket_store import TicketStore
from matchmaker.tickets.ticket import Ticket
from tests.matchmaker.conftest import MakeDirector, StubFleet, StubSkills

MODE = "battle_royale"
HOUR_S = 3_600.0


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_a_step_of_the_wall_clock_ends_no_ticket_early(
    cache: Redis,
    skills: StubSkills,
    mm_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    step_s: float,
    make_director: MakeDirector,
    fleet: StubFleet,
) -> None:
    clock = SystemClock()
    scripts = Scripts(cache, mm_settings.ticket_retention_s, clock)
    store, writer = TicketStore(cache, scripts), TicketWriter(scripts, skills, mm_settings.region_names)
    tickets = []
    for player in range(1, 5):
        now = clock.now()
        expires_at = now + mm_settings.ticket_ttl_s
        tickets.append(Ticket(clock.uuid(), player, now, expires_at, "pc", True, "", (12.0, 88.0)))
    real = time.time
    monkeypatch.setattr("launchday.clock.time.time", lambda: real() + step_s)
    await asyncio.gather(*[writer.submit(MODE, ticket) for ticket in tickets])
    clock.now()
    assert await store.expire_due(MODE, clock.now()) == 0
    stored = [await store.read(str(ticket.ticket_id)) for ticket in tickets]
    assert [each.view.state for each in stored if each is not None] == ["searching"] * 4
    director = make_director(mm_settings)
    monkeypatch.setattr(director, "_clock", clock)
    fence = await director._lease.acquire()
    assert fence is not None
    async with asyncio.TaskGroup() as placements:
        await director.match_loop(fence).cycle(placements)
    assert [len(match["players"]) for match in fleet.matches.values()] == [4]


class SilentFleet:
    """A fleet that never answers."""

    def __init__(self) -> None:
        self.calls = 0

    async def allocate(self, *, region: str, match: Mapping[str, Any], idempotency_key: str) -> Allocation:
        self.calls += 1
        raise FleetUnavailableError("no answer")


class Withdrawn:
    """A queue that only hears of matches that are given up."""

    def __init__(self) -> None:
        self.matches: list[str] = []

    async def begin_closing(self, match_id: str) -> None:
        pass

    async def withdraw(
        self, match_id: str, ticket_ids: list[str], *, given_up: str = "", refused: str = ""
    ) -> Withdrawal:
        self.matches.append(match_id)
        return Withdrawal([], 0)


async def test_a_directors_patience_with_the_fleet_is_not_a_matter_of_wall_time() -> None:
    clock, fleet, queue = ManualClock(), SilentFleet(), Withdrawn()
    placement = Placement(
        cast(Queue, queue),
        ServerSearch(fleet, None, fleet_key=bytes(32), clock=clock),
        GivingUp(None, None, clock),
        fleet_key=bytes(32),
        token_ttl_s=60.0,
        retry_for_s=10.0,
        claim_s=30.0,
        clock=clock,
    )
    proposal = MatchProposal(
        "m", MODE, "west-europe", 1, 60.0, clock.now(), ["t"], [1], [clock.now()], [12.0], [0]
    )
    placing = asyncio.create_task(placement.place(proposal))
    for _ in range(3):
        await asyncio.sleep(0)
    clock.step_wall(HOUR_S)
    for _ in range(20):
        assert not placing.done()
        clock.advance(0.3)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert fleet.calls > 3
    for _ in range(10):
        clock.advance(1.0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert (await placing).outcome is PlacementOutcome.FLEET_UNAVAILABLE
    assert queue.matches == ["m"]
