"""The HTTP requests of all players: how long each answer took, and how often it had to be repeated."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from launchday.percentiles import percentiles
from launchday.resilience.exhaustion import own_shortage
from loadtest.errors import BackendUnavailableError
from loadtest.scenario.players import Retries

T = TypeVar("T")


@dataclass(slots=True)
class RequestStatistics:
    """Requests of one kind.

    Attributes:
        latency_ms: from the first try to the answer, of each that is timed.
        retries: tries that failed and were repeated.
        refusals: those of the failed tries in which the service said when to come again.
        given_up: requests whose last try failed.
    """

    latency_ms: list[float] = field(default_factory=list)
    retries: int = 0
    refusals: int = 0
    given_up: int = 0


class RequestLog:
    """All requests of a run, by kind.

    Attributes:
        failed_at_s: when each failed try ended, in seconds of the run.
        own_shortages: sockets that this process could not open, by what it lacks.
    """

    def __init__(self) -> None:
        self.by_kind: dict[str, RequestStatistics] = {}
        self.failed_at_s: list[float] = []
        self.own_shortages: Counter[str] = Counter()

    @property
    def refusals(self) -> int:
        """Tries that a service refused, saying when to come again."""
        return sum(statistics.refusals for statistics in self.by_kind.values())

    def as_json(self) -> dict[str, Any]:
        """The figures by kind of request, as the run's JSON shows them."""
        return {
            kind: {
                "answered": len(statistics.latency_ms),
                "ms": percentiles(statistics.latency_ms, 50, 95, 99, 100, digits=4),
                "retries": statistics.retries,
                "refusals": statistics.refusals,
                "given_up": statistics.given_up,
            }
            for kind, statistics in self.by_kind.items()
        }

    def note_shortage(self, error: BaseException) -> None:
        """Count an error that says that this process has run out of sockets, and nothing of a service."""
        if (lacking := own_shortage(error)) is not None:
            self.own_shortages[lacking] += 1

    async def send(
        self,
        kind: str,
        request: Callable[[], Awaitable[T]],
        retries: Retries,
        clock: Callable[[], float],
        uniform: Callable[[], float],
        *,
        timed: bool = True,
    ) -> T:
        """Make a request, and repeat it with the scenario's pauses where the service could not answer.

        A service that says when to come again (Retry-After) is not asked before that.

        Args:
            kind: under which it is counted, such as "log in".
            request: makes one try.
            retries: the scenario's number of tries and their pauses.
            clock: seconds of the run.
            uniform: the next random number in [0, 1).
            timed: whether the time until the answer measures the service; False where it is a wait for other
                players.

        Raises:
            BackendUnavailableError: after the last try.
            BackendRefusedError: at once.
        """
        statistics = self.by_kind.setdefault(kind, RequestStatistics())
        begun_s = clock()
        pause_s = retries.pause_s
        for tries_left in reversed(range(retries.tries)):
            try:
                answer = await request()
            except BackendUnavailableError as error:
                self.note_shortage(error)
                statistics.refusals += error.retry_after_s is not None
                self.failed_at_s.append(clock())
                if not tries_left:
                    statistics.given_up += 1
                    raise
                statistics.retries += 1
                chosen_s = pause_s * (1.0 + retries.jitter * (2.0 * uniform() - 1.0))
                await asyncio.sleep((error.retry_after_s or 0.0) + chosen_s)  # not all at the same moment
                pause_s = min(pause_s * retries.growth, retries.max_pause_s)
            else:
                if timed:
                    statistics.latency_ms.append((clock() - begun_s) * 1e3)
                return answer
        raise AssertionError("unreachable")
