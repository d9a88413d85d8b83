"""The table of the bench environments: what a case is, which there are, and what is printed of each.

A part is a module with ``CASES``. Its cases are played one after the other, each in processes of its own
(`isolated`), in the order of `PARTS`.
"""

from __future__ import annotations

import importlib
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from loadtest.bench.options import Options
from loadtest.errors import BenchError

__all__ = ["PARTS", "Case", "Found", "Options", "cases_of", "run_part"]

# By name, in the order of ``bench environments`` without a part: the module below this folder.
PARTS: Mapping[str, str] = {
    "limits": "machine.limits",
    "disks": "machine.disks",
    "users": "machine.users",
    "names": "machine.names",
    "terminals": "machine.terminals",
    "oddities": "machine.oddities",
    "nights": "machine.nights",
    "pythons": "machine.pythons",
    "foreign_files": "figures.foreign_files",
    "full_memory": "figures.full_memory",
    "hostile_names": "figures.hostile_names",
    "zones": "figures.zones",
    "upgrades": "figures.upgrades",
    "descriptors": "figures.descriptors",
    "clocks": "figures.clock_steps",
    "locust": "figures.locust_outage",
    "log_gaps": "figures.log_gaps",
}
ALONE = ("descriptors", "clocks", "locust", "log_gaps")  # parts whose figures are times
MAX_SAID = 400  # characters of a line
SIDE_BY_SIDE = 3  # cases that only wait and see: a flood of four players waits for most of its 20 s


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a case.

    Attributes:
        well: whether all ended well, or with one line that says what to type; None: this machine cannot play
            the case, and ``said`` says what is missing.
        said: one line: what ended well, what was wrong, or what is missing.
        figures: what was measured.
    """

    well: bool | None
    said: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that a machine may be, and what is done there.

    Attributes:
        name: as ``--only`` names it.
        play: is called in a process of its own; raises LoadTestError, whose text is what was wrong.
        bound_s: seconds after which the case has failed and everything that it started is ended.
    """

    name: str
    play: Callable[[Options], Found]
    bound_s: float = 150.0


def cases_of(part: str) -> tuple[Case, ...]:
    """Return the cases of a part, in their order."""
    module = importlib.import_module(f"loadtest.bench.environments.{PARTS[part]}")
    cases: tuple[Case, ...] = module.CASES
    return cases


def run_part(part: str | None, options: Options) -> Iterator[dict[str, Any]]:
    """Play cases, and yield what is printed of each: ``name``, ``well``, ``said`` and its figures.

    Args:
        part: the part whose cases are played; None: all parts.
        options: ``only`` chooses from the cases by name, ``floods`` says whether backends are started.

    Raises:
        BenchError: ``only`` has a name that no case has.
    """
    table = [(name, case) for name in PARTS if part in (None, name) for case in cases_of(name)]
    chosen = options.chosen([case.name for _, case in table])
    table = [(name, case) for name, case in table if case.name in chosen]
    if options.floods:
        _compile()
    for alone, cases in itertools.groupby(table, key=lambda row: row[0] in ALONE):
        with ThreadPoolExecutor(1 if alone else SIDE_BY_SIDE) as players:
            played = [players.submit(_play, name, case, options) for name, case in cases]
            try:
                for each in played:
                    yield each.result()
            finally:
                for each in played:
                    each.cancel()


def _play(part: str, case: Case, options: Options) -> dict[str, Any]:
    from loadtest.bench.environments.isolated import play_isolated

    began = time.monotonic()
    try:
        found = play_isolated(part, case, options)
    except BenchError as error:
        found = Found(False, str(error))
    return {
        "bench": "environments",
        "part": part,
        "name": case.name,
        "well": found.well,
        "said": " ".join(found.said.split())[:MAX_SAID],
        "took_s": round(time.monotonic() - began, 1),
        **found.figures,
    }


def _compile() -> None:
    """Compile kernels before a case's time runs. Raises BenchError where they do not compile."""
    command = [sys.executable, "-m", "launchday.cli", "compile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "kernels do not compile"
        )
