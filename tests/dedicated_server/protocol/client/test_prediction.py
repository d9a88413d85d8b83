from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.cards import shipped_cards
from dedicated_server.modes import open_match
from dedicated_server.protocol import entities, fields
from dedicated_server.protocol.client.prediction import (
    forget_prediction,
    new_prediction,
    predict,
    reconcile,
)
from dedicated_server.protocol.client.state import allocate
from dedicated_server.protocol.inputs import INPUT_MOVE_X, INPUT_MOVE_Y, INPUT_RING, INPUT_TICK
from dedicated_server.protocol.movement import Movement, movement_of, run_step
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from dedicated_server.simulation.world import X_M, Y_M, new_inputs
from tests.dedicated_server.protocol.naive_client import NaivePrediction
from tests.dedicated_server.protocol.rig import MATCH_ID

moves = st.integers(-128, 127)


CARDS = shipped_cards()
ROYALE = movement_of(CARDS["battle_royale"])


@pytest.mark.parametrize("mode", ["battle_royale", "teams_of_five"])
@given(wishes=st.lists(st.tuples(moves, moves), min_size=1, max_size=8), x_m=st.floats(-1_000, 1_000))
@settings(max_examples=50)
def test_a_predicted_step_is_the_servers_to_the_last_bit(
    mode: str, wishes: list[tuple[int, int]], x_m: float
) -> None:
    roster = [RosterPlayer(player_id=entity + 1, team=entity, entity=entity) for entity in range(2)]
    match = open_match(MatchConfig(MATCH_ID, CARDS[mode], 1, 60.0, roster), new_inputs(2, INPUT_RING))
    step_m, half_m, boxes, _ = movement_of(CARDS[mode])
    body = match.world.body
    at = body[X_M, 0], body[Y_M, 0] = min(max(x_m, -half_m), half_m), 0.1
    match.start([True, True], 1)
    for tick, (move_x, move_y) in enumerate(wishes, start=1):
        row = match.inputs.rows[0, tick % INPUT_RING]
        row[INPUT_TICK], row[INPUT_MOVE_X], row[INPUT_MOVE_Y] = tick, move_x, move_y
        match.inputs.newest[0] = tick
        match.apply(tick)
        at = run_step(*at, move_x, move_y, step_m, half_m, boxes)
        assert at == (body[X_M, 0], body[Y_M, 0])


class Client:
    """One client's wire state, written by hand, its prediction, and the oracle's."""

    def __init__(self, movement: Movement = ROYALE) -> None:
        self.wire = allocate(2, 3)
        self.session = self.wire.sessions[1]
        self.session["own_entity"] = 2
        self.prediction = new_prediction(2, movement)
        self.own = self.prediction.own[1]
        self.naive = NaivePrediction(movement.step_m, movement.map_half_m)
        self.snapshot_tick = 0

    def send(self, move_x: int, move_y: int) -> None:
        self.session["input_tick"] += 1
        tick = int(self.session["input_tick"])
        row = self.session["inputs"][tick % INPUT_RING]
        row[INPUT_TICK], row[INPUT_MOVE_X], row[INPUT_MOVE_Y] = tick, move_x, move_y
        predict(self.prediction, self.wire, 1)
        self.naive.send(move_x, move_y)

    def hear(self, applied: int, x_m: float, y_m: float, *, alive: bool = True, playing: bool = True) -> None:
        record = entities.pack_player(x_m, y_m, 0.0, 100, int(alive))
        self.snapshot_tick += 1
        self.session["snapshot_tick"] = self.snapshot_tick
        self.session["input_applied"] = applied
        self.session["match_phase"] = fields.PHASE_PLAYING if playing else fields.PHASE_WAITING
        self.wire.seen[1, 2], self.wire.seen_tick[1, 2] = record, self.snapshot_tick
        reconcile(self.prediction, self.wire, 1)
        at = float(entities.entity_x(record)), float(entities.entity_y(record))
        self.naive.snapshot(applied, *at, alive and playing)

    def compare(self) -> None:
        if not self.naive.known:
            assert self.own["input_tick"] == -1
            return
        assert self.own["input_tick"] == self.naive.newest
        assert (self.own["x_m"], self.own["y_m"]) == pytest.approx(self.naive.at, abs=1e-9)
        assert (self.own["glide_x_m"], self.own["glide_y_m"]) == pytest.approx(self.naive.glide, abs=1e-9)
        assert self.own["checks"] == len(self.naive.errors)
        assert self.own["corrections"] == self.naive.corrections


events = st.lists(
    st.one_of(
        st.tuples(st.just("send"), moves, moves),
        st.tuples(st.just("hear"), st.integers(0, 40), st.sampled_from([0.0, 0.0, 0.01, 0.3, 5.0])),
        st.tuples(st.just("life"), st.booleans(), st.booleans()),
    ),
    max_size=120,
)


@given(events)
def test_prediction_agrees_with_its_oracle(script: list[tuple[str, int, float]]) -> None:
    client = Client()
    applied, alive, playing = 0, True, True
    for what, first, second in script:
        if what == "send":
            client.send(first, int(second))
        elif what == "hear":
            applied = max(applied, client.naive.newest - first)
            x_m, y_m = client.naive.path.get(applied, (3.0, -4.0))
            client.hear(applied, x_m + second, y_m, alive=alive, playing=playing)
        else:
            alive, playing = bool(first), bool(second)
        client.compare()


