"""The admin API, ``/v1``: what the fleet is doing. It needs the role viewer, operator or service.

What changes something is in `operations`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse

from dedicated_server.fleet.admin.autoscaler import FleetAutoscaler
from dedicated_server.fleet.admin.count_history import CountHistory
from dedicated_server.fleet.agones.allocator import Allocator
from dedicated_server.fleet.feeds import SpectatorFeeds
from dedicated_server.fleet.pool import logs
from dedicated_server.fleet.pool.gameserver import GameServer
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import State
from dedicated_server.fleet.warm.supervisor import WarmParents
from dedicated_server.match.spectator_frame import FeedVersionError
from launchday import identity
from launchday.problems import ProblemError
from launchday.service import require

HEARTBEAT_S = 15.0  # between two comments on an event stream that has no news
MAX_WAIT_S = 30.0

router = APIRouter(
    prefix="/v1",
    tags=["admin"],
    dependencies=[Depends(require(identity.SERVICE, identity.OPERATOR, identity.VIEWER))],
)


async def _pool(request: Request) -> WarmPool:  # async: FastAPI runs others in a worker thread
    pool: WarmPool = request.app.state.pool
    return pool


Pool = Annotated[WarmPool, Depends(_pool)]


def server_named(pool: WarmPool, name: str) -> GameServer:
    """The server of that name; raises Problem."""
    server = pool.get(name)
    if server is None:
        raise ProblemError(404, "unknown-game-server", f"there is no game server {name}")
    return server


@router.get("/fleet")
async def fleet(request: Request, pool: Pool) -> dict[str, Any]:
    """Count the servers by region and state."""
    warm_parents: WarmParents = request.app.state.warm_parents
    regions = pool.counts()
    total: dict[State, int] = {}
    for by_state in regions.values():
        for state, count in by_state.items():
            total[state] = total.get(state, 0) + count
    parents = warm_parents.as_json()
    return {"regions": regions, "total": total, "warm_parent": parents[0], "warm_parents": parents}


@router.get("/fleets")
async def fleets(request: Request, pool: Pool) -> dict[str, Any]:
    """List the fleets, one a region: servers by state, idle servers wanted, the last decision.

    ``starting``: servers that have not begun their match yet. ``starts``: of all regions, for they share the
    machine, how many there are, how many may be, and how many were late so far.
    """
    scaler: FleetAutoscaler = request.app.state.autoscaler
    return {
        "fleets": [
            {
                "name": name,
                "counts": region.counts(),
                "replicas": sum(len(servers) for servers in region.in_state.values()),
                "idle_wanted": region.idle_wanted,
                "max_servers": region.max_servers,
                "idle_server_s": round(region.idle_server_s, 1),
                "used_server_s": round(region.used_server_s, 1),
                "startup_delay_s": pool.config.startup_delay_s.get(name, 0.0),
                "cordoned": region.cordoned,
                "draining": region.draining,
                "starting": sum(one in pool.starts for one in region.in_state[State.ALLOCATED]),
                "policy": type(scaler.regions[name].autoscaler.policy).__name__,
                "set_by": None if (override := scaler.overrides.get(name)) is None else override.as_json(),
                "sync_s": scaler.regions[name].autoscaler.sync_s,
                "decision": scaler.regions[name].last or None,
            }
            for name, region in pool.regions.items()
        ],
        "max_servers": pool.config.max_servers,
        "starts": pool.starts.as_json(),
        "epoch": pool.changes.epoch,
        "seq": pool.changes.last,
    }


@router.get("/gameservers")
async def gameservers(
    pool: Pool,
    region: Annotated[str | None, Query(description="Only those of one region.")] = None,
    state: Annotated[State | None, Query(description="Only those in one state.")] = None,
    live: Annotated[bool, Query(description="Leave out those that are gone.")] = False,
) -> dict[str, Any]:
    """List every server, those that are gone included."""
    return {
        "gameservers": [
            server.summary()
            for server in pool
            if (region is None or server.region == region)
            and (state is None or server.state is state)
            and not (live and server.gone)
        ]
    }


@router.get("/gameservers/{name}")
async def gameserver(name: str, pool: Pool) -> dict[str, Any]:
    """Show one server: its history, metadata, last report and the tail of its log."""
    server = server_named(pool, name)
    return {
        **server.summary(),
        "labels": server.labels,
        "annotations": server.annotations,
        "counters": {key: counter.as_json() for key, counter in server.counters.items()},
        "lists": {key: values.as_json() for key, values in server.lists.items()},
        "player_ids": [str(id_) for id_ in server.player_ids],
        "history": [entry.as_json() for entry in server.history],
        "log": str(server.log),
        "log_tail": await pool.clock.run_in_thread(logs.tail, server.log),
    }


@router.get("/gameservers/{name}/map")
async def gameserver_map(name: str, request: Request, pool: Pool) -> dict[str, Any]:
    """Show the match of a server at this moment: players, objects, scores, boxes, zone, and what happened.

    docs/live-map.md says what each key is. Keys are added in later versions, and none goes.
    """
    server = server_named(pool, name)
    feeds: SpectatorFeeds = request.app.state.feeds
    try:
        frame = None if server.gone else feeds.read(server.name)
    except FeedVersionError as error:
        raise ProblemError(406, "another-feed-version", f"{name}: {error}") from None
    if frame is None:
        raise ProblemError(404, "no-match-to-see", f"{name} shows no match now")
    return {"match_id": server.match_id or None, **frame}


@router.get("/allocations")
async def allocations(request: Request) -> dict[str, Any]:
    """List the latest allocations, the newest first."""
    allocator: Allocator = request.app.state.allocator
    return {"allocations": list(reversed(allocator.latest))}


@router.get("/decisions")
async def decisions(request: Request) -> dict[str, Any]:
    """List what the autoscalers changed and why, the newest first."""
    scaler: FleetAutoscaler = request.app.state.autoscaler
    found = [decision for one in scaler.regions.values() for decision in one.decisions]
    return {"decisions": sorted(found, key=lambda decision: decision["at"], reverse=True)}


@router.get("/history")
async def history(
    request: Request,
    since: Annotated[float, Query(description="Unix seconds; only later samples are given.")] = 0.0,
) -> dict[str, Any]:
    """List the counts of each region over the last quarter of an hour, one sample a second."""
    taken: CountHistory = request.app.state.history
    return {"samples": taken.since(since)}


@router.get("/counters")
async def counters(pool: Pool, request: Request) -> dict[str, Any]:
    """Count since the start of the fleet, and list the last report of every server that ran a match."""
    playing = (
        server
        for region in pool.config.regions
        for server in pool.in_state(region, State.ALLOCATED).values()
        if server.has_match
    )
    finalizer = request.app.state.match_finalizer
    return {
        **pool.fleet_counters.as_json(playing),
        "players_released": finalizer.released,
        "releases_given_up": finalizer.given_up,
    }


@router.get("/changes")
async def changes(
    pool: Pool,
    since: Annotated[int, Query(ge=0, description="Number of the last change that the caller has seen.")] = 0,
    epoch: Annotated[str, Query(description="The epoch in which it was seen.")] = "",
    kind: Annotated[
        str, Query(description="Only changes of one kind: gameserver, match, decision or opening.")
    ] = "",
    wait_s: Annotated[
        float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait for a change where there is none.")
    ] = 0.0,
) -> dict[str, Any]:
    """List what changed after a change, the oldest first.

    ``lost`` says that some changes are no longer kept, or that the fleet was restarted (another epoch): read
    everything again. What became of matches that were open when a fleet ended is among the first changes of
    the next one.

    An ``opening`` names a region that had turned a match away and may have a server for one now.
    """
    log = pool.changes
    if epoch and epoch != log.epoch:
        found, _ = log.since(0)
        return {
            "epoch": log.epoch,
            "seq": _last_seq(found, 0),
            "lost": True,
            "changes": _of_kind(found, kind),
        }
    deadline = pool.clock.monotonic() + wait_s
    while True:
        found, lost = log.since(since)
        wanted = _of_kind(found, kind)
        left_s = deadline - pool.clock.monotonic()
        since = _last_seq(found, log.last if lost else since)
        if wanted or lost or left_s <= 0:
            return {"epoch": log.epoch, "seq": since, "lost": lost, "changes": wanted}
        await log.wait(since, left_s)


@router.get(
    "/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}}
)
async def events(
    pool: Pool, last: Annotated[str | None, Header(alias="Last-Event-ID", max_length=100)] = None
) -> StreamingResponse:
    """Follow all changes as server-sent events, from now on or after ``Last-Event-ID``.

    ``event: reset`` says that some are lost.
    """
    log = pool.changes
    epoch, _, number = (last or "").rpartition(".")
    start = int(number) if number.isascii() and number.isdigit() and epoch == log.epoch else log.last
    missed = bool(last) and epoch != log.epoch

    async def stream() -> AsyncIterator[bytes]:
        since = start
        yield b"retry: 1000\n\n"
        if missed:
            yield b"event: reset\ndata: {}\n\n"
        while True:
            found, lost = log.since(since)
            if lost:
                yield b"event: reset\ndata: {}\n\n"
            for change in found:
                head = f"id: {log.epoch}.{change['seq']}\nevent: {change['kind']}"
                yield f"{head}\ndata: {json.dumps(change)}\n\n".encode()
            since = _last_seq(found, log.last if lost else since)
            if not await log.wait(since, HEARTBEAT_S):
                yield b": still here\n\n"

    return StreamingResponse(
        stream(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _last_seq(found: list[dict[str, Any]], otherwise: int) -> int:
    return int(found[-1]["seq"]) if found else otherwise


def _of_kind(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [change for change in found if not kind or change["kind"] == kind]
