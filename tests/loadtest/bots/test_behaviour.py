from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.cards import Box, ModeCard, shipped_cards
from dedicated_server.protocol.client.knowledge import new_mode_view
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.entities import FLAG_ALIVE, pack_player
from dedicated_server.protocol.fields import BUTTON_FIRE, PHASE_PLAYING, PHASE_WAITING
from loadtest.bots.aim import (
    BURST_S,
    REACTION_S,
    choose_target,
    nearest_enemy,
)
from loadtest.bots.behaviour import THERE_M, decide
from loadtest.bots.bot_state import new_bot_states
from loadtest.bots.mode_table import mode_table
from loadtest.bots.perception import NO_TARGET
from loadtest.bots.terrain import is_clear
from loadtest.scenario.behaviour_profiles import BehaviourProfile

TURN = 65_536
REST_S = 2.6
SIGHT_M = 80.0
ROAMER = BehaviourProfile(movement="roam", sight_m=SIGHT_M)
OPEN = shipped_cards()["battle_royale"]
WALL = Box(10.0, -20.0, 12.0, 20.0)
WALLED = replace(shipped_cards()["teams_of_five"], boxes=(WALL,))
NOWHERE = (math.nan, math.nan)
Body = tuple[float, float, bool, bool, int]


class Scene:
    """One bot of 16 entities, with what its client was told: it is entity 0 of team 0, and all others are of
    team 1.
    """

    def __init__(
        self, skill: float = 60.0, seed: int = 3, kind: BehaviourProfile = ROAMER, card: ModeCard = OPEN
    ) -> None:
        self.clients = ClientSessions(1, 16)
        self.modes = mode_table([card])
        self.view = new_mode_view(self.clients.state)
        self.view.wire.roster_team[0] = 1
        self.bot_states = new_bot_states(np.array([skill]), [kind], np.zeros(1, np.int8), REST_S)
        self.streams = np.array([seed], np.uint64)
        self.goal = NOWHERE
        self.shown: dict[int, tuple[float, float]] = {}
        self.way: list[tuple[float, float]] = []
        self.session["own_entity"] = 0
        self.session["match_phase"] = PHASE_PLAYING
        self.zone(0.0, 0.0, 300.0)
        self.show(0, 0.0, 0.0)

    @property
    def session(self) -> Any:
        return self.clients.sessions[0]

    def zone(self, x_m: float, y_m: float, radius_m: float) -> None:
        self.session["zone_x"], self.session["zone_y"] = (x_m + 1024) * 64, (y_m + 1024) * 64
        self.session["zone_radius"] = radius_m * 64

    def show(self, entity: int, x_m: float, y_m: float, flags: int = FLAG_ALIVE) -> None:
        self.clients.state.seen[0, entity] = pack_player(x_m, y_m, 0.0, 100, flags)
        self.clients.state.seen_tick[0, entity] = 1
        if entity == 0:
            self.view.own_m[0] = x_m, y_m
        self.shown[entity] = (x_m, y_m)

    def nearest_enemy(self) -> int:
        return int(nearest_enemy(self.view, 0, self.modes, 0, SIGHT_M))

    def decide(self, now_s: float) -> Any:
        about = (self.bot_states, self.streams, 0, self.view, 0, self.modes, 0)
        target = choose_target(*about, now_s)
        decide(*about, *self.shown.get(target, NOWHERE), *self.goal, now_s)
        return self.bot_states[0]

    def walk(self, seconds: float, speed_m_s: float = 6.0) -> tuple[float, float]:
        """Let the bot go where it wants; where it ends. No box stops it: it goes round by itself."""
        x_m, y_m = self.shown[0]
        for frame in range(round(60 * seconds)):
            mind = self.decide(frame / 60)
            x_m += float(mind["move_x"]) / 127 * speed_m_s / 60
            y_m += float(mind["move_y"]) / 127 * speed_m_s / 60
            self.show(0, x_m, y_m)
            self.way.append((x_m, y_m))
        return x_m, y_m


