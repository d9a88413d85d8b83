"""What a Kafka of yours has to be: asked at services' starts and by ``launchday doctor``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import CoordinationType
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError

from launchday.resilience.bus import Bus, BusAddress, bus_at
from launchday.resilience.bus_handshake import why_not
from launchday.resilience.requirements import Fault, Requirement, enforce
from rewards.errors import BusUnavailableError, TopicsMissingError
from rewards.events.kafka import MAX_BATCH_BYTES
from rewards.events.kafka_clients import answered, close
from rewards.events.logs.identity import TopicsRequest
from rewards.events.rights import RIGHTS, SERVICES, Right, acl_line
from rewards.events.topics import (
    MATCH,
    TOPICS,
    Topic,
    creation_line,
    ensure_topics,
    refused_creations,
    tool_line,
)

PATIENCE_S = 10.0  # of a service that starts: a broker that is away keeps none from starting
ANSWER_MS = 5_000
_BITS = {"Read": 3, "Write": 4, "DescribeConfigs": 10}  # of authorized_operations
_UNKNOWN = -(2**31)  # authorized_operations of a broker that does not say

TOPICS_THERE = Requirement(
    "topics",
    "player, match, progress and dead-letters behind LAUNCHDAY_TOPIC_PREFIX, or the right to create them",
    "events wait on the game servers' disks, and nobody gets any points",
    "{line}",
    True,
)
ALLOWED = Requirement(
    "ACLs",
    "those of each program, see below",
    "it can read or write nothing",
    "{line}",
    True,
)
ONE_PARTITION = Requirement(
    "partitions of match",
    "1",
    "match results have no one order, and ratings come out otherwise whenever the log is read",
    "{delete}, then {create}",
    True,
)
DELETED_BY_AGE = Requirement(
    "cleanup.policy",
    "delete",
    "all events of a player but the last are thrown away",
    "{alter} cleanup.policy=delete",
    True,
)
LARGE_ENOUGH = Requirement(
    "max.message.bytes",
    f"{2 * MAX_BATCH_BYTES} or more",
    "events are refused because the batch that they come in is too large, and are lost",
    f"{{alter}} max.message.bytes={1024 * 1024}",
    True,
)
FEW_IN_SYNC = Requirement(
    "min.insync.replicas",
    "at most the copies that there are, better one less",
    "every event is refused, and waits on the game servers' disks",
    "{alter} min.insync.replicas={wanted}",
    True,
)
TWO_IN_SYNC = Requirement(
    "min.insync.replicas",
    "2, where there are three copies",
    "an event counts as taken that one broker alone has: with it it is lost",
    "{alter} min.insync.replicas=2",
    False,
)
COPIES = Requirement(
    "replication factor",
    "3, where there are as many brokers",
    "events are lost with one broker, or wait while it is away",
    "LAUNCHDAY_KAFKA_REPLICATION=3 before the topics are made; later kafka-reassign-partitions.sh",
    False,
)
CLEAN_LEADERS = Requirement(
    "unclean.leader.election.enable",
    "false",
    "a broker that was behind may lead, and what it had not is lost though it was acknowledged",
    "{alter} unclean.leader.election.enable=false",
    False,
)
KEPT_LONG = Requirement(
    "retention.ms",
    "a week, of dead-letters 30 days, or more; not for ever",
    "what no service has read by then is lost; of what is kept for ever the ids are remembered for ever",
    "{alter} retention.ms={wanted}",
    False,
)
BY_ARRIVAL = Requirement(
    "message.timestamp.type",
    "LogAppendTime",
    "what a game server sends late is deleted before it is read, and wrong clocks are not noticed",
    "{alter} message.timestamp.type=LogAppendTime",
    False,
)

BUS_REQUIREMENTS: tuple[Requirement, ...] = (
    TOPICS_THERE,
    ALLOWED,
    ONE_PARTITION,
    DELETED_BY_AGE,
    LARGE_ENOUGH,
    FEW_IN_SYNC,
    TWO_IN_SYNC,
    COPIES,
    CLEAN_LEADERS,
    KEPT_LONG,
    BY_ARRIVAL,
)

log = structlog.get_logger()


@dataclass(slots=True)
class _Found:
    """What a broker says of one topic; what it does not say is absent."""

    copies: int
    partitions: int
    config: dict[str, str] = field(default_factory=dict)
    operations: int = _UNKNOWN


async def bus_faults(address: BusAddress, prefix: str, programs: Collection[str] = SERVICES) -> list[Fault]:
    """Ask Kafka how our topics are set up and what this user may do, and say what is wrong with that.

    Nothing is created or changed, but by the embedded broker, which makes what it is asked whether it would.
    What a broker does not tell, as without the right DescribeConfigs, is not found wrong.

    Args:
        address: of Kafka.
        prefix: first part of the topics' names.
        programs: those of `RIGHTS` whose rights are looked at.

    Raises BusUnavailableError.
    """
    bus = bus_at(address)
    admin = AIOKafkaAdminClient(**bus.options(), request_timeout_ms=ANSWER_MS)
    wanted = [topic for topic in TOPICS if any(_needs(program, topic) for program in programs)]
    try:
        async with answered(bus, "asking how the topics are set up"):
            await admin.start()
            found = await _ask_topics(admin, {topic.name(prefix) for topic in wanted})
            missing = [topic for topic in wanted if topic.name(prefix) not in found]
            refused = await refused_creations(admin, missing, prefix, bus) if missing else {}
            groups = await _forbidden_groups(admin, prefix, programs)
            brokers = len(admin._client.cluster.brokers())
    finally:
        await close(admin, "checks")
    faults = [
        TOPICS_THERE.fault(f"the topic {name} is missing, and may not be created here", line=line)
        for name, line in refused.items()
    ]
    faults += _faults_of_rights(bus, prefix, programs, found, groups)
    for topic in wanted:
        if (of_topic := found.get(topic.name(prefix))) is not None:
            faults += _faults_of_topic(bus, topic, prefix, of_topic, brokers)
    return faults


def check_bus(bus: Bus, prefix: str, program: str, topics: Sequence[Topic]) -> None:
    """Make the topics that are missing, warn of what may lose events, and end this process with the lines to
    type where it could not work.

    Call it in ``__main__``, before the service's event loop. A broker that is away refuses nothing: the
    service starts, and its ``/readyz`` says so.

    Args:
        bus: Kafka.
        prefix: first part of the topics' names.
        program: whose rights are looked at.
        topics: that it uses.

    Raises SystemExit.
    """
    try:
        faults = asyncio.run(_prepare(bus, prefix, program, topics))
    except (BusUnavailableError, TimeoutError) as away:
        log.warning(
            "Kafka does not answer yet: whether it fits is not known", reason=str(away) or "it is too slow"
        )
        return
    enforce(faults)


async def _prepare(bus: Bus, prefix: str, program: str, topics: Sequence[Topic]) -> list[Fault]:
    async with asyncio.timeout(PATIENCE_S):
        if bus.security != "plaintext" and (reason := await why_not(bus)) is not None:
            raise BusUnavailableError(reason)
        with contextlib.suppress(TopicsMissingError):  # found again below, with a line for each
            await ensure_topics(bus, prefix, topics)
        return await bus_faults(bus, prefix, (program,))


def _needs(program: str, topic: Topic) -> bool:
    return any(right.resource == "topic" and right.suffix == topic.suffix for right in RIGHTS[program])


async def _ask_topics(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, _Found]:
    found = {
        topic["topic"]: _Found(
            copies=min((len(each["replicas"]) for each in topic["partitions"]), default=0),
            partitions=len(topic["partitions"]),
        )
        for topic in await admin.describe_topics()
        if topic["topic"] in names and not topic["error_code"]
    }
    if not found:
        return found
    answer = await admin._send_request(TopicsRequest(sorted(found), operations=True))
    for topic in answer.to_object()["topics"]:
        found[topic["topic"]].operations = topic.get("authorized_operations", _UNKNOWN)
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in found]
    for response in await admin.describe_configs(asked):
        for code, _, _, name, entries, *_ in response.resources:
            if code == 0:
                found[name].config = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
    return found


async def _forbidden_groups(admin: AIOKafkaAdminClient, prefix: str, programs: Collection[str]) -> set[str]:
    forbidden = set()
    for program in programs:
        for right in RIGHTS[program]:
            if right.resource == "group":
                try:
                    await admin._client.coordinator_lookup(CoordinationType.GROUP, right.name(prefix))
                except GroupAuthorizationFailedError:
                    forbidden.add(right.name(prefix))
                except KafkaError:
                    pass  # a group's coordinator is elected when it is first asked for
    return forbidden


def _faults_of_rights(
    bus: Bus, prefix: str, programs: Collection[str], found: Mapping[str, _Found], groups: Collection[str]
) -> Iterator[Fault]:
    """What is forbidden that a program needs, each once."""
    told = set()
    for program in programs:
        for right in RIGHTS[program]:
            name = right.name(prefix)
            for operation in right.operations:
                if (name, operation) not in told and _is_forbidden(right, operation, name, found, groups):
                    told.add((name, operation))
                    yield ALLOWED.fault(
                        f"{program} may not {operation} the {right.resource} {name}",
                        line=acl_line(right, operation, prefix, bus),
                    )


def _is_forbidden(
    right: Right, operation: str, name: str, found: Mapping[str, _Found], groups: Collection[str]
) -> bool:
    if right.resource == "group":
        return name in groups
    if operation == "DescribeConfigs" or name not in found or found[name].operations == _UNKNOWN:
        return False  # without the former we take it that the topics are as we would make them
    return not found[name].operations >> _BITS[operation] & 1


def _faults_of_topic(bus: Bus, topic: Topic, prefix: str, found: _Found, brokers: int) -> Iterator[Fault]:
    name, config = topic.name(prefix), found.config
    alter = " ".join([*tool_line("kafka-configs.sh", bus), "--alter --topic", name, "--add-config"])
    if topic is MATCH and found.partitions != 1:
        delete = " ".join([*tool_line("kafka-topics.sh", bus), "--delete --topic", name])
        yield ONE_PARTITION.fault(
            f"the topic {name} has {found.partitions} partitions",
            delete=delete,
            create=creation_line(topic, prefix, bus),
        )
    if config.get("cleanup.policy", "delete") != "delete":
        yield DELETED_BY_AGE.fault(f"the topic {name} is compacted", alter=alter)
    if _number(config, "max.message.bytes", 2 * MAX_BATCH_BYTES) < 2 * MAX_BATCH_BYTES:
        yield LARGE_ENOUGH.fault(
            f"the topic {name} takes {config['max.message.bytes']} bytes at once", alter=alter
        )
    in_sync = _number(config, "min.insync.replicas", 0)
    copies = f"{found.copies} cop{'y' if found.copies == 1 else 'ies'}"
    if in_sync > found.copies:
        text = f"the topic {name} has {copies}, and {in_sync} have to be in sync"
        yield FEW_IN_SYNC.fault(text, alter=alter, wanted=max(1, found.copies - 1))
    elif in_sync == 1 and found.copies >= 3:
        yield TWO_IN_SYNC.fault(f"the topic {name} has {copies}, of which one has to be in sync", alter=alter)
    if found.copies < min(3, brokers):
        yield COPIES.fault(f"the topic {name} has {copies} on {brokers} brokers")
    if config.get("unclean.leader.election.enable") == "true":
        yield CLEAN_LEADERS.fault(f"the topic {name} may get a leader that lacks events", alter=alter)
    kept_ms = _number(config, "retention.ms", topic.retention_ms)
    if not topic.retention_ms <= kept_ms:
        kept = "for ever" if kept_ms < 0 else f"for {kept_ms / 3_600_000:g} hours"
        yield KEPT_LONG.fault(f"the topic {name} is kept {kept}", alter=alter, wanted=topic.retention_ms)
    if (stamped := config.get("message.timestamp.type", "LogAppendTime")) != "LogAppendTime":
        yield BY_ARRIVAL.fault(f"the topic {name} has its records' times by {stamped}", alter=alter)


def _number(config: Mapping[str, Any], key: str, otherwise: int) -> int:
    try:
        return int(config[key])
    except (KeyError, ValueError):
        return otherwise
