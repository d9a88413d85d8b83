from __future__ import annotations

import pytest

from dedicated_server.fleet.autoscaling.erlang import erlang_b, erlang_c
from loadtest.bench.simulation_checks import compare_openings
from loadtest.simulate import theory


def test_the_formulas_give_the_published_values() -> None:
    assert erlang_c(4, 2.8) == pytest.approx(0.4287, abs=5e-5)
    assert erlang_c(20, 18.0) == pytest.approx(0.5508, abs=5e-5)
    assert erlang_b(1, 1.0) == pytest.approx(0.5)


def test_the_simulator_agrees_with_queueing_theory() -> None:
    checks = theory.short_checks()
    assert len(checks) == 6
    assert [check.name for check in checks if not check.holds] == []


def test_a_server_too_many_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theory, "erlang_b", lambda servers, load: erlang_b(servers + 1, load))
    assert not theory.blocking(4, 3.0, range(1, 21), 4_000).holds


def test_a_buffer_is_empty_as_often_as_erlang_says() -> None:
    assert theory.warm_buffer(2, 0.5, 2.0, range(1, 21), 2_000).holds


def test_a_fleet_that_says_when_it_has_a_server_costs_nobody_a_wait_for_having_asked_too_soon() -> None:
    waits = compare_openings(seeds=6, arrivals=4_000)
    assert waits["told"] == waits["servers_alone"]
    assert waits["told"] < waits["asking"] - 0.05
