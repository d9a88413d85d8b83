from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.protocol import connect_token, entities, fields
from dedicated_server.protocol.server.state import DEFAULT_BUDGET_BYTES, LEAVING_COUNT, MAX_LEAVES
from tests.dedicated_server.protocol.entity_oracle import Record
from tests.dedicated_server.protocol.oracle import OracleClient, Snapshot, write_message
from tests.dedicated_server.protocol.rig import Table, token


class Watcher:
    """An oracle client at a table of its own, acknowledging as told."""

    def __init__(self, players: int, cipher: int = connect_token.CIPHER_AEGIS_128L) -> None:
        self.table = Table(players, join=False)
        self.client = OracleClient(token(0, cipher=cipher))
        self.input_tick = 0
        self.reliable = 0  # number of the newest message received
        self.received: list[int] = []
        self.table.say(0, self.client.request())
        [(_, challenge)] = self.table.serve()
        self.table.say(0, self.client.respond(challenge))

    def serve(
        self, selected: list[int] | None = None, left: list[int] | None = None, arrives: bool = True
    ) -> tuple[bytes, Snapshot | None]:
        """One tick; the datagram and, if it arrives, what it says."""
        others: list[list[int]] = [[]] * (self.table.players - 1)
        chosen = list(range(self.table.players)) if selected is None else selected
        [(_, datagram)] = self.table.serve([chosen, *others], [left or [], *others])
        if not arrives:
            return datagram, None
        snapshot = self.client.open(datagram)
        assert snapshot is not None
        self.received.append(snapshot.tick)
        for number, *_ in snapshot.reliable:
            self.reliable += number == self.reliable + 1
        return datagram, snapshot

    def acknowledge(self) -> None:
        newest = self.received[-1]
        bits = sum(1 << (newest - 1 - tick) for tick in self.received[:-1] if newest - 33 < tick)
        self.input_tick += 1
        self.table.say(0, self.client.seal(write_message(newest, bits, self.reliable, 0, [])))


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.2, 0.7]),
    st.integers(1, 9),
    st.sampled_from(list(connect_token.CIPHERS)),
)
def test_whatever_is_lost_the_oracle_decodes_every_snapshot_to_the_world(
    seed: int, loss: float, players: int, cipher: int
) -> None:
    random = np.random.default_rng(seed)
    watcher = Watcher(players, cipher)
    in_view: set[int] = set()
    for _ in range(90):
        watcher.table.shuffle(random)
        chosen = [entity for entity in range(players) if random.random() < 0.7]
        random.shuffle(chosen)
        left = [entity for entity in in_view if entity not in chosen and random.random() < 0.1]
        in_view = (in_view | set(chosen)) - set(left)
        _, snapshot = watcher.serve(chosen, left, arrives=random.random() >= loss)
        if snapshot is not None:
            assert set(snapshot.records) == set(chosen)
            for entity, record in snapshot.records.items():
                assert record.packed == tuple(watcher.table.world[entity])
            assert set(watcher.client.view) <= in_view
            if random.random() >= loss:
                watcher.acknowledge()


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 0.5]), st.integers(2, 8))
def test_whatever_is_lost_the_compiled_clients_see_the_world(seed: int, loss: float, players: int) -> None:
    random = np.random.default_rng(seed)
    table = Table(players)
    table.connect()
    for _ in range(100):
        table.shuffle(random)
        table.step(lost=lambda: bool(random.random() < loss))
        state = table.clients.state
        current = state.seen_tick == table.tick
        assert (state.seen[current] == np.broadcast_to(table.world, state.seen.shape)[current]).all()
    drops = table.clients.drops_by_reason()
    assert sum(drops.values()) == 0
    assert sum(table.wire.drops_by_reason().values()) == 0
    table.step()
    assert (table.clients.state.seen == table.world).all()


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3]), st.lists(st.integers(1, 4), max_size=80))
def test_objects_of_every_kind_are_seen_as_players_are(seed: int, loss: float, objects: list[int]) -> None:
    random = np.random.default_rng(seed)
    table = Table(3, objects=objects)
    table.connect()
    state = table.clients.state
    for _ in range(30):
        table.shuffle(random)
        table.step(lost=lambda: bool(random.random() < loss))
        current = state.seen_tick == table.tick
        assert (state.seen[current] == np.broadcast_to(table.world, state.seen.shape)[current]).all()
    assert sum(table.clients.drops_by_reason().values()) == 0
    table.step(left=[[table.entities - 1]] * 3, selected=[[0]] * 3)
    assert (state.seen_tick[:, table.entities - 1] == 0).all()


