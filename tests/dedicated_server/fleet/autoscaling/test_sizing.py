"""Erlang's formulas and what follows from them, against sums written out and against simulated arrivals."""

from __future__ import annotations

import heapq
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.fleet.autoscaling.erlang import erlang_b, erlang_c, servers_for
from dedicated_server.fleet.autoscaling.price import price
from dedicated_server.fleet.autoscaling.replicas import Replicas
from dedicated_server.fleet.autoscaling.sizing import Demand, Sizing, servers_in_play, steady_replicas


def summed_erlang_b(servers: int, load: float) -> float:
    """The formula as textbooks have it."""
    terms = [math.exp(n * math.log(load) - math.lgamma(n + 1)) for n in range(servers + 1)]
    return terms[-1] / sum(terms)


@given(st.integers(0, 150), st.floats(0.01, 120))
def test_erlang_b_is_the_sum_of_the_textbooks(servers: int, load: float) -> None:
    assert erlang_b(servers, load) == pytest.approx(summed_erlang_b(servers, load), rel=1e-9)


@pytest.mark.parametrize(
    ("servers", "load", "share"), [(10, 5.0, 0.018385), (1, 1.0, 0.5), (20, 12.0, 0.009796), (0, 3.0, 1.0)]
)
def test_erlang_b_has_its_known_values(servers: int, load: float, share: float) -> None:
    assert erlang_b(servers, load) == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize(("servers", "rho", "share"), [(4, 0.7, 0.4287), (20, 0.9, 0.5508)])
def test_erlang_c_has_its_known_values(servers: int, rho: float, share: float) -> None:
    assert erlang_c(servers, servers * rho) == pytest.approx(share, abs=5e-5)
    assert erlang_c(servers, servers * 1.0) == 1.0


@given(st.floats(0, 200), st.floats(1e-6, 1.0))
def test_no_fewer_servers_would_do(load: float, blocking: float) -> None:
    servers = servers_for(load, blocking)
    assert erlang_b(servers, load) <= blocking
    assert servers == 0 or erlang_b(servers - 1, load) > blocking


def simulate_lost_sales(buffer: int, per_s: float, startup_s: float, arrivals: int, seed: int) -> float:
    """The share of matches that find no server, where each taken server is back after a start-up."""
    random = np.random.default_rng(seed)
    coming: list[float] = []
    ready, refused, now = buffer, 0, 0.0
    for gap in random.exponential(1.0 / per_s, arrivals):
        now += gap
        while coming and coming[0] <= now:
            heapq.heappop(coming)
            ready += 1
        if ready:
            ready -= 1
            heapq.heappush(coming, now + startup_s * random.uniform(0.5, 1.5))
        else:
            refused += 1
    return refused / arrivals


@pytest.mark.parametrize(
    ("per_s", "startup_s", "blocking"), [(0.5, 20.0, 0.02), (3.0, 2.5, 0.01), (8.0, 2.0, 0.05)]
)
def test_the_buffer_loses_the_share_of_matches_that_it_was_sized_for(
    per_s: float, startup_s: float, blocking: float
) -> None:
    policy = Sizing(startup_s=startup_s, sync_s=0.0, blocking=blocking, min_idle=0)
    decision = policy.decide(Replicas(0, 0, 0, 0), Demand(per_s, 0.0, 0, 100.0, 600.0))
    assert decision.replicas is not None
    lost = simulate_lost_sales(decision.replicas, per_s, startup_s, 60_000, seed=1)
    predicted = policy.blocking_of(decision.replicas, per_s)
    assert predicted <= blocking
    assert lost == pytest.approx(predicted, abs=4 * math.sqrt(predicted / 60_000) + 0.001)


