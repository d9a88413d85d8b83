"""The allocation journal: a file from which a restarted fleet knows what was allocated before.

One line is appended when a match gets a server and one when the match is over, before anybody learns of it. A
fleet that starts reads what its predecessor left: every match that is open there ended with its server,
because servers never outlive their fleet. The file is not synced to disk, because whatever ends the machine
ends the matches too.
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
MAX_RECENT = 1000  # finished matches that a successor publishes again, because followers may have missed them


@dataclass(frozen=True, slots=True)
class AllocationRecord:
    """One allocation.

    Attributes:
        key: the caller's idempotency key, "" for none.
        match_id, player_ids: as far as the match names them.
        at: Unix seconds.
    """

    key: str
    server: str
    region: str
    match_id: str
    player_ids: tuple[int, ...]
    at: float


@dataclass(frozen=True, slots=True)
class FinishedAllocation:
    """An allocation whose match is over, whether it ended as it should, and why not."""

    allocation: AllocationRecord
    ended: bool
    reason: str


class AllocationJournal:
    """The open allocations, on disk. Raises OSError where the file cannot be written.

    Attributes:
        keys: servers by idempotency key, of all allocations that are remembered.
        orphans: the allocations that a predecessor left open.
        recent: the matches that it finished last, the oldest first.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._open: dict[str, AllocationRecord] = {}
        self.keys: OrderedDict[str, str] = OrderedDict()
        finished: deque[FinishedAllocation] = deque(maxlen=MAX_RECENT)
        self._read = finished
        for line in _lines(path):
            self._apply(line)
        self.orphans, self.recent = tuple(self._open.values()), tuple(finished)
        self._open.clear()
        self._file = self._rewritten()

    def allocated(self, entry: AllocationRecord) -> None:
        """Append an allocation."""
        self._open[entry.server] = entry
        self._remember(entry.key, entry.server)
        self._write({"allocated": _as_json(entry)})

    def finished(self, server: str, ended: bool, reason: str) -> None:
        """Append that the match of a server has ended, or failed and why."""
        if self._open.pop(server, None) is not None:
            self._write({"finished": server, "ended": ended, "reason": reason})

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
        elif (entry := self._open.pop(str(line.get("finished")), None)) is not None:
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
        """Replace the file by one with the open allocations alone; keys of others stay in memory."""
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            for entry in self._open.values():
                file.write(json.dumps({"allocated": _as_json(entry)}).encode() + b"\n")
        os.replace(fresh, self._path)
        return self._path.open("ab", buffering=0)


def _as_json(entry: AllocationRecord) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in AllocationRecord.__slots__}


def _record(fields: Any) -> AllocationRecord | None:
    """Return the record of a line; None where the line is malformed."""
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
    """Return the lines of a file, of which the last may be cut off."""
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
