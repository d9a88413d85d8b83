"""A case: what it plays, and the limits of its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from loadtest.bench.options import Options

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One network, and a match over it.

    Attributes:
        name: of the case.
        play: plays it; returns the figures. Its second argument is the fault to plant, "" for none.
        at_most, at_least: the limits, by figure.
        faults: what can be planted.
    """

    name: str
    play: Callable[[Options, str], Figures]
    at_most: Mapping[str, float] = field(default_factory=dict)
    at_least: Mapping[str, float] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def judged(self, options: Options, fault: str = "") -> Figures:
        """Play it; return what is printed: the figures, the limits, which are missed, and whether none is."""
        assert not fault or fault in self.faults, f"{self.name} has no fault {fault}"
        figures = self.play(options, fault)
        missed = [
            f"{name} {figures[name]:g}, ≤ {most:g}"
            for name, most in self.at_most.items()
            if not figures[name] <= most
        ]
        missed += [
            f"{name} {figures[name]:g}, ≥ {least:g}"
            for name, least in self.at_least.items()
            if not figures[name] >= least
        ]
        limits = {name: f"≤ {most:g}" for name, most in self.at_most.items()}
        limits |= {name: f"≥ {least:g}" for name, least in self.at_least.items()}
        told = {"bench": "paths", "case": self.name, **figures}
        return told | {"limits": limits, "missed": missed, "passed": not missed}
