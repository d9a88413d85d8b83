"""A frame of a spectator feed as JSON: what the map's route gives, and what a map is drawn from.

It grows by addition alone: keys are added, none goes or means something else. docs/live-map.md has them.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dedicated_server.cards.kinds import (
    KIND_FLAG,
    KIND_ITEM,
    KIND_NAMES,
    KIND_OBSTACLE,
    KIND_PROJECTILE,
)
from dedicated_server.errors import DedicatedServerError
from dedicated_server.match.spectator_layout import (
    HEADER,
    MAGIC,
    MOST_HAPPENED,
    PLAYER_ALIVE,
    PLAYER_CONNECTED,
    PLAYER_DEATHS,
    PLAYER_FIRING,
    PLAYER_HEALTH,
    PLAYER_HINTS,
    PLAYER_KILLS,
    PLAYER_PLACEMENT,
    PLAYER_PRESENT,
    PLAYER_TEAM,
    PLAYER_X_M,
    PLAYER_Y_M,
    PLAYER_YAW,
    VERSION,
    Half,
    sizes_of,
)
from dedicated_server.replication.priority import HORIZON_M, OUTER_M
from dedicated_server.simulation.event_buffer import DEATH, KILL, MODE_EVENT
from dedicated_server.simulation.world import (
    OBJECT_A,
    OBJECT_B,
    OBJECT_C,
    OBJECT_EAST_M,
    OBJECT_KIND,
    OBJECT_NORTH_M,
    OBJECT_SHOWN,
    OBJECT_X_M,
    OBJECT_Y_M,
    OBJECT_YAW,
)

PHASES: Final = ("waiting", "playing", "over")
FLAG_STATES: Final = ("home", "carried", "dropped")
MAX_FEED_BYTES: Final = 16 << 20  # the largest match takes a fiftieth


class FeedVersionError(DedicatedServerError):
    """Raised when a feed was written by another version: its match goes on, and is not shown here."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"the match is shown in version {version} of the spectator feed, and this reads {VERSION}: "
            "start the fleet again with the version of its game servers, or wait for the match to end"
        )


def frame_json(data: bytes | bytearray) -> dict[str, Any] | None:
    """The newest frame of a feed, JSON-ready; None where nothing is whole. Raises FeedVersionError."""
    if len(data) < HEADER.itemsize:
        return None
    header = np.frombuffer(data, HEADER, 1)[0]
    if header["magic"] != MAGIC:
        return None
    if header["version"] != VERSION:
        raise FeedVersionError(int(header["version"]))
    sizes = sizes_of(header)
    if sizes.feed_bytes != len(data) or len(data) > MAX_FEED_BYTES or not header["written"]:
        return None
    try:
        constant = json.loads(data[HEADER.itemsize : HEADER.itemsize + sizes.constant_bytes])
        half = sizes.halves(bytes(data))[int(header["newest"]) & 1]
        return {"version": VERSION, "written": int(header["written"]), **_frame(half, constant)}
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None


def _frame(half: Half, constant: dict[str, Any]) -> dict[str, Any]:
    frame = half.frame[0]
    tick, started, tick_hz = int(frame["tick"]), int(frame["start_tick"]), int(constant["tick_hz"])
    phase = int(frame["phase"])
    return {
        "tick": tick,
        "tick_hz": tick_hz,
        "phase": PHASES[phase] if 0 <= phase < len(PHASES) else PHASES[0],
        "mode": str(constant["mode"]),
        "each_alone": bool(constant["each_alone"]),
        "played_s": round(max(0, tick - started) / tick_hz, 2) if started else None,
        "left_s": round(max(0, int(frame["end_tick"]) - tick) / tick_hz, 2) if started else None,
        "map_half_m": _metres(frame["map_half_m"]),
        "has_zone": bool(constant["has_zone"]),
        "zone": {
            name: _metres(frame[f"zone_{key}"]) for name, key in (("x", "x_m"), ("y", "y_m"), ("r", "m"))
        },
        "rings_m": [float(ring) for ring in OUTER_M],
        "horizon_m": HORIZON_M,
        "players": [
            _player(entity, int(id_), name, floats, ints)
            for entity, (id_, name, floats, ints) in enumerate(
                zip(half.ids, half.names, half.floats.T.tolist(), half.ints.T.tolist(), strict=True)
            )
        ],
        "objects": [
            _object(len(half.ids) + n, floats, ints)
            for n, (floats, ints) in enumerate(
                zip(half.object_floats.T.tolist(), half.object_ints.T.tolist(), strict=True)
            )
        ],
        "scores": [
            {"name": str(name), "limit": int(limit), "teams": [int(points) for points in row]}
            for (name, limit), row in zip(constant["scores"], half.scores, strict=True)
        ],
        "boxes": [
            dict(zip(("west", "south", "east", "north"), map(_metres, box), strict=True))
            for box in constant["boxes"]
        ],
        "bases": [dict(zip(("x", "y", "r"), map(_metres, base), strict=True)) for base in constant["bases"]],
        "news": _news(half, int(frame["happened"]), constant),
    }


