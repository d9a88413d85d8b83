"""What a backend had counted before a run: kept in the file of a part, to be subtracted at its merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from loadtest.flood.watching.counters import RequestCounts

TARGET = "target"  # stands for the services of a target that counts by itself


class LogPosition(msgspec.Struct, frozen=True):
    """Where the end of one log of events was when a part began.

    Attributes:
        topic_id: hexadecimal; "" where the broker has none.
    """

    topic: str
    partition: int
    offset: int
    topic_id: str = ""
    epoch: int = -1


class Before(msgspec.Struct, frozen=True):
    """What the backend had counted before the part's first player came.

    Attributes:
        counters: by service; of a foreign target under the name "target". Empty where nothing can be counted.
        requests: that the services had counted: service → method and route → requests.
        untold: services that did not tell their requests, with why.
        positions: of the logs of events; empty where there are none.
    """

    counters: dict[str, dict[str, Any]] = {}
    requests: dict[str, dict[str, int]] = {}
    untold: dict[str, str] = {}
    positions: list[LogPosition] = []

    @classmethod
    def of(
        cls,
        counters: Mapping[str, Mapping[str, Any]],
        requests: RequestCounts,
        positions: Sequence[LogPosition],
    ) -> Before:
        """What was counted by our own services."""
        return cls(
            {service: dict(counted) for service, counted in counters.items()},
            {
                service: {f"{method} {route}": count for (method, route), count in routes.items()}
                for service, routes in requests.by_service.items()
            },
            dict(requests.missing),
            list(positions),
        )

    @property
    def request_counts(self) -> RequestCounts:
        """The requests that the services had counted."""
        return RequestCounts(
            {
                service: {_route(name): count for name, count in routes.items()}
                for service, routes in self.requests.items()
            },
            self.untold,
        )


def _route(name: str) -> tuple[str, str]:
    method, _, route = name.partition(" ")
    return method, route
