"""A generator that cannot be all players says so before it starts, and is named when it runs out."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from launchday import startup
from loadtest import command
from loadtest.errors import BackendUnavailableError
from loadtest.flood import capacity
from loadtest.players.requests import RequestLog
from loadtest.scenario.model import Scenario
from loadtest.scenario.reader import load_scenario, scenario_path
from tests.loadtest.sample_run import sample_outcome


@pytest.fixture(scope="module")
def smoke() -> Scenario:
    """Its 20 players all come within the 10 s for which each stays at the least."""
    return load_scenario(scenario_path("smoke"))


def limited(monkeypatch: pytest.MonkeyPatch, descriptors: int) -> None:
    monkeypatch.setattr(startup, "descriptors", lambda: startup.Descriptors(descriptors, descriptors))


def test_players_who_fit_are_not_talked_of(smoke: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, capacity.descriptors_needed(20))
    assert capacity.why_not_enough(smoke) is None
    assert command.why_not_floodable(smoke) is None


@pytest.mark.parametrize("players", [1, 99, 100, 101, 5_000])
def test_the_descriptors_that_players_need_are_good_for_them(players: int) -> None:
    assert capacity.players_that_fit(capacity.descriptors_needed(players)) == players
    assert capacity.players_that_fit(capacity.descriptors_needed(players) - 1) == players - 1


def test_players_who_are_there_at_once_and_do_not_fit_are_refused_with_the_line_to_type(
    smoke: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, capacity.descriptors_needed(7))
    assert capacity.least_at_once(smoke) > 7
    refusal = command.why_not_floodable(smoke)
    assert refusal is not None
    assert "20 players" in refusal
    assert "good for 7 at once" in refusal
    assert f"ulimit -Hn {capacity.descriptors_needed(20)}" in refusal


def test_players_who_may_come_one_after_the_other_are_warned_of_alone(
    smoke: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, capacity.descriptors_needed(capacity.least_at_once(smoke)))
    assert (capacity.why_not_enough(smoke) is None) == (capacity.least_at_once(smoke) == 20)
    assert command.why_not_floodable(smoke) is None


def test_local_ports_bound_the_players_too(
    smoke: Scenario, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ports = tmp_path / "ip_local_port_range"
    ports.write_text("50000\t52009\n")
    monkeypatch.setattr(capacity, "LOCAL_PORTS", ports)
    limited(monkeypatch, 1 << 20)
    assert capacity.players_by_ports() == 10
    assert "ip_local_port_range" in (capacity.why_not_enough(smoke) or "")


def test_a_generator_that_ran_out_is_named_and_no_service() -> None:
    log = RequestLog()
    failure = BackendUnavailableError("ticket: All connection attempts failed")
    failure.__cause__ = ExceptionGroup("tries", [OSError(errno.EMFILE, os.strerror(errno.EMFILE))])
    log.note_shortage(failure)
    log.note_shortage(BackendUnavailableError("ticket: 503"))
    log.note_shortage(OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL)))
    assert sorted(log.own_shortages.values()) == [1, 1]
    outcome = sample_outcome()
    ran_out = replace(outcome, generator=replace(outcome.generator, shortages=dict(log.own_shortages)))
    assert not ran_out.passed
    assert (
        "generator saturated: 1 sockets could not be opened: this process has no descriptor left"
        in ran_out.verdict
    )
