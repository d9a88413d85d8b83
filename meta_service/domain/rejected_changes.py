"""Changes that the store could not take: set aside with the reason, seen by operators, and sent again.

A change is not lost by being set aside: the cache keeps it until somebody sends it again. What was set aside
only because the worker that read it did not know its kind (it is of a newer release) comes back by itself, as
soon as a worker runs that knows it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis

from meta_service.cache import keys, scripts

UNKNOWN_KIND = "no such kind of change"  # how the reason begins, also that of an older release's worker
PAGE = 500  # entries a round trip


@dataclass(frozen=True, slots=True)
class RejectedChange:
    """One entry that was set aside.

    Attributes:
        entry: its id among the rejected: by this it is shown and sent again.
        rejected_at: Unix seconds, the cache's clock.
        accepted_at: when the change was accepted, likewise.
        reason: what the store said.
        changes: JSON texts by kind.
    """

    entry: str
    rejected_at: float
    accepted_at: float
    reason: str
    changes: dict[str, str]

    @property
    def is_newer(self) -> bool:
        """Whether only its kind was not known: it waits for a worker of a newer release."""
        return self.reason.startswith(UNKNOWN_KIND)


class RejectedChanges:
    """The changes that were set aside in one region's cache. Every method raises redis-py's errors."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._resend = redis.register_script(scripts.source("resend"))
        self._seen = "-"  # up to where `take_back` has looked

    async def newest(self, limit: int) -> list[RejectedChange]:
        """At most ``limit`` of them, the newest first."""
        return [_read(*found) for found in await cast(Any, self._redis.xrevrange(keys.REJECTED, count=limit))]

    async def all(self) -> list[RejectedChange]:
        """Every one, the oldest first."""
        found: list[RejectedChange] = []
        after = "-"
        while page := await self._page(after):
            found += page
            after = f"({page[-1].entry}"
        return found

    async def resend(self, entries: Sequence[str]) -> list[str]:
        """Put them back among the changes that wait; return those that were there, in order.

        A change that is sent again twice, or whose players have changed meanwhile, does no harm: of two
        versions the newest wins, as ever.
        """
        return [
            entry
            for entry in entries
            if await self._resend(keys=[keys.COUNTERS, keys.STREAM, keys.REJECTED], args=[entry])
        ]

    async def take_back(self, kinds: Collection[str]) -> list[str]:
        """Send again what was set aside only for its kind, of which all kinds are known now; return which.

        Looks at each entry once: what it does not know it will not know later.
        """
        taken: list[str] = []
        while page := await self._page(self._seen):
            taken += await self.resend(
                [one.entry for one in page if one.is_newer and one.changes.keys() <= set(kinds)]
            )
            self._seen = f"({page[-1].entry}"
        return taken

    async def _page(self, after: str) -> list[RejectedChange]:
        found = await cast(Any, self._redis.xrange(keys.REJECTED, min=after, count=PAGE))
        return [_read(*one) for one in found]


def _read(entry: str, fields: dict[str, str]) -> RejectedChange:
    changes = dict(fields)
    first, reason = changes.pop("entry"), changes.pop("reason")
    return RejectedChange(entry, _seconds(entry), _seconds(first), reason, changes)


def _seconds(entry: str) -> float:
    return int(entry.partition("-")[0]) / 1000
