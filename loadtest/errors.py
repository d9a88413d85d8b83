"""What can be wrong before or around a run.

LoadTestError
├── ScenarioError            the scenario file: fix the lines it names
├── UnknownRegionError       a region that the table of round trips does not hold
├── BackendError             the backend cannot be reached, or does not answer as agreed
└── SwarmError               the UDP side of the bots has stopped
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class LoadTestError(Exception):
    """Base of all errors of this package."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong in a scenario file.

    Attributes:
        line: 1-based line in the file.
        path: dotted keys from the top, such as ``players.locations.west-eurpe``; empty for the file as a whole.
        message: what is wrong and what would be right.
    """

    line: int
    path: str
    message: str


class ScenarioError(LoadTestError):
    """Raised when a scenario file cannot be used; carries every mistake found, not only the first.

    The text has one line a mistake: ``file:line: path: message``.
    """

    def __init__(self, source: str, mistakes: Sequence[Mistake]) -> None:
        self.source = source
        self.mistakes = tuple(mistakes)
        super().__init__(
            "\n".join(
                f"{source}:{mistake.line}: {mistake.path + ': ' if mistake.path else ''}{mistake.message}"
                for mistake in self.mistakes
            )
        )


class UnknownRegionError(LoadTestError, ValueError):
    """Raised for a region without a row or column in region_rtt.csv; the text lists names near to it.

    It is a ValueError too, so that pydantic reports it with its place in the file.
    """


class BackendError(LoadTestError):
    """Raised when a service of the backend cannot be reached or refuses the load test. Start it, or check its address."""


class SwarmError(LoadTestError):
    """Raised when the swarm's thread has ended; its cause is the reason. The run cannot go on."""
