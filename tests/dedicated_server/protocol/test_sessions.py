from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.protocol.client.sessions import ClientCapacityError, ClientSessions
from dedicated_server.protocol.client.state import CLIENT_CONNECTED, CLIENT_GONE, CLIENT_TIMED_OUT, EVENT_RING
from dedicated_server.protocol.connect_token import ConnectTokenError
from dedicated_server.protocol.datagrams import CONNECTED, LEFT, TIMED_OUT
from dedicated_server.protocol.inputs import INPUT_BUTTONS, INPUT_TICK
from dedicated_server.protocol.reliable_kinds import (
    HIT,
    KILL,
    MATCH_OVER,
    RELIABLE_COLUMNS,
    RELIABLE_HIT,
    RELIABLE_MATCH_OVER,
)
from dedicated_server.protocol.server.wire import SECRET_BYTES, ServerWire
from tests.dedicated_server.protocol.oracle import Input, OracleClient, write_message
from tests.dedicated_server.protocol.rig import FLEET_KEY, MATCH_ID, Table, token

KINDS = (KILL, HIT, MATCH_OVER)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_every_input_arrives_once_although_datagrams_are_lost_in_bursts(seed: int) -> None:
    random = np.random.default_rng(seed)
    table = Table(1)
    table.connect()
    applied = int(table.clients.sessions["input_tick"][0])
    used: list[tuple[int, int]] = []
    sent: dict[int, int] = {}
    burst = 0
    for _ in range(120):
        buttons = int(random.integers(0, 256))
        datagram = table.transmit(0, buttons=buttons)
        sent[int(table.clients.sessions["input_tick"][0])] = buttons
        burst = int(random.integers(1, 9)) if burst == 0 and random.random() < 0.1 else max(burst - 1, 0)
        if burst == 0:
            table.say(0, datagram)
        for _, answer in table.serve():
            table.receive(0, answer)
        for tick in range(applied + 1, int(table.wire.input_newest[0]) + 1):
            row = table.wire.inputs[0, tick % 32]
            assert row[INPUT_TICK] == tick
            used.append((tick, int(row[INPUT_BUTTONS])))
        applied = int(table.wire.input_newest[0])
    assert used == [(tick, sent[tick]) for tick, _ in used]
    ticks = [tick for tick, _ in used]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 0.6]))
def test_reliable_messages_arrive_once_and_in_order_whatever_is_lost(seed: int, loss: float) -> None:
    random = np.random.default_rng(seed)
    table = Table(3)
    table.connect()
    expected: list[list[tuple[int, ...]]] = [[], [], []]
    for _ in range(40):
        if random.random() < 0.4:
            slot = int(random.integers(-1, 3))
            kind = KINDS[int(random.integers(0, len(KINDS)))]
            values = [int(random.integers(f.least, f.least + 2**f.bits)) for f in kind.table]
            if kind is HIT:
                values[-1] = 0  # a client tick, which the client makes whole
            table.wire.queue_reliable(slot, kind.number, *values)
            message = (kind.number, *values, *[0] * (RELIABLE_COLUMNS - 1 - len(values)))
            for client in range(3) if slot < 0 else [slot]:
                expected[client].append(message)
        table.step(lost=lambda: bool(random.random() < loss))
    for _ in range(10):
        table.step()
    for client in range(3):
        count = int(table.clients.sessions["events_count"][client])
        events = table.clients.state.events[client, :count].tolist()
        assert [tuple(event) for event in events] == expected[client]
    assert table.wire.state.slots["reliable_count"].tolist() == [0, 0, 0]


def test_what_is_for_a_player_who_is_away_waits_and_is_bounded() -> None:
    table = Table(1)
    table.connect()
    for _ in range(330):
        table.serve()
    assert table.wire.status.tolist() == [TIMED_OUT]
    for number in range(200):
        table.wire.queue_reliable(0, RELIABLE_HIT, number, 0, 0)
    assert table.wire.counters_by_name()["reliable_overflow"] == 128
    table.clients.reconnect(0)
    for _ in range(20):
        table.step()
    assert table.clients.sessions["events_count"][0] == 72
    newest = [int(table.clients.state.events[0, number % EVENT_RING, 1]) for number in range(8, 72)]
    assert newest == list(range(136, 200))


def test_match_over_is_told_as_an_event_and_as_a_field() -> None:
    table = Table(2)
    table.connect()
    table.wire.queue_reliable(0, RELIABLE_MATCH_OVER, 1, 5, 3)
    table.step()
    assert table.clients.sessions["match_over"].tolist() == [1, 0]
    assert table.clients.state.events[0, 0, :4].tolist() == [RELIABLE_MATCH_OVER, 1, 5, 3]


def test_a_graceful_leave_frees_the_server_at_once() -> None:
    table = Table(2)
    table.connect()
    table.clients.leave(0)
    table.step()
    assert table.wire.status.tolist() == [LEFT, CONNECTED]
    assert table.wire.newly_lost.tolist() == [1, 0]
    for _ in range(4):
        table.step()
    assert table.clients.sessions["state"].tolist() == [CLIENT_GONE, CLIENT_CONNECTED]
    assert table.wire.drops_by_reason()["not_connected"] == 2
    assert table.wire.newly_lost.tolist() == [0, 0]


