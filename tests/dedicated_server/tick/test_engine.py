"""Whole matches over real sockets, in virtual time, on both transports."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dedicated_server.match.report import build_report
from dedicated_server.protocol.client.state import CLIENT_CONNECTED
from dedicated_server.protocol.reliable_kinds import RELIABLE_HIT, RELIABLE_MATCH_OVER
from dedicated_server.simulation import world as w
from dedicated_server.simulation.event_buffer import (
    DEATH,
    KILL,
    MATCH_ENDED,
    MATCH_STARTED,
    PLAYER_CONNECTED,
    PLAYER_LEFT,
)
from dedicated_server.tick.engine import STAGES, Phase
from dedicated_server.transport import TransportKind
from tests.dedicated_server.tick.swarm import (
    Lay,
    aim_and_fire,
    positions_of,
    run_east,
    stand_still,
)


@pytest.mark.parametrize("kind", ["mmsg", "asyncio"])
async def test_twenty_clients_play_a_match_to_its_end_and_all_learn_the_result(
    lay: Lay, kind: TransportKind
) -> None:
    table = await lay(20, aim_and_fire, kind=kind)
    engine, swarm = table.engine, table.swarm

    await table.play(1_500)

    assert engine.finished
    kinds = [int(event["kind"]) for event in table.events]
    assert kinds[:21] == [PLAYER_CONNECTED] * 20 + [MATCH_STARTED]
    assert kinds[-21:] == [MATCH_ENDED] + [PLAYER_LEFT] * 20  # they answer that it is over
    report = build_report(engine)
    assert (report["players_joined"], report["players_connected"]) == (20, 0)
    assert report["players_lost"] == 0
    assert report["kills"] == kinds.count(KILL) > 0
    assert report["deaths"] == kinds.count(KILL) + kinds.count(DEATH)
    assert report["events_emitted"] == len(kinds)
    assert (swarm.sessions["match_over"] == 1).all()
    results = {result.player.entity: result for result in engine.result()}
    winner = min(results.values(), key=lambda result: result.placement).player.entity
    for client in range(20):
        over = [each[1:4] for each in swarm.events_of(client) if each[0] == RELIABLE_MATCH_OVER]
        assert over == [(results[client].placement, winner, results[client].kills)]


async def test_a_hundred_clients_see_each_other_where_they_are(lay: Lay) -> None:
    table = await lay(100, run_east, spawn_radius_m=60.0)
    engine, swarm = table.engine, table.swarm

    await table.play(120)
    engine_x, engine_y = (engine.match.world.body[row].copy() for row in (w.X_M, w.Y_M))
    swarm.policy = stand_still
    await table.play(30)

    assert engine.phase == Phase.PLAYING
    assert (swarm.sessions["state"] == CLIENT_CONNECTED).all()
    for client in range(100):
        assert (swarm.state.seen_tick[client] > engine.tick_number - 15).all()
        x_m, y_m = positions_of(swarm.state.seen[client])
        np.testing.assert_allclose(x_m, engine.match.world.body[w.X_M], atol=0.02)
        np.testing.assert_allclose(y_m, engine.match.world.body[w.Y_M], atol=0.02)
    moved_m = engine.match.world.body[w.X_M] - engine_x
    assert (moved_m <= 0.5).all()  # what was on the way when they stopped
    assert (engine_x - engine.match.world.spawns[0] > 8.0).all()  # nearly two seconds of running at 6 m/s
    assert (engine_y == engine.match.world.spawns[1]).all()
    assert build_report(engine)["kbit_per_client"]["max"] <= 256.0


@pytest.mark.parametrize(("players", "slack"), [(10, True), (63, True), (64, False)])
async def test_a_small_match_has_slack_until_its_ticks_are_long(lay: Lay, players: int, slack: bool) -> None:
    engine = (await lay(players, here=[])).engine
    assert engine.has_slack is slack
    for _ in range(20):
        engine.overload.note(0.1 / 60, 0)
    assert engine.has_slack is False


async def test_clients_far_apart_are_not_told_of_each_other(lay: Lay) -> None:
    table = await lay(30, run_east, spawn_radius_m=900.0)
    await table.play(90)
    body = table.engine.match.world.body
    for client in range(30):
        distance = np.hypot(body[w.X_M] - body[w.X_M, client], body[w.Y_M] - body[w.Y_M, client])
        seen = table.swarm.state.seen_tick[client] > 0
        assert seen[distance < 400.0].all()
        assert not seen[distance > 445.0].any()


async def test_the_match_waits_for_the_last_player_but_not_longer_than_the_time_out(lay: Lay) -> None:
    table = await lay(4, here=[0, 1, 2], join_timeout_s=2.0)
    await table.play(110)
    assert build_report(table.engine)["phase"] == "waiting"
    await table.play(15)
    assert build_report(table.engine)["phase"] == "playing"
    report = build_report(table.engine)
    assert (report["players_joined"], report["players_lost"], report["players_alive"]) == (3, 1, 3)


async def test_the_first_player_is_waited_for_longer_and_the_others_have_their_time_from_then_on(
    lay: Lay,
) -> None:
    table = await lay(3, here=[], join_timeout_s=1.0, come_timeout_s=3.0)
    await table.play(110)
    assert table.engine.phase is Phase.WAITING
    table.swarm.come(0)
    table.swarm.come(1)
    await table.play(50)
    assert (table.engine.phase, table.engine.joined.tolist()) == (Phase.WAITING, [True, True, False])
    await table.play(25)
    assert (table.engine.phase, table.engine.lost.tolist()) == (Phase.PLAYING, [False, False, True])


async def test_a_match_to_which_nobody_comes_ends_by_itself(lay: Lay) -> None:
    table = await lay(3, here=[], join_timeout_s=1.0)
    await table.play(300)
    assert table.engine.finished
    assert [int(event["kind"]) for event in table.events] == [MATCH_STARTED, MATCH_ENDED]
    assert [result.joined for result in table.engine.result()] == [False] * 3


async def test_who_falls_silent_is_lost_and_who_comes_back_finds_the_same_slot(lay: Lay) -> None:
    table = await lay(3, run_east, match_s=60.0)
    await table.play(30)
    table.swarm.fall_silent(1)
    await table.play(6 * 60)
    assert build_report(table.engine)["players_lost"] == 1
    table.swarm.come_back(1)
    before = table.engine.match.world.body[w.X_M, 1]
    await table.play(60)
    report = build_report(table.engine)
    assert (report["players_lost"], report["players_connected"]) == (0, 3)
    assert table.engine.match.world.body[w.X_M, 1] > before + 3.0
    assert (table.swarm.state.seen_tick[1] > 0).all()


async def test_who_leaves_dies_and_is_not_counted_as_lost(lay: Lay) -> None:
    table = await lay(3, match_s=60.0)
    await table.play(20)
    table.swarm.clients.leave(2)
    await table.play(10)
    report = build_report(table.engine)
    assert (report["players_alive"], report["players_lost"]) == (2, 0)
    kinds = [int(event["kind"]) for event in table.events]
    assert kinds == [PLAYER_CONNECTED] * 3 + [MATCH_STARTED, PLAYER_LEFT, DEATH]


async def test_hits_are_confirmed_to_the_shooter_exactly_once(lay: Lay) -> None:
    table = await lay(2, aim_and_fire, spawn_radius_m=20.0)
    await table.play(600)
    status = table.engine.match.world.status
    for client in range(2):
        hits = [message for message in table.swarm.events_of(client) if message[0] == RELIABLE_HIT]
        assert len(hits) == status[w.HITS, client] > 0


async def test_a_speed_hack_gains_nothing_and_is_counted(lay: Lay) -> None:
    table = await lay(2, run_east, match_s=60.0, spawn_radius_m=200.0)
    await table.play(20)
    world = table.engine.match.world
    start = world.body[w.X_M].copy()
    for _ in range(120):
        honest = table.swarm.sockets.pop(1)
        for _extra in range(2):  # client 0 runs at three times the speed of time
            table.swarm.play_frame(table.now_s)
        table.swarm.sockets[1] = honest
        await table.play(1)
    cheated, honest_m = world.body[w.X_M] - start
    assert cheated <= honest_m + 1.0
    assert world.status[w.REFUSED_INPUTS, 0] > 100
    assert world.status[w.REFUSED_INPUTS, 1] == 0


async def test_hostile_datagrams_are_dropped_and_counted_and_nobody_else_notices(lay: Lay) -> None:
    table = await lay(5, run_east, match_s=60.0)
    generator = np.random.default_rng(1)
    await table.play(20)
    hostile = table.swarm.sockets[4]
    for _ in range(60):
        for _datagram in range(40):
            hostile.send(generator.bytes(int(generator.integers(1, 1_400))))
        await table.play(1)
    report = build_report(table.engine)
    assert sum(report["dropped"].values()) >= 2_000
    assert report["players_connected"] == 5
    assert (table.engine.match.world.body[w.X_M] > table.engine.match.world.spawns[0] + 5.0).all()


async def test_the_report_is_json_and_has_what_operators_read(lay: Lay) -> None:
    table = await lay(3)
    empty = build_report(table.engine)
    await table.play(30)
    report = json.loads(json.dumps(build_report(table.engine)))
    assert set(empty) == set(report)
    assert set(report["stages_us"]) == set(STAGES)
    assert report["tick"] == 30
    assert report["tick_us"]["max"] >= report["tick_us"]["p99"] >= report["tick_us"]["p50"] > 0
    assert report["phase"] == "playing"
    assert report["rx_datagrams"] >= 80


async def test_ticks_left_out_pass_on_the_matchs_clock(lay: Lay) -> None:
    table = await lay(2, match_s=1.0)
    await table.play(20)
    table.engine.skip(200)
    await table.play(1)
    assert table.engine.over
    assert build_report(table.engine)["missed_ticks"] == 200


async def test_lasting_overload_halves_the_snapshots_and_says_so(lay: Lay) -> None:
    table = await lay(4, match_s=60.0)
    await table.play(30)
    for _ in range(20):
        table.engine.skip(1)
        await table.play(1)
    assert build_report(table.engine)["snapshot_every"] == 2
    before = table.swarm.sessions["snapshots"].copy()
    await table.play(40)
    assert np.allclose(table.swarm.sessions["snapshots"] - before, 20, atol=1)


async def test_two_engines_given_the_same_inputs_are_the_same_bit_for_bit(lay: Lay) -> None:
    worlds = []
    for kind in ("mmsg", "asyncio"):
        table = await lay(6, aim_and_fire, kind=kind, match_s=4.0)
        await table.play(200)
        worlds.append(b"".join(array.tobytes() for array in table.engine.match.world))
    assert worlds[0] == worlds[1]
