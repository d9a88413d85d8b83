"""A backend of a benchmark's own, in a folder and on ports that nobody else uses."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launchday.launcher import free_ports as launcher_ports
from launchday.launcher import lifecycle
from launchday.launcher.backend import BackendError
from launchday.launcher.kernels import FLOOD_PARTS
from launchday.settings import settings
from launchday.terminal import Terminal
from loadtest.errors import BenchError


def run_backend(use: lifecycle.Play, overrides: Mapping[str, Any]) -> None:
    """Start a backend with these settings, use it, and stop it. Raises BenchError."""
    console = Terminal(stderr=True)
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as folder:
        config = settings().model_copy(update={**overrides, "state_dir": Path(folder)})
        config = config.model_copy(update=launcher_ports.free_ports(config))
        try:
            lifecycle.run_with_backend(config, use, console, fresh=True, kernel_parts=FLOOD_PARTS)
        except BackendError as error:
            raise BenchError(str(error)) from error


def free_ports() -> dict[str, int]:
    """Return free ports by setting, so that a backend of the settings runs beside one that is up already."""
    return launcher_ports.free_ports(settings())
