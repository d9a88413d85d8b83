"""The spectator feed: a small file in shared memory, written by a match ten times a second, open to local
readers.

Writing is a few copies between two ticks, without a system call or a connection: the match pays the same for
a thousand spectators as for none. Layout, all little endian: HEADER, then twice one FRAME and one PLAYER a
player. ``newest`` says which of the two frames is whole. A reader that finds it changed while it read reads
again.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import structlog

from dedicated_server.protocol.datagrams import CONNECTED
from dedicated_server.replication.priority import HORIZON_M, OUTER_M
from dedicated_server.simulation.damage import zone_radius_m
from dedicated_server.simulation.world import (
    ALIVE,
    DEATHS,
    FIRING,
    HEALTH_POINTS,
    KILLS,
    MAP_HALF_M,
    SHOTS,
    START_TICK,
    TEAM,
    X_M,
    Y_M,
    YAW,
    ZONE_START_M,
    ZONE_X_M,
    ZONE_Y_M,
)
from dedicated_server.tick.engine import Engine
from launchday.folders import create_new
from launchday.mapped_files import map_allocated

MAGIC: Final = 0x4C445350  # LDSP
VERSION: Final = 1
PERIOD_S: Final = 0.1
SHOT_MARK: Final = 3  # frames that a shot is shown for
PHASES: Final = ("waiting", "playing", "over")

HEADER: Final = np.dtype(
    [("magic", "<u4"), ("version", "<u4"), ("players", "<u4"), ("newest", "<u4"), ("written", "<u8")]
)
FRAME: Final = np.dtype(
    [
        ("tick", "<i8"),
        ("phase", "<i4"),
        ("map_half_m", "<f4"),
        ("zone_x_m", "<f4"),
        ("zone_y_m", "<f4"),
        ("zone_m", "<f4"),
        ("unused", "<i4"),
    ]
)
PLAYER: Final = np.dtype(
    [
        ("x_m", "<f4"),
        ("y_m", "<f4"),
        ("yaw", "<u2"),
        ("health", "<u1"),
        ("flags", "<u1"),
        ("team", "<i4"),
        ("kills", "<i2"),
        ("deaths", "<i2"),
        ("hints", "<u2"),
        ("shots", "<u2"),
        ("player_id", "<i8"),
    ]
)
IS_ALIVE, IS_CONNECTED, IS_FIRING = 1, 2, 4

log = structlog.get_logger()


def feed_bytes(players: int) -> int:
    """Bytes of a feed of ``players``."""
    return int(HEADER.itemsize + 2 * (FRAME.itemsize + players * PLAYER.itemsize))


class SpectatorFeed:
    """The writing end, a match's. Raises OSError where the file cannot be created, or has no room.

    It appears under its name once it is whole.
    """

    def __init__(self, path: Path, player_ids: npt.ArrayLike) -> None:
        ids = np.asarray(player_ids, dtype=np.int64)
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        descriptor = create_new(fresh)
        try:
            self._memory = map_allocated(descriptor, feed_bytes(len(ids)))
        except (OSError, ValueError):
            fresh.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        self._header = np.frombuffer(self._memory, HEADER, 1)
        self._frames, self._players = _halves(self._memory, len(ids))
        for half in self._players:
            half["player_id"] = ids
        self._header["magic"], self._header["version"], self._header["players"] = MAGIC, VERSION, len(ids)
        try:
            os.replace(fresh, path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        self._shots = np.zeros(len(ids), np.int32)

    def reassign(self, entity: int, player_id: int) -> None:
        """Give an entity to another player."""
        for half in self._players:
            half["player_id"][entity] = player_id

    def publish(self, engine: Engine) -> None:
        """Write the match as it is now: about 20 µs for a hundred players."""
        half = 1 - int(self._header["newest"][0])
        frame, players = self._frames[half], self._players[half]
        world, wire = engine.match.world, engine.wire
        rules, status, body = world.rules, world.status, world.body
        frame["tick"], frame["phase"], frame["map_half_m"] = (
            engine.tick_number,
            int(engine.phase),
            rules[MAP_HALF_M],
        )
        frame["zone_x_m"], frame["zone_y_m"] = rules[ZONE_X_M], rules[ZONE_Y_M]
        started = world.counters[START_TICK] != 0
        frame["zone_m"] = zone_radius_m(world) if started else rules[ZONE_START_M]
        players["x_m"], players["y_m"], players["yaw"] = body[X_M], body[Y_M], status[YAW]
        players["health"] = np.clip(np.ceil(body[HEALTH_POINTS]), 0, 255)
        fired = status[SHOTS] != self._shots
        self._shots[:] = status[SHOTS]
        connected = wire.status == CONNECTED
        players["flags"] = (
            IS_ALIVE * (status[ALIVE] != 0)
            + IS_CONNECTED * connected
            + IS_FIRING * (fired | (status[FIRING] != 0))
        )
        players["team"], players["kills"], players["deaths"] = status[TEAM], status[KILLS], status[DEATHS]
        players["shots"] = status[SHOTS] & 0xFFFF
        players["hints"] = engine.arrays.hints.hint_bits & 0xFFFF
        self._header["written"] += 1
        self._header["newest"] = half

    def close(self) -> None:
        """Remove the file. Readers keep what they have mapped."""
        with contextlib.suppress(OSError):  # the fleet removes it with the server
            self.path.unlink(missing_ok=True)


def open_feed(folder: str, name: str, player_ids: npt.ArrayLike) -> SpectatorFeed | None:
    """Create the feed of a server in ``folder``; None where that is "", or refuses: it is optional."""
    if not folder:
        return None
    try:
        return SpectatorFeed(Path(folder) / f"{name}.feed", player_ids)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        log.warning("the match is not shown: make room in the folder", folder=folder, reason=reason)
    return None


def read_feed(path: Path) -> dict[str, Any] | None:
    """Read the newest frame of a feed, JSON-ready; None where there is no feed, or none that is whole."""
    try:
        for _ in range(3):
            data = path.read_bytes()
            again = path.read_bytes()[: HEADER.itemsize]
            header = np.frombuffer(data[: HEADER.itemsize], HEADER, 1)[0]
            # A half is written over two publications after it was whole: unchanged or one on is fine.
            if int(np.frombuffer(again, HEADER, 1)[0]["written"]) - int(header["written"]) < 1:
                return _as_json(data, header)
    except (OSError, ValueError, IndexError):
        return None
    return None


def _as_json(data: bytes, header: npt.NDArray[Any]) -> dict[str, Any] | None:
    count = int(header["players"])
    if (
        header["magic"] != MAGIC
        or header["version"] != VERSION
        or len(data) != feed_bytes(count)
        or not header["written"]
    ):
        return None
    frames, halves = _halves(data, count)
    frame, players = frames[int(header["newest"]) & 1][0], halves[int(header["newest"]) & 1]
    flags = players["flags"]
    return {
        "written": int(header["written"]),
        "tick": int(frame["tick"]),
        "phase": PHASES[int(frame["phase"])] if 0 <= frame["phase"] < len(PHASES) else "waiting",
        "map_half_m": round(float(frame["map_half_m"]), 1),
        "zone": {
            name: round(float(frame[f"zone_{key}"]), 1)
            for name, key in (("x", "x_m"), ("y", "y_m"), ("r", "m"))
        },
        "rings_m": [float(ring) for ring in OUTER_M],
        "horizon_m": HORIZON_M,
        "players": [
            {
                "entity": entity,
                "player_id": str(int(row["player_id"])),
                "team": int(row["team"]),
                "x": round(float(row["x_m"]), 1),
                "y": round(float(row["y_m"]), 1),
                "yaw": int(row["yaw"]),
                "health": int(row["health"]),
                "alive": bool(flag & IS_ALIVE),
                "connected": bool(flag & IS_CONNECTED),
                "firing": bool(flag & IS_FIRING),
                "kills": int(row["kills"]),
                "deaths": int(row["deaths"]),
                "hints": [int(row["hints"]) >> (2 * octant) & 3 for octant in range(8)],
            }
            for entity, (row, flag) in enumerate(zip(players, flags, strict=True))
        ],
    }


def _halves(memory: mmap.mmap | bytes, players: int) -> tuple[list[npt.NDArray[Any]], list[npt.NDArray[Any]]]:
    """The two frames, and the players of each."""
    room = FRAME.itemsize + players * PLAYER.itemsize
    starts = [HEADER.itemsize + half * room for half in range(2)]
    return (
        [np.frombuffer(memory, FRAME, 1, start) for start in starts],
        [np.frombuffer(memory, PLAYER, players, start + FRAME.itemsize) for start in starts],
    )
