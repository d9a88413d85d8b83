"""Matches of a small pool taken apart: never fewer are seated, and no match is broken."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from matchmaker.plans import cycle
from matchmaker.plans.improve import IN_VAIN, TURNS, improve
from tests.matchmaker.plans.pools import NEAR, Pool, ticket
from tests.matchmaker.plans.written import TWO

pytestmark = pytest.mark.timeout(300)  # where the kernels have not been compiled yet, they are

Pairs = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]


@dataclass
class Rowers:
    """T tickets of one or two players, of whom four fill a boat: the first ``boats`` are full before.

    ``rivals``: what each try forms; None: as many as there are, small ones first.
    """

    sizes: list[int]
    match_of: list[int]
    bucket: list[int] = field(default_factory=list)
    turns: int = 0
    worse: bool = False
    seen: list[int] = field(default_factory=list)

    def attempt(self, rows: NDArray[np.int64], turn: int) -> Pairs:
        self.turns += 1
        self.seen += rows.tolist()
        match_of = np.full(len(rows), -1, np.int32)
        boats, inside, places = 0, 0, list[int]()
        for place in [] if self.worse else np.argsort([self.sizes[row] for row in rows]).tolist():
            places.append(place)
            inside += self.sizes[rows[place]]
            if inside == 4:
                match_of[places] = boats
                boats, inside, places = boats + 1, 0, []
            elif inside > 4:
                break
        return match_of, np.zeros(len(rows), np.int32), np.full(boats, 7, np.int32)

    def improved(
        self, fixed: list[bool], seed: int = 0, turns: int = TURNS
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        match_of = np.array(self.match_of, np.int32)
        count = len(self.sizes)
        region_of = improve(
            np.arange(count),
            np.array(self.sizes, np.int32),
            np.array(self.bucket or [0] * count, np.int32),
            match_of,
            np.zeros(count, np.int32),
            np.zeros(len(fixed), np.int32),
            np.array(fixed, np.bool_),
            self.attempt,
            lambda: self.turns < turns,
            seed,
        )
        return match_of, region_of


SIZES, MATCHES = [1, 2, 2, 1, 2, 1, 1], [0, 0, -1, 0, -1, -1, -1]


def seated(rowers: Rowers, match_of: NDArray[np.int32]) -> int:
    return int(np.array(rowers.sizes)[match_of >= 0].sum())


def test_a_match_is_taken_apart_where_its_players_make_more_with_those_left_over() -> None:
    rowers = Rowers(SIZES, MATCHES)
    match_of, region_of = rowers.improved([False])
    assert seated(rowers, match_of) == 8
    for number in np.unique(match_of[match_of >= 0]):
        assert np.array(SIZES)[match_of == number].sum() == 4
        assert region_of[number] == 7
    assert not (match_of == 0).any()  # it is no more


def test_what_is_fixed_is_not_taken_apart() -> None:
    rowers = Rowers(SIZES, MATCHES)
    match_of, region_of = rowers.improved([True])
    assert match_of.tolist() == MATCHES
    assert len(region_of) == 1
    assert rowers.turns == 0


def test_a_try_that_seats_no_more_changes_nothing_and_after_some_none_is_made() -> None:
    rowers = Rowers(SIZES, MATCHES, worse=True)
    match_of, region_of = rowers.improved([False])
    assert match_of.tolist() == MATCHES
    assert len(region_of) == 1
    assert rowers.turns == IN_VAIN


def test_no_more_turns_are_taken_than_there_is_work_for() -> None:
    rowers = Rowers(SIZES, MATCHES, worse=True)
    rowers.improved([False], turns=3)
    assert rowers.turns == 3


def test_where_nobody_is_left_nothing_is_tried() -> None:
    rowers = Rowers([2, 2], [0, 0])
    assert rowers.improved([False])[0].tolist() == [0, 0]
    assert rowers.turns == 0


def test_players_of_other_buckets_and_of_none_are_left_alone() -> None:
    rowers = Rowers([2, 2, 2, 2, 2, 2], [0, 0, -1, 1, 1, -1], [0, 0, 0, 1, 1, -1], worse=True)
    match_of, _ = rowers.improved([False, False])
    assert match_of.tolist() == [0, 0, -1, 1, 1, -1]
    assert set(rowers.seen) == {0, 1, 2}


def test_a_cycle_that_looks_over_its_matches_never_seats_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    gained = 0
    for seed in range(10):
        rng = Random(seed)
        pool = Pool((NEAR,), TWO)
        for number in range(150):
            size = rng.choice([1, 2, 3])
            base = rng.uniform(0, 100)
            skills = (base + rng.uniform(0, 2) for _ in range(size))
            pool.add(ticket(f"t{number}", *skills, waits=float(rng.randint(0, 60))))
        seats = []
        for least in (10**9, 1):
            monkeypatch.setattr(cycle, "IMPROVED", least)
            found = pool.form(everything=True, seed=seed)  # judges every match
            names = {each.ticket_id: each for each in pool.tickets.values()}
            seats.append(sum(len(names[name].players) for match in found for name in match))
        assert seats[1] >= seats[0] > 0
        gained += seats[1] > seats[0]
    assert gained > 0
