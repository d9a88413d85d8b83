"""The folder of Parquet files: whole or absent after a crash, each event once.

    day=2026-11-25/kind=kill/part-000000000042.parquet   what readers see
    manifest.json                                        the offsets reached, and the last flush's files
    lock                                                 held by the one process that writes

A flush writes its files under names that no reader looks at, then replaces the manifest, then renames the
files. Replacing the manifest is the commit. Opening the folder after a crash finishes the renames of the
manifest's files, and deletes what the manifest does not name. An event that comes again has the same day and
kind, so it is looked for among the ids of that folder alone.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from launchday import folders
from rewards.analytics import columns
from rewards.errors import LakeInUseError
from rewards.events import Envelope
from rewards.events.logs.gaps import Gap
from rewards.events.logs.verdict import Position
from rewards.records import Partition

MANIFEST = "manifest.json"
FORMER_MANIFEST = "journal.json"  # its name before the first release; opening a folder renames it
PARTIAL = ".partial"
MAX_FOLDERS_IN_MEMORY = 64  # five days of every kind; an older folder is read again when an event of it comes

MAX_GAPS = 1_000  # in the manifest
NO_RECORD = uuid.UUID(int=0)  # where nothing was read before an offset

DayAndKind = tuple[str, str]
"""Day (UTC, as in 2026-11-25) and kind of event."""

Ids = npt.NDArray[np.bytes_]
"""Event ids, S16.

NumPy compares these without their trailing zero bytes; as all have 16, that changes nothing.
"""


def as_ids(ids: Sequence[bytes]) -> Ids:
    """Make an array of ids of 16 bytes."""
    return np.array(ids, dtype="S16")


class KnownIds:
    """A set of ids that only grows, in sorted runs of 16 bytes an id.

    A day's ten million ids take 160 MB; in a Python set they would take a gigabyte.
    """

    def __init__(self) -> None:
        self._runs: list[Ids] = []  # each sorted, each less than half as long as the one before

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def contains(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Tell which of ``ids`` are known: bool[len(ids)]."""
        found = np.zeros(len(ids), dtype=np.bool_)
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, ids), len(run) - 1)
            found |= run[at] == ids
        return found

    def add(self, ids: Ids) -> None:
        """Add ids, none of which is known."""
        if not len(ids):
            return
        run = np.sort(ids)
        while self._runs and 2 * len(run) >= len(self._runs[-1]):
            run = np.sort(np.concatenate((self._runs.pop(), run)))
        self._runs.append(run)


