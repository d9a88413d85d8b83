"""The table of the bench environments: what a case is, which there are, and what is printed of each.

A part is a module with ``CASES``. Its cases are played one after the other, each in processes of its own
(`isolated`), in the order of `PARTS`.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from loadtest.bench.options import Options
from loadtest.errors import BenchError

__all__ = ["PARTS", "Case", "Found", "Options", "cases_of", "run_part"]

# By name, in the order of ``bench environments`` without a part: the module below this folder.
PARTS: Mapping[str, str] = {
    "limits": "machine.limits",
    "disks": "machine.disks",
}
MAX_SAID = 400  # characters of a line


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
    bound_s: float = 60.0


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
    from loadtest.bench.environments.isolated import play_isolated

    table = [(name, case) for name in PARTS if part in (None, name) for case in cases_of(name)]
    chosen = options.chosen([case.name for _, case in table])
    for name, case in table:
        if case.name not in chosen:
            continue
        began = time.monotonic()
        try:
            found = play_isolated(name, case, options)
        except BenchError as error:
            found = Found(False, str(error))
        yield {
            "bench": "environments",
            "part": name,
            "name": case.name,
            "well": found.well,
            "said": " ".join(found.said.split())[:MAX_SAID],
            "took_s": round(time.monotonic() - began, 1),
            **found.figures,
        }
