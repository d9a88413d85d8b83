"""What ``simulate --save`` writes, against the schema that is published for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import loadtest
from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.simulate.estimates.replications import replicate
from loadtest.simulate.estimates.runs import VERSION, Task, run_figures

SCHEMA = json.loads((Path(loadtest.__path__[0]) / "simulate/simulation.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
SMOKE = load_scenario(SHIPPED / "smoke.yaml")


def mistakes(figures: dict[str, Any]) -> list[str]:
    return [error.message[:200] for error in VALIDATOR.iter_errors(figures)]


def test_a_run_and_several_seeds_are_as_the_schema_says() -> None:
    VALIDATOR.check_schema(SCHEMA)
    for steady in (False, True):
        assert mistakes(run_figures(Task(SMOKE, steady=steady))) == []
    assert mistakes(json.loads(json.dumps(replicate(SMOKE, 2).as_json()))) == []


def test_its_version_is_that_of_the_code() -> None:
    assert SCHEMA["$defs"]["run"]["properties"]["version"]["const"] == VERSION


@pytest.mark.parametrize(
    "planted",
    [
        {"version": 2},
        {"wait_ms": {"p50": 1.0}},
        {"abandoned_share": 12.0},
        {"wait_s": {"p50": 1.0}},
        {"wait_at_least": ["p66"]},
        {"objectives": [{"name": "wait p95", "unit": "ms", "limit": 1, "measured": 1, "met": True}]},
    ],
)
def test_another_key_unit_or_version_is_noticed(planted: dict[str, Any]) -> None:
    assert mistakes(run_figures(Task(SMOKE)) | planted)
