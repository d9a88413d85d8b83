"""Whole matches, tick by tick, against the plain-Python match: equal to the last bit."""

from __future__ import annotations

import math
import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.protocol.fields import BUTTON_FIRE
from dedicated_server.simulation import world as w
from dedicated_server.simulation.event_buffer import DEATH, KILL, drain, emit
from dedicated_server.simulation.grid import new_grid
from dedicated_server.simulation.match import remember_positions, simulate
from dedicated_server.simulation.movement import apply_inputs
from dedicated_server.simulation.world import Inputs, new_inputs
from tests.dedicated_server.simulation.naive import NaiveMatch, Player, Rules, Wish

RING = 32
START = 1
MAP_HALF_M = 150.0


def send(inputs: Inputs, player: int, wish: Wish) -> None:
    """Write an input as the wire does when it arrives."""
    inputs.rows[player, wish.input_tick % RING] = (
        wish.input_tick,
        wish.move_x,
        wish.move_y,
        wish.yaw,
        BUTTON_FIRE * wish.fire,
        wish.view,
        wish.fraction,
        wish.oldest,
    )
    inputs.newest[player] = max(inputs.newest[player], wish.input_tick)


def build(players: list[Player], rules: Rules) -> tuple[w.World, Inputs]:
    numbers = np.zeros(w.RULES)
    numbers[w.MAP_HALF_M], numbers[w.STEP_M] = rules.map_half_m, rules.step_m
    numbers[w.ZONE_X_M], numbers[w.ZONE_Y_M] = rules.zone_x_m, rules.zone_y_m
    numbers[w.ZONE_START_M], numbers[w.ZONE_POINTS] = rules.zone_start_m, rules.zone_points
    numbers[w.ZONE_HOLD_TICKS], numbers[w.ZONE_CLOSED_TICKS] = rules.hold_ticks, rules.closed_ticks
    numbers[w.RESPAWN_TICKS] = rules.respawn_ticks
    spawns = [[player.x_m for player in players], [player.y_m for player in players]]
    world = w.new_world([player.team for player in players], spawns, numbers)
    world.counters[w.START_TICK] = START
    return world, new_inputs(len(players), RING)


def aim(players: list[Player], index: int, generator: random.Random) -> int:
    """A heading towards some other player, or anywhere: random headings would hardly ever hit."""
    other = players[generator.randrange(len(players))]
    east, north = other.x_m - players[index].x_m, other.y_m - players[index].y_m
    if generator.random() < 0.3 or (east == 0 and north == 0):
        return generator.randrange(65_536)
    return round(math.atan2(north, east) / (2 * math.pi) * 65_536 + generator.gauss(0, 60)) & 65_535


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(2, 14),
    teams=st.integers(2, 14),
    spread_m=st.sampled_from([3.0, 30.0, 140.0]),
    loss=st.sampled_from([0.0, 0.1, 0.6]),
    burst=st.sampled_from([0.0, 0.3]),
    respawn_ticks=st.sampled_from([0, 5]),
)
def test_a_match_equals_the_plain_python_match_bit_for_bit(
    seed: int, count: int, teams: int, spread_m: float, loss: float, burst: float, respawn_ticks: int
) -> None:
    generator = random.Random(seed)
    players = [
        Player(index % teams, generator.uniform(-spread_m, spread_m), generator.uniform(-spread_m, spread_m))
        for index in range(count)
    ]
    rules = Rules(MAP_HALF_M, 0.1, 3.0, -2.0, spread_m, 20, 60, 1.7, respawn_ticks)
    world, inputs = build(players, rules)
    naive = NaiveMatch(players, rules, START, RING)
    grid = new_grid(count, MAP_HALF_M, 40.0)
    client_tick = [0] * count
    tick = START - 1
    for _ in range(80):
        tick += 1 if generator.random() < 0.95 else generator.randrange(2, 40)
        for index in range(count):
            sent = 1 if generator.random() >= burst else generator.randrange(0, 12)
            for _ in range(sent):
                client_tick[index] += 1
                wish = Wish(
                    client_tick[index],
                    generator.randint(-127, 127),
                    generator.randint(-127, 127),
                    aim(players, index, generator),
                    generator.random() < 0.7,
                    max(tick - generator.randrange(-2, 25), 0),
                    generator.choice((0, 0, generator.randrange(16))),
                    max(tick - generator.randrange(0, 30), 0),
                )
                if generator.random() >= loss:
                    players[index].wishes[wish.input_tick] = wish
                    send(inputs, index, wish)
        apply_inputs(world, inputs, tick, True)
        simulate(world, grid, True)
        naive.step(tick)
        compare(world, naive)
    events = [
        ({KILL: "kill", DEATH: "death"}[int(event["kind"])], event["tick"], event["actor"], event["victim"])
        for event in drain(world)
    ]
    assert events == naive.events[: len(world.events)]


def compare(world: w.World, naive: NaiveMatch) -> None:
    players = naive.players
    for row, name in (
        (w.X_M, "x_m"),
        (w.Y_M, "y_m"),
        (w.HEALTH_POINTS, "health"),
        (w.DAMAGE_POINTS, "damage"),
        (w.TAKEN_POINTS, "taken"),
        (w.SHOWN_VIEW, "shown"),
    ):
        assert world.body[row].tolist() == [getattr(player, name) for player in players], name
    for row, name in (
        (w.ALIVE, "alive"),
        (w.YAW, "yaw"),
        (w.SPARE_TICKS, "spare"),
        (w.APPLIED_INPUT, "applied"),
        (w.PLAYED_TICKS, "played"),
        (w.NEXT_SHOT, "next_shot"),
        (w.KILLS, "kills"),
        (w.DEATHS, "deaths"),
        (w.SHOTS, "shots"),
        (w.HITS, "hits"),
        (w.REFUSED_INPUTS, "refused"),
        (w.CLAMPED_REWINDS, "clamped"),
        (w.CHANGED_TICK, "changed_tick"),
    ):
        assert world.status[row].tolist() == [getattr(player, name) for player in players], name


def test_ticks_that_were_left_out_are_remembered_as_standing_still() -> None:
    world = w.new_world([0], [[5.0], [6.0]], np.zeros(w.RULES))
    world.counters[w.TICK], world.counters[w.ELAPSED] = 10, 4
    world.position_history[:] = 0.0

    remember_positions(world)

    assert [tick for tick in range(24) if world.position_history[tick, 0, 0] == 5.0] == [7, 8, 9, 10]


def test_a_full_journal_drops_the_event_and_counts_it() -> None:
    world = w.new_world([0, 1], np.zeros((2, 2)), np.zeros(w.RULES))
    room = len(world.events)

    for _ in range(room + 3):
        emit(world, KILL, 0, 1, 0, w.NOBODY, 0)

    assert world.counters[w.EVENTS_LOST] == 3
    assert len(drain(world)) == room
    assert len(drain(world)) == 0
