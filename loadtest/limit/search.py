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
MIDDLES = 3  # rates that are tried between one with too few players and one with too many
SHORTER = 0.9  # a wait that gets so much shorter at a higher rate was one for other players

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
    def busy_sentence(self) -> str:
        """In how many floods others used the machine; "" where they did in none."""
        busy = sum(bool(trial.note) for trial in self.trials)
        if not busy:
            return ""
        return (
            f"In {busy} of {len(self.trials)} floods others used more than a quarter of the machine, so the "
            "limit may be theirs."
        )

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
        start: the first rate, which should be well below the limit. Matches may fill so slowly there that
            waits alone break an objective; higher ones are then tried for as long as waits get shorter.
        ceiling: the highest rate that can be tried.
        on_trial: is told each trial as it ends.

    Returns:
        The limit: the rate that held and the one that broke are 5 % apart at most, unless nothing held,
        nothing broke up to the ceiling, or the user stopped.
    """
    limit = Limit()
    attempt = _Attempt(flood_at, limit, on_trial)
    rate = await _first_that_holds(attempt, min(start, ceiling), ceiling)
    while rate is not None and limit.broke is None and rate < ceiling and attempt.goes_on:
        rate = min(rate * GROWTH, ceiling)
        await attempt.holds(rate)
    while limit.held is not None and limit.broke is not None and not limit.bracketed and attempt.goes_on:
        await attempt.holds(math.sqrt(limit.held * limit.broke.rate))
    return limit


async def _first_that_holds(attempt: _Attempt, start: float, ceiling: float) -> float | None:
    """A rate that holds: the first, a higher one where waits get shorter on the way, or a lower one; None
    without any.
    """
    limit, rate = attempt.limit, start
    thin: float | None = None  # the highest rate that broke for want of players
    wait_s = math.inf
    while attempt.goes_on:
        if await attempt.holds(rate):
            limit.broke = None  # what broke below it was a queue with too few players
            return rate
        told_s = None if limit.broke is None else limit.broke.wait_p95_s
        if told_s is None or told_s > SHORTER * wait_s or rate * GROWTH > ceiling:
            break
        thin = rate if rate > start else None
        rate, wait_s = rate * GROWTH, told_s
    if thin is not None:
        return await _between(attempt, thin, rate)
    rate = start
    limit.broke = next((trial for trial in reversed(limit.trials) if trial.rate == start), None)
    for _ in range(DOWNWARD):
        if not attempt.goes_on:
            return None
        rate /= GROWTH
        if await attempt.holds(rate):
            return rate
    return None


async def _between(attempt: _Attempt, thin: float, busy: float) -> float | None:
    """A rate that holds between one that broke for want of players and one that broke for too many."""
    for _ in range(MIDDLES):
        if not attempt.goes_on:
            return None
        middle = math.sqrt(thin * busy)
        before = attempt.limit.broke
        if await attempt.holds(middle):
            attempt.limit.broke = before
            return middle
        busy = middle
    return None


@dataclass(slots=True)
class _Attempt:
    """Tries rates, and notes in ``limit`` what came of it."""

    flood_at: Callable[[float], Awaitable[Trial]]
    limit: Limit
    on_trial: Callable[[Trial], None]

    @property
    def goes_on(self) -> bool:
        """Whether another rate may be tried."""
        return not self.limit.stopped and len(self.limit.trials) < MAX_TRIALS

    async def holds(self, rate: float) -> bool:
        """Try a rate, and once more where it broke; again where the two disagree on whose limit it is."""
        limit = self.limit
        broke: dict[Whose, Trial] = {}
        while True:
            trial = await self.flood_at(rate)
            if trial.stopped:
                limit.stopped = True
                return False
            limit.trials.append(trial)
            self.on_trial(trial)
            if trial.held:
                limit.held = rate
                return True
            if trial.whose in broke:
                limit.broke = trial
                return False
            broke[trial.whose] = trial
