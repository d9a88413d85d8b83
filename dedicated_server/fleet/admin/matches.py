"""A match by its id, under ``/v1/matches``: how its server is, and the end of it.

A director asks before it gives a late server up, and ends the server of a match that it has given up; see
`docs/resilience.md`.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends

from dedicated_server.fleet.admin.routes import Pool
from dedicated_server.fleet.pool.states import FINAL_STATES, State
from launchday import identity
from launchday.problems import ProblemError
from launchday.service import require

log = structlog.get_logger()
router = APIRouter(prefix="/v1/matches", tags=["matches"])
Reader = Annotated[identity.Identity, Depends(require(identity.SERVICE, identity.OPERATOR, identity.VIEWER))]
Ender = Annotated[identity.Identity, Depends(require(identity.SERVICE, identity.OPERATOR))]


@router.get("/{match_id}")
async def match(match_id: UUID, pool: Pool, _: Reader) -> dict[str, Any]:
    """Show the server of a match: its state, whether it lives, and whether it has reported on the match.

    ``alive``: it is Allocated, and its last heartbeat is younger than the fleet's time-out. ``reason``: why
    it ended, or its match failed.
    """
    server = pool.matches.server_of(str(match_id))
    if server is None:
        raise ProblemError(404, "unknown-match", f"no game server was given the match {match_id}")
    ended = server.state in FINAL_STATES
    age_s = max(0.0, pool.clock.monotonic() - server.health_mono_s)
    return {
        "state": server.state,
        "server": server.name,
        "alive": server.state is State.ALLOCATED and age_s <= pool.config.health.timeout_s,
        "heartbeat_age_s": round(age_s, 3),
        "reported": bool(server.report),
        "reason": str(server.report.get("error") or (server.history[-1].reason if ended else "")),
    }


@router.delete("/{match_id}", status_code=204)
async def end_match(match_id: UUID, pool: Pool, caller: Ender) -> None:
    """End the server of a match if it lives, and give the match none later. May be repeated."""
    now = pool.clock.monotonic()
    log.info("a match is ended", match_id=str(match_id), by=caller.subject)
    pool.end_match(str(match_id), now, f"its match was ended by {caller.subject}")
    pool.fill(now)
