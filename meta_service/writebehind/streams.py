"""The streams of accepted changes, one a partition, as a worker reads them: many at once, each entry
acknowledged where it came from.

On one node a read is one command over all streams, which waits there for the first change. On a cluster it is
a command a stream, one round trip a node, that does not wait: then the worker pauses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from launchday.resilience.cache_client import is_cluster, send_packed
from meta_service.cache import keys as names
from meta_service.cache import packed, scripts
from meta_service.cache.keys import CONSUMER_GROUP, Keys, Partition

MAX_BATCH = 1000  # changes a transaction: past some hundreds the cost of a change no longer falls
READ_BLOCK_S = 0.5  # how long one read on one node waits for the first change
NEW = ">"
TAKEN = "0"


class Entry(NamedTuple):
    """One entry of a stream.

    Attributes:
        partition: whose stream.
        id: in that stream.
        changes: JSON texts by kind.
    """

    partition: Partition
    id: str
    changes: dict[str, str]


class ChangeStreams:
    """Every partition's stream, for one worker. Errors are redis-py's.

    Args:
        redis: a client of the region's cache.
        keys: the cache's.
        name: under which the streams remember what this worker has taken; kept over restarts.

    Attributes:
        waits: whether a read waits for the first change.
        more: whether the last read left changes behind.
    """

    def __init__(self, redis: Redis, keys: Keys, name: str) -> None:
        self._redis = redis
        self._keys = keys
        self._name = name
        self._by_stream = {each.stream: each for each in keys.partitions}
        self._most = max(MAX_BATCH // len(keys), 1)  # entries of one stream that a read takes
        self._acknowledge = scripts.ManyScript(redis, "acknowledge")
        self._reject = scripts.ManyScript(redis, "reject")
        self.waits = not is_cluster(redis)
        self.more = False

    async def join(self) -> None:
        """Make the group of the workers where a stream has none, and follow an earlier release's names."""
        answers = await send_packed(
            self._redis,
            [
                packed.command(each.stream, "XGROUP", "CREATE", each.stream, CONSUMER_GROUP, "0", "MKSTREAM")
                for each in self._keys.partitions
            ],
        )
        for answer in answers:
            if isinstance(answer, Exception) and "BUSYGROUP" not in str(answer):
                raise answer
        home = self._keys.home
        (answer,) = await send_packed(
            self._redis,
            [packed.command(home.counters, "RENAMENX", names.OLD_COUNTERS, home.counters)],
        )
        if isinstance(answer, Exception) and not isinstance(answer, ResponseError):
            raise answer  # of the others: only a cache of an earlier version has them

    async def read(self, after: str) -> list[Entry]:
        """The next changes: NEW, those nobody has taken, or TAKEN, those this worker took and did not finish.

        They are about MAX_BATCH; streams with many take the place of those with few, from read to read.
        """
        most = self._most
        answers = await (self._read_waiting if self.waits else self._read_each)(after, most)
        found: list[Entry] = []
        busy = 0
        self.more = False
        for stream, entries in answers:
            found += _entries(self._by_stream[stream], entries)
            busy += bool(entries)
            self.more |= len(entries) >= most
        if busy:
            self._most = max(min(MAX_BATCH // busy, 2 * most), 1)
        return found

    async def claim(self, idle_s: float) -> list[Entry]:
        """Take over what other workers have taken and not finished for ``idle_s`` seconds."""
        answers = await packed.ask(
            self._redis,
            [
                packed.command(
                    *(each.stream, "XAUTOCLAIM", each.stream, CONSUMER_GROUP, self._name),
                    *(int(idle_s * 1000), "0-0", "COUNT", self._most),
                )
                for each in self._keys.partitions
            ],
        )
        return [
            entry
            for partition, (_, claimed, *_) in zip(self._keys.partitions, answers, strict=True)
            for entry in _entries(partition, claimed)
        ]

    async def acknowledge(self, entries: Sequence[Entry], refused: int, waited_ms: int) -> None:
        """Take stored changes out of their streams, and count them.

        Args:
            entries: what is stored.
            refused: results among them that the store refused; counted in one of the partitions.
            waited_ms: how long the oldest of them had waited.
        """
        ids: dict[Partition, list[str]] = {}
        for entry in entries:
            ids.setdefault(entry.partition, []).append(entry.id)
        most = max(ids, key=lambda partition: len(ids[partition]))
        await self._acknowledge.run_each(
            (
                (partition.counters, partition.stream),
                (CONSUMER_GROUP, refused if partition is most else 0, waited_ms, *of),
            )
            for partition, of in ids.items()
        )
        home = self._keys.home
        if home not in ids:  # readers look there for it
            await cast(Any, self._redis.hset(home.counters, "writebehind_lag_ms", str(waited_ms)))

    async def reject(self, entry: Entry, reason: str) -> None:
        """Set a change aside that the store cannot take, with the reason."""
        partition = entry.partition
        flat = [part for pair in entry.changes.items() for part in pair]
        await self._reject.run_each(
            [
                (
                    (partition.counters, partition.stream, partition.rejected),
                    (CONSUMER_GROUP, entry.id, reason, *flat),
                )
            ]
        )

    async def _read_waiting(self, after: str, most: int) -> Iterable[tuple[str, Sequence[Any]]]:
        answer = await cast(
            Any,
            self._redis.xreadgroup(
                CONSUMER_GROUP,
                self._name,
                dict.fromkeys(self._by_stream, after),
                count=most,
                block=int(READ_BLOCK_S * 1000),
            ),
        )
        return _streams(answer)

    async def _read_each(self, after: str, most: int) -> Iterable[tuple[str, Sequence[Any]]]:
        answers = await packed.ask(
            self._redis,
            [
                packed.command(
                    *(stream, "XREADGROUP", "GROUP", CONSUMER_GROUP, self._name),
                    *("COUNT", most, "STREAMS", stream, after),
                )
                for stream in self._by_stream
            ],
        )
        return (each for answer in answers for each in _streams(answer))


def _streams(answer: Any) -> Iterable[tuple[str, Sequence[Any]]]:
    """The streams of an answer to XREADGROUP, with their entries; RESP3 or RESP2."""
    return (answer.items() if isinstance(answer, dict) else answer) if answer else ()


def _entries(partition: Partition, entries: Iterable[Any]) -> list[Entry]:
    """Entries of a stream, as redis-py reads them or as they are; without those that are gone meanwhile."""
    return [Entry(partition, id_, _changes(fields)) for id_, fields in entries if fields]


def _changes(fields: Any) -> dict[str, str]:
    return fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
