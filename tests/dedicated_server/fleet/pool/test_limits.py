"""What ends a server, what starts one, and what an operator changes: plain functions of time."""

from __future__ import annotations

import json
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from dedicated_server.agones_sdk import FLEET_LABEL, MATCH_ANNOTATION
from dedicated_server.fleet.agones.allocation_journal import AllocationJournal, AllocationRecord
from dedicated_server.fleet.agones.allocator import Allocator, MatchAlreadyPlayedError, NoReadyServerError
from dedicated_server.fleet.agones.requests import AllocationRequest, Metadata, Selector
from dedicated_server.fleet.pool.gameserver import REPORT_ANNOTATION, GameServer
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import State
from tests.dedicated_server.fleet.stub_pool import REGION, StubSpawner, make_ready, new_pool, ready

MATCH = json.dumps({"match_id": "0190d0a0-0000-7000-8000-000000000001", "players": [{"player_id": "7"}]})
REQUEST = AllocationRequest(
    selectors=[Selector(match_labels={FLEET_LABEL: REGION})],
    metadata=Metadata(annotations={MATCH_ANNOTATION: MATCH}),
)


def start_match(pool: WarmPool, now: float, key: str | None = None) -> GameServer:
    answer = Allocator(pool).allocate(REQUEST, key, now)
    server = pool.get(answer.name)
    assert server is not None
    return server


def beat(pool: WarmPool, now: float) -> None:
    for server in pool:
        pool.heartbeat(server, now)


def test_an_allocation_whose_match_never_begins_goes_back(tmp_path: Path) -> None:
    spawner = StubSpawner()
    pool = new_pool(tmp_path, spawner=spawner, claim_s=30.0)
    make_ready(pool, 1.0)
    server = start_match(pool, 2.0)
    beat(pool, 31.0)
    pool.step(31.9)
    assert server.state is State.ALLOCATED
    pool.step(32.0)
    assert server.state.value == "Unhealthy"
    assert server.history[-1].reason == "its match did not begin within 30 s"
    assert spawner.signals == [(server.name, SIGKILL)]
    pool.exited(server.name, "killed by SIGKILL", 32.1)
    make_ready(pool, 32.2)
    assert len(ready(pool)) == 3
    assert pool.fleet_counters.matches_failed == 1


def test_a_match_that_has_said_anything_is_left_alone(tmp_path: Path) -> None:
    pool = new_pool(tmp_path, claim_s=30.0)
    make_ready(pool, 1.0)
    server = start_match(pool, 2.0)
    server.annotate({REPORT_ANNOTATION: '{"phase": "waiting"}'})
    beat(pool, 99.0)
    pool.step(100.0)
    assert server.state is State.ALLOCATED


def test_a_match_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    pool = new_pool(tmp_path, max_match_s=100.0)
    make_ready(pool, 1.0)
    server = start_match(pool, 2.0)
    beat(pool, 102.0)
    pool.step(102.5)
    assert server.history[-1].reason == "in its match for more than 100 s"


def test_a_server_that_takes_too_much_memory_is_ended(tmp_path: Path) -> None:
    used = {1: 90 << 20}
    pool = new_pool(tmp_path, max_memory_bytes=100 << 20, memory=lambda pid: used[pid])
    make_ready(pool, 1.0)
    server = start_match(pool, 2.0)
    server.pid = 1
    pool.step(3.0)
    assert (server.state, server.memory_bytes) == (State.ALLOCATED, 90 << 20)
    used[1] = 101 << 20
    pool.step(3.5)  # it is not looked at so often
    assert server.state is State.ALLOCATED
    pool.step(6.0)
    assert server.history[-1].reason == "more than 100 MB of memory"


def test_a_key_whose_server_died_before_its_match_began_gets_another(tmp_path: Path) -> None:
    pool = new_pool(tmp_path)
    make_ready(pool, 1.0)
    allocator = Allocator(pool)
    first = allocator.allocate(REQUEST, "k", 2.0)
    pool.exited(first.name, "killed by SIGKILL", 3.0)
    second = allocator.allocate(REQUEST, "k", 4.0)
    assert second.name != first.name


def test_a_key_whose_match_had_begun_gets_no_other(tmp_path: Path) -> None:
    pool = new_pool(tmp_path)
    make_ready(pool, 1.0)
    allocator = Allocator(pool)
    first = allocator.allocate(REQUEST, "k", 2.0)
    server = pool.get(first.name)
    assert server is not None
    server.annotate({REPORT_ANNOTATION: '{"phase": "playing"}'})
    pool.exited(first.name, "killed by SIGKILL", 3.0)
    with pytest.raises(MatchAlreadyPlayedError, match=first.name):
        allocator.allocate(REQUEST, "k", 4.0)


