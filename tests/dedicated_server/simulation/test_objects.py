"""Objects of a match: what is shown of them, obstacles that stand, projectiles that fly and hit."""

from __future__ import annotations

import math
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.cards import (
    KIND_FLAG,
    KIND_ITEM,
    KIND_OBSTACLE,
    KIND_PROJECTILE,
    OwnRows,
    ScoreField,
    Weapon,
    shipped_cards,
)
from dedicated_server.modes import load_mode
from dedicated_server.protocol.fields import BUTTON_FIRE
from dedicated_server.simulation import world as w
from dedicated_server.simulation.event_buffer import KILL, MODE_EVENT, drain, emit_mode_event
from dedicated_server.simulation.layout import layout_of
from dedicated_server.simulation.match import Match, MatchConfig, RosterPlayer
from dedicated_server.simulation.objects import (
    NO_OBJECT,
    first_in_path,
    first_of_kind,
    fly_projectiles,
    hide_object,
    launch_projectile,
    place_object,
    place_obstacle,
    show_object,
    stand,
)
from tests.dedicated_server.simulation.test_boxes import play

SHOOTER, TARGET, MATE = 0, 1, 2
ROCKET = 1
FLAGS, ROCKETS, WALLS = 2, 3, 2
ALONG = np.zeros((3, 4), np.int64)  # nobody moves, nobody fires


@pytest.fixture
def match() -> Match:
    fives = load_mode(shipped_cards()["teams_of_five"])
    card = replace(
        fives.card,
        objects={"flag": FLAGS, "projectile": ROCKETS, "obstacle": WALLS},
        weapons=(*fives.card.weapons, Weapon("rocket", 60.0, 60, 30.0)),
        score=(ScoreField("kills", 30), ScoreField("captures", 0)),
        rows=OwnRows(players=("haste",), teams=("a", "b"), match=("c",)),
    )
    roster = [RosterPlayer(100 + entity, entity % 2, entity) for entity in range(3)]
    made = Match(
        MatchConfig(UUID(int=3), card, seed=4, match_s=60.0, players=roster), replace(fives, card=card)
    )
    made.start(np.ones(3, bool), 1)
    stand_at(made, (0.0, 0.0), (10.0, 0.0), (0.0, 3.0))
    return made


def stand_at(match: Match, *places: tuple[float, float]) -> None:
    match.world.body[:2] = np.array(places).T
    match.world.position_history[:] = match.world.body[:2]


def test_a_world_is_laid_out_as_its_card_says(match: Match) -> None:
    world = match.world
    assert (
        world.object_status[w.OBJECT_KIND].tolist()
        == [KIND_FLAG] * 2 + [KIND_PROJECTILE] * 3 + [KIND_OBSTACLE] * 2
    )
    assert [
        first_of_kind(world, kind) for kind in (KIND_FLAG, KIND_ITEM, KIND_PROJECTILE, KIND_OBSTACLE)
    ] == [
        0,
        NO_OBJECT,
        2,
        5,
    ]
    assert not world.object_status[w.OBJECT_SHOWN].any()
    assert (world.object_status[w.OBJECT_B] == w.NOBODY).all()
    assert world.scores.shape == (2, 2)
    assert world.limits.tolist() == [30, 0]
    assert [rows.shape for rows in (world.own_players, world.own_teams, world.own_match)] == [
        (1, 3),
        (2, 2),
        (1,),
    ]
    assert world.weapons.tolist() == [[10.0, 8.0, 80.0], [60.0, 60.0, 30.0]]
    assert len(world.boxes) == WALLS
    assert layout_of(match.config.card).obstacles == WALLS


def test_who_is_shown_is_in_the_grid_and_who_is_hidden_is_not(match: Match) -> None:
    world, grid = match.world, match.grid
    place_object(world, 1, 12.0, -3.0)
    play(match, 1, ALONG)
    assert grid.entity[: grid.start[-1]].tolist().count(3 + 1) == 1
    assert world.object_status[w.OBJECT_CHANGED_TICK, 1] == 0
    hide_object(world, 1)
    play(match, 2, ALONG)
    assert 3 + 1 not in grid.entity[: grid.start[-1]]
    show_object(world, 1)
    assert world.object_status[[w.OBJECT_SHOWN, w.OBJECT_CHANGED_TICK], 1].tolist() == [1, 2]


# --- obstacles ----------------------------------------------------------------------------------------------

RUN_EAST = np.array([[127, 0, 0, BUTTON_FIRE], [0, 0, 0, 0], [0, 0, 0, 0]])