def test_a_rush_shows_in_the_queue_before_a_match_has_begun() -> None:
    policy = Sizing(startup_s=10.0, sync_s=1.0)
    state = Replicas(40, 5, 0, 35)
    calm = policy.decide(state, Demand(0.1, 10.0, 0, 100.0, 300.0)).replicas
    rush = policy.decide(state, Demand(0.1, 400.0, 1_250, 100.0, 300.0)).replicas
    assert calm is not None
    assert rush is not None
    assert rush > calm + 12
    assert calm > state.allocated


def test_the_policy_says_why_and_keeps_to_its_maximum() -> None:
    decision = Sizing(startup_s=10.0, max_replicas=20).decide(
        Replicas(20, 0, 0, 19), Demand(2.0, 0.0, 0, 100.0, 300.0)
    )
    assert decision.replicas == 20
    assert decision.limited
    assert "2 matches/s × 11 s" in decision.reason
    assert "at most 20" in decision.reason


@given(
    st.floats(0, 50), st.floats(0, 5000), st.integers(0, 100_000), st.integers(0, 1000), st.integers(0, 50)
)
def test_more_demand_never_asks_for_fewer_servers(
    matches: float, players: float, queued: int, allocated: int, unmet: int
) -> None:
    policy = Sizing(startup_s=5.0)
    less = policy.decide(
        Replicas(allocated, 0, 0, allocated, unmet), Demand(matches, players, queued, 100.0, 60.0)
    )
    more = policy.decide(
        Replicas(allocated, 0, 0, allocated, unmet + 1),
        Demand(matches * 1.1, players * 1.1, queued + 100, 100.0, 60.0),
    )
    assert less.replicas is not None
    assert more.replicas is not None
    assert allocated < less.replicas <= more.replicas


def test_a_fixed_fleet_needs_what_erlang_says() -> None:
    assert servers_in_play(1.0, 60.0, 0.01) == servers_for(60.0, 0.01) == 75


def test_the_steady_price_of_being_warm_is_what_is_in_play_and_the_buffer() -> None:
    demand = Demand(1.0, 100.0, 0, 100.0, 60.0)
    policy = Sizing(startup_s=4.0, sync_s=1.0, blocking=0.001)
    assert steady_replicas(demand, policy) == 60 + servers_for(5.0, 0.001)


def simulate_backorders(
    buffer: int, per_s: float, startup_s: float, arrivals: int, seed: int
) -> tuple[float, float]:
    """Share of matches that wait and the mean wait, where none goes away."""
    random = np.random.default_rng(seed)
    times = np.cumsum(random.exponential(1.0 / per_s, arrivals))
    ready_at = [0.0] * buffer
    waits = np.empty(arrivals)
    for number, now in enumerate(times):  # each match orders one server; the oldest order or stock serves it
        heapq.heappush(ready_at, now + startup_s)
        waits[number] = max(0.0, heapq.heappop(ready_at) - now)
    return float((waits > 1e-9).mean()), float(waits.mean())


@pytest.mark.parametrize(("buffer", "per_s", "startup_s"), [(3, 1.0, 2.0), (0, 2.0, 1.5), (12, 4.0, 2.0)])
def test_the_price_of_a_buffer_is_that_of_simulated_arrivals(
    buffer: int, per_s: float, startup_s: float
) -> None:
    priced = price(buffer, per_s, startup_s, players_per_match=100.0)
    waiting, wait_s = simulate_backorders(buffer, per_s, startup_s, 60_000, seed=2)
    assert waiting == pytest.approx(priced.waiting, abs=0.01)
    assert wait_s == pytest.approx(priced.wait_s, abs=0.02)
    assert priced.waiting_player_s_per_match == pytest.approx(100.0 * priced.wait_s)


def test_a_warmer_fleet_waits_less_and_idles_more() -> None:
    prices = [price(buffer, 1.0, 10.0, 100.0) for buffer in range(0, 40, 4)]
    assert all(a.wait_s > b.wait_s for a, b in itertools.pairwise(prices))
    assert all(a.idle_servers < b.idle_servers for a, b in itertools.pairwise(prices))
