"""Writes frames of a match into a spectator feed, whatever memory that is."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dedicated_server.match.spectator_layout import (
    HAPPENED,
    HEADER,
    MAGIC,
    MOST_HAPPENED,
    NAME,
    NAME_BYTES,
    PLAYER_CONNECTED,
    PLAYER_DEATHS,
    PLAYER_FIRING,
    PLAYER_HEALTH,
    PLAYER_HINTS,
    PLAYER_KILLS,
    PLAYER_PLACEMENT,
    PLAYER_YAW,
    VERSION,
    FeedSizes,
)
from dedicated_server.simulation.damage import zone_radius_m
from dedicated_server.simulation.event_buffer import DEATH, KILL, MODE_EVENT
from dedicated_server.simulation.match import Match, RosterPlayer
from dedicated_server.simulation.world import (
    FIRING,
    HEALTH_POINTS,
    MAP_HALF_M,
    NOBODY,
    SHOTS,
    START_TICK,
    TEAM,
    TICK,
    X_M,
    YAW,
    ZONE_CLOSED_TICKS,
    ZONE_POINTS,
    ZONE_START_M,
    ZONE_X_M,
    ZONE_Y_M,
)

RENEWED: Final = 2  # frames that what seldom changes is written in: one after the other


def constants_of(match: Match) -> bytes:
    """What does not change in a match, for a feed: JSON in UTF-8."""
    card = match.config.card
    constants = json.dumps(
        {
            "mode": card.name,
            "tick_hz": match.config.tick_hz,
            "each_alone": card.each_alone,
            "has_zone": bool(match.world.rules[ZONE_POINTS] > 0),
            "scores": [[field.name, field.limit] for field in card.score],
            "events": list(card.events),
            "weapons": [weapon.name for weapon in card.weapons],
            "boxes": [[box.west_m, box.south_m, box.east_m, box.north_m] for box in card.boxes],
            "bases": [[base.x_m, base.y_m, base.radius_m] for base in card.bases],
        }
    ).encode()
    return constants.ljust((len(constants) + 7) // 8 * 8)


def feed_sizes(match: Match, constants: bytes) -> FeedSizes:
    """The sizes of a match's feed."""
    world = match.world
    fields, teams = world.scores.shape
    return FeedSizes(
        players=world.body.shape[1],
        objects=world.objects.shape[1],
        teams=teams,
        fields=fields,
        constant_bytes=len(constants),
    )


def name_bytes(name: str) -> bytes:
    """A name as a feed holds it: UTF-8, cut between two characters where it is too long."""
    return name.encode(errors="replace")[:NAME_BYTES].decode(errors="ignore").encode()


