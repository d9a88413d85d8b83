"""What a generator will need is said beforehand, and how many parts would do where one is too few."""

from __future__ import annotations

import pytest

from launchday import startup
from loadtest import command
from loadtest.flood.parts.needs import MAX_CORES, needs_of
from loadtest.scenario.arrivals import Constant
from loadtest.scenario.model import Scenario
from loadtest.scenario.part import Part
from loadtest.scenario.reader import SHIPPED, load_scenario


@pytest.fixture(scope="module")
def tour() -> Scenario:
    return load_scenario(SHIPPED / "tour.yaml")


def of_players(scenario: Scenario, count: int, over_s: float) -> Scenario:
    players = scenario.players.model_copy(update={"count": count})
    return scenario.model_copy(update={"players": players, "arrivals": Constant(over_s=over_s)})


def test_players_who_stay_as_long_as_all_arrive_are_there_at_once(tour: Scenario) -> None:
    needs = needs_of(tour)
    assert (needs.players, needs.at_once) == (200, 200)
    assert 0.1 < needs.cores < 0.4  # measured: 0.12 to 0.16 on average
    assert "200 of 200 players at once" in needs.sentence
    assert needs.too_much() is None


def test_players_who_come_one_after_the_other_are_not_there_at_once(tour: Scenario) -> None:
    needs = needs_of(of_players(tour, 2_000, 4_000.0))
    assert needs.at_once < 100


def test_more_than_one_generator_can_be_is_said_with_the_parts_that_would_do(tour: Scenario) -> None:
    needs = needs_of(of_players(tour, 5_000, 60.0))
    assert needs.cores > MAX_CORES
    said = needs.too_much() or ""
    assert "--part 1/5 and so on" in said
    assert needs_of(of_players(tour, 5_000, 60.0), Part(1, 5)).too_much() is None


def test_descriptors_bound_the_players_of_a_part_too(tour: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "descriptors", lambda: startup.Descriptors(300, 300))
    assert needs_of(tour).too_much() is not None
    assert command.why_not_floodable(tour) is not None
    assert command.why_not_floodable(tour, Part(1, 8)) is None


def test_a_target_of_http_alone_needs_less(tour: Scenario) -> None:
    large = of_players(tour, 2_000, 600.0)
    assert needs_of(large, http_alone=True).cores < needs_of(large).cores + 0.3
    assert needs_of(tour, http_alone=True).cores < needs_of(tour).cores


def test_a_part_without_a_player_is_refused(tour: Scenario) -> None:
    assert "has no player" in (command.why_not_floodable(of_players(tour, 3, 1.0), Part(9, 9)) or "")
