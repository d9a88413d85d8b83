"""What players see of flags, items, projectiles and obstacles."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dedicated_server.cards.kinds import KIND_FLAG, KIND_ITEM, KIND_OBSTACLE, KIND_PROJECTILE
from dedicated_server.protocol import entities
from dedicated_server.protocol.entity_table import RECORD_WORDS
from dedicated_server.protocol.server.wire import SECRET_BYTES, ServerWire
from dedicated_server.replication.entity_records import object_record, write_extra_fields, write_objects
from dedicated_server.replication.interest import new_interest, select_entities
from dedicated_server.simulation import world as w
from dedicated_server.simulation.layout import RIFLES_ONLY
from tests.dedicated_server.protocol.rig import FLEET_KEY, MATCH_ID
from tests.dedicated_server.replication.sets import in_view

KINDS = (KIND_FLAG, KIND_ITEM, KIND_PROJECTILE, KIND_OBSTACLE)
FLAG, ITEM, PROJECTILE, OBSTACLE = range(2, 6)  # entities behind two players
HALF_M = 1_000.0


class Field:
    """Two players far from each other, and one object of each kind."""

    def __init__(self) -> None:
        spawns = np.array([[-800.0, 800.0], [0.0, 0.0]])
        layout = RIFLES_ONLY._replace(kinds=np.array(KINDS, np.int32))
        self.world = w.new_world([0, 1], spawns, np.zeros(w.RULES), layout=layout)
        self.interest = new_interest([0, 1], kinds=KINDS)
        self.wire = ServerWire(
            fleet_key=FLEET_KEY, match_id=MATCH_ID, player_ids=[1, 2], host="192.0.2.1", port=1,
            secret=bytes(SECRET_BYTES), objects=len(KINDS),
        )  # fmt: skip
        self.wire.status[:] = 1
        self.tick = 0
        self.sent: dict[int, list[int]] = {entity: [] for entity in range(2 + len(KINDS))}
        self.left: list[int] = []

    def show(self, entity: int, x_m: float, shown: bool = True) -> None:
        self.world.objects[w.OBJECT_X_M, entity - 2] = x_m
        self.world.object_status[w.OBJECT_SHOWN, entity - 2] = shown

    def step(self, ticks: int = 8) -> set[int]:
        """Go on; what the first player has in view then."""
        for _ in range(ticks):
            self.tick += 1
            self.world.counters[w.TICK], self.world.counters[w.ELAPSED] = self.tick, 1
            select_entities(self.world, self.interest, self.wire.state, 500, self.tick)
            for entity in self.interest.selected[0, : self.interest.selected_count[0]]:
                self.sent[int(entity)].append(self.tick)
            self.left += self.interest.left[0, : self.interest.left_count[0]].tolist()
            self.wire.packed_count[:] = self.interest.selected_count
        return in_view(self.interest, 0)


def test_objects_come_into_view_within_the_horizon_and_leave_beyond_it_or_when_they_are_hidden() -> None:
    field = Field()
    assert field.step() == {0}
    for entity in (ITEM, PROJECTILE, OBSTACLE):
        field.show(entity, -790.0)
    assert field.step() == {0, ITEM, PROJECTILE, OBSTACLE}
    field.show(ITEM, -790.0, shown=False)
    field.show(PROJECTILE, -300.0)
    assert field.step() == {0, OBSTACLE}
    assert sorted(field.left) == [ITEM, PROJECTILE]


def test_a_flag_is_in_view_at_any_distance_while_it_is_shown() -> None:
    field = Field()
    field.show(FLAG, 800.0)
    assert field.step() == {0, FLAG}
    field.show(FLAG, 800.0, shown=False)
    assert field.step() == {0}
    assert field.left == [FLAG]


def test_a_projectile_nearby_is_sent_each_tick_and_what_stands_still_every_third() -> None:
    field = Field()
    for entity in (FLAG, ITEM, PROJECTILE, OBSTACLE):
        field.show(entity, -795.0)
    field.step(8)
    for ticks in field.sent.values():
        ticks.clear()
    field.step(30)
    assert len(field.sent[PROJECTILE]) == len(field.sent[FLAG]) == 30
    assert len(field.sent[ITEM]) == len(field.sent[OBSTACLE]) == 10
    assert set(np.diff(field.sent[ITEM])) == {3}


def test_the_records_of_objects_lie_behind_those_of_players() -> None:
    field = Field()
    world = field.world
    world.objects[: w.OBJECT_Y_M + 1] = [[1.0, 2.0, 3.0, 4.0], [-1.0, -2.0, -3.0, -4.0]]
    world.objects[w.OBJECT_EAST_M : w.OBJECT_NORTH_M + 1, 3] = 5.0, 2.5
    world.object_status[w.OBJECT_A] = 1, 7, 0, 1
    world.object_status[w.OBJECT_B] = 0, w.NOBODY, 2, 0
    world.object_status[w.OBJECT_C, 0] = 1
    world.object_status[w.OBJECT_YAW, 2] = 65_536 // 4
    records = np.zeros((6, RECORD_WORDS), np.int64)
    write_objects(world, records)
    assert [tuple(row) for row in records[:2]] == [entities.NO_RECORD] * 2
    expected = [
        entities.pack_flag(1.0, -1.0, 1, 0, 1),
        entities.pack_item(2.0, -2.0, 7, -1),
        entities.pack_projectile(3.0, -3.0, math.pi / 2, 0, 2),
        entities.pack_obstacle(4.0, -4.0, 5.0, 2.5, True),
    ]
    assert [tuple(row) for row in records[2:]] == expected
    assert [object_record(world, number) for number in range(4)] == expected


def test_a_player_without_fields_of_the_mode_is_left_as_it_is() -> None:
    row = np.array(entities.pack_player(1.0, 2.0, 3.0, 40, 1), np.int64)
    before = row.copy()
    write_extra_fields(Field().world, np.full(len(entities.EXTRA_FIELDS), entities.NO_ROW, np.int32), 0, row)
    assert (row == before).all()


def test_a_team_of_hundreds_takes_memory_by_the_player_and_not_by_the_pair() -> None:
    interest = new_interest([player % 2 for player in range(600)])
    assert sum(array.nbytes for array in (interest.team, interest.mates, interest.far_seen)) < 8 * 600


@pytest.mark.parametrize("players", [64, 1_024, 2_048])
def test_a_view_takes_nine_bytes_a_pair_and_a_list_a_client(players: int) -> None:
    interest = new_interest(range(players))
    assert sum(array.nbytes for array in interest) <= 9 * players**2 + 2_048 * players


@pytest.mark.parametrize("players", [2_046, 2_048])
def test_players_and_objects_beyond_what_the_wire_numbers_are_refused(players: int) -> None:
    def wire(objects: int) -> ServerWire:
        return ServerWire(
            fleet_key=FLEET_KEY, match_id=MATCH_ID, player_ids=range(players), host="192.0.2.1", port=1,
            secret=bytes(SECRET_BYTES), objects=objects,
        )  # fmt: skip

    with pytest.raises(ValueError, match=f"beside 3 objects, not {players}"):
        wire(3)
