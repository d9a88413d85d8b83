"""How many matches may be starting at once: as many as the machine has shown that it carries."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from dedicated_server.agones_sdk import MATCH_ANNOTATION
from dedicated_server.fleet.agones.allocator import Allocator, TooManyStartsError
from dedicated_server.fleet.agones.requests import AllocationRequest, Metadata
from dedicated_server.fleet.pool.gameserver import REPORT_ANNOTATION, GameServer
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.start_window import FIRST_WINDOW, LATE_S, LONGEST_S, StartWindow
from launchday.clock import ManualClock
from tests.dedicated_server.fleet.stub_pool import make_ready, new_pool


def start(window: StartWindow, first: int, count: int, now: float) -> list[str]:
    names = [f"server-{number}" for number in range(first, first + count)]
    for name in names:
        window.begin(name, now)
    return names


def test_a_window_grows_by_one_for_a_windows_worth_of_starts_in_time() -> None:
    window = StartWindow(1, 32)
    for name in start(window, 0, int(FIRST_WINDOW), 0.0):
        window.reported(name, LATE_S)
    assert window.size == pytest.approx(FIRST_WINDOW + 1.0, abs=0.1)
    assert len(window) == 0


def test_a_late_start_halves_the_window_once_and_keeps_its_place_until_it_reports() -> None:
    window = StartWindow(1, 32)
    [name] = start(window, 0, 1, 0.0)
    for second in (2.1, 5.0, 9.0):
        window.step(second)
    assert (window.size, window.late, len(window)) == (FIRST_WINDOW / 2, 1, 1)
    window.reported(name, 9.5)
    window.reported(name, 9.6)
    assert (window.size, window.late, len(window)) == (FIRST_WINDOW / 2, 1, 0)


def test_the_window_keeps_its_bounds() -> None:
    window = StartWindow(2, 10)
    start(window, 0, 20, 0.0)
    window.step(2.1)
    assert window.size == 2.0
    for number in range(200):
        [name] = start(window, 100 + number, 1, 3.0)
        window.reported(name, 3.1)
    assert window.size == 10.0


def test_a_start_that_ended_frees_its_place() -> None:
    window = StartWindow(1, 2)
    first, _ = start(window, 0, 2, 0.0)
    assert window.full
    window.ended(first)
    assert not window.full
    assert first not in window


def test_a_server_that_never_reports_keeps_its_place_for_a_minute() -> None:
    window = StartWindow(1, 1)
    start(window, 0, 1, 0.0)
    window.step(LONGEST_S)
    assert window.full
    window.step(LONGEST_S + 0.1)
    assert not window.full


def test_the_time_for_which_the_fleet_was_stopped_makes_no_start_late() -> None:
    window = StartWindow(1, 32)
    start(window, 0, 4, 0.0)
    window.pause(12.0)
    window.step(13.0)
    assert window.late == 0
    window.step(14.1)
    assert window.late == 4


def test_without_bounds_there_is_no_window() -> None:
    window = StartWindow(1, 0)
    start(window, 0, 1000, 0.0)
    assert not window.full
    assert window.as_json()["window"] is None


# --- in the fleet -------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def pool(tmp_path: Path, clock: ManualClock) -> WarmPool:
    pool = new_pool(tmp_path, clock=clock, ready_per_region=10, starts_most=4)
    make_ready(pool, clock.monotonic())
    return pool


def match_request(match_id: str) -> AllocationRequest:
    return AllocationRequest(
        metadata=Metadata(annotations={MATCH_ANNOTATION: json.dumps({"match_id": match_id})})
    )


def allocate(pool: WarmPool, count: int) -> list[GameServer]:
    allocator = Allocator(pool)
    found = []
    for _ in range(count):
        key = str(uuid.uuid4())
        given = allocator.allocate(match_request(key), key, pool.clock.monotonic())
        server = pool.get(given.name)
        assert server is not None
        found.append(server)
    return found


def report(pool: WarmPool, server: GameServer, phase: str) -> None:
    pool.annotated(server, {REPORT_ANNOTATION: json.dumps({"phase": phase})}, pool.clock.monotonic())


def test_beyond_the_window_no_server_is_taken_and_no_need_is_counted(pool: WarmPool) -> None:
    servers = allocate(pool, 4)
    ready = dict(pool.counts())
    with pytest.raises(TooManyStartsError, match="4 matches are starting"):
        allocate(pool, 1)
    assert pool.counts() == ready
    assert all(region.replicas(pool.clock.monotonic()).unmet == 0 for region in pool.regions.values())
    report(pool, servers[0], "starting")  # it lives, and has not begun
    with pytest.raises(TooManyStartsError):
        allocate(pool, 1)
    report(pool, servers[0], "waiting")
    allocate(pool, 1)


def test_a_key_that_has_its_server_never_meets_the_window(pool: WarmPool) -> None:
    allocator, now = Allocator(pool), pool.clock.monotonic()
    first = allocator.allocate(match_request("m"), "m", now)
    allocate(pool, 3)
    assert allocator.allocate(match_request("m"), "m", now) == first


def test_a_server_that_ends_before_it_began_frees_its_place(pool: WarmPool, clock: ManualClock) -> None:
    servers = allocate(pool, 4)
    pool.exited(servers[0].name, "killed by SIGKILL", clock.monotonic())
    allocate(pool, 1)
    clock.advance(LATE_S + 0.1)
    pool.step(clock.monotonic())
    assert pool.starts.as_json() == {"window": 1, "under_way": 4, "late": 4}


def test_an_allocation_without_a_match_is_not_a_start(pool: WarmPool) -> None:
    allocate(pool, 4)
    Allocator(pool).allocate(AllocationRequest(), None, pool.clock.monotonic())