@pytest.mark.parametrize(("players", "share"), [(70, 1.0), (150, 0.95), (200, 0.4), (200, 0.02)])
def test_a_crowd_whose_clients_share_their_bits_is_decoded_to_the_world(players: int, share: float) -> None:
    random = np.random.default_rng(players)
    watcher = Watcher(players)
    watcher.table.wire.budget_bytes[:] = 1200
    for turn in range(40):
        watcher.table.shuffle(random)
        chosen = [entity for entity in range(players) if turn < 8 or random.random() < share]
        _, snapshot = watcher.serve(chosen, arrives=random.random() >= 0.2)
        if snapshot is not None:
            assert list(snapshot.records) == chosen[: int(watcher.table.wire.packed_count[0])]
            for entity, record in snapshot.records.items():
                assert record.packed == tuple(watcher.table.world[entity])
            watcher.acknowledge()


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_a_crowd_of_compiled_clients_sees_the_world(loss: float) -> None:
    random = np.random.default_rng(3)
    table = Table(90)
    table.connect()
    for _ in range(60):
        table.shuffle(random)
        table.step(lost=lambda: bool(random.random() < loss))
        state = table.clients.state
        current = state.seen_tick == table.tick
        assert (state.seen[current] == np.broadcast_to(table.world, state.seen.shape)[current]).all()
    assert sum(table.clients.drops_by_reason().values()) == 0


def test_records_are_whole_until_acknowledged_and_differences_after() -> None:
    watcher = Watcher(5)
    assert watcher.serve()[1].full == {0, 1, 2, 3, 4}  # type: ignore[union-attr]
    assert watcher.serve()[1].full == {0, 1, 2, 3, 4}  # type: ignore[union-attr]
    watcher.acknowledge()
    whole, _ = watcher.serve(arrives=False)
    _, snapshot = watcher.serve()
    assert snapshot is not None
    assert snapshot.full == set()
    assert len(whole) < 100


def test_a_baseline_older_than_the_history_is_not_used() -> None:
    watcher = Watcher(2)
    watcher.serve()
    watcher.acknowledge()
    for _ in range(63):
        watcher.serve(arrives=False)
    _, snapshot = watcher.serve()
    assert snapshot is not None
    assert snapshot.full == {0, 1}


def test_an_old_acknowledgement_that_arrives_late_still_counts() -> None:
    watcher = Watcher(4)
    watcher.serve([0, 1])
    watcher.serve([2, 3])
    watcher.acknowledge()  # of both, by ack_tick and ack_bits
    _, snapshot = watcher.serve([0, 1, 2, 3])
    assert snapshot is not None
    assert snapshot.full == set()


def test_a_leave_is_repeated_until_acknowledged_and_then_no_more() -> None:
    watcher = Watcher(3)
    watcher.serve()
    watcher.acknowledge()
    assert watcher.serve([0, 1], left=[2], arrives=False)[1] is None
    _, snapshot = watcher.serve([0, 1])
    assert snapshot is not None
    assert snapshot.leaves == [2]
    assert set(watcher.client.view) == {0, 1}
    watcher.acknowledge()
    _, after = watcher.serve([0, 1])
    assert after is not None
    assert after.leaves == []


def test_an_entity_that_comes_back_is_whole_and_its_leave_is_forgotten() -> None:
    watcher = Watcher(3)
    watcher.serve()
    watcher.acknowledge()
    watcher.serve([0, 1], left=[2], arrives=False)
    _, snapshot = watcher.serve([0, 1, 2])
    assert snapshot is not None
    assert snapshot.leaves == []
    assert snapshot.full == {2}


def test_of_a_hundred_that_leave_each_is_said_once_the_others_are_acknowledged() -> None:
    watcher = Watcher(120)
    wire = watcher.table.wire
    wire.budget_bytes[:] = 1_200
    watcher.serve()
    watcher.acknowledge()
    leavers = list(range(119, 19, -1))
    watcher.serve(list(range(20)), left=leavers, arrives=False)
    said: list[list[int]] = []
    for _ in range(3):
        _, snapshot = watcher.serve(list(range(20)))
        assert snapshot is not None
        said.append(snapshot.leaves)
        watcher.acknowledge()
    assert said == [list(range(20, 20 + MAX_LEAVES)), list(range(20 + MAX_LEAVES, 120)), []]
    assert wire.state.per_slot[LEAVING_COUNT, 0] == 0
    assert not wire.state.leaving.any()


def test_an_acknowledgement_from_before_a_leave_makes_no_baseline() -> None:
    watcher = Watcher(2)
    watcher.serve()
    watcher.acknowledge()  # will be heard in the tick of the leave, of a snapshot from before it
    watcher.serve([0], left=[1])
    watcher.acknowledge()
    _, snapshot = watcher.serve([0, 1])
    assert snapshot is not None
    assert snapshot.full == {1}


