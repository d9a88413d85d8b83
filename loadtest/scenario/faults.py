"""The section of a scenario about faults: what is injected, and when."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from loadtest.scenario.sections import (
    NO_SERVICES,
    Region,
    Section,
    acts,
)


class _Fault(Section):
    at_s: float = Field(
        ge=0,
        le=10_000_000,
        description="Seconds after the start of the run.",
        json_schema_extra=acts(simulate="acts, where its fault does"),
    )

    @property
    def lasts_s(self) -> float:
        """Seconds from its beginning to its end."""
        return 0.0


class KillServer(_Fault):
    """Kill game servers that have a match, without warning (kill -9)."""

    do: Literal["kill_server"] = Field(json_schema_extra=acts())
    count: int = Field(
        1,
        ge=1,
        le=1_000,
        description="How many.",
        json_schema_extra=acts(),
    )
    region: Region | None = Field(
        None,
        description="Only servers of this region; null: of any.",
        json_schema_extra=acts(),
    )


class _Outage(_Fault):
    for_s: float = Field(
        gt=0,
        le=10_000_000,
        description="Seconds until it is over.",
        json_schema_extra=acts(simulate="acts, where its fault does"),
    )

    @property
    def lasts_s(self) -> float:
        """Seconds from its beginning to its end."""
        return self.for_s


class CutRegion(_Outage):
    """Drop all datagrams between players and the game servers of a region."""

    do: Literal["cut_region"] = Field(json_schema_extra=acts())
    region: Region = Field(json_schema_extra=acts())


class ReconnectAll(_Fault):
    """Drop every client's connections at once, as after a patch or an outage of the network: all come back at
    once, log in again, and go on waiting with their ticket or return to their match.
    """

    do: Literal["reconnect_all"] = Field(json_schema_extra=acts(simulate=NO_SERVICES))


class StopCache(_Outage):
    """Kill the cache (kill -9), and start it again on the same data afterwards."""

    do: Literal["stop_cache"] = Field(json_schema_extra=acts(simulate="acts: nobody is matched meanwhile"))


class StopBroker(_Outage):
    """Suspend the event broker, and let it continue afterwards."""

    do: Literal["stop_broker"] = Field(json_schema_extra=acts(simulate=NO_SERVICES))


class StopStore(_Outage):
    """Kill the global store (kill -9), and start it again on the same data afterwards."""

    do: Literal["stop_store"] = Field(json_schema_extra=acts(simulate=NO_SERVICES))


class SlowStore(_Outage):
    """Delay every answer of the global store."""

    do: Literal["slow_store"] = Field(json_schema_extra=acts(simulate=NO_SERVICES))
    by_ms: float = Field(
        gt=0,
        le=60_000,
        description="Milliseconds of delay.",
        json_schema_extra=acts(simulate=NO_SERVICES),
    )


class Busy(_Outage):
    """Keep the machine's processors busy: processes that only compute, each in a session of its own."""

    do: Literal["busy"] = Field(json_schema_extra=acts(simulate=NO_SERVICES))
    processes: int = Field(
        ge=1,
        le=1_000,
        description="How many. Each has a session of its own, because the scheduler shares the processors "
        "between sessions: all in one would weigh as much as one process of the backend.",
        json_schema_extra=acts(simulate=NO_SERVICES),
    )


GAME_SERVERS = "game_servers"


class Pause(_Outage):
    """Stop a part of the backend where it stands (SIGSTOP), and let it continue afterwards."""

    do: Literal["pause"] = Field(json_schema_extra=acts(simulate="partly: by its part"))
    for_s: float = Field(
        gt=0,
        le=10_000_000,
        description="Seconds that it stands still.",
        json_schema_extra=acts(simulate="acts, where its fault does"),
    )
    part: Literal[
        "matchmaker",
        "director",
        "fleet",
        "meta_service",
        "write_behind",
        "rewards",
        "analytics",
        "cache",
        "store",
        "broker",
        "game_servers",
    ] = Field(
        description="A service, an engine, or game servers, each at the moment it is allocated to a match.",
        json_schema_extra=acts(
            simulate="partly: cache and director, in whose pause nobody is matched; no other part"
        ),
    )
    every: int = Field(
        1,
        ge=1,
        le=1_000,
        description="Of game servers: 3 stops every third that is allocated.",
        json_schema_extra=acts(simulate=NO_SERVICES),
    )
    window_s: float | None = Field(
        None,
        gt=0,
        le=10_000_000,
        description="Of game servers: seconds from at_s during which those that are allocated are stopped; "
        "null: for_s.",
        json_schema_extra=acts(simulate=NO_SERVICES),
    )

    @property
    def lasts_s(self) -> float:
        """Seconds from its beginning until no more servers are stopped."""
        return self.for_s if self.window_s is None else self.window_s

    def misplaced_keys(self) -> list[str]:
        """Keys that are given and mean nothing for this part."""
        if self.part == GAME_SERVERS:
            return []
        return [key for key in ("every", "window_s") if key in self.model_fields_set]


FAULTS: dict[str, type[Section]] = {
    "kill_server": KillServer,
    "cut_region": CutRegion,
    "reconnect_all": ReconnectAll,
    "stop_cache": StopCache,
    "stop_broker": StopBroker,
    "stop_store": StopStore,
    "slow_store": SlowStore,
    "busy": Busy,
    "pause": Pause,
}


def _kind(value: Any) -> Any:
    return value.get("do", "") if isinstance(value, dict) else getattr(value, "do", None)


Fault = Annotated[
    Annotated[KillServer, Tag("kill_server")]
    | Annotated[CutRegion, Tag("cut_region")]
    | Annotated[ReconnectAll, Tag("reconnect_all")]
    | Annotated[StopCache, Tag("stop_cache")]
    | Annotated[StopBroker, Tag("stop_broker")]
    | Annotated[StopStore, Tag("stop_store")]
    | Annotated[SlowStore, Tag("slow_store")]
    | Annotated[Busy, Tag("busy")]
    | Annotated[Pause, Tag("pause")],
    Discriminator(_kind),
]
