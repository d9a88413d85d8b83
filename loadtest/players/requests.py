"""What players asked of the reliable lane: how long each answer took, and how often they had to ask again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from launchday.percentiles import percentiles
from loadtest.players.backend_client import BackendUnavailableError
from loadtest.scenario.players import Retries

T = TypeVar("T")


@dataclass(slots=True)
class RequestStatistics:
    """Requests of one kind: answer times in ms, from the first try to the answer, and the failures on the way."""

    latency_ms: list[float] = field(default_factory=list)
    retries: int = 0
    given_up: int = 0


class RequestLog:
    """All requests of a run, by kind.

    Attributes:
        failed_at_s: when each request that failed did, whatever came of its repetition.
    """

    def __init__(self) -> None:
        self.by_kind: dict[str, RequestStatistics] = {}
        self.failed_at_s: list[float] = []

    def as_json(self) -> dict[str, Any]:
        """For the JSON of the run."""
        return {
            kind: {
                "answered": len(asked.latency_ms),
                "ms": percentiles(asked.latency_ms, 50, 95, 99, 100, digits=4),
                "retries": asked.retries,
                "given_up": asked.given_up,
            }
            for kind, asked in self.by_kind.items()
        }

    async def send(
        self,
        kind: str,
        request: Callable[[], Awaitable[T]],
        retries: Retries,
        clock: Callable[[], float],
        chance: Callable[[], float],
        *,
        timed: bool = True,
    ) -> T:
        """Make a request, and repeat it where the service could not answer, with the scenario's pauses.

        Args:
            chance: the next uniform random number.
            timed: whether the time until the answer says something of the service; not so where it is a wait for other players.

        Raises:
            Unavailable: after the last try.
        """
        asked = self.by_kind.setdefault(kind, RequestStatistics())
        begun_s = clock()
        pause_s = retries.pause_s
        for tries_left in reversed(range(retries.tries)):
            try:
                answer = await request()
            except BackendUnavailableError:
                self.failed_at_s.append(clock())
                if not tries_left:
                    asked.given_up += 1
                    raise
                asked.retries += 1
                await asyncio.sleep(pause_s * (1.0 + retries.jitter * (2.0 * chance() - 1.0)))
                pause_s = min(pause_s * retries.growth, retries.max_pause_s)
            else:
                if timed:
                    asked.latency_ms.append((clock() - begun_s) * 1e3)
                return answer
        raise AssertionError("unreachable")
