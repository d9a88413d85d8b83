"""What operators do to a fleet, under ``/v1``.

Every call needs the role operator, may be repeated, and is logged with who made it.
"""

from __future__ import annotations

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Body, Depends, Request
from pydantic import BaseModel, BeforeValidator, Field

from dedicated_server.fleet.admin.autoscaler import FleetAutoscaler
from dedicated_server.fleet.admin.policy_overrides import PolicyOverride, buffer_policy
from dedicated_server.fleet.admin.routes import Pool, server_named
from dedicated_server.fleet.autoscaling.policy import PolicyError
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.region import Region
from launchday import identity
from launchday.problems import ProblemError
from launchday.service import require

log = structlog.get_logger()
router = APIRouter(prefix="/v1", tags=["operations"])
Operator = Annotated[identity.Identity, Depends(require(identity.OPERATOR))]


def _number(value: object) -> object:
    # pydantic would take true for 1 and "12 " for 12; strict, it would not take 12.0, which JSON Schema does.
    if isinstance(value, bool | str):
        raise ValueError("must be a number")
    return value


class BufferSize(BaseModel):
    """How many idle servers a region keeps."""

    ready: Annotated[int, BeforeValidator(_number)] = Field(ge=0, le=4096, description="Idle servers.")


def _scaler(request: Request) -> FleetAutoscaler:
    scaler: FleetAutoscaler = request.app.state.autoscaler
    return scaler


def _region(pool: WarmPool, name: str) -> Region:
    if name not in pool.regions:
        raise ProblemError(404, "unknown-fleet", f"there is no fleet {name}: {', '.join(pool.regions)}")
    return pool.regions[name]


@router.put("/fleets/{name}/buffer")
async def set_buffer(
    name: str, size: BufferSize, caller: Operator, pool: Pool, request: Request
) -> dict[str, Any]:
    """Keep a number of idle servers in a region instead of its configured policy, until that is reset."""
    _region(pool, name)
    return await _override_policy(
        request, name, PolicyOverride(buffer_policy(size.ready), caller.subject, pool.clock.wall())
    )


@router.put("/fleets/{name}/policy")
async def set_policy(
    name: str,
    caller: Operator,
    pool: Pool,
    request: Request,
    policy: Annotated[dict[str, Any], Body(description="A FleetAutoscaler or its policy, in Agones' JSON.")],
) -> dict[str, Any]:
    """Give a region another autoscaling policy, until that is reset."""
    _region(pool, name)
    return await _override_policy(request, name, PolicyOverride(policy, caller.subject, pool.clock.wall()))


@router.delete("/fleets/{name}/policy")
async def reset_policy(name: str, caller: Operator, pool: Pool, request: Request) -> dict[str, Any]:
    """Remove what an operator has set: the region follows the configured policy again."""
    _region(pool, name)
    _log_action(caller, "reset policy", name)
    return await _override(request, name, None)


async def _override_policy(request: Request, name: str, override: PolicyOverride) -> dict[str, Any]:
    decision = await _override(request, name, override)
    log.info("an operator acted", operator=override.by, action="policy", subject=name, policy=override.policy)
    return decision


async def _override(request: Request, name: str, override: PolicyOverride | None) -> dict[str, Any]:
    try:
        return await _scaler(request).override_policy(name, override)
    except PolicyError as error:
        raise ProblemError(422, "invalid-policy", str(error)) from error
    except OSError as error:
        raise ProblemError(
            503,
            "disk-full",
            f"the policy cannot be kept ({error.strerror}), so it was not set: make room in the state folder",
            headers={"Retry-After": "1"},
        ) from error


@router.post("/fleets/{name}/{action}")
async def act_on_fleet(name: str, action: str, caller: Operator, pool: Pool) -> dict[str, Any]:
    """Do one of: cordon (give no server to a match), uncordon, drain (keep none idle either), undrain."""
    region, now = _region(pool, name), pool.clock.monotonic()
    match action:
        case "cordon" | "uncordon":
            region.cordoned = action == "cordon"
        case "drain" | "undrain":
            pool.drain_region(region, action == "drain", now)
        case _:
            raise ProblemError(
                404, "unknown-action", f"there is no {action}: cordon, uncordon, drain or undrain"
            )
    _log_action(caller, action, name)
    pool.changes.publish("fleet", pool.clock.wall(), name=name, action=action, by=caller.subject)
    pool.fill(now)
    return {"name": name, "cordoned": region.cordoned, "draining": region.draining}


@router.post("/gameservers/{name}/{action}")
async def act_on_server(name: str, action: str, caller: Operator, pool: Pool) -> dict[str, Any]:
    """Do one of: drain (end it after its match), kill (end it and its match now), cordon, uncordon."""
    server, now = server_named(pool, name), pool.clock.monotonic()
    if server.gone:
        raise ProblemError(404, "game-server-gone", f"{name} has ended already")
    match action:
        case "drain":
            pool.drain(server, now)
        case "kill":
            pool.kill(server, now, f"killed by {caller.subject}")
        case "cordon" | "uncordon":
            pool.cordon(server, action == "cordon")
        case _:
            raise ProblemError(
                404, "unknown-action", f"there is no {action}: drain, kill, cordon or uncordon"
            )
    _log_action(caller, action, name)
    pool.fill(now)
    return server.summary()


def _log_action(caller: identity.Identity, action: str, name: str, **details: Any) -> None:
    log.info("an operator acted", operator=caller.subject, action=action, subject=name, **details)
