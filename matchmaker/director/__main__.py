"""``python -m matchmaker.director``: direct every queue."""

from __future__ import annotations

import asyncio
import contextlib

import uvloop

from launchday import startup, telemetry
from launchday.clock import SystemClock
from launchday.resilience.start_checks import check_cache
from launchday.settings import settings
from matchmaker.director.director import run
from matchmaker.errors import RuleSetsError
from matchmaker.rules.modes import load_modes


def main() -> None:
    """Run the director with the settings of the environment."""
    configured = settings()
    telemetry.configure("director", configured)
    try:
        load_modes(configured)  # its mistakes are told before anything else
        check_cache(configured.cache_url)
        with contextlib.suppress(asyncio.CancelledError):  # asked to stop
            uvloop.run(run(configured, SystemClock()))
    except RuleSetsError as refused:
        raise SystemExit(str(refused)) from refused


if __name__ == "__main__":
    startup.prepare()
    main()
