"""Running matches that want players: who comes, before whom, and where."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest

from matchmaker.plans.running import ANYWHERE, RunningMatch, as_arrays
from tests.matchmaker.plans.pools import NEAR, NOW, REGIONS, Pool, player, ticket
from tests.matchmaker.plans.written import TWO, Rule

pytestmark = pytest.mark.timeout(300)  # where the kernels have not been compiled yet, they are

SKILLED = {"red": (10.0, 11.0), "blue": (12.0, 13.0)}


def match(
    skills: dict[str, tuple[float, ...]] | None = None, *, room: tuple[int, int] = (1, 1), **others: Any
) -> RunningMatch:
    """A match of players of these skills, in the teams of TWO."""
    players = tuple(
        player(f"{team}.{place}", skill, team)
        for team, own in (SKILLED if skills is None else skills).items()
        for place, skill in enumerate(own)
    )
    fields: dict[str, Any] = {
        "match_id": "m",
        "region": "eu",
        "group": 0,
        "platform": -1,
        "opened_at": NOW - 5.0,
    } | others
    return RunningMatch(players=players, room=room, **fields)


def pool_of(priority: str = "normal", rules: tuple[Rule, ...] = (NEAR,)) -> Pool:
    return Pool(rules, TWO, algorithm={"backfillPriority": priority})


def filled(pool: Pool, *running: RunningMatch) -> list[list[str]]:
    """Who joins each of these matches."""
    pool.form(running=running)
    assert pool.last is not None
    found: list[list[str]] = [[] for _ in running]
    for number, index in enumerate(pool.last.running.tolist()):
        if index >= 0:
            rows = pool.last.rows[pool.last.match == number].tolist()
            found[index] = sorted(pool.tickets[row].ticket_id for row in rows)
    return found


def test_a_match_is_filled_up_with_who_suits_its_players() -> None:
    pool = pool_of()
    pool.add(ticket("near", 12.0), ticket("far", 30.0), ticket("close", 9.0))
    assert filled(pool, match()) == [["close", "near"]]
    assert pool.last is not None
    assert sorted(pool.last.team.tolist()) == [0, 1]
    assert pool.last.region.tolist() == [REGIONS.index("eu")]


def test_no_more_come_than_there_are_free_seats() -> None:
    pool = pool_of()
    pool.add(*(ticket(f"t{number}", 12.0, waits=float(number)) for number in range(3)))
    assert filled(pool, match(room=(0, 1))) == [["t2"]]
    assert pool.last is not None
    assert pool.last.team.tolist() == [1]


def test_a_party_comes_only_where_all_of_it_find_a_seat() -> None:
    pool = pool_of()
    pool.add(ticket("party", 11.0, 11.0))
    assert filled(pool, match()) == [[]]
    assert filled(pool, match({"red": (10.0,), "blue": (12.0, 13.0)}, room=(2, 1))) == [["party"]]


def test_a_match_without_a_free_seat_gets_nobody() -> None:
    pool = pool_of()
    pool.add(ticket("near", 12.0))
    assert filled(pool, match(room=(0, 0))) == [[]]


def test_who_may_not_come_does_not() -> None:
    pool = pool_of()
    rows = pool.add(ticket("left", 12.0, waits=9.0), ticket("other", 12.0))
    assert filled(pool, match(room=(1, 0), excluded=(int(rows[0]), 999))) == [["other"]]
    assert filled(pool, match(room=(1, 0), match_id="n")) == [["left"]]


@pytest.mark.parametrize(("region", "comes"), [("eu", []), ("us", ["abroad"]), (ANYWHERE, ["abroad"])])
def test_who_joins_plays_where_the_match_is(region: str, comes: list[str]) -> None:
    pool = pool_of()
    pool.add(ticket("abroad", 12.0, latency_ms={"us": 20.0}))
    assert filled(pool, match(region=region)) == [comes]


@pytest.mark.parametrize(
    ("priority", "joins", "matches"),
    [
        ("high", [["t2", "t3"]], 0),
        ("normal", [[]], 1),
        ("low", [[]], 1),
    ],
)
def test_priority_decides_whether_running_or_new_matches_are_first(
    priority: str, joins: list[list[str]], matches: int
) -> None:
    pool = pool_of(priority)
    # Four make a match of their own; two of them would fill the running one, which is younger.
    pool.add(*(ticket(f"t{number}", 12.0, waits=10.0 + number) for number in range(4)))
    assert filled(pool, match(opened_at=NOW - 1.0)) == joins
    assert pool.last is not None
    assert np.count_nonzero(pool.last.running < 0) == matches


def test_by_age_a_match_that_opened_before_the_tickets_came_is_filled_first() -> None:
    pool = pool_of("normal")
    pool.add(*(ticket(f"t{number}", 12.0, waits=10.0 + number) for number in range(4)))
    assert filled(pool, match(opened_at=NOW - 50.0)) == [["t2", "t3"]]


@pytest.mark.parametrize(
    ("group", "platform", "comes"), [(0, -1, ["free"]), (1, 0, ["free"]), (2, 1, []), (0, 1, ["free"])]
)
def test_who_plays_apart_is_joined_by_players_of_the_platform(
    group: int, platform: int, comes: list[str]
) -> None:
    pool = pool_of()
    pool.add(ticket("free", 12.0), group=(0,), platform=(0,))
    assert filled(pool, match(room=(1, 0), group=group, platform=platform)) == [comes]


def test_each_of_several_matches_gets_players_of_its_own() -> None:
    pool = pool_of("high")
    pool.add(*(ticket(f"t{number}", 12.0, waits=float(number)) for number in range(2)))
    one = match(room=(1, 0), match_id="one", opened_at=NOW - 9.0)
    other = match(room=(0, 1), match_id="other", opened_at=NOW - 7.0)
    assert filled(pool, one, other) == [["t1"], ["t0"]]


def test_a_match_that_has_ended_is_forgotten_and_one_whose_players_changed_is_read_anew() -> None:
    pool = pool_of()
    pool.add(ticket("near", 12.0))
    assert filled(pool, match({"red": (40.0, 41.0), "blue": (42.0, 43.0)})) == [[]]
    assert filled(pool, match()) == [["near"]]
    assert filled(pool) == []
    assert len(pool.book) == 1
    assert filled(pool, match(match_id="later")) == [["near"]]


def test_a_running_match_of_nobody_in_reach_leaves_the_others_to_each_other() -> None:
    pool = pool_of("high")
    pool.add(*(ticket(f"t{number}", 90.0, waits=float(number)) for number in range(4)))
    assert filled(pool, match()) == [[]]
    assert pool.last is not None
    assert len(pool.last.rows) == 4


@pytest.mark.parametrize("priority", ["high", "normal", "low"])
def test_whoever_joins_finds_a_seat_suits_all_and_may_come(priority: str) -> None:
    joined = 0
    for seed in range(25):
        rng = Random(seed)
        pool = pool_of(priority)
        tickets = [
            ticket(
                f"t{number}", *(rng.uniform(0, 30) for _ in range(rng.choice([1, 1, 2]))), waits=float(number)
            )
            for number in range(30)
        ]
        rows = pool.add(*tickets).tolist()
        running = [
            match(
                {team: tuple(base + rng.uniform(0, 3) for _ in range(2)) for team in ("red", "blue")},
                room=(rng.randint(0, 1), rng.randint(0, 1)),
                region=rng.choice(REGIONS),
                match_id=f"m{number}",
                opened_at=NOW - rng.uniform(0, 30),
                excluded=tuple(rng.sample(rows, 5)),
            )
            for number in range(6)
            for base in (rng.uniform(0, 30),)
        ]
        pool.form(running=running, everything=True)
        cycle = pool.last
        assert cycle is not None
        assert len(set(cycle.rows.tolist())) == len(cycle.rows)
        used = [index for index in cycle.running.tolist() if index >= 0]
        assert len(set(used)) == len(used)
        for number, index in enumerate(cycle.running.tolist()):
            if index < 0:
                continue
            own, filled_match = cycle.match == number, running[index]
            assert REGIONS[cycle.region[number]] == filled_match.region
            assert not set(cycle.rows[own].tolist()) & set(filled_match.excluded)
            came = [pool.tickets[row] for row in cycle.rows[own].tolist()]
            taken = np.bincount(cycle.team[own], [len(each.players) for each in came], 2)
            assert (taken <= filled_match.room).all()
            everybody = [*filled_match.players, *(one for each in came for one in each.players)]
            skills = np.array([one.attributes["skill"] for one in everybody], np.float64)
            assert np.ptp(skills) <= 5.0 + 1e-6
            joined += len(came)
    assert joined > 20  # else the test would say little


def test_running_matches_as_arrays_keep_teams_rooms_and_who_may_not_come() -> None:
    matches = [match(room=(1, 0)), match({"blue": (3.0,)}, room=(2, 2), region=ANYWHERE)]
    places = [np.arange(5, 9), np.arange(9, 10)]
    excluded = [np.array([2, 3]), np.zeros(0, np.int64)]
    made = as_arrays(matches, places, excluded, 2, ["red", "blue"], REGIONS, 10)
    assert made.first.tolist() == [5, 9]
    assert made.last.tolist() == [9, 10]
    assert made.team.tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]
    assert made.room.tolist() == [[1, 0], [2, 2]]
    assert made.region.tolist() == [0, -1]
    assert [made.barred[a:b].tolist() for a, b in zip(made.barred_first, made.barred_last, strict=True)] == [
        [2, 3],
        [],
    ]
    none = as_arrays((), (), (), 2, ["red", "blue"], REGIONS, 10)
    assert none.room.shape == (0, 2)
    assert len(none.first) == len(none.barred) == 0
