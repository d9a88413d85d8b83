"""The admin API, ``/v1``: what the fleet is doing, read-only."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from dedicated_server.fleet import logs
from dedicated_server.fleet.nursery import Nursery
from dedicated_server.fleet.pool import WarmPool
from dedicated_server.fleet.states import State
from launchday import identity
from launchday.problems import Problem
from launchday.service import require

router = APIRouter(
    prefix="/v1",
    tags=["admin"],
    dependencies=[Depends(require(identity.SERVICE, identity.OPERATOR, identity.VIEWER))],
)


def _pool(request: Request) -> WarmPool:
    pool: WarmPool = request.app.state.pool
    return pool


Pool = Annotated[WarmPool, Depends(_pool)]


@router.get("/fleet")
async def fleet(request: Request, pool: Pool) -> dict[str, Any]:
    """Count the servers by region and state."""
    nursery: Nursery = request.app.state.nursery
    regions = pool.counts()
    total: dict[State, int] = {}
    for by_state in regions.values():
        for state, count in by_state.items():
            total[state] = total.get(state, 0) + count
    return {"regions": regions, "total": total, "warm_parent": nursery.as_json()}


@router.get("/gameservers")
async def gameservers(pool: Pool) -> dict[str, Any]:
    """List every server, those gone included."""
    return {"gameservers": [server.summary() for server in pool]}


@router.get("/gameservers/{name}")
async def gameserver(name: str, pool: Pool) -> dict[str, Any]:
    """Show one server: its history, metadata, last report and the tail of its log."""
    server = pool.get(name)
    if server is None:
        raise Problem(404, "unknown-game-server", f"there is no game server {name}")
    return {
        **server.summary(),
        "labels": server.labels,
        "annotations": server.annotations,
        "history": [entry.as_json() for entry in server.history],
        "log": str(server.log),
        "log_tail": await run_in_threadpool(logs.tail, server.log),
    }


@router.get("/books")
async def books(pool: Pool) -> dict[str, Any]:
    """Give the counts since the start, and the last report of every server that ran a match."""
    playing = (
        server
        for region in pool.plan.regions
        for server in pool.in_state(region, State.ALLOCATED).values()
        if server.has_match
    )
    return pool.books.as_json(playing)
