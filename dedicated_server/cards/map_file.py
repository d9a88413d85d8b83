"""Reads a mode's map: the boxes that stop movement and shots, and where the teams begin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dedicated_server.cards.card import BODY_M, MAX_BOXES, MAX_MAP_HALF_M, Base, Box
from dedicated_server.cards.document import parse, read_text
from dedicated_server.cards.mistakes import Mistake
from dedicated_server.cards.values import Value

MAX_BASES: Final = 64
GRID_PER_M: Final = 64  # of the wire's positions
_SIDES: Final = ("west_m", "south_m", "east_m", "north_m")
_CIRCLE: Final = ("x_m", "y_m", "radius_m")


@dataclass(frozen=True)
class Map:
    """What a map's file says, with the places of what it has; a box or a base that is wrong is left out."""

    boxes: tuple[Box, ...]
    bases: tuple[Base, ...]
    bases_given: int
    bases_at: Value


def read_map(path: Path, map_half_m: float | None, mistakes: list[Mistake]) -> Map:
    """Read a map of that half side; its mistakes are added to ``mistakes``.

    Raises Unreadable where it is no document at all. A ``map_half_m`` of None is wrong itself: nothing is
    compared with it.
    """
    root, found = parse(read_text(path), path.name)
    half_m = map_half_m if map_half_m is not None else MAX_MAP_HALF_M
    mistakes += found
    keys = Value(root, "", 1, path.name, mistakes).keys(("boxes", "bases"))
    boxes = [_box(item, half_m) for item in keys["boxes"].items(MAX_BOXES)]
    items = keys["bases"].items(MAX_BASES)
    bases = [_base(item, half_m) for item in items]
    sound = tuple(box for box in boxes if box is not None)
    for index, (item, base) in enumerate(zip(items, bases, strict=True)):
        if base is None:
            continue
        for other, box in enumerate(boxes):
            if box is not None and _in_reach(base, box):
                item.refuse(f"overlaps boxes/{other}: nobody can begin inside a box; move one of them")
        for other, before in enumerate(bases[:index]):
            if before is not None and _overlap(base, before):
                item.refuse(f"overlaps bases/{other}: move them apart")
    return Map(sound, tuple(base for base in bases if base is not None), len(items), keys["bases"])


def _box(value: Value, half_m: float) -> Box | None:
    keys = value.keys(_SIDES, _SIDES)
    west, south, east, north = (keys[side].number(-MAX_MAP_HALF_M, MAX_MAP_HALF_M) for side in _SIDES)
    sound = True
    for side, each in zip(_SIDES, (west, south, east, north), strict=True):
        if each is not None and abs(each) > half_m:
            keys[side].refuse(f"lies outside the map, which reaches from {-half_m:g} to {half_m:g} m")
            sound = False
    for low, high, first, second in ((west, east, "west_m", "east_m"), (south, north, "south_m", "north_m")):
        if low is not None and high is not None and not _on_grid(low) < _on_grid(high):
            keys[second].refuse(f"must be more than {first} ({low:g}), by 1/{GRID_PER_M} m at least")
            sound = False
    if west is None or south is None or east is None or north is None or not sound:
        return None
    return Box(_on_grid(west), _on_grid(south), _on_grid(east), _on_grid(north))


def _on_grid(side_m: float) -> float:
    """The nearest place that a position on the wire can have, so that who sees a box stops where it stops."""
    return round(side_m * GRID_PER_M) / GRID_PER_M


def _base(value: Value, half_m: float) -> Base | None:
    keys = value.keys(_CIRCLE, _CIRCLE)
    x_m, y_m = (keys[key].number(-MAX_MAP_HALF_M, MAX_MAP_HALF_M) for key in ("x_m", "y_m"))
    radius_m = keys["radius_m"].number(0.0, MAX_MAP_HALF_M, above=True)
    if x_m is None or y_m is None or radius_m is None:
        return None
    if max(abs(x_m), abs(y_m)) + radius_m > half_m:
        value.refuse(f"reaches beyond the map, which reaches from {-half_m:g} to {half_m:g} m")
        return None
    return Base(x_m, y_m, radius_m)


def _in_reach(base: Base, box: Box) -> bool:
    """Whether a player's body that begins in the base's circle may touch the box."""
    x_m = min(max(base.x_m, box.west_m), box.east_m) - base.x_m
    y_m = min(max(base.y_m, box.south_m), box.north_m) - base.y_m
    return bool(x_m * x_m + y_m * y_m < (base.radius_m + BODY_M) ** 2)


def _overlap(base: Base, other: Base) -> bool:
    x_m, y_m = base.x_m - other.x_m, base.y_m - other.y_m
    return bool(x_m * x_m + y_m * y_m < (base.radius_m + other.radius_m) ** 2)
