"""Which events are in the files already, in a bounded part of memory.

Ids are kept by day, kind and the hour in the id (UUIDv7), and the hours in use stay in memory. Of an older
hour, when an event of it comes, those files are read again whose first and last id enclose some of it; a
file's own footer tells them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from rewards.analytics.event_ids import Ids, KnownIds

MAX_IDS = 8_000_000  # in memory, beside those of the hours of the last flush: 128 MB
MAX_FOLDERS = 64  # of whose files the ids' ranges are in memory: five days of every kind
HOUR_MS = 3_600_000
FIRST_ID, LAST_ID = b"", b"\xff" * 16  # where a footer says nothing

DayAndKind = tuple[str, str]
"""Day (UTC, as in 2026-11-25) and kind of event."""

Hour = tuple[str, int, str]
"""Day, hour in the ids, kind: so that the oldest sort first."""


class LakeIds:
    """The ids of the events in a folder of Parquet files.

    Args:
        folder: of the files, ``day=…/kind=…/*.parquet``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Hour, KnownIds] = {}
        self._ranges: dict[DayAndKind, dict[Path, tuple[bytes, bytes]]] = {}
        self._in_use: set[Hour] = set()

    def __len__(self) -> int:
        return sum(len(known) for known in self._known.values())

    def contains(self, place: DayAndKind, ids: Ids) -> npt.NDArray[np.bool_]:
        """Tell which of ``ids`` are in the files of a day and kind: bool[len(ids)]."""
        found = np.zeros(len(ids), dtype=np.bool_)
        hours = _hours(ids)
        for hour in np.unique(hours):
            mine = hours == hour
            found[mine] = self._of(place, int(hour)).contains(ids[mine])
        return found

    def add(self, place: DayAndKind, path: Path, ids: Ids) -> None:
        """Note a new file with ids that no file had."""
        hours = _hours(ids)
        for hour in np.unique(hours):
            self._of(place, int(hour)).add(ids[hours == hour])
        if place in self._ranges and len(ids):
            ordered = np.sort(ids)
            self._ranges[place][path] = (_bytes(ordered[0]), _bytes(ordered[-1]))

    def trim(self) -> None:
        """Forget the oldest hours beyond `MAX_IDS` that the last flush did not touch."""
        too_many = len(self) - MAX_IDS
        for hour in sorted(self._known.keys() - self._in_use):
            if too_many <= 0:
                break
            too_many -= len(self._known.pop(hour))
        for place in sorted(self._ranges)[: max(0, len(self._ranges) - MAX_FOLDERS)]:
            del self._ranges[place]
        self._in_use.clear()

    def forget(self) -> None:
        """Forget all: the files were changed by somebody else."""
        self._known.clear()
        self._ranges.clear()

    def _of(self, place: DayAndKind, hour: int) -> KnownIds:
        day, kind = place
        key = (day, hour, kind)
        self._in_use.add(key)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._read(place, hour)
        return known

    def _read(self, place: DayAndKind, hour: int) -> KnownIds:
        known = KnownIds()
        begins, ends = ((each * HOUR_MS).to_bytes(6, "big") for each in (hour, hour + 1))
        for path, (first, last) in sorted(self._ranges_of(place).items()):
            if last[:6] >= begins and first < ends:
                column = pq.read_table(path, columns=["event_id"]).column("event_id").combine_chunks()
                ids = np.frombuffer(column.buffers()[1], dtype="S16")[: len(column)]
                known.add(ids[_hours(ids) == hour])
        return known

    def _ranges_of(self, place: DayAndKind) -> dict[Path, tuple[bytes, bytes]]:
        ranges = self._ranges.get(place)
        if ranges is None:
            folder = self._folder / f"day={place[0]}/kind={place[1]}"
            ranges = {path: _range(path) for path in folder.glob("*.parquet")}
            self._ranges[place] = ranges
        return ranges


def _range(path: Path) -> tuple[bytes, bytes]:
    """The first and the last id of a file, as its footer has them."""
    footer = pq.read_metadata(path)
    at = footer.schema.names.index("event_id")
    told: Sequence[Any] = [
        footer.row_group(number).column(at).statistics for number in range(footer.num_row_groups)
    ]
    ranges = [(each.min, each.max) for each in told if each is not None and each.has_min_max]
    if not told or len(ranges) < len(told):
        return FIRST_ID, LAST_ID
    return min(first for first, _ in ranges), max(last for _, last in ranges)


def _hours(ids: Ids) -> npt.NDArray[np.int64]:
    """The hour in each id: int64[len(ids)], hours since 1970."""
    if not len(ids):
        return np.zeros(0, dtype=np.int64)
    octets = np.ascontiguousarray(ids).view(np.uint8).reshape(-1, 16)[:, :6].astype(np.int64)
    ms: npt.NDArray[np.int64] = octets @ (np.int64(1) << np.arange(40, -1, -8, dtype=np.int64))
    return ms // HOUR_MS


def _bytes(one: np.bytes_) -> bytes:
    return bytes(one).ljust(16, b"\0")  # NumPy strips zero bytes
