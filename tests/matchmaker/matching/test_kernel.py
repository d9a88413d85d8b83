from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from matchmaker.matching.arrays import UNMATCHED, BackfillRequests, FormedMatches, Tickets, make_tickets
from matchmaker.matching.kernel import form_matches, match_tickets
from matchmaker.rules.flexmatch.document import DocumentError
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.modes import shipped_rule_set
from matchmaker.rules.rules import Rules, rules_of, value_at
from tests.matchmaker.matching.naive import NaiveMatcher, least_apart

NOW = 1_000_000.0
WEST_EUROPE, EAST_US = 0, 1
EXAMPLES = settings(max_examples=150, deadline=None)


def rules(
    players: int = 4, min_players: int = 2, fill_s: float = 10.0, max_latency_ms: float = 200.0, **more: Any
) -> Rules:
    return Rules("battle_royale", players, min_players, fill_s, max_latency_ms, match_s=60.0, **more)


def tickets(
    latency_ms: list[list[float]],
    *,
    waited_s: list[float] | None = None,
    skill: list[float] | None = None,
    group: list[int] | None = None,
    size: list[int] | None = None,
    platform: list[int] | None = None,
) -> Tickets:
    count = len(latency_ms)
    return make_tickets(
        np.array(latency_ms, np.float32).reshape(count, -1 if count else 2),
        np.array(skill if skill is not None else [25.0] * count, np.float32),
        NOW - np.array(waited_s if waited_s is not None else [0.0] * count, np.float64),
        np.array(group if group is not None else [0] * count, np.int32),
        np.arange(1, count + 1, dtype=np.int64),
        None if size is None else np.array(size, np.int32),
        None if platform is None else np.array(platform, np.int32),
    )


@st.composite
def rule_sets(draw: st.DrawFn) -> Rules:
    teams = draw(st.sampled_from([1, 1, 2]))
    team_size = draw(st.integers(2, 4))
    players = teams * team_size
    widening = draw(st.booleans())
    return rules(
        players,
        draw(st.integers(2, players)),
        draw(st.sampled_from([0.0, 10.0, 20.0])),
        teams=teams,
        skill=((0.0, 2.0), (5.0, 4.0), (15.0, 100.0)) if widening else (),
        latency=((0.0, 100.0), (12.0, 200.0)) if widening else (),
        team_gap=((0.0, 1.05), (15.0, 99.0)) if widening else (),
        max_low_population_factor=draw(st.sampled_from([1.0, 8.0])),
        backfill=draw(st.sampled_from(["high", "normal", "low"])),
    )


@st.composite
def pools(draw: st.DrawFn) -> tuple[Rules, Tickets, BackfillRequests]:
    rule = draw(rule_sets())
    count = draw(st.integers(0, 30))
    regions = draw(st.integers(1, 3))

    def column(values: st.SearchStrategy[float] | st.SearchStrategy[int], length: int = count) -> list[float]:
        return draw(st.lists(values, min_size=length, max_size=length))

    unmeasured = st.sampled_from([np.nan, np.inf])
    latency = [column(st.one_of(st.integers(0, 250), unmeasured)) for _ in range(regions)]
    platform = column(st.integers(0, 1))
    keeps = column(st.sampled_from([0, 0, 1]))
    pool = make_tickets(
        np.array(latency, np.float32).T.reshape(count, regions).copy(),
        np.array(column(st.integers(0, 10)), np.float32),
        NOW - np.array(column(st.integers(0, 25)), np.float64),
        np.array([keep * (1 + own) for keep, own in zip(keeps, platform, strict=True)], np.int32),
        np.array(draw(st.permutations(range(1, count + 1))), np.int64),
        np.array(column(st.integers(1, rule.team_size)), np.int32),
        np.array(platform, np.int32),
    )
    open_count = draw(st.integers(0, 2))
    lowest = np.array(column(st.integers(0, 10), open_count), np.float32)
    requests = BackfillRequests(
        np.array(column(st.integers(0, regions - 1), open_count), np.int32),
        np.array(column(st.integers(0, 1), open_count), np.int32),
        lowest,
        lowest + 1,
        NOW - np.arange(open_count, dtype=np.float64),
        np.array(column(st.integers(0, 2), open_count * rule.teams), np.int32).reshape(
            open_count, rule.teams
        ),
    )
    return rule, pool, requests


def sizes(rows: Tickets) -> NDArray[np.int32]:
    return np.ones(len(rows.skill), np.int32) if rows.size is None else rows.size


@EXAMPLES
@given(pools())
def test_the_kernel_agrees_with_the_oracle(pool: tuple[Rules, Tickets, BackfillRequests]) -> None:
    rule, rows, requests = pool
    formed = match_tickets(rule, NOW, rows, 0, requests)
    naive = NaiveMatcher(rule, NOW, rows, requests)
    naive.run()
    assert formed.match_of.tolist() == naive.match_of
    assert formed.region_of.tolist() == naive.region_of
    assert formed.backfill_of.tolist() == naive.backfill_of


