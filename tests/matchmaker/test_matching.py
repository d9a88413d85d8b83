from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from matchmaker.matching import UNMATCHED, Tickets, form_matches, match_tickets
from matchmaker.rules import Rules
from tests.matchmaker.naive import NaiveMatcher

NOW = 1_000_000.0
WEST_EUROPE, EAST_US = 0, 1


def rules(
    players: int = 4, min_players: int = 2, fill_s: float = 10.0, max_latency_ms: float = 200.0
) -> Rules:
    return Rules("battle_royale", players, min_players, fill_s, max_latency_ms, match_s=60.0)


def tickets(
    latency_ms: list[list[float]],
    *,
    waited_s: list[float] | None = None,
    skill: list[float] | None = None,
    group: list[int] | None = None,
) -> Tickets:
    count = len(latency_ms)
    return Tickets(
        np.array(latency_ms, np.float32).reshape(count, -1 if count else 2),
        np.array(skill if skill is not None else [25.0] * count, np.float32),
        NOW - np.array(waited_s if waited_s is not None else [0.0] * count, np.float64),
        np.array(group if group is not None else [0] * count, np.int32),
        np.arange(1, count + 1, dtype=np.int64),
    )


@st.composite
def pools(draw: st.DrawFn) -> tuple[Rules, Tickets]:
    count = draw(st.integers(0, 40))
    regions = draw(st.integers(1, 4))
    players = draw(st.integers(2, 8))

    def column(values: st.SearchStrategy[float] | st.SearchStrategy[int]) -> list[float]:
        return draw(st.lists(values, min_size=count, max_size=count))

    unmeasured = st.sampled_from([np.nan, np.inf])
    latency = [column(st.one_of(st.integers(0, 300), unmeasured)) for _ in range(regions)]
    pool = Tickets(
        np.array(latency, np.float32).T.reshape(count, regions).copy(),
        np.array(column(st.integers(0, 10)), np.float32),
        NOW - np.array(column(st.integers(0, 25)), np.float64),
        np.array(column(st.integers(0, 2)), np.int32),
        np.array(draw(st.permutations(range(1, count + 1))), np.int64),
    )
    return rules(players, draw(st.integers(2, players)), draw(st.sampled_from([0.0, 10.0, 20.0]))), pool


@settings(max_examples=400, deadline=None)
@given(pools())
def test_the_kernel_agrees_with_the_oracle(pool: tuple[Rules, Tickets]) -> None:
    formed = match_tickets(pool[0], NOW, pool[1])
    match_of, region_of = NaiveMatcher(pool[0], NOW, pool[1]).run()
    assert formed.match_of.tolist() == match_of
    assert formed.region_of.tolist() == region_of


