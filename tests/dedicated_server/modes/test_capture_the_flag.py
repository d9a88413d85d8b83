"""Capture the flag, hook by hook: taken, carried, dropped, returned, captured, and who goes where."""

from __future__ import annotations

import numpy as np
import pytest

from dedicated_server.cards import shipped_cards
from dedicated_server.modes.capture_the_flag import hooks
from dedicated_server.modes.toolbox import FLAG_AT_HOME, FLAG_CARRIED, FLAG_DROPPED, NOBODY
from dedicated_server.protocol.client.knowledge import ModeView, new_mode_view
from dedicated_server.protocol.client.state import allocate
from dedicated_server.protocol.entities import FLAG_ALIVE, pack_flag, pack_player
from dedicated_server.simulation import world as w
from dedicated_server.simulation.damage import vacate
from dedicated_server.simulation.event_buffer import MODE_EVENT
from dedicated_server.simulation.match import Match
from tests.dedicated_server.modes.worlds import begun, kill, put, tick

CARD = shipped_cards()["capture_the_flag"]
(WEST_X, WEST_Y), (EAST_X, EAST_Y) = hooks.HOMES_M
ATTACKER, MATE, ENEMY = 3, 4, 12  # 0 … 7 are of team 0 in the west, 8 … 15 of team 1


def flag(match: Match, number: int) -> tuple[int, int, float, float]:
    """State, carrier and place of a flag."""
    status, objects = match.world.object_status, match.world.objects
    return (
        int(status[w.OBJECT_C, number]),
        int(status[w.OBJECT_B, number]),
        float(objects[w.OBJECT_X_M, number]),
        float(objects[w.OBJECT_Y_M, number]),
    )


@pytest.fixture
def match() -> Match:
    """A match whose players stand in corners, and whose flags are at home."""
    made = begun(CARD)
    for player in range(16):
        put(made, player, -55.0 if player < 8 else 55.0, 50.0)
    tick(made)
    return made


@pytest.fixture
def carried(match: Match) -> Match:
    """A match in which ATTACKER carries the eastern flag."""
    put(match, ATTACKER, EAST_X, EAST_Y)
    tick(match)
    assert flag(match, 1) == (FLAG_CARRIED, ATTACKER, EAST_X, EAST_Y)
    return match


def test_flags_begin_at_home_and_players_in_their_bases() -> None:
    match = begun(CARD)
    tick(match)
    assert flag(match, 0) == (FLAG_AT_HOME, NOBODY, WEST_X, WEST_Y)
    assert flag(match, 1) == (FLAG_AT_HOME, NOBODY, EAST_X, EAST_Y)
    assert match.world.object_status[w.OBJECT_A].tolist() == [0, 1]
    x_m = match.world.body[w.X_M]
    assert (x_m[:8] < 0).all()
    assert (x_m[8:] > 0).all()


def test_who_touches_the_own_flag_at_home_leaves_it_there(match: Match) -> None:
    put(match, MATE, WEST_X, WEST_Y)
    tick(match)
    assert flag(match, 0)[0] == FLAG_AT_HOME


def test_a_flag_moves_with_its_carrier(carried: Match) -> None:
    put(carried, ATTACKER, 10.0, 20.0)
    tick(carried)
    assert flag(carried, 1) == (FLAG_CARRIED, ATTACKER, 10.0, 20.0)


def test_who_carries_it_home_scores_and_it_goes_back(carried: Match) -> None:
    put(carried, ATTACKER, WEST_X + 1.0, WEST_Y)
    tick(carried)
    assert carried.world.scores.tolist() == [[1, 0]]
    assert flag(carried, 1) == (FLAG_AT_HOME, NOBODY, EAST_X, EAST_Y)
    told = carried.drain_events()
    told = told[told["kind"] == MODE_EVENT + hooks.FLAG_CAPTURED]
    assert [(event["actor"], event["value"]) for event in told] == [(ATTACKER, 1)]


def test_nobody_scores_while_the_own_flag_is_away(carried: Match) -> None:
    put(carried, ENEMY, WEST_X, WEST_Y)
    tick(carried)
    put(carried, ATTACKER, WEST_X, WEST_Y)
    put(carried, ENEMY, 0.0, 20.0)
    tick(carried, 3)
    assert carried.world.scores.sum() == 0
    assert flag(carried, 1)[:2] == (FLAG_CARRIED, ATTACKER)
    kill(carried, ATTACKER, ENEMY)
    put(carried, MATE, 0.0, 20.0)  # sends it home
    tick(carried, 2)
    assert carried.world.scores.tolist() == [[1, 0]]


@pytest.mark.parametrize("how", ["killed", "gone"])
def test_who_dies_or_leaves_drops_the_flag_where_they_were(carried: Match, how: str) -> None:
    put(carried, ATTACKER, 10.0, 20.0)
    tick(carried)
    if how == "killed":
        kill(carried, ENEMY, ATTACKER)
    else:
        vacate(carried.world, ATTACKER)
        tick(carried)
    assert flag(carried, 1) == (FLAG_DROPPED, NOBODY, 10.0, 20.0)


@pytest.mark.parametrize(("player", "state"), [(ENEMY, FLAG_AT_HOME), (MATE, FLAG_CARRIED)])
def test_a_dropped_flag_is_sent_home_by_its_own_side_and_taken_by_the_other(
    carried: Match, player: int, state: int
) -> None:
    put(carried, ATTACKER, 10.0, 20.0)
    tick(carried)
    kill(carried, ENEMY, ATTACKER)
    put(carried, player, 10.5, 20.0)
    tick(carried)
    assert flag(carried, 1)[0] == state


