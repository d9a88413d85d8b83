"""The section of a scenario about what goes wrong, and when."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from loadtest.scenario.sections import Region, Section


class _Fault(Section):
    at_s: float = Field(ge=0, le=10_000_000, description="Seconds after the start of the run.")


class KillServer(_Fault):
    """Kill game servers that have a match, without a warning (kill -9)."""

    do: Literal["kill_server"]
    count: int = Field(1, ge=1, le=1_000, description="How many.")
    region: Region | None = Field(None, description="Only servers of this region; without it, of any.")


class _Outage(_Fault):
    for_s: float = Field(gt=0, le=10_000_000, description="Seconds until it is over.")


class CutRegion(_Outage):
    """No datagram gets from players to the game servers of a region, or back."""

    do: Literal["cut_region"]
    region: Region


class StopCache(_Outage):
    """Kill the cache (kill -9); afterwards it is started again on the same data."""

    do: Literal["stop_cache"]


class StopBroker(_Outage):
    """Stop the event broker; afterwards it goes on."""

    do: Literal["stop_broker"]


class StopStore(_Outage):
    """Stop the global store; afterwards it is started again on the same data."""

    do: Literal["stop_store"]


class SlowStore(_Outage):
    """Let every answer of the global store take longer."""

    do: Literal["slow_store"]
    by_ms: float = Field(gt=0, le=60_000, description="Milliseconds that each request takes longer.")


FAULTS: dict[str, type[Section]] = {
    "kill_server": KillServer,
    "cut_region": CutRegion,
    "stop_cache": StopCache,
    "stop_broker": StopBroker,
    "stop_store": StopStore,
    "slow_store": SlowStore,
}


def _kind(value: Any) -> Any:
    return value.get("do", "") if isinstance(value, dict) else getattr(value, "do", None)


Fault = Annotated[
    Annotated[KillServer, Tag("kill_server")]
    | Annotated[CutRegion, Tag("cut_region")]
    | Annotated[StopCache, Tag("stop_cache")]
    | Annotated[StopBroker, Tag("stop_broker")]
    | Annotated[StopStore, Tag("stop_store")]
    | Annotated[SlowStore, Tag("slow_store")],
    Discriminator(_kind),
]
