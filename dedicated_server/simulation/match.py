"""A match without its network: built from a seed and a roster, stepped by inputs, asked for its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt
from numba import njit, typeof

from dedicated_server.cards.card import ModeCard
from dedicated_server.errors import DedicatedServerError
from dedicated_server.native.compilation import INLINE, INNER, STAGE
from dedicated_server.native.memory import AllocateZeros, StateHandle, load_state
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.simulation.boxes import free_place
from dedicated_server.simulation.damage import apply_hit_damage, apply_zone_damage, respawn
from dedicated_server.simulation.event_buffer import MATCH_ENDED, MATCH_STARTED, drain, emit
from dedicated_server.simulation.grid import Grid, fill, new_grid
from dedicated_server.simulation.hits import resolve_hits
from dedicated_server.simulation.layout import layout_of
from dedicated_server.simulation.mode import Mode
from dedicated_server.simulation.movement import apply_inputs
from dedicated_server.simulation.objects import fly_projectiles
from dedicated_server.simulation.world import (
    ALIVE,
    CORPSE_TICKS,
    DIED_TICK,
    ELAPSED,
    HIT_COUNT,
    MAP_HALF_M,
    NOBODY,
    OBJECT_SHOWN,
    OBJECT_X_M,
    OBJECT_Y_M,
    POSITION_HISTORY_TICKS,
    PRESENT,
    RESPAWN_TICKS,
    RULES,
    SHOWN,
    START_TICK,
    STEP_M,
    TICK,
    WORLD_TYPE,
    X_M,
    Y_M,
    ZONE_CLOSED_TICKS,
    ZONE_HOLD_TICKS,
    ZONE_POINTS,
    ZONE_START_M,
    ZONE_X_M,
    ZONE_Y_M,
    Inputs,
    World,
    new_inputs,
    new_world,
)

GRID_CELL_M: Final = 100.0  # a quarter of the horizon: a look is nine or ten runs, a shot two or three
SPAWN_SHARE: Final = 0.6  # of the distance that one can run in a match, so that all can reach each other
MIN_SPAWN_RADIUS_M: Final = 40.0


class BadRosterError(DedicatedServerError, ValueError):
    """Raised when a match's players are not numbered 0, 1, 2, … by entity. Correct the roster.

    The director made it.
    """


@dataclass(frozen=True)
class RosterPlayer:
    """One player of a match; ``entity`` is the index in every array of the match and the client's slot."""

    player_id: int
    team: int
    entity: int
    name: str = ""  # what others are shown; empty where it is not known


@dataclass(frozen=True)
class MatchConfig:
    """All that a match is made from. Equal configurations and equal inputs give equal matches."""

    match_id: UUID
    card: ModeCard  # of the mode
    seed: int
    match_s: float  # until the zone has closed
    players: Sequence[RosterPlayer]
    join_timeout_s: float = 10.0  # how long connected players wait for the others
    come_timeout_s: float | None = None  # how long the first one is waited for; None: as long as the others
    tick_hz: int = TICK_HZ
    spawn_radius_m: float | None = None  # None: what the mode and the length of the match suggest

    @property
    def mode(self) -> str:
        """The mode's name."""
        return self.card.name


def roster_of(config: MatchConfig) -> tuple[RosterPlayer, ...]:
    """The players by entity. Raises BadRosterError."""
    roster = tuple(sorted(config.players, key=lambda player: player.entity))
    if not roster or [player.entity for player in roster] != list(range(len(roster))):
        raise BadRosterError("the entities of a roster must be 0, 1, 2, … without gaps")
    return roster


class MatchArrays(NamedTuple):
    """All that the stages of a match work on."""

    world: World
    grid: Grid
    inputs: Inputs


MATCH_TYPE: Final = typeof(
    MatchArrays(new_world([0], np.zeros((2, 1)), np.zeros(RULES)), new_grid(1, 1.0, 1.0), new_inputs(1))
)