def test_what_fits_the_budget_is_a_prefix_of_the_list_and_the_datagram_keeps_it() -> None:
    watcher = Watcher(120)
    wire = watcher.table.wire
    order = list(range(119, -1, -1))
    for budget in (80, 200, DEFAULT_BUDGET_BYTES, 1200, 5000):
        wire.budget_bytes[:] = budget
        datagram, snapshot = watcher.serve(order)
        assert snapshot is not None
        packed = int(wire.packed_count[0])
        assert set(snapshot.records) == set(order[:packed])
        assert len(datagram) <= min(budget, 1200)
        assert len(datagram) >= min(budget, 1200) - 20 or packed == 120
    assert wire.packed_count[1:].tolist() == [-1] * 119


def test_each_entity_and_age_is_encoded_once_for_all_clients() -> None:
    table = Table(8)
    table.connect()
    before = table.wire.counters_by_name()
    table.shuffle(np.random.default_rng(1))
    table.step()
    after = table.wire.counters_by_name()
    assert after["records"] - before["records"] == 64
    assert after["encodings"] - before["encodings"] == 8


def test_running_players_in_one_place_cost_less_than_32_bits_a_record() -> None:
    table = Table(30)
    table.connect()
    random = np.random.default_rng(7)
    position, yaw = random.uniform(-30, 30, (30, 2)), random.uniform(0, 6, 30)
    before = table.wire.counters_by_name()
    for _ in range(60):
        yaw += random.normal(0, 0.05, 30)
        position += 6.0 / 60 * np.stack([np.cos(yaw), np.sin(yaw)], axis=1)
        for entity in range(30):
            table.world[entity] = entities.pack_player(
                position[entity, 0], position[entity, 1], yaw[entity], 100, entities.FLAG_ALIVE
            )
        table.step()
    after = table.wire.counters_by_name()
    changed = after["changed_records"] - before["changed_records"]
    assert changed > 30 * 30 * 50
    assert (after["changed_bits"] - before["changed_bits"]) / changed < 32


@pytest.mark.parametrize("age", [1, 20, 63])
def test_a_skipped_snapshot_sends_nothing_and_breaks_nothing(age: int) -> None:
    table = Table(2)
    table.connect()
    for _ in range(age):
        table.wire.encode_batch(
            table.tick, table.world, np.zeros((2, 2), np.int32), np.full(2, -1, np.int32),
            np.zeros((2, 2), np.int32), np.zeros(2, np.int32), table.match_state, table.hints,
        )  # fmt: skip
        assert table.wire.packed_count.tolist() == [-1, -1]
        table.tick += 1
    table.step()
    assert table.clients.sessions["snapshot_tick"].tolist() == [table.tick] * 2


def test_match_state_and_hints_reach_the_clients() -> None:
    table = Table(2)
    table.match_state[: len(fields.MATCH_FIELDS)] = 1, 65_536, 70_000, 32_000, 2_048, 864_000, 3, 2
    table.match_state[fields.MATCH_SCORES_AT :][:3] = 5, 4_096, 0
    table.match_state[fields.MATCH_OBJECTIVES_AT :][:6] = 1, 1, 0, 0, -1, 1
    table.hints[:] = [0, 0b1101]
    table.connect()
    names = ["match_phase", "zone_x", "zone_y", "zone_radius", "alive_count", "countdown_ticks"]
    names += ["score_count", "objective_count"]
    for index in range(2):
        told = [int(table.clients.sessions[name][index]) for name in names]
        assert told == table.clients.sessions["match"][index].tolist() == table.match_state[:8].tolist()
        assert table.clients.state.scores[index, :3].tolist() == [5, 4_095, 0]
        assert table.clients.state.objectives[index, :2].tolist() == [[1, 1, 0], [0, -1, 1]]
    assert table.clients.sessions["hints"].tolist() == [0, 0b1101]
    table.match_state[fields.MATCH_PHASE] = 2
    table.step()
    assert table.clients.sessions["match_phase"].tolist() == [2, 2]


def test_the_world_is_a_record_an_entity() -> None:
    watcher = Watcher(2)
    watcher.table.world[1] = entities.pack_player(
        3.0, 4.0, 0.0, 55, entities.FLAG_ALIVE | entities.FLAG_FIRING
    )
    _, snapshot = watcher.serve()
    assert snapshot is not None
    assert snapshot.records[1] == Record((1024 + 3) * 64, (1024 + 4) * 64, 0, 55, 3)
