"""Kinds of players as data: how an explorer, a camper or a rage-quitter spends a match."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from loadtest.scenario.sections import (
    ALL_STAY,
    MATCH_PARTLY,
    NO_LOGINS,
    acts,
)

FILE = Path(__file__).parent / "data" / "behaviours.yaml"


class BehaviourProfile(BaseModel):
    """One kind of player."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    movement: Literal["roam", "hunt", "camp", "crowd", "stand"] = Field(
        "roam",
        description="roam: from place to place in the zone; hunt: towards an enemy in sight; camp: to one "
        "place, and stay until the "
        "zone comes; crowd: to the middle of the zone; stand: not at all. In a mode whose card gives bots a "
        "goal, such as a flag, those who roam and those who hunt go for it, in sight of an enemy too.",
        json_schema_extra=acts(simulate=MATCH_PARTLY),
    )
    sight_m: float = Field(
        80.0,
        ge=0,
        le=200,
        description="Shoots at enemies nearer than this, as far as the mode's weapons reach; 0: at nobody.",
        json_schema_extra=acts(simulate=MATCH_PARTLY),
    )
    rest: float = Field(
        1.0,
        ge=0,
        le=100,
        description="Pauses between bursts, in multiples of rest_s.",
        json_schema_extra=acts(simulate=MATCH_PARTLY),
    )
    after_death: Literal["leave", "watch"] = Field(
        "leave",
        description="leave: at once; watch: stay connected until the match is over. In a mode in which the "
        "dead return, everybody stays.",
        json_schema_extra=acts(simulate=MATCH_PARTLY),
    )
    quits_after_s: float = Field(
        0.0,
        ge=0,
        le=3_600,
        description="Mean seconds of play until the player leaves without a good-bye; 0: never.",
        json_schema_extra=acts(simulate=ALL_STAY),
    )
    crashes_after_s: float = Field(
        0.0,
        ge=0,
        le=3_600,
        description="Mean seconds of play until the client is killed, once a match. The player presses Play "
        "again at once and comes back into the match; 0: never.",
        json_schema_extra=acts(simulate=ALL_STAY),
    )
    drops_every_s: float = Field(
        0.0,
        ge=0,
        le=3_600,
        description="Mean seconds of play between two lost connections; 0: none are lost.",
        json_schema_extra=acts(simulate=ALL_STAY),
    )
    away_s: float = Field(
        3.0,
        ge=0,
        le=60,
        description="Seconds that a lost connection stays lost.",
        json_schema_extra=acts(simulate=ALL_STAY),
    )
    roams_every_s: float = Field(
        0.0,
        ge=0,
        le=3_600,
        description="Mean seconds of play between two changes of the player's address, as from Wi-Fi to a "
        "mobile network: the client goes on from another port, without a word; 0: it stays the same.",
        json_schema_extra=acts(simulate=ALL_STAY),
    )
    shops: int = Field(
        0,
        ge=0,
        le=100,
        description="Visits to the shop before queueing, in which a player buys what is free and changes "
        "skin.",
        json_schema_extra=acts(simulate=NO_LOGINS),
    )
    shop_pause_s: float = Field(
        1.0,
        ge=0,
        le=60,
        description="Mean pause between two visits.",
        json_schema_extra=acts(simulate=NO_LOGINS),
    )


@functools.cache
def profiles() -> dict[str, BehaviourProfile]:
    """The kinds of players that are shipped, by name."""
    return TypeAdapter(dict[str, BehaviourProfile]).validate_python(yaml.safe_load(FILE.read_text()))
