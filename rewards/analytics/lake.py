"""The folder of Parquet files: whole or absent after a crash, each event once.

    day=2026-11-25/kind=kill/part-000000000042.parquet   what readers see
    manifest.json                                        the offsets reached, and the last flush's files
    lock                                                 held by the one process that writes

A flush writes its files under names that no reader looks at, then replaces the manifest, then renames the
files. Replacing the manifest is the commit. Opening the folder after a crash finishes the renames of the
manifest's files, and deletes what the manifest does not name. An event that comes again has the same day and
kind, so it is looked for among the ids of that folder alone.

An event of which the program does not know everything is kept whole, in a folder ``kind=newer`` of its day. A
program that knows all of it puts it among its kind when it opens the folder, and the same commit deletes the
file that it was in.
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

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import structlog

from launchday import folders
from rewards.analytics import columns
from rewards.analytics.event_ids import as_ids
from rewards.analytics.lake_ids import DayAndKind, LakeIds
from rewards.analytics.pseudonyms import (
    player_columns,
    replace_in_newer,
    replace_players,
    rows_that_name,
)
from rewards.errors import BadEventError, LakeInUseError
from rewards.events import Envelope
from rewards.events.logs.gaps import Gap
from rewards.events.logs.verdict import Position
from rewards.events.newer import newer_part
from rewards.events.parse import ReadEvent, read_whole_event
from rewards.lake_manifest import MANIFEST, read_manifest
from rewards.records import Partition

FORMER_MANIFEST = "journal.json"  # its name before the first release; opening a folder renames it
PARTIAL = ".partial"
MAX_GAPS = 1_000  # in the manifest
NO_RECORD = uuid.UUID(int=0)  # where nothing was read before an offset

log = structlog.get_logger()


class Lake:
    """Writes events into a folder. Blocks on the disk: call it in a thread.

    Args:
        folder: is made where it is missing.
        read: reads an event, and tells what of it is newer than this program.

    Attributes:
        newer_waiting: the number of events that are kept whole for a program that knows more.
        duplicates: the number of events given to ``add`` that the files had already.
        topic_ids: topic → the id that it had when the writer took up its partitions; it is written beside
            every offset.
    """

    def __init__(self, folder: Path, read: ReadEvent = read_whole_event) -> None:
        self._read = read
        self.newer_waiting = 0
        self.topic_ids: dict[str, uuid.UUID] = {}
        self._folder = folder
        self._lock: IO[str] | None = None
        self._sequence = 0
        self._offsets: dict[Partition, tuple[int, uuid.UUID]] = {}
        self._logs: dict[Partition, uuid.UUID | None] = {}  # which log each offset is of
        self._gaps: list[dict[str, Any]] = []
        self._ids = LakeIds(folder)
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
        try:
            self._recover()
            self._take_up_newer()
        except BaseException:
            self.close()
            raise
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
        self._write_manifest(self._sequence, (), (), self.newer_waiting, offsets, logs, kept)
        self._offsets, self._logs, self._gaps = offsets, logs, kept

    def known(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return those of the ids that are the last of a partition.

        They tell whether a log is still the one that was read.
        """
        return {last for _, last in self._offsets.values()} & set(ids)

    def add(
        self,
        events: Sequence[Envelope],
        reached: Mapping[Partition, tuple[int, uuid.UUID]],
        newer: Sequence[tuple[Envelope, str]] = (),
    ) -> int:
        """Write the events that are not in the files yet, and the offsets reached: all or nothing.

        Args:
            events: in any order.
            reached: the next offset of each partition, and the inbox id of the record before it.
            newer: events to be kept whole, each with what of it is newer than this program. One of ``events``
                whose kind is not known is one of them, too.

        Returns:
            the number of new events of ``events``.
        """
        causes = {event.event_id: cause for event, cause in newer}
        for event in events:
            if event.WhichOneof("event") is None and (cause := newer_part(event, is_whole=True)):
                causes[event.event_id] = cause
        whole = [event for event in (*(event for event, _ in newer), *events) if event.event_id in causes]
        places = {**_by_day_and_kind(events), **_by_day_of_newer(whole)}
        fresh = self._only_fresh(places)
        self._commit(fresh, causes, reached)
        return sum(len(of_place) for place, of_place in fresh.items() if place[1] != columns.NEWER)

    def replace_players(self, pseudonyms: Mapping[int, int]) -> int:
        """Give players other numbers in all files; return how many rows named one.

        Each file is written anew in a commit that drops the old one, so a crash leaves it whole, old or new;
        call it again then.
        """
        players = pa.array(list(pseudonyms), pa.int64())
        total = 0
        for kind in columns.KINDS:
            for path in sorted(files(self._folder, kind)):
                named = player_columns(pq.read_schema(path))
                if named and (count := _count_rows(pq.read_table(path, columns=named), players)):
                    self._rewrite(path, replace_players(pq.read_table(path), pseudonyms))
                    total += count
        for path in sorted(files(self._folder, columns.NEWER)):
            rewritten = replace_in_newer(pq.read_table(path), pseudonyms)
            if rewritten is not None:
                self._rewrite(path, rewritten)
                total += len(rewritten)
        return total

    def _rewrite(self, path: Path, table: pa.Table) -> None:
        """Put a table in the place of a file."""
        sequence, gone = self._sequence + 1, str(path.relative_to(self._folder))
        name = str(Path(gone).with_name(f"part-{sequence:012d}.parquet"))
        _write_table(self._folder / (name + PARTIAL), table)
        before = pq.read_metadata(path).num_rows
        waiting = self.newer_waiting
        if f"kind={columns.NEWER}" in gone:
            waiting -= before - len(table)
        self._write_manifest(sequence, [name], [gone], waiting, self._offsets, self._logs, self._gaps)
        self._sequence, self.newer_waiting = sequence, waiting
        self._publish([name], [gone])

    def _take_up_newer(self) -> None:
        """Put kept events among their kind where this program knows all of them, file by file."""
        self.newer_waiting = newer_waiting(self._folder)
        for path in sorted(files(self._folder, columns.NEWER)):
            rows = pq.read_table(path, columns=["envelope", "newer"]).to_pylist()
            kept: list[Envelope] = []
            causes: dict[bytes, str] = {}
            known: list[Envelope] = []
            for row in rows:
                try:
                    event, cause = self._read(row["envelope"])
                except BadEventError as error:  # it stays, and says why
                    event, cause = Envelope.FromString(row["envelope"]), str(error)
                causes[event.event_id] = cause
                (kept if cause else known).append(event)
            if known:
                fresh = self._only_fresh(_by_day_and_kind(known))
                self.newer_waiting -= len(rows)
                gone = str(path.relative_to(self._folder))
                self._commit({**fresh, **_by_day_of_newer(kept)}, causes, {}, [gone])
                log.info("analytics_newer_events_taken_up", events=len(known), left=len(kept))

    def _commit(
        self,
        fresh: Mapping[DayAndKind, Sequence[Envelope]],
        causes: Mapping[bytes, str],
        reached: Mapping[Partition, tuple[int, uuid.UUID]],
        gone: Sequence[str] = (),
    ) -> None:
        """Write new files, the offsets reached, and that other files are gone: all or nothing."""
        sequence = self._sequence + 1
        files = [_file_name(place, sequence) for place in fresh]
        for name, (place, of_place) in zip(files, fresh.items(), strict=True):
            self._write(name, place[1], of_place, causes)
        offsets = {**self._offsets, **reached}
        logs = {**self._logs, **{place: self.topic_ids.get(place[0]) for place in reached}}
        waiting = self.newer_waiting + sum(
            len(kept) for (_, kind), kept in fresh.items() if kind == columns.NEWER
        )
        self._write_manifest(sequence, files, gone, waiting, offsets, logs, self._gaps)
        self._sequence, self._offsets, self._logs, self.newer_waiting = sequence, offsets, logs, waiting
        self._publish(files, gone)
        for name, (place, of_place) in zip(files, fresh.items(), strict=True):
            if not gone or place[1] != columns.NEWER:
                self._ids.add(place, self._folder / name, as_ids([event.event_id for event in of_place]))
        self._ids.trim()

    def _only_fresh(
        self, places: Mapping[DayAndKind, Sequence[Envelope]]
    ) -> dict[DayAndKind, list[Envelope]]:
        fresh = {place: self._unknown_events(place, events) for place, events in places.items()}
        return {place: events for place, events in fresh.items() if events}

    def _unknown_events(self, place: DayAndKind, events: Sequence[Envelope]) -> list[Envelope]:
        by_id = {event.event_id: event for event in events}
        old = self._ids.contains(place, as_ids(list(by_id)))
        found = [event for event, is_old in zip(by_id.values(), old, strict=True) if not is_old]
        self.duplicates += len(events) - len(found)
        return found

    def _write(self, name: str, kind: str, events: Sequence[Envelope], causes: Mapping[bytes, str]) -> None:
        path = self._folder / (name + PARTIAL)
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == columns.NEWER:
            table = columns.newer_table({each.event_id: (each, causes[each.event_id]) for each in events})
        else:
            table = columns.table(kind, events)
        _write_table(path, table)

    def _write_manifest(
        self,
        sequence: int,
        files: Sequence[str],
        gone: Sequence[str],
        newer_waiting: int,
        offsets: Mapping[Partition, tuple[int, uuid.UUID]],
        logs: Mapping[Partition, uuid.UUID | None],
        gaps: Sequence[Mapping[str, Any]],
    ) -> None:
        content = {
            "sequence": sequence,
            "files": files,
            "gone": gone,
            "newer_waiting": newer_waiting,
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

    def _publish(self, files: Sequence[str], gone: Sequence[str]) -> None:
        for name in files:
            with contextlib.suppress(FileNotFoundError):  # renamed before the crash
                (self._folder / (name + PARTIAL)).rename(self._folder / name)
        if gone:
            self._ids.forget()
        for name in gone:
            (self._folder / name).unlink(missing_ok=True)

    def _recover(self) -> None:
        former = self._folder / FORMER_MANIFEST
        if read_manifest(former) is not None and not (self._folder / MANIFEST).exists():
            former.rename(self._folder / MANIFEST)
        content = read_manifest(self._folder / MANIFEST)
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
        self._publish(content["files"], content.get("gone", ()))
        folders.remove_files(self._folder, (MANIFEST + PARTIAL,))
        for kind in self._folder.glob("day=*/kind=*"):
            if not (kind.is_symlink() or kind.parent.is_symlink()):
                folders.remove_files(kind, (f"part-*.parquet{PARTIAL}",))


def files(folder: Path, kind: str) -> Iterator[Path]:
    """List the files of a kind of event that readers may see."""
    return folder.glob(f"day=*/kind={kind}/*.parquet")


def newer_waiting(folder: Path) -> int:
    """Count the events of a folder that are kept whole for a program that knows more."""
    return sum(pq.read_metadata(path).num_rows for path in files(folder, columns.NEWER))


def _write_table(path: Path, table: pa.Table) -> None:
    with path.open("wb") as file:
        pq.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())


def _count_rows(table: pa.Table, players: pa.Array) -> int:
    return int(pc.sum(rows_that_name(table, players)).as_py() or 0)


def _by_day_and_kind(events: Sequence[Envelope]) -> dict[DayAndKind, list[Envelope]]:
    found: dict[DayAndKind, list[Envelope]] = {}
    for event in events:
        kind = event.WhichOneof("event")
        if kind is not None:
            found.setdefault((_day(event), kind), []).append(event)
    return found


def _by_day_of_newer(events: Sequence[Envelope]) -> dict[DayAndKind, list[Envelope]]:
    found: dict[DayAndKind, list[Envelope]] = {}
    for event in events:
        found.setdefault((_day(event), columns.NEWER), []).append(event)
    return found


def _day(event: Envelope) -> str:
    return datetime.datetime.fromtimestamp(event.occurred_at, datetime.UTC).strftime("%Y-%m-%d")


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