class FrameWriter:
    """Writes a match's frames.

    Args:
        memory: of ``sizes.feed_bytes``, all zeros.
        match: the match; its roster says who is who at first.
        constants: as `constants_of` has them.
    """

    def __init__(self, memory: mmap.mmap | bytearray, match: Match, constants: bytes) -> None:
        sizes = feed_sizes(match, constants)
        self._match = match
        self._header = np.frombuffer(memory, HEADER, 1)
        self._halves = sizes.halves(memory)
        memory[HEADER.itemsize : HEADER.itemsize + len(constants)] = constants
        header = self._header
        header["magic"], header["version"], header["players"] = MAGIC, VERSION, sizes.players
        header["objects"], header["teams"], header["fields"] = sizes.objects, sizes.teams, sizes.fields
        header["constant_bytes"] = sizes.constant_bytes
        self._ids = np.zeros(sizes.players, np.int64)
        self._names = np.zeros(sizes.players, NAME)
        self._roster: tuple[RosterPlayer, ...] = ()
        self._stale = 0
        self._follow_roster()
        self._shots = np.zeros(sizes.players, np.int32)
        self._happened = np.zeros(MOST_HAPPENED, HAPPENED)
        self._count = 0
        self._placements: npt.NDArray[np.int32] | None = None

    def forget(self) -> None:
        """Forget what has happened."""
        self._count = 0

    def note(
        self, records: Iterable[npt.NDArray[Any]], roster: tuple[RosterPlayer, ...] | None = None
    ) -> None:
        """Note what has happened: records of ``EVENT_DTYPE``.

        ``roster``: who had the slots then; None: who has them in the frame written last.
        """
        players = self._roster if roster is None else roster
        for record in records:
            kind = int(record["kind"])
            if kind not in (KILL, DEATH) and kind < MODE_EVENT:
                continue
            row = self._happened[self._count % MOST_HAPPENED]
            for name in ("tick", "kind", "weapon", "value"):
                row[name] = record[name]
            for role in ("actor", "victim"):
                entity = int(record[role])
                known = NOBODY < entity < len(players)
                row[role] = entity
                row[f"{role}_team"] = players[entity].team if known else NOBODY
                row[f"{role}_name"] = _called(players[entity]) if known else b""
            self._count += 1
            self._stale = RENEWED

    def write(
        self,
        phase: int,
        connected: npt.NDArray[np.bool_],
        kills: npt.NDArray[np.int32],
        deaths: npt.NDArray[np.int32],
        hints: npt.NDArray[np.integer[Any]] | int = 0,
    ) -> None:
        """Write the match as it is now.

        Args:
            phase: as the wire has it.
            connected: bool[P].
            kills, deaths: int[P], of the players who have the slots now.
            hints: of far combat, int[P]: two bits for each eighth of the horizon.
        """
        newest = 1 - int(self._header["newest"][0])
        half, world = self._halves[newest], self._match.world
        rules, status, counters = world.rules, world.status, world.counters
        started = int(counters[START_TICK])
        half.frame[0] = (
            counters[TICK],
            started,
            started + rules[ZONE_CLOSED_TICKS],
            phase,
            self._count,
            rules[MAP_HALF_M],
            rules[ZONE_X_M],
            rules[ZONE_Y_M],
            _zone_radius_m(world) if started else rules[ZONE_START_M],
        )
        half.floats[:] = world.body[X_M : HEALTH_POINTS + 1]
        ints = half.ints
        ints[: PLAYER_FIRING + 1] = status[TEAM : FIRING + 1]
        shots = status[SHOTS]
        ints[PLAYER_FIRING] |= shots != self._shots  # since the frame before
        self._shots[:] = shots
        ints[PLAYER_CONNECTED], ints[PLAYER_KILLS], ints[PLAYER_DEATHS] = connected, kills, deaths
        ints[PLAYER_HINTS] = hints
        if self._match.over and self._placements is None:
            self._placements = self._match.placements()
        elif not self._match.over:
            self._placements = None
        ints[PLAYER_PLACEMENT] = 0 if self._placements is None else self._placements
        if self._roster is not self._match.roster:
            self._follow_roster()
        if self._stale:
            half.ids[:], half.names[:], half.happened[:] = self._ids, self._names, self._happened
            self._stale -= 1
        if len(half.object_ints[0]):
            half.object_floats[:], half.object_ints[:] = world.objects, world.object_status
        if half.scores.size:
            half.scores[:] = world.scores
        self._header["written"] += 1
        self._header["newest"] = newest

    def _follow_roster(self) -> None:
        """Note who has the slots now: the match has another roster whenever one of them changes."""
        self._roster = self._match.roster
        for entity, player in enumerate(self._roster):
            self._ids[entity], self._names[entity] = player.player_id, name_bytes(player.name)
        self._stale = RENEWED


def _called(player: RosterPlayer) -> bytes:
    """A player's name; their number where they have none."""
    return name_bytes(player.name or f"player {player.player_id}")


# A frame's first rows are the world's, so that each is one copy.
assert (TEAM, YAW, FIRING) == (0, PLAYER_YAW, PLAYER_FIRING)
assert (X_M, HEALTH_POINTS) == (0, PLAYER_HEALTH)
# Called as Python: handing a world to compiled code costs more than the few numbers that it reads.
_zone_radius_m = getattr(zone_radius_m, "py_func", zone_radius_m)
