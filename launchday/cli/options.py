"""Options that several commands have, and what they do first."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

import typer

from launchday.terminal import Terminal

AsOneJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report", help="Write the HTML report to this file, and JSON and CSV beside it (report.html)."
    ),
]
Ports = Annotated[
    Literal["set", "free"],
    typer.Option(
        "--ports",
        help=(
            "free: take free ports, and a state folder that no other backend holds, to run beside one; set: "
            "those of the settings."
        ),
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="What the scenario asks for and this command leaves out is a mistake, found before the start.",
    ),
]
TargetClass = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="MODULE:CLASS",
        help="Flood a backend of your own through this class instead (docs/your-own-backend.md).",
    ),
]
RowsFolder = Annotated[
    Path | None,
    typer.Option(
        "--rows",
        help="Write a row a ticket, match and sample into this folder, as Parquet (docs/analyse.md).",
    ),
]
MetricsUrls = Annotated[
    list[str] | None,
    typer.Option(
        "--metrics",
        metavar="URL",
        help="Sample a process's Prometheus text each second into the report, repeatable: "
        "http://127.0.0.1:9100/metrics.",
    ),
]
FindLimit = Annotated[
    bool,
    typer.Option(
        "--find-limit",
        help="Flood at growing rates until an objective breaks, and halve in on the players a second that "
        "hold.",
    ),
]
StepSeconds = Annotated[
    float | None,
    typer.Option(
        "--step-s",
        min=1.0,
        max=86_400.0,
        help="With --find-limit: seconds in which the players of one flood arrive (20 times the objective "
        "of the wait, from 20 to 300).",
    ),
]
PartOf = Annotated[
    str | None,
    typer.Option(
        "--part",
        metavar="K/N",
        help="Flood one part of the players, such as 2/4, with --running or --target; launchday merge adds "
        "the parts up.",
    ),
]
PartPath = Annotated[
    Path | None,
    typer.Option("--part-file", help="With --part: write what it measures to this file (part-K-of-N.zip)."),
]
BeginTime = Annotated[
    str | None,
    typer.Option(
        "--begin",
        metavar="TIME",
        help="With --part: when all parts begin, such as 12:00:05 (UTC) or 2026-11-30T12:00:05+01:00.",
    ),
]
ScenarioArg = Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped one.")]


def compile_parts(names: Collection[str] | None = None) -> int:
    """Compile the kernels of these parts, or all; return how many parts were not compiled before."""
    from launchday.launcher.kernels import ALL_PARTS, compile_kernels
    from launchday.launcher.lifecycle import ProgressPrinter

    return compile_kernels(ProgressPrinter(Terminal(stderr=True)), ALL_PARTS if names is None else names)
