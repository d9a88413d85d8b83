"""Interest in plain Python: sets and sorted lists, every pair measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from dedicated_server.replication.priority import (
    HORIZON_M,
    LAST_RING,
    LEAVE_FACTOR,
    LOOK_TICKS,
    NEWCOMER_TICKS,
    OUTER_M,
    PERIOD_TICKS,
    STALE_TICKS,
    WEIGHT,
)
from dedicated_server.replication.wheel import OLDEST

Position = tuple[float, float]

STALE_KEYS = 1_000  # above every key of who is not stale
OWN_KEY = 2 * STALE_KEYS


@dataclass
class View:
    """One client's view: ring and last sending of each entity in it, in the order in which they came."""

    ring: dict[int, int] = field(default_factory=dict)
    sent_tick: dict[int, int] = field(default_factory=dict)
    look_tick: int = 0
    selected: list[int] = field(default_factory=list)


def square_m(one: Position, other: Position) -> float:
    east, north = other[0] - one[0], other[1] - one[1]
    return east * east + north * north


class NaiveInterest:
    """All clients connected, all entities shown unless they are not in ``positions``."""

    def __init__(self, teams: list[int]) -> None:
        self.teams = teams
        self.views = [View() for _ in teams]

    def note_packed(self, packed: list[int], tick: int) -> None:
        for view, count in zip(self.views, packed, strict=True):
            for entity in view.selected[: max(count, 0)]:
                if entity in view.sent_tick:
                    view.sent_tick[entity] = tick

    def look(self, client: int, positions: dict[int, Position], own: Position, tick: int) -> set[int]:
        """Renew a view; return who left it."""
        view = self.views[client]
        around = {
            entity: sum(square_m(own, position) > outer * outer for outer in OUTER_M.tolist())
            for entity, position in positions.items()
            if square_m(own, position) <= (HORIZON_M * LEAVE_FACTOR) ** 2
        }
        for mate, team in enumerate(self.teams):
            if team == self.teams[client]:
                around[mate] = min(around.get(mate, LAST_RING), LAST_RING)
        around[client] = 0
        left = {entity for entity in view.ring if entity not in around}
        for entity in left:
            del view.ring[entity], view.sent_tick[entity]
        for entity, ring in around.items():
            if entity in view.ring or ring <= LAST_RING:
                view.ring[entity] = min(ring, LAST_RING)
                view.sent_tick.setdefault(entity, tick - NEWCOMER_TICKS)
        view.look_tick = tick + LOOK_TICKS - (tick + client) % LOOK_TICKS
        return left

    def priorities(self, client: int, tick: int) -> dict[int, int]:
        """The due of a client, with their keys: larger goes first."""
        view = self.views[client]
        keys = {}
        for entity, ring in view.ring.items():
            waited = tick - view.sent_tick[entity]
            if entity == client:
                keys[entity] = OWN_KEY
            elif waited >= STALE_TICKS:
                keys[entity] = STALE_KEYS + min(waited, OLDEST)
            elif waited >= PERIOD_TICKS[ring]:
                keys[entity] = int(WEIGHT[ring]) * waited
        return keys
