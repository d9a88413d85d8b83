"""The published card of a mode of play: what everybody may know of it without importing its hooks.

The game server, prediction, bots, the matchmaker, the simulator, spectators and documents read cards;
`reading.read_card` makes one of a mode's folder and refuses what contradicts itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

MAX_NAME: Final = 32  # characters of a mode's name: what is kept of players by mode has so many
MAX_PLAYERS: Final = 1_600  # of a match, of any mode: the largest that a tick was measured with
MAX_ENTITIES: Final = 2_048  # players and objects of a match together
MAX_MAP_HALF_M: Final = 1_024.0  # what the wire's positions reach
MAX_BOXES: Final = 64  # a step and a shot look at all of them
MAX_WEAPONS: Final = 8  # the wire has three bits for one
MAX_SCORE_FIELDS: Final = 4
MAX_SCORES: Final = 31  # of all fields and teams: the wire has five bits for their number
MAX_SCORE: Final = 4_095  # the wire has twelve bits for one
MAX_FLAGS: Final = 15  # the wire has four bits for their number
MAX_EVENTS: Final = 16
MAX_OWN_ROWS: Final = 32  # of players, of teams, of the match, each
MAX_MATCH_S: Final = 4 * 3_600.0
MAX_FILL_S: Final = 3_600.0
BODY_M: Final = 0.5  # half the width of a player

Viewer = Literal["everybody", "team", "self"]
Goal = Literal["zone", "hook"]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle along the axes that stops movement and shots."""

    west_m: float
    south_m: float
    east_m: float
    north_m: float


@dataclass(frozen=True, slots=True)
class Base:
    """Where a team begins: a circle, by its centre. The map's file has one a team, or none."""

    x_m: float
    y_m: float
    radius_m: float


@dataclass(frozen=True, slots=True)
class Zone:
    """The circle that closes by the end of a match.

    Attributes:
        max_spawn_radius_m: players start within this of its centre, or closer in short matches.
        margin_m: it starts so much larger than the circle of spawns.
        hold_share: part of the match before it begins to shrink; 1: it never does.
        points_per_s: health points lost outside it.
    """

    max_spawn_radius_m: float
    margin_m: float
    hold_share: float
    points_per_s: float


@dataclass(frozen=True, slots=True)
class Weapon:
    """What a player may shoot with: points of health a hit takes, ticks between two shots, range."""

    name: str
    damage_points: float
    interval_ticks: int
    range_m: float


@dataclass(frozen=True, slots=True)
class ScoreField:
    """What is counted for each team; the match ends at ``limit``, if that is not 0."""

    name: str
    limit: int


@dataclass(frozen=True, slots=True)
class OwnRows:
    """The names of the mode's own numbers: one of each player, of each team, and of the match."""

    players: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    match: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shows:
    """Who is told of another player's health and connection."""

    health: Viewer
    connection: Viewer


@dataclass(frozen=True, slots=True)
class Bots:
    """What bots walk to: the zone's centre, or where the mode's hook ``goal`` says."""

    goal: Goal


@dataclass(frozen=True, slots=True)
class ModeCard:
    """One mode.

    Attributes:
        name: the mode's, and its folder's.
        description: one sentence.
        folder: where its card, hooks, rule set and map are.
        each_alone: whether every player is a team.
        teams: how many there are; 0 where each is alone.
        team_size_min, team_size_max: players of a team; 1 where each is alone.
        players_full: players of a full match.
        players_min: with which one may start.
        fill_s: seconds that the oldest ticket waits before a match may start short.
        sized_by_settings: whether the settings' match_players, match_min_players and match_fill_s take the
            place of the three above.
        speed_m_per_s: how fast a player runs.
        map_half_m: the map is a square of twice this, around its centre.
        boxes: what stops movement and shots.
        bases: where the teams begin, in their order; empty: in a circle around the zone's centre.
        zone: the circle that closes.
        weapons: what may be shot with; everybody gets the first.
        respawn_s: seconds until the dead return; 0: dead is dead.
        match_s: how long a match lasts where nothing else is said.
        backfill_until: part of a match, 0 to 1, during which free slots are given to waiting players.
        score: what is counted for each team; empty: nothing is.
        objects: how many entities there are at most beside the players, by kind, in the order of kinds.
        rows: the mode's own numbers.
        shows: what others learn of a player.
        bots: what bots go for.
        events: the kinds of events that its hooks emit, by their names in the schema of events.
        rule_set: the file of its rule set.
    """

    name: str
    description: str
    folder: Path
    each_alone: bool
    teams: int
    team_size_min: int
    team_size_max: int
    players_full: int
    players_min: int
    fill_s: float
    sized_by_settings: bool
    speed_m_per_s: float
    map_half_m: float
    boxes: tuple[Box, ...]
    bases: tuple[Base, ...]
    zone: Zone
    weapons: tuple[Weapon, ...]
    respawn_s: float
    match_s: float
    backfill_until: float
    score: tuple[ScoreField, ...]
    objects: Mapping[str, int]
    rows: OwnRows
    shows: Shows
    bots: Bots
    events: tuple[str, ...]
    rule_set: Path

    @property
    def hooks(self) -> Path:
        """The file of its hooks."""
        return self.folder / "hooks.py"

    @property
    def objects_count(self) -> int:
        """Entities beside the players."""
        return sum(self.objects.values())

    @property
    def fixed_size(self) -> bool:
        """Whether every match has the same number of players."""
        return not self.sized_by_settings and self.players_min == self.players_full