def test_silence_times_out_at_both_ends() -> None:
    table = Table(2)
    table.connect()
    for _ in range(310):
        table.transmit(0)
        datagram = table.transmit(1)
        table.say(1, datagram)
        for index, answer in table.serve():
            if index == 1:
                table.receive(index, answer)
    assert table.wire.status.tolist() == [TIMED_OUT, CONNECTED]
    assert table.clients.sessions["state"].tolist() == [CLIENT_TIMED_OUT, CLIENT_CONNECTED]
    assert table.wire.counters_by_name()["time_outs"] == 1


@pytest.mark.parametrize("silence_ticks", [0, 400])
def test_a_reconnect_with_the_same_token_keeps_the_slot_and_what_was_not_acknowledged(
    silence_ticks: int,
) -> None:
    table = Table(2)
    table.connect()
    table.wire.queue_reliable(0, RELIABLE_HIT, 1, 1, 1)
    for _ in range(5):
        table.step()
    for _ in range(silence_ticks):
        table.step(lost=lambda: True)
    table.wire.queue_reliable(0, RELIABLE_HIT, 2, 2, 2)
    for index in range(2):
        table.clients.reconnect(index)
    table.connect()
    table.shuffle(np.random.default_rng(3))
    table.step()
    assert (table.clients.state.seen == table.world).all()
    assert table.clients.state.events[0, :2, 1].tolist() == [1, 2]
    assert table.clients.sessions["events_count"].tolist() == [2, 0]
    assert table.wire.counters_by_name()["reconnects"] == 2
    assert table.wire.input_newest[0] == table.clients.sessions["input_tick"][0]


def test_a_connected_client_that_sees_nothing_hears_keep_alives() -> None:
    table = Table(1)
    table.connect()
    nothing = np.full(1, -1, np.int32)
    heard = 0
    for _ in range(120):
        table.say(0, table.transmit(0))
        table.tick += 1
        table.now_s += 1 / 60
        table.wire.open_batch(
            np.zeros((1, 1200), np.uint8),
            np.zeros(1, np.int32),
            np.zeros((1, 16), np.uint8),
            0,
            table.now_s,
            table.tick,
        )
        table.wire.encode_batch(
            table.tick, table.world, np.zeros((1, 1), np.int32), nothing, np.zeros((1, 1), np.int32),
            np.zeros(1, np.int32), table.match_state, table.hints,
        )  # fmt: skip
        table.wire.seal_batch(table.now_s)
        heard += int(table.wire.out_count[0])
        for row in range(int(table.wire.out_count[0])):
            table.receive(0, table.wire.out_buf[row, : table.wire.out_len[row]].tobytes())
    assert 9 <= heard <= 11
    assert table.clients.sessions["state"][0] == CLIENT_CONNECTED


def test_a_replayed_or_old_datagram_is_not_used_again() -> None:
    table = Table(1)
    table.connect()
    datagram = table.transmit(0)
    for _ in range(2):
        table.say(0, datagram)
    table.serve()
    assert table.wire.drops_by_reason()["replayed"] == 1
    for _ in range(300):
        table.step()
    table.say(0, datagram)
    table.serve()
    assert table.wire.drops_by_reason()["too_old"] == 1


def test_a_hostile_client_cannot_acknowledge_the_future_nor_move_the_window_with_forgeries() -> None:
    table = Table(1, join=False)
    client = OracleClient(token())
    table.say(0, client.request())
    [(_, challenge)] = table.serve()
    table.say(0, client.respond(challenge))
    table.serve()
    table.say(0, client.seal(write_message(table.tick + 9, 0, 0, 1, [Input(0, 0, 0, 0, 0)])))
    table.say(0, b"\x03" + client.connection + b"\xff\xff\xff\x7f" + bytes(60))
    table.say(0, client.seal(write_message(table.tick, 0xFFFFFFFF, 999, 1, [Input(0, 0, 0, 7, 0)])))
    table.serve()
    counted = {reason: count for reason, count in table.wire.drops_by_reason().items() if count}
    assert counted == {"future_ack": 1, "forged": 1}
    assert table.wire.inputs[0, 1, INPUT_BUTTONS] == 7


def test_round_trips_are_measured() -> None:
    table = Table(1)
    table.connect()
    pipe: list[bytes] = []
    for _ in range(100):
        table.say(0, table.transmit(0))
        for _, answer in table.serve():
            pipe.append(answer)
        if len(pipe) > 6:
            table.receive(0, pipe.pop(0))
    assert table.clients.sessions["rtt_s"][0] == pytest.approx(7 / 60, abs=0.002)


def test_indexes_are_given_and_taken_back() -> None:
    clients = ClientSessions(1, 4)
    with pytest.raises(ConnectTokenError):
        clients.add(b"nonsense")
    assert clients.add(token()) == 0
    assert clients.address_of(0) == ("203.0.113.7", 7001)
    with pytest.raises(ClientCapacityError):
        clients.add(token())
    clients.free(0)
    assert clients.add(token(2)) == 0
    assert clients.sessions["own_entity"][0] == 2


@pytest.mark.parametrize("players", [0, 2049])
def test_a_match_of_an_impossible_size_is_refused(players: int) -> None:
    with pytest.raises(ValueError, match="1 to 2048 players"):
        ServerWire(
            fleet_key=FLEET_KEY,
            match_id=MATCH_ID,
            player_ids=range(players),
            host="127.0.0.1",
            port=1,
            secret=bytes(SECRET_BYTES),
        )
