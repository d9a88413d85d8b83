"""``python -m meta_service``: serve the API."""

from __future__ import annotations

from launchday import startup
from launchday.clock import SystemClock
from launchday.resilience.start_checks import check_cache
from launchday.resilience.store_checks import check_store
from launchday.service import serve
from launchday.settings import settings
from launchday.telemetry import configure
from meta_service.app import build
from meta_service.start_checks import (
    check_catalogue,
    check_modes,
    check_partitions,
    check_platforms,
    check_schema,
    check_seasons,
)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    own = settings()
    configure("meta_service", own)
    seasons = check_seasons(own.seasons)
    check_modes(own.modes)
    check_platforms(own.oidc)
    check_cache(own.cache_url)
    check_store(own, SystemClock().wall())
    check_partitions(own.cache_url, own.cache_partitions)
    check_schema(own.store_url)
    check_catalogue(own.store_url, own.kinds)
    serve(build(own, seasons=seasons), own.bind_host, own.meta_port)


if __name__ == "__main__":
    startup.prepare()
    main()
