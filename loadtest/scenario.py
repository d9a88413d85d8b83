"""What a scenario says: who arrives, from where, over which links, to play what, and what must hold."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from loadtest.regions import regions

SHARE_TOLERANCE = 1e-6

# Mean and standard deviation of real OpenSkill ratings in large team games (beyond-all-reason/teiserver #679).
SKILL_MEAN = 16.35
SKILL_DEVIATION = 7.20


def _known_region(name: str) -> str:
    regions().index(name)
    return name


Region = Annotated[str, AfterValidator(_known_region)]
Share = Annotated[float, Field(gt=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Skill(_Section):
    """How good the players are: a normal distribution on OpenSkill's scale."""

    mean: float = Field(SKILL_MEAN, ge=0, le=60, description="Mean rating.")
    deviation: float = Field(SKILL_DEVIATION, ge=0, le=30, description="Standard deviation of the ratings.")


class Players(_Section):
    """Who plays."""

    count: int = Field(ge=1, le=100_000, description="Simulated players.")
    locations: dict[Region, Share] = Field(
        min_length=1,
        description="Where they live: regions of region_rtt.csv with their share of the players; the shares are "
        "kept exactly (largest remainders) and sum to 1.",
    )
    skill: Skill = Skill()

    @field_validator("locations")
    @classmethod
    def _shares_sum_to_one(cls, shares: dict[str, float]) -> dict[str, float]:
        total = math.fsum(shares.values())
        if abs(total - 1.0) > SHARE_TOLERANCE:
            raise ValueError(f"the shares sum to {total:g}, not to 1")
        return shares


class Arrivals(_Section):
    """When they come. Players arrive when they mean to, whatever the backend does (an open model)."""

    curve: Literal["constant", "ramp"] = Field(
        "constant",
        description="constant: a steady stream of independent arrivals; ramp: one that grows from nothing.",
    )
    over_s: float = Field(ge=0, le=86_400, description="Seconds from the first possible arrival to the last.")


class Match(_Section):
    """What they play; the launcher sets the backend up for it."""

    mode: Literal["battle_royale"] = Field("battle_royale", description="Game mode.")
    players: int = Field(ge=2, le=400, description="Players a match is filled to.")
    duration_s: float = Field(ge=5, le=3_600, description="Seconds until the zone has shrunk to nothing.")


class Links(_Section):
    """The line of each player, on top of the distance between the regions."""

    access_ms: float = Field(
        12.0, ge=0, le=1_000, description="Round trip of the player's own line. Cable: about 12."
    )
    jitter_ms: float = Field(
        2.0,
        ge=0,
        le=200,
        description="Mean, and standard deviation, of what queues add to each datagram's way (exponential).",
    )
    loss: float = Field(
        0.005, ge=0, lt=1, description="Share of datagrams lost in each direction, independently."
    )


class Bots(_Section):
    """What the players do besides playing."""

    after_death: Literal["leave", "watch"] = Field(
        "leave", description="leave: go home at once; watch: stay connected until the match is over."
    )
    rest_s: float = Field(
        2.6,
        ge=0,
        le=60,
        description="Pause between two bursts of fire: how fast a match is decided. With 2.6 s, one of a hundred players "
        "lasts about as long as its zone does.",
    )
    patience_s: float = Field(
        120.0, gt=0, le=3_600, description="Seconds a player waits for a match before cancelling the ticket."
    )


class Objectives(_Section):
    """What must hold for the run to pass. That the ledger balances is always required."""

    tick_p99_ms: float = Field(
        16.7, gt=0, description="99th percentile of the tick of the slowest game server."
    )
    players_lost: int = Field(0, ge=0, description="Players at most who lost their session or never got one.")
    wait_p95_s: float = Field(
        30.0, gt=0, description="95th percentile of the wait, from the intended arrival to the assignment."
    )


class Scenario(_Section):
    """One load test, complete: the same file and seed give the same players, arrivals and links."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,39}$", description="Short name: lower case, digits, underscores."
    )
    description: str = Field("", max_length=300, description="One sentence for the report.")
    seed: int = Field(
        0, ge=0, lt=2**63, description="Seed of everything random in the players and their links."
    )
    players: Players
    arrivals: Arrivals
    match: Match
    links: Links = Links()
    bots: Bots = Bots()
    objectives: Objectives = Objectives()

    def backend_settings(self) -> dict[str, Any]:
        """The settings of the backend that this scenario is made for, by their names in ``launchday.settings``.

        A launcher that starts the backend itself passes them on; a run against a backend that is already up does not.
        """
        return {"match_players": self.match.players, "match_s": self.match.duration_s}
