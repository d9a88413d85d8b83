"""The HTTP requests of all players: how long each answer took, and how often it had to be repeated."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from launchday.percentiles import percentiles
from launchday.resilience.exhaustion import own_shortage
from loadtest.errors import BackendRefusedError, BackendUnavailableError
from loadtest.scenario.players import Retries

T = TypeVar("T")


@dataclass(slots=True)
class RequestStatistics:
    """Requests of one kind.

    Attributes:
        latency_ms: from the first try to the answer, of each that is timed.
        untimed: those that are not timed, answered or taken back by the player.
        given_up_ms: from the first try to the last, of those timed ones that had no answer.
        cut_off_ms: from the first try to the end of the run, of those timed ones that were still under way.
        retries: tries that failed and were repeated.
        refusals: those of the failed tries in which the service said when to come again.
        given_up: requests whose last try failed.
        refused_for_good: requests that the service refused whoever asks again.
    """

    latency_ms: list[float] = field(default_factory=list)
    untimed: int = 0
    given_up_ms: list[float] = field(default_factory=list)
    cut_off_ms: list[float] = field(default_factory=list)
    retries: int = 0
    refusals: int = 0
    given_up: int = 0
    refused_for_good: int = 0

    @property
    def times_ms(self) -> list[float]:
        """How long each timed request took: those answered, then those given up, then those cut off, which
        count with the time that they took at least.
        """
        return [*self.latency_ms, *self.given_up_ms, *self.cut_off_ms]

    @property
    def sent(self) -> int:
        """Tries that were made, also those that were still under way at the end of the run."""
        answered = len(self.latency_ms) + self.untimed
        return answered + self.refused_for_good + self.retries + self.given_up + len(self.cut_off_ms)


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

    def times_s(
        self, kind: str
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """How long the requests of a kind took.

        Returns:
            float64[requests]: seconds, at least; bool[requests]: whether it had no answer; bool[requests]:
            whether the end of the run cut it off. All empty where there was no such request.
        """
        found = self.by_kind.get(kind, RequestStatistics())
        times_s = np.array(found.times_ms, np.float64) / 1e3
        place = np.arange(len(times_s))
        return times_s, place >= len(found.latency_ms), place >= len(times_s) - len(found.cut_off_ms)

    def as_json(self) -> dict[str, Any]:
        """The figures by kind of request that was timed, as the run's JSON shows them.

        The times are those of all requests: one that was given up counts with the time that it took.
        """
        return {
            kind: {
                "answered": len(statistics.latency_ms),
                "ms": percentiles(statistics.times_ms, 50, 95, 99, 100, digits=4),
                "retries": statistics.retries,
                "refusals": statistics.refusals,
                "given_up": statistics.given_up,
            }
            for kind, statistics in self.by_kind.items()
            if statistics.times_ms
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
        try:
            answer = await self._try(statistics, request, retries, clock, uniform)
        except (asyncio.CancelledError, BackendUnavailableError) as error:
            if timed:
                ended = statistics.given_up_ms
                if isinstance(error, asyncio.CancelledError):
                    ended = statistics.cut_off_ms
                ended.append((clock() - begun_s) * 1e3)
            elif isinstance(error, asyncio.CancelledError):
                statistics.untimed += 1
            raise
        except BackendRefusedError:
            statistics.refused_for_good += 1
            raise
        if timed:
            statistics.latency_ms.append((clock() - begun_s) * 1e3)
        else:
            statistics.untimed += 1
        return answer

    async def _try(
        self,
        statistics: RequestStatistics,
        request: Callable[[], Awaitable[T]],
        retries: Retries,
        clock: Callable[[], float],
        uniform: Callable[[], float],
    ) -> T:
        pause_s = retries.pause_s
        for tries_left in reversed(range(retries.tries)):
            try:
                return await request()
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
        raise AssertionError("unreachable")
