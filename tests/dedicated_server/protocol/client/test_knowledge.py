from __future__ import annotations

import math

import numpy as np
import pytest

from dedicated_server.cards import KIND_FLAG, KIND_ITEM, KIND_PLAYER
from dedicated_server.native.compilation import STAGE, njit
from dedicated_server.native.memory import StateHandle, load_state
from dedicated_server.protocol.client import knowledge
from dedicated_server.protocol.client.knowledge import (
    FLAG_AT_HOME,
    FLAG_CARRIED,
    NOBODY,
    UNKNOWN,
    VIEW_TYPE,
    ModeView,
    new_mode_view,
)
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.entities import FLAG_ALIVE, pack_flag, pack_item, pack_player
from dedicated_server.protocol.fields import (
    OBJECTIVE_CARRIER,
    OBJECTIVE_STATE,
    OBJECTIVE_TEAM,
    PHASE_PLAYING,
)

CLIENT = 1
OWN, MATE, ENEMY, FLAG = 2, 3, 4, 6


@pytest.fixture
def view() -> ModeView:
    """Two clients of a match of two teams with two flags; the second plays entity 2 in team 1."""
    clients = ClientSessions(2, 8)
    clients.sessions["own_entity"][CLIENT] = OWN
    clients.sessions["team"][CLIENT] = 1
    return new_mode_view(clients.state, teams=2, flags=2)


def show(view: ModeView, entity: int, x_m: float, y_m: float, flags: int = FLAG_ALIVE) -> None:
    view.wire.seen[CLIENT, entity] = pack_player(x_m, y_m, 0.0, 100, flags)
    view.wire.seen_tick[CLIENT, entity] = 7


def test_a_client_knows_its_own_team_from_its_token_and_others_from_the_roster(view: ModeView) -> None:
    assert knowledge.team_of(view, CLIENT, OWN) == knowledge.own_team(view, CLIENT) == 1
    assert knowledge.team_of(view, CLIENT, ENEMY) == UNKNOWN
    assert not knowledge.is_enemy(view, CLIENT, ENEMY)
    view.wire.roster_team[CLIENT, [MATE, ENEMY]] = 1, 0
    assert knowledge.team_of(view, CLIENT, ENEMY) == 0
    assert knowledge.is_enemy(view, CLIENT, ENEMY)
    assert not knowledge.is_enemy(view, CLIENT, MATE)
    assert knowledge.team_of(view, CLIENT, NOBODY) == UNKNOWN


def test_who_is_not_in_view_is_nowhere_and_not_alive(view: ModeView) -> None:
    assert all(map(math.isnan, knowledge.position_of(view, CLIENT, ENEMY)))
    assert not knowledge.is_alive(view, CLIENT, ENEMY)
    assert not knowledge.is_in_view(view, CLIENT, UNKNOWN)
    show(view, ENEMY, 12.5, -40.25)
    assert knowledge.position_of(view, CLIENT, ENEMY) == (12.5, -40.25)
    assert knowledge.is_alive(view, CLIENT, ENEMY)
    show(view, ENEMY, 12.5, -40.25, flags=0)
    assert not knowledge.is_alive(view, CLIENT, ENEMY)


def test_a_client_plays_while_the_match_is_played_and_its_body_lives(view: ModeView) -> None:
    show(view, OWN, 0.0, 0.0)
    assert not knowledge.is_playing(view, CLIENT)
    view.wire.sessions["match_phase"][CLIENT] = PHASE_PLAYING
    assert knowledge.is_playing(view, CLIENT)
    show(view, OWN, 0.0, 0.0, flags=0)
    assert not knowledge.is_playing(view, CLIENT)


