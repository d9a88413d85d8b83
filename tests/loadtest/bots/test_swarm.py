from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest

from dedicated_server.cards import shipped_cards
from dedicated_server.protocol.connect_token import ConnectTokenError
from dedicated_server.protocol.datagrams import CONNECTED, LEFT
from loadtest.bots.session import PlayerLink
from loadtest.bots.step import step
from loadtest.bots.swarm import Swarm
from loadtest.errors import SwarmError
from loadtest.scenario.link_profiles import LinkProfile
from loadtest.scenario.population import draw_population
from loadtest.scenario.reader import SHIPPED, load_scenario
from tests.loadtest.tiny_server import TinyServer
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)  # the first run on a machine compiles both ends of the wire

BOTS = 8
MODE = "battle_royale"
NEAR = PlayerLink(rtt_ms=6.0, profile=LinkProfile(jitter_ms=0.5))


@pytest.fixture
async def swarm() -> AsyncIterator[Swarm]:
    smoke = load_scenario(SHIPPED / "smoke.yaml")
    population = draw_population(smoke)
    assert callable(step)  # the compiled step under test
    async with Swarm(
        population, cards=shipped_cards(), players=BOTS, scenario=smoke, longest_ms=116.0
    ) as running:
        yield running


@pytest.fixture
async def server() -> AsyncIterator[TinyServer]:
    async with TinyServer(BOTS) as running:
        yield running


async def test_bots_connect_play_and_leave(swarm: Swarm, server: TinyServer) -> None:
    told = [await swarm.join(bot, server.token(bot), NEAR, MODE) for bot in range(BOTS)]
    for circumstances in told:
        while not circumstances.connected:
            await circumstances.wait_for_change()
    await until(lambda: (server.wire.input_newest >= 30).all())
    assert (server.wire.status == CONNECTED).all()
    moved = np.hypot(server.wire.input_move_x, server.wire.input_move_y)
    assert moved.max() > 120  # they run
    assert server.wire.input_buttons.any()  # they see each other, and fire
    played = [await swarm.leave(bot) for bot in range(BOTS)]
    await until(lambda: (server.wire.status == LEFT).all())
    assert all(bot.received_bytes > 1_000 and bot.sent_bytes > 1_000 for bot in played)


async def test_a_bot_that_vanished_comes_back_with_its_token_from_another_port(
    swarm: Swarm, server: TinyServer
) -> None:
    token = server.token(2)
    addresses = set()
    for _ in range(3):
        told = await swarm.join(2, token, NEAR, MODE)
        while not told.connected:
            assert not told.broken
            await told.wait_for_change()
        addresses.add(server.wire.state.slots["address"][2].tobytes())
        await swarm.leave(2, silently=True)
    assert len(addresses) == 3


async def test_a_bot_that_roams_goes_on_from_another_port_and_says_when_it_was_heard(
    swarm: Swarm, server: TinyServer
) -> None:
    told = await swarm.join(2, server.token(2), NEAR, MODE)
    while not told.connected:
        await told.wait_for_change()
    await until(lambda: server.wire.input_newest[2] >= 30)
    for moves in range(1, 4):
        told.back_s = None
        await swarm.roam(2)
        while told.back_s is None:
            assert not told.broken
            await told.wait_for_change()
        assert 0.0 < told.back_s < 5.0
        assert server.wire.counters_by_name()["moves"] == moves
    assert told.connected
    assert server.wire.counters_by_name()["reconnects"] == 0
    await swarm.leave(2)
    await swarm.roam(2)  # too late: nothing happens


async def test_a_bot_learns_of_its_death_and_of_the_end_of_the_match(
    swarm: Swarm, server: TinyServer
) -> None:
    told = await swarm.join(3, server.token(3), NEAR, MODE)
    while not told.connected:
        await told.wait_for_change()
    assert not told.died
    server.alive[3] = False
    while not told.died:
        await told.wait_for_change()
    assert not told.match_over
    server.end_match()
    while not told.match_over:
        await told.wait_for_change()
    assert told.connected


