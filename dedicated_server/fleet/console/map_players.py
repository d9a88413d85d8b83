"""Players on the map: team, heading, shots, name; and what is sent to one of them."""

from __future__ import annotations

import math
from typing import Any, Final

from dedicated_server.fleet.console.camera import SIDE, Camera
from dedicated_server.fleet.console.following import name_of
from dedicated_server.fleet.console.teams import team_class, team_letters, team_shape
from dedicated_server.fleet.console.text import shown

OCTANTS: Final = 8
SHOT_UNITS: Final = 46  # drawn length of a shot


def draw_player(player: dict[str, Any], frame: dict[str, Any], camera: Camera, *, followed: bool) -> str:
    """Return a player's group, where they are."""
    x, y = camera.at(player["x"], player["y"])
    each_alone = bool(frame.get("each_alone", False))
    team, css = player["team"], ["ld-one", team_class(player["team"])]
    if not player["alive"]:
        css.append("ld-dead")
    if not player["connected"]:
        css.append("ld-away")
    if followed:
        css.append("ld-chosen")
    name = shown(name_of(player))
    letter = "" if each_alone else f"{team_letters(team)} · "
    told = f"{letter}{name} · {player['health']} hp · kills: {player['kills']}, deaths: {player['deaths']}"
    if player["alive"]:
        mark = _alive(player, each_alone)
    else:
        mark = '<path class="ld-map-dead" d="M-4 -4l8 8m0 -8l-8 8"/>'
    chosen = '<circle class="ld-map-chosen" r="19"/>' if followed else ""
    return (
        f'<g data-k="p{player["entity"]}" class="{" ".join(css)}" '
        f'style="transform:translate({x:.1f}px,{y:.1f}px)"><g class="ld-sized">{chosen}{mark}'
        f'<text class="ld-map-name" y="25">{name}</text><circle class="ld-map-touch" r="16">'
        f"<title>{told}</title></circle></g></g>"
    )


def _alive(player: dict[str, Any], each_alone: bool) -> str:
    """Return a team's mark with heading, and a shot; the mark is smaller the less health is left."""
    degrees = -player["yaw"] / 65536 * 360
    shot = ""
    if player["firing"]:
        shot = f'<path class="ld-map-shot" d="M11 0h{SHOT_UNITS}"/>'
    flash = '<circle class="ld-map-flash" r="14"/>' if player["firing"] else ""
    size = 0.72 + 0.33 * min(max(player["health"], 0), 100) / 100
    return (
        f'<g transform="rotate({degrees:.0f})">{shot}<path class="ld-map-heading" d="M0 0h18"/></g>{flash}'
        f'<path class="ld-map-player" transform="scale({size:.2f})" '
        f'd="{team_shape(player["team"], each_alone)}"/>'
    )


def draw_interest(frame: dict[str, Any], player: dict[str, Any], camera: Camera) -> str:
    """Return what is sent to a player: rings of fewer updates, the horizon, hints of combat beyond it."""
    x, y = camera.at(player["x"], player["y"])
    scale, horizon = camera.scale, frame["horizon_m"]
    parts = [f'<circle class="ld-map-horizon" r="{horizon * scale:.1f}"/>']
    parts += [
        f'<circle class="ld-map-ring" r="{ring * scale:.1f}"/>' for ring in frame["rings_m"] if ring < horizon
    ]
    inner = min(horizon * scale, 0.36 * SIDE) + 6  # within the view, even where the horizon is not
    for octant, heat in enumerate(player["hints"]):
        if heat:
            parts.append(_wedge(inner, inner + 20, octant, 0.25 * heat))
    return (
        f'<g data-k="interest" class="ld-one" style="transform:translate({x:.1f}px,{y:.1f}px)">'
        f"{''.join(parts)}</g>"
    )


def _wedge(inner: float, outer: float, octant: int, opacity: float) -> str:
    """Return a sector of a ring around 0, 0; octant 0 is east, and they go counter-clockwise."""
    corners = []
    for radius, part in ((inner, -0.42), (outer, -0.42), (outer, 0.42), (inner, 0.42)):
        angle = (octant + part) * 2 * math.pi / OCTANTS
        corners.append((radius * math.cos(angle), -radius * math.sin(angle)))
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    return (
        f'<path class="ld-map-hint" fill-opacity="{opacity:.2f}" d="M{ax:.1f} {ay:.1f}L{bx:.1f} {by:.1f}'
        f"A{outer:.1f} {outer:.1f} 0 0 0 {cx:.1f} {cy:.1f}L{dx:.1f} {dy:.1f}"
        f'A{inner:.1f} {inner:.1f} 0 0 1 {ax:.1f} {ay:.1f}Z"/>'
    )
