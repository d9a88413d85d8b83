"""Late servers are waited for, what is given up is taken back: by the model of a slow fleet, and by cases."""

from __future__ import annotations

import asyncio
from typing import cast
from uuid import UUID

import pytest

from dedicated_server.fleet.client import Allocation, FleetRefusedError, MatchLostError, NoServerReadyError
from dedicated_server.protocol.reasons import EXPIRED
from dedicated_server.protocol.refusal import Refusal
from dedicated_server.protocol.server_addresses import ServerAddresses
from launchday.clock import ManualClock
from matchmaker.director.giving_up import GivingUp
from matchmaker.director.patience import Patience
from matchmaker.director.placement import Placed, Placement, PlacementOutcome
from matchmaker.director.reach import TokenRefusedError
from matchmaker.director.region_waits import RegionWaits
from matchmaker.director.server_search import ServerSearch
from matchmaker.queue.proposals import MatchProposal, Withdrawal
from matchmaker.queue.queue import Queue
from tests.matchmaker.conftest import KnowingFleet, StubMeta
from tests.matchmaker.director.slow_fleet import SlowFleet, run_matches

MATCH = str(UUID(int=7))
FORMED = 20


@pytest.mark.parametrize(("servers_s", "machine_s"), [(0.0, 0.0), (4.0, 0.0), (0.0, 4.0), (0.0, 10.0)])
async def test_servers_that_stand_still_are_waited_for(servers_s: float, machine_s: float) -> None:
    fleet = SlowFleet(ManualClock(), lambda _: servers_s, stopped_s=machine_s)
    found = await run_matches(fleet, FORMED)
    assert (found.formed, found.strayed) == (FORMED, [])
    assert found.started <= 1.1 * FORMED


async def test_every_third_server_that_stands_still_costs_no_second_one() -> None:
    fleet = SlowFleet(ManualClock(), lambda number: 0.0 if number % 3 else 4.0)
    found = await run_matches(fleet, FORMED)
    assert (found.formed, found.started, found.strayed) == (FORMED, FORMED, [])


async def test_without_patience_servers_are_started_in_vain() -> None:
    found = await run_matches(SlowFleet(ManualClock(), lambda _: 4.0), FORMED, claim_s=0.0)
    assert found.started > 1.1 * FORMED


@pytest.mark.parametrize("takes_back", [True, False])
async def test_what_is_given_up_is_taken_back_or_its_players_stay_where_nobody_told_them(
    takes_back: bool,
) -> None:
    """Servers that stand still for longer than the fleet believes in them: their matches are closed."""
    fleet = SlowFleet(ManualClock(), lambda number: 0.0 if number >= FORMED else 14.0, takes_back)
    found = await run_matches(fleet, FORMED)
    assert bool(found.strayed) is not takes_back
    assert (found.formed == FORMED and found.started == 2 * FORMED) is takes_back


