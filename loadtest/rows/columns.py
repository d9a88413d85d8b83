"""The columns of the tables: names with their units, types, and what each means.

Both worlds have the same columns with the same meaning; what one of them does not know is null there. Times
are seconds since the start of the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

VERSION = 1  # of the columns; a new one where one is renamed or means something else
WORDS = pa.dictionary(pa.int16(), pa.string())  # few values, each stored once

Codes = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: with its unit, where it has one.
        type: of Arrow.
        meaning: in words.
        required: whether it is never null.
    """

    name: str
    type: Any
    meaning: str
    required: bool = True


TICKETS = (
    Column("player", pa.int64(), "number of the player in the scenario's population, from 0"),
    Column("party", pa.int64(), "number of the player's party; whoever came alone is one, too"),
    Column("wait_number", pa.int32(), "which wait of the player it is, from 1: of a later match, or again"),
    Column("mode", WORDS, "what they queued for"),
    Column("location", WORDS, "where they live"),
    Column("region", WORDS, "where the match is played", False),
    Column("link", WORDS, "kind of their access link"),
    Column("behaviour", WORDS, "kind of player"),
    Column("platform", WORDS, "what they play on"),
    Column("skill", pa.float32(), "true skill of the player, on the scale of ratings"),
    Column("arrived_s", pa.float64(), "when the player meant to queue; the wait counts from then"),
    Column("queued_s", pa.float64(), "when the matchmaker had the ticket, where that is known", False),
    Column("assigned_s", pa.float64(), "when the player was told of the match", False),
    Column("wait_s", pa.float64(), "seconds of the wait; without a match, the time waited at least", False),
    Column("censored", pa.bool_(), "whether the wait ended without a match: wait_s is a lower limit then"),
    Column("state", WORDS, "how the wait ended: matched, gave up, cut off by the end of the run …"),
    Column("match", pa.int64(), "the match, a row of the table of matches", False),
    Column("rtt_ms", pa.float32(), "round trip to the server: regions and the player's own link", False),
)
MATCHES = (
    Column("match", pa.int64(), "number of the match, from 0 in order of formed_s"),
    Column("match_id", pa.string(), "the backend's name of it", False),
    Column("server", pa.string(), "the game server's name", False),
    Column("mode", WORDS, "what is played"),
    Column("region", WORDS, "where its server is", False),
    Column("players", pa.int32(), "players who were assigned to it"),
    Column("formed_s", pa.float64(), "when it had its server"),
    Column("ended_s", pa.float64(), "when its players or its server were done with it", False),
    Column("state", WORDS, "over, server died, deserted, or playing when the run ended", False),
    Column("skill_mean", pa.float32(), "mean of the players' true skills"),
    Column("skill_spread", pa.float32(), "standard deviation of the players' true skills"),
    Column("kills", pa.int64(), "kills that the server counted", False),
    Column("ticks", pa.int64(), "ticks that it made", False),
    Column("missed_ticks", pa.int64(), "ticks that it left out", False),
    Column("tick_p50_us", pa.float64(), "median time of a tick, in microseconds", False),
    Column("tick_p99_us", pa.float64(), "99th percentile of the time of a tick, in microseconds", False),
)
SAMPLES = (
    Column("at_s", pa.float64(), "when it was taken"),
    Column("thing", WORDS, "what is counted: players, servers or queue"),
    Column("state", WORDS, "the state of those that are counted; of a queue, its name"),
    Column("region", WORDS, "of the servers, or the nearest one to the players; null: all regions", False),
    Column("count", pa.int64(), "how many there were"),
)
TABLES: Mapping[str, tuple[Column, ...]] = {"tickets": TICKETS, "matches": MATCHES, "samples": SAMPLES}


def schema(table: str, **about: str) -> Any:
    """Return the Arrow schema of a table.

    Args:
        table: a name of ``TABLES``.
        about: of the run, for the schema's metadata, as ``launchday.NAME``.
    """
    fields = [
        pa.field(each.name, each.type, nullable=not each.required, metadata={"meaning": each.meaning})
        for each in TABLES[table]
    ]
    metadata = {f"launchday.{name}": value for name, value in {"version": str(VERSION), **about}.items()}
    return pa.schema(fields, metadata=metadata)


def words(codes: Codes, names: Sequence[str]) -> Any:
    """Return a dictionary column: a name for each code; a negative code is null."""
    indices = np.asarray(codes, np.int16)
    return pa.DictionaryArray.from_arrays(
        pa.array(indices, mask=indices < 0), pa.array(list(names), pa.string())
    )


def numbers(values: Any, kind: Any, known: NDArray[np.bool_] | None = None) -> Any:
    """Return a column of numbers; what is not known, or NaN, is null."""
    array = np.asarray(values)
    unknown = np.zeros(len(array), np.bool_) if known is None else ~known
    if array.dtype.kind == "f":
        unknown = unknown | np.isnan(array)
    if kind in (pa.int32(), pa.int64()) and array.dtype.kind == "f":
        array = np.where(unknown, 0, array)
    column = pa.array(array, mask=unknown)
    return column if column.type == kind else column.cast(kind)


def constant(name: str, count: int) -> Any:
    """Return a dictionary column with the same word in each row."""
    return words(np.zeros(count, np.int16), [name])


def batch(table: str, kept: Any, columns: Mapping[str, Any]) -> Any:
    """Return a record batch.

    Args:
        table: a name of ``TABLES``.
        kept: its schema.
        columns: Arrow arrays by name; those that are left out are null.
    """
    count = len(next(iter(columns.values())))
    arrays = [
        columns[each.name] if each.name in columns else pa.nulls(count, each.type) for each in TABLES[table]
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=kept)
