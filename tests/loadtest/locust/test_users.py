"""Locust's users outlive whatever they meet: services that say no, and a process of bots that ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtest.locust import bot_worker
from loadtest.locust.bot_worker import BotWorker
from loadtest.scenario import reader


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("driver.py"))],
        cwd=tmp_path_factory.mktemp("driver"),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def test_a_login_that_fails_is_a_failed_request_and_the_shopper_logs_in_at_the_next_task(
    driven: dict[str, Any],
) -> None:
    """Six refusals, two answers that nobody can read, and a session that is ended once."""
    logins, failed = driven["requests"]["/v1/login/device"]
    assert (logins - failed, failed) == (3 + 1, 6 + 2)
    assert driven["requests"]["/v1/profile"][1] == 1
    assert (driven["users"], driven["exceptions"]) == (3, [])


def test_a_shopper_buys_once_with_the_key_of_one_purchase(driven: dict[str, Any]) -> None:
    assert driven["purchases"] == 3 * 2


def test_bots_that_end_are_started_again_and_their_players_have_a_failed_request(
    driven: dict[str, Any],
) -> None:
    assert driven["fired"] == [
        ["log in and queue", None],
        ["wait for a match", "the process of bots has ended"],
        ["log in and queue", None],
    ]
    assert driven["lives"] == 2
    assert driven["faults"][0].startswith("the process of bots has ended with code 3")


def test_a_player_without_a_seat_is_one_line_and_no_request(driven: dict[str, Any]) -> None:
    assert driven["faults"][1:] == ["there are more players than --bot-seats 1: raise it; they wait"]


def test_a_scenarios_players_come_once_each_and_the_test_ends_when_all_have_gone(
    driven: dict[str, Any],
) -> None:
    assert driven["played"] == [6, 0]
    assert (driven["ended"], driven["left"], driven["scenario_exceptions"]) == (True, 0, [])


def test_a_worker_that_has_gone_is_not_waited_for_and_fails_the_test(driven: dict[str, Any]) -> None:
    assert driven["codes"] == [None, 1]


def test_locust_is_asked_for_no_users_at_a_rate_that_it_warns_of(driven: dict[str, Any]) -> None:
    assert driven["asked"] == [[0, 1.0]] * len(driven["asked"])


def test_players_beyond_the_seats_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(bot_worker, "write_report", told.append)
    worker = BotWorker(reader.load_scenario(reader.scenario_path("tour")), seats=0)
    worker._carry_out({"play": 4}, context=None)  # type: ignore[arg-type]
    assert told == [{"player": 4, "no_seat": True}, {"player": 4, "over": True}]
