"""A match by its id: how its server is, and the end of it, once and for all."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from signal import SIGKILL

import pytest

from dedicated_server.agones_sdk import MATCH_ANNOTATION
from dedicated_server.fleet.agones.allocator import Allocator, MatchAlreadyPlayedError
from dedicated_server.fleet.agones.requests import AllocationRequest, Metadata
from dedicated_server.fleet.client import FleetRefusedError, MatchStatus
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import State
from tests.dedicated_server.fleet.conftest import REGION, RunningFleet
from tests.dedicated_server.fleet.stub_pool import StubSpawner, make_ready, new_pool

ON_THE_SHARED_FLEET = pytest.mark.asyncio(loop_scope="module")


def request(match_id: str) -> AllocationRequest:
    match = json.dumps({"match_id": match_id, "players": []})
    return AllocationRequest(metadata=Metadata(annotations={MATCH_ANNOTATION: match}))


@pytest.fixture
def spawner() -> StubSpawner:
    return StubSpawner()


@pytest.fixture
def pool(tmp_path: Path, spawner: StubSpawner) -> WarmPool:
    pool = new_pool(tmp_path, spawner=spawner)
    make_ready(pool, pool.clock.monotonic())
    return pool


@ON_THE_SHARED_FLEET
async def test_the_server_of_a_match_is_told_of_and_ended(shared_fleet: RunningFleet) -> None:
    await shared_fleet.full()
    match_id = str(uuid.uuid4())
    match = {"match_id": match_id, "mode": "stay"}
    given = await shared_fleet.allocator.allocate(region=REGION, match=match, idempotency_key=match_id)
    server = shared_fleet.pool.get(given.name)
    assert server is not None
    await shared_fleet.until(lambda: bool(server.report))
    status = await shared_fleet.admin.match(match_id)
    assert status is not None
    assert status == MatchStatus("Allocated", given.name, True, status.heartbeat_age_s, True)
    taken_back = shared_fleet.pool.fleet_counters.matches_taken_back
    await shared_fleet.admin.end_match(match_id)
    await shared_fleet.until(lambda: server.gone)
    await shared_fleet.admin.end_match(match_id)
    status = await shared_fleet.admin.match(match_id)
    assert status is not None
    assert (status.state, status.alive) == ("Unhealthy", False)
    assert shared_fleet.pool.fleet_counters.matches_taken_back == taken_back + 1


@ON_THE_SHARED_FLEET
async def test_a_match_that_had_no_server_is_unknown_and_its_id_is_checked(
    shared_fleet: RunningFleet,
) -> None:
    assert await shared_fleet.admin.match(str(uuid.uuid4())) is None
    with pytest.raises(FleetRefusedError, match="422"):
        await shared_fleet.admin.match("no uuid")


def test_a_match_that_was_ended_before_its_allocation_came_gets_no_server(pool: WarmPool) -> None:
    match_id, now = str(uuid.uuid4()), pool.clock.monotonic()
    pool.end_match(match_id, now, "given up")
    with pytest.raises(MatchAlreadyPlayedError):
        Allocator(pool).allocate(request(match_id), f"director/{match_id}", now)
    assert pool.fleet_counters.matches_started == 0


def test_a_key_whose_match_was_ended_gets_no_other_server(pool: WarmPool, spawner: StubSpawner) -> None:
    match_id, now = str(uuid.uuid4()), pool.clock.monotonic()
    allocator = Allocator(pool)
    given = allocator.allocate(request(match_id), match_id, now)
    pool.end_match(match_id, now, "given up")
    assert (given.name, SIGKILL) in spawner.signals
    with pytest.raises(MatchAlreadyPlayedError):
        allocator.allocate(request(match_id), match_id, now)
    counters = pool.fleet_counters
    assert (counters.matches_started, counters.matches_failed, counters.matches_taken_back) == (1, 0, 1)


def test_the_server_of_a_match_is_found_until_it_is_forgotten(pool: WarmPool) -> None:
    match_id, now = str(uuid.uuid4()), pool.clock.monotonic()
    given = Allocator(pool).allocate(request(match_id), match_id, now)
    server = pool.get(given.name)
    assert server is not None
    pool.exited(server.name, "killed by SIGKILL", now)
    assert pool.matches.server_of(match_id) is server
    assert server.state is State.UNHEALTHY
    for _ in range(2):
        pool.end_match(match_id, now, "too late")
    assert not server.taken_back
    counters = pool.fleet_counters
    assert (counters.matches_failed, counters.matches_failed_given_up, counters.matches_taken_back) == (
        1,
        1,
        0,
    )
