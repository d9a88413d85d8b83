"""Matches: built from a seed, the same every time, ended by their mode."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from dedicated_server.cards import shipped_cards
from dedicated_server.modes import open_match
from dedicated_server.native.memory import StateHandle
from dedicated_server.protocol.fields import BUTTON_FIRE
from dedicated_server.simulation import world as w
from dedicated_server.simulation.damage import damage, zone_closed, zone_radius_m
from dedicated_server.simulation.event_buffer import DEATH, KILL, MATCH_ENDED, MATCH_STARTED
from dedicated_server.simulation.match import (
    MATCH_TYPE,
    BadRosterError,
    Match,
    MatchArrays,
    MatchConfig,
    RosterPlayer,
    _apply_inputs_at,
    _simulate_at,
    simulate,
)
from dedicated_server.simulation.movement import apply_inputs
from dedicated_server.simulation.world import Inputs

CARDS = shipped_cards()
PLAYED = ("battle_royale", "teams_of_five")


def config(players: int = 20, team_size: int = 1, **changes: object) -> MatchConfig:
    roster = [RosterPlayer(100 + entity, entity // team_size, entity) for entity in range(players)]
    base = MatchConfig(UUID(int=3), CARDS["battle_royale"], seed=5, match_s=2.0, players=roster)
    return replace(base, **changes)  # type: ignore[arg-type]


def wander_and_fire(inputs: Inputs, tick: int, generator: np.random.Generator) -> None:
    players, ring, _ = inputs.rows.shape
    row = inputs.rows[:, tick % ring]
    row[:, 0] = inputs.newest[:] = tick
    row[:, 1:3] = generator.integers(-127, 128, (players, 2))
    row[:, 3] = generator.integers(0, 65_536, players)
    row[:, 4] = BUTTON_FIRE
    row[:, 5] = tick - generator.integers(0, 20, players)


def play(match: Match, seed: int, ticks: int = 200) -> list[bytes]:
    inputs, generator = match.inputs, np.random.default_rng(seed)
    match.start(np.ones(len(match.roster), dtype=bool), 1)
    states = []
    for tick in range(1, ticks):
        wander_and_fire(inputs, tick, generator)
        match.apply(tick)
        match.simulate()
        states.append(b"".join(array.tobytes() for array in match.world))
        if match.over:
            break
    return states


@pytest.mark.parametrize("mode", PLAYED)
def test_same_seed_and_same_inputs_give_the_same_match_bit_for_bit(mode: str) -> None:
    one, other = (
        open_match(config(card=CARDS[mode], team_size=5)),
        open_match(config(card=CARDS[mode], team_size=5)),
    )
    assert play(one, seed=9) == play(other, seed=9)
    assert one.drain_events().tobytes() == other.drain_events().tobytes()
    assert one.placements().tolist() == other.placements().tolist()


def test_a_match_plays_by_the_kernels_that_the_oracle_has_checked() -> None:
    match, bare = open_match(config()), open_match(config())
    handle = StateHandle(MatchArrays(bare.world, bare.grid, bare.inputs), MATCH_TYPE)
    match.start(np.ones(20, dtype=bool), 1)
    bare.start(np.ones(20, dtype=bool), 1)
    for tick in range(1, 60):
        for inputs in (match.inputs, bare.inputs):
            wander_and_fire(inputs, tick, np.random.default_rng(tick))
        match.apply(tick)
        match.simulate()
        if tick % 2:
            _apply_inputs_at(handle.address, tick, True)
            _simulate_at(handle.address, True)
        else:
            apply_inputs(bare.world, bare.inputs, tick, True)
            simulate(bare.world, bare.grid, True)
        assert [array.tobytes() for array in match.world] == [array.tobytes() for array in bare.world]


def test_another_seed_is_another_match() -> None:
    one, other = open_match(config(seed=1)), open_match(config(seed=2))
    assert (one.world.body != other.world.body).any()
    assert one.world.rules[w.ZONE_X_M] != other.world.rules[w.ZONE_X_M]


@pytest.mark.parametrize("mode", PLAYED)
@pytest.mark.parametrize("players", [2, 3, 10, 100])
def test_everybody_starts_inside_the_zone_on_the_map_and_apart(mode: str, players: int) -> None:
    for seed in range(5):
        match = open_match(config(players=players, team_size=5, card=CARDS[mode], seed=seed, match_s=45.0))
        x_m, y_m = match.world.body[w.X_M], match.world.body[w.Y_M]
        rules = match.world.rules
        assert (np.hypot(x_m - rules[w.ZONE_X_M], y_m - rules[w.ZONE_Y_M]) < rules[w.ZONE_START_M]).all()
        assert (np.abs([x_m, y_m]) <= rules[w.MAP_HALF_M]).all()
        distances = np.hypot(x_m[:, None] - x_m, y_m[:, None] - y_m) + 1e9 * np.eye(players)
        assert distances.min() > 2 * w.BODY_RADIUS_M


def test_nobody_moves_before_the_start_and_heads_turn() -> None:
    match = open_match(config())
    inputs = match.inputs
    bodies = np.delete(match.world.body, w.SHOWN_VIEW, axis=0)
    for tick in range(1, 10):
        wander_and_fire(inputs, tick, np.random.default_rng(tick))
        match.apply(tick)
        match.simulate()
    assert (np.delete(match.world.body, w.SHOWN_VIEW, axis=0) == bodies).all()
    assert match.world.status[w.YAW].any()
    assert not match.world.status[w.SHOTS].any()
    assert not match.drain_events().size


def test_inputs_from_before_the_start_are_not_played_after_it() -> None:
    match = open_match(config())
    inputs = match.inputs
    for tick in range(1, 30):
        wander_and_fire(inputs, tick, np.random.default_rng(tick))
        match.apply(tick)
    before = match.world.body.copy()
    match.start(np.ones(20, dtype=bool), 30)
    match.apply(30)
    assert (match.world.body == before).all()


def test_a_battle_royale_ends_when_the_zone_has_closed_and_every_death_is_told() -> None:
    match = open_match(config(match_s=2.0))
    ticks = len(play(match, seed=3))
    events = match.drain_events()
    assert match.over
    assert ticks <= 2 * 60 + 1
    assert events["kind"][0] == MATCH_STARTED
    assert events["kind"][-1] == MATCH_ENDED
    told = np.isin(events["kind"], [KILL, DEATH]).sum()
    assert told == match.world.status[w.DEATHS].sum() == 20 - match.alive_count
    assert (events["kind"] == KILL).sum() == match.world.status[w.KILLS].sum()


def test_a_battle_royale_ends_when_one_team_is_left() -> None:
    match = open_match(config(players=4, team_size=2, match_s=60.0))
    match.start(np.array([True, True, False, True]), 1)
    match.apply(1)
    match.simulate()
    assert not match.over
    match.world.status[w.ALIVE, 3] = 0
    match.apply(2)
    match.simulate()
    assert match.over
    assert match.placements()[:2].tolist() == [1, 1]


def test_placements_follow_survival_and_those_who_never_came_are_last() -> None:
    match = open_match(config(players=5))
    match.start(np.array([True, True, True, False, True]), 1)
    status, body = match.world.status, match.world.body
    status[w.ALIVE, [1, 2]] = 0
    status[w.CHANGED_TICK, [1, 2]] = [50, 40]
    body[w.HEALTH_POINTS, [0, 4]] = [30.0, 60.0]
    assert match.placements().tolist() == [2, 3, 4, 5, 1]


def test_teams_of_five_come_back_and_end_at_the_kills_to_win() -> None:
    match = open_match(config(players=10, team_size=5, card=CARDS["teams_of_five"], match_s=60.0))
    match.start(np.ones(10, dtype=bool), 1)
    match.world.status[w.ALIVE, 7] = 0
    match.world.status[w.CHANGED_TICK, 7] = 1
    for tick in range(1, 3 * 60 + 2):
        match.apply(tick)
        match.simulate()
    assert match.world.status[w.ALIVE, 7]
    assert not match.over
    match.world.scores[0, 1] = 28
    for tick, over in ((200, False), (201, True)):
        match.apply(tick)
        damage(match.world, 6, tick - 200, w.FULL_HEALTH_POINTS)
        match.simulate()
        assert match.over == over
    assert match.world.scores.tolist() == [[0, 30]]
    assert match.placements().tolist() == [2] * 5 + [1] * 5


def test_the_zone_holds_then_shrinks_to_nothing_exactly_at_the_end() -> None:
    match = open_match(config(match_s=10.0))
    world = match.world
    world.counters[w.START_TICK] = 100
    radii = []
    for tick in range(90, 702):
        world.counters[w.TICK] = tick
        radii.append(zone_radius_m(world))
        assert zone_closed(world) == (tick >= 700)
    assert set(radii[:131]) == {world.rules[w.ZONE_START_M]}
    assert (np.diff(radii[130:611]) < 0).all()
    assert radii[610:] == [0.0, 0.0]


def test_a_roster_with_gaps_is_refused() -> None:
    with pytest.raises(BadRosterError):
        open_match(config(players=0))
    with pytest.raises(BadRosterError):
        open_match(replace(config(), players=[RosterPlayer(1, 0, 1)]))
