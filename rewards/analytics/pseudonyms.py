"""Players of tables of events: where a table names them, and how others' numbers take their place.

A player is named by a column, a list, or a field of a list's structures, all of which end in ``_id`` or
``_ids`` and hold 64-bit integers; nothing else of the schema does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.descriptor import FieldDescriptor

from rewards.events import Envelope
from rewards.events.kinds import is_player

LEAST_TELLING = (
    2**56
)  # a player's number from here on takes nine bytes, which no other bytes are like by chance


def player_columns(schema: pa.Schema) -> list[str]:
    """The columns of a table of events that name players, of whatever shape."""
    return [field.name for field in schema if _names_players(field)]


def rows_that_name(table: pa.Table, players: pa.Array) -> pa.Array:
    """bool[rows]: whether a row names one of the ``players``, int64."""
    found = pa.array(np.zeros(len(table), dtype=bool))
    for name in player_columns(table.schema):
        column = table.column(name).combine_chunks()
        values, rows = _flat(column)
        if values is None:
            hit = pc.fill_null(pc.is_in(column, players), False)
        else:
            marked = np.zeros(len(table), dtype=bool)
            marked[np.asarray(rows)[np.asarray(pc.fill_null(pc.is_in(values, players), False))]] = True
            hit = pa.array(marked)
        found = pc.or_(found, hit)
    return found


def replace_players(table: pa.Table, pseudonyms: Mapping[int, int]) -> pa.Table:
    """Return a table in which each of the players has their pseudonym."""
    for index, field in enumerate(table.schema):
        if _names_players(field):
            column = table.column(index).combine_chunks()
            replaced = pa.array(_replaced(column.to_pylist(), pseudonyms), field.type)
            table = table.set_column(index, field, replaced)
    return table


def replace_in_newer(table: pa.Table, pseudonyms: Mapping[int, int]) -> pa.Table | None:
    """The same for events that are kept whole (``columns.NEWER``); None where nothing of them names a player.

    An event of a kind that is not known here cannot be written anew: where its bytes hold a player, it goes.
    """
    changed, kept = False, []
    needles = [_varint(player) for player in pseudonyms if player >= LEAST_TELLING]
    for row in table.to_pylist():
        event = Envelope.FromString(row["envelope"])
        kind = event.WhichOneof("event")
        if kind is not None and _replace_in_message(getattr(event, kind), pseudonyms):
            row["envelope"], changed = event.SerializeToString(), True
        if kind is None and any(needle in row["envelope"] for needle in needles):
            changed = True
        else:
            kept.append(row)
    return pa.Table.from_pylist(kept, schema=table.schema) if changed else None


def _names_players(field: pa.Field) -> bool:
    kind = field.type
    if pa.types.is_list(kind):
        kind = kind.value_type
        if pa.types.is_struct(kind):
            return any(_names_players(inner) for inner in kind)
    return bool(kind == pa.int64()) and field.name.endswith(("_id", "_ids"))


def _flat(column: Any) -> tuple[Any, Any]:
    """The values in a column of lists, and the row of each; None where it is no list."""
    if not pa.types.is_list(column.type):
        return None, None
    values, rows = pc.list_flatten(column), pc.list_parent_indices(column)
    if pa.types.is_struct(values.type):
        (name,) = (field.name for field in values.type if _names_players(field))
        values = pc.struct_field(values, name)
    return values, rows


def _replaced(value: Any, pseudonyms: Mapping[int, int]) -> Any:
    if isinstance(value, list):
        return [_replaced(one, pseudonyms) for one in value]
    if isinstance(value, dict):
        return {
            name: _replaced(one, pseudonyms) if name.endswith(("_id", "_ids")) else one
            for name, one in value.items()
        }
    return pseudonyms.get(value, value)


def _replace_in_message(message: Any, pseudonyms: Mapping[int, int]) -> bool:
    changed = False
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            inner = value if field.is_repeated else [value]
            for one in inner:
                changed = _replace_in_message(one, pseudonyms) or changed
        elif is_player(field):
            if field.is_repeated:
                changed = not pseudonyms.keys().isdisjoint(value) or changed
                value[:] = [pseudonyms.get(one, one) for one in value]
            elif value in pseudonyms:
                setattr(message, field.name, pseudonyms[value])
                changed = True
    return changed


def _varint(number: int) -> bytes:
    """A number as Protocol Buffers write it."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
