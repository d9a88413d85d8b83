"""Kinds of events: what the schema says of each, read from its descriptor.

A kind is a field of the envelope's ``event`` and the message that it holds; the message's options say where
its events go and what they are keyed by (``events.proto``). So a new kind is written in the schema alone, and
whoever routes, queues, checks, stores or rewards events finds it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from rewards.events import events_pb2 as pb

KINDS_FIELD = "event"  # the oneof of the envelope whose fields are kinds of events
ENVELOPE_KEYS = ("match_id", "producer")  # fields of the envelope that events may be keyed by
_PLAYER_SUFFIXES = ("_id", "_ids")

FLOATS = (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE)
INTEGERS = (
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_SINT32,
    FieldDescriptor.TYPE_SINT64,
    FieldDescriptor.TYPE_FIXED32,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED32,
    FieldDescriptor.TYPE_SFIXED64,
)


class SchemaError(ValueError):
    """A kind of event lacks an option, or one makes no sense: mend ``events.proto`` and generate again."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event.

    Attributes:
        name: of its field in the envelope.
        message: what the field holds.
        topic: the suffix of its topic, as of `rewards.events.topics`.
        key: the field that keys it, one of ENVELOPE_KEYS or a player of the message.
        priority: where there is no room for all, kinds with a lower one go first.
    """

    name: str
    message: Descriptor
    topic: str
    key: str
    priority: int


def kinds_of(envelope: Any) -> dict[str, Kind]:
    """Return the kinds of events of an envelope's descriptor, by name, in the order of their numbers.

    Raises SchemaError.
    """
    found = {
        field.name: _kind(field)
        for field in sorted(envelope.oneofs_by_name[KINDS_FIELD].fields, key=lambda each: each.number)
    }
    of_priority: dict[int, str] = {}
    for kind in found.values():
        other = of_priority.setdefault(kind.priority, kind.name)
        if other != kind.name:
            raise SchemaError(f"{other} and {kind.name} have the same (priority), {kind.priority}")
    return found


def is_player(field: FieldDescriptor) -> bool:
    """Whether the values of a field are ids of players: a 64-bit integer called ``…_id`` or ``…_ids``."""
    return field.type == FieldDescriptor.TYPE_INT64 and field.name.endswith(_PLAYER_SUFFIXES)


def option(described: Descriptor | FieldDescriptor, extension: FieldDescriptor) -> Any:
    """Return the value of an option of events.proto, its default where it is not given."""
    options: Any = described.GetOptions()
    return options.Extensions[extension]


def _kind(field: FieldDescriptor) -> Kind:
    message = field.message_type
    if message is None:
        raise SchemaError(f"the kind {field.name} has to be a message")
    topic, key, priority = (option(message, each) for each in (pb.topic, pb.key, pb.priority))
    if not topic:
        raise SchemaError(f"{message.name} has no (topic)")
    if key not in ENVELOPE_KEYS:
        player = message.fields_by_name.get(key)
        if player is None or player.is_repeated or not is_player(player):
            raise SchemaError(
                f"the (key) of {message.name}, {key!r}, is neither one player of it nor "
                f"{' nor '.join(ENVELOPE_KEYS)}"
            )
    if priority < 1:
        raise SchemaError(f"{message.name} has no (priority)")
    return Kind(field.name, message, topic, key, priority)


KINDS: Mapping[str, Kind] = MappingProxyType(kinds_of(pb.Envelope.DESCRIPTOR))
"""The kinds of events of this program's schema, by name."""


def event_kinds() -> frozenset[str]:
    """Return the names of all kinds of events: what a mode's card may name."""
    return frozenset(KINDS)
