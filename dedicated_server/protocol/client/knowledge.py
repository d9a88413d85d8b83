"""What a client knows of its match, for whoever decides where its player goes: a mode's ``goal`` hook.

A hook gets a `ModeView` and the index of a client, and asks it by the functions below. They read only what
this client was told: entities in view, the roster, the state of the match. What is not known yet is `UNKNOWN`
(an entity, a team), or a place that is not a number.

How it is used::

    view = new_mode_view(clients.state, teams=2, flags=2, boxes=card_boxes)
    handle = StateHandle(view, VIEW_TYPE)  # hooks are called with its address
    # compiled: x_m, y_m = goal(load_state(address, VIEW_TYPE), client)

Whoever fills the view writes ``own_m`` in each frame: where the client predicts its own body to be, which is
newer than any record.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numba import typeof

from dedicated_server.cards.kinds import KIND_FLAG
from dedicated_server.native.compilation import INLINE, Floats, Ints, njit
from dedicated_server.protocol import fields
from dedicated_server.protocol.client import state
from dedicated_server.protocol.client.state import ClientState, allocate
from dedicated_server.protocol.entities import (
    FLAG_ALIVE,
    TAKEN,
    entity_flags,
    entity_kind,
    entity_x,
    entity_y,
    field_of,
    load_record,
)
from dedicated_server.protocol.fields import (
    OBJECTIVE_CARRIER,
    OBJECTIVE_STATE,
    OBJECTIVE_TEAM,
    PHASE_PLAYING,
)

UNKNOWN: Final = state.UNKNOWN  # an entity or a team that the client has not been told of
NOBODY: Final = -1  # a flag's carrier where nobody has it

# ModeView.numbers: what the mode's card says.
VIEW_TEAMS, VIEW_FLAGS = range(2)
# What flag_state says, as it is on the wire.
FLAG_AT_HOME: Final = fields.FLAG_AT_HOME
FLAG_CARRIED: Final = fields.FLAG_CARRIED
FLAG_DROPPED: Final = fields.FLAG_DROPPED


class ModeView(NamedTuple):
    """What C clients know, of matches of one mode with at most E entities.

    Attributes:
        wire: of all clients.
        own_m: float64[C, 2], where each client's own body is predicted to be, in metres east and north.
        first_flag: int32[C], the entity of the match's first flag; UNKNOWN before it is in view.
        boxes: float64[B, 4], the mode's map: west, south, east and north of each box, in metres.
        numbers: int32[2], VIEW_…: teams, flags.
    """

    wire: ClientState
    own_m: Floats
    first_flag: Ints
    boxes: Floats
    numbers: Ints


def new_mode_view(
    wire: ClientState, *, teams: int = 0, flags: int = 0, boxes: Floats | None = None
) -> ModeView:
    """The view of all clients of ``wire`` on matches of one mode.

    Args:
        wire: of the clients.
        teams, flags: how many a match of the mode has.
        boxes: float64[B, 4] of its map.
    """
    clients = len(wire.sessions)
    view = ModeView(
        wire=wire,
        own_m=np.full((clients, 2), np.nan),
        first_flag=np.full(clients, UNKNOWN, np.int32),
        boxes=np.zeros((0, 4)),
        numbers=np.zeros(2, np.int32),
    )
    return in_mode(view, teams=teams, flags=flags, boxes=boxes)


def in_mode(view: ModeView, *, teams: int = 0, flags: int = 0, boxes: Floats | None = None) -> ModeView:
    """The same knowledge of the same clients, for the matches of another mode. Arguments as above."""
    return view._replace(
        boxes=np.zeros((0, 4)) if boxes is None else np.ascontiguousarray(boxes, np.float64),
        numbers=np.array([teams, flags], np.int32),
    )


def forget_knowledge(view: ModeView, client: int) -> None:
    """Make what a client knows what it was before its match."""
    view.own_m[client] = np.nan
    view.first_flag[client] = UNKNOWN


VIEW_TYPE: Final = typeof(new_mode_view(allocate(1, 1)))


@njit(cache=True, nogil=True, **INLINE)
def own_entity(view: ModeView, client: int) -> int:
    """The client's own entity."""
    return int(view.wire.sessions[client].own_entity)


@njit(cache=True, nogil=True, **INLINE)
def own_team(view: ModeView, client: int) -> int:
    """The client's own team, which its token has told."""
    return int(view.wire.sessions[client].team)


@njit(cache=True, nogil=True, **INLINE)
def own_position(view: ModeView, client: int) -> tuple[float, float]:
    """Where the client's own body is predicted to be, in metres; not a number before it is in view."""
    return view.own_m[client, 0], view.own_m[client, 1]


@njit(cache=True, nogil=True, **INLINE)
def is_playing(view: ModeView, client: int) -> bool:
    """Whether the match is being played, and the client's own body is alive."""
    playing = view.wire.sessions[client].match_phase == PHASE_PLAYING
    return playing and is_alive(view, client, own_entity(view, client))


@njit(cache=True, nogil=True, **INLINE)
def team_of(view: ModeView, client: int, entity: int) -> int:
    """The team of a player, UNKNOWN where the client has not been told."""
    if entity == own_entity(view, client):
        return own_team(view, client)
    if entity < 0 or entity >= view.wire.roster_team.shape[1]:
        return UNKNOWN
    return int(view.wire.roster_team[client, entity])