def naive_nearest_enemy(scene: Scene, bodies: list[Body]) -> int:
    own_x_m, own_y_m = scene.shown[0]
    found = [
        (math.hypot(scene.shown[entity][0] - own_x_m, scene.shown[entity][1] - own_y_m), entity)
        for entity, (_, _, alive, visible, team) in enumerate(bodies, 1)
        if visible and alive and team > 0
    ]
    near = [item for item in found if item[0] < SIGHT_M]
    return min(near)[1] if near else NO_TARGET


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-9_000, 9_000).map(lambda units: units / 64),
            st.integers(-9_000, 9_000).map(lambda units: units / 64),
            st.booleans(),
            st.booleans(),
            st.integers(-1, 2),
        ),
        max_size=12,
    ),
)
def test_the_nearest_enemy_is_the_nearest_of_another_team_that_is_alive_and_in_view(
    bodies: list[Body],
) -> None:
    scene = Scene()
    for entity, (x_m, y_m, alive, visible, team) in enumerate(bodies, 1):
        scene.view.wire.roster_team[0, entity] = team
        scene.show(entity, x_m, y_m, FLAG_ALIVE if alive else 0)
        scene.clients.state.seen_tick[0, entity] = visible
    assert scene.nearest_enemy() == naive_nearest_enemy(scene, bodies)


def test_nobody_is_aimed_at_who_is_of_the_own_team_or_of_a_team_that_is_not_known_yet() -> None:
    scene = Scene()
    scene.view.wire.roster_team[0] = -1
    scene.show(5, 10.0, 0.0)
    scene.show(6, 20.0, 0.0)
    assert not any(scene.decide(5.0 + frame / 60)["buttons"] for frame in range(120))
    scene.view.wire.roster_team[0, 5:7] = 0, 1
    firing = [bool(scene.decide(9.0 + frame / 60)["buttons"]) for frame in range(120)]
    assert any(firing)
    assert scene.bot_states["target"][0] == 6


def test_nobody_is_aimed_at_through_a_wall() -> None:
    scene = Scene(card=WALLED)
    scene.show(5, 20.0, 0.0)
    assert scene.nearest_enemy() == NO_TARGET
    scene.show(6, 0.0, 60.0)
    assert scene.nearest_enemy() == 6
    scene.show(0, 0.0, 21.0)
    assert scene.nearest_enemy() == 5 or not is_clear(
        scene.modes.terrain.boxes, 0, 1, 0.0, 21.0, 20.0, 0.0, 0.0
    )


def test_a_target_that_runs_behind_a_wall_is_not_fired_at() -> None:
    scene = Scene(card=WALLED)
    scene.show(5, 8.0, 0.0)
    while not scene.decide(5.0 + len(scene.shown) / 60)["buttons"]:
        scene.bot_states["seen_since_s"] = 0.0
    scene.bot_states["target_until_s"] = 99.0  # no new look around before it is behind the wall
    scene.show(5, 20.0, 0.0)
    assert not scene.decide(5.2)["buttons"]
    assert scene.bot_states["target"][0] == 5


def test_weapons_that_reach_less_than_the_eye_are_not_fired_in_vain() -> None:
    rifle = OPEN.weapons[0]
    scene = Scene(card=replace(OPEN, weapons=(replace(rifle, range_m=30.0),)))
    scene.show(7, 35.0, 0.0)
    assert not any(scene.decide(5.0 + frame / 60)["buttons"] for frame in range(60))


@pytest.mark.parametrize("movement", ["roam", "hunt"])
def test_who_roams_or_hunts_goes_for_the_goal_and_stays_there(movement: Any) -> None:
    scene = Scene(kind=BehaviourProfile(movement=movement))
    scene.goal = (30.0, -20.0)
    assert math.dist(scene.walk(9.0), scene.goal) < 2 * THERE_M
    assert is_still(scene.decide(9.0))


@pytest.mark.parametrize("movement", ["camp", "crowd", "stand"])
def test_who_camps_crowds_or_stands_does_so_where_a_mode_has_a_goal_too(movement: Any) -> None:
    ways = []
    for goal in (NOWHERE, (30.0, -20.0)):
        scene = Scene(kind=BehaviourProfile(movement=movement))
        scene.goal = goal
        scene.walk(8.0)
        ways.append(scene.way)
    assert ways[0] == ways[1]


def test_an_enemy_on_the_way_to_the_goal_is_fired_at_and_does_not_stop_the_bot() -> None:
    scene = Scene()
    scene.goal = (-60.0, 0.0)
    scene.show(7, 30.0, 0.0)
    fired = 0
    for _ in range(6):
        x_m, _ = scene.walk(1.0)
        fired += int(scene.bot_states["fire_until_s"][0] > 0)
    assert x_m < -12.0
    assert fired


def test_a_bot_walks_around_a_wall_to_its_goal() -> None:
    scene = Scene(card=WALLED)
    scene.goal = (30.0, 0.0)
    assert math.dist(scene.walk(12.0), scene.goal) < 2 * THERE_M
    inside = [
        WALL.west_m - 0.4 < x_m < WALL.east_m + 0.4 and WALL.south_m - 0.4 < y_m < WALL.north_m + 0.4
        for x_m, y_m in scene.way
    ]
    assert not any(inside)