@settings(max_examples=200, deadline=None)
@given(pools(), st.randoms(use_true_random=False))
def test_the_order_of_rows_is_irrelevant(pool: tuple[Rules, Tickets], random: st.DataObject) -> None:
    rule, rows = pool
    order = list(range(len(rows.skill)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = Tickets._make(column[order] for column in rows)
    assert _players_by_match(rule, rows) == _players_by_match(rule, shuffled)


@settings(max_examples=200, deadline=None)
@given(pools())
def test_no_match_breaks_a_rule_and_nobody_overdue_is_left_who_could_play(
    pool: tuple[Rules, Tickets],
) -> None:
    rule, rows = pool
    formed = match_tickets(rule, NOW, rows)
    waited = NOW - rows.enqueued_at
    for match, region in enumerate(formed.region_of):
        members = formed.match_of == match
        assert rule.min_players <= members.sum() <= rule.players
        assert (rows.latency_ms[members, region] <= rule.max_latency_ms).all()
        assert len(set(rows.group[members])) == 1
        if members.sum() < rule.players:
            assert waited[members].max() >= rule.fill_s
    left = formed.match_of == UNMATCHED
    with np.errstate(invalid="ignore"):
        near = rows.latency_ms <= rule.max_latency_ms
    for ticket in np.flatnonzero(left & (waited >= rule.fill_s)):
        company = left & (rows.group == rows.group[ticket]) & (waited >= rule.roam_s)
        assert all(
            (company & near[:, region]).sum() < rule.min_players for region in np.flatnonzero(near[ticket])
        )


def _players_by_match(rule: Rules, rows: Tickets) -> set[tuple[int, frozenset[int]]]:
    formed = match_tickets(rule, NOW, rows)
    return {
        (int(region), frozenset(rows.player_id[formed.match_of == match].tolist()))
        for match, region in enumerate(formed.region_of)
    }


def two_coasts(europeans: int, americans: int) -> list[list[float]]:
    return [[12.0, 88.0]] * europeans + [[90.0, 15.0]] * americans


def test_two_hundred_players_of_two_coasts_form_two_full_matches_one_a_coast() -> None:
    rng = np.random.default_rng(7)
    arrival_s = np.sort(rng.uniform(0, 8, 200))
    coast = rng.permutation(np.repeat([WEST_EUROPE, EAST_US], 100))
    latency = np.array([[12.0, 88.0], [90.0, 15.0]], np.float32)[coast]
    rule = rules(players=100, fill_s=30.0, max_latency_ms=250.0)
    matched: list[tuple[int, NDArray[np.int32]]] = []
    waiting = np.zeros(200, bool)
    done = np.zeros(200, bool)
    for now in np.arange(0, 9, 0.25):  # every cycle of the director while they arrive
        waiting = (arrival_s <= now) & ~done
        rows = np.flatnonzero(waiting)
        pool = Tickets(
            latency[rows],
            np.full(len(rows), 25, np.float32),
            arrival_s[rows],
            np.zeros(len(rows), np.int32),
            rows + 1,
        )
        formed = match_tickets(rule, float(now), pool)
        for match, region in enumerate(formed.region_of):
            members = rows[formed.match_of == match]
            done[members] = True
            matched.append((int(region), coast[members]))
    assert sorted(region for region, _ in matched) == [WEST_EUROPE, EAST_US]
    assert all(len(coasts) == 100 and (coasts == region).all() for region, coasts in matched)


def test_a_match_is_not_opened_short_before_its_oldest_ticket_is_overdue() -> None:
    pool = tickets(two_coasts(3, 0), waited_s=[9.9, 5, 5])
    assert len(match_tickets(rules(), NOW, pool).region_of) == 0
    assert match_tickets(rules(), NOW + 0.1, pool).match_of.tolist() == [0, 0, 0]


def test_an_overdue_match_takes_those_at_home_first_and_then_those_who_may_roam() -> None:
    pool = tickets(two_coasts(2, 2), waited_s=[10, 1, 8, 4])
    formed = match_tickets(rules(), NOW, pool)
    assert formed.match_of.tolist() == [0, 0, 0, UNMATCHED]
    assert formed.region_of.tolist() == [WEST_EUROPE]


def test_a_full_pool_is_cut_into_matches_of_like_skill() -> None:
    skill = [30.0, 10, 31, 11, 32, 12, 33, 13]
    formed = match_tickets(rules(), NOW, tickets(two_coasts(8, 0), skill=skill))
    assert formed.match_of.tolist() == [1, 0, 1, 0, 1, 0, 1, 0]


def test_the_youngest_wait_when_a_pool_does_not_divide() -> None:
    waited = [1.0, 5, 4, 3, 2, 0.5]
    formed = match_tickets(rules(), NOW, tickets(two_coasts(6, 0), waited_s=waited))
    assert formed.match_of.tolist() == [UNMATCHED, 0, 0, 0, 0, UNMATCHED]


def test_tickets_of_different_groups_never_meet() -> None:
    formed = match_tickets(rules(), NOW, tickets(two_coasts(4, 0), waited_s=[50] * 4, group=[0, 1, 0, 1]))
    assert formed.match_of.tolist() == [0, 1, 0, 1]


def test_a_hundred_thousand_tickets_all_play_except_what_does_not_fill_a_match() -> None:
    rng = np.random.default_rng(1)
    count, regions = 100_000, 8
    rule = rules(players=100)
    pool = Tickets(
        rng.uniform(5, 190, (count, regions)).astype(np.float32),
        rng.normal(25, 8, count).astype(np.float32),
        NOW - rng.uniform(0, 5, count),
        np.zeros(count, np.int32),
        rng.permutation(count).astype(np.int64),
    )
    formed = match_tickets(rule, NOW, pool)
    assert (formed.match_of == UNMATCHED).sum() < regions * rule.players
    assert (np.bincount(formed.match_of[formed.match_of >= 0]) == rule.players).all()


def test_the_kernel_touches_only_its_two_outputs() -> None:
    pool = tickets(two_coasts(5, 4), waited_s=[20.0] * 9)
    before: list[NDArray[Any]] = [column.copy() for column in pool]
    match_tickets(rules(), NOW, pool)
    assert all(
        np.array_equal(was, column) for was, column in zip(before, list[NDArray[Any]](pool), strict=True)
    )
    assert form_matches.targetoptions["nogil"]
