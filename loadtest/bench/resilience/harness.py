"""What the parts of ``bench resilience`` have in common: their options, the limits of their figures, the
verdict.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadtest.bench.options import Options

# In the order of ``bench resilience`` without a part: what breaks first comes first.
PARTS = ("brownout", "crashers", "failover", "double_load", "stopped", "disk", "bounded")
VOID = "void"  # the figure in which a part says why its other figures say nothing about the backend


@dataclass(frozen=True, slots=True)
class Limit:
    """The bound of one figure.

    Attributes:
        figure: its key; dots lead into nested figures, such as ``reads.goodput``.
        at_most, at_least: the bound; one of them is given.
    """

    figure: str
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError(f"{self.figure} needs either at_most or at_least")

    @property
    def text(self) -> str:
        """The bound, such as "≤ 1.5"."""
        return f"≥ {self.at_least:g}" if self.at_most is None else f"≤ {self.at_most:g}"

    def measured(self, figures: Mapping[str, Any]) -> float | None:
        """Return the figure; None where it was not measured."""
        found: Any = figures
        for key in self.figure.split("."):
            if not isinstance(found, Mapping) or found.get(key) is None:
                return None
            found = found[key]
        return float(found)

    def met(self, measured: float) -> bool:
        """Whether a measured figure keeps the bound."""
        if self.at_most is not None:
            return measured <= self.at_most
        return self.at_least is not None and measured >= self.at_least


def judged(
    part: str, figures: Mapping[str, Any], limits: Sequence[Limit], *, whole: bool = True
) -> dict[str, Any]:
    """Return the figures of a part with their limits and the verdict.

    Args:
        part: its name.
        figures: what was measured; a text under ``void`` says why that says nothing about the backend.
        limits: the bounds of the figures.
        whole: whether all of the part was run, so that a figure that is missing is a limit that is missed.
    """
    missed = []
    for limit in limits:
        measured = limit.measured(figures)
        if measured is None:
            if whole:
                missed.append(f"{limit.figure} was not measured, {limit.text}")
        elif not limit.met(measured):
            missed.append(f"{limit.figure} {measured:g}, {limit.text}")
    return {
        "bench": "resilience",
        "part": part,
        **figures,
        "limits": {limit.figure: limit.text for limit in limits},
        "missed": missed,
        "passed": not missed and not figures.get(VOID),
    }


def run_part(part: str, options: Options) -> dict[str, Any]:
    """Run one part and judge it; return what is printed.

    Raises BenchError where it cannot be run to its end.
    """
    module = importlib.import_module(f"loadtest.bench.resilience.{part}")
    return judged(part, module.run(options), module.LIMITS, whole=not options.only)