def test_a_drained_server_ends_when_its_match_does_and_an_idle_one_at_once(tmp_path: Path) -> None:
    spawner = StubSpawner()
    pool = new_pool(tmp_path, spawner=spawner)
    make_ready(pool, 1.0)
    server, idle = start_match(pool, 2.0), ready(pool)[0]
    pool.drain(server, 3.0)
    pool.drain(idle, 3.0)
    assert (server.state, idle.state) == (State.ALLOCATED, State.SHUTDOWN)
    pool.ready(server, 4.0)  # a server that plays match after match
    assert server.state.value == "Shutdown"
    assert spawner.signals == [(idle.name, SIGTERM), (server.name, SIGTERM)]


def test_a_drained_region_keeps_no_idle_server_until_it_is_taken_into_use(tmp_path: Path) -> None:
    pool = new_pool(tmp_path)
    make_ready(pool, 1.0)
    playing = start_match(pool, 2.0)
    region = pool.regions[REGION]
    pool.drain_region(region, True, 3.0)
    for server in list(region.in_state[State.SHUTDOWN].values()):
        pool.exited(server.name, "exited with code 0", 4.0)
    pool.step(4.5)
    assert playing.state is State.ALLOCATED
    assert not ready(pool)
    with pytest.raises(NoReadyServerError):
        start_match(pool, 5.0)
    pool.drain_region(region, False, 6.0)
    make_ready(pool, 6.0)
    assert len(ready(pool)) == 3


def test_a_cordoned_server_is_replaced_as_idle(tmp_path: Path) -> None:
    pool = new_pool(tmp_path)
    make_ready(pool, 1.0)
    pool.cordon(ready(pool)[0], True)
    make_ready(pool, 2.0)
    assert len(ready(pool)) == 4
    pool.cordon(ready(pool)[0], False)
    pool.step(3.0)
    assert len(ready(pool)) == 3


def test_more_idle_servers_than_wanted_are_ended_the_youngest_first(tmp_path: Path) -> None:
    pool = new_pool(tmp_path)
    make_ready(pool, 1.0)
    oldest = ready(pool)[0].name
    pool.regions[REGION].idle_wanted = 1
    pool.step(2.0)
    assert [server.name for server in ready(pool)] == [oldest]


def test_a_start_up_delay_holds_the_fork_back_and_others_are_not_held_up(tmp_path: Path) -> None:
    spawner = StubSpawner()
    pool = new_pool(tmp_path, spawner=spawner, ready_per_region=12, startup_delay_s={"east-us": 20.0})
    pool.fill(0.0)
    assert {request.name.rpartition("-")[0] for request in spawner.requests} == {REGION}
    make_ready(pool, 0.0)
    assert len(ready(pool)) == 12
    assert len(pool.in_state("east-us", State.CREATING)) == 12
    beat(pool, 19.0)
    pool.step(19.0)
    assert len(spawner.requests) == 12
    pool.step(20.0)
    assert len(spawner.requests) == 24
    make_ready(pool, 20.5)
    assert ready(pool, "east-us")[0].start_s == pytest.approx(0.5)  # the delay is not the fork's


def test_a_region_has_a_buffer_and_a_limit_of_its_own_beside_the_limit_of_all(tmp_path: Path) -> None:
    pool = new_pool(
        tmp_path,
        max_servers=6,
        ready_by_region={REGION: 5, "east-us": 2},
        max_by_region={REGION: 3, "east-us": 4},
    )
    make_ready(pool, 0.0)
    assert (len(ready(pool)), len(ready(pool, "east-us"))) == (3, 2)  # the first is full, the other is not
    assert pool.regions[REGION].missing() == 2
    for _ in range(3):
        start_match(pool, 1.0)
    make_ready(pool, 1.0)
    assert len(ready(pool)) == 0  # a match counts against the limit of its region
    pool.regions["east-us"].idle_wanted = 4
    make_ready(pool, 2.0)
    assert len(ready(pool, "east-us")) == 3  # six in all
    pool.exited(next(iter(pool.in_state(REGION, State.ALLOCATED))), "exited with code 0", 3.0)
    make_ready(pool, 3.0)
    assert (len(ready(pool)), len(ready(pool, "east-us"))) == (1, 3)
    assert len(pool) == 6


def test_a_full_region_that_lacks_most_does_not_hold_the_others_up(tmp_path: Path) -> None:
    pool = new_pool(tmp_path, ready_by_region={REGION: 50}, max_by_region={REGION: 1})
    make_ready(pool, 0.0)
    assert (len(ready(pool)), len(ready(pool, "east-us"))) == (1, 3)


