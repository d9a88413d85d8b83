"""A simulation as an object, for notebooks and scripts: figures, and the tables of tickets, matches and
samples. ``launchday.simulate`` is `run`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from loadtest.errors import Mistake, ScenarioError
from loadtest.scenario import reader
from loadtest.scenario.model import Scenario
from loadtest.simulate.estimates.runs import Task, figures_of, simulated, warm_up
from loadtest.simulate.output.rows import tables_of
from loadtest.simulate.result import Objective, SimulationResult, objectives
from loadtest.simulate.variation import VariationError, scaled, varied

MAPPING = "scenario"  # how errors call a scenario that has no file
OVERRIDES = "overrides"


@dataclass(frozen=True)
class Simulation:
    """One finished simulation.

    The tables are ``pyarrow.Table`` with the columns of docs/analyse.md: ``.to_pandas()`` works where pandas
    is installed, ``.column(NAME).to_numpy()`` always, and DuckDB reads them by the name of their variable.

    Attributes:
        scenario: that was simulated, overrides included.
        result: the arrays of the run.
        figures: what ``launchday simulate --save`` writes.
    """

    scenario: Scenario
    result: SimulationResult
    figures: dict[str, Any]

    @property
    def objectives(self) -> list[Objective]:
        """The scenario's objectives, each with its limit, what was measured, and whether it was met."""
        return objectives(self.scenario.objectives, self.figures)

    @property
    def passed(self) -> bool:
        """Whether every objective was met."""
        return bool(self.figures["passed"])

    @cached_property
    def tickets(self) -> Any:
        """A row for each wait of a player."""
        return self._tables.table("tickets")

    @cached_property
    def matches(self) -> Any:
        """A row for each match."""
        return self._tables.table("matches")

    @cached_property
    def samples(self) -> Any:
        """A row for each count of players, servers or a queue at an instant."""
        return self._tables.table("samples")

    @cached_property
    def _tables(self) -> Any:
        return tables_of(self.scenario, self.result)


def run(
    scenario: str | os.PathLike[str] | Mapping[str, Any],
    *,
    seed: int | None = None,
    scale: float = 1.0,
    rated: bool | None = None,
    steady: bool = False,
    **overrides: Any,
) -> Simulation:
    """Simulate a scenario in virtual time.

    Args:
        scenario: a file, the name of a shipped one, or the content of one as a mapping. Files that a mapping
            names are looked for in the working folder.
        seed: another than the scenario's.
        scale: factor for players, buffers and servers.
        rated: whether the matchmaker knows the players' skill; None: as the scenario says.
        steady: the figures are those of the steady part alone; the tables always have the whole run.
        overrides: values by their dotted keys: ``**{"fleet.buffer": 4, "arrivals.over_s": 60}``.

    Raises:
        ScenarioError: the scenario or an override is wrong; ``lines`` has every mistake. A mapping's lines
            are those of the mapping written as YAML.
        LoadTestError: the scenario cannot be simulated.
    """
    loaded, folder = _scenario(scenario)
    try:
        if overrides:
            loaded = varied(loaded, {key: _plain(value) for key, value in overrides.items()}, folder)
        if scale != 1.0:
            loaded = scaled(loaded, scale, folder)
    except VariationError as error:
        raise ScenarioError(OVERRIDES, [Mistake(1, "", problem) for problem in error.problems]) from error
    if seed is not None:
        loaded = loaded.model_copy(update={"seed": seed})
    warm_up()
    result, part = simulated(Task(loaded, rated, steady))
    return Simulation(loaded, result, figures_of(loaded, result, part))


def _scenario(given: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[Scenario, Path]:
    """Return the scenario, and the folder of the files that it names. Raises ScenarioError."""
    if isinstance(given, Mapping):
        try:
            text = yaml.safe_dump(_plain(given), sort_keys=False, allow_unicode=True)
        except yaml.YAMLError as error:
            raise ScenarioError(
                MAPPING, [Mistake(1, "", f"has a value that no file can have: {error}")]
            ) from error
        return reader.parse_scenario(text, MAPPING), Path()
    path = reader.scenario_path(os.fspath(given))
    if not path.exists():
        names = ", ".join(reader.shipped_names())
        raise ScenarioError(
            os.fspath(given),
            [Mistake(1, "", f"no such scenario: give a file, or one of those shipped: {names}")],
        )
    return reader.load_scenario(path), path.parent


def _plain(value: Any) -> Any:
    """Return a value with the types of YAML: numpy's numbers and paths are welcome in a mapping."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, os.PathLike) else value