def test_a_client_whose_inputs_are_all_played_is_never_corrected() -> None:
    client, server = Client(), (10.0, 20.0)
    step_m, half_m, boxes, _ = ROYALE
    random = np.random.default_rng(3)
    wishes = random.integers(-127, 128, (300, 2)).tolist()
    client.hear(0, *server)
    for tick, (move_x, move_y) in enumerate(wishes, start=1):
        client.send(move_x, move_y)
        if tick > 8:
            east, north = wishes[tick - 9]
            server = run_step(*server, east, north, step_m, half_m, boxes)
            client.hear(tick - 8, *server)
    assert client.own["checks"] == 292
    assert client.own["corrections"] == 0
    assert 0.0 < client.own["error_max_m"] < 2 / 64


def test_a_refused_input_is_corrected_once_and_shown_without_a_jump() -> None:
    client = Client()
    client.hear(0, 0.0, 0.0)
    for _ in range(10):
        client.send(127, 0)
    shown_m = float(client.own["x_m"] + client.own["glide_x_m"])
    client.hear(5, 0.3, 0.0)  # the server has refused two of the first five
    assert client.own["corrections"] == 1
    assert client.own["x_m"] == pytest.approx(0.8, abs=0.02)
    assert client.own["x_m"] + client.own["glide_x_m"] == pytest.approx(shown_m)
    for _ in range(30):
        client.send(0, 0)
    assert abs(client.own["glide_x_m"]) < 0.01


def test_a_new_life_elsewhere_is_shown_at_once() -> None:
    client = Client()
    client.hear(0, 0.0, 0.0)
    client.send(127, 0)
    client.hear(1, 60.0, 0.0)
    assert (client.own["x_m"], client.own["glide_x_m"]) == (60.0, 0.0)


def test_a_new_session_begins_anew() -> None:
    client = Client()
    client.hear(0, 0.0, 0.0)
    for _ in range(50):
        client.send(127, 0)
    client.session["input_tick"] = 0
    client.naive = NaivePrediction(ROYALE.step_m, ROYALE.map_half_m)
    client.hear(0, 9.0, 9.0)
    client.send(0, 127)
    assert (client.own["x_m"], client.own["y_m"]) == pytest.approx((9.0, 9.1))


Obstacle = tuple[float, float, float, float, bool]  # place, half sizes, standing

WALLED = Movement(0.1, 100.0, np.array([[1.0, -5.0, 2.0, 5.0]]))
SLOW = Movement(0.05, 100.0, np.zeros((0, 4)))


def test_clients_of_several_modes_share_one_prediction() -> None:
    client = Client()
    client.prediction = new_prediction(2, WALLED, SLOW)
    client.own = client.prediction.own[1]
    for mode, ends_m in ((0, 0.5), (1, 1.0)):
        forget_prediction(client.prediction, 1)
        client.own["mode"] = mode
        client.session["input_tick"] = 0
        client.hear(0, 0.0, 0.0)
        for _ in range(20):
            client.send(127, 0)
        assert client.own["x_m"] == pytest.approx(ends_m)
        forget_prediction(client.prediction, 1)
        assert client.own["mode"] == mode


def test_a_client_that_touches_a_wall_is_not_corrected_through_it() -> None:
    client = Client(WALLED)
    client.hear(0, 0.0, 0.0)
    for _ in range(20):
        client.send(127, 60)
    server = (0.5, float(client.own["y_m"]))
    client.hear(20, *server)
    assert client.own["corrections"] == 0
    for _ in range(5):
        client.send(127, 0)
    assert client.own["x_m"] == 0.5


def test_a_client_stops_at_the_obstacles_that_stand_in_its_view() -> None:
    client = Client()
    client.prediction = new_prediction(2, Movement(0.1, 100.0, WALLED.boxes, obstacles=2))
    client.own = client.prediction.own[1]

    def run(obstacle: Obstacle | None, *, in_view: bool = True) -> float:
        """Where ten metres east end, after a snapshot with an obstacle; to the south is a wall."""
        client.session["input_tick"] = 0
        if obstacle is not None:
            client.wire.seen[1, 0] = entities.pack_obstacle(*obstacle)
        client.wire.seen_tick[1, 0] = client.snapshot_tick + 1 if in_view else 0
        client.hear(0, -5.0, 20.0)
        for _ in range(100):
            client.send(127, 0)
        return float(client.own["x_m"])

    assert run((2.0, 20.0, 1.5, 3.0, True)) == 0.0
    assert run((2.0, 20.0, 1.5, 3.0, False)) == pytest.approx(5.0)  # it is there, but does not stand
    assert run((2.0, 27.0, 1.5, 3.0, True)) == pytest.approx(5.0)  # beside the way
    assert run((2.0, 20.0, 1.5, 3.0, True)) == 0.0
    assert run(None, in_view=False) == pytest.approx(5.0)  # gone out of view
    client.session["input_tick"] = 0
    client.hear(0, -5.0, 0.0)
    for _ in range(100):
        client.send(127, 0)
    assert client.own["x_m"] == 0.5  # the map's own boxes are there all the same