def test_an_obstacle_that_stands_stops_movement_and_shots_until_it_falls(match: Match) -> None:
    world = match.world
    place_obstacle(world, 6, 4.0, 0.0, 0.5, 2.0)
    for tick in range(1, 61):
        play(match, tick, RUN_EAST)
    assert world.body[:2, SHOOTER].tolist() == [3.0, 0.0]
    assert world.status[w.HITS, SHOOTER] == 0 < world.status[w.SHOTS, SHOOTER]
    stand(world, 6, False)
    assert world.object_status[[w.OBJECT_A, w.OBJECT_SHOWN], 6].tolist() == [0, 1]
    for tick in range(61, 91):
        play(match, tick, RUN_EAST)
    assert world.body[w.X_M, SHOOTER] == pytest.approx(6.0)
    assert world.status[w.HITS, SHOOTER] > 0


def test_an_obstacle_that_is_hidden_stops_nobody(match: Match) -> None:
    place_obstacle(match.world, 5, 4.0, 0.0, 0.5, 2.0)
    hide_object(match.world, 5)
    assert (match.world.boxes == 1e9).all()
    assert match.world.object_status[w.OBJECT_A, 5] == 0


def test_whoever_an_obstacle_is_put_around_walks_out_of_it(match: Match) -> None:
    place_obstacle(match.world, 5, 0.0, 0.0, 1.0, 1.0)
    for tick in range(1, 31):
        play(match, tick, RUN_EAST)
    assert match.world.body[w.X_M, SHOOTER] == pytest.approx(3.0)


@settings(deadline=None)
@given(
    x_m=st.floats(-100, 100),
    y_m=st.floats(-100, 100),
    half_m=st.floats(-1.0, 200.0),
    place=st.sampled_from([5, 6]),
)
def test_an_obstacle_lies_where_the_wire_can_say_it(
    x_m: float, y_m: float, half_m: float, place: int
) -> None:
    card = replace(shipped_cards()["teams_of_five"], objects={"flag": 5, "obstacle": WALLS})
    world = w.new_world([0], np.zeros((2, 1)), np.zeros(w.RULES), layout=layout_of(card))
    place_obstacle(world, place, x_m, y_m, half_m, 1.0)
    at = world.objects[[w.OBJECT_X_M, w.OBJECT_Y_M], place]
    halves = world.objects[[w.OBJECT_EAST_M, w.OBJECT_NORTH_M], place]
    assert (at * 64 == np.rint(at * 64)).all()
    assert (halves * 8 == np.rint(halves * 8)).all()
    assert 0.0 <= halves[0] <= 1_023 / 8
    assert world.boxes[place - 5].tolist() == [*(at - halves), *(at + halves)]
    assert np.abs(at - (x_m, y_m)).max() <= 1 / 128


# --- projectiles --------------------------------------------------------------------------------------------


def test_a_projectile_flies_and_hurts_whom_it_meets(match: Match) -> None:
    world = match.world
    play(match, 1, ALONG)
    place = launch_projectile(world, SHOOTER, ROCKET, 0, 0.0, 0.0, 0.5)
    assert place == 2
    assert world.object_status[[w.OBJECT_A, w.OBJECT_B, w.OBJECT_C, w.OBJECT_SHOWN], place].tolist() == [
        SHOOTER,
        ROCKET,
        60,
        1,
    ]
    for tick in range(2, 21):
        play(match, tick, ALONG)
        assert world.objects[w.OBJECT_X_M, place] == pytest.approx((tick - 1) * 0.5)
    play(match, 21, ALONG)  # 9.5 m: the body's edge
    assert not world.object_status[w.OBJECT_SHOWN, place]
    assert world.body[w.HEALTH_POINTS].tolist() == [100.0, 40.0, 100.0]
    assert world.status[w.HURT_BY, TARGET] == SHOOTER


def test_a_kill_by_projectile_is_its_owners_and_names_its_weapon(match: Match) -> None:
    world = match.world
    play(match, 1, ALONG)
    world.body[w.HEALTH_POINTS, TARGET] = 50.0
    launch_projectile(world, SHOOTER, ROCKET, 0, 5.0, 0.0, 10.0)
    drain(world)
    play(match, 2, ALONG)
    [event] = drain(world)
    assert (event["kind"], event["actor"], event["victim"], event["weapon"]) == (
        KILL,
        SHOOTER,
        TARGET,
        ROCKET,
    )
    count = world.counters[w.DEATH_COUNT]
    assert world.deaths[:, :count].T.tolist() == [[TARGET, SHOOTER, w.NOBODY, ROCKET]]


