"""``python -m dedicated_server.fleet``: the allocator, the admin API, and the game servers behind them."""

from __future__ import annotations

import sys

from dedicated_server.cards import CardError
from dedicated_server.fleet.app import create_fleet
from dedicated_server.fleet.configuration import ConfigurationError
from launchday import service, startup, telemetry
from launchday.clock import SystemClock
from launchday.resilience.bus import Bus
from launchday.settings import settings


def main() -> None:
    """Serve until SIGTERM."""
    telemetry.configure("fleet", settings())
    Bus.of(settings(), SystemClock())  # what is wrong with Kafka's settings is one line
    try:
        app = create_fleet(settings())
    except ConfigurationError as error:
        sys.exit(f"error: {error}")
    except CardError as error:
        sys.exit(str(error))
    service.serve(app, settings().bind_host, settings().fleet_port, client_ca=settings().fleet_client_ca)


if __name__ == "__main__":
    startup.prepare()
    main()
