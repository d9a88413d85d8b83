"""The rows of a simulation, and the simulation as an object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

import launchday
from launchday.cli import inputs, main
from loadtest.errors import ScenarioError
from loadtest.rows.columns import TABLES
from loadtest.simulate.output import rows as simulation_rows
from loadtest.simulate.simulation import Simulation

PARTIES: dict[str, Any] = {
    "name": "parties",
    "seed": 3,
    "players": {"count": 60, "locations": {"west-europe": 0.5, "east-us": 0.5}, "parties": {1: 0.5, 3: 0.5}},
    "arrivals": {"over_s": 20},
    "modes": {"battle_royale": {"players": 10, "min_players": 4, "fill_s": 3, "duration_s": 10}},
    "fleet": {"regions": ["west-europe", "east-us"], "buffer": 1, "max": 3},
    "behaviours": {"matches": 2, "think_s": 1, "patience_s": 8},
    "objectives": {"abandoned_share": None},
}


@pytest.fixture(scope="module")
def played() -> Simulation:
    return launchday.simulate(PARTIES)


def test_a_row_a_wait_gives_the_figures_that_are_printed(played: Any) -> None:
    figures, tickets = played.figures, played.tickets
    waits = tickets.column("wait_s").drop_null().to_numpy()
    assert np.percentile(waits, 95) == pytest.approx(figures["wait_s"]["p95"], abs=1e-3)
    assert waits.mean() == pytest.approx(figures["wait_s"]["mean"], abs=1e-3)
    states = tickets.column("state").to_pylist()
    assert states.count("matched") == figures["matched"]
    assert states.count("gave up") == figures["abandoned"] > 0
    assert sum(tickets.column("censored").to_pylist()) == figures["abandoned"] + figures["waiting"]
    assert tickets.column("match").null_count == len(tickets) - figures["matched"]


def test_parties_have_a_row_a_member_and_later_matches_count_on(played: Any) -> None:
    tickets = played.tickets.to_pydict()
    first = [place for place, number in enumerate(tickets["wait_number"]) if number == 1]
    assert sorted(tickets["player"][place] for place in first) == list(range(60))
    assert max(tickets["wait_number"]) > 1
    later: dict[int, tuple[int, float]] = {}
    for player, number, arrived_s in zip(
        tickets["player"], tickets["wait_number"], tickets["arrived_s"], strict=True
    ):
        assert number == later.get(player, (0, 0.0))[0] + 1
        assert arrived_s >= later.get(player, (0, 0.0))[1]
        later[player] = (number, arrived_s)
    sizes = np.bincount([tickets["party"][place] for place in first])
    assert set(sizes) == {1, 3}


def test_matches_and_samples_are_those_of_the_run(played: Any) -> None:
    tickets, matches, samples = played.tickets, played.matches, played.samples
    assert tickets.num_rows >= played.figures["players"]
    assert matches.num_rows == played.figures["matches"]
    counted = duckdb.sql("SELECT match, count(*) FROM tickets WHERE match IS NOT NULL GROUP BY 1 ORDER BY 1")
    assert [count for _, count in counted.fetchall()] == matches.column("players").to_pylist()
    spread = np.percentile(matches.column("skill_spread").to_numpy(), 50)
    assert spread == pytest.approx(played.figures["skill_spread"]["p50"], abs=2e-3)
    most = duckdb.sql(
        "SELECT max(busy) FROM (SELECT sum(count) AS busy FROM samples WHERE thing = 'servers' GROUP BY at_s)"
    ).fetchall()[0][0]
    assert most <= played.figures["servers_peak"]
    assert samples.column("count").null_count == 0


def test_the_same_seed_writes_the_same_rows_and_they_say_whose_they_are(tmp_path: Path) -> None:
    for name in ("one", "two"):
        done = CliRunner().invoke(main.app, ["simulate", "smoke", "--rows", str(tmp_path / "deep" / name)])
        assert done.exit_code == 0, done.output
    for table in TABLES:
        one, two = (tmp_path / "deep" / name / f"{table}.parquet" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
        about = pq.read_schema(one).metadata
        assert about[b"launchday.scenario"] == b"smoke"
        assert about[b"launchday.world"] == b"simulation"
        assert {b"launchday.seed", b"launchday.version"} <= about.keys()


def test_a_large_run_is_written_in_pieces(monkeypatch: pytest.MonkeyPatch, played: Any) -> None:
    monkeypatch.setattr(simulation_rows, "BATCH_ROWS", 7)
    pieces = launchday.simulate(PARTIES).tickets
    assert pieces.column("player").num_chunks > 3
    assert pieces.combine_chunks().to_pydict() == played.tickets.to_pydict()


def test_a_folder_that_cannot_be_is_told_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for arguments in (["--rows", str(tmp_path / "file")], ["--rows", str(tmp_path), "--seeds", "2"]):
        done = CliRunner().invoke(main.app, ["simulate", "smoke", *arguments])
        assert isinstance(done.exception, inputs.CommandError)
        assert done.exception.exit_code == 2
        assert "\n" not in str(done.exception)


def test_a_simulation_takes_a_file_a_name_or_a_mapping_and_values_by_their_keys(tmp_path: Path) -> None:
    buffer: dict[str, Any] = {"fleet.buffer": 2}
    by_name = launchday.simulate("smoke", seed=9, scale=2, **buffer)
    assert (by_name.figures["players"], by_name.figures["seed"]) == (40, 9)
    assert by_name.scenario.fleet.buffer == 4
    path = tmp_path / "parties.yaml"
    path.write_text(yaml.safe_dump(PARTIES))
    count: dict[str, Any] = {"players.count": np.int64(12)}
    assert launchday.simulate(path, **count).figures["players"] == 12
    assert by_name.passed == all(one.met for one in by_name.objectives)


@pytest.mark.parametrize(
    ("scenario", "overrides", "lines"),
    [
        ("nosuch", {}, ["nosuch:1: no such scenario"]),
        ({"name": "X", "modes": {}}, {}, ["name", "players: is required", "arrivals: is required", "modes"]),
        (PARTIES, {"fleet.bufer": 1, "fleet.max": 0}, ["fleet has no bufer"]),
        (PARTIES, {"fleet.max": 0, "players.count": -1}, ["fleet.max", "players.count"]),
        ({"name": object()}, {}, ["no file can have"]),
    ],
)
def test_every_mistake_is_a_line(scenario: Any, overrides: dict[str, Any], lines: list[str]) -> None:
    with pytest.raises(ScenarioError) as caught:
        launchday.simulate(scenario, **overrides)
    for line in lines:
        assert any(line in said for said in caught.value.lines), caught.value.lines
