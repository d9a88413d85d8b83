from __future__ import annotations

import numpy as np
import pytest

from dedicated_server.protocol import fields
from dedicated_server.protocol.client.receive import (
    RECEIVED_DROPPED,
    RECEIVED_KEEP_ALIVE,
    RECEIVED_SNAPSHOT,
)
from dedicated_server.protocol.server.wire import ServerWire
from tests.dedicated_server.protocol.oracle import BitWriter, OracleClient, seal
from tests.dedicated_server.protocol.rig import ROOM, Table, address, token


def hostile_batch(
    random: np.random.Generator, real: list[bytes], count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random datagrams, and real ones cut, flipped, lengthened, replayed.

    From known and unknown addresses.
    """
    batch = random.integers(0, 256, (count, ROOM), dtype=np.uint8)
    lengths = random.integers(0, 1400, count, dtype=np.int32)
    senders = np.stack([address(int(sender)) for sender in random.integers(0, 4, count)])
    for row in range(count):
        kind = random.integers(0, 5)
        if kind == 0:
            batch[row, 0] = random.integers(0, 6)
            continue
        datagram = real[int(random.integers(0, len(real)))]
        batch[row, : len(datagram)] = np.frombuffer(datagram, np.uint8)
        lengths[row] = len(datagram)
        if kind == 1:
            lengths[row] = random.integers(0, len(datagram))
        elif kind == 2:
            batch[row, random.integers(0, len(datagram))] ^= 1 << random.integers(0, 8)
        elif kind == 3:
            lengths[row] = min(len(datagram) + int(random.integers(1, 60)), 1200)
    return batch, lengths, senders


def snapshot_of(wire: ServerWire) -> list[bytes]:
    state = wire.state
    return [array.tobytes() for array in (state.status, state.inputs, state.views, state.slots["address"])]


@pytest.mark.parametrize("seed", range(4))
def test_hostile_datagrams_change_nothing_but_counters(seed: int) -> None:
    random = np.random.default_rng(seed)
    table = Table(4)
    real: list[bytes] = []
    for _ in range(12):
        for index in range(4):
            datagram = table.transmit(index)
            if datagram:
                real.append(datagram)
                table.say(index, datagram)
        for index, answer in table.serve():
            real.append(answer)
            table.receive(index, answer)
    assert table.wire.status.tolist() == [1] * 4
    table.now_s += 1.0
    before = snapshot_of(table.wire)
    counted = sum(table.wire.drops_by_reason().values())
    challenges = table.wire.counters_by_name()["challenges"]
    total = 0
    for _ in range(40):
        batch, lengths, senders = hostile_batch(random, real, 300)
        table.wire.open_batch(batch, lengths, senders, 300, table.now_s, table.tick)
        total += 300
    assert snapshot_of(table.wire) == before
    answered = table.wire.counters_by_name()["challenges"] - challenges  # to replayed requests: statelessly
    assert sum(table.wire.drops_by_reason().values()) - counted == total - answered
    for _ in range(3):
        table.step()
    assert (table.clients.state.seen_tick == table.tick).all()


@pytest.mark.parametrize("seed", range(4))
def test_hostile_datagrams_do_not_disturb_a_client(seed: int) -> None:
    random = np.random.default_rng(seed)
    table = Table(2)
    table.connect()
    real = [answer for _ in range(5) for _, answer in table.serve()]
    for _ in range(3):
        table.step()
    seen = table.clients.state.seen.copy()
    batch, lengths, _ = hostile_batch(random, real, 1000)
    for row in range(1000):
        if 0 < lengths[row] <= 1200 and batch[row, : lengths[row]].tobytes() not in real:
            assert table.receive(0, batch[row, : lengths[row]].tobytes()) == 0
    assert (table.clients.state.seen == seen).all()
    table.step()
    assert (table.clients.state.seen_tick == table.tick).all()


@pytest.mark.parametrize("seed", range(4))
def test_authentic_nonsense_from_a_hostile_client_is_malformed_and_harms_nobody(seed: int) -> None:
    random = np.random.default_rng(seed)
    table = Table(2, join=False)
    hostile = OracleClient(token(0))
    table.say(0, hostile.request())
    [(_, challenge)] = table.serve()
    table.say(0, hostile.respond(challenge))
    table.serve()
    table.clients.add(token(1))
    for _ in range(10):
        table.say(1, table.transmit(0)) if table.transmit(0) else None
        for index, answer in table.serve():
            if index == 1:
                table.receive(0, answer)
    for _ in range(300):
        writer = BitWriter()
        writer.put(0, 2)
        for _ in range(int(random.integers(0, 40))):
            writer.put(int(random.integers(0, 2**32)), 32)
        table.say(0, hostile.seal(writer.data()))
        table.serve()
    dropped = table.wire.drops_by_reason()
    assert dropped["malformed"] + dropped["future_ack"] == 300
    assert table.wire.status.tolist()[0] == 1


@pytest.mark.parametrize("seed", range(6))
def test_authentic_nonsense_from_a_hostile_server_is_dropped_and_harms_no_client(seed: int) -> None:
    """Snapshots of random bits, and real ones with bits flipped before they are sealed."""
    random = np.random.default_rng(seed)
    table = Table(3, teams=[0, 0, 1], names=["Ada", "Zoë", "x" * 32])
    table.match_state[fields.MATCH_SCORES], table.match_state[fields.MATCH_OBJECTIVES] = 31, 15
    table.connect()
    session = table.clients.sessions[0]
    if seed % 2:  # lengths of tables that are nonsense, too
        session["lengths"] = random.integers(0, 256, len(session["lengths"]))
    key, cipher = session["receive_key"].tobytes(), int(session["cipher"])
    neighbour = table.clients.state.seen[1].copy()
    results = []
    for number in range(600):
        tick = int(session["snapshot_tick"]) + 1
        writer = BitWriter()
        for value, bits in ((1, 2), (tick & 0xFFFFFF, 24), (0, 16), (0, 6)):
            writer.put(value, bits)
        if random.random() < 0.5:
            for bits in random.integers(1, 32, int(random.integers(0, 60))):
                writer.put(int(random.integers(0, 2**bits)), int(bits))
        else:  # flags that say that every section is there, and counts of many
            for _ in range(int(random.integers(0, 250))):
                writer.put((1 << 32) - 1 if random.random() < 0.7 else int(random.integers(0, 2**32)), 32)
        data = writer.data()[:1_100]
        sequence = 1_000_000 + number
        results.append(table.receive(0, seal(cipher, key, 4, sequence, data)))
    assert set(results) <= {RECEIVED_DROPPED, RECEIVED_KEEP_ALIVE, RECEIVED_SNAPSHOT}
    assert results.count(RECEIVED_DROPPED) > 300
    assert (table.clients.state.seen[1] == neighbour).all()
    assert (table.clients.state.roster_team[1] == [0, 0, 1]).all()
    table.clients.reconnect(0)
    table.connect()
    for _ in range(10):
        table.step()
    assert (table.clients.state.seen == table.world).all()
    assert table.clients.name_of(0, 2) == "x" * 32
