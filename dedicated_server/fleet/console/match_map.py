"""The live map: a match as one SVG in a square of 1,000 units. North is up.

The view is the zone with some ground around it, or the whole map. It narrows slowly, so that a shrinking zone
does not shake the picture.
"""

from __future__ import annotations

import html
import math
from typing import Any

SIDE = 1000.0
PICK_UNITS = 40.0  # a click chooses the nearest player within so far
SHOT_UNITS = 46.0  # drawn length of a shot
OCTANTS = 8
MARGIN = 1.18  # of the zone's radius is seen
MIN_HALF_M = 45.0
NARROWING = 0.94  # of the view, at most, from one frame to the next
GRID_M = (10, 25, 50, 100, 250)
HUES = (212, 152, 28, 338, 268, 96, 190, 8, 300, 48)


class MapView:
    """Draws frames of one match.

    Attributes:
        selected: entity of the player whose interest is drawn; None: nobody's.
        whole_map: whether the whole map is shown.
    """

    def __init__(self) -> None:
        self.selected: int | None = None
        self.whole_map = False
        self._half_m = 0.0
        self._centre = (0.0, 0.0)
        self._frame: dict[str, Any] | None = None

    def pick(self, x: float, y: float) -> None:
        """Select the player nearest to a point of the square, or nobody; ``x`` and ``y`` are units."""
        self.selected = None
        if self._frame is None:
            return
        nearest_units = PICK_UNITS
        for player in self._frame["players"]:
            px, py = self._at(player["x"], player["y"])
            if player["alive"] and math.hypot(px - x, py - y) < nearest_units:
                nearest_units, self.selected = math.hypot(px - x, py - y), player["entity"]

    def draw(self, frame: dict[str, Any]) -> str:
        """Return a frame of the spectator feed as SVG elements."""
        self._frame = frame
        self._update_view(frame)
        zone, scale = frame["zone"], self._scale()
        x, y = self._at(zone["x"], zone["y"])
        parts = [_circle("ld-map-zone", x, y, zone["r"] * scale), *self._grid(), self._edge()]
        chosen = next((one for one in frame["players"] if one["entity"] == self.selected), None)
        if chosen is not None:
            parts += self._interest(chosen)
        parts += [self._dead(player) for player in frame["players"] if not player["alive"]]
        parts += [self._alive(player) for player in frame["players"] if player["alive"]]
        if chosen is not None:
            cx, cy = self._at(chosen["x"], chosen["y"])
            parts.append(_circle("ld-map-chosen", cx, cy, 18))
        return "".join(parts)

    def _interest(self, player: dict[str, Any]) -> list[str]:
        """Draw what is sent to a player: rings of fewer updates, the horizon, hints of combat beyond it."""
        assert self._frame is not None
        x, y = self._at(player["x"], player["y"])
        scale, horizon = self._scale(), self._frame["horizon_m"]
        parts = [_circle("ld-map-horizon", x, y, horizon * scale)]
        parts += [
            _circle("ld-map-ring", x, y, ring * scale) for ring in self._frame["rings_m"] if ring < horizon
        ]
        inner = min(horizon * scale, 0.36 * SIDE) + 6  # within the view, even where the horizon is not
        outer = inner + 20
        for octant, heat in enumerate(player["hints"]):
            if heat:
                parts.append(_wedge(x, y, inner, outer, octant, 0.25 * heat))
        return parts

    def _alive(self, player: dict[str, Any]) -> str:
        x, y = self._at(player["x"], player["y"])
        angle = player["yaw"] / 65536 * 2 * math.pi
        ex, ey = math.cos(angle), -math.sin(angle)
        colour = f"hsl({HUES[player['team'] % len(HUES)]} 72% {56 - 8 * (player['team'] // len(HUES) % 3)}%)"
        away = "" if player["connected"] else ' class="ld-map-away"'
        shot = ""
        if player["firing"]:
            shot = (
                f'<line class="ld-map-shot" x1="{x + 9 * ex:.1f}" y1="{y + 9 * ey:.1f}" '
                f'x2="{x + (12 + SHOT_UNITS) * ex:.1f}" '
                f'y2="{y + (12 + SHOT_UNITS) * ey:.1f}"/>{_circle("ld-map-flash", x, y, 13)}'
            )
        radius = 6.0 + 3.0 * player["health"] / 100
        return (
            f'<g{away}>{shot}<line class="ld-map-heading" stroke="{colour}" x1="{x:.1f}" y1="{y:.1f}" '
            f'x2="{x + 17 * ex:.1f}" y2="{y + 17 * ey:.1f}"/><circle class="ld-map-player" fill="{colour}" '
            f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">'
            f"<title>player {html.escape(str(player['player_id']))} · {player['health']} hp · "
            f"{player['kills']} kills</title></circle></g>"
        )

    def _dead(self, player: dict[str, Any]) -> str:
        x, y = self._at(player["x"], player["y"])
        return f'<path class="ld-map-dead" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"/>'

    def _update_view(self, frame: dict[str, Any]) -> None:
        """Choose the view: everybody alive and the zone, or the whole map."""
        zone, whole_m = frame["zone"], frame["map_half_m"] * 1.02
        if self.whole_map:
            self._half_m, self._centre = whole_m, (0.0, 0.0)
            return
        far_m = max(
            (
                math.hypot(one["x"] - zone["x"], one["y"] - zone["y"])
                for one in frame["players"]
                if one["alive"]
            ),
            default=0.0,
        )
        wanted_m = min(max(MARGIN * zone["r"], 1.05 * far_m, MIN_HALF_M), 2 * whole_m)
        self._half_m = max(wanted_m, self._half_m * NARROWING)
        self._centre = (zone["x"], zone["y"])

    def _grid(self) -> list[str]:
        """Draw lines a round number of metres apart, and a bar that says how many."""
        step_m = next((step for step in GRID_M if 2 * self._half_m / step <= 14), 500)
        scale, parts = self._scale(), []
        for axis in range(2):
            first = math.ceil((self._centre[axis] - self._half_m) / step_m)
            last = math.floor((self._centre[axis] + self._half_m) / step_m)
            for line in range(first, last + 1):
                at = self._at(line * step_m, line * step_m)[axis]
                parts.append(f"M{at:.1f} 0V{SIDE:g}" if axis == 0 else f"M0 {at:.1f}H{SIDE:g}")
        length = step_m * scale
        return [
            f'<path class="ld-map-grid" d="{"".join(parts)}"/>',
            f'<path class="ld-map-scale" d="M24 {SIDE - 34:g}v10h{length:.1f}v-10"/>',
            f'<text class="ld-map-text" x="{34 + length:.1f}" y="{SIDE - 22:g}">{step_m} m</text>',
        ]

    def _edge(self) -> str:
        """Draw the edge of the map."""
        assert self._frame is not None
        half = self._frame["map_half_m"]
        (left, top), side = self._at(-half, half), 2 * half * self._scale()
        return (
            f'<rect class="ld-map-edge" x="{left:.1f}" y="{top:.1f}" width="{side:.1f}" height="{side:.1f}"/>'
        )

    def _scale(self) -> float:
        return SIDE / (2 * max(self._half_m, 1.0))

    def _at(self, east: float, north: float) -> tuple[float, float]:
        scale = self._scale()
        return SIDE / 2 + (east - self._centre[0]) * scale, SIDE / 2 - (north - self._centre[1]) * scale


def _circle(css: str, x: float, y: float, radius: float) -> str:
    return f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="{max(radius, 0):.1f}"/>'


def _wedge(x: float, y: float, inner: float, outer: float, octant: int, opacity: float) -> str:
    """Return a sector of a ring; octant 0 is east, and they go counter-clockwise."""
    corners = []
    for radius, part in ((inner, -0.42), (outer, -0.42), (outer, 0.42), (inner, 0.42)):
        angle = (octant + part) * 2 * math.pi / OCTANTS
        corners.append((x + radius * math.cos(angle), y - radius * math.sin(angle)))
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    return (
        f'<path class="ld-map-hint" fill-opacity="{opacity:.2f}" d="M{ax:.1f} {ay:.1f}L{bx:.1f} {by:.1f}'
        f"A{outer:.1f} {outer:.1f} 0 0 0 {cx:.1f} {cy:.1f}L{dx:.1f} {dy:.1f}"
        f'A{inner:.1f} {inner:.1f} 0 0 1 {ax:.1f} {ay:.1f}Z"/>'
    )
