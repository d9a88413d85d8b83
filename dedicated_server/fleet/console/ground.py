"""The ground of the map, in metres: zone, grid, bases, boxes, obstacles, edge."""

from __future__ import annotations

import math
from typing import Any, Final

from dedicated_server.fleet.console.camera import SIDE, Camera, has_zone
from dedicated_server.fleet.console.teams import team_class

GRID_M: Final = (5, 10, 25, 50, 100, 250)
MOST_LINES: Final = 14


def draw_ground(frame: dict[str, Any], camera: Camera, obstacles: list[dict[str, Any]]) -> str:
    """Return all that has a size in metres, moved and scaled by the view. North is up there."""
    half, (east, north), scale = frame["map_half_m"], camera.centre, camera.scale
    placed = (
        f"transform:translate({SIDE / 2:g}px,{SIDE / 2:g}px) scale({scale:.4f},{-scale:.4f}) "
        f"translate({-east:.2f}px,{-north:.2f}px)"
    )
    parts = [
        f'<rect class="ld-map-floor" x="{-half:g}" y="{-half:g}" width="{2 * half:g}" height="{2 * half:g}"/>'
    ]
    if has_zone(frame):
        x, y, radius = (frame["zone"][name] for name in "xyr")
        parts.append(f'<circle class="ld-map-zone" cx="{x:.1f}" cy="{y:.1f}" r="{max(radius, 0):.1f}"/>')
    parts.append(_grid(camera, half))
    parts += [
        f'<circle class="ld-map-base {team_class(team)}" cx="{base["x"]:.1f}" cy="{base["y"]:.1f}" '
        f'r="{base["r"]:.1f}"/>'
        for team, base in enumerate(frame.get("bases", ()))
    ]
    parts += [
        _box("ld-map-box", box["west"], box["south"], box["east"], box["north"])
        for box in frame.get("boxes", ())
    ]
    for one in obstacles:
        css = "ld-map-obstacle" if one["standing"] else "ld-map-obstacle ld-map-fallen"
        east_m, north_m = one["half_east"], one["half_north"]
        parts.append(_box(css, one["x"] - east_m, one["y"] - north_m, one["x"] + east_m, one["y"] + north_m))
    parts.append(
        f'<rect class="ld-map-edge" x="{-half:g}" y="{-half:g}" width="{2 * half:g}" height="{2 * half:g}"/>'
    )
    return f'<g data-k="ground" class="ld-map-ground" style="{placed}">{"".join(parts)}</g>'


def draw_scale(camera: Camera) -> str:
    """Return a bar that says how long so many metres are."""
    step_m = _step_m(camera)
    length = step_m * camera.scale
    return (
        f'<g data-k="scale"><path class="ld-map-scale" d="M24 {SIDE - 34:g}v10h{length:.1f}v-10"/>'
        f'<text class="ld-map-text" x="{34 + length:.1f}" y="{SIDE - 22:g}">{step_m} m</text></g>'
    )


def _grid(camera: Camera, half: float) -> str:
    """Return lines a round number of metres apart, as far as the view sees."""
    step_m, parts = _step_m(camera), []
    for axis in range(2):
        low = max(camera.centre[axis] - 2 * camera.half_m, -half)
        high = min(camera.centre[axis] + 2 * camera.half_m, half)
        for line in range(math.ceil(low / step_m), math.floor(high / step_m) + 1):
            at = line * step_m
            parts.append(f"M{at} {-half:g}V{half:g}" if axis == 0 else f"M{-half:g} {at}H{half:g}")
    return f'<path class="ld-map-grid" d="{"".join(parts)}"/>'


def _step_m(camera: Camera) -> int:
    return next((step for step in GRID_M if 2 * camera.half_m / step <= MOST_LINES), 500)


def _box(css: str, west: float, south: float, east: float, north: float) -> str:
    return (
        f'<rect class="{css}" x="{west:.1f}" y="{south:.1f}" '
        f'width="{max(east - west, 0):.1f}" height="{max(north - south, 0):.1f}"/>'
    )
