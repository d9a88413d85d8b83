"""An older schema, made at run time from this program's: what a program of the version before knew.

It lacks a kind of event that gives points, a field of results, a field of kills and a cause of death, and has
one version less. So for it today's events are newer, and today's program is the one that knows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from rewards.events import Envelope, compatibility
from rewards.events.newer import SCHEMA_VERSION
from rewards.events.parse import ReadEvent, reader_of

KINDS = {"Envelope": "xp_granted"}
FIELDS = {**KINDS, "MatchEnded": "duration_s", "Kill": "victim_at"}
"""Message → the field of it that the older schema lacks."""

NEWER_VERSION = SCHEMA_VERSION + 1


def older_envelope(missing: Mapping[str, str] = FIELDS) -> Any:
    """The class of envelopes of the older schema."""
    schema = FileDescriptorProto()
    schema.CopyFrom(compatibility.current_schema())
    for message in schema.message_type:
        for field in list(message.field):
            if missing.get(message.name) == field.name:
                message.field.remove(field)
        for enum in message.enum_type:
            if enum.name == "Cause":
                enum.value.pop()
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(descriptor_pb2.DESCRIPTOR.serialized_pb)  # where options are extended
    pool.Add(schema)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(Envelope.DESCRIPTOR.full_name))


def older(missing: Mapping[str, str] = FIELDS, *, is_whole: bool = False) -> ReadEvent:
    """Read as the older program does."""
    return reader_of(older_envelope(missing), is_whole=is_whole)


def newer(*, is_whole: bool = False) -> ReadEvent:
    """Read as a program that knows today's events, and the version that some of them need."""
    return reader_of(Envelope, NEWER_VERSION, is_whole=is_whole)
