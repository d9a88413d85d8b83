"""The file of a recorded match: all that the simulation was given, and a hash of its state every second.

It holds inputs, not datagrams. Inputs are what decides a match, they are a tenth of the size, and no key is
needed to read them back, so none is in the file.

Layout; all numbers little endian::

    magic      8  "LDREC004"
    sections, each:
      kind     1  0 match, 1 chunk, 2 end, 3 roster
      stored   4  bytes of the body as stored
      whole    4  bytes of the body when unpacked
      check   16  BLAKE2b of: the check before (16 zero bytes before the first), kind, stored, whole, body
      body        zlib

    match: JSON, the configuration. The first section, once.
    chunk: up to 60 ticks: counts of ticks, changes, updates and rows (4 × 4 bytes), then the columns of
        `COLUMNS` in their order, then the state's hash after the last tick (16 bytes).
    roster: JSON: a tick, and the slots that have another player from then on. Behind the chunk of that tick.
    end: JSON: why the recording ends, and the placements. The last section, if the server lived to write it.

Each check covers the one before, so sections can be neither altered nor left out nor moved. A file that stops
early is a recording of the match up to there; anything else that does not fit is damage.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dedicated_server.errors import DedicatedServerError

MAGIC: Final = b"LDREC004"  # version 4: views have fractions, and are bounded by the player's line
MATCH, CHUNK, END, ROSTER = range(4)
HEAD: Final = struct.Struct("<BII16s")
COUNTS: Final = struct.Struct("<4I")
CHECK_BYTES: Final = 16
CHUNK_TICKS: Final = 60
# Unpacked; 1,600 players who all send as much as they can take half of it.
MAX_SECTION_BYTES: Final = 1 << 27
PACKING: Final = 6  # zlib's usual level: 5 ms for a second of 100 players, in the writer's thread


class RecordingError(DedicatedServerError):
    """A recording cannot be used. The message says what is wrong, and where."""


class NotARecordingError(RecordingError):
    """Raised when a file does not begin as a recording does."""


class DamagedRecordingError(RecordingError):
    """Raised when a section is not what was written, or says what no server would have written."""


class UnknownModeRecordedError(RecordingError):
    """Raised when the mode of a recorded match is not there: name its folder in LAUNCHDAY_MODES."""


class Chunk(NamedTuple):
    """Up to a second of a match: T ticks, C connection changes, U client updates, R inputs.

    Each column is an array. What belongs to a tick follows what belongs to the tick before.
    """

    tick_step: npt.NDArray[np.int32]  # [T] ticks since the one before; more than 1 after an overload
    started: npt.NDArray[np.uint8]  # [T] play begins in this tick
    changes: npt.NDArray[np.uint16]  # [T] slots that changed in it
    updates: npt.NDArray[np.uint16]  # [T] clients with new inputs in it
    change_slot: npt.NDArray[np.uint16]  # [C]
    change_kind: npt.NDArray[np.uint8]  # [C] bits of …_KIND
    change_status: npt.NDArray[np.uint8]  # [C] the slot's status after it
    update_slot: npt.NDArray[np.uint16]  # [U]
    update_step: npt.NDArray[np.int32]  # [U] by how much the client's newest client tick has grown
    update_rows: npt.NDArray[np.uint8]  # [U] how many inputs are new
    row_lag: npt.NDArray[np.int32]  # [R] newest client tick minus the input's
    row_move_x: npt.NDArray[np.int8]  # [R]
    row_move_y: npt.NDArray[np.int8]
    row_yaw: npt.NDArray[np.uint16]
    row_buttons: npt.NDArray[np.uint8]
    row_view_lag: npt.NDArray[np.int32]  # [R] server tick minus the one that the player was shown
    row_view_fraction: npt.NDArray[np.uint8]  # [R] and its fraction, in 1/16
    row_oldest_lag: npt.NDArray[np.int32]  # [R] server tick minus the oldest that their line lets be shown


# Bits of change_kind. A change may be a disconnect and a connect; a newcomer is a player who takes a slot
# over; a slot is vacated whose player is gone for good.
CONNECTED_KIND, DISCONNECTED_KIND, NEWCOMER_KIND, VACATED_KIND = 1, 2, 4, 8

# What a chunk counts, in the order of COUNTS.
TICKS, CHANGES, UPDATES, ROWS = range(4)

# A column's type, and of which count it has one each.
COLUMNS: Final[dict[str, tuple[np.dtype[Any], int]]] = {
    "tick_step": (np.dtype("i4"), TICKS),
    "started": (np.dtype("u1"), TICKS),
    "changes": (np.dtype("u2"), TICKS),
    "updates": (np.dtype("u2"), TICKS),
    "change_slot": (np.dtype("u2"), CHANGES),
    "change_kind": (np.dtype("u1"), CHANGES),
    "change_status": (np.dtype("u1"), CHANGES),
    "update_slot": (np.dtype("u2"), UPDATES),
    "update_step": (np.dtype("i4"), UPDATES),
    "update_rows": (np.dtype("u1"), UPDATES),
    "row_lag": (np.dtype("i4"), ROWS),
    "row_move_x": (np.dtype("i1"), ROWS),
    "row_move_y": (np.dtype("i1"), ROWS),
    "row_yaw": (np.dtype("u2"), ROWS),
    "row_buttons": (np.dtype("u1"), ROWS),
    "row_view_lag": (np.dtype("i4"), ROWS),
    "row_view_fraction": (np.dtype("u1"), ROWS),
    "row_oldest_lag": (np.dtype("i4"), ROWS),
}


def new_chunk(counts: Sequence[int]) -> Chunk:
    """Allocate a chunk for so many ticks, changes, updates and rows."""
    return Chunk(**{name: np.zeros(counts[of], dtype) for name, (dtype, of) in COLUMNS.items()})


def used_part(chunk: Chunk, counts: Sequence[int]) -> Chunk:
    """The first so many of each column."""
    return Chunk(**{name: getattr(chunk, name)[: counts[of]] for name, (_, of) in COLUMNS.items()})


def pack_chunk(chunk: Chunk, state_hash: bytes) -> bytes:
    """The body of a chunk."""
    counts = COUNTS.pack(
        len(chunk.tick_step), len(chunk.change_slot), len(chunk.update_slot), len(chunk.row_lag)
    )
    return b"".join((counts, *(_little_endian(column).tobytes() for column in chunk), state_hash))


def unpack_chunk(body: bytes) -> tuple[Chunk, bytes]:
    """The reverse: the chunk, and the state's hash after it. Raises DamagedRecordingError."""
    if len(body) < COUNTS.size + CHECK_BYTES:
        raise DamagedRecordingError("a chunk is too short for its counts")
    counts = COUNTS.unpack_from(body)
    size = sum(counts[of] * dtype.itemsize for dtype, of in COLUMNS.values())
    if COUNTS.size + size + CHECK_BYTES != len(body):
        raise DamagedRecordingError("a chunk is not as long as its counts say")
    at, columns = COUNTS.size, {}
    for name, (dtype, of) in COLUMNS.items():
        columns[name] = np.frombuffer(body, dtype.newbyteorder("<"), counts[of], at).astype(dtype)
        at += columns[name].nbytes
    chunk = Chunk(**columns)
    _check_sums(chunk, counts)
    return chunk, body[at:]


