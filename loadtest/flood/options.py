"""What is asked of a flood besides its scenario: which backend, what is watched, and what is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from launchday.settings import Settings
from loadtest.scenario.model import Scenario
from loadtest.target import Target

TargetFactory = Callable[[], Target]
"""Makes the target of a run; a class without arguments is one."""


@dataclass(frozen=True, slots=True)
class FloodOptions:
    """The options of one flood. All have defaults: our own backend, the whole population, no files.

    Attributes:
        report: path of the HTML report; the figures are written beside it as .json and the curves as .csv.
        json: path of another file with the figures.
        rows: folder for a row a ticket, match and sample.
        as_json: print the figures on standard output, as one JSON object on one line.
        target: makes the backend that is flooded, such as the class of a target; None: our own.
        metrics: addresses of Prometheus text, sampled while the run plays.
        part: which part of the population plays, of how many, such as (2, 4); None for all of it. A part
            judges nothing.
        part_file: what a part measures, for ``launchday merge``.
        begin_at: Unix seconds at which the run's clock begins; None: as soon as all is ready.
        find_limit: search for the highest rate that holds, instead of one flood.
        step_s: in that search, seconds in which the players of one flood arrive; None: as objectives need.
        strict: what this world leaves out of the scenario is a mistake, found before anything starts.
    """

    report: Path | None = None
    json: Path | None = None
    rows: Path | None = None
    as_json: bool = False
    target: TargetFactory | None = None
    metrics: tuple[str, ...] = ()
    part: tuple[int, int] | None = None
    part_file: Path | None = None
    begin_at: float | None = None
    find_limit: bool = False
    step_s: float | None = None
    strict: bool = False

    def regions(self, scenario: Scenario, settings: Settings) -> tuple[str, ...]:
        """The regions that players measure their distance to: those of our backend's settings, or on a target
        those of the scenario.
        """
        return settings.region_names if self.target is None else tuple(scenario.fleet.regions)
