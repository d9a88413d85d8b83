"""The sections of a scenario about players: who they are, what they play, over which links, and how they
behave.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from dedicated_server.cards import MAX_PLAYERS
from loadtest.scenario import behaviour_profiles, link_profiles
from loadtest.scenario.attributes import AttributeDraw
from loadtest.scenario.behaviour_profiles import BehaviourProfile
from loadtest.scenario.link_profiles import LinkProfile
from loadtest.scenario.sections import (
    MATCH_LASTS,
    NO_RETRIES,
    PartyShares,
    RegionShares,
    Section,
    Share,
    Shares,
    acts,
    rule_set_file,
)

# Mean and standard deviation of real OpenSkill ratings by size of the teams (beyond-all-reason/teiserver
# #679).
SKILL_SOURCES = {
    "duel": (18.96, 8.48),
    "small_team": (17.09, 6.69),
    "large_team": (16.35, 7.20),
}


class Skill(Section):
    """How good the players are: a normal distribution on OpenSkill's scale, cut off at 0 and 60."""

    source: Literal["duel", "small_team", "large_team", "own"] = Field(
        "large_team",
        description="Fitted to the published ratings of beyond-all-reason (teiserver #679): duel 18.96 / "
        "8.48, "
        "small_team 17.09 / 6.69, large_team 16.35 / 7.20; own: the mean and deviation given here.",
        json_schema_extra=acts(
            flood="acts: how well the bots aim",
            simulate="acts: the spread of skill in a match, and with players.rated who meets whom",
        ),
    )
    mean: float = Field(
        SKILL_SOURCES["large_team"][0],
        ge=0,
        le=60,
        description="Mean rating, where the source is own.",
        json_schema_extra=acts(flood="acts: how well the bots aim", simulate="acts: as the source"),
    )
    deviation: float = Field(
        SKILL_SOURCES["large_team"][1],
        ge=0,
        le=30,
        description="Standard deviation of the ratings, where the source is own.",
        json_schema_extra=acts(flood="acts: how well the bots aim", simulate="acts: as the source"),
    )

    @property
    def parameters(self) -> tuple[float, float]:
        """Mean and standard deviation in force."""
        return SKILL_SOURCES.get(self.source, (self.mean, self.deviation))


class Players(Section):
    """Who plays."""

    count: int = Field(
        ge=1,
        le=20_000_000,
        description="Simulated players.",
        json_schema_extra=acts(),
    )
    locations: RegionShares = Field(
        description="Where they live: regions of region_rtt.csv with their share of the players. The shares "
        "sum to 1 and are "
        "kept exactly (largest remainders).",
        json_schema_extra=acts(),
    )
    skill: Skill = Skill()
    rated: bool = Field(
        False,
        description="no: every player is new, so the matchmaker takes all for equally good; yes: it knows "
        "how good each is.",
        json_schema_extra=acts(
            flood="nothing: whoever plays there first is new, and no service gives a rating without a match"
        ),
    )
    parties: PartyShares = Field(
        {1: 1.0},
        description="Party sizes, each with its share of the players: {1: 0.6, 4: 0.4}. A party lives in one "
        "place, arrives "
        "together, queues as one party and is never split.",
        json_schema_extra=acts(),
    )
    platforms: Shares = Field(
        {"pc": 1.0},
        description="Platforms by name, each with its share of the players. A party plays on one.",
        json_schema_extra=acts(
            flood="partly: with players.cross_play below 1",
            simulate="partly: with players.cross_play below 1",
        ),
    )
    cross_play: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the parties that meet other platforms; the others meet players of their own "
        "platform alone.",
        json_schema_extra=acts(),
    )


class ModeSection(Section):
    """One game mode."""

    share: Share = Field(
        1.0,
        description="Share of the players who queue for it.",
        json_schema_extra=acts(),
    )
    players: int = Field(
        ge=2,
        le=MAX_PLAYERS,
        description="Players of a full match.",
        json_schema_extra=acts(),
    )
    min_players: int = Field(
        2,
        ge=1,
        le=MAX_PLAYERS,
        description="The fewest players that a match starts with after fill_s.",
        json_schema_extra=acts(own_backend=True),
    )
    fill_s: float = Field(
        30.0,
        ge=0,
        le=3_600,
        description="Seconds that the oldest ticket waits for a full match.",
        json_schema_extra=acts(own_backend=True),
    )
    duration_s: float = Field(
        ge=5,
        le=86_400,
        description="The longest that a match lasts, in seconds.",
        json_schema_extra=acts(),
    )
    duration_spread: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Matches last from (1 − this) × duration_s to duration_s, uniformly.",
        json_schema_extra=acts(flood="nothing: a match ends when it is decided"),
    )
    rules: str = Field(
        "",
        description="A rule set in FlexMatch's JSON: the name of the mode in whose folder it is, or a file "
        "beside the scenario; empty: the one in the folder of this mode.",
        json_schema_extra=acts(own_backend=True),
    )
    attributes: dict[str, AttributeDraw] = Field(
        {},
        description="What players bring to the rule set, by the attribute's name; the others have its "
        "defaults, and a number skill is the rating.",
        json_schema_extra=acts(),
    )

    @field_validator("rules")
    @classmethod
    def _there(cls, name: str, info: ValidationInfo) -> str:
        return str(rule_set_file(name, info.context)) if name else name