def test_a_dropped_flag_that_nobody_touches_goes_home_by_itself(carried: Match) -> None:
    put(carried, ATTACKER, 10.0, 20.0)
    tick(carried)
    kill(carried, ENEMY, ATTACKER)
    tick(carried, hooks.RETURN_TICKS - 1)
    assert flag(carried, 1)[0] == FLAG_DROPPED
    tick(carried, 2)
    assert flag(carried, 1)[0] == FLAG_AT_HOME


def test_the_dead_return_to_their_base_after_five_seconds(match: Match) -> None:
    kill(match, ENEMY, MATE)
    tick(match, 5 * 60 - 1)
    assert not match.world.status[w.ALIVE, MATE]
    tick(match, 2)
    assert match.world.status[w.ALIVE, MATE]
    assert match.world.body[w.X_M, MATE] < WEST_X + 6.1


def test_the_captures_to_win_end_it_and_placements_are_by_captures_then_kills(carried: Match) -> None:
    carried.world.scores[0, 1] = 1
    carried.world.status[w.KILLS, 12] = 9
    put(carried, ATTACKER, WEST_X, WEST_Y)
    tick(carried)
    assert not carried.over
    assert carried.placements().tolist() == [2] * 8 + [1] * 8  # one each: team 1 has more kills
    carried.world.scores[0, 0] = 3
    tick(carried)
    assert carried.over
    assert carried.placements().tolist() == [1] * 8 + [2] * 8


# --- bots ---------------------------------------------------------------------------------------------------


@pytest.fixture
def view() -> ModeView:
    """What sixteen clients know: bodies in the bases, both flags at home."""
    made = new_mode_view(allocate(16, 18), teams=2, flags=2)
    made.first_flag[:] = 16
    made.wire.seen_tick[:] = 1
    made.wire.sessions["objective_count"] = 2
    for entity in range(16):
        made.wire.sessions["own_entity"][entity] = entity
        made.wire.sessions["team"][entity] = entity // 8
        made.own_m[entity] = hooks.HOMES_M[entity // 8]
        made.wire.seen[:, entity] = pack_player(*hooks.HOMES_M[entity // 8], 0.0, 100, FLAG_ALIVE)
    for number in range(2):
        see_flag(made, number, hooks.HOMES_M[number], FLAG_AT_HOME, NOBODY)
    return made


def see_flag(view: ModeView, number: int, place: tuple[float, float], state: int, carrier: int) -> None:
    view.wire.seen[:, 16 + number] = pack_flag(*place, number, carrier, state)
    view.wire.objectives[:, number] = state, carrier, number


def goals(view: ModeView) -> list[tuple[float, float]]:
    return [hooks.goal(view, client) for client in range(16)]


def test_bots_attack_and_two_of_each_side_stay_at_home(view: ModeView) -> None:
    found = goals(view)
    for team in range(2):
        mine, theirs = hooks.HOMES_M[team], hooks.HOMES_M[1 - team]
        side = found[team * 8 : team * 8 + 8]
        assert side.count(theirs) == 6
        guards = [place for place in side if place != theirs]
        assert all(np.hypot(x - mine[0], y - mine[1]) < 12.0 for x, y in guards)
        assert len(set(guards)) == 2
        assert hooks.guarded_place(team * 8, team) in guards


def test_a_carrier_goes_home_and_mates_come_with_it(view: ModeView) -> None:
    see_flag(view, 1, (EAST_X, EAST_Y), FLAG_CARRIED, 2)
    view.wire.seen[:, 2] = pack_player(EAST_X, EAST_Y, 0.0, 100, FLAG_ALIVE)
    found = goals(view)
    assert found[2] == (WEST_X, WEST_Y)
    assert found[5] == (EAST_X, EAST_Y - hooks.ESCORT_M)


def test_an_own_flag_that_is_away_is_gone_for_by_those_whose_part_it_is(view: ModeView) -> None:
    see_flag(view, 0, (20.0, 20.0), FLAG_DROPPED, NOBODY)
    found = goals(view)
    assert found[:4] == [(20.0, 20.0)] * 4  # defenders and chasers
    assert found[4] == (EAST_X, EAST_Y)
    view.own_m[4] = 25.0, 25.0
    assert hooks.goal(view, 4) == (20.0, 20.0)  # who is near helps
    assert found[8:].count((20.0, 20.0)) == 6  # the other side's attackers


def test_who_knows_no_team_has_no_goal(view: ModeView) -> None:
    view.wire.sessions["team"][0] = -1
    assert np.isnan(hooks.goal(view, 0)).all()


def test_hooks_of_one_tick_are_one_call() -> None:
    """`step` is made of `touch` and `capture`; `on_death` comes before it."""
    match = begun(CARD)
    world = match.world
    hooks.step(world)
    put(match, ATTACKER, EAST_X, EAST_Y)
    hooks.touch(world, 1)
    assert flag(match, 1)[:2] == (FLAG_CARRIED, ATTACKER)
    hooks.on_death(world, ATTACKER, NOBODY)
    assert flag(match, 1)[0] == FLAG_DROPPED
    hooks.capture(world, 1)
    assert world.scores.sum() == 0