def test_flags_are_known_by_what_the_match_says_and_by_their_entities(view: ModeView) -> None:
    assert knowledge.flag_state(view, CLIENT, 0) == UNKNOWN
    assert knowledge.flag_entity(view, CLIENT, 0) == UNKNOWN
    assert math.isnan(knowledge.flag_position(view, CLIENT, 0)[0])
    view.first_flag[CLIENT] = FLAG
    view.wire.sessions["objective_count"][CLIENT] = 2
    view.wire.objectives[CLIENT, :2, OBJECTIVE_TEAM] = 0, 1
    view.wire.objectives[CLIENT, :2, OBJECTIVE_STATE] = FLAG_AT_HOME, FLAG_CARRIED
    view.wire.objectives[CLIENT, :2, OBJECTIVE_CARRIER] = NOBODY, ENEMY
    show(view, FLAG + 1, -3.0, 5.0)
    assert knowledge.flag_team(view, CLIENT, 1) == 1
    assert knowledge.flag_state(view, CLIENT, 0) == FLAG_AT_HOME
    assert knowledge.flag_carrier(view, CLIENT, 0) == NOBODY
    assert knowledge.flag_carrier(view, CLIENT, 1) == ENEMY
    assert knowledge.flag_position(view, CLIENT, 1) == (-3.0, 5.0)


def test_flags_are_found_once_all_of_them_are_in_view(view: ModeView) -> None:
    for entity, record in (
        (ENEMY, pack_player(0.0, 0.0, 0.0, 100, FLAG_ALIVE)),
        (FLAG + 1, pack_flag(40.0, 0.0, 1, NOBODY, FLAG_AT_HOME)),
    ):
        view.wire.seen[CLIENT, entity] = record
        view.wire.seen_tick[CLIENT, entity] = 7
    knowledge.find_flags(view, CLIENT)
    assert knowledge.flag_entity(view, CLIENT, 0) == UNKNOWN  # the other one may be the first
    view.wire.seen[CLIENT, FLAG] = pack_flag(-40.0, 2.0, 0, NOBODY, FLAG_AT_HOME)
    view.wire.seen_tick[CLIENT, FLAG] = 8
    knowledge.find_flags(view, CLIENT)
    assert [knowledge.flag_position(view, CLIENT, flag) for flag in (0, 1)] == [(-40.0, 2.0), (40.0, 0.0)]
    assert knowledge.kind_of(view, CLIENT, FLAG) == KIND_FLAG
    assert knowledge.kind_of(view, CLIENT, ENEMY) == KIND_PLAYER
    assert knowledge.kind_of(view, CLIENT, 5) == UNKNOWN


def test_the_nearest_of_a_kind_is_in_view_and_of_items_free(view: ModeView) -> None:
    view.own_m[CLIENT] = 10.0, 0.0
    for entity, (x_m, taken) in enumerate([(12.0, 3), (50.0, NOBODY), (16.0, NOBODY)]):
        view.wire.seen[CLIENT, entity] = pack_item(x_m, 0.0, 1, taken)
        view.wire.seen_tick[CLIENT, entity] = 7
    assert knowledge.nearest_of_kind(view, CLIENT, KIND_ITEM) == 2
    view.wire.seen_tick[CLIENT, 2] = 0
    assert knowledge.nearest_of_kind(view, CLIENT, KIND_ITEM) == 1
    assert knowledge.nearest_of_kind(view, CLIENT, KIND_FLAG) == UNKNOWN


def test_what_a_hostile_server_says_leads_out_of_no_array(view: ModeView) -> None:
    for entity in (-7, 8, 4_094):
        assert not knowledge.is_in_view(view, CLIENT, entity)
        assert knowledge.team_of(view, CLIENT, entity) == UNKNOWN
        assert all(map(math.isnan, knowledge.position_of(view, CLIENT, entity)))


def test_scores_are_kept_by_field_and_then_by_team(view: ModeView) -> None:
    view.wire.scores[CLIENT, :4] = 3, 5, 20, 30
    assert [knowledge.score(view, CLIENT, field, team) for field in (0, 1) for team in (0, 1)] == [
        3,
        5,
        20,
        30,
    ]


@njit(cache=False, nogil=True, **STAGE)  # VIEW_TYPE is baked in, and no key of a test file's kernels says so
def goal_through_an_address(address: int, client: int) -> tuple[float, float]:
    return knowledge.own_position(load_state(address, VIEW_TYPE), client)


def test_a_hook_that_is_given_an_address_reads_the_view_there(view: ModeView) -> None:
    handle = StateHandle(view, VIEW_TYPE)
    assert math.isnan(goal_through_an_address(handle.address, CLIENT)[0])
    view.own_m[CLIENT] = 4.0, -2.0
    assert goal_through_an_address(handle.address, CLIENT) == (4.0, -2.0)
    assert np.isnan(view.own_m[0]).all()