def _player(entity: int, player_id: int, name: bytes, floats: list[float], ints: list[int]) -> dict[str, Any]:
    return {
        "entity": entity,
        "player_id": str(player_id),
        "name": _name(name),
        "team": ints[PLAYER_TEAM],
        "x": _metres(floats[PLAYER_X_M]),
        "y": _metres(floats[PLAYER_Y_M]),
        "yaw": ints[PLAYER_YAW],
        "health": math.ceil(min(max(_metres(floats[PLAYER_HEALTH]), 0.0), 255.0)),
        "alive": ints[PLAYER_ALIVE] != 0,
        "connected": ints[PLAYER_CONNECTED] != 0,
        "present": ints[PLAYER_PRESENT] != 0,
        "firing": ints[PLAYER_FIRING] != 0,
        "kills": ints[PLAYER_KILLS],
        "deaths": ints[PLAYER_DEATHS],
        "placement": ints[PLAYER_PLACEMENT],
        "hints": [ints[PLAYER_HINTS] >> (2 * octant) & 3 for octant in range(8)],
    }


def _object(entity: int, floats: list[float], ints: list[int]) -> dict[str, Any]:
    """An object: what all have, and what those of its kind have."""
    kind, a, b, c = (ints[row] for row in (OBJECT_KIND, OBJECT_A, OBJECT_B, OBJECT_C))
    own: dict[str, Any] = {}
    match kind:
        case k if k == KIND_FLAG:
            state = FLAG_STATES[c] if 0 <= c < len(FLAG_STATES) else FLAG_STATES[0]
            own = {"team": a, "carrier": _entity(b), "state": state}
        case k if k == KIND_ITEM:
            own = {"what": a, "taken_by": _entity(b)}
        case k if k == KIND_PROJECTILE:
            own = {
                "owner": a,
                "weapon": b,
                "east": _speed(floats[OBJECT_EAST_M]),
                "north": _speed(floats[OBJECT_NORTH_M]),
            }
        case k if k == KIND_OBSTACLE:
            own = {
                "standing": a != 0,
                "half_east": _metres(floats[OBJECT_EAST_M]),
                "half_north": _metres(floats[OBJECT_NORTH_M]),
            }
    return {
        "entity": entity,
        "kind": KIND_NAMES[kind] if 0 <= kind < len(KIND_NAMES) else str(kind),
        "x": _metres(floats[OBJECT_X_M]),
        "y": _metres(floats[OBJECT_Y_M]),
        "yaw": ints[OBJECT_YAW],
        "shown": ints[OBJECT_SHOWN] != 0,
        **own,
    }


def _news(half: Half, count: int, constant: dict[str, Any]) -> list[dict[str, Any]]:
    """What happened last, the oldest first."""
    return [
        happened_json(half.happened[number % MOST_HAPPENED], constant)
        for number in range(max(0, count - MOST_HAPPENED), count)
    ]


def happened_json(row: npt.NDArray[Any], constant: dict[str, Any]) -> dict[str, Any]:
    """One record of what happened: a kill, a death without a killer, or an event of the mode by its name."""
    kind, weapon = int(row["kind"]), int(row["weapon"])
    events, weapons = constant["events"], constant["weapons"]
    if kind == KILL:
        name = "kill"
    elif kind == DEATH:
        name = "death"
    else:
        own = kind - MODE_EVENT
        name = str(events[own]) if 0 <= own < len(events) else str(kind)
    return {
        "tick": int(row["tick"]),
        "kind": name,
        "weapon": str(weapons[weapon]) if kind == KILL and 0 <= weapon < len(weapons) else "",
        "value": int(row["value"]),
        **{role: _entity(int(row[role])) for role in ("actor", "victim")},
        **{f"{role}_team": int(row[f"{role}_team"]) for role in ("actor", "victim")},
        **{f"{role}_name": _name(row[f"{role}_name"]) for role in ("actor", "victim")},
    }


def _entity(number: int) -> int | None:
    return None if number < 0 else number


def _name(stored: Any) -> str:
    return bytes(stored).decode(errors="replace")


def _speed(value: float) -> float:
    """Metres a tick; what is no number is 0."""
    return round(value, 4) if math.isfinite(value) else 0.0


def _metres(value: Any) -> float:
    """Metres to the decimetre; what is no number is 0, as JSON has none for it."""
    return round(float(value), 1) if math.isfinite(value) else 0.0
