"""The allocation journal: a file from which a restarted fleet knows what was allocated before.

One line is appended before a match gets a server, and one when the match is over. A fleet that starts reads
what its predecessor left: every match that is open there ended with its server, because servers never outlive
their fleet. The file is not synced to disk, because whatever ends the machine ends the matches too.

A disk that is full stops no match and burns no server. A line is there whole or not at all. An allocation
whose line cannot be written is not made. The end of a match is published all the same, and its line waits in
memory until there is room; a fleet that is killed before that lets its successor publish the match once more,
as failed.

Lines that a newer fleet has written and this one cannot read are carried along when the file is written anew,
so that a fleet that is newer again finds them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections import OrderedDict, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import structlog

from dedicated_server.fleet.pool import metrics
from launchday.folders import create_new

MAX_KEYS = 100_000  # at 1,000 allocations/s a caller may repeat itself for over a minute
MAX_FILE_BYTES = 16 << 20
MAX_RECENT = 1000  # finished matches that a successor publishes again, because followers may have missed them
MAX_FOREIGN = 10_000  # lines of a newer fleet that are carried along
MAX_WAITING = 100_000  # ends of matches that a full disk keeps waiting; 200 bytes each
PROBE = b"\n"  # an empty line, which readers skip: whether the disk takes something

log = structlog.get_logger()


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
    """The open allocations, on disk. Raises OSError where there is no file and none can be made.

    Attributes:
        keys: servers by idempotency key, of all allocations that are remembered.
        orphans: the allocations that a predecessor left open.
        recent: the matches that it finished last, the oldest first.
        fault: why the disk refused the last write; "" where it took it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._open: dict[str, AllocationRecord] = {}
        self.keys: OrderedDict[str, str] = OrderedDict()
        finished: deque[FinishedAllocation] = deque(maxlen=MAX_RECENT)
        self._read = finished
        self._foreign: deque[bytes] = deque(maxlen=MAX_FOREIGN)
        for line in _lines(path):
            self._apply(line)
        if self._foreign:
            log.warning("the allocation journal has lines of a newer fleet", lines=len(self._foreign))
        self.orphans, self.recent = tuple(self._open.values()), tuple(finished)
        self._open.clear()
        self.fault = ""
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._torn = True  # what a predecessor left may end within a line
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._bytes = self._rewrite_at = os.fstat(self._file).st_size
        self._rewrite()

    def allocated(self, entry: AllocationRecord) -> None:
        """Append an allocation that is about to be made; raises OSError, and then it is not remembered."""
        self.retry()
        self._append(_encoded({"allocated": _as_json(entry)}))
        self._open[entry.server] = entry
        self._remember(entry.key, entry.server)
        if self._bytes > self._rewrite_at + MAX_FILE_BYTES:
            self._rewrite()

    def finished(self, server: str, ended: bool, reason: str) -> None:
        """Append that the match of a server has ended, or failed and why; as soon as the disk takes it."""
        if self._open.pop(server, None) is not None:
            self._waiting.append(_encoded({"finished": server, "ended": ended, "reason": reason}))
            with contextlib.suppress(OSError):
                self.retry()

    def retry(self) -> None:
        """Write what waits for room; raises OSError where there is none yet."""
        while self._waiting:
            self._append(self._waiting[0])
            self._waiting.popleft()

    def probe(self) -> None:
        """Find out whether a disk that refused a write takes one again, and write what waits for that."""
        if self.fault:
            with contextlib.suppress(OSError):
                self._append(PROBE)
                self.retry()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

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
            else:
                self._foreign.append(_encoded(line))
        elif "finished" not in line:
            self._foreign.append(_encoded(line))
        elif (entry := self._open.pop(str(line["finished"]), None)) is not None:
            self._read.append(FinishedAllocation(entry, bool(line.get("ended")), str(line.get("reason", ""))))

    def _remember(self, key: str, server: str) -> None:
        if key:
            self.keys[key] = server
            if len(self.keys) > MAX_KEYS:
                self.keys.popitem(last=False)

    def _append(self, line: bytes) -> None:
        """Append a line whole, or nothing. Raises OSError."""
        whole = b"\n" + line if self._torn else line
        try:
            _write_whole(self._file, whole)
        except OSError as error:
            self._note(error)
            try:
                os.ftruncate(self._file, self._bytes)
            except OSError:
                self._torn = True  # the next line begins a new one, and readers skip this one
            raise
        self._torn = False
        self._bytes += len(whole)
        if self.fault:
            self.fault = ""
            log.info("the disk takes the allocation journal again", path=str(self._path))

    def _rewrite(self) -> None:
        """Replace the file by one with the open allocations alone; keys of others stay in memory.

        Where there is no room for that, the old file is kept and appended to.
        """
        fresh = self._path.with_suffix(".new")
        lines = b"".join(self._foreign)
        lines += b"".join(_encoded({"allocated": _as_json(entry)}) for entry in self._open.values())
        file = -1
        try:
            file = create_new(fresh, 0o644, os.O_APPEND)
            _write_whole(file, lines)
            os.replace(fresh, self._path)
        except OSError as error:
            self._note(error)
            if file >= 0:
                os.close(file)
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            self._rewrite_at = self._bytes
            return
        os.close(self._file)
        self._file, self._bytes, self._rewrite_at, self._torn = file, len(lines), 0, False

    def _note(self, error: OSError) -> None:
        metrics.disk_errors.labels("allocation journal").inc()
        if not self.fault:
            log.error("the disk refuses the allocation journal", path=str(self._path), reason=str(error))
        self.fault = "disk full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error)


def _write_whole(file: int, data: bytes) -> None:
    """Write with one call; raises OSError where the disk takes only a part."""
    if os.write(file, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _encoded(line: dict[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


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
