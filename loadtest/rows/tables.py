"""The three tables of a run, in pieces of bounded size: written as Parquet, or put together in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from launchday import outputs
from loadtest.rows.columns import TABLES

BATCH_ROWS = 131_072  # of a piece, and of a row group: some 10 MB


@dataclass(frozen=True, slots=True)
class RunTables:
    """The tables of one run.

    Attributes:
        schemas: of each table, by name.
        batches: makes the record batches of a table anew, by its name.
    """

    schemas: dict[str, Any]
    batches: dict[str, Callable[[], Iterator[Any]]]

    def table(self, name: str) -> Any:
        """Return a table whole, as a ``pyarrow.Table``."""
        return pa.Table.from_batches(self.batches[name](), self.schemas[name]).unify_dictionaries()


def paths(folder: Path) -> list[Path]:
    """Return the files that the tables are written to."""
    return [folder / f"{name}.parquet" for name in TABLES]


def check(folder: Path, *others: Path | None) -> None:
    """Look whether the tables can be written, and other files beside them, without writing any.

    Raises:
        OutputError: they cannot.
    """
    outputs.check_folder(folder)
    outputs.check(*others, *(paths(folder) if folder.is_dir() else ()))


def write(tables: RunTables, folder: Path) -> None:
    """Write all tables into a folder, which is made where there is none: all of them, or none.

    Raises:
        OutputError: they cannot be written; former files are still there.
    """
    outputs.make_folder(folder)
    with outputs.whole_files(*paths(folder)) as files:
        for name, file in zip(TABLES, files, strict=True):
            with pq.ParquetWriter(file, tables.schemas[name], compression="zstd") as writer:
                for each in tables.batches[name]():
                    writer.write_batch(each)