@njit(cache=True, nogil=True, **STAGE)
def simulate(world: World, grid: Grid, playing: bool) -> None:
    """Simulate a tick after its inputs: respawn, record positions, fill the grid.

    While ``playing``, hits and damage.
    """
    if playing:
        respawn(world)
    remember_positions(world)
    _choose_shown(world)
    fill_grid(world, grid)
    world.counters[HIT_COUNT] = 0
    if playing:
        resolve_hits(world, grid)
        apply_hit_damage(world)
        if world.objects.shape[1] > 0:
            fly_projectiles(world, grid)
        apply_zone_damage(world)


@njit(cache=True, nogil=True, **INLINE)
def fill_grid(world: World, grid: Grid) -> None:
    """Sort the players and objects that are shown into the grid."""
    fill(
        grid,
        world.body[X_M],
        world.body[Y_M],
        world.status[SHOWN],
        world.objects[OBJECT_X_M],
        world.objects[OBJECT_Y_M],
        world.object_status[OBJECT_SHOWN],
    )


@njit(cache=True, nogil=True, **INLINE)
def remember_positions(world: World) -> None:
    """Write this tick's row of the position history. Skipped ticks get the same row: nobody moved in them."""
    tick = world.counters[TICK]
    for back in range(min(max(world.counters[ELAPSED], 1), POSITION_HISTORY_TICKS)):
        row = (tick - back) % POSITION_HISTORY_TICKS
        for player in range(world.body.shape[1]):
            world.position_history[row, 0, player] = world.body[X_M, player]
            world.position_history[row, 1, player] = world.body[Y_M, player]


@njit(cache=True, nogil=True, **INNER)
def _choose_shown(world: World) -> None:
    tick = world.counters[TICK]
    for player in range(world.body.shape[1]):
        lingers = tick - world.status[DIED_TICK, player] < CORPSE_TICKS
        world.status[SHOWN, player] = world.status[ALIVE, player] or lingers


@njit(cache=True, nogil=True, **STAGE)
def _apply_inputs_at(state: int, tick: int, playing: bool) -> None:
    """Call `movement.apply_inputs` on the MatchArrays stored at the address ``state``."""
    arrays = load_state(state, MATCH_TYPE)
    apply_inputs(arrays.world, arrays.inputs, tick, playing)


@njit(cache=True, nogil=True, **STAGE)
def _simulate_at(state: int, playing: bool) -> None:
    """Call `simulate` on the MatchArrays stored at the address ``state``."""
    arrays = load_state(state, MATCH_TYPE)
    simulate(arrays.world, arrays.grid, playing)


