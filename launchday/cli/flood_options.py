"""Checks the options of a flood that belong together, before anything is started."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from launchday import outputs
from launchday.cli.inputs import USAGE_ERROR, CommandError, usage_errors

if TYPE_CHECKING:
    from loadtest.flood.options import FloodOptions


def read_metrics(urls: Sequence[str] | None) -> tuple[str, ...]:
    """The addresses of ``--metrics``. Raises CommandError for one that is none."""
    if not urls:
        return ()
    from loadtest.flood.metrics.sampler import why_not_sampled

    if (mistake := why_not_sampled(urls)) is not None:
        raise CommandError(mistake, USAGE_ERROR)
    return tuple(urls)


def with_limit(
    options: FloodOptions, find_limit: bool, step_s: float | None, part: str | None
) -> FloodOptions:
    """The options with those of ``--find-limit``. Raises CommandError where they contradict others."""
    if not find_limit:
        if step_s is not None:
            raise CommandError("--step-s is for --find-limit: give both, or none", USAGE_ERROR)
        return options
    for given, option in ((part is not None, "--part"), (options.rows is not None, "--rows")):
        if given:
            raise CommandError(
                f"--find-limit floods many times, and {option} is for one flood: leave one of them out",
                USAGE_ERROR,
            )
    return replace(options, find_limit=True, step_s=step_s)


def with_part(
    options: FloodOptions,
    part: str | None,
    part_file: Path | None,
    begin: str | None,
    *,
    started_here: bool,
) -> FloodOptions:
    """The options with those of ``--part``.

    Args:
        options: the others.
        part, part_file, begin: as they were given.
        started_here: whether this command starts the backend, which no other part could then reach.

    Raises:
        CommandError: they are wrong, contradict others, or name a file that is no part of a flood.
    """
    if part is None:
        for given, option in ((part_file, "--part-file"), (begin, "--begin")):
            if given is not None:
                raise CommandError(f"{option} is for --part: give both, or none", USAGE_ERROR)
        return options
    from loadtest.flood.parts.begin import begin_time
    from loadtest.flood.parts.file import clear_for_part
    from loadtest.scenario.part import Part

    if started_here:
        raise CommandError(
            "--part floods a backend that all parts reach: give --running or --target, too", USAGE_ERROR
        )
    for found, option in (
        (options.report, "--report"),
        (options.json, "--save"),
        (options.rows, "--rows"),
        (options.as_json or None, "--json"),
    ):
        if found is not None:
            raise CommandError(
                f"a part judges nothing: leave {option} out, and give it to launchday merge", USAGE_ERROR
            )
    with usage_errors():
        chosen = Part.parse(part)
        path = part_file or Path(chosen.file_name)
        outputs.check(path)
        begin_at = None if begin is None else begin_time(begin, time.time())
        clear_for_part(path)
    return replace(options, part=(chosen.number, chosen.of), part_file=path, begin_at=begin_at)
