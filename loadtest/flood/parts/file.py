"""The file of a part of a flood: what was there when it began and, once it has ended, all that it measured.

A zip with ``part.json``, which is written when the part begins, and ``run.msgpack``, which comes at its end.
So a part that was killed, or still plays, is known by what it lacks. Whatever is read is checked: a file of
another program, a cut one and one that claims to be huge are an error of one line.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from launchday.outputs import write_whole
from loadtest.errors import PartError
from loadtest.flood.conditions import MachineUse
from loadtest.flood.metrics.history import MetricsHistory
from loadtest.flood.outcome import GeneratorHealth
from loadtest.flood.parts.before import Before
from loadtest.flood.watching.allocations import FailedMatch, LostServer
from loadtest.flood.watching.timeline import Timeline
from loadtest.players.player_records import Wait
from loadtest.players.requests import RequestStatistics
from loadtest.scenario.part import MAX_PARTS, Part

VERSION = 1
HEADER, RUN = "part.json", "run.msgpack"
MAX_FILE_BYTES = 500_000_000
MAX_HEADER_BYTES = 20_000_000
MAX_RUN_BYTES = 300_000_000  # 50,000 players for an hour are a fifth
MAX_RUN_S = 400 * 86_400.0


class PartHeader(msgspec.Struct, frozen=True):
    """What is written when a part begins.

    Attributes:
        version: of this format.
        part, of: which part, and of how many.
        scenario: as JSON, the whole of it.
        name: of the scenario.
        seed: of the scenario.
        run_id: eight hexadecimal digits.
        started_at: Unix seconds at which the run's clock began.
        target: name of a foreign target; "" of our own backend.
        before: what had been counted.
    """

    version: int
    part: int
    of: int
    scenario: str
    name: str
    seed: int
    run_id: str
    started_at: float
    target: str = ""
    before: Before = Before()


class FaultCame(msgspec.Struct, frozen=True):
    """What came of one fault of the scenario, which is the one of that place in the scenario's list."""

    index: int
    began_s: float | None
    ended_s: float | None
    killed: list[str]
    stopped: list[str]


class PartRun(msgspec.Struct):
    """What a part measured.

    Attributes:
        wall_s, played_s, interrupted: as of the outcome of a run.
        columns: of the players' records, by name: a number a player of the part.
        words: of the players' records, by name: a text a player of the part.
        back_s: seconds until players who had crashed were back.
        roam_back_s, return_s: as of the players' records.
        waits, vain_waits: by the players' numbers in the part.
        parties: parties that were matched, and how many of them are in one match.
        requests: by kind; failed_at_s, shortages: as of a log of requests.
    """

    wall_s: float
    played_s: float
    interrupted: str
    columns: dict[str, list[float]]
    words: dict[str, list[str]]
    back_s: list[float]
    waits: list[Wait]
    vain_waits: list[Wait]
    timeline: Timeline
    reports: list[dict[str, Any]]
    generator: GeneratorHealth
    parties: tuple[int, int]
    servers_used: int
    faults: list[FaultCame]
    failed_matches: list[FailedMatch]
    lost_servers: list[LostServer]
    requests: dict[str, RequestStatistics]
    failed_at_s: list[float]
    shortages: dict[str, int]
    metrics: list[MetricsHistory]
    machine: MachineUse
    roam_back_s: list[float] = []
    return_s: list[float] = []
    left_out: list[str] = []
    not_measured: list[str] = []


class PartFile(msgspec.Struct):
    """A part as it was read.

    Attributes:
        path: of the file.
        header: what was there when it began.
        run: what it measured; None where it has not ended.
    """

    path: Path
    header: PartHeader
    run: PartRun | None = None

    @property
    def part(self) -> Part:
        """Which part it is."""
        return Part(self.header.part, self.header.of)


def write_part(path: Path, header: PartHeader, run: PartRun | None = None) -> None:
    """Write the file of a part that begins, or of one that has ended. Raises OutputError."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(HEADER, msgspec.json.encode(header, enc_hook=_plain))
        if run is not None:
            archive.writestr(RUN, msgspec.msgpack.encode(run, enc_hook=_plain))
    write_whole(path, data.getvalue())


def read_part(path: Path) -> PartFile:
    """Read the file of a part. Raises PartError, which names the file and what is wrong with it."""
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for whoever writes into it
            raise PartError(f"{path} cannot be read: it is no file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise PartError(f"{path} is longer than {MAX_FILE_BYTES:,} bytes: it is no part of a flood")
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if HEADER not in names:
                raise PartError(f"{path} is no part of a flood: give what launchday flood --part has written")
            header = msgspec.json.decode(_bounded(archive, HEADER, MAX_HEADER_BYTES, path), type=PartHeader)
            _check_header(header, path)
            if RUN not in names:
                return PartFile(path, header)
            content = _bounded(archive, RUN, MAX_RUN_BYTES, path)
        run = msgspec.msgpack.decode(content, type=PartRun)
        _check_run(run, path)
    except OSError as error:
        raise PartError(f"{path} cannot be read: {error.strerror or error}") from error
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
        struct.error,
        msgspec.MsgspecError,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        OverflowError,
    ) as error:
        raise PartError(f"{path} is no part of a flood, or damaged: {_line(error)}") from error
    return PartFile(path, header, run)


def clear_for_part(path: Path) -> None:
    """Remove the part of an earlier flood, which would be taken for this one if it were killed at its start.

    Raises PartError for a file that is no part of a flood: somebody else's is left alone.
    """
    if path.exists():
        try:
            read_part(path)
        except PartError as error:
            raise PartError(f"{path} is there and no part of a flood: name another --part-file") from error
        path.unlink(missing_ok=True)


def _bounded(archive: zipfile.ZipFile, name: str, limit: int, path: Path) -> bytes:
    with archive.open(name) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise PartError(f"{path}: {name} is longer than {limit:,} bytes: it is no part of a flood")
    return content


def _check_header(header: PartHeader, path: Path) -> None:
    if header.version != VERSION:
        raise PartError(
            f"{path} is of version {header.version}, and this reads version {VERSION}: flood and merge with "
            "the same release"
        )
    if not 1 <= header.part <= header.of <= MAX_PARTS or not np.isfinite(header.started_at):
        raise ValueError(f"part {header.part} of {header.of}")


def _check_run(run: PartRun, path: Path) -> None:
    """Check what types alone do not tell: that all columns are of the same players."""
    lengths = {*map(len, run.columns.values()), *map(len, run.words.values())}
    if len(lengths) != 1:
        raise ValueError("its columns are not of the same players")
    (count,) = lengths
    if any(not 0 <= wait.bot < count for wait in (*run.waits, *run.vain_waits)):
        raise ValueError("a wait is of a player whom it has not")
    times_s = np.array([run.wall_s, run.played_s, *run.timeline.at_s])
    if not np.all((times_s >= 0.0) & (times_s <= MAX_RUN_S)):  # NaN is neither
        raise ValueError("its times are none")
    samples = len(run.timeline.at_s)
    if any(len(counts) != samples for counts in run.timeline.players.values()):
        raise ValueError("its samples are not of the same times")


def _plain(value: Any) -> Any:
    """What msgspec does not know: numbers and arrays of numpy's."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist() if isinstance(value, np.ndarray) else value.item()
    raise NotImplementedError(f"{type(value).__name__} has no place in the file of a part")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
