"""``python -m dedicated_server.fleet.autoscaling``: the sizing policy as a webhook of its own, for the autoscaler of an Agones fleet."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import httpx
from fastapi import FastAPI

from dedicated_server.fleet.autoscaling import demand
from dedicated_server.fleet.autoscaling.sizing import Sizing
from launchday import service, telemetry
from launchday.settings import Settings, settings


def create_webhook(configured: Settings, sizing: Sizing, match_s: float) -> FastAPI:
    """Build the application: ``POST /autoscale``, fed by the matchmaker that the settings name."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        token = app.state.signer.service_token("autoscaler", time.time(), 365 * 24 * 3600.0)
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, trust_env=False) as http:
            polling = asyncio.create_task(demand.poll(app.state.demand, http, configured.matchmaker_url))
            try:
                yield
            finally:
                polling.cancel()

    app = service.create_app("launchday autoscaler", configured, lifespan)
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
        "--blocking", type=float, default=0.001, help="share of matches that may find none Ready"
    )
    parser.add_argument("--least-idle", type=int, default=1, help="idle servers at least")
    parser.add_argument("--most", type=int, default=1_000_000, help="servers at most")
    parser.add_argument(
        "--match-s", type=float, default=0.0, help="seconds of a match; 0: match_s of the settings"
    )
    given = parser.parse_args()
    telemetry.configure("autoscaler", settings())
    sizing = Sizing(given.startup_s, given.sync_s, given.blocking, given.least_idle, given.most)
    app = create_webhook(settings(), sizing, given.match_s or settings().match_s)
    service.serve(app, settings().bind_host, given.port)


if __name__ == "__main__":
    main()
