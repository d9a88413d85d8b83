"""Overload: snapshots become rarer when ticks run late, and come back when it is calm."""

from __future__ import annotations

from dedicated_server.tick.load import CALM_TICKS, MAX_SNAPSHOT_EVERY, PATIENCE_TICKS, Overload

PERIOD_S = 1 / 60


def noted(overload: Overload, tick_s: float, ticks: int, missed: int = 0) -> Overload:
    for _ in range(ticks):
        overload.note(tick_s, missed)
    return overload


def test_a_quiet_server_sends_every_client_a_snapshot_in_every_tick() -> None:
    assert noted(Overload(PERIOD_S), 0.001, 1_000).snapshot_every == 1


def test_one_long_tick_changes_nothing() -> None:
    overload = noted(Overload(PERIOD_S), 0.001, 100)
    overload.note(0.05, 2)
    assert noted(overload, 0.001, 100).snapshot_every == 1


def test_lasting_load_lowers_the_rate_step_by_step_and_not_without_end() -> None:
    overload = Overload(PERIOD_S)
    rates = [noted(overload, PERIOD_S, PATIENCE_TICKS).snapshot_every for _ in range(20)]
    assert rates == sorted(rates)
    assert rates[-1] == MAX_SNAPSHOT_EVERY
    assert overload.lowered == 2


def test_missed_ticks_count_as_load() -> None:
    assert noted(Overload(PERIOD_S), 0.001, PATIENCE_TICKS, missed=1).snapshot_every == 2


def test_the_rate_comes_back_only_after_it_has_been_calm_for_a_while() -> None:
    overload = noted(Overload(PERIOD_S), 0.001, PATIENCE_TICKS, missed=1)
    assert noted(overload, 0.001, CALM_TICKS - 1).snapshot_every == 2
    assert noted(overload, 0.001, 1).snapshot_every == 1


def test_a_server_that_begins_with_a_lower_rate_never_exceeds_it() -> None:
    overload = Overload(PERIOD_S, fastest_every=2)
    assert noted(overload, 0.001, 2 * CALM_TICKS).snapshot_every == 2
    assert noted(overload, PERIOD_S, 3 * PATIENCE_TICKS).snapshot_every == 4
    assert noted(overload, 0.001, 4 * CALM_TICKS).snapshot_every == 2
