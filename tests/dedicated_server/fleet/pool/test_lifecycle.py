"""Real processes, forked by a real warm parent: they come, play, go, are killed, and are replaced."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from dedicated_server.fleet.pool.states import State
from launchday.settings import Settings
from tests.dedicated_server.fleet.conftest import REGION, RunningFleet, running_fleet


def states(fleet: RunningFleet, name: str) -> list[str]:
    server = fleet.pool.get(name)
    assert server is not None
    return [change.state.value for change in server.history]


def is_gone(fleet: RunningFleet, name: str) -> Callable[[], bool]:
    server = fleet.pool.get(name)
    assert server is not None
    return lambda: server.gone


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_fleet_fills_each_regions_buffer(fleet: RunningFleet) -> None:
    counts = await fleet.admin.fleet()
    assert counts["regions"] == {
        REGION: {"Ready": 2, "Allocated": 0},
        "east-us": {"Ready": 2, "Allocated": 0},
    }
    assert counts["total"] == {"Ready": 4, "Allocated": 0}
    assert counts["warm_parent"]["warm"] is True


async def test_a_server_goes_through_the_states_by_agones_names(fleet: RunningFleet) -> None:
    name = await fleet.play("play")
    await fleet.until(is_gone(fleet, name))
    shown = await fleet.admin.gameserver(name)
    history = [entry["state"] for entry in shown["history"]]
    started = ["PortAllocation", "Creating", "Starting", "Scheduled", "RequestReady", "Ready"]
    assert history == [*started, "Allocated", "Shutdown"]
    times = [entry["at"] for entry in shown["history"]]
    assert times == sorted(times)


async def test_an_allocated_server_is_replaced(fleet: RunningFleet) -> None:
    await fleet.play("stay")
    await fleet.full()
    assert (await fleet.admin.fleet())["regions"][REGION] == {"Ready": 2, "Allocated": 1}


async def test_a_match_that_ends_is_counted_with_its_last_report(fleet: RunningFleet) -> None:
    name = await fleet.play("play")
    await fleet.until(is_gone(fleet, name))
    counters = await fleet.admin.counters()
    assert (counters["matches_started"], counters["matches_ended"], counters["matches_failed"]) == (1, 1, 0)
    assert (counters["kills"], counters["deaths"], counters["players_connected"]) == (5, 5, 3)
    [report] = counters["reports"]
    assert (report["server"], report["outcome"], report["phase"]) == (name, "ended", "over")


async def test_a_match_that_still_plays_is_counted(fleet: RunningFleet) -> None:
    name = await fleet.play("stay")
    server = fleet.pool.get(name)
    assert server is not None
    await fleet.until(lambda: bool(server.report))
    counters = await fleet.admin.counters()
    assert (counters["matches_started"], counters["matches_ended"], counters["kills"]) == (1, 0, 2)
    assert counters["reports"][0]["outcome"] == "playing"


async def test_a_server_that_ends_by_itself_in_a_match_is_unhealthy_and_its_match_failed(
    fleet: RunningFleet,
) -> None:
    name = await fleet.play("crash")
    await fleet.until(is_gone(fleet, name))
    shown = await fleet.admin.gameserver(name)
    assert shown["history"][-1]["state"] == "Unhealthy"
    assert shown["history"][-1]["reason"] == "exited with code 7"
    counters = await fleet.admin.counters()
    assert (counters["matches_started"], counters["matches_ended"], counters["matches_failed"]) == (1, 0, 1)
    await fleet.full()


@pytest.mark.parametrize("state", ["Ready", "Allocated", "Reserved", "Shutdown"])
async def test_a_server_killed_in_any_state_is_replaced(fleet: RunningFleet, state: str) -> None:
    if state in ("Allocated", "Shutdown"):
        name = await fleet.play("stay" if state == "Allocated" else "stubborn")
    else:
        name = next(iter(fleet.pool.in_state(REGION, State.READY)))
    server = fleet.pool.get(name)
    assert server is not None
    assert server.pid is not None
    if state == "Reserved":
        fleet.pool.reserve(server, 0, server.created_mono_s)
    await fleet.until(lambda: server.state == state)

    os.kill(server.pid, signal.SIGKILL)

    await fleet.until(lambda: server.gone)
    assert states(fleet, name)[-1] == ("Shutdown" if state == "Shutdown" else "Unhealthy")
    counters = await fleet.admin.counters()
    assert counters["matches_failed"] == (1 if state == "Allocated" else 0)
    await fleet.full()


async def test_a_server_that_stops_beating_is_killed_and_replaced(fleet_settings: Settings) -> None:
    settings = fleet_settings.model_copy(update={"server_health_s": 1.0})
    async with running_fleet(settings) as fleet:
        await fleet.full()
        name = await fleet.play("hang")
        await fleet.until(is_gone(fleet, name))
        shown = await fleet.admin.gameserver(name)
        assert shown["history"][-1] | {"at": 0} == {
            "state": "Unhealthy",
            "at": 0,
            "reason": "no heartbeat for 1 s",
        }
        assert (await fleet.admin.counters())["matches_failed"] == 1
        await fleet.full()


async def test_a_server_that_is_never_ready_is_an_error_and_killed(fleet_settings: Settings) -> None:
    async with running_fleet(fleet_settings, stand_in="never ready", start_timeout_s=1.0) as fleet:
        await fleet.until(lambda: any(server.gone for server in fleet.pool))
        name = next(server.name for server in fleet.pool if server.gone)
        assert states(fleet, name) == ["PortAllocation", "Creating", "Starting", "Scheduled", "Error"]


async def test_servers_that_end_at_once_are_started_ever_more_rarely(fleet_settings: Settings) -> None:
    async with running_fleet(fleet_settings, stand_in="ends at once") as fleet:
        await fleet.until(lambda: sum(server.gone for server in fleet.pool) >= 4)
        assert not len(fleet.pool)
        # Four at a time fill the buffer: in the pause that follows none is forked.
        assert (await fleet.admin.counters())["servers_started"] == 4


async def test_a_server_that_ignores_sigterm_is_killed(fleet: RunningFleet) -> None:
    name = await fleet.play("stubborn")
    server = fleet.pool.get(name)
    assert server is not None
    await fleet.until(lambda: server.state is State.SHUTDOWN)
    assert not server.gone
    assert server.kill_mono_s is not None
    fleet.pool.step(server.kill_mono_s)
    await fleet.until(lambda: server.gone)


async def test_the_log_of_a_match_is_filed_by_the_match_and_an_idle_servers_is_not_kept(
    fleet: RunningFleet,
) -> None:
    idle = next(iter(fleet.pool.in_state("east-us", State.READY)))
    name = await fleet.play("play")
    server = fleet.pool.get(name)
    assert server is not None
    await fleet.until(lambda: server.gone)
    log = fleet.settings.state_dir / "logs" / "servers" / f"{server.match_id}.{name}.log"
    assert log.read_text().splitlines() == [f"listening {name}", f"playing {server.match_id}"]
    assert (await fleet.admin.gameserver(name))["log_tail"] == log.read_text().splitlines()

    idle_server = fleet.pool.get(idle)
    assert idle_server is not None
    fleet.pool.shut_down(idle_server, idle_server.created_mono_s)
    await fleet.until(lambda: idle_server.gone)
    assert not idle_server.log.exists()


async def test_ports_are_used_again(fleet: RunningFleet) -> None:
    lent: list[int] = []
    for _ in range(24):  # there are 20 ports
        name = await fleet.play("play")
        await fleet.until(is_gone(fleet, name))
        server = fleet.pool.get(name)
        assert server is not None
        lent.append(server.port)
        await fleet.full()
    assert len(set(lent)) < len(lent)
    ports_in_use = [server.port for server in fleet.pool if not server.gone]
    assert len(set(ports_in_use)) == len(ports_in_use) == 4


async def test_killing_the_warm_parent_ends_its_servers_and_another_takes_over(fleet: RunningFleet) -> None:
    name = await fleet.play("stay")
    await fleet.full()
    pids = [server.pid for server in fleet.pool if server.pid is not None]
    parent = (await fleet.admin.fleet())["warm_parent"]["pid"]

    os.kill(parent, signal.SIGKILL)

    await fleet.until(is_gone(fleet, name))
    await fleet.full()
    await fleet.until(lambda: not any(alive(pid) for pid in pids))
    counts = await fleet.admin.fleet()
    assert counts["warm_parent"]["restarts"] == 1
    assert counts["regions"][REGION] == {"Ready": 2, "Allocated": 0}
    assert (await fleet.admin.counters())["matches_failed"] == 1


async def test_a_stopped_fleet_leaves_no_process(fleet_settings: Settings) -> None:
    async with running_fleet(fleet_settings) as fleet:
        await fleet.full()
        await fleet.play("stay")
        pids = [server.pid for server in fleet.pool if server.pid is not None]
        pids.append((await fleet.admin.fleet())["warm_parent"]["pid"])
    assert len(pids) >= 5
    assert [pid for pid in pids if alive(pid)] == []
