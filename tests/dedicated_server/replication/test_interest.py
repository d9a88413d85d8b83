"""Interest against its plain-Python oracle, and what a player would notice of it."""

from __future__ import annotations

import random
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.protocol.datagrams import CONNECTED, MAX_DATAGRAM_BYTES, TIMED_OUT
from dedicated_server.protocol.server.wire import SECRET_BYTES, ServerWire
from dedicated_server.replication.interest import Interest, new_interest, select_entities
from dedicated_server.replication.priority import (
    BYTES_PER_RECORD,
    HORIZON_M,
    LOOK_TICKS,
    OVERHEAD_BYTES,
    PERIOD_TICKS,
    STALE_TICKS,
)
from dedicated_server.replication.wheel import WHEEL_TICKS
from dedicated_server.simulation import world as w
from tests.dedicated_server.replication.naive import NaiveInterest
from tests.dedicated_server.replication.sets import in_view

USUAL_BYTES = 500
HALF_M = 1_000.0


class Field:
    """Players standing about, their views, and a wire that packs at most ``fits`` entities a snapshot."""

    def __init__(
        self, positions: list[tuple[float, float]], teams: list[int] | None = None, fits: int = 1_000
    ) -> None:
        self.count = len(positions)
        teams = list(range(self.count)) if teams is None else teams
        self.world = w.new_world(teams, np.array(positions, dtype=float).reshape(-1, 2).T, np.zeros(w.RULES))
        self.interest: Interest = new_interest(teams)
        self.wire = ServerWire(
            fleet_key=bytes(32),
            match_id=UUID(int=1),
            player_ids=range(self.count),
            host="192.0.2.1",
            port=1,
            secret=bytes(SECRET_BYTES),
        )
        self.status, self.newly, self.packed = (
            self.wire.status,
            self.wire.newly_connected,
            self.wire.packed_count,
        )
        self.budget = self.wire.budget_bytes
        self.status[:] = CONNECTED
        self.fits = fits
        self.tick = 0

    def move(self, entity: int, x_m: float, y_m: float) -> None:
        self.world.body[w.X_M, entity], self.world.body[w.Y_M, entity] = x_m, y_m

    def step(self, every: npt.ArrayLike = 1, elapsed: int = 1) -> None:
        self.tick += elapsed
        self.world.counters[w.TICK], self.world.counters[w.ELAPSED] = self.tick, elapsed
        self.wire.snapshot_every[:] = every
        select_entities(self.world, self.interest, self.wire.state, USUAL_BYTES, self.tick)
        self.packed[:] = np.minimum(self.interest.selected_count, self.fits)
        self.newly[:] = 0

    def selected(self, client: int) -> list[int]:
        return list(map(int, self.interest.selected[client, : max(self.interest.selected_count[client], 0)]))

    def packed_entities(self, client: int) -> list[int]:
        return self.selected(client)[: max(self.packed[client], 0)]

    def left(self, client: int) -> list[int]:
        return list(map(int, self.interest.left[client, : self.interest.left_count[client]]))

    def in_view(self, client: int) -> set[int]:
        return in_view(self.interest, client)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 30),
    team_size=st.sampled_from([1, 1, 5]),
    spread_m=st.sampled_from([20.0, 300.0, 990.0]),
    fits=st.sampled_from([1, 3, 9, 1_000]),
    stride_m=st.sampled_from([0.5, 40.0]),
    every=st.sampled_from([1, 1, 2, 8]),
    stalls=st.booleans(),
)
def test_every_list_equals_that_of_the_plain_python_interest(
    seed: int,
    count: int,
    team_size: int,
    spread_m: float,
    fits: int,
    stride_m: float,
    every: int,
    stalls: bool,
) -> None:
    generator = random.Random(seed)
    start = [
        (generator.uniform(-spread_m, spread_m), generator.uniform(-spread_m, spread_m)) for _ in range(count)
    ]
    teams = [entity // team_size for entity in range(count)]
    field, naive = Field(start, teams, fits), NaiveInterest(teams)
    for _ in range(90):
        for entity in range(count):
            x_m, y_m = field.world.body[w.X_M, entity], field.world.body[w.Y_M, entity]
            field.move(
                entity,
                min(max(x_m + generator.uniform(-stride_m, stride_m), -HALF_M), HALF_M),
                min(max(y_m + generator.uniform(-stride_m, stride_m), -HALF_M), HALF_M),
            )
            field.world.status[w.SHOWN, entity] = generator.random() < 0.95
        naive.note_packed(field.packed.tolist(), field.tick)
        field.step(every, generator.choice([2, 30, 70]) if stalls and generator.random() < 0.1 else 1)
        where = dict(enumerate(zip(*field.world.body[: w.Y_M + 1].tolist(), strict=True)))
        shown = {entity: where[entity] for entity in where if field.world.status[w.SHOWN, entity]}
        for client, view in enumerate(naive.views):
            if (field.tick + client) % every:
                assert field.selected(client) == field.left(client) == []
                continue
            left: set[int] = set()
            if field.tick >= view.look_tick:
                left = naive.look(client, shown, where[client], field.tick)
            assert set(field.left(client)) == left
            assert field.in_view(client) == set(view.ring)
            keys = naive.priorities(client, field.tick)
            view.selected = field.selected(client)
            assert sorted(view.selected) == sorted(keys)
            assert view.selected[:1] == [client]
            if len(keys) > field.fits:  # only then does anything depend on the order
                ordered = [keys[entity] for entity in view.selected]
                assert ordered == sorted(ordered, reverse=True)


def test_who_is_within_the_near_rings_is_told_of_in_every_tick() -> None:
    field = Field([(0, 0), (30, 0), (0, 90)])
    for _ in range(20):
        field.step()
        assert set(field.selected(0)) == {0, 1, 2}


def test_farther_rings_are_told_of_at_their_own_period() -> None:
    field = Field([(0, 0), (150, 0), (0, 350)])
    told = []
    for _ in range(60):
        field.step()
        told.append(set(field.packed_entities(0)))
    assert sum(1 in entities for entities in told) == pytest.approx(60 / PERIOD_TICKS[2], abs=1)
    assert sum(2 in entities for entities in told) == pytest.approx(60 / PERIOD_TICKS[3], abs=1)


def test_who_is_beyond_the_horizon_is_not_told_of_unless_a_team_mate() -> None:
    field = Field([(0, 0), (500, 0), (0, 900)], teams=[0, 1, 0])
    told: set[int] = set()
    for _ in range(20):
        field.step()
        told |= set(field.selected(0))
    assert told == {0, 2}


@pytest.mark.parametrize("away_m", [399.0, 401.0, 439.0, 441.0])
def test_a_team_mate_is_told_of_at_any_distance(away_m: float) -> None:
    field = Field([(0, 0), (away_m, 0)], teams=[0, 0])
    field.step()
    assert set(field.selected(0)) == {0, 1}


def test_walking_to_and_fro_across_the_horizon_flickers_nothing() -> None:
    field = Field([(0, 0), (HORIZON_M - 1, 0)])
    field.step()
    for turn in range(60):
        field.move(1, HORIZON_M + (20 if turn % 2 else -20), 0)
        field.step()
        assert field.left(0) == []
        assert field.in_view(0) == {0, 1}


def test_who_walks_away_is_said_to_leave_once() -> None:
    field = Field([(0, 0), (100, 0)])
    field.step()
    field.move(1, 800, 0)
    left = []
    for _ in range(3 * LOOK_TICKS):
        field.step()
        left += field.left(0)
    assert left == [1]


def test_more_leavers_than_a_tick_can_tell_leave_over_the_next_looks() -> None:
    field = Field([(0, 0)] + [(10 + 0.1 * entity, 0) for entity in range(200)])
    field.step()
    for entity in range(1, 201):
        field.move(entity, 900, 900)
    left: list[int] = []
    for _ in range(5 * LOOK_TICKS):
        field.step()
        assert field.interest.left_count[0] <= field.interest.left.shape[1]
        left += field.left(0)
    assert sorted(left) == list(range(1, 201))


def test_in_a_crowd_beyond_the_budget_nobody_grows_stale() -> None:
    generator = random.Random(5)
    field = Field([(generator.gauss(0, 60), generator.gauss(0, 60)) for _ in range(150)], fits=30)
    waiting = dict.fromkeys(range(150), 0)
    for _ in range(120):
        field.step()
        packed = field.packed_entities(0)
        for entity in waiting:
            waiting[entity] = 0 if entity in packed else waiting[entity] + 1
        if field.tick > 30:
            assert max(waiting.values()) <= STALE_TICKS + 2


@pytest.mark.parametrize(("players", "every"), [(400, 1), (400, 2), (700, 2)])
def test_in_a_crowd_of_hundreds_snapshots_grow_until_nobody_is_stale_for_longer_than_a_turn(
    players: int, every: int
) -> None:
    field = Field([(0.1 * entity, 0.0) for entity in range(players)])
    told = np.zeros(players, int)
    for _ in range(80):
        field.step(every)
        room = (field.budget - OVERHEAD_BYTES) // BYTES_PER_RECORD
        field.packed[:] = np.minimum(field.packed, room)
        if field.tick > 40:
            assert field.tick - told.min() <= STALE_TICKS + 2 * every
        told[field.packed_entities(0)] = field.tick


@pytest.mark.parametrize(("fits", "every"), [(2, 1), (5, 8)])
def test_nobody_in_a_crowd_waits_for_ever_however_thin_the_line(fits: int, every: int) -> None:
    players = 150
    field = Field([(0.1 * entity, 0.0) for entity in range(players)], fits=fits)
    turns = -(-(players - 1) // (fits - 1))
    told = np.zeros(players, int)
    for _ in range(every * 4 * turns):
        field.step(every)
        told[field.packed_entities(0)] = field.tick
        if field.tick > every * turns + WHEEL_TICKS:
            assert field.tick - told.min() <= every * (turns + 1) + WHEEL_TICKS


def test_in_a_crowd_the_near_are_told_of_more_often_than_the_far() -> None:
    field = Field(
        [(0, 0)]
        + [(10.0 + entity, 0.0) for entity in range(20)]
        + [(80.0, float(entity)) for entity in range(20)],
        fits=15,
    )
    told = dict.fromkeys(range(41), 0)
    for _ in range(200):
        field.step()
        for entity in field.packed_entities(0):
            told[entity] += 1
    near, far = [told[entity] for entity in range(1, 21)], [told[entity] for entity in range(21, 41)]
    assert told[0] == 200
    assert np.mean(near) > 1.5 * np.mean(far)


def test_a_crowd_that_goes_stale_gets_a_larger_datagram_and_never_more_than_one() -> None:
    field = Field([(0.01 * entity, 0) for entity in range(300)], fits=5)
    for _ in range(40):
        field.step()
    assert (field.budget == MAX_DATAGRAM_BYTES).all()


def test_a_calm_view_keeps_the_usual_budget() -> None:
    field = Field([(float(entity), 0) for entity in range(20)])
    for _ in range(40):
        field.step()
        assert (field.budget == USUAL_BYTES).all()


def test_under_overload_clients_take_turns_and_forget_nothing() -> None:
    field = Field([(0, 0), (30, 0), (60, 0), (90, 0)])
    field.step()
    field.move(3, 900, 0)
    left = []
    for _ in range(16):
        field.step(every=4)
        turns = np.flatnonzero(field.interest.selected_count >= 0)
        assert len(turns) == 1
        left += field.left(0)
    assert left == [3]


def test_each_client_has_a_rate_of_its_own() -> None:
    field = Field([(0, 0), (30, 0), (60, 0), (90, 0)])
    served = np.zeros(4, int)
    for _ in range(16):
        field.step(every=np.array([1, 2, 4, 8]))
        served += field.interest.selected_count >= 0
    assert served.tolist() == [16, 8, 4, 2]


def test_no_crowd_makes_a_snapshot_larger_than_its_line_carries() -> None:
    field = Field([(0, place / 10) for place in range(100)], fits=1)
    field.wire.line_bytes[1] = 120
    for _ in range(20):
        field.step()
    assert field.budget[0] > USUAL_BYTES
    assert field.budget[1] == 120


def test_nothing_is_selected_for_who_is_not_connected() -> None:
    field = Field([(0, 0), (1, 0)])
    field.status[1] = TIMED_OUT
    field.step()
    assert field.interest.selected_count.tolist() == [2, -1]


def test_a_client_that_reconnects_is_told_of_everyone_anew() -> None:
    field = Field([(0, 0), (30, 0), (350, 0)])
    for _ in range(7):
        field.step()
    field.newly[0] = 1
    field.step()
    assert set(field.selected(0)) == {0, 1, 2}


def test_ticks_left_out_count_as_waiting() -> None:
    field = Field([(0, 0), (350, 0)])
    for _ in range(12):
        field.step()
    field.step(elapsed=20)
    assert set(field.selected(0)) == {0, 1}
