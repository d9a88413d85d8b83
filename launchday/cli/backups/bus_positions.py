"""What is in the bus while a backup is made: where each topic ends, and how far its readers are.

Events are not saved: the bus keeps them, and a restored backend reads on where its readers were. So the
backup waits until they have read what the bus had when it began, as far as that takes no longer than it
may; then nothing older than the backup is in the bus alone, and even a bus that is lost with all the rest
costs nothing older than it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from launchday.resilience.bus import BusAddress
from rewards.events.kafka_clients import answered, reader
from rewards.events.logs.identity import identify
from rewards.events.topics import EVENT_TOPICS, REWARDS_TOPICS, TOPICS, partitions_of

Place = tuple[str, int]
"""A topic and a partition of it."""


@dataclass(frozen=True, slots=True)
class End:
    """Where a partition ends.

    Attributes:
        next_offset: of the record that comes next.
        log: the id of its topic, where the broker tells it.
    """

    next_offset: int
    log: str | None


async def ends(bus: BusAddress, prefix: str) -> dict[Place, End]:
    """Where every partition of our topics ends. Raises BusUnavailableError."""
    names = [topic.name(prefix) for topic in TOPICS]
    places = [TopicPartition(name, number) for name in names for number in await partitions_of(bus, name)]
    if not places:
        return {}
    what = "finding where the topics end"
    async with reader(bus, what) as kafka, answered(bus, what):
        kafka.assign(places)
        found = await kafka.end_offsets(places)
        logs = await identify(kafka, places)
    return {
        (place.topic, place.partition): End(
            offset, str(known.topic_id) if (known := logs.get(place)) and known.topic_id else None
        )
        for place, offset in found.items()
    }


def unread(ends: Mapping[Place, End], read: Mapping[Place, int], topics: Sequence[str]) -> int:
    """How many records of some topics lie behind what was read."""
    return sum(
        max(0, end.next_offset - read.get(place, 0)) for place, end in ends.items() if place[0] in topics
    )


def of_rewards(prefix: str) -> list[str]:
    """The topics that rewards reads."""
    return [topic.name(prefix) for topic in REWARDS_TOPICS]


def of_analytics(prefix: str) -> list[str]:
    """The topics that analytics reads."""
    return [topic.name(prefix) for topic in EVENT_TOPICS]


def as_rows(ends: Mapping[Place, End], rewards: Mapping[Place, int]) -> list[dict[str, Any]]:
    """A row a partition for the manifest."""
    return [
        {
            "topic": topic,
            "partition": partition,
            "end": end.next_offset,
            "log": end.log,
            "rewards_next": rewards.get((topic, partition)),
        }
        for (topic, partition), end in sorted(ends.items())
    ]