def _little_endian(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return column.astype(column.dtype.newbyteorder("<"), copy=False)


def _check_sums(chunk: Chunk, counts: tuple[int, ...]) -> None:
    ticks, changes, updates, rows = counts
    if not 1 <= ticks <= CHUNK_TICKS or int(chunk.tick_step.min()) < 1:
        raise DamagedRecordingError("a chunk has no ticks, too many, or one that does not follow")
    sums = int(chunk.changes.sum()), int(chunk.updates.sum()), int(chunk.update_rows.sum())
    if sums != (changes, updates, rows):
        raise DamagedRecordingError("the ticks of a chunk do not add up to its columns")


class SectionWriter:
    """Writes sections behind each other, each flushed to the system at once. Raises OSError.

    Attributes:
        written_bytes: up to the end of the last section that was written whole.
        sections: how many were.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._check = bytes(CHECK_BYTES)
        self.written_bytes = len(MAGIC)
        self.sections = 0
        file.write(MAGIC)

    def write(self, kind: int, body: bytes) -> None:
        """Append a section."""
        stored = zlib.compress(body, PACKING)
        self._check = _check(self._check, kind, len(body), stored)
        self._file.write(HEAD.pack(kind, len(stored), len(body), self._check) + stored)
        self._file.flush()
        self.written_bytes += HEAD.size + len(stored)
        self.sections += 1


@dataclass(frozen=True)
class Section:
    """One section of a file."""

    kind: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body of a match or an end. Raises DamagedRecordingError."""
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise DamagedRecordingError(f"a description is not JSON: {error}") from None
        if not isinstance(content, dict):
            raise DamagedRecordingError("a description is not a JSON object")
        return content


class SectionPlace(NamedTuple):
    """Where a section lies, and the check of the one before."""

    at: int
    check_before: bytes


def read_sections(path: Path) -> Iterator[Section]:
    """The sections of a file that are there whole, one in memory at a time.

    Raises NotARecordingError, DamagedRecordingError, and OSError where the file cannot be read.
    """
    for _, section in read_places(path):
        yield section


def read_section(path: Path, place: SectionPlace) -> Section:
    """One section again. Raises DamagedRecordingError where it is another now, and OSError."""
    with path.open("rb") as file:
        file.seek(place.at)
        found = _next_section(path, file, place.check_before)
    if found is None:
        raise DamagedRecordingError(f"{path} is shorter than it was")
    return found[0]


def read_places(path: Path) -> Iterator[tuple[SectionPlace, Section]]:
    """The sections as `read_sections` gives them, and where each lies, for `read_section`."""
    with path.open("rb") as file:
        magic = file.read(len(MAGIC))
        if magic[:5] == MAGIC[:5] and magic != MAGIC and magic[5:].isdigit():
            raise NotARecordingError(
                f"{path} is a recording of version {int(magic[5:])}, and this launchday reads version "
                f"{int(MAGIC[5:])}: replay it with the one that wrote it"
            )
        if magic != MAGIC:
            raise NotARecordingError(f"{path} is not a recording")
        place = SectionPlace(file.tell(), bytes(CHECK_BYTES))
        while (found := _next_section(path, file, place.check_before)) is not None:
            section, check = found
            yield place, section
            place = SectionPlace(file.tell(), check)


def _next_section(path: Path, file: BinaryIO, check_before: bytes) -> tuple[Section, bytes] | None:
    """Read the section that begins here, and its check; None where it is not there whole."""
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    kind, stored_bytes, whole_bytes, claimed = HEAD.unpack(head)
    if max(stored_bytes, whole_bytes) > MAX_SECTION_BYTES:
        raise DamagedRecordingError(f"{path}: a section claims to be too large")
    stored = file.read(stored_bytes)
    if len(stored) < stored_bytes:
        return None
    if _check(check_before, kind, whole_bytes, stored) != claimed:
        raise DamagedRecordingError(f"{path}: a section's check is wrong")
    return Section(kind, _unpack(stored, whole_bytes)), claimed


def _check(before: bytes, kind: int, whole_bytes: int, stored: bytes) -> bytes:
    digest = hashlib.blake2b(before, digest_size=CHECK_BYTES)
    digest.update(struct.pack("<BII", kind, len(stored), whole_bytes))
    digest.update(stored)
    return digest.digest()


def _unpack(stored: bytes, whole_bytes: int) -> bytes:
    """Unpack no more than what was announced, whatever the bytes would grow to."""
    unpacker = zlib.decompressobj()
    try:
        body = unpacker.decompress(stored, whole_bytes + 1)
    except zlib.error as error:
        raise DamagedRecordingError(f"a section cannot be unpacked: {error}") from None
    if len(body) != whole_bytes or not unpacker.eof or unpacker.unused_data:
        raise DamagedRecordingError("a section is not as long as it says")
    return body
