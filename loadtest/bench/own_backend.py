"""A backend of a benchmark's own, in a folder and on ports that nobody else uses."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launchday.engines import free_port
from launchday.launcher import lifecycle
from launchday.launcher.backend import BackendError
from launchday.launcher.kernels import FLOOD_PARTS
from launchday.launcher.services import SERVICES
from launchday.settings import settings
from launchday.terminal import Terminal
from loadtest.errors import BenchError


def run_backend(use: lifecycle.Play, overrides: Mapping[str, Any]) -> None:
    """Start a backend with these settings, use it, and stop it. Raises BenchError."""
    console = Terminal(stderr=True)
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as folder:
        config = settings().model_copy(update={**overrides, **free_ports(), "state_dir": Path(folder)})
        try:
            lifecycle.run_with_backend(config, use, console, fresh=True, kernel_parts=FLOOD_PARTS)
        except BackendError as error:
            raise BenchError(str(error)) from error


def free_ports() -> dict[str, int]:
    """Return a free TCP port for each service, so that it runs beside a backend that is up already."""
    return {service.port_setting: free_port() for service in SERVICES if service.port_setting}
