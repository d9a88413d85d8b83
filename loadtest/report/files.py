"""The files of a flood's report: a page, and beside it the figures and the curves, which nobody has named.

Whoever says ``--report peak.html`` may have a ``peak.csv`` of their own there, such as the curve that the
scenario plays. So files beside a report are replaced only where an earlier run has written them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from launchday import outputs
from launchday.outputs import OutputError
from loadtest.report.timeseries_csv import FIRST_COLUMN

MAX_BYTES = 200_000_000


class ReportFiles(NamedTuple):
    """The paths of a report."""

    page: Path
    figures: Path
    curves: Path

    @classmethod
    def of(cls, page: Path) -> ReportFiles:
        """The files of the report whose page is ``page``."""
        return cls(page, page.with_suffix(".json"), page.with_suffix(".csv"))


def check(page: Path | None, *others: Path | None) -> None:
    """Look whether a report and other files can be written, before anything is started.

    Raises:
        OutputError: one of them cannot, or a file beside the report is somebody else's.
    """
    files = () if page is None else ReportFiles.of(page)
    outputs.check(*files, *others)
    if page is not None:
        for path in _foreign(ReportFiles.of(page)):
            raise OutputError(
                f"{path} is beside the report, and no run of ours has written it: name another --report"
            )


def _foreign(files: ReportFiles) -> Iterator[Path]:
    if files.figures.is_file() and not _is_run(files.figures):
        yield files.figures
    if files.curves.is_file() and not _is_timeseries(files.curves):
        yield files.curves


def _is_run(path: Path) -> bool:
    try:
        if path.stat().st_size > MAX_BYTES:
            return False
        content = json.loads(path.read_bytes() or b"{}")
    except (OSError, ValueError, RecursionError):
        return False
    return content == {} or (isinstance(content, dict) and "scenario" in content)


def _is_timeseries(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(len(FIRST_COLUMN) + 1)
    except OSError:
        return False
    return start in (b"", f"{FIRST_COLUMN},".encode())
