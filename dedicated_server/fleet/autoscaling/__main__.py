"""``python -m dedicated_server.fleet.autoscaling``: the sizing policy as a webhook for an Agones fleet."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

from fastapi import FastAPI

from dedicated_server.cards import CardError
from dedicated_server.fleet.autoscaling import demand
from dedicated_server.fleet.autoscaling.sizing import Sizing
from launchday import service, startup, telemetry
from launchday.clock import Clock, SystemClock
from launchday.resilience.http_client import ServiceClient
from launchday.settings import Settings, settings

TOKEN_TTL_S = 30 * 24 * 3600.0  # signed anew at half of it


def create_webhook(
    configured: Settings, sizing: Sizing, match_s: float, clock: Clock | None = None
) -> FastAPI:
    """Build the application: ``POST /autoscale``, fed by the matchmaker that the settings name.

    Args:
        configured: the matchmaker's address, and the key that signs the token for it.
        sizing: the policy of every fleet that asks.
        match_s: seconds that a match takes a server.
        clock: the system's by default.
    """
    clock = clock or SystemClock()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        token = app.state.signer.service_tokens("autoscaler", clock, TOKEN_TTL_S)
        async with ServiceClient(
            configured.matchmaker_url, token=token, connections=1, clock=clock
        ) as matchmaker:
            polling = asyncio.create_task(demand.poll(app.state.demand, matchmaker, clock))
            try:
                yield
            finally:
                polling.cancel()

    app = service.create_app("launchday autoscaler", configured, lifespan, clock=clock, keys="fleet")
    app.state.demand = demand.DemandMeter(match_s, float(configured.match_players))
    app.state.sizing = lambda _fleet: sizing
    app.include_router(demand.router)
    return app


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="autoscaling", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=8106, help="TCP port to listen on")
    parser.add_argument("--startup-s", type=float, default=30.0, help="seconds until a new server is Ready")
    parser.add_argument(
        "--sync-s", type=float, default=30.0, help="seconds between two questions: the autoscaler's sync"
    )
    parser.add_argument(
        "--blocking", type=float, default=0.001, help="share of matches that may find no Ready server"
    )
    parser.add_argument(
        "--min-idle", type=int, default=1, help="idle servers to keep however low the demand is"
    )
    parser.add_argument("--max-replicas", type=int, default=1_000_000, help="limit on all servers")
    parser.add_argument(
        "--match-s",
        type=float,
        default=0.0,
        help="seconds that a match takes; 0: as the settings or the mode's card says",
    )
    given = parser.parse_args()
    telemetry.configure("autoscaler", settings())
    sizing = Sizing(given.startup_s, given.sync_s, given.blocking, given.min_idle, given.max_replicas)
    try:
        match_s = given.match_s or demand.usual_match_s(settings())
    except CardError as error:
        sys.exit(str(error))
    app = create_webhook(settings(), sizing, match_s)
    service.serve(app, settings().bind_host, given.port)


if __name__ == "__main__":
    startup.prepare()
    main()
