"""Which log a partition is now: its topic's id and its leader's epoch, as the partition's leader tells them.

A topic that is made anew has another id, and an elected leader another epoch. aiokafka asks for metadata of
version 5, which has neither; this asks for version 10, over aiokafka's own connections. What was fetched
before the question was put is of the log that the answer names, or of an earlier one, never of a later one:
a broker takes up a new topic in its metadata before it serves its log.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import NodeNotReadyError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_METADATA = 3  # Kafka's key of the request
_OWN_CONNECTION = 2  # aiokafka has 0 and 1; on those an answer would wait for a fetch's long poll
_NOBODY = uuid.UUID(int=0)  # what stands for "no id"


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Which log a partition is.

    Attributes:
        topic_id: of its topic; None from a broker without ids (Kafka before 2.8).
        epoch: how often a leader was elected; −1 where the broker does not say.
    """

    topic_id: uuid.UUID | None
    epoch: int


async def identify(
    kafka: AIOKafkaConsumer, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, LogIdentity]:
    """Ask which logs these partitions are; those that there are not are absent.

    Args:
        kafka: a started consumer, which may be reading meanwhile.
        partitions: of any topics.

    Raises KafkaError.
    """
    client = kafka._client
    by_leader: dict[int, set[TopicPartition]] = defaultdict(set)
    for partition in partitions:
        leader = client.cluster.leader_for_partition(partition)
        node = client.get_random_node() if leader in (None, -1) else leader
        if node is None:
            raise NodeNotReadyError("no broker is known")
        by_leader[node].add(partition)
    found = await asyncio.gather(*(_ask(client, node, asked) for node, asked in by_leader.items()))
    return {partition: identity for of_node in found for partition, identity in of_node.items()}


async def _ask(
    client: Any, node: int, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, LogIdentity]:
    wanted = set(partitions)
    request = TopicsRequest(sorted({partition.topic for partition in wanted}))
    answer = await client.send(node, request, group=_OWN_CONNECTION)
    found = {}
    for topic in answer.to_object()["topics"]:
        topic_id = topic.get("topic_id", _NOBODY)
        for one in topic["partitions"]:
            partition = TopicPartition(topic["topic"], one["partition"])
            if partition in wanted:
                found[partition] = LogIdentity(
                    None if topic_id == _NOBODY else topic_id, one.get("leader_epoch", -1)
                )
    return found


class _Uuid(AbstractType[uuid.UUID]):  # type: ignore[misc]
    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))

    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes


class _Response_v10(Response):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _Request_v10(RequestStruct):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Response_v10
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("topic", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicsRequest(Request[MetadataRequest_v5 | _Request_v10]):  # type: ignore[misc]
    """Metadata of topics that are not created by asking for them.

    Args:
        topics: their names.
        operations: ask for what this user may do with each (``authorized_operations``), too; a broker that
            knows no version 10 does not say.
    """

    API_KEY = _METADATA

    def __init__(self, topics: Collection[str], *, operations: bool = False) -> None:
        self._topics = topics
        self._operations = operations

    def build(
        self, request_struct_class: type[MetadataRequest_v5 | _Request_v10]
    ) -> MetadataRequest_v5 | _Request_v10:
        """As aiokafka wants it: the request in the newest version that the broker knows, too."""
        if request_struct_class is MetadataRequest_v5:
            return MetadataRequest_v5(list(self._topics), False)
        topics: list[Any] = [(_NOBODY, topic, {}) for topic in self._topics]
        return _Request_v10(topics, False, False, self._operations, {})
