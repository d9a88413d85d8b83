"""How much of a benchmark of several parts is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.errors import BenchError


@dataclass(frozen=True, slots=True)
class Options:
    """How much of a part is run; None: as much as its limits were written for.

    Attributes:
        players: players of a flood.
        seconds: how long a measurement or a fault lasts.
        rounds: how often something is repeated.
        only: names of kinds or runs of the part; empty: all.
        seed: of every random draw.
        floods: whether backends are started and flooded, or only what takes a moment is run.
    """

    players: int | None = None
    seconds: float | None = None
    rounds: int | None = None
    only: tuple[str, ...] = ()
    seed: int = 1
    floods: bool = True

    def chosen(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return those of a part's ``names`` that are to be run, in their order.

        Raises BenchError for a name in ``only`` that the part does not have.
        """
        unknown = [name for name in self.only if name not in names]
        if unknown:
            raise BenchError(f"--only {','.join(unknown)}: this part has {', '.join(names)}")
        return tuple(name for name in names if not self.only or name in self.only)
