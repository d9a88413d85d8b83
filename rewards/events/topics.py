"""The topics: names, keys, partitions and retention in one table, and their creation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from launchday.resilience.bus import Bus, BusAddress, bus_at
from rewards.errors import BusUnavailableError, TopicsMissingError
from rewards.events.kafka_clients import answered, close
from rewards.events.kinds import ENVELOPE_KEYS, KINDS

DAY_MS = 24 * 3600 * 1000
_TOPIC_EXISTS = 36  # Kafka's error code TOPIC_ALREADY_EXISTS
_BAD_REPLICATION = 38  # INVALID_REPLICATION_FACTOR
_FORBIDDEN = (29, 31, 44)  # TOPIC_ and CLUSTER_AUTHORIZATION_FAILED, POLICY_VIOLATION
_TIMEOUT_MS = 10_000
_RETENTION = "retention.ms"
_SEGMENT = "segment.ms"
_FOR_EVER_MS = 100 * 365 * DAY_MS  # what −1 means


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    Attributes:
        suffix: its name after the prefix and a dot.
        partitions: the largest number of consumers that can share the work. Fixed: a change would move keys
            to other partitions.
        retention_ms: how long records stay. The inbox must remember event ids for longer than this.
    """

    suffix: str
    partitions: int
    retention_ms: int

    def name(self, prefix: str) -> str:
        """Return the full name under ``prefix``."""
        return f"{prefix}.{self.suffix}"

    @property
    def configs(self) -> dict[str, str]:
        """What it is configured with, as Kafka calls it."""
        return {
            _RETENTION: str(self.retention_ms),
            # The retention counts from a record's arrival. By the events' own time, Kafka would delete what
            # a spool delivers late before anybody has read it, and would refuse the events of a server whose
            # clock is an hour ahead.
            "message.timestamp.type": "LogAppendTime",
            # A log is deleted by whole segments: with the default of a week a record may stay for two
            # retentions.
            _SEGMENT: str(DAY_MS),
        }


PLAYER = Topic("player", partitions=8, retention_ms=7 * DAY_MS)
# One partition, so that match results have one order: ratings depend on it, and come out the same whenever
# the log is read. A hundred thousand players in twenty-minute matches of a hundred end 50 matches a minute;
# one partition takes thousands of records a second.
MATCH = Topic("match", partitions=1, retention_ms=7 * DAY_MS)
# What rewards publishes. Rewards does not read it: no points depend on it.
PROGRESS = Topic("progress", partitions=4, retention_ms=7 * DAY_MS)
DEAD_LETTERS = Topic("dead-letters", partitions=1, retention_ms=30 * DAY_MS)

TOPICS = (PLAYER, MATCH, PROGRESS, DEAD_LETTERS)
REWARDS_TOPICS = (PLAYER, MATCH)
"""The topics that the rewards service consumes."""
EVENT_TOPICS = (PLAYER, MATCH, PROGRESS)
"""The topics that carry events: what analytics reads."""

BY_MATCH, BY_SERVER = ENVELOPE_KEYS

_OF_SUFFIX = {topic.suffix: topic for topic in EVENT_TOPICS}

ROUTING: Mapping[str, tuple[Topic, str]] = MappingProxyType(
    {kind.name: (_OF_SUFFIX[kind.topic], kind.key) for kind in KINDS.values()}
)
"""Kind of event → topic, and the field of the key: the envelope's (BY_MATCH, BY_SERVER) or the event's."""


async def partitions_of(bus: BusAddress, topic: str) -> list[int]:
    """The numbers of a topic's partitions; none where there is no such topic. Raises BusUnavailableError.

    It asks for all topics: to ask a broker for one that is missing may create it. A consumer does not know
    the partitions of a topic before it has subscribed to it.
    """
    admin = AIOKafkaAdminClient(**bus_at(bus).options(), request_timeout_ms=_TIMEOUT_MS)
    try:
        async with answered(bus, f"looking for the topic {topic}"):
            await admin.start()
            topics = await admin.describe_topics()
    finally:
        await close(admin, "topics")
    return sorted(
        partition["partition"]
        for found in topics
        if found["topic"] == topic
        for partition in found["partitions"]
    )


async def retention_s(bus: BusAddress, prefix: str, topics: Collection[Topic]) -> float:
    """How long a broker keeps the records of these topics, the shortest; ours where it does not say.

    The embedded broker does not say, and keeps everything.
    """
    told = await _told(bus, [topic.name(prefix) for topic in topics], _RETENTION)
    return min(told.get(topic.name(prefix), topic.retention_ms) for topic in topics) / 1000


