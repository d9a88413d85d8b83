"""The journal of allocations: a file that outlives the fleet's process, so that no allocation is forgotten by it.

A line when a match gets a server and a line when it is settled, appended before anybody is told. A fleet that starts reads what its
predecessor left: every match that is open there died with its server, since servers never outlive their fleet. Written without fsync: what
ends the machine ends the matches.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

MAX_KEYS = 100_000  # at 1,000 allocations/s a caller may repeat itself for over a minute
MAX_FILE_BYTES = 16 << 20
MAX_RECENT = (
    1000  # matches settled last, which a successor tells of again: whoever follows may not have heard
)


@dataclass(frozen=True, slots=True)
class AllocationRecord:
    """One allocation.

    Attributes:
        key: the caller's idempotency key, "" for none.
        match_id, player_ids: as far as the match names them.
    """

    key: str
    server: str
    region: str
    match_id: str
    player_ids: tuple[int, ...]
    at: float


@dataclass(frozen=True, slots=True)
class FinishedAllocation:
    """What a match came to."""

    allocation: AllocationRecord
    ended: bool
    reason: str


class AllocationJournal:
    """Allocations that are not settled, on disk. Raises OSError where it cannot be written.

    Attributes:
        keys: servers by key, of all allocations that are remembered.
        orphans: what a predecessor left open. recent: what it settled last, the oldest first.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._open: dict[str, AllocationRecord] = {}
        self.keys: OrderedDict[str, str] = OrderedDict()
        settled: deque[FinishedAllocation] = deque(maxlen=MAX_RECENT)
        self._read = settled
        for line in _lines(path):
            self._apply(line)
        self.orphans, self.recent = tuple(self._open.values()), tuple(settled)
        self._open.clear()
        self._file = self._rewritten()

    def allocated(self, entry: AllocationRecord) -> None:
        """Note an allocation."""
        self._open[entry.server] = entry
        self._remember(entry.key, entry.server)
        self._write({"allocated": _as_json(entry)})

    def finished(self, server: str, ended: bool, reason: str) -> None:
        """Note that the match of a server has ended, or failed for a reason."""
        if self._open.pop(server, None) is not None:
            self._write({"settled": server, "ended": ended, "reason": reason})

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _apply(self, line: dict[str, Any]) -> None:
        if "allocated" in line:
            entry = _record(line["allocated"])
            if entry is not None:
                self._open[entry.server] = entry
                self._remember(entry.key, entry.server)
        elif (entry := self._open.pop(str(line.get("settled")), None)) is not None:
            self._read.append(FinishedAllocation(entry, bool(line.get("ended")), str(line.get("reason", ""))))

    def _remember(self, key: str, server: str) -> None:
        if key:
            self.keys[key] = server
            if len(self.keys) > MAX_KEYS:
                self.keys.popitem(last=False)

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        if self._file.tell() > MAX_FILE_BYTES:
            self._file.close()
            self._file = self._rewritten()

    def _rewritten(self) -> Any:
        """Replace the file by one with what is open alone; keys go with their lines, and are kept in memory."""
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            for entry in self._open.values():
                file.write(json.dumps({"allocated": _as_json(entry)}).encode() + b"\n")
        os.replace(fresh, self._path)
        return self._path.open("ab", buffering=0)


def _as_json(entry: AllocationRecord) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in AllocationRecord.__slots__}


def _record(fields: Any) -> AllocationRecord | None:
    """The entry of a line, None where the line is none of ours."""
    try:
        return AllocationRecord(
            key=str(fields["key"]),
            server=str(fields["server"]),
            region=str(fields["region"]),
            match_id=str(fields["match_id"]),
            player_ids=tuple(int(id_) for id_ in fields["player_ids"]),
            at=float(fields["at"]),
        )
    except (LookupError, TypeError, ValueError):
        return None


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that may end in the middle of one."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    found = []
    for line in text.split(b"\n"):
        try:
            value = json.loads(line)
        except ValueError:  # cut short
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
