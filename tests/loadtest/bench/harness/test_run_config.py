"""Where players are, and a mode that does not end."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest

from dedicated_server.replication.priority import OUTER_M, PERIOD_TICKS
from dedicated_server.simulation.match import Match, MatchConfig, RosterPlayer
from dedicated_server.simulation.world import ALIVE, CHANGED_TICK, HEALTH_POINTS, X_M, Y_M
from loadtest.bench.harness import run_config
from loadtest.bench.harness.run_config import (
    CLUSTER,
    LAYOUTS,
    MAP,
    MAP_HALF_M,
    SCALE_PLAYERS,
    Layout,
    constant_density,
)


def match_of(players: int, where: Layout) -> Match:
    mode = run_config.bench_mode()
    roster = [RosterPlayer(player_id=entity + 1, team=entity, entity=entity) for entity in range(players)]
    return Match(
        MatchConfig(
            UUID(int=1),
            mode.card,
            seed=3,
            match_s=3_600.0,
            players=roster,
            spawn_radius_m=where.half_m,
        ),
        mode,
    )


@pytest.mark.parametrize("where", LAYOUTS.values(), ids=LAYOUTS)
def test_players_start_spread_over_their_square(where: Layout) -> None:
    body = match_of(400, where).world.body

    for axis in (X_M, Y_M):
        assert np.abs(body[axis]).max() <= where.half_m
        assert np.histogram(body[axis], 4, (-where.half_m, where.half_m))[0].min() > 60


def test_in_a_cluster_all_are_told_of_all_in_every_tick() -> None:
    full_rate_m = OUTER_M[PERIOD_TICKS == 1].max()

    assert 2.0 * CLUSTER.half_m * 2.0**0.5 < full_rate_m


def test_at_constant_density_the_square_grows_with_the_players() -> None:
    densities = [players / constant_density(players).half_m ** 2 for players in (100, 400, 1_600)]

    assert densities == pytest.approx([densities[0]] * 3)
    assert constant_density(SCALE_PLAYERS).half_m == MAP_HALF_M == MAP.half_m


def test_whoever_dies_is_back_a_tick_later_and_the_match_goes_on() -> None:
    match = match_of(3, CLUSTER)
    match.start([True] * 3, 1)
    match.apply(1)
    match.simulate()
    match.world.status[ALIVE, :2] = 0
    match.world.status[CHANGED_TICK, :2] = 1
    match.world.body[HEALTH_POINTS, :2] = 0.0

    for tick in range(2, 300):
        match.apply(tick)
        match.simulate()

    assert match.alive_count == 3
    assert not match.over
    assert (match.world.body[HEALTH_POINTS] == 100.0).all()  # the zone hurts nobody, wherever they are
