"""The epoch of the regional cache: a number for each life of it, so that a cache that comes back older heals.

A cache may be replaced by older data: a replica that was behind is promoted, a copy is put back, a power cut
takes the last second of the append-only file. The flags that say "the store has been asked" come back with
it. So they hold the number of the epoch in which that was, and in another epoch the store is asked again,
player by player at their next touch, board by board; of each field the newest stays.

A cluster's nodes fail one by one, so each partition has an epoch of its own. Once a second each API process
looks, in two round trips a node, at two things of every partition. Who has it: Valkey's ``run_id`` is another
after each start, its ``master_replid`` after each promotion. Did it go back: every look counts up a beat,
which older data takes back even where the process is the same, as after a virtual machine came back.
Of those that changed the store gives the next numbers, in one statement: one number for one change, whoever
asks first. A partition that moved to another node has changed by this, too, and its players are loaded
anew, without harm.

The same look writes down how many partitions there are, where that was lost with the cache.

Limits: for up to `LOOK_S` after the change the older data is served; what is written meanwhile is newer than
what the store has, field by field, and a session that was ended stays so. While the store is away the old
epoch goes on. What only the cache had (parties, presence, changes that were not stored yet) is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import structlog
from redis.exceptions import RedisError

from launchday.clock import Clock
from launchday.resilience.cache_client import is_cluster
from launchday.resilience.uncut import take_turns
from meta_service.cache import keys, packed, partitions, scripts
from meta_service.cache.cache import Cache
from meta_service.cache.keys import Partition
from meta_service.cache.partitions import PartitionsError
from meta_service.errors import StoreUnavailableError
from meta_service.store.store import Store

LOOK_S = 1.0

# One number for one mark, whoever comes first.
_NEXT_EPOCHS = """
INSERT INTO cache_epochs AS kept (region, epoch, mark, noticed_at)
SELECT region, 1, mark, to_timestamp($3) FROM unnest($1::text[], $2::text[]) AS changed (region, mark)
ORDER BY region
ON CONFLICT (region) DO UPDATE
    SET epoch = kept.epoch + CASE WHEN kept.mark = excluded.mark THEN 0 ELSE 1 END,
        noticed_at = CASE WHEN kept.mark = excluded.mark THEN kept.noticed_at ELSE excluded.noticed_at END,
        mark = excluded.mark
RETURNING region, epoch
"""

log = structlog.get_logger()


class EpochWatch:
    """Keeps ``cache.epochs`` right.

    Args:
        cache: whose epochs they are.
        store: gives the numbers.
        clock: times the looks, and names a change that the cache's identity does not show.
        on_other: is called where the cache turns out to have another number of partitions: it came back after
            this process had started without it, and nothing that is asked of it now would be found.
    """

    def __init__(
        self,
        cache: Cache,
        store: Store,
        clock: Clock,
        on_other: Callable[[PartitionsError], None] | None = None,
    ) -> None:
        self._cache = cache
        self._store = store
        self._clock = clock
        self._on_other = on_other
        self._beats = [0] * len(cache.keys)
        self._node = scripts.ManyScript(cache.redis, "node")

    async def run(self) -> None:
        """Look once a second, for ever; cancel it to stop."""
        away = (RedisError, OSError, StoreUnavailableError)
        await take_turns(self._turn, LOOK_S, self._clock, what="epochs", away=away)

    async def _turn(self) -> None:
        try:
            await self.look()
        except PartitionsError as other:
            log.error("another cache than at the start", reason=str(other))
            if self._on_other is not None:
                self._on_other(other)

    async def look(self) -> None:
        """See whether every partition is still the same.

        Raises PartitionsError, redis-py's errors or StoreUnavailableError.
        """
        all_partitions = self._cache.keys.partitions
        seen = await self._see(all_partitions)
        changed: list[tuple[Partition, str]] = []
        for partition, (identity, recorded, beat) in zip(all_partitions, seen, strict=True):
            number, mark = _parse(recorded)
            went_back, self._beats[partition.number] = beat <= self._beats[partition.number], beat
            if went_back:
                changed.append((partition, f"{identity}#{self._clock.uuid()}"))
            elif mark.partition("#")[0] == identity:
                self._begin(partition, number)
            else:
                changed.append((partition, identity))
        if changed:
            await self._ask_for_numbers(changed)

    async def _see(self, of: Sequence[Partition]) -> list[tuple[str, str | None, int]]:
        """The identity of each partition's node, its recorded epoch, and its beat."""
        redis = self._cache.redis
        asked = of if is_cluster(redis) else of[:1]  # one node is the same for all
        looks = [
            packed.command(keys.PARTITIONS, "SET", keys.PARTITIONS, len(of), "NX"),
            packed.command(keys.PARTITIONS, "GET", keys.PARTITIONS),
        ]
        for each in of:
            looks.append(packed.command(each.epoch, "GET", each.epoch))
            looks.append(packed.command(each.beat, "INCR", each.beat))
        identities = await self._node.run_each(((each.epoch,), ()) for each in asked)
        _, count, *answers = await packed.ask(redis, looks)
        partitions.check(int(count or len(of)), len(of))
        return [
            (str(identity), recorded, int(beat))
            for identity, recorded, beat in zip(
                identities * (len(of) // len(asked)), answers[::2], answers[1::2], strict=True
            )
        ]

    async def _ask_for_numbers(self, changed: Sequence[tuple[Partition, str]]) -> None:
        names = {self._region(partition): (partition, mark) for partition, mark in changed}
        marks = [mark for _, mark in names.values()]
        rows = await self._store.change(_NEXT_EPOCHS, list(names), marks, self._clock.now())
        numbered = [(*names[row["region"]], int(row["epoch"])) for row in rows]
        await packed.ask(
            self._cache.redis,
            [
                packed.command(partition.epoch, "SET", partition.epoch, f"{epoch} {mark}")
                for partition, mark, epoch in numbered
            ],
        )
        log.info("cache epoch", partitions=len(numbered), epochs=_range(epoch for *_, epoch in numbered))
        for partition, _, epoch in numbered:
            self._begin(partition, epoch)

    def _region(self, partition: Partition) -> str:
        """The partition's name in the store: the region's, of others than the home one with the number."""
        return f"{self._cache.region}#{partition.number}" if partition.number else self._cache.region

    def _begin(self, partition: Partition, epoch: int) -> None:
        number = partition.number
        self._cache.epochs[number] = max(self._cache.epochs[number], epoch)


def _parse(recorded: str | None) -> tuple[int, str]:
    number, _, mark = (recorded or "0 ").partition(" ")
    return int(number), mark


def _range(epochs: Iterable[int]) -> str:
    found = sorted(set(epochs))
    return f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"
