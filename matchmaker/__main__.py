"""``python -m matchmaker``: the tickets API."""

from __future__ import annotations

import gc

from launchday import startup, telemetry
from launchday.clock import SystemClock
from launchday.resilience.start_checks import check_cache
from launchday.service import serve
from launchday.settings import settings
from matchmaker.api.app import create_api
from matchmaker.errors import RuleSetsError


def main() -> None:
    """Serve the API with the settings of the environment."""
    configured = settings()
    telemetry.configure("matchmaker", configured)
    try:
        app = create_api(configured, SystemClock())
    except RuleSetsError as refused:
        raise SystemExit(str(refused)) from refused
    check_cache(configured.cache_url)
    # With the default thresholds thousands of open waiters are walked again and again: 155–217 ms at p99, so
    # 36–59.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    serve(app, configured.bind_host, configured.matchmaker_port)


if __name__ == "__main__":
    startup.prepare()
    main()
