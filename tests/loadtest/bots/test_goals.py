from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dedicated_server.cards import Box, shipped_cards
from dedicated_server.native.compilation import STAGE, Floats, Ints, njit
from dedicated_server.native.memory import load_state
from dedicated_server.protocol.client.knowledge import (
    VIEW_FLAGS,
    VIEW_TEAMS,
    VIEW_TYPE,
    ModeView,
    new_mode_view,
    own_position,
)
from dedicated_server.protocol.client.prediction import Prediction, new_prediction
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.entities import FLAG_ALIVE, pack_player
from dedicated_server.protocol.fields import PHASE_PLAYING, PHASE_WAITING
from dedicated_server.protocol.movement import movement_of
from loadtest.bots.goals import Goals, list_playing

CLIENTS = 5
OPEN = shipped_cards()["battle_royale"]
FLAGS = replace(shipped_cards()["capture_the_flag"], boxes=(Box(0.0, 0.0, 4.0, 4.0),))


@njit(cache=False, nogil=True, **STAGE)  # the view's type is baked in, and numba keys the file alone
def ask_opposite(address: int, clients: Ints, out: Floats) -> None:
    """A hook that sends everybody to the opposite side of the map, past what its view has of the card."""
    view = load_state(address, VIEW_TYPE)
    for row in range(len(clients)):
        x_m, y_m = own_position(view, clients[row])
        out[row, 0] = -x_m + 100.0 * len(view.boxes) + 1_000.0 * view.numbers[VIEW_TEAMS]
        out[row, 1] = -y_m + 100.0 * view.numbers[VIEW_FLAGS]


@pytest.fixture
def view() -> ModeView:
    """Five clients whose bodies live at (client, client) in matches that are being played."""
    clients = ClientSessions(CLIENTS, 8)
    view = new_mode_view(clients.state)
    clients.sessions["match_phase"] = PHASE_PLAYING
    clients.sessions["own_entity"] = np.arange(CLIENTS)
    for client in range(CLIENTS):
        clients.state.seen[client, client] = pack_player(client, client, 0.0, 100, FLAG_ALIVE)
        clients.state.seen_tick[client, client] = 1
        view.own_m[client] = client, client
    return view


@pytest.fixture
def prediction() -> Prediction:
    """Clients 1, 3 and 4 play the mode with the flags."""
    found = new_prediction(CLIENTS, movement_of(OPEN), movement_of(FLAGS))
    found.own["mode"] = 0, 1, 0, 1, 1
    return found


def test_a_hook_is_asked_for_the_clients_of_its_mode_alone(view: ModeView, prediction: Prediction) -> None:
    goals = Goals([OPEN, FLAGS], [None, ask_opposite], view, prediction)
    goals.compile()
    assert np.isnan(goals.goal_m).all()
    goals.update()
    expected = np.full((CLIENTS, 2), np.nan)
    for client in (1, 3, 4):
        expected[client] = -client + 100.0 + 2_000.0, -client + 200.0
    np.testing.assert_array_equal(goals.goal_m, expected)
    goals.forget(3)
    assert np.isnan(goals.goal_m[3]).all()


def test_who_is_dead_or_waits_for_the_match_is_not_asked_for(view: ModeView, prediction: Prediction) -> None:
    view.wire.sessions["match_phase"][1] = PHASE_WAITING
    view.wire.seen[3, 3] = pack_player(3.0, 3.0, 0.0, 0, 0)
    goals = Goals([OPEN, FLAGS], [None, ask_opposite], view, prediction)
    goals.update()
    assert np.flatnonzero(np.isfinite(goals.goal_m[:, 0])).tolist() == [4]
    assert callable(list_playing)  # the kernel that has left them out


def test_modes_without_a_hook_send_nobody_anywhere(view: ModeView, prediction: Prediction) -> None:
    goals = Goals([OPEN, FLAGS], [None, None], view, prediction)
    goals.update()
    assert np.isnan(goals.goal_m).all()
