"""What happened in a match, tick by tick, so that two plays of it can be compared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.simulation.match import Match
from dedicated_server.simulation.world import (
    ALIVE,
    BODY_ROWS,
    DAMAGE_POINTS,
    HEALTH_POINTS,
    OBJECT_A,
    OBJECT_B,
    OBJECT_C,
    OBJECT_ROWS,
    OBJECT_SHOWN,
    SHOWN_VIEW,
    TAKEN_POINTS,
    X_M,
    Y_M,
    World,
)

TOLERANCE: Final = 1e-4  # metres, points: what compiled and plain arithmetic may differ by
EVENT_NUMBERS: Final = ("kind", "tick", "actor", "victim", "weapon", "assist", "value")
BODY_NAMES: Final = {
    X_M: "x_m",
    Y_M: "y_m",
    HEALTH_POINTS: "health_points",
    DAMAGE_POINTS: "damage dealt",
    TAKEN_POINTS: "damage taken",
    SHOWN_VIEW: "newest tick shown",
}
OBJECT_NAMES: Final = ("x_m", "y_m", "east_m", "north_m")
OBJECT_NUMBERS: Final = {OBJECT_SHOWN: "shown", OBJECT_A: "A", OBJECT_B: "B", OBJECT_C: "C"}


@dataclass(frozen=True)
class Trace:
    """A played match.

    Attributes:
        names: of what is kept of each tick, one a column of ``states``.
        states: float64[T, K], from tick 1 on.
        events: records of EVENT_DTYPE, in their order.
        digest: of all arrays of the world at the end of each tick.
        placements: int32[P].
    """

    names: tuple[str, ...]
    states: npt.NDArray[np.float64]
    events: npt.NDArray[Any]
    digest: str
    placements: npt.NDArray[np.int32]

    def save(self, path: Path) -> None:
        """Write it to a file of numpy's."""
        np.savez(
            path,
            names=np.array(self.names),
            states=self.states,
            events=np.asarray(self.events).view(np.ndarray),
            digest=np.array(self.digest),
            placements=self.placements,
        )

    @classmethod
    def load(cls, path: Path) -> Trace:
        """Read what `save` has written."""
        with np.load(path) as kept:
            return cls(
                tuple(kept["names"].tolist()),
                kept["states"],
                kept["events"],
                str(kept["digest"]),
                kept["placements"],
            )


@dataclass(frozen=True)
class Difference:
    """Where two plays of a match part.

    Attributes:
        tick: the first at which they do.
        what: in words, with both values.
    """

    tick: int
    what: str

    def __str__(self) -> str:
        return f"tick {self.tick} ({self.tick / TICK_HZ:.2f} s): {self.what}"


class Recorder:
    """Keeps a match's trace while it is played: of each tick that is noted, or its events alone."""

    def __init__(self, match: Match) -> None:
        self._match = match
        self._digest = hashlib.blake2b(digest_size=16)
        self._states: list[npt.NDArray[np.float64]] = []
        self._events: list[npt.NDArray[Any]] = []

    def note_tick(self) -> None:
        """Keep the tick that was simulated last."""
        world = self._match.world
        for array in (
            world.body,
            world.status,
            world.objects,
            world.object_status,
            world.scores,
            world.own_players,
            world.own_teams,
            world.own_match,
        ):
            self._digest.update(array.tobytes())
        self._states.append(_state_of(world))
        self.note_events()

    def note_events(self) -> None:
        """Keep the events since this was called last."""
        events = self._match.drain_events()
        if len(events):
            self._events.append(np.asarray(events).view(np.ndarray))

    def trace(self) -> Trace:
        """What was kept."""
        world = self._match.world
        return Trace(
            _names_of(world),
            np.array(self._states),
            np.concatenate(self._events) if self._events else np.zeros(0, world.events.dtype),
            self._digest.hexdigest(),
            self._match.placements(),
        )


def _state_of(world: World) -> npt.NDArray[np.float64]:
    parts = (
        world.body.ravel(),
        world.status[ALIVE],
        world.objects.ravel(),
        world.object_status[list(OBJECT_NUMBERS)].ravel(),
        world.scores.ravel(),
        world.own_players.ravel(),
        world.own_teams.ravel(),
        world.own_match,
    )
    return np.concatenate([np.asarray(part, np.float64) for part in parts])


def _names_of(world: World) -> tuple[str, ...]:
    players, objects = range(world.body.shape[1]), range(world.objects.shape[1])
    teams = range(world.scores.shape[1])
    return (
        *(f"{BODY_NAMES[row]} of player {player}" for row in range(BODY_ROWS) for player in players),
        *(f"player {player} is alive" for player in players),
        *(f"{OBJECT_NAMES[row]} of object {number}" for row in range(OBJECT_ROWS) for number in objects),
        *(f"{name} of object {number}" for name in OBJECT_NUMBERS.values() for number in objects),
        *(f"score {field} of team {team}" for field in range(len(world.scores)) for team in teams),
        *(f"own row {row} of player {player}" for row in range(len(world.own_players)) for player in players),
        *(f"own row {row} of team {team}" for row in range(len(world.own_teams)) for team in teams),
        *(f"own row {row} of the match" for row in range(len(world.own_match))),
    )


def first_difference(plain: Trace, compiled: Trace) -> Difference | None:
    """The first tick at which two plays differ by more than `TOLERANCE`, or in an event; None: nowhere."""
    found = [_in_states(plain, compiled), _in_events(plain, compiled)]
    return min((each for each in found if each is not None), key=lambda each: each.tick, default=None)


def _in_states(plain: Trace, compiled: Trace) -> Difference | None:
    ticks = min(len(plain.states), len(compiled.states))
    one, other = plain.states[:ticks], compiled.states[:ticks]
    apart = ~(np.abs(one - other) <= TOLERANCE) & ~(np.isnan(one) & np.isnan(other))
    rows = apart.any(axis=1)
    if rows.any():
        row = int(rows.argmax())
        column = int(apart[row].argmax())
        values = f"{one[row, column]:.6g} in plain Python, {other[row, column]:.6g} compiled"
        return Difference(row + 1, f"{plain.names[column]} is {values}")
    if len(plain.states) != len(compiled.states):
        what = f"it lasts {len(plain.states)} ticks in plain Python, {len(compiled.states)} compiled"
        return Difference(ticks + 1, what)
    return None


def _in_events(plain: Trace, compiled: Trace) -> Difference | None:
    for one, other in zip(plain.events, compiled.events, strict=False):
        for name in EVENT_NUMBERS:
            if one[name] != other[name]:
                tick = int(min(one["tick"], other["tick"]))
                return Difference(
                    tick, f"an event has {name} {one[name]} in plain Python, {other[name]} compiled"
                )
    if len(plain.events) != len(compiled.events):
        longer = max(plain.events, compiled.events, key=len)
        tick = int(longer[min(len(plain.events), len(compiled.events))]["tick"])
        what = f"there are {len(plain.events)} events in plain Python, {len(compiled.events)} compiled"
        return Difference(tick, what)
    return None
