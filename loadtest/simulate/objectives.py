"""What a scenario asks for, against what a simulation can measure. Nothing ticks in virtual time, so ticks are not asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loadtest.scenario.model import Objectives

SHARE = "of all"  # the unit of a share of the players


@dataclass(frozen=True, slots=True)
class Objective:
    """One thing that has to hold; ``measured`` is None where the run gave nothing to measure, which does not meet it."""

    name: str
    unit: str
    limit: float
    measured: float | None

    @property
    def met(self) -> bool:
        """Whether it holds."""
        return self.measured is not None and self.measured <= self.limit

    def as_json(self) -> dict[str, Any]:
        """The objective as JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "limit": self.limit,
            "measured": self.measured,
            "met": self.met,
        }


def objectives(asked: Objectives, figures: Mapping[str, Any]) -> list[Objective]:
    """The scenario's objectives beside the figures of a run."""
    rows = (
        ("wait p95", "s", asked.wait_p95_s, figures["wait_s"]["p95"]),
        ("abandoned", SHARE, asked.abandoned_share, figures["abandoned_share"]),
        ("players lost", "", asked.players_lost, float(figures["lost"])),
        ("cost", "", asked.cost, figures["cost"]),
    )
    return [
        Objective(name, unit, float(limit), measured)
        for name, unit, limit, measured in rows
        if limit is not None
    ]
