"""The live map: a match as one SVG in a square of 1,000 units. North is up.

What has a size in metres lies in a group that the view moves and scales; players and objects have a group
each, which is moved. So a page that renews it in place (`live_markup`) shows even movement.
"""

from __future__ import annotations

import math
from typing import Any

from dedicated_server.fleet.console.camera import SIDE, Camera, in_play, is_there
from dedicated_server.fleet.console.following import Following
from dedicated_server.fleet.console.ground import draw_ground, draw_scale
from dedicated_server.fleet.console.map_objects import draw_object, draw_objects_on_ground, homes_of
from dedicated_server.fleet.console.map_players import draw_interest, draw_player

PICK_UNITS = 40.0  # a click chooses the nearest player within so far
AROUND = 1.1  # of the horizon is seen around a player whose interest is drawn
MAX_NAMES = 24  # so many are shown beside players who are seen; with more, a name is shown to the pointer

MAX_LARGE = 32  # so many are drawn larger


class MatchMap:
    """Draws frames of one match for one visitor.

    Attributes:
        camera: what part of the match is shown.
        following: whom the view follows.
        shows_interest: whether what is sent to the followed player is drawn.
    """

    def __init__(self) -> None:
        self.camera = Camera()
        self.following = Following()
        self.shows_interest = False
        self._frame: dict[str, Any] | None = None
        self._homes: dict[int, tuple[float, float]] = {}

    def pick(self, x: float, y: float) -> None:
        """Follow the player nearest to a point of the square, in units; nobody, where nobody is near."""
        if self._frame is None:
            return
        nearest, nearest_units = None, PICK_UNITS
        for player in in_play(self._frame):
            px, py = self.camera.at(player["x"], player["y"])
            if math.hypot(px - x, py - y) < nearest_units:
                nearest, nearest_units = player, math.hypot(px - x, py - y)
        if nearest is not None and nearest["entity"] == self.following.entity:
            return  # who looks at a player and clicks them again goes on looking
        self.following.choose(nearest)

    def draw(self, frame: dict[str, Any]) -> str:
        """Return a frame of the spectator feed as SVG."""
        self._frame = frame
        followed = self.following.player(frame)
        if self.shows_interest:
            self.camera.look(frame, followed, AROUND * frame["horizon_m"])
        else:
            self.camera.look(frame, followed)
        self._homes.update(homes_of(frame))
        taken = [player for player in frame["players"] if is_there(player)]
        seen = [player for player in taken if player["alive"] and self.camera.sees(player)]
        few = "".join(
            style for most, style in ((MAX_NAMES, " ld-names"), (MAX_LARGE, " ld-large")) if len(seen) <= most
        )
        objects = [one for one in frame.get("objects", ()) if one["shown"]]
        parts = [draw_ground(frame, self.camera, [one for one in objects if one["kind"] == "obstacle"])]
        if self.shows_interest and followed is not None:
            parts.append(draw_interest(frame, followed, self.camera))
        parts += draw_objects_on_ground(self._homes, objects, self.camera)
        parts += [
            draw_player(player, frame, self.camera, followed=player is followed)
            for player in sorted(taken, key=lambda one: one["entity"])
        ]
        parts += [draw_object(one, frame, self.camera) for one in objects if one["kind"] != "obstacle"]
        parts.append(draw_scale(self.camera))
        return (
            f'<svg class="ld-map-drawing{few}" viewBox="0 0 {SIDE:g} {SIDE:g}" role="img" '
            f'aria-label="the match as it is played">{"".join(parts)}</svg>'
        )
