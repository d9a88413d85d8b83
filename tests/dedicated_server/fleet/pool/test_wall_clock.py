"""A step of the wall clock moves no time-out of a pool: no heartbeat's, no claim's, no other."""

from __future__ import annotations

from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from dedicated_server.agones_sdk import MATCH_ANNOTATION
from dedicated_server.fleet.pool.gameserver import GameServer
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import State
from launchday.clock import ManualClock
from tests.dedicated_server.fleet.stub_pool import REGION, StubSpawner, make_ready, new_pool, ready

HOUR_S = 3600.0
TIMEOUT_S = 15.0  # without a heartbeat, of the default health

pytestmark = pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def spawner() -> StubSpawner:
    return StubSpawner()


@pytest.fixture
def pool(tmp_path: Path, clock: ManualClock, spawner: StubSpawner) -> WarmPool:
    """Four Ready servers of one region; a claim takes 30 s, a match 60."""
    pool = new_pool(
        tmp_path,
        clock=clock,
        spawner=spawner,
        regions=(REGION,),
        ready_per_region=4,
        claim_s=30.0,
        max_match_s=60.0,
    )
    make_ready(pool, clock.monotonic())
    return pool


def allocate(pool: WarmPool, server: GameServer, report: bool) -> None:
    pool.allocate(server, pool.clock.monotonic(), {MATCH_ANNOTATION: "{}"}, {})
    if report:
        server.annotate({"agones.dev/sdk-launchday-report": '{"phase": "playing"}'})


def pass_time(pool: WarmPool, clock: ManualClock, seconds: float) -> None:
    """Let seconds pass in which every server beats."""
    clock.advance(seconds)
    for server in list(pool):
        pool.heartbeat(server, clock.monotonic())
    pool.step(clock.monotonic())


def state_of(server: GameServer) -> State:
    return server.state


def states(pool: WarmPool) -> list[State]:
    return sorted(server.state for server in pool)


def test_no_server_is_ended_by_a_step_and_one_that_hangs_still_is(
    pool: WarmPool, clock: ManualClock, spawner: StubSpawner, step_s: float
) -> None:
    clock.step_wall(step_s)
    pool.step(clock.monotonic())
    assert states(pool) == [State.READY] * 4
    assert spawner.signals == []
    clock.advance(TIMEOUT_S + 0.1)
    pool.step(clock.monotonic())
    assert [number for _, number in spawner.signals] == [SIGKILL] * 4


def test_a_claim_and_the_longest_match_end_when_their_seconds_have_passed(
    pool: WarmPool, clock: ManualClock, spawner: StubSpawner, step_s: float
) -> None:
    mute, playing = ready(pool)[:2]
    allocate(pool, mute, report=False)
    allocate(pool, playing, report=True)
    clock.step_wall(step_s)
    pass_time(pool, clock, 29.0)
    assert (mute.state, playing.state) == (State.ALLOCATED, State.ALLOCATED)
    pass_time(pool, clock, 1.0)
    assert (mute.state, playing.state) == (State.UNHEALTHY, State.ALLOCATED)
    pass_time(pool, clock, 29.9)
    assert state_of(playing) is State.ALLOCATED
    pass_time(pool, clock, 0.2)
    assert state_of(playing) is State.UNHEALTHY
    assert {(mute.name, SIGKILL), (playing.name, SIGKILL)} <= set(spawner.signals)


def test_a_reservation_and_the_time_to_leave_last_as_long_as_they_were_set(
    pool: WarmPool, clock: ManualClock, spawner: StubSpawner, step_s: float
) -> None:
    reserved, leaving = ready(pool)[:2]
    pool.reserve(reserved, 20.0, clock.monotonic())
    pool.shut_down(leaving, clock.monotonic())
    clock.step_wall(step_s)
    pool.step(clock.monotonic())
    assert (reserved.state, spawner.signals) == (State.RESERVED, [(leaving.name, SIGTERM)])
    pass_time(pool, clock, pool.config.stop_timeout_s)
    assert spawner.signals[-1] == (leaving.name, SIGKILL)
    pass_time(pool, clock, 20.0 - pool.config.stop_timeout_s)
    assert reserved.state is State.READY


def test_what_is_counted_and_shown_follows_the_clock_that_it_is_of(
    pool: WarmPool, clock: ManualClock, step_s: float
) -> None:
    region = pool.regions[REGION]
    region.count_time(clock.monotonic())
    before = clock.now()
    clock.step_wall(step_s)
    pass_time(pool, clock, 10.0)
    assert region.idle_server_s == pytest.approx(40.0)
    server = ready(pool)[0]
    assert server.last_health_at == pytest.approx(before + step_s + 10.0)
    assert server.start_s == 0.0
