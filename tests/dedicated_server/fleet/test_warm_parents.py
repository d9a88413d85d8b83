"""Orders to a warm parent that was stopped wait for it, and its list corrects what was missed."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from dedicated_server.fleet.pool.config import ForkRequest
from dedicated_server.fleet.pool.states import State
from dedicated_server.fleet.warm import warm_parent
from dedicated_server.fleet.warm.supervisor import DEAF_S, PACKET_BYTES, WarmParentSupervisor
from launchday.clock import ManualClock
from tests.dedicated_server.fleet.conftest import REGION, RunningFleet

ORDERS = 2000  # more than a socket's buffer holds


@pytest.fixture
async def supervisor(tmp_path: Path) -> WarmParentSupervisor:
    return WarmParentSupervisor(
        server_module="none", env={}, log=tmp_path / "logs" / "parent.log", clock=ManualClock()
    )


@pytest.fixture
def theirs(supervisor: WarmParentSupervisor) -> Any:
    """The parent's end of the channel, which nobody reads."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    supervisor._channel = ours
    with ours, theirs:
        yield theirs
        supervisor._channel = None


def read(theirs: socket.socket) -> list[str]:
    names = []
    while True:
        try:
            names.append(json.loads(theirs.recv(PACKET_BYTES))["name"])
        except BlockingIOError:
            return names


async def test_orders_to_a_parent_that_was_stopped_arrive_whole_and_in_order(
    supervisor: WarmParentSupervisor, theirs: socket.socket, tmp_path: Path
) -> None:
    wanted = [f"server-{number}" for number in range(ORDERS)]
    for name in wanted:
        supervisor.fork(ForkRequest(name, 1, tmp_path / "log"))
    found: list[str] = []
    while len(found) < ORDERS:
        found += read(theirs)
        supervisor._send_waiting()  # what the loop calls once there is room
    assert found == wanted
    supervisor.end_if_deaf(1e9)
    assert not supervisor._ended.is_set()


async def test_a_parent_that_takes_no_order_for_a_minute_is_ended(
    supervisor: WarmParentSupervisor, theirs: socket.socket
) -> None:
    for number in range(ORDERS):
        supervisor.signal(f"server-{number}", signal.SIGTERM)
    now = 1_000.0  # of the clock
    supervisor.end_if_deaf(now + DEAF_S - 1.0)
    assert not supervisor._ended.is_set()
    supervisor.end_if_deaf(now + DEAF_S + 1.0)
    assert supervisor._ended.is_set()


async def test_a_parent_that_was_stopped_forks_and_ends_servers_when_it_goes_on(fleet: RunningFleet) -> None:
    [parent] = (await fleet.admin.fleet())["warm_parents"]
    playing = await fleet.play("stay")
    server = fleet.pool.get(playing)
    assert server is not None
    await fleet.until(lambda: bool(server.report))
    os.kill(parent["pid"], signal.SIGSTOP)
    try:
        await fleet.play("stay")  # its replacement has to be forked
        await fleet.admin.end_match(server.match_id)
        await fleet.until(lambda: len(fleet.pool.in_state(REGION, State.CREATING)) > 0)
    finally:
        os.kill(parent["pid"], signal.SIGCONT)
    await fleet.until(lambda: server.gone)
    await fleet.full()
    assert (await fleet.admin.fleet())["warm_parents"][0]["restarts"] == 0


async def test_a_report_that_could_not_be_used_is_made_up_for(
    fleet: RunningFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = next(iter(fleet.pool.in_state(REGION, State.READY).values()))
    assert lost.pid is not None

    def broken(*_: object) -> None:
        raise RuntimeError("a fault")

    with monkeypatch.context() as fault:
        fault.setattr(fleet.pool, "exited", broken)
        os.kill(lost.pid, signal.SIGKILL)
        await fleet.until(lambda: fleet.warm_parents.as_json()[0]["servers"] == 3)
    assert not lost.gone
    fleet.warm_parents.list_servers(fleet.pool.clock.monotonic())
    await fleet.until(lambda: lost.gone)
    await fleet.full()


def test_a_server_without_room_for_its_log_runs_without_one(tmp_path: Path) -> None:
    kept = os.dup(1), os.dup(2)
    try:
        warm_parent._write_output_to(tmp_path / "no such folder" / "server.log")
        assert os.readlink("/proc/self/fd/1") == os.devnull
    finally:
        for number, descriptor in enumerate(kept, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)
