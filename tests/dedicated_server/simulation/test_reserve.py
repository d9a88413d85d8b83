"""One input a tick, whatever the line does to them: the reserve grows as it must, and goes again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from dedicated_server.protocol.fields import PACE_FASTER, PACE_SHARE, PACE_SLOWER, PACE_STEADY
from dedicated_server.protocol.inputs import INPUT_MOVE_X, INPUT_TICK
from dedicated_server.simulation import world as w
from dedicated_server.simulation.movement import MAX_STEPS_PER_TICK, apply_inputs
from dedicated_server.simulation.reserve import (
    EMPTIED,
    LEAST_SPARE,
    MAX_RESERVE,
    MISSED,
    PATIENCE,
    SPARE_ENOUGH,
    is_overdue,
    note_reserve,
    pace_of,
)

SECOND = 60
PACE_DELAY_TICKS = 6  # until the client knows a pace
Lateness = Callable[[np.random.Generator, int], float]  # ticks by which the input of a client tick comes late


class Runner:
    """One player who runs east for ever, behind a line; time in ticks."""

    def __init__(self, lateness: Lateness, *, rate: float = 1.0, obeys: bool = True, seed: int = 1) -> None:
        rules = np.zeros(w.RULES)
        rules[w.MAP_HALF_M], rules[w.STEP_M] = 1e6, 0.1
        self.world = w.new_world([0], np.zeros((2, 1)), rules)
        self.inputs = w.new_inputs(1)
        self.lateness, self.rate, self.obeys = lateness, rate, obeys
        self.random = np.random.default_rng(seed)
        self.client_ticks, self.made = 0.0, 0
        self.flying: list[tuple[float, int]] = []  # when it arrives, client tick
        self.paces = deque([PACE_STEADY] * PACE_DELAY_TICKS)
        self.tick = 0

    def play(self, ticks: int, elapsed: int = 1) -> npt.NDArray[np.int32]:
        """So many ticks of the server, of ``elapsed`` each: how many inputs each of them has played."""
        played = []
        for _ in range(ticks):
            for _ in range(elapsed):
                self.tick += 1
                self._make()
            before = int(self.world.status[w.PLAYED_TICKS, 0])
            self._arrive()
            apply_inputs(self.world, self.inputs, self.tick, True)
            played.append(int(self.world.status[w.PLAYED_TICKS, 0]) - before)
            self.paces.append(int(pace_of(int(self.world.status[w.SPARE_TICKS, 0]))))
        return np.array(played, np.int32)

    def _make(self) -> None:
        pace = self.paces.popleft() if len(self.paces) > PACE_DELAY_TICKS else self.paces[0]
        self.client_ticks += self.rate * (1.0 + (PACE_SHARE[pace] if self.obeys else 0.0))
        while self.made < int(self.client_ticks):
            self.made += 1
            self.flying.append((self.tick - 0.5 + self.lateness(self.random, self.made), self.made))

    def _arrive(self) -> None:
        here = [tick for at, tick in self.flying if at <= self.tick]
        self.flying = [(at, tick) for at, tick in self.flying if at > self.tick]
        if here:  # a datagram brings all that came before it
            newest = max(here)
            for tick in range(max(int(self.inputs.newest[0]), newest - 16) + 1, newest + 1):
                row = self.inputs.rows[0, tick % self.inputs.rows.shape[1]]
                row[INPUT_TICK], row[INPUT_MOVE_X] = tick, 127
            self.inputs.newest[0] = max(newest, int(self.inputs.newest[0]))

    @property
    def waiting(self) -> int:
        return int(self.inputs.newest[0] - self.world.status[w.APPLIED_INPUT, 0])

    @property
    def refused(self) -> int:
        return int(self.world.status[w.REFUSED_INPUTS, 0])


def normal(deviation_ms: float) -> Lateness:
    """What the line adds is as often less as it is more."""
    return lambda random, _tick: max(random.normal(3.0, deviation_ms * 60 / 1e3), 0.0)


def queueing(mean_ms: float) -> Lateness:
    """What the line adds is what queues add: never less, now and then much more."""
    return lambda random, _tick: 2.0 + random.exponential(mean_ms * 60 / 1e3)


def in_bursts(count: int, deviation_ms: float) -> Lateness:
    """So many inputs come at once."""
    uneven = normal(deviation_ms)
    return lambda random, tick: -tick % count + uneven(random, tick)


def uneven_share(played: npt.NDArray[np.int32]) -> float:
    return float((played != 1).mean())


@pytest.mark.parametrize(
    ("lateness", "most_waiting"),
    [
        (normal(0.0), 1),
        (normal(5.0), 2),
        (normal(14.0), 5),
        (queueing(5.0), 4),
        (queueing(14.0), 8),
        (in_bursts(4, 2.0), 6),
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_an_uneven_line_is_played_evenly(lateness: Lateness, most_waiting: int, seed: int) -> None:
    runner = Runner(lateness, seed=seed)
    runner.play(4 * SECOND)
    played = runner.play(40 * SECOND)
    assert uneven_share(played) <= 0.01
    assert played.max() <= 1
    assert runner.refused == 0
    waiting = []
    for _ in range(600):
        runner.play(1)
        waiting.append(runner.waiting)
    assert np.mean(waiting) <= most_waiting


@pytest.mark.parametrize("lateness", [normal(5.0), queueing(5.0), in_bursts(4, 2.0)])
def test_the_first_seconds_are_nearly_even_too(lateness: Lateness) -> None:
    assert uneven_share(Runner(lateness).play(10 * SECOND)) <= 0.02


def test_a_line_without_jitter_keeps_nothing_in_reserve() -> None:
    runner = Runner(normal(0.0))
    runner.play(30 * SECOND)
    assert runner.waiting == 0


@pytest.mark.parametrize("rate", [0.983, 0.999, 1.001, 1.01])
def test_a_clock_that_is_wrong_is_set_right_by_the_pace(rate: float) -> None:
    runner = Runner(normal(1.0), rate=rate)
    runner.play(10 * SECOND)
    assert uneven_share(runner.play(60 * SECOND)) <= 0.01
    assert runner.refused == 0


@pytest.mark.parametrize("rate", [1.02, 1.5, 2.4])
def test_a_client_that_is_too_fast_and_ignores_the_pace_is_held_to_time(rate: float) -> None:
    runner = Runner(normal(1.0), rate=rate, obeys=False)
    played = runner.play(60 * SECOND)
    assert played.max() == 1
    assert runner.waiting <= MAX_RESERVE
    assert runner.made - runner.refused == pytest.approx(60 * SECOND, abs=2 * MAX_RESERVE)


def test_what_a_client_keeps_in_reserve_for_no_reason_is_refused_in_time() -> None:
    runner = Runner(lambda _random, tick: 9.0 - (tick - 60) if 60 <= tick < 69 else 0.0, obeys=False)
    runner.play(2 * SECOND)
    deep, refused = runner.waiting, runner.refused
    assert deep >= 6
    runner.play(30 * SECOND)
    assert runner.waiting <= 1
    assert runner.refused - refused == deep - runner.waiting


@pytest.mark.parametrize("held_ticks", [30, 60, 120])
def test_a_lag_switch_gains_nothing(held_ticks: int) -> None:
    honest, cheat = (
        Runner(normal(0.0)),
        Runner(lambda _random, tick: -tick % held_ticks if tick > 300 else 0.0),
    )
    for runner in (honest, cheat):
        runner.play(20 * SECOND)
    east_m = [float(runner.world.body[w.X_M, 0]) for runner in (honest, cheat)]
    assert east_m[1] <= east_m[0] + 1e-9
    assert cheat.play(10 * SECOND).max() <= 1
    assert cheat.waiting <= MAX_RESERVE


def test_after_an_outage_the_reserve_is_played_off_in_seconds() -> None:
    runner = Runner(lambda _random, tick: 12.0 - (tick - 600) if 600 <= tick < 612 else 0.0)
    runner.play(10 * SECOND)
    runner.play(SECOND)
    assert 4 <= runner.waiting <= MAX_RESERVE
    runner.play(12 * SECOND)
    assert runner.waiting <= 1


def test_ticks_that_the_server_left_out_are_made_up_for() -> None:
    runner = Runner(normal(0.0))
    runner.play(5 * SECOND)
    assert runner.play(1, elapsed=4).tolist() == [4]
    assert runner.play(1, elapsed=20).tolist() == [MAX_STEPS_PER_TICK]
    assert set(runner.play(SECOND).tolist()) == {1}
    assert runner.waiting <= MAX_RESERVE


def noted(*ticks: tuple[int, bool], spare: int = 0) -> int:
    status = np.zeros((w.STATUS_ROWS, 1), np.int32)
    status[w.SPARE_TICKS] = spare
    for waiting, missed in ticks:
        note_reserve(status, 0, waiting, missed)
    return int(status[w.SPARE_TICKS, 0])


def test_what_a_tick_counts() -> None:
    assert noted((1, False)) == noted((7, False)) == 1
    assert noted((0, False)) == 0
    assert noted((0, False), spare=1_000) == SPARE_ENOUGH - EMPTIED
    assert noted((0, True), spare=1_000) == -MISSED
    assert noted(*[(0, True)] * 9) == LEAST_SPARE
    assert noted((0, False), spare=LEAST_SPARE) == LEAST_SPARE
    assert noted((2, False), spare=LEAST_SPARE) == 1


def test_the_pace_goes_by_it() -> None:
    paces = [int(pace_of(spare)) for spare in (LEAST_SPARE, -MISSED, 0, SPARE_ENOUGH, SPARE_ENOUGH + 1)]
    assert paces == [PACE_FASTER, PACE_STEADY, PACE_STEADY, PACE_STEADY, PACE_SLOWER]


def test_patience_ends_once_a_second() -> None:
    status = np.full((w.STATUS_ROWS, 1), PATIENCE, np.int32)
    assert [bool(is_overdue(status, 0)) for _ in range(2)] == [True, False]
    assert status[w.SPARE_TICKS, 0] == PATIENCE - EMPTIED
