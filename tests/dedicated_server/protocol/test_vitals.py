from __future__ import annotations

import math

import numpy as np
import pytest
from numba import njit

from dedicated_server.native.compilation import STAGE
from dedicated_server.protocol.client.sections import known_health
from dedicated_server.protocol.client.state import UNKNOWN
from dedicated_server.protocol.entities import FLAG_CONNECTED, field_array, pack_player
from dedicated_server.protocol.fields import (
    HEALTH_NOT_SHOWN,
    SHOWN_TO_EVERYBODY,
    SHOWN_TO_SELF,
    SHOWN_TO_TEAM,
)
from dedicated_server.protocol.server.state import ServerState
from dedicated_server.protocol.server.vitals import _collect, note_vitals
from dedicated_server.simulation import world as w
from tests.dedicated_server.protocol.rig import Table
from tests.dedicated_server.tick.test_slots import laid

HEALTHS = [90, 70, 50, 30]
TEAMS = [0, 0, 1, 1]


def step(table: Table, healths: list[int], away: int = -1) -> None:
    table.wire.state.identity["vitals_changed"] = 0
    for player, health in enumerate(healths):
        note_vitals(table.wire.state, player, health, player != away)
        table.world[player] = pack_player(0.0, 0.0, 0.0, HEALTH_NOT_SHOWN, FLAG_CONNECTED)
    table.step()


def played(health: int, connection: int, healths: list[int], away: int = -1) -> Table:
    table = Table(4, teams=TEAMS, shows_health=health, shows_connection=connection)
    table.connect()
    for _ in range(10):
        step(table, healths, away)
    return table


def told(table: Table) -> list[list[int]]:
    state = table.clients.state
    return [[int(known_health(state, client, entity)) for entity in range(4)] for client in range(4)]


def test_a_client_knows_its_own_health_and_its_mates_where_the_mode_shows_it_to_the_team() -> None:
    assert told(played(SHOWN_TO_TEAM, SHOWN_TO_TEAM, HEALTHS)) == [
        [90, 70, UNKNOWN, UNKNOWN],
        [90, 70, UNKNOWN, UNKNOWN],
        [UNKNOWN, UNKNOWN, 50, 30],
        [UNKNOWN, UNKNOWN, 50, 30],
    ]


def test_a_client_knows_its_own_health_alone_where_the_mode_shows_it_to_nobody_else() -> None:
    expected = [[HEALTHS[client] if client == e else UNKNOWN for e in range(4)] for client in range(4)]
    assert told(played(SHOWN_TO_SELF, SHOWN_TO_SELF, HEALTHS)) == expected


def test_connection_is_shown_to_whom_the_mode_says_whatever_it_says_of_health() -> None:
    table = played(SHOWN_TO_SELF, SHOWN_TO_TEAM, HEALTHS, away=1)
    assert told(table)[0] == [90, UNKNOWN, UNKNOWN, UNKNOWN]
    assert table.clients.state.vitals[0].tolist() == [90 | 128, HEALTH_NOT_SHOWN, UNKNOWN, UNKNOWN]
    table = played(SHOWN_TO_TEAM, SHOWN_TO_SELF, HEALTHS, away=1)
    assert table.clients.state.vitals[0].tolist() == [90 | 128, 70 | 128, UNKNOWN, UNKNOWN]


def test_a_change_is_told_at_once() -> None:
    table = played(SHOWN_TO_TEAM, SHOWN_TO_TEAM, HEALTHS)
    for health in range(60, 52, -1):  # in each of the eight ticks from one state of the match to the next
        step(table, [90, health, 50, 30])
        assert told(table)[0] == [90, health, UNKNOWN, UNKNOWN]


@pytest.mark.parametrize("shows", [SHOWN_TO_TEAM, SHOWN_TO_SELF])
def test_changes_of_all_at_once_are_told_at_once_to_whom_they_are_shown(shows: int) -> None:
    table = played(shows, shows, HEALTHS)
    for less in range(1, 8):
        healths = [health - less for health in HEALTHS]
        step(table, healths)
        for client in range(4):
            mates = [
                e for e in range(4) if (shows == SHOWN_TO_TEAM and TEAMS[e] == TEAMS[client]) or e == client
            ]
            assert told(table)[client] == [healths[e] if e in mates else UNKNOWN for e in range(4)]


