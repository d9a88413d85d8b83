"""Ticks have few bits on the wire: what happens where those begin again."""

from __future__ import annotations

import numpy as np
import pytest

from dedicated_server.cards.card import MAX_MATCH_S
from dedicated_server.protocol import inputs
from dedicated_server.protocol.fields import MATCH_COUNTDOWN, MATCH_WIDTHS, TICK_BITS, TICK_HZ
from dedicated_server.protocol.reliable_kinds import HIT_INPUT_TICK, RELIABLE_HIT
from tests.dedicated_server.protocol.oracle import Input, OracleClient, write_message
from tests.dedicated_server.protocol.rig import Table, token


@pytest.mark.parametrize("begin", [2**16 - 30, 2**31 - 40, 2**32 - 40, 2**40 - 40])
def test_inputs_are_played_on_wherever_a_client_begins_to_count(begin: int) -> None:
    table = Table(1)
    session = table.clients.sessions[0]
    for name in ("input_tick", "input_echo", "input_applied"):
        session[name] = begin
    table.connect()
    first = int(table.wire.input_newest[0])
    for turn in range(100):
        table.step()
        assert table.wire.input_newest[0] == first + turn + 1  # none is missed, none comes twice
        row = table.wire.inputs[0, table.wire.input_newest[0] % inputs.INPUT_RING]
        assert row[inputs.INPUT_TICK] == table.wire.input_newest[0]
    assert session["input_tick"] > begin + 100
    assert session["input_echo"] == session["input_applied"] == session["input_tick"]
    assert 0.0 < session["rtt_s"] < 0.1
    assert sum(table.wire.drops_by_reason().values()) == 0
    shot = int(table.wire.input_newest[0]) & 0xFFFF
    table.wire.queue_reliable(0, RELIABLE_HIT, 0, 10, shot)
    table.step()
    assert table.clients.state.events[0, 0, HIT_INPUT_TICK] == session["input_tick"] - 1


@pytest.mark.parametrize("begin", [2**24 - 40, 2**24 - 1, 2**25 - 20])
def test_snapshots_go_on_where_the_servers_ticks_begin_again(begin: int) -> None:
    random = np.random.default_rng(begin)
    table = Table(4)
    table.tick = begin - 12
    table.connect()
    apart = int(table.tick - table.clients.sessions["snapshot_tick"][0])
    assert apart % 2**TICK_BITS == 0
    for _ in range(120):
        table.shuffle(random)
        table.step(lost=lambda: bool(random.random() < 0.2))
    for _ in range(3):
        table.step()
    assert (table.clients.sessions["snapshot_tick"] == table.tick - apart).all()
    assert (table.clients.state.seen == table.world).all()
    assert table.wire.acked_tick.min() >= table.tick - 2
    assert sum(table.wire.drops_by_reason().values()) == 0
    assert sum(table.clients.drops_by_reason().values()) == 0


def test_the_longest_match_fits_every_count_of_ticks() -> None:
    longest = round(MAX_MATCH_S * TICK_HZ)
    assert longest == 864_000 < 2 ** MATCH_WIDTHS[MATCH_COUNTDOWN]
    assert longest < 2**TICK_BITS / 16
    assert longest < inputs.MAX_CLIENT_TICK / 1_000


def test_a_client_cannot_count_to_where_the_servers_numbers_end() -> None:
    table = Table(1, join=False)
    client = OracleClient(token())
    table.say(0, client.request())
    [(_, challenge)] = table.serve()
    table.say(0, client.respond(challenge))
    table.serve()
    table.wire.input_newest[0] = inputs.MAX_CLIENT_TICK - 5
    for ahead in (-100, 3, 6, 30_000):
        tick = inputs.MAX_CLIENT_TICK - 5 + ahead
        table.say(0, client.seal(write_message(0, 0, 0, tick, [Input(0, 0, 0, 0, 0)])))
    table.serve()
    assert table.wire.input_newest[0] == inputs.MAX_CLIENT_TICK - 2
    assert table.wire.drops_by_reason()["malformed"] == 2


def test_an_acknowledgement_of_what_was_never_sent_is_refused_on_both_sides_of_zero() -> None:
    table = Table(1, join=False)
    client = OracleClient(token())
    table.say(0, client.request())
    [(_, challenge)] = table.serve()
    table.say(0, client.respond(challenge))
    table.serve()
    for ack in (table.tick + 1, table.tick + 2**23 - 1, -1, -1_000):
        table.say(0, client.seal(write_message(ack, 0, 0, 1, [Input(0, 0, 0, 0, 0)])))
    table.serve()
    assert table.wire.drops_by_reason()["future_ack"] == 4
