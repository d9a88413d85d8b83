"""The entries of a queue's stream as its director reads them, and what of them cannot be read.

An entry holds the tickets of a few milliseconds. One that is malformed must not end the director, which would
read it again after each start, nor take the other tickets of its entry along: it is set aside, and reported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from matchmaker.messages import MAX_PARTY, PLATFORMS
from matchmaker.tickets.ticket import RecordFormat, binary_ids

UUID_CHARS = 36
UUID = re.compile(rb"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
MALFORMED = (LookupError, TypeError, ValueError, msgspec.MsgspecError)  # what unreadable bytes raise

_NOT_BACKDATED = (np.zeros((0, 2), np.uint64), np.zeros(0))
_NO_IDS = np.zeros((0, 2), np.uint64)


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One entry of the stream: tickets come, or gone.

    Attributes:
        entry_id: its id, to be acknowledged when nothing of it is left.
        records: tickets that have come, in RecordFormat; empty in an entry about gone ones.
        gone: uint64[N, 2], ids of tickets that ended without the director.
        backdated: uint64[N, 2], ids of tickets that are older than they were, and float64[N], since when
            (Unix seconds).
        attributes: of each ticket as JSON, in the order of the records; empty where the mode's rules read
            none.
        unreadable: uint64[N, 2], ids of tickets of the entry that cannot be matched as they are.
        fault: what is wrong with the entry, where nothing of it could be read; empty: nothing is.
    """

    entry_id: bytes
    records: NDArray[np.void]
    gone: NDArray[np.uint64]
    backdated: tuple[NDArray[np.uint64], NDArray[np.float64]] = _NOT_BACKDATED
    attributes: Sequence[str] = ()
    unreadable: NDArray[np.uint64] = field(default_factory=lambda: _NO_IDS)
    fault: str = ""


def read_entry(entry_id: bytes, flat: list[Any] | None, regions: Sequence[str]) -> QueueEntry:
    """Return an entry of the stream.

    Args:
        entry_id: its id.
        flat: its fields and values; None: it was deleted after it was read, by a director that ended before
            it could acknowledge it.
        regions: today's, columns of the tickets' latencies.
    """
    flat = flat or []
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    try:
        records = _records(fields.get(b"tickets", b""), fields.get(b"regions", b"").decode(), regions)
        attributes = (
            msgspec.msgpack.decode(fields[b"attributes"], type=list[str]) if b"attributes" in fields else []
        )
        if attributes and len(attributes) != len(records):
            raise ValueError(f"{len(attributes)} tickets have attributes, of {len(records)}")
        since = np.frombuffer(fields.get(b"since", b""), "<f8")
        backdated = _ids(fields.get(b"backdated", b""))
        if len(since) != len(backdated):
            raise ValueError(f"{len(backdated)} tickets are older, since {len(since)} moments")
        gone = _ids(fields.get(b"gone", b""))
    except MALFORMED as error:
        empty = np.zeros(0, RecordFormat(len(regions)).dtype)
        return QueueEntry(entry_id, empty, _NO_IDS, fault=f"{type(error).__name__}: {error}")
    sound = _sound(records)
    if not sound.all():
        attributes = [each for each, kept in zip(attributes, sound, strict=False) if kept]
    return QueueEntry(
        entry_id,
        records[sound],
        gone,
        (backdated, since),
        attributes,
        np.ascontiguousarray(records["ticket_id"][~sound]),
    )


def ids_within(stored: bytes) -> list[str]:
    """Return everything in some bytes that looks like the id of a ticket."""
    return list(dict.fromkeys(found.decode() for found in UUID.findall(stored)))


def _sound(records: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which records can be matched: bool[N]. Those of the API all can; a damaged one would spoil a cycle."""
    times = np.isfinite(records["enqueued_at"]) & np.isfinite(records["expires_at"])
    skill = np.isfinite(records["skill_mean"]) & np.isfinite(records["skill_deviation"])
    size = (records["party_size"] >= 1) & (records["party_size"] <= MAX_PARTY)
    numbers = (
        (records["player_id"] > 0)
        & (records["group"] >= 0)
        & (records["group"] <= len(PLATFORMS))
        & (records["platform"] >= 0)
        & (records["platform"] < len(PLATFORMS))
    )
    return np.asarray(times & skill & size & numbers)


def _records(payload: bytes, written_for: str, regions: Sequence[str]) -> NDArray[np.void]:
    """The records, with the latencies of today's regions; the fleet may have had others when they were
    written.
    """
    written = written_for.split(",")
    records = RecordFormat(len(written)).unpack(payload)
    if written == list(regions) or not payload:
        return records if payload else np.zeros(0, RecordFormat(len(regions)).dtype)
    today = np.zeros(len(records), RecordFormat(len(regions)).dtype)
    for name in today.dtype.names or ():
        if name != "latency_ms":
            today[name] = records[name]
    for column, region in enumerate(regions):
        known = region in written
        today["latency_ms"][:, column] = records["latency_ms"][:, written.index(region)] if known else np.inf
    return today


def _ids(joined: bytes) -> NDArray[np.uint64]:
    """Ticket ids that were written one after the other."""
    text = joined.decode()
    return binary_ids([text[i : i + UUID_CHARS] for i in range(0, len(text), UUID_CHARS)])
