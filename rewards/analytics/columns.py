"""Columns: one table for each kind of event, made from the schema, so a new field needs no change here.

Every table begins with the envelope's fields: ``event_id``, ``occurred_at``, ``match_id``, ``region``,
``tick``, ``producer``. A position becomes two columns (``killer_at_x_m``), a list stays a list, an
enumeration becomes its word.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from google.protobuf.descriptor import FieldDescriptor

from rewards.events import Envelope, kinds
from rewards.events.kinds import INTEGERS

KINDS: dict[str, Any] = {kind.name: kind.message for kind in kinds.KINDS.values()}
"""Kind of event → its message."""

NEWER = "newer"
"""In the place of a kind: events that are newer than the program that read them, kept whole."""

ID_TYPE = pa.binary(16)

_ENVELOPE = [
    pa.field("event_id", ID_TYPE, nullable=False),
    pa.field("occurred_at", pa.timestamp("us", tz="UTC"), nullable=False),
    pa.field("match_id", pa.string()),
    pa.field("region", pa.string()),
    pa.field("tick", pa.int64()),
    pa.field("producer", pa.string()),
]

_SCALARS = {
    **dict.fromkeys(INTEGERS, pa.int64()),
    FieldDescriptor.TYPE_UINT64: pa.uint64(),
    FieldDescriptor.TYPE_FIXED64: pa.uint64(),
    FieldDescriptor.TYPE_BOOL: pa.bool_(),
    FieldDescriptor.TYPE_FLOAT: pa.float32(),
    FieldDescriptor.TYPE_DOUBLE: pa.float64(),
    FieldDescriptor.TYPE_STRING: pa.string(),
    FieldDescriptor.TYPE_BYTES: pa.binary(),
    FieldDescriptor.TYPE_ENUM: pa.string(),
}


_NEWER = [pa.field("newer", pa.string(), nullable=False), pa.field("envelope", pa.binary(), nullable=False)]


@functools.cache
def schema(kind: str) -> pa.Schema:
    """Return the columns of a kind of event, or those of NEWER."""
    if kind == NEWER:
        return pa.schema([*_ENVELOPE, *_NEWER])
    return pa.schema([*_ENVELOPE, *(field for _, field in _columns(KINDS[kind]))])


def table(kind: str, envelopes: Sequence[Envelope]) -> pa.Table:
    """Make a table of events, all of kind ``kind``."""
    events = [getattr(envelope, kind) for envelope in envelopes]
    own = [[_value(event, path) for event in events] for path, _ in _columns(KINDS[kind])]
    return _table(kind, [*_of_envelopes(envelopes), *own])


def newer_table(kept: Mapping[bytes, tuple[Envelope, str]]) -> pa.Table:
    """Make a table of newer events, whole, each with what of it is newer; by their ids."""
    envelopes = [envelope for envelope, _ in kept.values()]
    causes = [cause for _, cause in kept.values()]
    return _table(
        NEWER, [*_of_envelopes(envelopes), causes, [each.SerializeToString() for each in envelopes]]
    )


def _of_envelopes(envelopes: Sequence[Envelope]) -> list[list[Any]]:
    return [
        [envelope.event_id for envelope in envelopes],
        [round(envelope.occurred_at * 1e6) for envelope in envelopes],
        [str(uuid.UUID(bytes=envelope.match_id)) if envelope.match_id else None for envelope in envelopes],
        [envelope.region for envelope in envelopes],
        [envelope.tick for envelope in envelopes],
        [envelope.producer for envelope in envelopes],
    ]


def _table(kind: str, columns: Sequence[Sequence[Any]]) -> pa.Table:
    wanted = schema(kind)
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, wanted, strict=True)], schema=wanted
    )


Path = tuple[FieldDescriptor, ...]


@functools.cache
def _columns(message: Any) -> tuple[tuple[Path, pa.Field], ...]:
    """Return the columns of a message, each with the path to its value."""
    found: list[tuple[Path, pa.Field]] = []
    for field in message.fields:
        inner = field.message_type
        if inner is None:
            kind = _SCALARS[field.type]
            found.append(((field,), pa.field(field.name, pa.list_(kind) if _is_list(field) else kind)))
        elif _is_list(field):
            struct = pa.struct([column for _, column in _columns(inner)])
            found.append(((field,), pa.field(field.name, pa.list_(struct))))
        else:
            found += [
                ((field, *path), column.with_name(f"{field.name}_{column.name}"))
                for path, column in _columns(inner)
            ]
    return tuple(found)


def _value(event: Any, path: Path) -> Any:
    *outer, last = path
    for field in outer:
        event = getattr(event, field.name)
    if last.has_presence and not event.HasField(last.name):
        return None
    value = getattr(event, last.name)
    if _is_list(last):
        inner = last.message_type
        if inner is None:
            return list(value)
        return [{column.name: _value(each, path) for path, column in _columns(inner)} for each in value]
    if last.enum_type is not None:
        known = last.enum_type.values_by_number.get(value)
        return known.name.split("_", 1)[1].lower() if known else str(value)
    return value


def _is_list(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated)
