"""``python -m rewards.analytics.erase``: what the files have of a player, or players out of the files.

A running analytics process takes deleted players out by itself, where LAUNCHDAY_STORE_URL is set. This is for
a copy of the files, and for the rows that an export of a player does not have.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from launchday import startup
from launchday.clock import SystemClock
from launchday.settings import settings
from launchday.terminal import Terminal, show_error
from rewards.analytics import columns
from rewards.analytics.lake import Lake, files
from rewards.analytics.pseudonyms import rows_that_name
from rewards.errors import LakeInUseError


def rows_of(folder: Path, player_id: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of a folder of Parquet files that name a player, each with its kind of event."""
    wanted = pa.array([player_id], pa.int64())
    for kind in columns.KINDS:
        for path in sorted(files(folder, kind)):
            table = pq.read_table(path)
            for row in table.filter(rows_that_name(table, wanted)).to_pylist():
                yield {"kind": kind, **row}


def main(arguments: Sequence[str] | None = None) -> int:
    """Show or erase players; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rewards.analytics.erase", description=main.__doc__)
    parser.add_argument("players", nargs="+", type=int, metavar="PLAYER_ID", help="whom")
    parser.add_argument("--show", action="store_true", help="print the rows that name them, a JSON line each")
    parser.add_argument("--folder", type=Path, help="of the files (default: that of LAUNCHDAY_STATE_DIR)")
    chosen = parser.parse_args(arguments)
    folder = chosen.folder or settings().state_dir / "analytics"
    if not folder.is_dir():
        show_error(f"there is no folder {folder}: give --folder")
        return 2
    if chosen.show:
        for player_id in chosen.players:
            for row in rows_of(folder, player_id):
                print(json.dumps(row, default=_as_text))
        return 0
    draw = SystemClock().random("pseudonym").getrandbits
    lake = Lake(folder)
    try:
        lake.open()
    except LakeInUseError as error:
        show_error(f"{error}: stop analytics first, or let it do this by itself")
        return 1
    try:
        rows = lake.replace_players({player_id: draw(62) | 1 for player_id in chosen.players})
    finally:
        lake.close()
    Terminal().print(f"{rows} rows have other numbers now")
    return 0


def _as_text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    startup.prepare()
    sys.exit(main())
