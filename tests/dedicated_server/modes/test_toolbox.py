"""What hooks are written with, one question or act at a time."""

from __future__ import annotations

from dedicated_server.cards import shipped_cards
from dedicated_server.modes import defaults, toolbox
from dedicated_server.simulation import world as w
from dedicated_server.simulation.event_buffer import emit_mode_event
from tests.dedicated_server.modes.worlds import begun, put, tick

CARD = shipped_cards()["capture_the_flag"]


def test_a_world_is_asked_for_players_and_places() -> None:
    match = begun(CARD)
    world = match.world
    tick(match, 90)
    put(match, 3, 1.0, 2.0)
    assert (toolbox.players(world), toolbox.objects(world)) == (16, 2)
    assert toolbox.seconds_played(world) == 1.5
    assert (toolbox.team_of(world, 3), toolbox.team_of(world, 8)) == (0, 1)
    assert toolbox.position_of(world, 3) == (1.0, 2.0)
    assert toolbox.distance_m(1.0, 2.0, 4.0, 6.0) == 5.0
    assert toolbox.is_within(world, 3, 5.0, 4.0, 6.0)
    assert not toolbox.is_within(world, 3, 4.9, 4.0, 6.0)
    world.status[w.ALIVE, 3] = 0
    assert not toolbox.is_alive(world, 3)
    assert not toolbox.is_within(world, 3, 5.0, 4.0, 6.0)


def test_the_nearest_of_a_place_is_found_and_a_team_may_not_count() -> None:
    match = begun(CARD)
    world = match.world
    for player in range(16):
        put(match, player, 50.0, 50.0)
    put(match, 2, 1.0, 0.0)
    put(match, 9, 0.5, 0.0)
    put(match, 10, -0.5, 0.0)
    assert toolbox.first_within(world, 2.0, 0.0, 0.0, toolbox.NOBODY) == 9  # of two at one distance the lower
    assert toolbox.first_within(world, 2.0, 0.0, 0.0, 1) == 2
    assert toolbox.first_within(world, 0.9, 0.0, 0.0, 1) == toolbox.NOBODY


def test_scores_stay_within_what_the_wire_can_say() -> None:
    world = begun(CARD).world
    assert toolbox.add_score(world, 0, 1, 2) == 2
    assert toolbox.add_score(world, 0, 1, 10_000) == 4_095
    assert toolbox.add_score(world, 0, 1, -10_000) == 0
    assert not defaults.limit_reached(world)
    toolbox.add_score(world, 0, 1, 3)
    assert defaults.limit_reached(world)
    assert defaults.over(world)


def test_the_living_are_healed_up_to_full_health() -> None:
    world = begun(CARD).world
    toolbox.hurt(world, 8, 0, 50.0)
    toolbox.heal(world, 0, 20.0)
    assert world.body[w.HEALTH_POINTS, 0] == 70.0
    toolbox.heal(world, 0, 200.0)
    assert world.body[w.HEALTH_POINTS, 0] == 100.0
    toolbox.hurt(world, 8, 0, 200.0)
    toolbox.heal(world, 0, 20.0)
    assert world.body[w.HEALTH_POINTS, 0] == 0.0


def test_objects_are_placed_moved_taken_and_hidden() -> None:
    world = begun(CARD).world
    assert not toolbox.is_shown(world, 0)
    toolbox.place_object(world, 0, 3.0, 4.0)
    assert toolbox.is_shown(world, 0)
    toolbox.move_object(world, 0, 5.0, 6.0)
    assert toolbox.object_position(world, 0) == (5.0, 6.0)
    toolbox.take_item(world, 0, 7)
    assert not toolbox.is_shown(world, 0)
    assert world.object_status[w.OBJECT_B, 0] == 7
    toolbox.place_object(world, 0, 3.0, 4.0)
    assert world.object_status[w.OBJECT_B, 0] == toolbox.NOBODY
    toolbox.hide_object(world, 0)
    assert not toolbox.is_shown(world, 0)


def test_flags_go_home_are_carried_and_dropped() -> None:
    world = begun(CARD).world
    toolbox.flag_home(world, 1, 1, 3.0, 4.0)
    assert (toolbox.flag_state(world, 1), toolbox.flag_carrier(world, 1)) == (toolbox.FLAG_AT_HOME, -1)
    toolbox.carry_flag(world, 1, 5)
    assert (toolbox.flag_state(world, 1), toolbox.flag_carrier(world, 1)) == (toolbox.FLAG_CARRIED, 5)
    toolbox.drop_flag(world, 1)
    assert (toolbox.flag_state(world, 1), toolbox.flag_carrier(world, 1)) == (toolbox.FLAG_DROPPED, -1)


def test_a_match_ends_when_one_team_is_left() -> None:
    match = begun(CARD)
    world = match.world
    assert not defaults.one_team_left(world)
    world.status[w.ALIVE, 8:] = 0  # they return
    assert not defaults.one_team_left(world)
    world.status[w.PRESENT, 8:] = 0
    assert defaults.one_team_left(world)


def test_an_event_of_the_mode_has_its_place_in_the_card() -> None:
    match = begun(CARD)
    match.drain_events()
    emit_mode_event(match.world, 0, 3, toolbox.NOBODY, 7)
    (event,) = match.drain_events()
    assert (event["kind"], event["actor"], event["victim"], event["value"]) == (16, 3, -1, 7)
