"""Events on disk while the broker is unavailable: a file for each batch, whole or absent after any crash.

Layout of a file, integers little-endian:

    8 bytes   magic "LDSPOOL1"
    then, for each event:
    uint32    length of the payload, 1 … 1 MiB
    uint32    CRC-32 of the payload
    bytes     payload: one serialised Envelope

A file is written under a temporary name, synced and renamed. The process that resends a file holds a lock on
it, and deletes it after the broker has acknowledged all of it. A crash in between means a second delivery,
which the inbox makes harmless.

The programs of one machine share the folder, and may be of two versions. What one of them does not know it
leaves to the other: files of another magic, and ``.newer`` files, into which it puts what it cannot send.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import threading
import zlib
from collections.abc import Container, Generator, Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from rewards.errors import SpoolDamagedError

MAGIC = b"LDSPOOL1"
MAX_PAYLOAD_BYTES = 1 << 20
SUFFIX = ".spool"
NEWER_SUFFIX = ".newer"  # whole, and for a program that knows more
DAMAGED_SUFFIX = ".damaged"  # for a person to look at
FAMILY = MAGIC[:7]  # the magic of every version of this form
_HEADER = struct.Struct("<II")


def encode(events: Iterable[bytes]) -> bytes:
    """Return the bytes of a spool file that holds these serialised events.

    Raises ValueError for one that is too large.
    """
    parts = [MAGIC]
    for payload in events:
        if not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
            raise ValueError(f"an event has {len(payload)} bytes; 1 to {MAX_PAYLOAD_BYTES} fit a spool")
        parts += (_HEADER.pack(len(payload), zlib.crc32(payload)), payload)
    return b"".join(parts)


def decode(data: bytes) -> list[bytes]:
    """Return the serialised events of a spool file.

    Raises SpoolDamagedError, which carries the events before the damage.
    """
    if not data.startswith(MAGIC):
        raise SpoolDamagedError("the file does not begin with the magic of a spool", [])
    events: list[bytes] = []
    at = len(MAGIC)
    while at < len(data):
        if len(data) - at < _HEADER.size:
            raise SpoolDamagedError(f"cut short at byte {at}", events)
        length, checksum = _HEADER.unpack_from(data, at)
        start, at = at, at + _HEADER.size + length
        if not 0 < length <= MAX_PAYLOAD_BYTES or at > len(data):
            raise SpoolDamagedError(f"impossible event length {length} at byte {start}", events)
        payload = data[at - length : at]
        if zlib.crc32(payload) != checksum:
            raise SpoolDamagedError(f"wrong checksum at byte {start}", events)
        events.append(payload)
    return events


def write(folder: Path, name: str, events: Iterable[bytes], suffix: str = SUFFIX) -> Path:
    """Write a spool file, durable when this returns.

    Blocks on the disk: call it in a thread. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name + suffix)
    # A thread of its own name: one whose caller was cancelled writes on beside the next attempt.
    partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(encode(events))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return path


class Claim:
    """A spool file that this process alone resends, until it is closed or the process ends.

    Attributes:
        events: the serialised envelopes in it.
        damage: what is wrong with the rest of the file; empty when nothing is.
        newer: what of it this program does not know, so that it is kept for another; empty when nothing is.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._file = file
        self.damage = self.newer = ""
        try:
            self.events = decode(file.read())
        except SpoolDamagedError as error:
            self.events, self.damage = list(error.intact), str(error)

    def complete(self) -> None:
        """Delete the file, whose events are delivered; keep a damaged or a newer one under another name."""
        if self.damage:
            self.path.rename(self.path.with_suffix(DAMAGED_SUFFIX))
        elif self.newer:
            self.path.rename(self.path.with_suffix(NEWER_SUFFIX))
        else:
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()  # and with it the lock


def pending_files(folder: Path) -> list[Path]:
    """Return the spool files in ``folder``, oldest name first; a file of another form is somebody else's."""
    return [path for path in sorted(folder.glob(f"*{SUFFIX}")) if _is_spool(path)] if folder.is_dir() else []


def newer_files(folder: Path) -> list[Path]:
    """Return the files in ``folder`` that a program has left to one that knows more, oldest name first."""
    return [path for path in sorted(folder.glob(f"*{NEWER_SUFFIX}")) if _is_spool(path)]


def count_newer(folder: Path) -> tuple[int, int]:
    """Count what waits for a program that knows more: events, and files of a newer form."""
    events = 0
    for path in newer_files(folder):
        try:
            events += len(decode(path.read_bytes()))
        except SpoolDamagedError as error:
            events += len(error.intact)
        except FileNotFoundError:
            continue
    paths = [*folder.glob(f"*{SUFFIX}"), *folder.glob(f"*{NEWER_SUFFIX}")]
    return events, sum(_is_spool(path, FAMILY) and not _is_spool(path) for path in paths)


def _is_spool(path: Path, magic: bytes = MAGIC) -> bool:
    with contextlib.suppress(OSError):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                return file.read(len(magic)) == magic
    return False


def claim_files(folder: Path, but: Container[str] = ()) -> Generator[Claim, None, None]:
    """Claim the spool files of ``folder`` one after another, except those that another process resends.

    Blocks on the disk.

    Args:
        folder: where they lie.
        but: names of newer files that this program has looked into.
    """
    newer = [path for path in newer_files(folder) if path.name not in but]
    for path in [*pending_files(folder), *newer]:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        if not path.exists():  # another process finished it between our open and our lock
            file.close()
            continue
        with Claim(path, file) as claim:
            yield claim
