"""The benchmark of uneven lines: within its bounds as the server is, and not where the server is spoiled."""

from __future__ import annotations

from typing import Any

import pytest

from dedicated_server.simulation.movement import MAX_STEPS_PER_TICK
from dedicated_server.simulation.world import TICK
from dedicated_server.tick.engine import Engine
from loadtest.bench.tick import jitter

SECONDS = 5.0


class Hasty(Engine):
    """Plays whatever has come at once, as if ticks had been left out before each."""

    def tick(self, now_s: float, late_s: float = 0.0) -> None:
        self.match.world.counters[TICK] -= MAX_STEPS_PER_TICK
        super().tick(now_s, late_s)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return jitter.run(SECONDS)


def test_others_see_an_even_run(found: dict[str, Any]) -> None:
    assert found["within"]
    assert found["lines"]["jitter_14_ms"]["empty_or_double_share"] <= jitter.MOST_UNEVEN
    assert [line["refused"] for line in found["lines"].values()] == [0, 0, 0]
    for line in found["lines"].values():
        assert line["mean_step_m"] == pytest.approx(0.1, abs=0.003)


def test_the_same_seed_gives_the_same_figures() -> None:
    line = jitter.LINES["jitter_14_ms"]
    found = [jitter.Run(line, seed, Engine).measure(1.0) for seed in (3, 3, 4)]
    assert found[0] == found[1] != found[2]


def test_a_server_that_plays_what_has_come_at_once_is_noticed() -> None:
    spoiled = jitter.run(SECONDS, engine=Hasty)
    assert not spoiled["within"]
    assert spoiled["empty_or_double_share"] > 10 * jitter.MOST_UNEVEN
    assert spoiled["step_deviation"] > 2 * jitter.MOST_DEVIATION
    assert spoiled["lines"]["bursts_of_four"]["longest_step"] > jitter.MOST_STEP
