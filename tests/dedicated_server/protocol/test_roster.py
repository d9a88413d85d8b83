from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.protocol.client.state import UNKNOWN
from dedicated_server.protocol.datagrams import SESSION_S
from dedicated_server.protocol.reliable_kinds import RELIABLE_HIT, RELIABLE_KILL, RELIABLE_MATCH_OVER
from dedicated_server.protocol.server.wire import cut_name
from tests.dedicated_server.protocol.oracle import Input, OracleClient, write_message
from tests.dedicated_server.protocol.rig import FIRST_PLAYER, Table, token

TEAMS = [1, 0, 0, 1, 1, 0]
NAMES = ["Ada", "Zoë", "", "名前", "x" * 32, "نام"]


def team_table(**changed: Any) -> Table:
    return Table(6, teams=TEAMS, names=NAMES, **changed)


def settle(table: Table, ticks: int = 12, lost: Callable[[], bool] = lambda: False) -> None:
    for _ in range(ticks):
        table.step(lost=lost)


def test_everybody_is_told_who_has_which_slot() -> None:
    table = team_table()
    table.connect()
    settle(table)
    state = table.clients.state
    assert (state.roster_team == TEAMS).all()
    assert (state.roster_player == range(FIRST_PLAYER, FIRST_PLAYER + 6)).all()
    for client in range(6):
        assert [table.clients.name_of(client, entity) for entity in range(6)] == NAMES
    assert not table.clients.sessions["events_count"].any()  # a slot is no event


def test_the_own_team_is_told_before_the_others() -> None:
    table = team_table(join=False)
    client = OracleClient(token(3, team=1))
    table.say(3, client.request())
    [(_, challenge)] = table.serve()
    table.say(3, client.respond(challenge))
    [(_, datagram)] = table.serve()
    snapshot = client.open(datagram)
    assert snapshot is not None
    assert [message[2] for message in snapshot.reliable] == [0, 3, 4, 1, 2, 5]
    assert [message[3] for message in snapshot.reliable] == [1, 1, 1, 0, 0, 0]
    assert snapshot.names == [NAMES[entity] for entity in (0, 3, 4, 1, 2, 5)]


def test_every_change_of_a_slot_is_told_and_so_is_that_nobody_has_it() -> None:
    table = team_table()
    table.connect()
    settle(table)
    table.wire.set_player(2, 0)
    settle(table, 4)
    assert table.clients.state.roster_player[:, 2].tolist() == [0] * 6
    table.wire.set_player(2, 777, "Newcomer")
    table.wire.set_player(5, 778)
    settle(table, 4)
    assert table.clients.state.roster_player[:, [2, 5]].tolist() == [[777, 778]] * 6
    assert [table.clients.name_of(client, 2) for client in range(6)] == ["Newcomer"] * 6
    assert {table.clients.name_of(client, 5) for client in range(6)} == {""}
    assert (table.clients.state.roster_team == TEAMS).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_large_roster_arrives_over_a_bad_line_and_leaves_room_for_what_happens(seed: int) -> None:
    random = np.random.default_rng(seed)
    players = 300
    table = Table(players, join=False, teams=[entity % 7 for entity in range(players)])
    for entity in range(2):
        table.clients.add(token(entity))
    selected: list[list[int]] = [[0, 1]] * players
    for tick in range(400):
        table.step(lost=lambda: bool(random.random() < 0.3), selected=selected)
        if table.wire.status[0] == table.wire.status[1] == 1 and tick % 5 == 0:
            table.wire.queue_reliable(-1, RELIABLE_KILL, 1, tick)
        if tick % 50 == 0:
            table.wire.set_player(int(random.integers(2, players)), 5_000 + tick)
    settle(table, 30)
    now = table.wire.state.slots["player_id"]
    for client in range(2):
        assert (table.clients.state.roster_player[client] == now).all()
    assert table.wire.counters_by_name()["reliable_overflow"] == 0
    assert table.clients.sessions["events_count"][0] == table.clients.sessions["events_count"][1] > 60


def test_who_comes_later_hears_nothing_of_before_but_what_is_theirs() -> None:
    table = team_table(join=False)
    table.clients.add(token(0))
    settle(table, 6)
    table.wire.queue_reliable(-1, RELIABLE_KILL, 0, 1)
    table.wire.queue_reliable(1, RELIABLE_HIT, 4, 10, 0)  # of a shot by who had the slot before
    table.wire.queue_reliable(1, RELIABLE_MATCH_OVER, 3, 0, 0)
    table.clients.add(token(1))
    settle(table)
    assert table.clients.sessions["events_count"][:2].tolist() == [1, 1]
    assert table.clients.state.events[0, 0, 0] == RELIABLE_KILL
    assert table.clients.state.events[1, 0, 0] == RELIABLE_MATCH_OVER
    assert table.clients.state.roster_player[1, 5] == FIRST_PLAYER + 5


def test_who_comes_back_is_told_anew_and_knows_nothing_until_then() -> None:
    table = team_table()
    table.connect()
    settle(table)
    table.wire.set_player(4, 0)
    table.now_s += SESSION_S
    table.clients.reconnect(1)
    assert (table.clients.state.roster_team[1] == UNKNOWN).all()
    assert table.clients.name_of(1, 0) == ""
    settle(table)
    assert table.clients.state.roster_team[1].tolist() == TEAMS
    assert table.clients.state.roster_player[1, 4] == 0


@given(st.text(max_size=40))
def test_a_name_is_cut_between_two_characters(name: str) -> None:
    written = cut_name(name)
    assert len(written) <= 32
    known = name.encode(errors="ignore").decode()
    assert known.startswith(written.decode())
    assert len(known.encode()) - len(written) < 4 or len(written) > 28


def test_a_client_that_never_acknowledges_costs_a_bounded_ring() -> None:
    table = Table(300, join=False)
    client = OracleClient(token(0))
    table.say(0, client.request())
    [(_, challenge)] = table.serve()
    table.say(0, client.respond(challenge))
    for _ in range(60):
        table.serve([[0]] * 300)
        table.say(0, client.seal(write_message(0, 0, 0, 1, [Input(0, 0, 0, 0, 0)])))
    assert table.wire.state.slots["reliable_count"][0] == 64
