"""A slot without a player has no body, and who hurt a leaver last has the kill."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dedicated_server.protocol import datagrams
from dedicated_server.protocol.server.state import (
    EMPTIED,
    EXPECTED,
    GONE,
    NEWCOMER,
    NEWLY_CONNECTED,
    NEWLY_LOST,
    VACATED,
)
from dedicated_server.protocol.server.wire import ServerWire
from dedicated_server.replication.connections import apply_connection_changes
from dedicated_server.simulation import world as w
from dedicated_server.simulation.damage import (
    CREDIT_TICKS,
    come_back,
    credited,
    damage,
    forget_player,
    respawn,
    vacate,
)
from dedicated_server.simulation.event_buffer import DEATH, KILL, drain
from dedicated_server.simulation.layout import RIFLES_ONLY
from dedicated_server.simulation.mode import took_part
from tests.dedicated_server.replication.test_replicate import wire_of

SHOOTER, HELPER, LEAVER, MATE = range(4)
RESPAWN_TICKS = 180


class Court:
    """Two against two at tick 1,000, everybody connected."""

    def __init__(self, respawn_ticks: int = RESPAWN_TICKS) -> None:
        rules = np.zeros(w.RULES)
        rules[w.MAP_HALF_M], rules[w.RESPAWN_TICKS] = 100.0, respawn_ticks
        layout = RIFLES_ONLY._replace(own_players=2)
        self.world = w.new_world([0, 0, 1, 1], np.zeros((2, 4)), rules, layout=layout)
        self.world.counters[w.TICK] = 1_000
        self.wire: ServerWire = wire_of(4)
        self.wire.status[:] = datagrams.CONNECTED
        self.joined, self.lost = np.ones(4, bool), np.zeros(4, bool)

    def leave(self, entity: int, status: int = datagrams.LEFT) -> None:
        self.wire.status[entity] = status
        self.wire.state.per_slot[NEWLY_LOST, entity] = 1

    def connect(self, entity: int, newcomer: bool = False) -> None:
        self.wire.status[entity] = datagrams.CONNECTED
        self.wire.state.per_slot[NEWLY_CONNECTED, entity] = 1
        self.wire.state.per_slot[NEWCOMER, entity] = EXPECTED * newcomer

    def step(self, ticks: int = 1, playing: bool = True, silent_since_s: float = -math.inf) -> None:
        for _ in range(ticks):
            apply_connection_changes(
                self.world, self.wire.state, self.joined, self.lost, playing, silent_since_s
            )
            self.wire.state.per_slot[[NEWLY_LOST, NEWLY_CONNECTED]] = 0
            self.world.counters[w.TICK] += 1
            if playing:
                respawn(self.world)

    def status(self, row: int) -> list[int]:
        found: list[int] = self.world.status[row].tolist()
        return found

    def events(self) -> list[tuple[Any, ...]]:
        return [
            (int(event["kind"]), int(event["actor"]), int(event["victim"]), int(event["assist"]))
            for event in drain(self.world)
            if event["kind"] in (KILL, DEATH)
        ]


@pytest.fixture
def court() -> Court:
    return Court()


def test_the_body_of_who_left_stays_away_for_good(court: Court) -> None:
    court.leave(LEAVER)
    court.step(10 * RESPAWN_TICKS)
    assert court.status(w.PRESENT) == court.status(w.ALIVE) == [1, 1, 0, 1]
    assert court.status(w.DEATHS) == [0, 0, 1, 0]
    assert court.events() == [(DEATH, w.NOBODY, LEAVER, w.NOBODY)]


def test_who_left_while_dead_does_not_come_back_to_life(court: Court) -> None:
    damage(court.world, SHOOTER, LEAVER, 200.0)
    court.step(10)
    court.leave(LEAVER)
    court.step(2 * RESPAWN_TICKS)
    assert court.status(w.ALIVE) == [1, 1, 0, 1]
    assert court.status(w.DEATHS)[LEAVER] == 1


def test_a_timed_out_player_stands_until_their_time_to_return_is_over(court: Court) -> None:
    court.wire.state.slots["received_at_s"] = 100.0
    court.leave(LEAVER, datagrams.TIMED_OUT)
    court.step(silent_since_s=100.0)
    assert court.status(w.ALIVE)[LEAVER] == 1
    assert court.lost[LEAVER]
    court.step(silent_since_s=100.1)
    assert (court.status(w.ALIVE)[LEAVER], court.status(w.PRESENT)[LEAVER]) == (0, 0)
    assert court.wire.state.per_slot[VACATED, LEAVER] == GONE
    court.step(silent_since_s=100.1)
    assert court.wire.state.per_slot[VACATED, LEAVER] == 0
    assert len(court.events()) == 1


def test_a_slot_that_was_emptied_loses_its_body_in_the_next_tick(court: Court) -> None:
    court.wire.state.per_slot[VACATED, LEAVER] = EMPTIED
    court.step()
    assert court.status(w.PRESENT) == [1, 1, 0, 1]


def test_a_newcomer_brings_a_body_and_begins_without_the_others_past(court: Court) -> None:
    damage(court.world, LEAVER, SHOOTER, 5.0)
    court.world.own_players[:, LEAVER] = 3.0
    court.leave(LEAVER)
    court.step()
    court.wire.state.per_slot[VACATED, LEAVER] = EMPTIED  # the slot is released and given in the same moment
    court.connect(LEAVER, newcomer=True)
    court.step()
    assert court.status(w.PRESENT) == court.status(w.ALIVE) == [1, 1, 1, 1]
    assert court.status(w.HURT_BY)[SHOOTER] == w.NOBODY
    assert not court.world.own_players[:, LEAVER].any()


def test_who_comes_back_after_leaving_waits_as_the_dead_do(court: Court) -> None:
    court.leave(LEAVER)
    court.step(10)
    court.connect(LEAVER)
    court.step(RESPAWN_TICKS - 1)
    assert (court.status(w.PRESENT)[LEAVER], court.status(w.ALIVE)[LEAVER]) == (1, 0)
    court.step()
    assert court.status(w.ALIVE)[LEAVER] == 1


def test_where_dead_is_dead_nobody_comes_back_to_a_body() -> None:
    court = Court(respawn_ticks=0)
    court.leave(LEAVER)
    court.step()
    court.connect(LEAVER)
    court.step(RESPAWN_TICKS)
    come_back(court.world, LEAVER)
    assert court.status(w.PRESENT) == [1, 1, 0, 1]
    assert took_part(court.world).tolist() == [True] * 4


def test_nothing_of_the_world_changes_before_the_start_and_after_the_end(court: Court) -> None:
    court.leave(LEAVER)
    court.wire.state.per_slot[VACATED, MATE] = EMPTIED
    court.step(playing=False)
    assert court.status(w.PRESENT) == court.status(w.ALIVE) == [1, 1, 1, 1]


# --- credit -------------------------------------------------------------------------------------------------


def test_who_hurt_a_leaver_last_has_the_kill_and_the_other_the_assist(court: Court) -> None:
    damage(court.world, HELPER, LEAVER, 5.0)
    damage(court.world, SHOOTER, LEAVER, 5.0)
    court.leave(LEAVER)
    court.step()
    assert court.events() == [(KILL, SHOOTER, LEAVER, HELPER)]
    assert court.status(w.KILLS) == [1, 0, 0, 0]
    count = court.world.counters[w.DEATH_COUNT]
    assert court.world.deaths[:, :count].tolist() == [[LEAVER], [SHOOTER], [HELPER], [0]]


@pytest.mark.parametrize(("ago", "killer"), [(CREDIT_TICKS, SHOOTER), (CREDIT_TICKS + 1, w.NOBODY)])
def test_a_wound_counts_for_ten_seconds(court: Court, ago: int, killer: int) -> None:
    damage(court.world, SHOOTER, LEAVER, 5.0)
    court.world.counters[w.TICK] += ago
    vacate(court.world, LEAVER)
    assert court.status(w.KILLER)[LEAVER] == killer


def test_the_released_slot_of_who_timed_out_is_credited_likewise(court: Court) -> None:
    damage(court.world, SHOOTER, LEAVER, 5.0)
    court.leave(LEAVER, datagrams.TIMED_OUT)
    court.step()
    court.wire.state.per_slot[VACATED, LEAVER] = EMPTIED
    court.step()
    assert court.events() == [(KILL, SHOOTER, LEAVER, w.NOBODY)]


def test_a_mate_and_oneself_have_no_part_in_a_death(court: Court) -> None:
    damage(court.world, MATE, LEAVER, 5.0)
    assert credited(court.world, LEAVER, w.NOBODY) == w.NOBODY
    damage(court.world, SHOOTER, LEAVER, 5.0)
    damage(court.world, SHOOTER, LEAVER, 5.0)
    assert credited(court.world, LEAVER, SHOOTER) == w.NOBODY  # the other was a mate
    assert credited(court.world, LEAVER, w.NOBODY) == SHOOTER


def test_an_assist_needs_another_who_hurt_before_and_is_of_this_life(court: Court) -> None:
    damage(court.world, HELPER, LEAVER, 5.0)
    damage(court.world, SHOOTER, LEAVER, 95.0)
    court.step(RESPAWN_TICKS)
    assert court.status(w.ALIVE)[LEAVER] == 1
    damage(court.world, SHOOTER, LEAVER, 100.0)
    assert court.events() == [(KILL, SHOOTER, LEAVER, HELPER), (KILL, SHOOTER, LEAVER, w.NOBODY)]


def test_damage_to_the_dead_changes_nothing(court: Court) -> None:
    assert damage(court.world, SHOOTER, LEAVER, 100.0)
    before = [array.tobytes() for array in court.world]
    assert not damage(court.world, HELPER, LEAVER, 1.0)
    assert [array.tobytes() for array in court.world] == before


def test_whom_a_departed_player_hurt_is_forgotten_alone(court: Court) -> None:
    damage(court.world, HELPER, LEAVER, 5.0)
    damage(court.world, SHOOTER, LEAVER, 5.0)
    forget_player(court.world, HELPER)
    assert (court.status(w.HURT_BY)[LEAVER], court.status(w.HURT_BY_BEFORE)[LEAVER]) == (SHOOTER, w.NOBODY)
