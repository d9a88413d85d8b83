"""Changes that the store could not take: set aside with the reason, seen by operators, and sent again.

A change is not lost by being set aside: the cache keeps it until somebody sends it again. What was set aside
only because the worker that read it did not know its kind (it is of a newer release) comes back by itself, as
as soon as a worker runs that knows it.

Each partition sets its own aside. An entry is shown by its id in the partition's stream, and behind a point
the partition's number, unless that is the home one: ``1796083200000-0.17``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from meta_service.cache import packed, scripts
from meta_service.cache.keys import ONE, Keys, Partition

UNKNOWN_KIND = "no such kind of change"  # how the reason begins, also that of an older release's worker
PAGE = 500  # entries a round trip


@dataclass(frozen=True, slots=True)
class RejectedChange:
    """One entry that was set aside.

    Attributes:
        entry: by this it is shown and sent again.
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
    """The changes that were set aside in one region's cache. Every method raises redis-py's errors.

    Args:
        redis: a client of the cache.
        keys: the cache's.
    """

    def __init__(self, redis: Redis, keys: Keys = ONE) -> None:
        self._redis = redis
        self._keys = keys
        self._resend = scripts.ManyScript(redis, "resend")
        self._seen = ["-"] * len(keys)  # up to where `take_back` has looked, by partition

    async def newest(self, limit: int) -> list[RejectedChange]:
        """At most ``limit`` of them, the newest first."""
        partitions = self._keys.partitions
        pages = await packed.ask(
            self._redis,
            [
                packed.command(each.rejected, "XREVRANGE", each.rejected, "+", "-", "COUNT", limit)
                for each in partitions
            ],
        )
        found = [
            _read(partition, *one) for partition, page in zip(partitions, pages, strict=True) for one in page
        ]
        return sorted(found, key=lambda one: one.rejected_at, reverse=True)[:limit]

    async def all(self) -> list[RejectedChange]:
        """Every one, the oldest first."""
        found: list[RejectedChange] = []
        after = ["-"] * len(self._keys)
        while page := await self._next(after):
            found += page
        return sorted(found, key=lambda one: one.rejected_at)

    async def resend(self, entries: Sequence[str]) -> list[str]:
        """Put them back among the changes that wait; return those that were there, in order.

        A change that is sent again twice, or whose players have changed meanwhile, does no harm: of two
        versions the newest wins, as ever.
        """
        placed = [(entry, *self._place(entry)) for entry in entries]
        there = [(entry, partition, id_) for entry, partition, id_ in placed if partition is not None]
        answers = await self._resend.run_each(
            ((each.counters, each.stream, each.rejected), (id_,)) for _, each, id_ in there
        )
        return [entry for (entry, _, _), sent in zip(there, answers, strict=True) if sent]

    async def take_back(self, kinds: Collection[str]) -> list[str]:
        """Send again what was set aside only for its kind, of which all kinds are known now; return which.

        Looks at each entry once: what it does not know it will not know later.
        """
        taken: list[str] = []
        after = list(self._seen)
        while page := await self._next(after):
            taken += await self.resend(
                [one.entry for one in page if one.is_newer and one.changes.keys() <= set(kinds)]
            )
            self._seen = list(after)
        return taken

    async def _next(self, after: list[str]) -> list[RejectedChange]:
        """The next ones of every partition, the oldest of each first; ``after`` is moved behind them."""
        partitions = self._keys.partitions
        pages = await packed.ask(
            self._redis,
            [
                packed.command(each.rejected, "XRANGE", each.rejected, since, "+", "COUNT", PAGE)
                for each, since in zip(partitions, after, strict=True)
            ],
        )
        found = []
        for partition, page in zip(partitions, pages, strict=True):
            if page:
                after[partition.number] = f"({page[-1][0]}"
                found += [_read(partition, *one) for one in page]
        return found

    def _place(self, entry: str) -> tuple[Partition | None, str]:
        """Where an entry is, and its id there; no partition where there is no such one."""
        id_, _, number = entry.partition(".")
        at = int(number or 0)
        return self._keys.partitions[at] if at < len(self._keys) else None, id_


def _read(partition: Partition, id_: str, flat: Sequence[str]) -> RejectedChange:
    changes = dict(zip(flat[::2], flat[1::2], strict=True))
    first, reason = changes.pop("entry"), changes.pop("reason")
    entry = f"{id_}.{partition.number}" if partition.number else id_
    return RejectedChange(entry, _seconds(id_), _seconds(first), reason, changes)


def _seconds(entry: str) -> float:
    return int(entry.partition("-")[0]) / 1000