class Match:
    """A running match. ``apply`` and ``simulate`` are one tick; nothing in here knows what time it is.

    Args:
        config: what the match is made from.
        mode: the mode of play that ``config.card`` is of.
        inputs: the players' inputs, as the wire decodes them; None: the match allocates rings for the caller
            to fill.
        zeros: allocates arrays.

    Raises BadRosterError.
    """

    def __init__(
        self, config: MatchConfig, mode: Mode, inputs: Inputs | None = None, zeros: AllocateZeros = np.zeros
    ) -> None:
        self.config = config
        self.mode = mode
        self.roster = roster_of(config)
        self.world: World = _build_world(config, self.mode, self.roster, zeros)
        self.grid: Grid = new_grid(
            len(self.roster),
            config.card.map_half_m,
            GRID_CELL_M,
            zeros,
            objects=self.world.objects.shape[1],
        )
        self.inputs = new_inputs(len(self.roster)) if inputs is None else inputs
        self._world_handle = StateHandle(self.world, WORLD_TYPE)
        self._state_handle = StateHandle(MatchArrays(self.world, self.grid, self.inputs), MATCH_TYPE)
        # What a tick asks for, looked up once: a tenth of a microsecond each.
        self._play, self._respawn = mode.play, mode.respawn
        self._world_address, self._state_address = self._world_handle.address, self._state_handle.address
        self.started = False
        self.over = False

    def start(self, present: npt.ArrayLike, tick: int) -> None:
        """Begin play at ``tick`` with the players in ``present`` (bool[N]); the others take no part."""
        absent = ~np.asarray(present, dtype=bool)
        for row in (PRESENT, ALIVE, SHOWN):
            self.world.status[row, absent] = 0
        self.world.counters[START_TICK] = tick
        self.started = True
        emit(self.world, MATCH_STARTED, NOBODY, NOBODY, NOBODY, NOBODY, 0)

    def apply(self, tick: int) -> None:
        """Play the inputs due by ``tick``: movement, and the shots that `simulate` judges."""
        _apply_inputs_at(self._state_address, tick, self.started and not self.over)

    def simulate(self) -> None:
        """Play the rest of the tick (see `simulate`), then the mode's part, which says when it is over."""
        playing = self.started and not self.over
        if playing and self._respawn is not None:
            self._respawn(self._world_address)
        _simulate_at(self._state_address, playing)
        if playing and self._play(self._world_address):
            self.over = True
            emit(self.world, MATCH_ENDED, NOBODY, NOBODY, NOBODY, NOBODY, 0)

    def drain_events(self) -> npt.NDArray[Any]:
        """Take the events since the last call: records of events.EVENT_DTYPE."""
        return drain(self.world)

    def placements(self) -> npt.NDArray[np.int32]:
        """Placement of every entity as it stands, 1 is best."""
        return self.mode.placements(self.world)

    @property
    def tick(self) -> int:
        """The tick last applied."""
        return int(self.world.counters[TICK])

    @property
    def alive_count(self) -> int:
        """How many players are alive."""
        return int(np.count_nonzero(self.world.status[ALIVE]))


def _build_world(
    config: MatchConfig, mode: Mode, roster: Sequence[RosterPlayer], zeros: AllocateZeros
) -> World:
    places, zone = (np.random.default_rng(child) for child in np.random.SeedSequence(config.seed).spawn(2))
    card = config.card
    radius_m = config.spawn_radius_m
    if radius_m is None:
        runnable_m = SPAWN_SHARE * card.speed_m_per_s * config.match_s
        radius_m = min(max(runnable_m, MIN_SPAWN_RADIUS_M), card.zone.max_spawn_radius_m)
    teams = np.array([player.team for player in roster], dtype=np.int32)
    room_m = max(card.map_half_m - radius_m - card.zone.margin_m, 0.0)
    zone_x_m, zone_y_m = zone.uniform(-room_m, room_m, 2)
    if card.bases:  # they lie on the map, not around the zone
        zone_x_m = zone_y_m = 0.0
    closed_ticks = round(config.match_s * config.tick_hz)
    rules = np.zeros(RULES)
    rules[MAP_HALF_M] = card.map_half_m
    rules[STEP_M] = card.speed_m_per_s / config.tick_hz
    rules[ZONE_X_M], rules[ZONE_Y_M] = zone_x_m, zone_y_m
    rules[ZONE_START_M] = radius_m + card.zone.margin_m
    rules[ZONE_HOLD_TICKS] = round(closed_ticks * card.zone.hold_share)
    rules[ZONE_CLOSED_TICKS] = closed_ticks
    rules[ZONE_POINTS] = card.zone.points_per_s / config.tick_hz
    rules[RESPAWN_TICKS] = round(card.respawn_s * config.tick_hz)
    layout = layout_of(card)
    spawns = mode.spawn(card, teams, radius_m, places) + np.array([[zone_x_m], [zone_y_m]])
    if len(layout.boxes):
        for player, (x_m, y_m) in enumerate(spawns.T):
            spawns[:, player] = free_place(x_m, y_m, layout.boxes, card.map_half_m)
    return new_world(teams, spawns, rules, zeros, layout)


__all__ = ["BadRosterError", "Match", "MatchConfig", "RosterPlayer"]