class Answering:
    """An allocator that answers what the test says, one after the other; the last answer again and again."""

    def __init__(self, *answers: Allocation | Exception) -> None:
        self._answers = list(answers)
        self.calls = 0

    async def allocate(self, **_: object) -> Allocation:
        self.calls += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class WrittenQueue:
    """A queue that notes what is written to it."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.given_up: list[str] = []

    async def begin_closing(self, match_id: str) -> None:
        self.written.append("closing")

    async def withdraw(
        self, match_id: str, ticket_ids: list[str], *, given_up: str = "", refused: str = ""
    ) -> Withdrawal:
        self.written.append("withdrawn")
        self.given_up.append(given_up)
        return Withdrawal([], 1 if refused else 0)

    async def assign(self, *_: object) -> None:
        self.written.append("assigned")

    async def fail(self, *_: object) -> None:
        self.written.append("failed")


SERVER = Allocation("gs-1", ServerAddresses(("127.0.0.1",)), 7000)


class World:
    """A placement and what it stands on, in virtual time."""

    def __init__(self, *answers: Allocation | Exception, silent: bool = True) -> None:
        self.clock = ManualClock()
        self.queue = WrittenQueue()
        self.allocator = Answering(*answers)
        self.fleet = KnowingFleet()
        self.meta = StubMeta()
        self.silent = silent

    async def probe(self, address: str, port: int, token: bytes) -> bool:
        await self.clock.sleep(2.0)
        return not self.silent

    async def place(
        self, *, within_s: float = 300.0, recovered: bool = False, closing: bool = False
    ) -> Placed:
        clock = self.clock
        placement = Placement(
            cast(Queue, self.queue),
            ServerSearch(self.allocator, self.fleet, fleet_key=bytes(32), clock=clock, probe=self.probe),
            GivingUp(self.meta, self.fleet, clock),
            fleet_key=bytes(32),
            token_ttl_s=60.0,
            retry_for_s=10.0,
            claim_s=30.0,
            clock=clock,
        )
        now = clock.now()
        proposal = MatchProposal(
            MATCH, "battle_royale", "west-europe", 1, 60.0, now, [MATCH], [1], [now], [12.0], [0]
        )
        placing = asyncio.create_task(placement.place(proposal, recovered=recovered, closing=closing))
        for _ in range(round(within_s / 0.5)):
            for _ in range(8):
                await asyncio.sleep(0)
            if placing.done():
                break
            clock.advance(0.5)
        assert placing.done(), "the match is still being placed"
        for _ in range(4):
            await asyncio.sleep(0)
        return await placing


async def test_a_server_that_never_answers_is_given_up_once_the_meta_service_has_closed_its_match() -> None:
    world = World(SERVER)
    begun = world.clock.monotonic()
    placed = await world.place()
    assert placed.outcome is PlacementOutcome.UNREACHABLE
    assert placed.why == "server-silent"
    assert world.clock.monotonic() - begun == pytest.approx(30.0, abs=3.0)
    assert world.meta.closed == [(MATCH, False)]
    assert world.queue.written == ["closing", "withdrawn"]
    assert world.fleet.ended == [MATCH]


async def test_a_server_whose_clock_is_wrong_is_given_up_with_that_reason() -> None:
    world = World(SERVER)

    async def refuses(address: str, port: int, token: bytes) -> bool:
        await world.clock.sleep(2.0)
        raise TokenRefusedError(Refusal(EXPIRED, world.clock.wall() + 3600.0))

    world.probe = refuses  # type: ignore[method-assign]
    placed = await world.place()
    assert (placed.outcome, placed.why) == (PlacementOutcome.UNREACHABLE, "token-expired")
    assert placed.reason == f"{SERVER.name} takes connect tokens for expired: its clock is +3600 s off"


async def test_a_match_whose_players_have_come_gets_one_more_chance_before_it_is_forced() -> None:
    world = World(SERVER)
    world.meta.come.add(MATCH)
    await world.place()
    assert world.meta.closed == [(MATCH, True)]
    assert world.queue.written == ["closing", "closing", "withdrawn"]


async def test_while_the_meta_service_is_away_nobody_is_found_another_match() -> None:
    world = World(SERVER)
    world.meta.away = True
    with pytest.raises(AssertionError, match="still being placed"):
        await world.place(within_s=60.0)
    assert world.meta.calls > 3
    assert world.queue.written == ["closing"]


async def test_a_server_that_the_fleet_says_is_gone_is_not_waited_for() -> None:
    world = World(SERVER)
    world.fleet.dead[MATCH] = "killed"
    placed = await world.place(within_s=10.0)
    assert (placed.outcome, placed.why, placed.reason) == (
        PlacementOutcome.UNREACHABLE,
        "server-gone",
        "killed",
    )
    assert world.meta.closed == [(MATCH, True)]


async def test_players_who_were_all_refused_are_told_apart_from_a_dead_server() -> None:
    world = World(SERVER, MatchLostError("gone"))
    world.fleet.dead[MATCH] = "check-out: every player was refused (checked-out by gs-9: 4)"
    placed = await world.place(within_s=10.0)
    assert placed.outcome is PlacementOutcome.PLAYERS_REFUSED
    assert world.queue.given_up == ["players-refused"]


@pytest.mark.parametrize("answer", [MatchLostError("gone"), FleetRefusedError("HTTP 403")])
async def test_a_match_that_another_director_left_is_closed_and_searched_for_again_and_never_fails(
    answer: Exception,
) -> None:
    world = World(answer)
    placed = await world.place(recovered=True)
    assert placed.outcome in (PlacementOutcome.UNREACHABLE, PlacementOutcome.NO_SERVER)
    assert world.queue.written == ["closing", "withdrawn"]
    assert len(world.meta.closed) == 1


async def test_a_fresh_match_that_gets_no_server_is_given_back_without_a_call_to_the_meta_service() -> None:
    world = World(NoServerReadyError("none", 3.0))
    placed = await world.place(within_s=1.0)
    assert (placed.outcome, placed.retry_after_s) == (PlacementOutcome.NO_SERVER, 3.0)
    assert (world.meta.calls, world.queue.written) == (0, ["withdrawn"])


async def test_a_match_whose_closing_was_begun_is_closed_before_its_server_is_asked() -> None:
    world = World(SERVER, silent=False)
    placed = await world.place(recovered=True, closing=True)
    assert placed.why == "placement-interrupted"
    assert world.allocator.calls == 0


async def test_a_match_whose_closing_was_begun_and_whose_players_have_come_is_assigned() -> None:
    world = World(SERVER, silent=False)
    world.meta.come.add(MATCH)
    placed = await world.place(recovered=True, closing=True)
    assert placed.outcome is PlacementOutcome.ASSIGNED


async def test_the_fleet_is_told_of_the_end_until_it_answers() -> None:
    clock, fleet = ManualClock(), KnowingFleet(away=True)
    giving_up = GivingUp(None, fleet, clock)
    giving_up.end_server(MATCH)
    for away in (True, True, False):
        fleet.away = away
        for _ in range(10):
            await asyncio.sleep(0)
            clock.advance(1.0)
        assert fleet.ended == ([] if away else [MATCH])
    await giving_up.aclose()


def test_a_pause_uses_up_one_step_of_patience() -> None:
    clock = ManualClock()
    patience = Patience(clock, 30.0)
    clock.advance(100.0)
    assert not patience.over()
    for _ in range(4):
        clock.advance(5.0)
        assert not patience.over()
    clock.advance(5.0)
    assert patience.over()


def test_a_region_waits_for_as_long_as_its_fleet_asks_and_longer_with_each_silent_server() -> None:
    clock = ManualClock()
    waits = RegionWaits(clock)
    assert waits.may_ask("eu")
    waits.no_server("eu", "the window is full", 3.0)
    clock.advance(2.9)
    assert not waits.may_ask("eu")
    clock.advance(0.2)
    assert [waits.may_ask("eu"), waits.may_ask("eu")] == [True, False]  # the oldest alone asks
    waits.answered("eu")
    assert waits.told() == {}
    longest = 0.0
    for _ in range(8):
        waits.silent("eu", "gs-1 did not answer")
        waited_s = 0.0
        while not waits.may_ask("eu"):
            clock.advance(0.1)
            waited_s += 0.1
        longest = max(longest, waited_s)
    assert 1.0 < longest <= 11.0
    assert waits.told() == {"eu": "gs-1 did not answer"}