@EXAMPLES
@given(pools(), st.randoms(use_true_random=False), st.integers(0, 2**40))
def test_the_order_of_rows_is_irrelevant_and_the_same_seed_gives_the_same_matches(
    pool: tuple[Rules, Tickets, BackfillRequests], random: Any, seed: int
) -> None:
    rule, rows, requests = pool
    order = list(range(len(rows.skill)))
    random.shuffle(order)
    shuffled = Tickets._make(None if column is None else column[order] for column in rows)

    def players(of: Tickets) -> set[tuple[int, frozenset[tuple[int, int]]]]:
        formed = match_tickets(rule, NOW, of, seed, requests)
        return {
            (int(region), frozenset(zip(of.player_id[at].tolist(), formed.team_of[at].tolist(), strict=True)))
            for match, region in enumerate(formed.region_of)
            for at in [formed.match_of == match]
        }

    assert players(rows) == players(rows) == players(shuffled)


@EXAMPLES
@given(pools())
def test_no_match_breaks_a_rule_or_splits_a_party(pool: tuple[Rules, Tickets, BackfillRequests]) -> None:
    rule, rows, requests = pool
    formed = match_tickets(rule, NOW, rows, 0, requests)
    waited, size = NOW - rows.enqueued_at, sizes(rows)
    for match, region in enumerate(formed.region_of):
        members = np.flatnonzero(formed.match_of == match)
        oldest = float(waited[members].max())
        # Where the pool is thin, limits widen up to so many times sooner than by the clock.
        eager = oldest * rule.max_low_population_factor
        players = int(size[members].sum())
        fewest = rule.players if oldest < rule.fill_s else rule.min_players
        assert fewest <= players <= rule.players
        assert np.ptp(rows.skill[members]) <= value_at(rule.skill, eager)
        for member in members:
            own = float(waited[member]) * rule.max_low_population_factor
            assert rows.latency_ms[member, region] <= value_at(rule.latency, own, rule.max_latency_ms)
        groups = set(rows.group[members].tolist())
        if groups != {0}:  # somebody keeps to their platform: all are on it
            assert len(groups - {0}) == 1
            assert rows.platform is not None
            assert set((rows.platform[members] + 1).tolist()) == groups - {0}
        teams = [members[formed.team_of[members] == team] for team in range(rule.teams)]
        assert all(int(size[team].sum()) <= rule.team_size for team in teams)
        if rule.teams == 2:
            means = [np.average(rows.skill[team], weights=size[team]) for team in teams]
            assert abs(means[0] - means[1]) <= value_at(rule.team_gap, eager) + 1e-9
            members_of = [(int(size[m]), float(rows.skill[m])) for m in members]
            assert abs(means[0] - means[1]) == pytest.approx(least_apart(rule, members_of))
    for opening in range(len(requests.region)):
        joined = np.flatnonzero(formed.backfill_of == opening)
        for team in range(rule.teams):
            seated = int(size[joined[formed.team_of[joined] == team]].sum())
            assert seated <= requests.room[opening, team]
    assert not ((formed.match_of >= 0) & (formed.backfill_of >= 0)).any()


