"""The seats of a running match: who has one, whose is free for good, and who takes it over.

A seat is an entity: a slot of the wire and a body in the world. Everything in here happens between two ticks, a few fields at a
time, so a tick never sees half of it and costs nothing more. A seat is open to one player at a time: the slot's player id is what a connect
token must name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from dedicated_server.protocol.datagrams import LEFT, TIMED_OUT
from dedicated_server.protocol.server.state import EXPECTED, NEWCOMER
from dedicated_server.simulation.world import (
    DAMAGE_POINTS,
    DEATHS,
    HITS,
    KILLS,
    SHOTS,
    TAKEN_POINTS,
    WEAPON,
)

if TYPE_CHECKING:
    from dedicated_server.protocol.server.wire import ServerWire
    from dedicated_server.simulation.match import Match, RosterPlayer

VACANT: Final = 0  # player id of a seat that nobody has: no connect token opens it
NEVER_CONNECTED: Final = 0  # status of a slot that nobody was ever connected to


COUNT_ROWS: Final = (
    KILLS,
    DEATHS,
    SHOTS,
    HITS,
)  # rows of World.status that a seat's next player does not inherit
POINT_ROWS: Final = (DAMAGE_POINTS, TAKEN_POINTS)  # and of World.body


@dataclass(frozen=True, slots=True)
class DamageTotals:
    """What one player dealt and took, in health points; who respawns can take more than he has at once."""

    weapon: int  # row of weapons.WEAPONS: a mode gives everybody one
    dealt: float
    taken: float
    shots: int
    hits: int


@dataclass(frozen=True, slots=True)
class DepartedPlayer:
    """A player whose seat was taken from him, and how he did until then; ``joined``: he had been connected."""

    player: RosterPlayer
    kills: int
    deaths: int
    joined: bool
    damage: DamageTotals


class PlayerSlots:
    """The seats of one match.

    Args:
        match: whose roster is kept up to date here.
        wire: whose slots are opened and closed.
        joined, lost: bool[N], see `netcode.attendance`.

    Attributes:
        parted: who had a seat and has none any more, in order.
        taken: how many players came into seats that they were given here; counted by who watches for them.
        parted_joined, parted_lost: of those who parted, how many had come, and how many were lost.
    """

    def __init__(
        self,
        match: Match,
        wire: ServerWire,
        joined: npt.NDArray[np.bool_],
        lost: npt.NDArray[np.bool_],
    ) -> None:
        self._match, self._wire, self._joined, self._lost = match, wire, joined, lost
        # Of each seat, before its player had it.
        self._counts_before = np.zeros((len(COUNT_ROWS), len(joined)), np.int32)
        self._points_before = np.zeros((len(POINT_ROWS), len(joined)), np.float32)
        self.departed: list[DepartedPlayer] = []
        self.backfilled = 0
        self.departed_joined = 0
        self.departed_lost = 0

    @property
    def kills(self) -> npt.NDArray[np.int32]:
        """Kills of each seat's present player: int32[N]."""
        kills: npt.NDArray[np.int32] = self._match.world.status[KILLS] - self._counts_before[0]
        return kills

    @property
    def deaths(self) -> npt.NDArray[np.int32]:
        """Deaths of each seat's present player: int32[N]."""
        deaths: npt.NDArray[np.int32] = self._match.world.status[DEATHS] - self._counts_before[1]
        return deaths

    def damage(self, entity: int) -> DamageTotals:
        """What a seat's present player dealt and took so far."""
        status, body = self._match.world.status, self._match.world.body
        counts = status[COUNT_ROWS, entity] - self._counts_before[:, entity]
        dealt, taken = body[POINT_ROWS, entity] - self._points_before[:, entity]
        return DamageTotals(
            weapon=int(status[WEAPON, entity]),
            dealt=float(dealt),
            taken=float(taken),
            shots=int(counts[2]),
            hits=int(counts[3]),
        )

    def vacant(self) -> npt.NDArray[np.int64]:
        """Entities that nobody has a seat as."""
        return np.flatnonzero(self._wire.state.slots["player_id"] == VACANT)

    def abandoned(self, *, played_in: bool) -> npt.NDArray[np.int64]:
        """Entities whose player is not here and cannot be waited for at the door: who never came to a match that has begun, and, where
        seats that were ``played_in`` count, who left or timed out. Whether he may still come back is the caller's to say."""
        wire, match = self._wire, self._match
        has_player = wire.state.slots["player_id"] != VACANT
        gone = np.zeros(len(has_player), np.bool_)
        if match.started:
            gone |= ~self._joined & (wire.status == NEVER_CONNECTED)
        if played_in:
            gone |= self._joined & ((wire.status == LEFT) | (wire.status == TIMED_OUT))
        return np.flatnonzero(gone & has_player)

    def has_left(self, entity: int) -> bool:
        """Whether the player of a seat left by himself."""
        return bool(self._wire.status[entity] == LEFT)

    def has_joined(self, entity: int) -> bool:
        """Whether the player of a seat has been connected."""
        return bool(self._joined[entity])

    def outcome(self, entity: int) -> DepartedPlayer:
        """How the player of a seat did so far."""
        player = self._match.roster[entity]
        return DepartedPlayer(
            player,
            int(self.kills[entity]),
            int(self.deaths[entity]),
            bool(self._joined[entity]),
            self.damage(entity),
        )

    def release(self, entity: int) -> DepartedPlayer:
        """Take the seat from its player, who has been checked in: from here on his connect token opens nothing."""
        parted = self.outcome(entity)
        self.departed.append(parted)
        self.departed_joined += int(self._joined[entity])
        self._reassign(entity, VACANT)
        return parted

    def assign(self, entity: int, player_id: int) -> None:
        """Open a vacant seat to a player. His life begins when he arrives."""
        self._reassign(entity, player_id)
        self._lost[entity] = self._match.started  # until he comes
        self._wire.state.per_slot[NEWCOMER, entity] = EXPECTED

    def reclaim(self, entity: int) -> None:
        """Close a seat again whose player never arrived and is not coming."""
        self._lost[entity] = False
        self._reassign(entity, VACANT)

    def _reassign(self, entity: int, player_id: int) -> None:
        state, status = self._wire.state, self._match.world.status
        slots = state.slots
        slots["player_id"][entity] = player_id
        slots["token_issued_ms"][entity] = -1
        slots["challenge_counter"][entity] = -1
        slots["token_tag"][entity] = 0
        # What the player before him was not told any more is not for him; numbers go on, so that none is used twice.
        slots["reliable_first"][entity] += slots["reliable_count"][entity]
        slots["reliable_count"][entity] = 0
        state.status[entity] = NEVER_CONNECTED
        state.per_slot[NEWCOMER, entity] = 0
        self.departed_lost += int(self._lost[entity])
        self._joined[entity] = self._lost[entity] = False
        self._counts_before[:, entity] = status[COUNT_ROWS, entity]
        self._points_before[:, entity] = self._match.world.body[POINT_ROWS, entity]
        roster = list(self._match.roster)
        roster[entity] = replace(roster[entity], player_id=player_id)
        self._match.roster = tuple(roster)
