"""Players who are back, and servers that were stopped: neither costs a player their match."""

from __future__ import annotations

import pytest

from dedicated_server.match.report import build_report
from dedicated_server.protocol import reliable_kinds as kinds
from dedicated_server.protocol.client.state import CLIENT_CONNECTED
from dedicated_server.protocol.datagrams import CONNECTED, TIME_OUT_S, TIMED_OUT
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.simulation import world as w
from dedicated_server.tick.engine import PAUSE_S, Phase
from tests.dedicated_server.tick.swarm import START_S, Lay, Table, positions_of, run_east

CRASHED = 1
PAUSE_TICKS = 30 * TICK_HZ


def status_of(table: Table, player: int) -> int:
    return int(table.engine.wire.status[player])


async def test_a_client_that_crashed_comes_back_at_once_with_a_newer_token(lay: Lay) -> None:
    """From another port, while the server still holds its old connection for alive."""
    table = await lay(3, run_east)
    engine, swarm = table.engine, table.swarm
    await table.play(60)
    before = engine.match.world.body[w.X_M, CRASHED]
    engine.wire.queue_reliable(CRASHED, kinds.RELIABLE_MATCH_OVER, 7, 1, 7)
    swarm.restart(CRASHED, issued_at=START_S + 1.0)
    await table.play(12, until=lambda: swarm.sessions["state"][CRASHED] == CLIENT_CONNECTED)
    assert swarm.sessions["state"][CRASHED] == CLIENT_CONNECTED
    await table.play(60)
    session = swarm.sessions[CRASHED]
    newest = engine.wire.input_newest[CRASHED]
    assert (session["input_tick"], session["input_echo"]) == (newest, newest - 1)
    assert session["input_applied"] > 50  # inputs count anew, and are played
    assert engine.match.world.body[w.X_M, CRASHED] - before == pytest.approx(6.0, abs=1.5)  # it ran on
    x_m, _ = positions_of(swarm.state.seen[CRASHED])
    assert x_m == pytest.approx(engine.match.world.body[w.X_M], abs=0.3)  # and sees everybody
    assert [event[:4] for event in swarm.events_of(CRASHED)] == [(kinds.RELIABLE_MATCH_OVER, 7, 1, 7)]
    report = build_report(engine)
    assert (report["players_joined"], report["players_connected"], report["players_lost"]) == (3, 3, 0)
    assert report["deaths"] == 0
    counters = engine.wire.counters_by_name()
    assert (counters["connects"], counters["reconnects"]) == (3, 1)


async def test_a_player_whose_address_changes_runs_on_and_sees_everybody(lay: Lay) -> None:
    table = await lay(3, run_east)
    engine, swarm = table.engine, table.swarm
    await table.play(60)
    before = engine.match.world.body[w.X_M].copy()
    for _ in range(3):
        swarm.move(CRASHED)
        await table.play(60)
    ran = engine.match.world.body[w.X_M] - before
    assert ran[CRASHED] == pytest.approx(ran[0], abs=0.5)
    assert status_of(table, CRASHED) == CONNECTED
    x_m, _ = positions_of(swarm.state.seen[CRASHED])
    assert x_m == pytest.approx(engine.match.world.body[w.X_M], abs=0.3)
    counters = engine.wire.counters_by_name()
    assert (counters["connects"], counters["reconnects"], counters["moves"]) == (3, 0, 3)
    assert build_report(engine)["players_lost"] == 0


async def test_a_player_who_timed_out_comes_back_as_the_same_player(lay: Lay) -> None:
    table = await lay(3, run_east, match_s=60.0)
    await table.play(60)
    table.swarm.fall_silent(CRASHED)
    await table.play(6 * TICK_HZ, until=lambda: status_of(table, CRASHED) == TIMED_OUT)
    assert build_report(table.engine)["players_lost"] == 1
    table.swarm.sockets[CRASHED] = table.swarm._connect()
    table.swarm.restart(CRASHED, issued_at=START_S + 1.0)
    await table.play(30, until=lambda: status_of(table, CRASHED) == CONNECTED)
    report = build_report(table.engine)
    assert (report["players_joined"], report["players_connected"], report["players_lost"]) == (3, 3, 0)


async def test_a_token_that_was_not_issued_later_takes_nothing_over(lay: Lay) -> None:
    table = await lay(2, run_east)
    await table.play(60)
    sequence = int(table.engine.wire.state.slots["receive_newest"][0])
    table.swarm.restart(CRASHED, issued_at=START_S)
    await table.play(60)
    assert table.swarm.sessions["state"][CRASHED] != CLIENT_CONNECTED
    assert table.engine.wire.drops_by_reason()["token_used"] > 0
    assert table.engine.wire.state.slots["receive_newest"][0] > sequence


# --- servers that were stopped ------------------------------------------------------------------------------


async def test_a_server_that_was_stopped_times_nobody_out_whose_datagrams_wait(lay: Lay) -> None:
    table = await lay(3, run_east, match_s=120.0)
    engine = table.engine
    await table.play(60)
    engine.skip(PAUSE_TICKS)
    table.now_s += PAUSE_TICKS / TICK_HZ
    engine.tick(table.now_s)  # nothing has been read of it yet
    assert engine.wire.status.tolist() == [CONNECTED] * 3
    assert engine.tick_number == 61 + PAUSE_TICKS  # the match's clock went on
    for client in range(3):
        table.swarm.fall_silent(client)
    await table.play(round((TIME_OUT_S + 0.2) * TICK_HZ))
    assert engine.wire.status.tolist() == [TIMED_OUT] * 3


async def test_players_have_their_time_to_join_though_the_server_was_stopped(lay: Lay) -> None:
    table = await lay(2, here=(), join_timeout_s=2.0)
    engine = table.engine
    await table.play(10)
    engine.skip(4 * TICK_HZ)
    table.now_s += 4.0
    await table.play(60)
    assert engine.phase is Phase.WAITING
    await table.play(120)
    assert engine.phase is not Phase.WAITING


async def test_ticks_that_an_overload_skips_count_to_every_time_out(lay: Lay) -> None:
    table = await lay(1, run_east)
    await table.play(30)
    received_at_s = float(table.engine.wire.state.slots["received_at_s"][0])
    table.engine.skip(round(PAUSE_S * TICK_HZ))
    assert table.engine.wire.state.slots["received_at_s"][0] == received_at_s