def test_where_everybody_may_know_there_is_no_section_and_records_say_it() -> None:
    table = Table(2)
    table.connect()
    table.world[1] = pack_player(0.0, 0.0, 0.0, 42, 0)
    table.step()
    assert known_health(table.clients.state, 0, 1) == 42
    assert (table.clients.state.vitals == UNKNOWN).all()


def test_of_a_large_team_everybody_is_told_in_turns() -> None:
    players = 150
    table = Table(players, teams=[0] * players, shows_health=SHOWN_TO_TEAM, shows_connection=SHOWN_TO_TEAM)
    table.connect()
    state = table.wire.state
    state.identity["vitals_changed"] = 0
    for player in range(players):
        note_vitals(state, player, player % 100, True)
    state.identity["vitals_changed"] = 0
    for _ in range(80):
        table.step(selected=[[client] for client in range(players)])
    assert (table.clients.state.vitals[0] & 127 == [player % 100 for player in range(players)]).all()


@pytest.mark.parametrize("side", [0, 1])
def test_nothing_that_a_client_receives_says_how_an_enemy_is(side: int) -> None:
    table = laid()
    table.play(200)
    table.clients.leave(1 - side)
    world, state = table.engine.match.world, table.clients.state
    mates, enemies = range(side, 10, 2), list(range(1 - side, 10, 2))
    hurt = right = told = 0
    for _ in range(40):
        table.play(10)
        for client in mates:
            assert (state.vitals[client, enemies] == UNKNOWN).all()
            in_view = state.seen_tick[client] != 0
            assert set(field_array(state.seen[client], "health")[in_view].tolist()) <= {HEALTH_NOT_SHOWN}
            flags = field_array(state.seen[client], "flags")[in_view]
            assert set((flags & FLAG_CONNECTED).tolist()) <= {FLAG_CONNECTED}
            for mate in mates:
                health = known_health(state, client, mate)
                hurt += 0 < health < 100
                right += health == math.ceil(world.body[w.HEALTH_POINTS, mate])
                told += 1
    assert hurt > 0
    assert right > 0.7 * told  # the others were hurt in the last 50 ms


def test_the_three_viewers_have_the_order_that_they_are_compared_by() -> None:
    assert SHOWN_TO_SELF < SHOWN_TO_TEAM < SHOWN_TO_EVERYBODY


@njit(**STAGE)
def changes_for(state: ServerState, client: int, most: int) -> int:
    count: int = _collect(state, client, 0, False, most)
    return count


@pytest.mark.parametrize("shows", [SHOWN_TO_TEAM, SHOWN_TO_SELF])
@pytest.mark.parametrize("size", [1, 2, 12, 24])
def test_the_changes_of_a_tick_are_those_of_the_client_and_of_its_team(shows: int, size: int) -> None:
    players, generator = 24, np.random.default_rng(size)
    teams = [player // size for player in range(players)]
    table = Table(players, teams=teams, shows_health=shows, shows_connection=shows, join=False)
    state, healths = table.wire.state, np.zeros(players, int)
    for share in [1.0, 0.0, 0.05, 0.3, 0.9] * 4:
        drawn = np.where(generator.random(players) < share, generator.integers(1, 100, players), healths)
        changed, healths = set(np.flatnonzero(drawn != healths).tolist()), drawn
        state.identity["vitals_changed"] = 0
        for player in range(players):
            note_vitals(state, player, int(healths[player]), False)
        for client in range(players):
            mates = (
                {e for e in range(players) if teams[e] == teams[client]}
                if shows == SHOWN_TO_TEAM
                else {client}
            )
            wanted = changed & mates
            for most in (3, 63):
                told = state.shown[: changes_for(state, client, most)].tolist()
                assert len(told) == min(len(wanted), most)
                assert set(told) <= wanted
