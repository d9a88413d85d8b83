"""The kinds of entities, as plain ints: what the world, the wire and every client number alike.

A player's entity is its slot, from 0; the objects of a match follow in the order of `OBJECT_KINDS`.
"""

from __future__ import annotations

from typing import Final

KIND_PLAYER: Final = 0
KIND_FLAG: Final = 1
KIND_ITEM: Final = 2
KIND_PROJECTILE: Final = 3
KIND_OBSTACLE: Final = 4

KIND_NAMES: Final = ("player", "flag", "item", "projectile", "obstacle")  # by number
OBJECT_KINDS: Final = KIND_NAMES[1:]  # what a card may have, in the order of the entities
