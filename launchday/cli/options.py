"""Options that several commands have, and what they do first."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from launchday.terminal import Terminal

AsOneJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report", help="Write the HTML report to this file, and JSON and CSV beside it (report.html)."
    ),
]
ScenarioArg = Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped one.")]


def compile_parts(names: Collection[str] | None = None) -> int:
    """Compile the kernels of these parts, or all; return how many parts were not compiled before."""
    from launchday.launcher.kernels import ALL_PARTS, compile_kernels
    from launchday.launcher.lifecycle import ProgressPrinter

    return compile_kernels(ProgressPrinter(Terminal(stderr=True)), ALL_PARTS if names is None else names)
