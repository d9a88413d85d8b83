"""What ``launchday merge`` does: add the parts of a flood up to one run, and judge it as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from launchday.settings import Settings
from launchday.terminal import Terminal
from loadtest.command import BAD_SCENARIO, ERROR, FAILED, PASSED, report_outcome
from loadtest.errors import LoadTestError, PartError, TargetError, UnknownRegionError
from loadtest.flood.options import FloodOptions
from loadtest.flood.parts.file import read_part
from loadtest.flood.parts.join import gather, late_parts
from loadtest.flood.parts.merge import merge
from loadtest.report import files


async def merge_parts(
    paths: Sequence[Path], settings: Settings, options: FloodOptions, console: Terminal
) -> int:
    """Add the files of parts up, print the summary of the whole, and write its report.

    Args:
        paths: of the files that ``launchday flood --part`` has written.
        settings: addresses of our own backend's services; they are asked for their counters once.
        options: the target that was flooded, and what is written.
        console: where the summary is printed.

    Returns:
        The exit code: 0 passed; 99 an objective missed, the ledger out of balance, a generator saturated, or
        a part missing, killed or interrupted; 2 files that do not belong together; 1 the backend failed, or a
        file was not written.

    Raises:
        OutputError: a file cannot be written, as is known before anything is read.
    """
    files.check(options.report, options.json)
    try:
        parts = gather([read_part(path) for path in paths])
        for fault in (*parts.faults, *late_parts(parts)):
            console.print(fault, style="yellow")
        for file, run in parts.ended:
            if run.generator.saturated:
                reasons = "; ".join(run.generator.saturation_reasons)
                console.print(f"{file.part}: the load generator was saturated: {reasons}", style="yellow")
        outcome = await merge(parts, settings, options.target)
    except (PartError, TargetError, UnknownRegionError) as error:
        console.print(str(error), style="red")
        return BAD_SCENARIO
    except LoadTestError as error:
        console.print(str(error), style="red")
        return ERROR
    code = report_outcome(outcome, options, console)
    if code == PASSED or not outcome.interrupted:
        return code
    return FAILED  # a part that is missing is no failure of this command