async def test_the_round_trip_that_a_client_measures_is_that_of_its_link(
    swarm: Swarm, server: TinyServer
) -> None:
    far = replace(NEAR, rtt_ms=160.0)
    for bot, line in ((0, NEAR), (1, far)):
        told = await swarm.join(bot, server.token(bot), line, MODE)
        while not told.connected:
            await told.wait_for_change()
    await until(lambda: (server.wire.input_newest[:2] >= 90).all())
    near_ms, far_ms = (await swarm.leave(0)).rtt_ms, (await swarm.leave(1)).rtt_ms
    # Both contain the same waits for ticks and frames; their difference is that of the links, give or take a
    # step or two.
    assert far_ms > 160
    assert math.isclose(far_ms - near_ms, 160 - NEAR.rtt_ms, abs_tol=25)


async def test_loss_on_the_link_is_survived_and_counted(swarm: Swarm, server: TinyServer) -> None:
    lossy = PlayerLink(rtt_ms=6.0, profile=LinkProfile(jitter_ms=0.5, loss=0.2))
    told = await swarm.join(0, server.token(0), lossy, MODE)
    while not told.connected:
        await told.wait_for_change()
    await until(lambda: server.wire.input_newest[0] >= 120)
    assert told.connected
    links = swarm.links
    for direction in ("to servers", "from servers"):
        assert 0.05 < links[direction]["lost"] / links[direction]["sent"] < 0.4
        assert links[direction]["overflowed"] == 0


async def test_a_server_that_falls_silent_breaks_the_session(swarm: Swarm, server: TinyServer) -> None:
    told = await swarm.join(0, server.token(0), NEAR, MODE)
    while not told.connected:
        await told.wait_for_change()
    server.silent = True
    while not told.broken:
        await told.wait_for_change()


async def test_bytes_that_are_no_token_are_refused(swarm: Swarm) -> None:
    with pytest.raises(ConnectTokenError):
        await swarm.join(0, b"not a token", NEAR, MODE)


async def test_a_match_larger_than_the_scenario_is_refused(swarm: Swarm) -> None:
    async with TinyServer(BOTS + 1) as larger:
        with pytest.raises(ConnectTokenError, match="more than the 8 players"):
            await swarm.join(0, larger.token(BOTS), NEAR, MODE)


async def test_a_fault_in_the_thread_is_told_to_whoever_waits(
    swarm: Swarm, server: TinyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await swarm.join(0, server.token(0), NEAR, MODE)

    def fault(*_: object) -> int:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("loadtest.bots.step.step", fault)
    while not told.broken:
        await told.wait_for_change()
    with pytest.raises(SwarmError, match="planted"):
        await swarm.leave(0)


async def test_lateness_is_measured_for_every_step(swarm: Swarm) -> None:
    await until(lambda: swarm.steps >= 50)
    late_us = swarm.step_lateness_us(50, 99, 100)
    assert late_us["p50"] is not None
    assert late_us["p99"] is not None
    assert late_us["p50"] <= late_us["p99"]


async def test_who_is_gone_silently_may_come_back_with_the_same_token(
    swarm: Swarm, server: TinyServer
) -> None:
    told = await swarm.join(0, server.token(0), NEAR, MODE)
    while not told.connected:
        await told.wait_for_change()
    await swarm.leave(0, silently=True)
    assert server.wire.status[0] == CONNECTED  # nobody told it
    for _ in range(3 * BOTS):  # more often than there is room for sessions
        told = await swarm.join(0, server.token(0), NEAR, MODE)
        while not told.connected:
            await told.wait_for_change()
        await swarm.leave(0, silently=True)


async def test_a_region_that_is_cut_off_is_heard_no_more_until_it_is_back(
    swarm: Swarm, server: TinyServer
) -> None:
    told = await swarm.join(0, server.token(0), replace(NEAR, region="east-us"), MODE)
    while not told.connected:
        await told.wait_for_change()
    await swarm.cut("east-us", off=True)
    while not told.broken:
        await told.wait_for_change()
    await swarm.leave(0, silently=True)
    await swarm.cut("east-us", off=False)
    told = await swarm.join(0, server.token(0), replace(NEAR, region="east-us"), MODE)
    while not told.connected:
        await told.wait_for_change()
