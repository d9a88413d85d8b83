from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from loadtest.flood.conditions import MachineUse
from loadtest.flood.injection.faults import FaultRecord
from loadtest.flood.watching.counters import RequestCounts
from loadtest.flood.watching.events import MatchResult
from loadtest.players.player_records import PlayerState, Wait, WaitEnd
from loadtest.players.requests import RequestStatistics
from loadtest.report.run_json import SCHEMA, VERSION, run_as_json
from loadtest.scenario.faults import CutRegion
from loadtest.scenario.model import Objectives
from tests.loadtest.sample_run import MATCHES, sample_outcome

PUBLISHED = json.loads(SCHEMA.read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(PUBLISHED)
Figures = dict[str, Any]
# Mappings whose keys are names of things, and what game servers tell.
FREE_NAMES = {"reasons", "cpu_cores", "given_up", "failures", "entries", "shortages", "stages_s", "servers"}
FREE_NAMES |= {"step_late_us", "arrival_late_ms", "missing", "scores", "events", "told"}


def full_run() -> Figures:
    """The JSON of a run to which everything happened that has keys of its own."""
    run = sample_outcome()
    run.records.state[:2] = PlayerState.CANCELLED, PlayerState.LOST
    run.records.reason[1] = "the server is gone"
    run.records.record_wait(Wait(0, 0.0, 30.0, end=WaitEnd.GAVE_UP))
    run.requests.by_kind["log in"] = RequestStatistics([3.0], given_up_ms=[9.0], given_up=1)
    every = Objectives(
        missed_tick_share=0.1, login_p95_s=1.0, purchase_p95_s=1.0, cost=9.0, abandoned_share=0.5
    )
    fault = CutRegion(at_s=5, do="cut_region", region="east-us", for_s=9)
    return run_as_json(
        replace(
            run,
            scenario=run.scenario.model_copy(update={"objectives": every}),
            fault_records=[FaultRecord(fault, "east-us cut off", 5.0, 14.0)],
            machine=MachineUse(1.6, 2),
            request_counts=RequestCounts(
                {"meta": {("POST", "/v1/internal/checkouts"): 2}}, {"rewards": "away"}
            ),
            deaths=["director ended with code -9"],
            left_out=["policy forecast"],
            cpu_s={"servers": 3.0},
            match_results={MATCHES[0]: MatchResult("capture_the_flag", {0: 2, 1: 1})},
            event_kinds={MATCHES[0]: {"kill": 90, "flag_captured": 3}},
        )
    )


def mistakes(figures: Figures) -> list[str]:
    return [f"{error.json_path}: {error.message[:80]}" for error in VALIDATOR.iter_errors(figures)]


def test_the_schema_is_one_and_has_the_version_that_is_written() -> None:
    jsonschema.Draft202012Validator.check_schema(PUBLISHED)
    assert PUBLISHED["properties"]["version"]["const"] == VERSION


@pytest.mark.parametrize(
    "figures",
    [
        run_as_json(sample_outcome()),
        run_as_json(sample_outcome(saturated=True, commits=1)),
        run_as_json(sample_outcome(interrupted="Ctrl-C")),
        full_run(),
    ],
)
def test_the_figures_of_a_run_are_as_the_schema_says(figures: Figures) -> None:
    assert mistakes(json.loads(json.dumps(figures, allow_nan=False))) == []


def parts_of(figures: Figures, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Figures]]:
    """Every mapping with keys of ours in the figures; of a list, the first entry."""
    yield path, figures
    for key, value in figures.items():
        inner = value[0] if isinstance(value, list) and value else value
        if isinstance(inner, dict) and key not in FREE_NAMES:
            if key == "requests":
                yield (*path, key, "log in"), inner["log in"]
            else:
                yield from parts_of(inner, (*path, key))


def test_a_key_that_the_schema_does_not_know_is_found_wherever_it_is() -> None:
    whole = full_run()
    seen = [path for path, _ in parts_of(whole)]
    assert ("objectives",) in seen
    assert ("faults",) in seen
    for path, _ in parts_of(whole):
        figures = copy.deepcopy(whole)
        part = dict(parts_of(figures))[path]
        part["wait_minutes"] = 3
        assert any("wait_minutes" in mistake for mistake in mistakes(figures)), path


def _rename(figures: Figures, old: str, new: str) -> None:
    figures[new] = figures.pop(old)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: _rename(run, "wait_s", "wait_ms"),
        lambda run: _rename(run, "abandoned_share", "abandoned_percent"),
        lambda run: run["objectives"][0].update(unit="ms"),
        lambda run: run["objectives"][0].update(name="wait p94"),
        lambda run: run.update(abandoned_share=12.5),
        lambda run: run["busy"].update(others_share=-0.1),
        lambda run: run.update(version=2),
        lambda run: run.pop("verdict"),
        lambda run: run["wait_s"].pop("p95"),
        lambda run: run["wait_s"].update(p95="8.2 s"),
        lambda run: run.update(players=200.5),
        lambda run: run.update(passed="yes"),
        lambda run: run.update(wait_at_least=["p90"]),
    ],
)
def test_another_unit_name_or_type_is_found(spoil: Callable[[Figures], object]) -> None:
    figures = full_run()
    spoil(figures)
    assert mistakes(figures)
