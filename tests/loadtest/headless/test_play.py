"""Matches without a network: equal for equal seeds, and the same as plain Python and compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dedicated_server.cards import shipped_cards
from dedicated_server.simulation import world as w
from loadtest.headless import knowing, thinking
from loadtest.headless.match import HeadlessMatch, teams_of
from loadtest.headless.result import kind_name
from loadtest.headless.series import play_series
from loadtest.headless.trace import Recorder, Trace, first_difference
from loadtest.headless.trial import TrialError, try_mode
from tests.dedicated_server.modes.studio import studio_mode

CARDS = shipped_cards()
TRIED_S = {"battle_royale": 15.0, "teams_of_five": 12.0, "capture_the_flag": 12.0}

pytestmark = pytest.mark.timeout(300)  # plain Python, beside other tests


def played(seed: int, seconds: float = 5.0, name: str = "capture_the_flag") -> Trace:
    headless = HeadlessMatch(CARDS[name], 8, seed, seconds)
    recorder = Recorder(headless.match)
    for _ in headless.play():
        recorder.note_tick()
    return recorder.trace()


@pytest.mark.parametrize("name", sorted(CARDS))
def test_each_mode_plays_the_same_as_plain_python_and_compiled(name: str) -> None:
    seen: list[dict[str, Any]] = []
    trial = try_mode(CARDS[name], seed=3, match_s=TRIED_S[name], on_plain=seen.append)
    assert trial.difference is None
    assert trial.identical
    assert seen == [trial.plain]
    assert trial.plain == trial.compiled
    assert trial.plain["players"] == CARDS[name].players_min
    assert trial.plain["events"]["match_started"] == trial.plain["events"]["match_ended"] == 1


def test_equal_seeds_give_equal_matches_and_others_do_not() -> None:
    one, again, other = played(1), played(1), played(2)
    assert one.digest == again.digest != other.digest
    assert first_difference(one, again) is None
    assert len(one.states) == 300


def test_a_trace_is_kept_in_a_file(tmp_path: Path) -> None:
    one = played(1, 1.0)
    one.save(tmp_path / "trace.npz")
    kept = Trace.load(tmp_path / "trace.npz")
    assert first_difference(one, kept) is None
    assert kept.digest == one.digest


def test_a_difference_is_told_with_its_tick_and_what_it_is_of() -> None:
    one, other = played(1, 2.0), played(1, 2.0)
    other.states[70, 5] += 0.01
    difference = first_difference(one, other)
    assert difference is not None
    assert (difference.tick, difference.what.split(" is ")[0]) == (71, "x_m of player 5")
    other.events["value"][0] = 9
    assert str(first_difference(one, other)).startswith("tick 0 (0.00 s): an event has value 0")
    shorter = Trace(one.names, one.states[:-1], one.events, one.digest, one.placements)
    assert "120 ticks in plain Python, 119 compiled" in str(first_difference(one, shorter))
    assert "2 events in plain Python, 1 compiled" in str(
        first_difference(one, Trace(one.names, one.states, one.events[:1], one.digest, one.placements))
    )


def test_teams_are_as_even_as_they_can_be() -> None:
    assert teams_of(CARDS["capture_the_flag"], 8) == [0] * 4 + [1] * 4
    assert teams_of(CARDS["capture_the_flag"], 9) == [0] * 5 + [1] * 4
    assert teams_of(CARDS["battle_royale"], 3) == [0, 1, 2]


def test_clients_know_what_they_are_shown_and_no_more() -> None:
    headless = HeadlessMatch(CARDS["capture_the_flag"], 8, 1, 5.0)
    world, view = headless.match.world, headless.view
    headless.match.start(np.ones(8, dtype=bool), 0)
    headless.match.apply(1)
    headless.match.simulate()
    world.status[w.SHOWN, 3] = 0
    records = knowing.new_records(world)
    knowing.pack_entities(world, records)
    knowing.tell_clients(world, records, view)
    told = view.wire.seen_tick[0]
    assert told.tolist() == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    assert view.wire.objectives[0, :2, 2].tolist() == [0, 1]
    thinking.think(headless.minds, view, 1)
    thinking.write_inputs(headless.minds, headless.match.inputs, 2)
    assert headless.match.inputs.newest.tolist() == [2] * 8


MISTAKES = {
    "raises": ("@hook\ndef step(world):\n    world.body[2, 99] = 1.0\n", ":4: IndexError"),
    "does not compile": (
        "@hook\ndef step(world):\n    a = [1.0]\n    world.body[2, 0] = a[0]\n",
        "allocates",
    ),
    "does not import": ("nothing()\n", ":2: NameError"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_a_mode_is_told_with_its_line(tmp_path: Path, mistake: str) -> None:
    body, told = MISTAKES[mistake]
    card = studio_mode(tmp_path, "from dedicated_server.modes.toolbox import hook\n" + body)
    with pytest.raises(TrialError) as error:
        try_mode(card, match_s=1.0)
    assert str(error.value).startswith(str(card.hooks))
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_bots_of_capture_the_flag_score_on_both_sides() -> None:
    """The whole of it is `launchday bench modes`: 100 matches."""
    seen: list[int] = []
    found = play_series(CARDS["capture_the_flag"], 12, seed=1, on_match=seen.append)
    assert seen == list(range(1, 13))
    assert min(found["score"]["captures"]) > 0
    assert found["events"]["flag_captured"] == sum(found["score"]["captures"])
    assert sum(found["wins"]) + found["draws"] == 12
    assert min(found["win_share"]) >= 2 / 12  # of even sides one in 250 series is not


def test_a_series_is_the_same_in_one_process_and_in_two() -> None:
    card = CARDS["teams_of_five"]
    assert play_series(card, 3, 5) == play_series(card, 3, 5, jobs=2)


def test_kinds_of_events_have_names() -> None:
    card = CARDS["capture_the_flag"]
    assert [kind_name(card, kind) for kind in (2, 16, 17, 9)] == [
        "kill",
        "flag_captured",
        "kind 17",
        "kind 9",
    ]
