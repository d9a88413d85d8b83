"""An independent count of events: what is on the Kafka topics, read by a consumer of our own.

It asks neither the game servers that send the events nor the rewards service that applies them, so the ledger
compares independent counts, and the report says who won by what the matches themselves told. A producer
without idempotence may write an event twice: each event id counts once, and repeats are counted apart.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import UUID

from aiokafka import TopicPartition
from google.protobuf.message import DecodeError

from launchday.resilience.bus import BusAddress
from loadtest.background import background
from loadtest.errors import BackendError
from loadtest.flood.parts.before import LogPosition
from rewards.events import REWARDS_TOPICS, Envelope, EventsError, ensure_topics
from rewards.events.kafka_clients import answered, reader
from rewards.events.logs.follower import LogFollower
from rewards.events.logs.gaps import Gap
from rewards.events.logs.identity import LogIdentity
from rewards.events.topics import partitions_of

POLL_MS = 200
MAX_RECORDS = 2_000


@dataclass(frozen=True, slots=True)
class MatchResult:
    """What a match told at its end.

    Attributes:
        mode: it was played in.
        team_placements: team → its placement; 1 won.
    """

    mode: str
    team_placements: Mapping[int, int]


class EventCounter:
    """Counts the events that reach the topics while the context lasts.

    Args:
        bus: Kafka's, or host:port,… of it.
        prefix: the first part of the topics' names.
        since: where to begin, as another counter told in ``began_at``; None: at the present end.

    Attributes:
        kills: distinct Kill events.
        repeats: events whose id was seen before.
        unreadable: records that are no events.
        by_match: match id → kills.
        by_player: player id of the killer → kills.
        deaths_by_player: player id of the victim → deaths, whatever the cause.
        kinds: match id → kind of event → how many.
        results: match id → what the match told at its end.
        began_at: where the logs were when counting began.
    """

    def __init__(self, bus: BusAddress, prefix: str, since: Sequence[LogPosition] | None = None) -> None:
        self.kills = 0
        self.repeats = 0
        self.unreadable = 0
        self.by_match: dict[str, int] = {}
        self.by_player: dict[int, int] = {}
        self.deaths_by_player: dict[int, int] = {}
        self.kinds: dict[str, Counter[str]] = {}
        self.results: dict[str, MatchResult] = {}
        self.began_at: list[LogPosition] = []
        self._since = since
        self._bus = bus
        self._prefix = prefix
        self._seen: set[bytes] = set()
        self._log: LogFollower | None = None
        self._stack = contextlib.AsyncExitStack()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start at the present end of the topics, or where it was told to, and create topics that are
        missing. Raises BackendError.
        """
        if not str(self._bus):
            raise BackendError("no Kafka to count events in: set LAUNCHDAY_KAFKA_BOOTSTRAP to the backend's")
        try:
            await ensure_topics(self._bus, self._prefix, REWARDS_TOPICS)
            topics = [topic.name(self._prefix) for topic in REWARDS_TOPICS]
            partitions = [
                TopicPartition(topic, number)
                for topic in topics
                for number in await partitions_of(self._bus, topic)
            ]
            consumer = await self._stack.enter_async_context(
                reader(self._bus, "counting events", auto_offset_reset="earliest")  # nobody's offsets move
            )
            self._log = LogFollower(consumer, "flood", topics)
            async with answered(self._bus, "going to the end of the topics"):
                if self._since is None:
                    await self._log.begin(partitions, at_end=True)
                else:
                    await self._log.begin_at(_positions(self._since))
            self.began_at = [
                LogPosition(log.topic, log.partition, offset, _hex(identity.topic_id), identity.epoch)
                for log, (offset, identity) in self._log.positions().items()
            ]
        except EventsError as error:
            await self._stack.aclose()
            raise BackendError(f"Kafka at {self._bus} cannot be read: {error}") from error
        except BaseException:
            await self._stack.aclose()
            raise
        self._task = await self._stack.enter_async_context(background(self._count(), "counting events"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def gaps(self) -> Sequence[Gap]:
        """What was found in the logs: places where they had been cut, truncated or made anew meanwhile."""
        return () if self._log is None else self._log.gaps

    def failure(self) -> str | None:
        """Why counting has stopped; None while it goes on."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return f"the count of events stopped: {self._task.exception()}"

    async def _count(self) -> None:
        assert self._log is not None
        while True:
            for record in await self._log.poll(POLL_MS, MAX_RECORDS):
                self.count_record(record.value)

    def count_record(self, value: bytes | None) -> None:
        """Count one record's value."""
        try:
            envelope = Envelope.FromString(value or b"")
        except DecodeError:
            self.unreadable += 1
            return
        if envelope.event_id in self._seen:
            self.repeats += 1
            return
        self._seen.add(envelope.event_id)
        kind = envelope.WhichOneof("event") or ""
        match_id = str(UUID(bytes=envelope.match_id)) if len(envelope.match_id) == 16 else ""
        self.kinds.setdefault(match_id, Counter())[kind] += 1
        if kind == "kill":
            self.kills += 1
            self.by_match[match_id] = self.by_match.get(match_id, 0) + 1
            killer = envelope.kill.killer_id
            self.by_player[killer] = self.by_player.get(killer, 0) + 1
        elif kind == "death":
            victim = envelope.death.victim_id
            self.deaths_by_player[victim] = self.deaths_by_player.get(victim, 0) + 1
        elif kind == "match_ended":
            ended = envelope.match_ended
            placements = {int(each.team): int(each.placement) for each in ended.placements}
            self.results[match_id] = MatchResult(ended.mode, placements)


def _positions(since: Sequence[LogPosition]) -> dict[TopicPartition, tuple[int, LogIdentity]]:
    return {
        TopicPartition(log.topic, log.partition): (
            log.offset,
            LogIdentity(UUID(hex=log.topic_id) if log.topic_id else None, log.epoch),
        )
        for log in since
    }


def _hex(topic_id: UUID | None) -> str:
    return "" if topic_id is None else topic_id.hex
