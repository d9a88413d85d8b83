"""The page's process, ``python -m dedicated_server.fleet.console``, which the fleet starts."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import socket

import uvicorn
from fastapi import FastAPI
from nicegui import run, ui

from dedicated_server.fleet.console import overview, players, server_page, servers, sign_in
from launchday import startup, telemetry
from launchday.child_processes import die_with_parent
from launchday.clock import Clock, SystemClock
from launchday.settings import Settings, settings

FAVICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'>"
    "<rect width='32' height='32' rx='8' fill='#2f6fed'/>"
    "<path d='M9 21 16 8l7 13-7-4z' fill='#fff'/></svg>"
)


def create_console(configured: Settings, clock: Clock) -> FastAPI:
    """Build the application with all pages, which ask ``clock`` for the time."""
    # NiceGUI's pool of processes computes nothing for us, and takes semaphores, which lie in /dev/shm: with
    # that full, or missing, no page would be shown.
    run.setup = lambda: None
    app = FastAPI(title="launchday console", docs_url=None, redoc_url=None, openapi_url=None)
    for page in (sign_in, overview, servers, server_page, players):
        page.install(configured, clock)
    secret = configured.identity_secret.get_secret_value() or configured.fleet_key.get_secret_value()
    ui.run_with(
        app,
        title="launchday",
        favicon=FAVICON,
        storage_secret=hmac.new(secret.encode(), b"console sessions", hashlib.sha256).hexdigest(),
        show_welcome_message=False,
        session_middleware_kwargs={"same_site": "lax"},
    )
    return app


def main() -> None:
    """Serve on the socket that the fleet opened, until the fleet ends."""
    parser = argparse.ArgumentParser(prog="console")
    parser.add_argument("--socket", type=int, required=True, help="descriptor of the listening socket")
    parser.add_argument("--fleet", type=int, required=True, help="process id of the fleet")
    parser.add_argument("--url", required=True, help="the fleet's address")
    given = parser.parse_args()
    die_with_parent(given.fleet)
    telemetry.configure("console", settings())
    config = uvicorn.Config(
        create_console(settings().model_copy(update={"fleet_url": given.url}), SystemClock()),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    asyncio.run(uvicorn.Server(config).serve([socket.socket(fileno=given.socket)]))


if __name__ == "__main__":
    startup.prepare()
    main()