@njit(cache=True, nogil=True, **INLINE)
def is_enemy(view: ModeView, client: int, entity: int) -> bool:
    """Whether a player is known to be of another team than the client."""
    team = team_of(view, client, entity)
    return team != UNKNOWN and team != own_team(view, client)


@njit(cache=True, nogil=True, **INLINE)
def is_in_view(view: ModeView, client: int, entity: int) -> bool:
    """Whether the client is shown an entity at all."""
    if entity < 0 or entity >= view.wire.seen_tick.shape[1]:
        return False
    return bool(view.wire.seen_tick[client, entity] != 0)


@njit(cache=True, nogil=True, **INLINE)
def is_alive(view: ModeView, client: int, entity: int) -> bool:
    """Whether a player is in view and alive."""
    if not is_in_view(view, client, entity):
        return False
    return bool(entity_flags(load_record(view.wire.seen[client, entity])) & FLAG_ALIVE != 0)


@njit(cache=True, nogil=True, **INLINE)
def position_of(view: ModeView, client: int, entity: int) -> tuple[float, float]:
    """Where an entity was seen last, in metres east and north; not a number where it is not in view."""
    if not is_in_view(view, client, entity):
        return math.nan, math.nan
    record = load_record(view.wire.seen[client, entity])
    return entity_x(record), entity_y(record)


@njit(cache=True, nogil=True, **INLINE)
def kind_of(view: ModeView, client: int, entity: int) -> int:
    """The kind of an entity, KIND_… of `cards`; UNKNOWN where it is not in view."""
    if not is_in_view(view, client, entity):
        return UNKNOWN
    return entity_kind(load_record(view.wire.seen[client, entity]))


@njit(cache=True, nogil=True, **INLINE)
def nearest_of_kind(view: ModeView, client: int, kind: int) -> int:
    """The entity of a kind in view that is nearest to the client's own body; UNKNOWN where there is none.

    Of items only those count that nobody has taken.
    """
    own_x_m, own_y_m = own_position(view, client)
    nearest, nearest_square = UNKNOWN, math.inf
    for entity in range(view.wire.seen_tick.shape[1]):
        if view.wire.seen_tick[client, entity] == 0:
            continue
        record = load_record(view.wire.seen[client, entity])
        if entity_kind(record) == kind and field_of(record, TAKEN) == 0:
            square = (entity_x(record) - own_x_m) ** 2 + (entity_y(record) - own_y_m) ** 2
            if square < nearest_square:
                nearest, nearest_square = entity, square
    return nearest


@njit(cache=True, nogil=True, **INLINE)
def find_flags(view: ModeView, client: int) -> None:
    """Note which entities are the flags, once all are in view; whoever fills the view calls it each frame."""
    flags = view.numbers[VIEW_FLAGS]
    if flags == 0 or view.first_flag[client] != UNKNOWN:
        return
    first, found = UNKNOWN, 0
    for entity in range(view.wire.seen_tick.shape[1]):
        if kind_of(view, client, entity) == KIND_FLAG:
            if found == 0:
                first = entity
            found += 1
    if found == flags:
        view.first_flag[client] = first


@njit(cache=True, nogil=True, **INLINE)
def score(view: ModeView, client: int, field: int, team: int) -> int:
    """What a team has of one of the mode's score fields."""
    return int(view.wire.scores[client, field * view.numbers[VIEW_TEAMS] + team])


@njit(cache=True, nogil=True, **INLINE)
def flag_entity(view: ModeView, client: int, flag: int) -> int:
    """The entity of the match's flag number ``flag``; UNKNOWN before the flags are in view."""
    first = view.first_flag[client]
    return UNKNOWN if first == UNKNOWN else int(first + flag)


@njit(cache=True, nogil=True, **INLINE)
def flag_state(view: ModeView, client: int, flag: int) -> int:
    """FLAG_AT_HOME, FLAG_CARRIED or FLAG_DROPPED; UNKNOWN before the client is told."""
    if flag >= view.wire.sessions[client].objective_count:
        return UNKNOWN
    return int(view.wire.objectives[client, flag, OBJECTIVE_STATE])


@njit(cache=True, nogil=True, **INLINE)
def flag_carrier(view: ModeView, client: int, flag: int) -> int:
    """The entity that carries a flag, or NOBODY."""
    if flag >= view.wire.sessions[client].objective_count:
        return NOBODY
    return int(view.wire.objectives[client, flag, OBJECTIVE_CARRIER])


@njit(cache=True, nogil=True, **INLINE)
def flag_team(view: ModeView, client: int, flag: int) -> int:
    """The team whose flag it is; UNKNOWN before the client is told."""
    if flag >= view.wire.sessions[client].objective_count:
        return UNKNOWN
    return int(view.wire.objectives[client, flag, OBJECTIVE_TEAM])


@njit(cache=True, nogil=True, **INLINE)
def flag_position(view: ModeView, client: int, flag: int) -> tuple[float, float]:
    """Where a flag is, in metres; not a number before it is in view."""
    return position_of(view, client, flag_entity(view, client, flag))