def test_a_dead_bot_stands_still_and_goes_on_when_it_lives_again() -> None:
    scene = Scene()
    scene.goal = (30.0, 0.0)
    assert not is_still(scene.decide(5.0))
    scene.show(0, 1.0, 0.0, flags=0)
    assert all(is_still(scene.decide(5.0 + frame / 60)) for frame in range(180))
    scene.show(0, -40.0, 12.0)
    assert not is_still(scene.decide(8.1))
    assert math.dist(scene.walk(14.0), scene.goal) < 2 * THERE_M


def is_still(mind: Any) -> bool:
    return (int(mind["move_x"]), int(mind["move_y"]), int(mind["buttons"])) == (0, 0, 0)


def test_nobody_moves_or_shoots_before_the_match_or_after_death() -> None:
    scene = Scene()
    scene.show(5, 10.0, 0.0)
    scene.session["match_phase"] = PHASE_WAITING
    assert is_still(scene.decide(9.0))
    scene.session["match_phase"] = PHASE_PLAYING
    assert not is_still(scene.decide(9.5))
    scene.show(0, 0.0, 0.0, flags=0)
    assert is_still(scene.decide(10.0))


@pytest.mark.parametrize("bearing_turns", [0.0, 0.13, 0.25, 0.5, 0.77, 0.99])
def test_a_perfect_shot_looks_at_the_enemy_and_fires_after_its_reaction(bearing_turns: float) -> None:
    scene = Scene()
    scene.bot_states["aim_spread_radians"] = 0.0
    angle = bearing_turns * 2 * math.pi
    scene.show(7, 40 * math.cos(angle), 40 * math.sin(angle))
    first = scene.decide(5.0)
    assert not first["buttons"]
    mind = scene.decide(5.0 + REACTION_S)
    off_turns = (int(mind["yaw"]) / TURN - bearing_turns + 0.5) % 1 - 0.5
    assert abs(off_turns) < 1e-3
    assert mind["buttons"] == BUTTON_FIRE


def test_fire_comes_in_bursts_with_pauses() -> None:
    scene = Scene()
    scene.show(7, 20.0, 0.0)
    firing = [bool(scene.decide(5.0 + frame / 60)["buttons"]) for frame in range(1_200)]
    assert abs(np.mean(firing) - BURST_S / (BURST_S + REST_S)) < 0.03
    assert 6 <= np.count_nonzero(np.diff(firing)) / 2 <= 7  # twenty seconds of a rhythm of three


def test_a_new_face_does_not_cut_the_pause_short() -> None:
    scene = Scene()
    shots = 0
    for frame in range(1_200):
        scene.show(7, 20.0 + frame % 2, 0.0)
        scene.show(8, 21.0 - frame % 2, 0.0)
        shots += bool(scene.decide(5.0 + frame / 60)["buttons"])
    assert shots / 1_200 <= 1.2 * BURST_S / (BURST_S + REST_S)


def test_an_enemy_out_of_sight_is_not_shot_at() -> None:
    scene = Scene()
    scene.show(7, SIGHT_M + 1, 0.0)
    assert not any(scene.decide(5.0 + frame / 60)["buttons"] for frame in range(60))


def test_the_better_player_aims_better() -> None:
    spread = {skill: _aim_spread_turns(skill) for skill in (5.0, 20.0, 40.0)}
    assert spread[5.0] > 1.5 * spread[20.0] > 3 * spread[40.0]


def _aim_spread_turns(skill: float) -> float:
    scene = Scene(skill)
    scene.show(7, 50.0, 0.0)
    yaws = [int(scene.decide(5.0 + 0.25 * look)["yaw"]) / TURN for look in range(1, 2_000)]
    return float(np.std((np.array(yaws) + 0.5) % 1 - 0.5))


def test_a_bot_outside_the_zone_walks_into_it_and_stays() -> None:
    scene = Scene()
    scene.zone(120.0, -80.0, 60.0)
    x_m, y_m = scene.walk(40.0)
    assert math.hypot(x_m - 120, y_m + 80) < 60


def test_a_bot_under_fire_at_the_edge_of_the_zone_runs_for_the_zone() -> None:
    scene = Scene()
    scene.zone(200.0, 0.0, 50.0)
    scene.show(4, 0.0, 30.0)
    x_m, _ = scene.walk(20.0)
    assert x_m > 90


def test_the_same_seed_behaves_the_same() -> None:
    assert Scene(seed=9).walk(5.0) == Scene(seed=9).walk(5.0)
    assert Scene(seed=9).walk(5.0) != Scene(seed=10).walk(5.0)
