from __future__ import annotations

import numpy as np
import pytest

from dedicated_server.protocol.server.wire import ServerWire
from tests.dedicated_server.protocol.oracle import BitWriter, OracleClient
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
    return [array.tobytes() for array in (state.status, state.inputs, state.views, state.addresses)]


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