@EXAMPLES
@given(pools())
def test_nobody_is_left_beyond_the_horizon_who_could_play(
    pool: tuple[Rules, Tickets, BackfillRequests],
) -> None:
    rule, rows, _ = pool
    alone = rows._replace(size=np.ones(len(rows.skill), np.int32))  # solo players can always be seated
    formed = match_tickets(rule, NOW, alone)
    waited = NOW - rows.enqueued_at
    left = formed.match_of == UNMATCHED
    most = value_at(rule.latency, 1e9, rule.max_latency_ms)
    with np.errstate(invalid="ignore"):
        near = rows.latency_ms <= most
    for ticket in np.flatnonzero(left & (waited >= rule.fully_relaxed_s)):
        company = left & (rows.group == rows.group[ticket]) & (waited >= rule.fully_relaxed_s)
        fewest = rule.players if rule.fill_s > waited[ticket] else rule.min_players
        assert all((company & near[:, region]).sum() < fewest for region in np.flatnonzero(near[ticket]))


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
        pool = make_tickets(
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


def test_a_late_match_takes_those_at_home_and_those_who_may_roam() -> None:
    pool = tickets(two_coasts(2, 2), waited_s=[10, 1, 8, 4])
    formed = match_tickets(rules(max_low_population_factor=1.0), NOW, pool)
    assert formed.match_of.tolist() == [0, 0, 0, UNMATCHED]
    assert formed.region_of.tolist() == [WEST_EUROPE]


def test_a_full_pool_is_cut_into_matches_of_like_skill() -> None:
    skill = [30.0, 10, 31, 11, 32, 12, 33, 13]
    formed = match_tickets(rules(), NOW, tickets(two_coasts(8, 0), skill=skill))
    assert formed.match_of.tolist() == [1, 0, 1, 0, 1, 0, 1, 0]


def test_the_youngest_wait_when_a_pool_does_not_divide() -> None:
    waited = [1.0, 4, 3, 2.5, 2, 0.5]
    formed = match_tickets(rules(), NOW, tickets(two_coasts(6, 0), waited_s=waited))
    assert formed.match_of.tolist() == [UNMATCHED, 0, 0, 0, 0, UNMATCHED]


def test_tickets_of_different_groups_never_meet() -> None:
    formed = match_tickets(rules(), NOW, tickets(two_coasts(4, 0), waited_s=[50] * 4, group=[0, 1, 0, 1]))
    assert formed.match_of.tolist() == [0, 1, 0, 1]


def test_a_rare_platform_is_joined_by_those_of_it_who_cross_play() -> None:
    pool = tickets(two_coasts(4, 0), waited_s=[12.0, 1, 1, 1], group=[2, 0, 0, 0], platform=[1, 1, 0, 1])
    formed = match_tickets(rules(), NOW, pool)
    assert formed.match_of.tolist() == [0, 0, UNMATCHED, 0]


def test_parties_stay_whole_and_no_place_stays_empty_where_sizes_fit() -> None:
    rule = rules_of(shipped_rule_set("teams_of_five"), 250.0, 60.0)
    formed = match_tickets(rule, NOW, tickets(two_coasts(4, 0), size=[4, 3, 2, 1]))
    assert formed.match_of.tolist() == [0, 0, 0, 0]
    assert formed.team_of[0] == formed.team_of[3] != formed.team_of[1] == formed.team_of[2]
    stuck = match_tickets(rule, NOW, tickets(two_coasts(3, 0), size=[4, 4, 2]))
    assert stuck.match_of.tolist() == [UNMATCHED] * 3


def test_a_late_ticket_tries_again_without_the_parties_that_block_it() -> None:
    rule = replace(rules_of(shipped_rule_set("teams_of_five"), 250.0, 60.0), max_low_population_factor=1.0)
    skill = [25.0, 25.1, 25.2, 25.3, 25.4]
    pool = tickets(two_coasts(5, 0), size=[3, 4, 2, 3, 2], skill=skill, waited_s=[40.0, 1, 1, 1, 1])
    assert match_tickets(rule, NOW, pool).match_of.tolist() == [0, UNMATCHED, 0, 0, 0]


def test_teams_are_dealt_so_that_either_may_win() -> None:
    rule = rules_of(shipped_rule_set("teams_of_five"), 250.0, 60.0)
    skill = [23.0, 23.2, 23.9, 24.0, 24.6, 25.1, 25.5, 26.0, 26.2, 26.9]
    formed = match_tickets(rule, NOW, tickets(two_coasts(10, 0), skill=skill))
    sums = [float(np.array(skill)[formed.team_of == team].sum()) for team in (0, 1)]
    assert abs(sums[0] - sums[1]) == pytest.approx(
        5 * least_apart(rule, [(1, each) for each in skill]), abs=1e-4
    )


def test_many_teams_are_levelled_by_swaps() -> None:
    rng = np.random.default_rng(3)
    skill = rng.normal(25, 6, 40)
    formed = match_tickets(rules(40, teams=8), NOW, tickets(two_coasts(40, 0), skill=skill.tolist()))
    means = [skill[formed.team_of == team].mean() for team in range(8)]
    assert np.ptp(means) < 1.0 < np.ptp(np.sort(skill).reshape(8, 5).mean(axis=1))


def test_limits_widen_sooner_where_the_pool_is_too_thin_to_fill_a_match_in_time() -> None:
    rule = rules(4, 4, 0.0, skill=((0.0, 2.0), (30.0, 50.0)), region_expansion_after_s=0.0)
    pool = tickets(two_coasts(4, 0), waited_s=[20.0, 19, 18, 17], skill=[10.0, 20, 30, 40])
    assert match_tickets(rule, NOW, pool).match_of.tolist() == [0] * 4
    assert len(match_tickets(replace(rule, max_low_population_factor=1.0), NOW, pool).region_of) == 0
    # The same four among many like them: each waits for its own kind, by the clock.
    crowd = tickets(
        two_coasts(16, 0),
        waited_s=[20.0, 19, 18, 17] * 4,
        skill=[skill for skill in (10.0, 20, 30, 40) for _ in range(4)],
    )
    spreads = _spreads(crowd, match_tickets(rule, NOW, crowd))
    assert len(spreads) == 4
    assert max(spreads) == 0


def _spreads(rows: Tickets, formed: FormedMatches) -> list[float]:
    return [float(np.ptp(rows.skill[formed.match_of == match])) for match in range(len(formed.region_of))]


@pytest.mark.parametrize(("priority", "joins"), [("high", [0, 1]), ("normal", []), ("low", [])])
def test_a_running_match_is_filled_before_or_after_full_ones_are_formed(
    priority: Any, joins: list[int]
) -> None:
    requests = BackfillRequests(
        np.zeros(1, np.int32),
        np.zeros(1, np.int32),
        np.full(1, 24, np.float32),
        np.full(1, 26, np.float32),
        np.full(1, NOW - 5),
        np.full((1, 1), 2, np.int32),
    )
    pool = tickets(two_coasts(4, 0), waited_s=[4.0, 3, 2, 1])
    formed = match_tickets(rules(backfill=priority), NOW, pool, 0, requests)
    assert np.flatnonzero(formed.backfill_of == 0).tolist() == joins
    alone = match_tickets(rules(backfill=priority), NOW, tickets(two_coasts(2, 0)), 0, requests)
    assert alone.backfill_of.tolist() == [0, 0]


@pytest.mark.parametrize("mode", ["battle_royale", "teams_of_five"])
def test_tails_of_the_rating_and_rare_regions_wait_no_longer_than_the_horizon(mode: str) -> None:
    """Players come for two minutes; who could have had company beyond the horizon is gone by then."""
    rule = rules_of(shipped_rule_set(mode), 250.0, 60.0)
    rng, period_s = np.random.default_rng(11), 1.0
    count = 4_000
    arrival_s = np.sort(rng.uniform(0, 120, count))
    skill = np.where(rng.random(count) < 0.01, rng.choice([-5.0, 60.0], count), rng.normal(25, 8, count))
    region = rng.choice(4, count, p=[0.6, 0.3, 0.09, 0.01])
    latency = np.where(np.arange(4) == region[:, None], 20.0, 180.0).astype(np.float32)
    waiting, longest_s, matched = np.zeros(count, bool), 0.0, 0
    arrived = np.zeros(count, bool)
    for now in np.arange(0, 121, period_s):
        waiting |= (arrival_s <= now) & ~arrived
        arrived |= arrival_s <= now
        rows = np.flatnonzero(waiting)
        pool = make_tickets(
            latency[rows],
            skill[rows].astype(np.float32),
            arrival_s[rows],
            np.zeros(len(rows), np.int32),
            rows,
        )
        formed = match_tickets(rule, float(now), pool)
        longest_s = max(longest_s, float((now - arrival_s[rows]).max(initial=0)))
        waiting[rows[formed.match_of >= 0]] = False
        matched += int((formed.match_of >= 0).sum())
    assert longest_s <= rule.fully_relaxed_s + period_s
    assert matched > 0.95 * count


def test_a_hundred_thousand_tickets_all_play_except_what_does_not_fill_a_match() -> None:
    rng = np.random.default_rng(1)
    count, regions = 100_000, 8
    rule = rules(players=100)
    pool = make_tickets(
        rng.uniform(5, 190, (count, regions)).astype(np.float32),
        rng.normal(25, 8, count).astype(np.float32),
        NOW - rng.uniform(0, 4, count),
        np.zeros(count, np.int32),
        rng.permutation(count).astype(np.int64),
    )
    formed = match_tickets(rule, NOW, pool)
    assert (formed.match_of == UNMATCHED).sum() < regions * rule.players
    assert (np.bincount(formed.match_of[formed.match_of >= 0]) == rule.players).all()


def test_the_kernel_touches_only_its_outputs() -> None:
    pool = tickets(two_coasts(5, 4), waited_s=[20.0] * 9, size=[1] * 9, platform=[0] * 9)
    columns = [column for column in pool if column is not None]
    before = [column.copy() for column in columns]
    match_tickets(rules(), NOW, pool)
    assert all(np.array_equal(was, column) for was, column in zip(before, columns, strict=True))
    assert form_matches.targetoptions["nogil"]


def test_a_rule_set_that_a_live_queue_cannot_play_is_refused_with_the_places() -> None:
    text = """{"name": "odd", "ruleLanguageVersion": "1.0",
      "playerAttributes": [{"name": "skill", "type": "number"}, {"name": "map", "type": "string"}],
      "teams": [{"name": "a", "minPlayers": 1, "maxPlayers": 2},
                {"name": "b", "minPlayers": 1, "maxPlayers": 3}],
      "rules": [{"name": "SameMap", "type": "batchDistance", "batchAttribute": "map"}]}"""
    with pytest.raises(DocumentError) as refused:
        rules_of(read_rule_set(text), 250.0, 60.0)
    assert [mistake.pointer for mistake in refused.value.mistakes] == [
        "/teams",
        "/algorithm/expansionAgeSelection",
        "/rules/0",
    ]
