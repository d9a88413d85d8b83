"""A player's journey as requests of Locust: every stage of every match, and the one that failed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from loadtest.locust.stages import CONNECT, LOGIN, LOST_SERVER, MATCH, WAIT, JourneyStages
from loadtest.players.player_records import PlayerRecords, PlayerState


class Journey:
    """One player's record, written as a journey writes it, and what was reported of it."""

    def __init__(self) -> None:
        self.records = PlayerRecords(np.zeros(1))
        self.told: list[tuple[str, float, str]] = []
        self.now_s = 0.0
        self.stages = JourneyStages(self.records, lambda: self.now_s, self._tell)
        self.stages.begin(0)
        self.records.arrived_s[0] = 10.0

    def _tell(self, report: dict[str, Any]) -> None:
        assert report["player"] == 7
        self.told.append((report["name"], round(report["ms"]), report["error"]))

    def at(self, now_s: float, state: PlayerState, *steps: str, looks: int = 2) -> None:
        """Note that these steps happened now, and look, more often than something happens."""
        self.now_s = now_s
        self.records.state[0] = state
        for step in steps:
            getattr(self.records, step)[0] = now_s
        for _ in range(looks):
            self.stages.look(7, 0)

    def plays(self, queued_s: float) -> None:
        """Wait for 2 s, connect for 1 s, and play."""
        self.at(queued_s, PlayerState.QUEUED, "queued_s")
        self.at(queued_s + 2, PlayerState.CONNECTING, "assigned_s")
        self.at(queued_s + 3, PlayerState.PLAYING, "connected_s")


def test_each_match_of_a_session_is_a_wait_a_connect_and_a_match() -> None:
    journey = Journey()
    journey.plays(10.5)
    journey.at(20, PlayerState.PLAYING, "connected_s")  # it had lost the connection
    journey.at(30, PlayerState.THINKING)
    journey.plays(40)
    journey.at(60, PlayerState.DONE, "ended_s")
    assert journey.told == [
        (LOGIN, 500, ""),
        (WAIT, 2000, ""),
        (CONNECT, 1000, ""),
        (MATCH, 16500, ""),
        (WAIT, 2000, ""),
        (CONNECT, 1000, ""),
        (MATCH, 17000, ""),
    ]


def test_one_look_at_the_end_finds_all_stages_of_the_last_match() -> None:
    journey = Journey()
    journey.records.queued_s[0], journey.records.assigned_s[0] = 11.0, 14.0
    journey.records.connected_s[0] = 15.0
    journey.at(40, PlayerState.DONE, "ended_s", looks=0)
    journey.stages.end(7, 0)
    assert [name for name, _, _ in journey.told] == [LOGIN, WAIT, CONNECT, MATCH]


@pytest.mark.parametrize(
    ("queued_s", "assigned_s", "connected_s", "stage", "took_ms"),
    [
        (np.nan, np.nan, np.nan, LOGIN, 5000),
        (11.0, np.nan, np.nan, WAIT, 4000),
        (11.0, 12.0, np.nan, CONNECT, 3000),
        (11.0, 12.0, 13.0, MATCH, 2000),
        (13.5, 12.0, 13.0, WAIT, 1500),  # queued again: its server died
    ],
)
def test_the_stage_in_which_a_player_was_lost_failed(
    queued_s: float, assigned_s: float, connected_s: float, stage: str, took_ms: int
) -> None:
    journey = Journey()
    records = journey.records
    records.queued_s[0], records.assigned_s[0] = queued_s, assigned_s
    records.connected_s[0], records.reason[0] = connected_s, "log in: 503"
    if queued_s > connected_s:
        journey.at(queued_s, PlayerState.QUEUED)
    journey.at(15, PlayerState.LOST, "ended_s")
    assert journey.told[-1] == (stage, took_ms, "log in: 503")


def test_who_gave_up_waiting_is_a_failed_wait_of_the_time_waited() -> None:
    journey = Journey()
    journey.at(11, PlayerState.QUEUED, "queued_s")
    journey.records.reason[0] = "waited too long for a match"
    journey.at(31, PlayerState.CANCELLED, "ended_s")
    assert journey.told[-1] == (WAIT, 20000, "waited too long for a match")


def test_a_match_whose_server_was_lost_failed_and_the_next_one_counts_anew() -> None:
    journey = Journey()
    journey.plays(11)
    journey.records.requeues[0] = 1
    journey.at(20, PlayerState.PLAYING)
    journey.plays(21)
    journey.at(50, PlayerState.DONE, "ended_s")
    assert [(name, error) for name, _, error in journey.told[3:]] == [
        (MATCH, LOST_SERVER),
        (WAIT, ""),
        (CONNECT, ""),
        (MATCH, ""),
    ]


def test_who_is_stopped_with_the_test_has_failed_nothing() -> None:
    journey = Journey()
    journey.plays(11)
    journey.at(20, PlayerState.STOPPED, "ended_s")
    assert [name for name, _, _ in journey.told] == [LOGIN, WAIT, CONNECT]