class Links(Section):
    """The players' own links, in addition to the distance between the regions."""

    shares: Shares = Field(
        {"cable": 1.0},
        description="Kinds of links with their share of the players: fibre, cable, wifi, 4g, satellite, "
        "train, or one of own.",
        json_schema_extra=acts(simulate="partly: by the latency of a link alone"),
    )
    own: dict[str, LinkProfile] = Field({}, description="Kinds of links defined here, by name.")

    def profile(self, name: str) -> LinkProfile:
        """The kind of link of that name; one defined here replaces a shipped one."""
        return self.own.get(name) or link_profiles.profiles()[name]

    def unknown_names(self) -> list[str]:
        """Names in ``shares`` that no kind of link has."""
        return [name for name in self.shares if name not in self.own and name not in link_profiles.profiles()]


class Retries(Section):
    """How a player repeats a request that failed for a passing reason."""

    tries: int = Field(
        4,
        ge=1,
        le=100,
        description="Tries before giving up.",
        json_schema_extra=acts(simulate=NO_RETRIES),
    )
    pause_s: float = Field(
        0.25,
        ge=0,
        le=60,
        description="Before the second try.",
        json_schema_extra=acts(simulate=NO_RETRIES),
    )
    growth: float = Field(
        2.0,
        ge=1,
        le=10,
        description="Each pause is so many times the one before. With 1 and no jitter all players retry at "
        "the same time (a thundering herd).",
        json_schema_extra=acts(simulate=NO_RETRIES),
    )
    max_pause_s: float = Field(
        8.0,
        gt=0,
        le=3_600,
        description="Longest pause.",
        json_schema_extra=acts(simulate=NO_RETRIES),
    )
    jitter: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Each pause is randomly longer or shorter by up to this share.",
        json_schema_extra=acts(simulate=NO_RETRIES),
    )


class Behaviours(Section):
    """How the players behave."""

    shares: Shares = Field(
        {"fighter": 1.0},
        description="Kinds of players with their share: explorer, fighter, camper, rage_quitter, "
        "reconnecting, crashing, idle, shopper, crowd, or one of own.",
        json_schema_extra=acts(
            simulate="partly: who watches to the end; what others do in a match is left out"
        ),
    )
    own: dict[str, BehaviourProfile] = Field({}, description="Kinds of players defined here, by name.")
    rest_s: float = Field(
        2.6,
        ge=0,
        le=60,
        description="Pause between two bursts of fire, which decides how fast a match ends. With 2.6 s, the "
        "last of a hundred players "
        "falls about when the zone has closed.",
        json_schema_extra=acts(simulate=MATCH_LASTS),
    )
    patience_s: float = Field(
        120.0,
        gt=0,
        le=86_400,
        description="Seconds that a player waits for a match before cancelling the ticket.",
        json_schema_extra=acts(),
    )
    matches: float = Field(
        1.0,
        ge=1,
        le=100,
        description="Mean matches of a player's session: after each match they continue with the "
        "probability 1 − 1 / this.",
        json_schema_extra=acts(),
    )
    think_s: float = Field(
        3.0,
        ge=0,
        le=3_600,
        description="Mean seconds between two matches of a session.",
        json_schema_extra=acts(),
    )
    retries: Retries = Retries()

    def profile(self, name: str) -> BehaviourProfile:
        """The kind of player of that name; one defined here replaces a shipped one."""
        return self.own.get(name) or behaviour_profiles.profiles()[name]

    def unknown_names(self) -> list[str]:
        """Names in ``shares`` that no kind of player has."""
        known = behaviour_profiles.profiles()
        return [name for name in self.shares if name not in self.own and name not in known]