class Lake:
    """Writes events into a folder. Blocks on the disk: call it in a thread.

    Args:
        folder: is made where it is missing.

    Attributes:
        duplicates: the number of events given to ``add`` that the files had already.
        topic_ids: topic → the id that it had when the writer took up its partitions; it is written beside
            every offset.
    """

    def __init__(self, folder: Path) -> None:
        self.topic_ids: dict[str, uuid.UUID] = {}
        self._folder = folder
        self._lock: IO[str] | None = None
        self._sequence = 0
        self._offsets: dict[Partition, tuple[int, uuid.UUID]] = {}
        self._logs: dict[Partition, uuid.UUID | None] = {}  # which log each offset is of
        self._gaps: list[dict[str, Any]] = []
        self._known: dict[DayAndKind, KnownIds] = {}
        self.duplicates = 0

    def open(self) -> Self:
        """Lock the folder, and recover it after a crash.

        Raises LakeInUseError while another process has it, or where its manifest is somebody else's.
        """
        folders.claim(self._folder, folders.ANALYTICS_NAMES)
        lock = (self._folder / "lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise LakeInUseError(f"another process writes to {self._folder}") from None
        self._lock = lock
        self._recover()
        return self

    def close(self) -> None:
        """Unlock the folder."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def positions(self) -> dict[Partition, Position]:
        """Return how far each partition was read, and of which log."""
        return {
            place: Position(next_offset, self._logs.get(place))
            for place, (next_offset, _) in self._offsets.items()
        }

    def move(self, positions: Mapping[Partition, Position], gaps: Sequence[Gap], now_s: float) -> None:
        """Remember other positions, and the gaps that they leap over, noticed at ``now_s``, or neither."""
        offsets, logs = dict(self._offsets), dict(self._logs)
        for place, position in positions.items():
            before, last = offsets.get(place, (None, NO_RECORD))
            offsets[place] = (position.next_offset, last if before == position.next_offset else NO_RECORD)
            logs[place] = position.topic_id
        noted = [{**gap.as_json(), "noticed_at": now_s} for gap in gaps]
        kept = [*self._gaps, *noted][-MAX_GAPS:]
        self._write_manifest(self._sequence, (), offsets, logs, kept)
        self._offsets, self._logs, self._gaps = offsets, logs, kept

    def known(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return those of the ids that are the last of a partition.

        They tell whether a log is still the one that was read.
        """
        return {last for _, last in self._offsets.values()} & set(ids)

    def add(self, events: Sequence[Envelope], reached: Mapping[Partition, tuple[int, uuid.UUID]]) -> int:
        """Write the events that are not in the files yet, and the offsets reached: all or nothing.

        Args:
            events: in any order.
            reached: the next offset of each partition, and the inbox id of the record before it.

        Returns:
            the number of new events.
        """
        sequence = self._sequence + 1
        fresh = {
            place: found
            for place, of_place in _by_day_and_kind(events).items()
            if (found := self._unknown_events(place, of_place))
        }
        files = [_file_name(place, sequence) for place in fresh]
        for name, (place, of_place) in zip(files, fresh.items(), strict=True):
            self._write(name, place[1], of_place)
        offsets = {**self._offsets, **reached}
        logs = {**self._logs, **{place: self.topic_ids.get(place[0]) for place in reached}}
        self._write_manifest(sequence, files, offsets, logs, self._gaps)
        self._sequence, self._offsets, self._logs = sequence, offsets, logs
        self._publish(files)
        for place, of_place in fresh.items():
            self._known[place].add(as_ids([event.event_id for event in of_place]))
        self._evict_known_ids()
        return sum(len(of_place) for of_place in fresh.values())

    def _unknown_events(self, place: DayAndKind, events: Sequence[Envelope]) -> list[Envelope]:
        by_id = {event.event_id: event for event in events}
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = self._read_ids(place)
        old = known.contains(as_ids(list(by_id)))
        found = [event for event, is_old in zip(by_id.values(), old, strict=True) if not is_old]
        self.duplicates += len(events) - len(found)
        return found

    def _read_ids(self, place: DayAndKind) -> KnownIds:
        known = KnownIds()
        for path in sorted((self._folder / _folder_name(place)).glob("*.parquet")):
            column = pq.read_table(path, columns=["event_id"]).column("event_id").combine_chunks()
            known.add(np.frombuffer(column.buffers()[1], dtype="S16")[: len(column)])
        return known

    def _evict_known_ids(self) -> None:
        for place in sorted(self._known)[: max(0, len(self._known) - MAX_FOLDERS_IN_MEMORY)]:
            del self._known[place]

    def _write(self, name: str, kind: str, events: Sequence[Envelope]) -> None:
        path = self._folder / (name + PARTIAL)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            pq.write_table(columns.table(kind, events), file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())

    def _write_manifest(
        self,
        sequence: int,
        files: Sequence[str],
        offsets: Mapping[Partition, tuple[int, uuid.UUID]],
        logs: Mapping[Partition, uuid.UUID | None],
        gaps: Sequence[Mapping[str, Any]],
    ) -> None:
        content = {
            "sequence": sequence,
            "files": files,
            "offsets": [
                {
                    "topic": topic,
                    "partition": partition,
                    "next": next_offset,
                    "last": str(last),
                    "log": str(found) if (found := logs.get((topic, partition))) else None,
                }
                for (topic, partition), (next_offset, last) in sorted(offsets.items())
            ],
            "gaps": gaps,
        }
        partial = self._folder / (MANIFEST + PARTIAL)
        with partial.open("w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        for folder in {(self._folder / name).parent for name in files}:
            _sync(folder)
        partial.rename(self._folder / MANIFEST)
        _sync(self._folder)

    def _publish(self, files: Sequence[str]) -> None:
        for name in files:
            with contextlib.suppress(FileNotFoundError):  # renamed before the crash
                (self._folder / (name + PARTIAL)).rename(self._folder / name)

    def _recover(self) -> None:
        former = self._folder / FORMER_MANIFEST
        if _manifest(former) is not None and not (self._folder / MANIFEST).exists():
            former.rename(self._folder / MANIFEST)
        content = _manifest(self._folder / MANIFEST)
        if content is None and (self._folder / MANIFEST).exists():
            raise LakeInUseError(
                f"{self._folder / MANIFEST} is not a manifest of launchday's: move it away, or set "
                "LAUNCHDAY_STATE_DIR"
            )
        content = content or {"sequence": 0, "files": [], "offsets": []}
        self._sequence = content["sequence"]
        self._offsets = {
            (row["topic"], row["partition"]): (row["next"], uuid.UUID(row["last"]))
            for row in content["offsets"]
        }
        self._logs = {
            (row["topic"], row["partition"]): uuid.UUID(log) if (log := row.get("log")) else None
            for row in content["offsets"]
        }
        self._gaps = content.get("gaps", [])
        self._publish(content["files"])
        folders.remove_files(self._folder, (MANIFEST + PARTIAL,))
        for kind in self._folder.glob("day=*/kind=*"):
            if not (kind.is_symlink() or kind.parent.is_symlink()):
                folders.remove_files(kind, (f"part-*.parquet{PARTIAL}",))


def files(folder: Path, kind: str) -> Iterator[Path]:
    """List the files of a kind of event that readers may see."""
    return folder.glob(f"day=*/kind={kind}/*.parquet")


def gaps(folder: Path) -> list[dict[str, Any]]:
    """The gaps that the writer of a folder found in the logs, the oldest first: `Gap.as_json`, noticed_at."""
    content = _manifest(folder / MANIFEST)
    return [] if content is None else list(content.get("gaps", []))


def _manifest(path: Path) -> dict[str, Any] | None:
    """The content of a manifest; None where there is none, or something else has its name."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    ours = isinstance(content, dict) and {"sequence", "files", "offsets"} <= content.keys()
    return content if ours else None


def _by_day_and_kind(events: Sequence[Envelope]) -> dict[DayAndKind, list[Envelope]]:
    found: dict[DayAndKind, list[Envelope]] = {}
    for event in events:
        kind = event.WhichOneof("event")
        if (
            kind is not None
        ):  # a kind from a newer schema waits for a newer program, which reads the log again
            day = datetime.datetime.fromtimestamp(event.occurred_at, datetime.UTC).strftime("%Y-%m-%d")
            found.setdefault((day, kind), []).append(event)
    return found


def _folder_name(place: DayAndKind) -> str:
    return f"day={place[0]}/kind={place[1]}"


def _file_name(place: DayAndKind, sequence: int) -> str:
    return f"{_folder_name(place)}/part-{sequence:012d}.parquet"


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
