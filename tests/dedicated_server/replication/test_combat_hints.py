"""Hints against plain Python, and what they give away."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.replication.combat_hints import (
    COLD,
    FADE,
    LEVELS,
    SIDE,
    TURNS,
    new_combat_hints,
    octant_of,
    update_combat_hints,
)
from dedicated_server.replication.priority import HORIZON_M
from dedicated_server.simulation import world as w

HALF_M = 1_000.0
coordinate = st.floats(-HALF_M, HALF_M, allow_nan=False)


def world_with(players: list[tuple[float, float]]) -> w.World:
    rules = np.zeros(w.RULES)
    rules[w.MAP_HALF_M] = HALF_M
    return w.new_world(range(len(players)), np.array(players, dtype=float).T, rules)


def fire(world: w.World, shots: list[tuple[float, float]]) -> None:
    world.counters[w.SHOT_COUNT] = len(shots)
    for index, (x_m, y_m) in enumerate(shots):
        world.shots[w.SHOT_X_M, index], world.shots[w.SHOT_Y_M, index] = x_m, y_m


def naive_hint(player: tuple[float, float], heat: dict[tuple[int, int], float]) -> int:
    cell_m = 2 * HALF_M / SIDE
    octants = [0.0] * 8
    for (row, column), value in heat.items():
        east = (column + 0.5) * cell_m - HALF_M - player[0]
        north = (row + 0.5) * cell_m - HALF_M - player[1]
        if value > COLD and math.hypot(east, north) > HORIZON_M:
            octants[round(math.atan2(north, east) / (math.pi / 4)) % 8] += value
    return sum(
        sum(value >= level for level in LEVELS) << (2 * octant) for octant, value in enumerate(octants)
    )


@settings(max_examples=50, deadline=None)
@given(
    players=st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=8),
    volleys=st.lists(st.lists(st.tuples(coordinate, coordinate), max_size=4), min_size=1, max_size=30),
)
def test_hints_equal_those_of_plain_python(
    players: list[tuple[float, float]], volleys: list[list[tuple[float, float]]]
) -> None:
    players = [
        (float(round(x_m)) + 0.25, float(round(y_m)) + 0.125) for x_m, y_m in players
    ]  # off the octants' edges
    world, hints = world_with(players), new_combat_hints(len(players))
    heat: dict[tuple[int, int], float] = {}
    told = [0] * len(players)
    for tick, volley in enumerate(volleys):
        world.counters[w.TICK] = tick
        shots = volley[: len(world.shots[0])]
        fire(world, shots)

        update_combat_hints(world, hints)

        heat = {cell: value * FADE for cell, value in heat.items()}
        for x_m, y_m in shots:
            cell = (min(int((y_m + HALF_M) / 100.0), SIDE - 1), min(int((x_m + HALF_M) / 100.0), SIDE - 1))
            heat[cell] = heat.get(cell, 0.0) + 1.0
        for client in range(tick % TURNS, len(players), TURNS):
            told[client] = naive_hint(players[client], heat)
        assert hints.hint_bits.tolist() == told


def test_a_fight_in_the_north_east_is_heard_from_there_and_fades() -> None:
    world, hints = world_with([(0.0, 0.0)]), new_combat_hints(1)
    fire(world, [(600.0, 600.0)] * 4)
    heard = []
    for tick in range(0, 400 * TURNS, TURNS):
        world.counters[w.TICK] = tick
        update_combat_hints(world, hints)
        fire(world, [])
        heard.append(int(hints.hint_bits[0]))
    assert set(heard) <= {0, 1 << 2, 2 << 2}
    assert max(heard) > 0
    assert heard[-1] == 0


def test_a_fight_in_view_is_no_hint() -> None:
    world, hints = world_with([(0.0, 0.0)]), new_combat_hints(1)
    for tick in range(3 * TURNS):
        world.counters[w.TICK] = tick
        fire(world, [(100.0, 50.0)])
        update_combat_hints(world, hints)
    assert hints.hint_bits.tolist() == [0]


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_an_octant_is_the_nearest_of_eight_directions(east: float, north: float) -> None:
    angle = math.atan2(north, east) / (math.pi / 4)
    if abs(angle - math.floor(angle) - 0.5) > 1e-6 and (east or north):
        assert octant_of(east, north) == round(angle) % 8
