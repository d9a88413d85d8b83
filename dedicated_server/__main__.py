"""``python -m dedicated_server``: one headless game server, for a sidecar on ``AGONES_SDK_HTTP_PORT``."""

from __future__ import annotations

import sys

from dedicated_server import server
from launchday import startup


def run() -> int:
    """Warm up, then serve until SIGTERM; return the exit code."""
    server.warm_up()
    return server.main()


if __name__ == "__main__":
    startup.prepare()
    sys.exit(run())
