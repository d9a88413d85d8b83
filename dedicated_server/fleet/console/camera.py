"""What part of a match a map shows: the zone with some ground around it, the whole map, or one player.

The view of a zone narrows slowly, so that a zone that shrinks does not shake the picture.
"""

from __future__ import annotations

import math
from typing import Any, Final

SIDE: Final = 1000.0  # units of the drawing, a square
MARGIN: Final = 1.18  # of the zone's radius is seen
EDGE: Final = 1.03  # of the map's half is seen
MIN_HALF_M: Final = 45.0
FOLLOWED_HALF_M: Final = 70.0  # around a player who is followed: two of them see each other a shot apart
FOLLOWED_SHARE: Final = 0.5  # of a small map's half is seen then
NARROWING: Final = 0.94  # of the view, at most, from one frame to the next
ZOOM_STEP: Final = 1.5
MAX_ZOOM: Final = ZOOM_STEP**4


class Camera:
    """The view of one visitor.

    Attributes:
        whole_map: whether the whole map is shown while nobody is followed.
        zoom: how much nearer than it would be, from 1 to MAX_ZOOM; with nobody followed around the middle.
        half_m: metres from the middle of the view to its edges.
        centre: the middle, metres east and north of the map's.
    """

    def __init__(self) -> None:
        self.whole_map = False
        self.zoom = 1.0
        self.half_m = 1.0
        self.centre = (0.0, 0.0)
        self._fitted_m = 0.0

    def nearer(self, steps: int) -> None:
        """Go nearer, or with fewer than no steps further away."""
        self.zoom = min(max(self.zoom * ZOOM_STEP**steps, 1.0), MAX_ZOOM)

    def look(
        self, frame: dict[str, Any], followed: dict[str, Any] | None, around_m: float | None = None
    ) -> None:
        """Choose the view of a frame.

        Args:
            frame: of the spectator feed.
            followed: one of its players, or nobody.
            around_m: how far is seen around them; None: as far as a fight reaches.
        """
        whole_m = frame["map_half_m"] * EDGE
        if followed is not None:
            self.centre = (followed["x"], followed["y"])
            near_m = min(FOLLOWED_HALF_M, FOLLOWED_SHARE * whole_m)
            self.half_m = (near_m if around_m is None else min(around_m, whole_m)) / self.zoom
            return
        if self.whole_map or not has_zone(frame):
            self.centre, self._fitted_m = (0.0, 0.0), whole_m
        else:
            self._fit_zone(frame, whole_m)
        self.half_m = self._fitted_m / self.zoom

    def _fit_zone(self, frame: dict[str, Any], whole_m: float) -> None:
        """Show everybody alive and the zone."""
        zone = frame["zone"]
        far_m = max(
            (math.hypot(one["x"] - zone["x"], one["y"] - zone["y"]) for one in in_play(frame)), default=0.0
        )
        wanted_m = min(max(MARGIN * zone["r"], 1.05 * far_m, MIN_HALF_M), 2 * whole_m)
        if zone["r"] + math.hypot(zone["x"], zone["y"]) > whole_m:  # it reaches beyond the map
            self.centre, self._fitted_m = (0.0, 0.0), whole_m
            return
        self._fitted_m = max(wanted_m, self._fitted_m * NARROWING)
        self.centre = (zone["x"], zone["y"])

    @property
    def scale(self) -> float:
        """Units a metre."""
        return SIDE / (2 * max(self.half_m, 1.0))

    def at(self, east: float, north: float) -> tuple[float, float]:
        """Where a place is drawn, units from the upper left."""
        scale = self.scale
        return SIDE / 2 + (east - self.centre[0]) * scale, SIDE / 2 - (north - self.centre[1]) * scale

    def sees(self, one: dict[str, Any]) -> bool:
        """Whether something at ``x`` and ``y`` is within the view."""
        return all(
            abs(at - middle) <= self.half_m
            for at, middle in zip((one["x"], one["y"]), self.centre, strict=True)
        )


def has_zone(frame: dict[str, Any]) -> bool:
    """Whether the match has a zone that hurts who is outside."""
    return bool(frame.get("has_zone", True))


def has_narrow_view(frame: dict[str, Any]) -> bool:
    """Whether the view of the match may be less than the whole map."""
    return has_zone(frame) and frame["map_half_m"] > 2 * MIN_HALF_M


def in_play(frame: dict[str, Any]) -> list[dict[str, Any]]:
    """The players who are alive and there."""
    return [one for one in frame["players"] if one["alive"] and is_there(one)]


def is_taken(player: dict[str, Any]) -> bool:
    """Whether somebody has the slot; who has left is still told of, until it is another's."""
    return str(player["player_id"]) != "0"


def is_there(player: dict[str, Any]) -> bool:
    """Whether somebody has the slot, and has a body or will have one again."""
    return is_taken(player) and bool(player.get("present", True))
