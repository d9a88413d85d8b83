"""The allocator: Agones' ``POST /gameserverallocation``, plus a key that makes a repeated call give the same server.

Agones has no such key, so that there an answer lost on the way leaves a server Allocated for ever (agones #607).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict, Field

from dedicated_server.fleet import metrics
from dedicated_server.fleet.client import FLEET_LABEL, IDEMPOTENCY_HEADER
from dedicated_server.fleet.gameserver import NAMESPACE, GameServer
from dedicated_server.fleet.pool import WarmPool
from dedicated_server.fleet.states import State
from launchday.problems import Problem
from launchday.service import ServiceCaller

REMEMBERED_KEYS = (
    100_000  # at 1,000 allocations/s a caller may repeat itself for over a minute; about 30 MB when full
)


class Selector(BaseModel):
    """Which game servers will do: all of its labels match."""

    model_config = ConfigDict(populate_by_name=True)

    match_labels: dict[str, str] = Field({}, alias="matchLabels", examples=[{FLEET_LABEL: "west-europe"}])
    game_server_state: Literal["READY"] = Field("READY", alias="gameServerState")


class Metadata(BaseModel):
    """What to put on the chosen server, which sees it through its SDK."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class AllocationRequest(BaseModel):
    """Agones' request. Of two scheduling strategies both mean the same on one machine: the longest Ready server."""

    model_config = ConfigDict(populate_by_name=True)

    namespace: str = NAMESPACE
    selectors: list[Selector] = Field([], alias="gameServerSelectors")
    scheduling: Literal["Packed", "Distributed"] = "Packed"
    metadata: Metadata = Metadata()


class Port(BaseModel):
    """A named port of a game server."""

    name: str
    port: int


class AllocationAnswer(BaseModel):
    """Agones' answer."""

    model_config = ConfigDict(populate_by_name=True)

    name: str = Field(alias="gameServerName")
    ports: list[Port]
    address: str
    addresses: list[str] = []
    node_name: str = Field("local", alias="nodeName")
    source: str = "local"
    metadata: Metadata


class NoneReady(Exception):
    """Raised when no Ready server matches any selector; answered with 429, and the caller asks again."""


class Allocator:
    """Picks servers from a pool. It never awaits between choosing and taking, so no server is given twice."""

    def __init__(self, pool: WarmPool) -> None:
        self._pool = pool
        self._answers: OrderedDict[str, AllocationAnswer] = OrderedDict()

    def allocate(self, request: AllocationRequest, key: str | None, now: float) -> AllocationAnswer:
        """Allocate a server, or give the answer that ``key`` got before; raises NoneReady."""
        if key is not None and (known := self._answers.get(key)) is not None:
            return known
        server = self._find(request.selectors or [Selector()])
        self._pool.allocate(server, now, request.metadata.annotations, request.metadata.labels)
        answer = AllocationAnswer(
            name=server.name,
            ports=[Port(name="default", port=server.port)],
            address=server.address,
            metadata=Metadata(labels=dict(server.labels), annotations=dict(server.annotations)),
        )
        if key is not None:
            self._answers[key] = answer
            if len(self._answers) > REMEMBERED_KEYS:
                self._answers.popitem(last=False)
        return answer

    def _find(self, selectors: list[Selector]) -> GameServer:
        for selector in selectors:
            fleet = selector.match_labels.get(FLEET_LABEL)
            for region in self._pool.plan.regions if fleet is None else (fleet,):
                for server in self._pool.in_state(region, State.READY).values():
                    if selector.match_labels.items() <= server.labels.items():
                        return server
        raise NoneReady("no game server that matches is Ready: ask again in a moment")


router = APIRouter(tags=["allocator"])


@router.post("/gameserverallocation", response_model_by_alias=True)
async def allocate(
    body: AllocationRequest,
    request: Request,
    caller: ServiceCaller,
    key: Annotated[str | None, Header(alias=IDEMPOTENCY_HEADER, max_length=200)] = None,
) -> AllocationAnswer:
    """Take one Ready game server that matches the first selector that any matches, and put the metadata on it."""
    allocator: Allocator = request.app.state.allocator
    began = time.perf_counter()
    try:
        answer = allocator.allocate(body, None if key is None else f"{caller.subject}/{key}", time.time())
    except NoneReady as error:
        metrics.observe_allocation("UnAllocated", time.perf_counter() - began)
        raise Problem(429, "no-server-ready", str(error), headers={"Retry-After": "1"}) from error
    metrics.observe_allocation("Allocated", time.perf_counter() - began)
    return answer
