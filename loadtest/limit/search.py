"""The search for the highest rate that holds: it grows until it breaks, then the knee is halved in on.

Nothing here floods: what is tried at a rate is a parameter. A rate counts as too much where it has failed
twice, for one bad try may be chance; one that held once holds.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

GROWTH = 2.0  # from one rate to the next, until one breaks
TOLERANCE = 0.05  # of the bracket around the knee: above it the search goes on
MAX_TRIALS = 60
DOWNWARD = 6  # rates below the first that are tried where that one breaks

Whose = Literal["", "backend", "generator"]


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one flood at a steady rate.

    Attributes:
        rate: players a second who were to arrive.
        whose: whose limit it was that broke; "" where the rate held.
        reasons: the objectives that were missed, or why the generator did not keep up.
        first: what broke first, as one sentence.
        wait_p95_s: 95th percentile of the wait; None where nobody waited.
        players: who were to arrive.
        note: what else there is to say of it, such as that others used the machine; or "".
        stopped: whether the user stopped it; it then says nothing.
    """

    rate: float
    whose: Whose = ""
    reasons: tuple[str, ...] = ()
    first: str = ""
    wait_p95_s: float | None = None
    players: int = 0
    note: str = ""
    stopped: bool = False

    @property
    def held(self) -> bool:
        """Whether every objective was met."""
        return not self.whose and not self.stopped

    def as_json(self) -> dict[str, Any]:
        """The trial, as the JSON of the search shows it."""
        return {
            "players_per_s": round(self.rate, 4),
            "players": self.players,
            "held": self.held,
            "limit_of": self.whose or None,
            "reasons": list(self.reasons),
            "first": self.first,
            "wait_p95_s": self.wait_p95_s,
            "note": self.note,
        }


@dataclass(slots=True)
class Limit:
    """What the search found.

    Attributes:
        trials: all floods, in their order.
        held: the highest rate that held, in players a second; None where none did.
        broke: the trial that broke at the lowest rate, the second of the two; None where none broke.
        stopped: whether the user stopped the search.
    """

    trials: list[Trial] = field(default_factory=list)
    held: float | None = None
    broke: Trial | None = None
    stopped: bool = False

    @property
    def bracketed(self) -> bool:
        """Whether the knee is known as closely as it was asked for."""
        return (
            self.held is not None
            and self.broke is not None
            and self.broke.rate <= self.held * (1.0 + TOLERANCE) + 1e-9
        )

    @property
    def found(self) -> bool:
        """Whether it is the backend's limit that was found."""
        return self.bracketed and self.broke is not None and self.broke.whose == "backend"

    @property
    def sentence(self) -> str:
        """What was found, in a sentence or two."""
        if self.stopped:
            return f"Stopped. {self._bounds()}"
        if self.held is None:
            return f"No rate held. {self._broke()}"
        if self.broke is None:
            return (
                f"{self.held:.4g} players/s held, and more was not tried: this generator has no room for it. "
                "The limit is higher."
            )
        if self.broke.whose == "generator":
            return (
                f"The generator's limit, not the backend's: {self.held:.4g} players/s held, and at "
                f"{self.broke.rate:.4g} the generator did not keep up ({'; '.join(self.broke.reasons)}). "
                "Flood in parts from more machines."
            )
        return f"{self.held:.4g} players/s held. {self._broke()}"

    def as_json(self) -> dict[str, Any]:
        """The result, as the JSON of the search shows it."""
        return {
            "found": self.found,
            "held_players_per_s": None if self.held is None else round(self.held, 4),
            "broke_players_per_s": None if self.broke is None else round(self.broke.rate, 4),
            "limit_of": None if self.broke is None else self.broke.whose,
            "reasons": [] if self.broke is None else list(self.broke.reasons),
            "first": "" if self.broke is None else self.broke.first,
            "sentence": self.sentence,
            "trials": [trial.as_json() for trial in self.trials],
        }

    def _broke(self) -> str:
        if self.broke is None:
            return ""
        return (
            f"{self.broke.rate:.4g} players/s broke, twice: {'; '.join(self.broke.reasons)}. "
            f"{self.broke.first}"
        ).rstrip()

    def _bounds(self) -> str:
        held = "no rate has held" if self.held is None else f"{self.held:.4g} players/s held"
        broke = "none has broken" if self.broke is None else f"{self.broke.rate:.4g} broke"
        return f"Until then {held}, and {broke}."


async def find_limit(
    flood_at: Callable[[float], Awaitable[Trial]],
    *,
    start: float,
    ceiling: float = math.inf,
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> Limit:
    """Search for the highest rate that holds.

    Args:
        flood_at: floods at a rate of players a second, and says what came of it.
        start: the first rate, which should be well below the limit.
        ceiling: the highest rate that can be tried.
        on_trial: is told each trial as it ends.

    Returns:
        The limit: the rate that held and the one that broke are 5 % apart at most, unless nothing held,
        nothing broke up to the ceiling, or the user stopped.
    """
    limit = Limit()
    lowest = start / GROWTH**DOWNWARD
    rate = min(start, ceiling)
    while not limit.bracketed and len(limit.trials) < MAX_TRIALS:
        if not await _holds(flood_at, rate, limit, on_trial):
            if limit.stopped:
                break
            if limit.held is None and rate / GROWTH < lowest:
                break
        elif rate >= ceiling:
            break
        if limit.broke is None:
            rate = min(rate * GROWTH, ceiling)
        elif limit.held is None:
            rate /= GROWTH
        else:
            rate = math.sqrt(limit.held * limit.broke.rate)
    return limit


async def _holds(
    flood_at: Callable[[float], Awaitable[Trial]],
    rate: float,
    limit: Limit,
    on_trial: Callable[[Trial], None],
) -> bool:
    """Try a rate, and once more where it broke; note in ``limit`` what came of it."""
    for _ in range(2):
        trial = await flood_at(rate)
        if trial.stopped:
            limit.stopped = True
            return False
        limit.trials.append(trial)
        on_trial(trial)
        if trial.held:
            limit.held = rate
            return True
    limit.broke = trial
    return False
