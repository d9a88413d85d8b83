"""The knee is found where it lies, whatever the first rate was, and chance alone breaks nothing."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from loadtest.limit.search import TOLERANCE, Limit, Trial, find_limit


class Backend:
    """A backend with a known knee; beyond ``generator`` players a second the generator is at its end."""

    def __init__(self, knee: float, *, generator: float = 1e9, chance: float = 0.0, seed: int = 0) -> None:
        self.knee, self.generator, self.chance = knee, generator, chance
        self.rng = np.random.default_rng(seed)
        self.rates: list[float] = []

    async def flood_at(self, rate: float) -> Trial:
        self.rates.append(rate)
        if rate > self.generator:
            return Trial(rate, "generator", ("the bots skipped 20 % of their steps",))
        if rate > self.knee or self.rng.random() < self.chance:
            return Trial(rate, "backend", ("wait p95 40 s (limit 30 s)",), "Broke first, at 9 s: a wait.")
        return Trial(rate, wait_p95_s=1.0)


@pytest.mark.parametrize("knee", [0.7, 9.0, 100.0, 3_217.0])
async def test_the_knee_is_between_what_held_and_what_broke(knee: float) -> None:
    backend = Backend(knee)
    limit = await find_limit(backend.flood_at, start=8.0)
    assert limit.found
    assert limit.held is not None
    assert limit.broke is not None
    assert limit.held <= knee < limit.broke.rate <= limit.held * (1 + TOLERANCE)
    assert len(backend.rates) < 30


async def test_a_rate_counts_as_too_much_when_it_failed_twice() -> None:
    backend = Backend(50.0)
    limit = await find_limit(backend.flood_at, start=10.0)
    tries = {rate: len(list(found)) for rate, found in itertools.groupby(backend.rates)}
    assert all(count == (1 if rate <= 50.0 else 2) for rate, count in tries.items())
    assert len(limit.trials) == len(backend.rates)


@pytest.mark.parametrize("seed", range(8))
async def test_one_bad_try_in_ten_moves_the_knee_by_no_tenth(seed: int) -> None:
    limit = await find_limit(Backend(100.0, chance=0.03, seed=seed).flood_at, start=12.0)
    assert limit.held == pytest.approx(100.0, rel=0.1)


async def test_a_planted_search_that_believes_the_first_failure_would_be_seen() -> None:
    """Without the second try, chance ends the search far below the knee in some of the runs."""

    async def believing(seed: int) -> float:
        backend = Backend(100.0, chance=0.3, seed=seed)
        failed: dict[float, Trial] = {}

        async def flood_at(rate: float) -> Trial:
            if rate not in failed:
                trial = await backend.flood_at(rate)
                if trial.held:
                    return trial
                failed[rate] = trial
            return failed[rate]

        return (await find_limit(flood_at, start=12.0)).held or 0.0

    assert min([await believing(seed) for seed in range(8)]) < 90.0


async def test_the_generators_limit_is_said_not_to_be_the_backends() -> None:
    limit = await find_limit(Backend(1_000.0, generator=300.0).flood_at, start=50.0)
    assert not limit.found
    assert limit.sentence.startswith("The generator's limit, not the backend's: ")
    assert limit.as_json()["limit_of"] == "generator"


async def test_a_backend_that_breaks_below_the_generators_limit_has_one_of_its_own() -> None:
    limit = await find_limit(Backend(250.0, generator=300.0).flood_at, start=100.0)
    assert limit.found
    assert limit.held == pytest.approx(250.0, rel=0.06)


async def test_whose_limit_it_was_is_decided_by_a_third_try() -> None:
    tries = iter(["", "backend", "generator", "backend", *[""] * 20])

    async def flood_at(rate: float) -> Trial:
        return Trial(rate, next(tries))  # type: ignore[arg-type]

    limit = await find_limit(flood_at, start=10.0)
    assert limit.broke is not None
    assert (limit.broke.rate, limit.broke.whose) == (20.0, "backend")
    assert limit.found


async def test_where_nothing_holds_the_search_ends_and_says_so() -> None:
    backend = Backend(0.0)
    limit = await find_limit(backend.flood_at, start=64.0)
    assert (limit.held, limit.found) == (None, False)
    assert limit.sentence.startswith("No rate held. 1 players/s broke, twice: wait p95")


@pytest.mark.parametrize(("knee", "held"), [(300.0, 300.0), (70.0, 70.0), (9.0, None)])
async def test_matches_that_fill_slowly_at_a_low_rate_are_not_the_limit(
    knee: float, held: float | None
) -> None:
    """Below 50 players/s a match does not fill in time, so waits get shorter as the rate grows."""
    backend = Backend(knee)

    async def flood_at(rate: float) -> Trial:
        trial = await backend.flood_at(rate)
        wait_s = 30.0 * 50.0 / rate if rate <= knee else 40.0
        too_thin = trial.held and wait_s > 30.0
        return replace(
            trial, wait_p95_s=wait_s, whose="backend" if too_thin else trial.whose, reasons=("wait p95",)
        )

    limit = await find_limit(flood_at, start=10.0)
    assert limit.held == (None if held is None else pytest.approx(held, rel=0.06))
    assert len(limit.trials) < 30


async def test_where_nothing_breaks_it_ends_at_the_most_that_can_be_tried() -> None:
    backend = Backend(1e6)
    limit = await find_limit(backend.flood_at, start=10.0, ceiling=100.0)
    assert backend.rates[-1] == 100.0
    assert (limit.held, limit.broke, limit.found) == (100.0, None, False)
    assert "The limit is higher" in limit.sentence


async def test_a_stopped_search_says_what_is_known_until_then() -> None:
    backend, told = Backend(40.0), Limit()

    async def flood_at(rate: float) -> Trial:
        return Trial(rate, stopped=True) if len(backend.rates) == 3 else await backend.flood_at(rate)

    limit = await find_limit(flood_at, start=10.0, on_trial=told.trials.append)
    assert limit.stopped
    assert limit.trials == told.trials
    assert limit.sentence == "Stopped. Until then 40 players/s held, and none has broken."