def test_idle_and_used_server_seconds_are_counted(tmp_path: Path) -> None:
    pool = new_pool(tmp_path, regions=(REGION,))
    make_ready(pool, 0.0)
    pool.step(0.0)
    beat(pool, 10.0)
    pool.step(10.0)
    region = pool.regions[REGION]
    assert (region.idle_server_s, region.used_server_s) == (30.0, 0.0)
    start_match(pool, 10.0)
    beat(pool, 14.0)
    pool.step(14.0)
    assert (region.idle_server_s, region.used_server_s) == (38.0, 4.0)


def test_a_delayed_server_can_be_ended_before_it_has_a_process(tmp_path: Path) -> None:
    pool = new_pool(tmp_path, startup_delay_s={"east-us": 20.0, REGION: 20.0})
    pool.fill(0.0)
    pool.kill(next(iter(pool)), 1.0, "killed by ops")
    pool.close(2.0)
    assert len(pool) == 0
    assert pool.empty.is_set()


def test_what_is_asked_for_in_vain_counts_once_a_match_and_is_forgotten(tmp_path: Path) -> None:
    pool = new_pool(tmp_path, ready_per_region=0)
    allocator = Allocator(pool)
    for now in (1.0, 1.1, 1.2):
        for key in ("a", "b"):
            with pytest.raises(NoReadyServerError):
                allocator.allocate(REQUEST, key, now)
    assert pool.regions[REGION].replicas(2.0).unmet == 2
    pool.regions[REGION].idle_wanted = 1
    make_ready(pool, 3.0)
    allocator.allocate(REQUEST, "a", 3.0)
    assert pool.regions[REGION].replicas(3.0).unmet == 1
    assert pool.regions[REGION].replicas(60.0).unmet == 0


def test_changes_are_numbered_and_say_when_some_are_lost(tmp_path: Path) -> None:
    pool = new_pool(tmp_path)
    make_ready(pool, 1.0)
    found, lost = pool.changes.since(0)
    assert not lost
    assert [change["seq"] for change in found] == list(range(1, pool.changes.last + 1))
    assert {change["state"] for change in found} >= {State.CREATING, State.READY}
    assert pool.changes.since(pool.changes.last) == ([], False)
    assert pool.changes.since(pool.changes.last + 1)[1]
    for _ in range(25_000):
        pool.changes.publish("gameserver", 2.0)
    assert pool.changes.since(3)[1]


# --- the journal --------------------------------------------------------------------------------------------


def entry(number: int) -> AllocationRecord:
    return AllocationRecord(
        f"key-{number}", f"server-{number}", REGION, f"match-{number}", (1, 2), float(number)
    )


def test_a_successor_finds_what_was_open_what_was_settled_and_every_key(tmp_path: Path) -> None:
    journal = AllocationJournal(tmp_path / "journal")
    for number in range(3):
        journal.allocated(entry(number))
    journal.finished("server-1", False, "crashed")
    journal.finished("unknown", True, "")
    after = AllocationJournal(tmp_path / "journal")  # the first was never closed: its process was killed
    assert after.orphans == (entry(0), entry(2))
    assert [(one.allocation, one.ended, one.reason) for one in after.recent] == [(entry(1), False, "crashed")]
    assert dict(after.keys) == {f"key-{number}": f"server-{number}" for number in range(3)}
    journal.close()
    after.close()
    with AllocationJournal(tmp_path / "journal") as third:
        assert third.orphans == ()  # they are told of once


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_journal_that_ends_in_the_middle_of_a_line_is_read(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal"
    journal = AllocationJournal(path)
    journal.allocated(entry(0))
    journal.allocated(entry(1))
    journal.close()
    path.write_bytes(path.read_bytes()[: -cut - 1])
    after = AllocationJournal(path)
    assert after.orphans in ((entry(0), entry(1)), (entry(0),))
    after.close()


def test_a_journal_of_nonsense_is_read_as_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'\xff\xfe\n[]\n{"allocated": 3}\n{"allocated": {"key": 1}}\n{"finished": []}\nnull\n')
    journal = AllocationJournal(path)
    assert journal.orphans == ()
    journal.close()


def test_a_key_of_a_fleet_that_was_killed_is_refused(tmp_path: Path) -> None:
    journal = AllocationJournal(tmp_path / "journal")
    pool = new_pool(tmp_path)
    make_ready(pool, 1.0)
    Allocator(pool, journal).allocate(REQUEST, "k", 2.0)
    journal.close()
    with AllocationJournal(tmp_path / "journal") as after:
        with pytest.raises(MatchAlreadyPlayedError, match="ended with the fleet"):
            Allocator(pool, after).allocate(REQUEST, "k", 3.0)
        assert Allocator(pool, after).allocate(REQUEST, "another", 3.0)