async def longest_kept_s(bus: BusAddress, prefix: str, topics: Collection[Topic]) -> float:
    """How long a record of these topics can still be read at most: retention and segment, ours if not said.

    A broker deletes a whole segment, when the newest record in it is older than the retention.
    """
    names = [topic.name(prefix) for topic in topics]
    retentions = await _told(bus, names, _RETENTION)
    segments = await _told(bus, names, _SEGMENT)
    return (
        max(
            retentions.get(topic.name(prefix), topic.retention_ms) + segments.get(topic.name(prefix), DAY_MS)
            for topic in topics
        )
        / 1000
    )


async def _told(bus: BusAddress, topics: Collection[str], key: str) -> dict[str, int]:
    """A number of milliseconds of topics' configuration, of those of which the broker tells it."""
    admin = AIOKafkaAdminClient(**bus_at(bus).options(), request_timeout_ms=_TIMEOUT_MS)
    wanted = [ConfigResource(ConfigResourceType.TOPIC, name, {key: None}) for name in topics]
    found: dict[str, int] = {}
    try:
        async with answered(bus, "asking how long topics are kept"):
            await admin.start()
            for response in await admin.describe_configs(wanted):
                for code, _, _, name, entries, *_ in response.resources:
                    if code == 0 and (told := {entry[0]: entry[1] for entry in entries}.get(key)):
                        found[name] = int(told) if int(told) >= 0 else _FOR_EVER_MS
    except BusUnavailableError:
        pass
    finally:
        await close(admin, "topics")
    return found


async def ensure_topics(bus: BusAddress, prefix: str, topics: Collection[Topic] = TOPICS) -> None:
    """Create those of these topics that are missing, and leave the others as they are.

    A topic of which this user may know nothing looks as if it were missing: ask for those that are used.

    Raises:
        TopicsMissingError: some are missing, and creating them is forbidden.
        BusUnavailableError: the broker does not answer, or refuses for another reason.
    """
    bus = bus_at(bus)
    admin = AIOKafkaAdminClient(**bus.options(), request_timeout_ms=_TIMEOUT_MS)
    refused: dict[str, int] = {}
    try:
        async with answered(bus, "creating the topics"):
            await admin.start()
            # Asked for all: to ask for one that is missing may create it. Those there are ask for no right.
            there = {found["topic"] for found in await admin.describe_topics()}
            missing = [topic for topic in topics if topic.name(prefix) not in there]
            if missing:
                refused = await _create(admin, missing, prefix, bus.replication)
            if _BAD_REPLICATION in refused.values() and len(admin._client.cluster.brokers()) == 1:
                # A broker that knows no default; one has room for one copy.
                left = [topic for topic in missing if topic.name(prefix) in refused]
                refused = await _create(admin, left, prefix, 1)
    finally:
        await close(admin, "topics")
    if forbidden := [topic for topic in topics if refused.get(topic.name(prefix)) in _FORBIDDEN]:
        raise TopicsMissingError(
            [(topic.name(prefix), creation_line(topic, prefix, bus)) for topic in forbidden]
        )
    for name, code in refused.items():
        raise BusUnavailableError(f"cannot create the topic {name}: {for_code(code).__name__}")


async def refused_creations(
    admin: AIOKafkaAdminClient, topics: Collection[Topic], prefix: str, bus: Bus
) -> dict[str, str]:
    """Which of these topics may not be created, and the line that does it. Raises KafkaError."""
    codes = await _create(admin, topics, prefix, bus.replication, pretend=True)
    return {
        topic.name(prefix): creation_line(topic, prefix, bus)
        for topic in topics
        if codes.get(topic.name(prefix)) in _FORBIDDEN
    }


async def _create(
    admin: AIOKafkaAdminClient,
    topics: Collection[Topic],
    prefix: str,
    replication: int,
    *,
    pretend: bool = False,
) -> dict[str, int]:
    """Create topics; return Kafka's error codes of those that are not there after that. Raises KafkaError."""
    wanted = []
    for topic in topics:
        new = NewTopic(topic.name(prefix), topic.partitions, 1, topic_configs=dict(topic.configs))
        new.replication_factor = replication  # which takes no −1 when it is made
        wanted.append(new)
    response = await admin.create_topics(wanted, validate_only=pretend)
    return {name: code for name, code, *_ in response.topic_errors if code not in (0, _TOPIC_EXISTS)}


def creation_line(topic: Topic, prefix: str, bus: Bus) -> str:
    """What whoever may create topics types to make this one."""
    words = [*tool_line("kafka-topics.sh", bus), "--create", "--topic", topic.name(prefix)]
    words += ["--partitions", str(topic.partitions)]
    if bus.replication > 0:
        words += ["--replication-factor", str(bus.replication)]
    words += [f"--config {key}={value}" for key, value in topic.configs.items()]
    return " ".join(words)


def tool_line(tool: str, bus: Bus) -> list[str]:
    """The beginning of a line for one of Kafka's own tools."""
    login = [] if bus.security == "plaintext" else ["--command-config", "admin.properties"]
    return [tool, "--bootstrap-server", str(bus), *login]
