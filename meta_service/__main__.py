"""``python -m meta_service``: serve the API."""

from __future__ import annotations

from launchday.service import serve
from launchday.settings import settings
from launchday.telemetry import configure
from meta_service.app import build


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    own = settings()
    configure("meta_service", own)
    serve(build(own), own.bind_host, own.meta_port)


if __name__ == "__main__":
    main()