def test_a_projectile_passes_its_owner_and_mates_and_ends_at_boxes_its_range_and_the_map(
    match: Match,
) -> None:
    world = match.world
    stand_at(match, (0.0, 0.0), (0.0, 50.0), (3.0, 0.0))
    play(match, 1, ALONG)
    place = launch_projectile(world, SHOOTER, ROCKET, 0, 0.0, 0.0, 4.0)
    for tick in range(2, 12):
        play(match, tick, ALONG)
        if not world.object_status[w.OBJECT_SHOWN, place]:
            break
    assert tick == 1 + math.ceil(30.0 / 4.0)
    assert (world.body[w.HEALTH_POINTS] == 100.0).all()
    place_obstacle(world, 5, 9.0, 0.0, 1.0, 1.0)
    place = launch_projectile(world, SHOOTER, ROCKET, 0, 0.0, 0.0, 5.0)
    fly_projectiles(world, match.grid)
    fly_projectiles(world, match.grid)
    assert world.objects[w.OBJECT_X_M, place] == 8.0
    assert not world.object_status[w.OBJECT_SHOWN, place]
    place = launch_projectile(world, SHOOTER, ROCKET, 32_768, -119.0, 0.0, 5.0)
    fly_projectiles(world, match.grid)
    assert not world.object_status[w.OBJECT_SHOWN, place]


def test_no_more_fly_than_the_card_has_and_none_stands_still(match: Match) -> None:
    launched = [launch_projectile(match.world, SHOOTER, ROCKET, 0, 0.0, 0.0, 1.0) for _ in range(4)]
    assert launched == [2, 3, 4, NO_OBJECT]
    hide_object(match.world, 3)
    assert launch_projectile(match.world, SHOOTER, ROCKET, 0, 0.0, 0.0, 0.0) == NO_OBJECT
    assert launch_projectile(match.world, SHOOTER, ROCKET, 0, 0.0, 0.0, 1.0) == 3


@settings(deadline=None)
@given(
    places=st.lists(st.tuples(st.floats(-8, 8), st.floats(-8, 8)), min_size=3, max_size=3),
    yaw=st.integers(0, 65_535),
    reach_m=st.floats(0.0, 12.0),
)
def test_whom_a_projectile_meets_first_is_whom_a_finely_sampled_path_meets(
    places: list[tuple[float, float]], yaw: int, reach_m: float
) -> None:
    fives = load_mode(shipped_cards()["teams_of_five"])
    roster = [RosterPlayer(100 + entity, min(entity, 1), entity) for entity in range(3)]
    match = Match(MatchConfig(UUID(int=3), fives.card, seed=4, match_s=60.0, players=roster), fives)
    match.start(np.ones(3, bool), 1)
    stand_at(match, *places)
    play(match, 1, ALONG)
    turn = yaw / 65_536 * 2 * math.pi
    cosine, sine = math.cos(turn), math.sin(turn)
    victim, met_m = first_in_path(match.world, match.grid, 0, 0.0, 0.0, cosine, sine, reach_m)
    for along in np.linspace(0.0, reach_m, 400):
        touched = [
            other
            for other in (1, 2)
            if math.dist(places[other], (along * cosine, along * sine)) < w.BODY_RADIUS_M - 1e-6
        ]
        if touched:
            assert victim in touched or met_m <= along
            assert met_m <= along + 1e-9
            return
    assert victim == NO_OBJECT or met_m <= reach_m


# --- events of the mode -------------------------------------------------------------------------------------


def test_an_event_of_the_mode_says_who_whom_how_much_and_where(match: Match) -> None:
    drain(match.world)
    match.world.counters[w.TICK] = 77
    emit_mode_event(match.world, 2, SHOOTER, TARGET, 5)
    emit_mode_event(match.world, 0, MATE, w.NOBODY, 0)
    first, second = drain(match.world)
    assert (first["kind"], first["tick"], first["actor"], first["victim"], first["value"]) == (
        MODE_EVENT + 2,
        77,
        SHOOTER,
        TARGET,
        5,
    )
    assert (first["victim_x_m"], first["distance_m"], first["weapon"]) == (10.0, 10.0, w.NOBODY)
    assert (second["kind"], second["actor_y_m"], second["victim"]) == (MODE_EVENT, 3.0, w.NOBODY)
