"""Frames of the spectator feed by hand, as the map's route gives them."""

from __future__ import annotations

import math
from typing import Any

NASTY = "<script>alert(1)</script>\u202eevil"


def player(entity: int, team: int, name: str, x: float, y: float, **changes: Any) -> dict[str, Any]:
    """A player who is alive and connected."""
    return {
        "entity": entity,
        "player_id": str(9_000 + entity),
        "name": name,
        "team": team,
        "x": x,
        "y": y,
        "yaw": 4_096 * entity % 65_536,
        "health": 100,
        "alive": True,
        "connected": True,
        "present": True,
        "firing": False,
        "kills": 0,
        "deaths": 0,
        "placement": 0,
        "hints": [0] * 8,
        **changes,
    }


def flag(entity: int, team: int, x: float, y: float, **changes: Any) -> dict[str, Any]:
    """A flag at home."""
    here = {"entity": entity, "kind": "flag", "x": x, "y": y, "yaw": 0, "shown": True}
    return {**here, "team": team, "carrier": None, "state": "home", **changes}


def happened(
    tick: int, kind: str, actor: dict[str, Any] | None, victim: dict[str, Any] | None
) -> dict[str, Any]:
    """Something of the kill list."""
    told: dict[str, Any] = {
        "tick": tick,
        "kind": kind,
        "weapon": "rifle" if kind == "kill" else "",
        "value": 0,
    }
    for role, one in (("actor", actor), ("victim", victim)):
        told[role] = None if one is None else one["entity"]
        told[f"{role}_name"] = "" if one is None else one["name"]
        told[f"{role}_team"] = 0 if one is None else one["team"]
    return told


def frame(players: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A frame of a match that is played, on a map of 160 m without a zone."""
    return {
        "version": 2,
        "written": 1,
        "tick": 6_000,
        "tick_hz": 60,
        "phase": "playing",
        "mode": "capture_the_flag",
        "each_alone": False,
        "map_half_m": 80.0,
        "played_s": 95.0,
        "left_s": 205.0,
        "has_zone": False,
        "zone": {"x": 0.0, "y": 0.0, "r": 120.0},
        "rings_m": [100.0, 200.0, 400.0],
        "horizon_m": 400.0,
        "players": players,
        "objects": [],
        "scores": [],
        "boxes": [],
        "bases": [],
        "news": [],
        **changes,
    }


def capture_the_flag(at_s: float = 0.0) -> dict[str, Any]:
    """Two teams of eight with a carrier, a flag at home, items, a projectile, obstacles."""
    names = ("Ada", "Grace", NASTY, "😀🎉🚀🔥💎🎯🏆⚡", "مريم", "Linus", "Margaret", "Tim")
    players = []
    for team in range(2):
        side = 1 if team else -1
        for n, name in enumerate(names):
            x = side * (62 - 11 * n + 3 * math.sin(at_s + n))
            y = -48 + 14 * n + 5 * math.cos(at_s * 0.7 + n + team)
            players.append(
                player(
                    8 * team + n,
                    team,
                    name if team == 0 else f"{name.lower()[:20]}{n}",
                    x,
                    y,
                    health=100 - 11 * n,
                    kills=n % 4,
                    deaths=n % 3,
                    firing=n == 2,
                )
            )
    players[5].update(x=38 - 4 * at_s, y=-6.0, yaw=32_768)
    players[11].update(alive=False)
    players[14].update(connected=False)
    carrier = players[5]
    objects = [
        flag(16, 0, -68.0, 0.0),
        flag(17, 1, carrier["x"], carrier["y"], carrier=5, state="carried"),
        {
            "entity": 18, "kind": "item", "x": 0.0, "y": 40.0, "yaw": 0, "shown": True,
            "what": 1, "taken_by": None,
        },
        {
            "entity": 19, "kind": "projectile", "x": 12.0, "y": 30.0, "yaw": 0, "shown": True,
            "owner": 2, "weapon": 0, "east": 0.4, "north": 0.2,
        },
    ]  # fmt: skip
    for n, (x, y, standing) in enumerate(((0.0, 12.0, True), (0.0, -14.0, True), (-22.0, 44.0, False))):
        objects.append(
            {
                "entity": 20 + n, "kind": "obstacle", "x": x, "y": y, "yaw": 0, "shown": True,
                "standing": standing, "half_east": 2.0, "half_north": 5.0,
            }
        )  # fmt: skip
    boxes = [
        {"west": west, "south": south, "east": east, "north": north}
        for west, south, east, north in (
            (-50, -12, -46, 12), (46, -12, 50, 12), (-30, 30, -12, 34), (12, -34, 30, -30),
            (-8, 56, 8, 60), (-8, -60, 8, -56), (-30, -34, -12, -30), (12, 30, 30, 34),
        )
    ]  # fmt: skip
    return frame(
        players,
        objects=objects,
        boxes=boxes,
        bases=[{"x": -68.0, "y": 0.0, "r": 6.0}, {"x": 68.0, "y": 0.0, "r": 6.0}],
        scores=[
            {"name": "captures", "limit": 3, "teams": [1, 2]},
            {"name": "returns", "limit": 0, "teams": [4, 1]},
        ],
        news=[
            happened(5_100, "kill", players[2], players[9]),
            happened(5_400, "flag_captured", players[12], None),
            happened(5_760, "death", None, players[7]),
            happened(5_900, "kill", players[5], players[11]),
        ],
    )


def battle_royale(count: int = 100) -> dict[str, Any]:
    """Everybody for themselves, in a zone."""
    players = []
    for n in range(count):
        angle, away = n * 2.39996, 300 * math.sqrt(n / count)
        players.append(
            player(
                n,
                n,
                f"player-{n:03d}",
                120 + away * math.cos(angle),
                -80 + away * math.sin(angle),
                health=(100 - 7 * n) % 101,
                kills=n % 5,
                alive=n % 4 != 3,
                firing=n % 9 == 0,
            )
        )
    return frame(
        players,
        mode="battle_royale",
        each_alone=True,
        has_zone=True,
        map_half_m=1_000.0,
        zone={"x": 120.0, "y": -80.0, "r": 330.0},
        news=[happened(5_900, "kill", players[0], players[3])],
    )
