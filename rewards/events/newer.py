"""What of an event is newer than this program: a kind, a field, a value of an enumeration, a version.

Servers and consumers are upgraded one after the other, and a version may be taken back. So a program meets
events that it can only half read. To count such an event by the half would answer for it: its id would be
known, and the program that could read all of it would find a duplicate. It is kept instead, whole, until then
(`rewards.consumer.newer_events`, `rewards.analytics.lake`, `rewards.events.spool`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.unknown_fields import UnknownFieldSet

SCHEMA_VERSION = 1  # of events.proto; an envelope that `needs` more is not for this program to count


def newer_part(envelope: Any, *, is_whole: bool = False, version: int = SCHEMA_VERSION) -> str:
    """Say what of an event this program does not know; "" where it knows all that it needs to know.

    Args:
        envelope: as it was parsed, its unknown fields with it.
        is_whole: name also what its sender says is worth nothing (`needs`): for whoever keeps every field.
        version: of the schema that the reader knows.
    """
    if envelope.needs > version:
        return f"it needs version {envelope.needs} of the schema, and this program has {version}"
    if not is_whole and envelope.HasField("needs") and envelope.WhichOneof("event") is not None:
        return ""
    return next(_newer_parts(envelope, ""), "")


Words = tuple[tuple[str, Collection[int]], ...]
"""Fields of an event whose values are words of an enumeration, and the numbers that are known of each."""


def words_of_kinds(envelope: Descriptor) -> dict[str, Words]:
    """Return the enumerations of each kind of event that has any, for a quick look at every event.

    Where one is in a list or lies deeper, no number counts as known: `newer_part` looks at each event.
    """
    found: dict[str, Words] = {}
    for kind in envelope.oneofs_by_name["event"].fields:
        assert kind.message_type is not None
        found[kind.name] = tuple(
            (field.name, () if field.enum_type is None or field.is_repeated else _numbers(field.enum_type))
            for field in kind.message_type.fields
            if _has_words(field)
        )
    return {kind: words for kind, words in found.items() if words}


def knows_words(event: Any, words: Words) -> bool:
    """Whether all of these fields of an event have values that are known for sure."""
    return all(getattr(event, name) in known for name, known in words)


def _numbers(enum: EnumDescriptor) -> frozenset[int]:
    return frozenset(enum.values_by_number)


def _has_words(field: FieldDescriptor) -> bool:
    inner = field.message_type
    return field.enum_type is not None or (inner is not None and any(map(_has_words, inner.fields)))


def _newer_parts(message: Any, path: str) -> Iterator[str]:
    unknown = UnknownFieldSet(message)
    for index in range(len(unknown)):
        yield f"field {unknown[index].field_number} of {path or 'the envelope'}"
    for field, value in message.ListFields():
        name = f"{path}.{field.name}" if path else field.name
        if field.enum_type is not None:
            for number in value if field.is_repeated else (value,):
                if number not in field.enum_type.values_by_number:
                    yield f"{name} = {number}"
        elif field.message_type is not None:
            for inner in value if field.is_repeated else (value,):
                yield from _newer_parts(inner, name)
