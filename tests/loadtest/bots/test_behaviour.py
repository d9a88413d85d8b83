from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.entities import (
    FLAG_ALIVE,
    NO_RECORD,
    Record,
    entity_x,
    entity_y,
    load_record,
    pack_player,
)
from dedicated_server.protocol.fields import BUTTON_FIRE, PHASE_PLAYING, PHASE_WAITING
from loadtest.bots.behaviour import BURST_S, REACTION_S, choose_target, decide, nearest_enemy, new_bot_states
from loadtest.bots.perception import NO_TARGET
from loadtest.scenario.behaviour_profiles import BehaviourProfile

TURN = 65_536
REST_S = 2.6
SIGHT_M = 80.0
ROAMER = BehaviourProfile(movement="roam", sight_m=SIGHT_M)
Body = tuple[float, float, bool, bool]


def naive_nearest_enemy(
    seen: list[Record], in_view: list[bool], alive: list[bool], own: int, x_m: float, y_m: float
) -> int:
    found = [
        (math.hypot(entity_x(record) - x_m, entity_y(record) - y_m), entity)
        for entity, record in enumerate(seen)
        if entity != own and in_view[entity] and alive[entity]
    ]
    near = [item for item in found if item[0] < SIGHT_M]
    return min(near)[1] if near else NO_TARGET


@settings(deadline=None)
@given(
    bodies=st.lists(
        st.tuples(st.floats(-150, 150), st.floats(-150, 150), st.booleans(), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    own=st.integers(0, 11),
)
def test_the_nearest_enemy_is_the_nearest_that_is_alive_and_in_view(bodies: list[Body], own: int) -> None:
    own %= len(bodies)
    seen = [pack_player(x, y, 0.0, 100, FLAG_ALIVE if alive else 0) for x, y, alive, _ in bodies]
    in_view = [visible for *_, visible in bodies]
    x_m, y_m = entity_x(seen[own]), entity_y(seen[own])
    found = nearest_enemy(np.array(seen, np.int64), np.array(in_view, np.int32), own, x_m, y_m, SIGHT_M)
    expected = naive_nearest_enemy(seen, in_view, [alive for _, _, alive, _ in bodies], own, x_m, y_m)
    assert found == expected


class Scene:
    """One bot of 16 entities, with what its client was told."""

    def __init__(self, skill: float = 60.0, seed: int = 3, kind: BehaviourProfile = ROAMER) -> None:
        self.clients = ClientSessions(1, 16)
        self.bot_states = new_bot_states(np.array([skill]), [kind], np.zeros(1, np.int8), REST_S)
        self.streams = np.array([seed], np.uint64)
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

    def decide(self, now_s: float) -> Any:
        state = self.clients.state
        seen, session = state.seen[0], state.sessions[0]
        own = load_record(seen[0])
        target = choose_target(
            self.bot_states, self.streams, 0, session, own, seen, state.seen_tick[0], now_s
        )
        enemy = load_record(seen[target]) if target >= 0 else NO_RECORD
        decide(self.bot_states, self.streams, 0, session, own, enemy, now_s)
        return self.bot_states[0]

    def walk(self, seconds: float, speed_m_s: float = 6.0) -> tuple[float, float]:
        """Let the bot go where it wants; where it ends."""
        body = load_record(self.clients.state.seen[0, 0])
        x_m, y_m = entity_x(body), entity_y(body)
        for frame in range(round(60 * seconds)):
            mind = self.decide(frame / 60)
            x_m += float(mind["move_x"]) / 127 * speed_m_s / 60
            y_m += float(mind["move_y"]) / 127 * speed_m_s / 60
            self.show(0, x_m, y_m)
        return x_m, y_m


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
