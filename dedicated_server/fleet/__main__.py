"""``python -m dedicated_server.fleet``: the allocator, the admin API, and the game servers behind them."""

from __future__ import annotations

from dedicated_server.fleet.app import create_fleet
from launchday import service, telemetry
from launchday.settings import settings


def main() -> None:
    """Serve until SIGTERM."""
    telemetry.configure("fleet", settings())
    service.serve(create_fleet(settings()), settings().bind_host, settings().fleet_port)


if __name__ == "__main__":
    main()
