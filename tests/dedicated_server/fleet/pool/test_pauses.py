"""A fleet that was stopped ends no server when it wakes, and one that hangs is still ended."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from dedicated_server.agones_sdk import MATCH_ANNOTATION
from dedicated_server.fleet.admin.count_history import CountHistory
from dedicated_server.fleet.agones.allocation_journal import AllocationJournal
from dedicated_server.fleet.pool.gameserver import REPORT_ANNOTATION, GameServer
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import State
from dedicated_server.fleet.steps import STEP_PERIOD_S, take_steps
from launchday.clock import ManualClock
from tests.dedicated_server.fleet.stub_pool import REGION, StubSpawner, make_ready, new_pool, ready

STOPPED_S = 30.0
TIMEOUT_S = 15.0  # without a heartbeat, of the default health
CLAIM_S = 20.0


class Parents:
    """Warm parents that are asked and do not answer."""

    warm = True

    def __init__(self) -> None:
        self.asked: list[float] = []

    def list_servers(self, now: float) -> None:
        self.asked.append(now)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def spawner() -> StubSpawner:
    return StubSpawner()


@pytest.fixture
def pool(tmp_path: Path, clock: ManualClock, spawner: StubSpawner) -> WarmPool:
    pool = new_pool(tmp_path, clock=clock, spawner=spawner, claim_s=CLAIM_S, stop_timeout_s=5.0)
    make_ready(pool, clock.monotonic())
    return pool


def state_of(server: GameServer) -> State:
    return server.state


async def pass_time(clock: ManualClock, seconds: float, step_s: float = STEP_PERIOD_S) -> None:
    """Let time pass in steps, so that everybody who sleeps runs in between."""
    for _ in range(round(seconds / step_s)):
        clock.advance(step_s)
        await asyncio.sleep(0)


async def test_a_stop_of_thirty_seconds_ends_no_server_and_moves_every_time_out(
    tmp_path: Path, pool: WarmPool, clock: ManualClock, spawner: StubSpawner
) -> None:
    starting, reserved, leaving = ready(pool)[:3]
    pool.allocate(starting, clock.monotonic(), {MATCH_ANNOTATION: "{}"}, {})
    pool.reserve(reserved, 10.0, clock.monotonic())
    pool.shut_down(leaving, clock.monotonic())
    with AllocationJournal(tmp_path / "journal") as journal:
        parents = Parents()
        steps = asyncio.create_task(take_steps(pool, parents, journal, CountHistory()))
        await pass_time(clock, 1.0)
        sent = list(spawner.signals)
        clock.advance(STOPPED_S)  # the process is stopped: one step, half a minute late
        await asyncio.sleep(0)
        assert spawner.signals == sent
        assert (starting.state, reserved.state) == (State.ALLOCATED, State.RESERVED)
        await pass_time(clock, 4.5)
        assert leaving.name in {name for name, _ in spawner.signals[len(sent) :]}
        assert state_of(reserved) is State.RESERVED
        await pass_time(clock, TIMEOUT_S - 5.0)  # nobody beats
        assert state_of(reserved) is State.READY
        assert state_of(starting) is State.ALLOCATED
        await pass_time(clock, 1.0)
        assert starting.history[-1].reason == "no heartbeat for 15 s"
        assert len(parents.asked) == 5  # every 5 s of those that were lived through, and after the stop
        steps.cancel()


async def test_a_server_that_waits_for_its_check_out_is_claimed_by_what_the_fleet_lived_through(
    tmp_path: Path, pool: WarmPool, clock: ManualClock
) -> None:
    server = ready(pool)[0]
    pool.allocate(server, clock.monotonic(), {MATCH_ANNOTATION: "{}"}, {})
    pool.annotated(server, {REPORT_ANNOTATION: '{"phase": "starting"}'}, clock.monotonic())
    with AllocationJournal(tmp_path / "journal") as journal:
        steps = asyncio.create_task(take_steps(pool, Parents(), journal, CountHistory()))
        await pass_time(clock, 1.0)
        clock.advance(STOPPED_S)
        for _ in range(4):
            pool.heartbeat(server, clock.monotonic())
            await pass_time(clock, (CLAIM_S - 2.0) / 4)
        assert server.state is State.ALLOCATED
        pool.heartbeat(server, clock.monotonic())
        await pass_time(clock, 2.0)
        assert server.history[-1].reason == "its match did not begin within 20 s"
        steps.cancel()


def test_the_last_report_stands_though_an_older_one_arrives_behind_it(
    pool: WarmPool, clock: ManualClock
) -> None:
    server, now = ready(pool)[0], clock.monotonic()
    pool.allocate(server, now, {MATCH_ANNOTATION: "{}"}, {})
    for report in ({"phase": "playing"}, {"phase": "over", "outcome": "ended"}, {"phase": "playing"}):
        pool.annotated(server, {REPORT_ANNOTATION: json.dumps(report)}, now)
    pool.shut_down(server, now)
    assert pool.fleet_counters.matches_ended == 1


# --- what the warm parents have -----------------------------------------------------------------------------


def test_a_server_that_its_parent_does_not_have_is_forgotten_and_its_ports_are_free_again(
    pool: WarmPool, clock: ManualClock
) -> None:
    lost, *others = ready(pool)
    asked_at = clock.monotonic() + 1.0
    clock.advance(2.0)
    alive = {server.name for server in pool if server is not lost}
    pool.reconcile(lost.node, alive, asked_at, clock.monotonic())
    assert lost.gone
    assert lost.state is State.UNHEALTHY
    assert [server.state for server in others] == [State.READY] * len(others)
    assert len(pool) == 6  # its replacement is on its way


def test_servers_that_are_younger_than_the_question_or_of_another_parent_are_left_alone(
    tmp_path: Path, clock: ManualClock
) -> None:
    pool = new_pool(tmp_path, clock=clock, spawner=StubSpawner(nodes=2), regions=(REGION,))
    make_ready(pool, clock.monotonic())
    pool.reconcile("node-1", {server.name for server in pool if server.node == "node-1"}, 1e9, 1e9)
    pool.reconcile("node-0", set(), clock.monotonic(), clock.monotonic())
    assert not any(server.gone for server in pool)
