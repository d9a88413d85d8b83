"""Kinds of links as data: what a fibre, a phone or a train does to datagrams."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from loadtest.scenario.sections import (
    NO_DATAGRAMS,
    acts,
)

FILE = Path(__file__).parent / "data" / "link_profiles.yaml"
BYTES_A_KBIT = 125.0

Share = Annotated[float, Field(ge=0, lt=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Burst(_Part):
    """Losses in bursts."""

    share: Share = Field(0.0, json_schema_extra=acts(simulate=NO_DATAGRAMS))
    length: float = Field(
        1.0,
        ge=1,
        le=10_000,
        description="Mean number of datagrams lost in a row.",
        json_schema_extra=acts(simulate=NO_DATAGRAMS),
    )


class Detour(_Part):
    """A longer path that some datagrams take."""

    share: Share = Field(0.0, json_schema_extra=acts(simulate=NO_DATAGRAMS))
    ms: float = Field(
        0.0,
        ge=0,
        le=10_000,
        json_schema_extra=acts(simulate=NO_DATAGRAMS),
    )


class LinkProfile(_Part):
    """One kind of link; both directions are the same except for their rates."""

    access_ms: float = Field(
        0.0,
        ge=0,
        le=2_000,
        description="Round trip of the link itself, in ms.",
        json_schema_extra=acts(simulate="acts"),
    )
    jitter_ms: float = Field(
        0.0,
        ge=0,
        le=1_000,
        json_schema_extra=acts(simulate="acts: as latency"),
    )
    loss: Share = Field(0.0, json_schema_extra=acts(simulate=NO_DATAGRAMS))
    burst: Burst = Burst()
    duplicate: Share = Field(0.0, json_schema_extra=acts(simulate=NO_DATAGRAMS))
    detour: Detour = Detour()
    down_kbit_s: float = Field(
        0.0,
        ge=0,
        description="0: no bottleneck.",
        json_schema_extra=acts(simulate=NO_DATAGRAMS),
    )
    up_kbit_s: float = Field(
        0.0,
        ge=0,
        json_schema_extra=acts(simulate=NO_DATAGRAMS),
    )
    buffer_ms: float = Field(
        200.0,
        ge=0,
        le=10_000,
        json_schema_extra=acts(simulate=NO_DATAGRAMS),
    )

    def direction(self, rtt_ms: float, kbit_s: float) -> dict[str, float]:
        """The fields of ``links.LINK_DTYPE`` for one direction of a path of ``rtt_ms``, access included.

        All datagrams in the bad state are lost. It lasts for ``burst.length`` datagrams on average, and its
        share of all datagrams is ``burst.share``.
        """
        to_good = 1.0 / self.burst.length
        return {
            "delay_s": rtt_ms / 2e3,
            "jitter_s": self.jitter_ms / 1e3,
            "loss": self.loss,
            "loss_bad": 1.0,
            "to_bad": to_good * self.burst.share / (1.0 - self.burst.share),
            "to_good": to_good,
            "duplicate": self.duplicate,
            "detour": self.detour.share,
            "detour_s": self.detour.ms / 1e3,
            "bytes_s": kbit_s * BYTES_A_KBIT,
            "buffer_s": self.buffer_ms / 1e3,
        }

    @property
    def latency_ms(self) -> float:
        """What the link adds to the round trip that a client measures, in ms: access, and the queues both
        ways.
        """
        return self.access_ms + 2 * self.jitter_ms

    @property
    def max_extra_ms(self) -> float:
        """What a datagram may take beyond half the round trip, in ms, but for one in some thousands."""
        waits_ms = self.buffer_ms if self.down_kbit_s or self.up_kbit_s else 0.0
        return 8 * self.jitter_ms + self.detour.ms + waits_ms


@functools.cache
def profiles() -> dict[str, LinkProfile]:
    """The profiles that are shipped, by name."""
    return TypeAdapter(dict[str, LinkProfile]).validate_python(yaml.safe_load(FILE.read_text()))
