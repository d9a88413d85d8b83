"""The player slots of a running match: who has one, which are free for good, and who takes them over.

A slot is an entity: a slot of the wire and a row in the world. Everything in here happens between two ticks,
a few fields at a time, so a tick never sees half of it and costs nothing more. A slot is open to one player
at a
time: a connect token must name the slot's player id.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from dedicated_server.protocol.datagrams import LEFT, TIMED_OUT
from dedicated_server.protocol.reasons import KICKED
from dedicated_server.protocol.server.state import EMPTIED, EXPECTED, NEWCOMER, SHUT, VACATED
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

VACANT: Final = 0  # player id of a free slot: no connect token opens it
NEVER_CONNECTED: Final = 0  # status of a slot that nobody was ever connected to

# Rows of World.status and of World.body that a slot's next player does not inherit.
COUNT_ROWS: Final = (KILLS, DEATHS, SHOTS, HITS)
POINT_ROWS: Final = (DAMAGE_POINTS, TAKEN_POINTS)


@dataclass(frozen=True, slots=True)
class DamageTotals:
    """What one player dealt and took, in health points: over several lives more than one life has."""

    weapon: int  # row of World.weapons: a mode gives everybody one
    dealt: float
    taken: float
    shots: int
    hits: int


@dataclass(frozen=True, slots=True)
class DepartedPlayer:
    """A player who had to give up their slot, and how they did until then; ``joined``.

    They had been connected.
    """

    player: RosterPlayer
    kills: int
    deaths: int
    joined: bool
    damage: DamageTotals


class PlayerSlots:
    """The slots of one match.

    Args:
        match: its roster is kept up to date here.
        wire: its slots are opened and closed here.
        joined, lost: bool[N], see `replication.connections`.

    Attributes:
        departed: players who had a slot and have none any more, in order.
        backfilled: how many players arrived in slots assigned here; `match.backfill` counts them.
        departed_joined, departed_lost: how many of the departed had connected, and how many were lost.
        kicked: players who have to leave, and get no other token: bool[N]. They are not lost.
        departed_kicked: how many of the departed were kicked.
    """

    def __init__(
        self,
        match: Match,
        wire: ServerWire,
        joined: npt.NDArray[np.bool_],
        lost: npt.NDArray[np.bool_],
    ) -> None:
        self._match, self._wire, self._joined, self._lost = match, wire, joined, lost
        # The totals of each slot before its present player had it.
        self._counts_before = np.zeros((len(COUNT_ROWS), len(joined)), np.int32)
        self._points_before = np.zeros((len(POINT_ROWS), len(joined)), np.float32)
        self.departed: list[DepartedPlayer] = []
        self.backfilled = 0
        self.departed_joined = 0
        self.departed_lost = 0
        self.kicked = np.zeros(len(joined), np.bool_)
        self.departed_kicked = 0

    @property
    def kills(self) -> npt.NDArray[np.int32]:
        """Kills of each slot's present player: int32[N]."""
        kills: npt.NDArray[np.int32] = self._match.world.status[KILLS] - self._counts_before[0]
        return kills

    @property
    def deaths(self) -> npt.NDArray[np.int32]:
        """Deaths of each slot's present player: int32[N]."""
        deaths: npt.NDArray[np.int32] = self._match.world.status[DEATHS] - self._counts_before[1]
        return deaths

    def damage(self, entity: int) -> DamageTotals:
        """What a slot's present player dealt and took so far."""
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
        """Entities of the free slots: int64[…]."""
        return np.flatnonzero(self._wire.state.slots["player_id"] == VACANT)

    def abandoned(self, *, played_in: bool) -> npt.NDArray[np.int64]:
        """Entities whose player is absent: int64[…].

        Players who never connected to a match that has begun; and, with ``played_in``, players who left or
        timed out. The caller decides whether such a player may still come back.
        """
        wire, match = self._wire, self._match
        has_player = wire.state.slots["player_id"] != VACANT
        gone = np.zeros(len(has_player), np.bool_)
        if match.started:
            gone |= ~self._joined & (wire.status == NEVER_CONNECTED)
        if played_in:
            gone |= self._joined & ((wire.status == LEFT) | (wire.status == TIMED_OUT))
        return np.flatnonzero(gone & has_player)

    def has_left(self, entity: int) -> bool:
        """Whether the player of a slot said that they leave."""
        return bool(self._wire.status[entity] == LEFT)

    def has_joined(self, entity: int) -> bool:
        """Whether the player of a slot has been connected."""
        return bool(self._joined[entity])

    def outcome(self, entity: int) -> DepartedPlayer:
        """How the player of a slot did so far."""
        player = self._match.roster[entity]
        return DepartedPlayer(
            player,
            int(self.kills[entity]),
            int(self.deaths[entity]),
            bool(self._joined[entity]),
            self.damage(entity),
        )

    def kick(self, entity: int, reason: int = KICKED) -> None:
        """Have the player of a slot leave at the next tick, for good: no connect token opens it to them.

        ``reason``: what they are told, of `protocol.reasons`. Kicking them again changes nothing but that.
        """
        slots = self._wire.state.slots
        slots["dismissal"][entity] = reason
        slots["token_issued_ms"][entity] = SHUT
        slots["token_tag"][entity] = 0
        self._lost[entity] = False
        self.kicked[entity] = True

    @property
    def lost(self) -> npt.NDArray[np.bool_]:
        """Players who are lost now: bool[N]."""
        lost: npt.NDArray[np.bool_] = self._lost & ~self.kicked
        return lost

    def release(self, entity: int) -> DepartedPlayer:
        """Free the slot of a player who has been checked in.

        From here on their connect token opens nothing, and from the next tick on they have no body.
        """
        departed = self.outcome(entity)
        self.departed.append(departed)
        self.departed_joined += int(self._joined[entity])
        self._reassign(entity, VACANT)
        return departed

    def assign(self, entity: int, player_id: int, name: str = "") -> None:
        """Open a free slot to a player. Their life begins when they connect."""
        self._reassign(entity, player_id, name)
        self._lost[entity] = self._match.started  # until they connect
        self._wire.state.per_slot[NEWCOMER, entity] = EXPECTED

    def reclaim(self, entity: int) -> None:
        """Close a slot again whose player never connected and is not coming."""
        self._lost[entity] = False
        self._reassign(entity, VACANT)

    def _reassign(self, entity: int, player_id: int, name: str = "") -> None:
        state, status = self._wire.state, self._match.world.status
        slots = state.slots
        self._wire.set_player(entity, player_id, name)
        slots["token_issued_ms"][entity] = -1
        slots["challenge_counter"][entity] = -1
        slots["connection_tag"][entity] = -1
        slots["session_at_s"][entity] = -np.inf
        slots["token_tag"][entity] = 0
        slots["dismissal"][entity] = 0
        # Messages that the slot's last player did not get are not for the next; numbers go on, so none
        # repeats.
        slots["reliable_first"][entity] += slots["reliable_count"][entity]
        slots["reliable_count"][entity] = 0
        state.status[entity] = NEVER_CONNECTED
        state.per_slot[NEWCOMER, entity] = 0
        state.per_slot[VACATED, entity] = EMPTIED
        self.departed_lost += int(self.lost[entity])
        self.departed_kicked += int(self.kicked[entity])
        self._joined[entity] = self._lost[entity] = self.kicked[entity] = False
        self._counts_before[:, entity] = status[COUNT_ROWS, entity]
        self._points_before[:, entity] = self._match.world.body[POINT_ROWS, entity]
        roster = list(self._match.roster)
        roster[entity] = replace(roster[entity], player_id=player_id, name=name)
        self._match.roster = tuple(roster)
