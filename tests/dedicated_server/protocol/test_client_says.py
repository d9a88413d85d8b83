"""What clients say reliably: taken in once, relayed to the team, within limits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.protocol import datagrams
from dedicated_server.protocol.client.transmit import client_ping
from dedicated_server.protocol.client_kinds import PING_BURST, SAYS_BITS
from dedicated_server.protocol.fields import quantise_position
from dedicated_server.protocol.reliable_kinds import (
    PING_ENTITY,
    PING_WHAT,
    PING_X,
    PING_Y,
    RELIABLE_HIT,
    RELIABLE_KIND,
    RELIABLE_PING,
)
from dedicated_server.protocol.server.client_says import said_end
from dedicated_server.protocol.server.state import RELIABLE_RING
from tests.dedicated_server.protocol.oracle import BitWriter, OracleClient
from tests.dedicated_server.protocol.rig import Table, token

TEAMS = [0, 0, 1]


def joined() -> Table:
    table = Table(3, teams=TEAMS)
    table.connect()
    return table


def pings(table: Table, index: int) -> list[tuple[int, int, int, int]]:
    """The pings that a client was told of: who, x, y, what."""
    rows = table.clients.state.events[index][: int(table.clients.sessions["events_count"][index])]
    return [
        (int(row[PING_ENTITY]), int(row[PING_X]), int(row[PING_Y]), int(row[PING_WHAT]))
        for row in rows
        if row[RELIABLE_KIND] == RELIABLE_PING
    ]


def counted(table: Table) -> tuple[int, int]:
    counters = table.wire.counters_by_name()
    return counters["pings"], counters["pings_refused"]


def test_a_ping_reaches_the_team_once_however_often_its_datagrams_come() -> None:
    table = joined()
    assert table.clients.ping(0, 12.5, -30.0, 3)
    assert not client_ping(table.clients.state, 0, 1.0, 1.0, 0)  # one at a time
    said = [table.transmit(0) for _ in range(4)]
    for datagram in [*said, said[0]]:
        table.say(0, datagram)
        for index, data in table.serve():
            table.receive(index, data)
    told = (0, quantise_position(12.5), quantise_position(-30.0), 3)
    assert [pings(table, index) for index in range(3)] == [[told], [told], []]
    assert counted(table) == (1, 0)
    assert table.clients.sessions["said_waiting"][0] == 0
    assert table.clients.ping(0, 1.0, 1.0)


def test_a_player_pings_three_times_at_once_and_then_once_a_second() -> None:
    table = joined()
    taken = []
    for _ in range(600):  # ten seconds of a held key
        table.clients.ping(0, 0.0, 0.0)
        table.step()
        taken.append(counted(table)[0])
    assert taken[20] == PING_BURST
    assert PING_BURST + 8 <= taken[-1] <= PING_BURST + 10
    assert counted(table)[1] > 0
    assert table.clients.sessions["said_refused"][0] == counted(table)[1]
    assert table.wire.status.tolist() == [1, 1, 1]


def test_pings_disconnect_nobody_who_does_not_listen() -> None:
    table = joined()
    for _ in range(RELIABLE_RING // 2):
        table.wire.queue_reliable(1, RELIABLE_HIT, 1, 5, 9)
    before = int(table.wire.state.slots["reliable_count"][1])
    table.clients.ping(0, 0.0, 0.0)
    table.say(0, table.transmit(0))
    table.serve()
    assert counted(table) == (1, 0)
    assert table.wire.state.slots["reliable_count"][1] == before


def test_numbers_of_messages_go_round_and_a_new_session_begins_anew() -> None:
    table = joined()
    for _ in range(300):
        assert table.clients.ping(0, 0.0, 0.0)
        for _ in range(3):
            table.step()
    assert sum(counted(table)) == 300
    table.clients.reconnect(0)
    table.connect()
    assert table.clients.ping(0, 0.0, 0.0)
    for _ in range(3):
        table.step()
    assert sum(counted(table)) == 301
    assert table.clients.sessions["said_waiting"][0] == 0


def said(table: Table, client: OracleClient, parts: list[tuple[int, int]], padding: bytes = b"") -> None:
    writer = BitWriter()
    for value, bits in [(0, 2), (0, 24), (0, 32), (0, 16), (0, 16), (0, 5), (1, 1), *parts]:
        writer.put(value, bits)
    table.say(0, client.seal(writer.data() + padding))
    table.serve()


def test_a_kind_that_is_not_known_is_answered_and_one_that_is_cut_short_is_malformed() -> None:
    table = Table(1, join=False)
    client = OracleClient(token())
    table.say(0, client.request())
    [(_, challenge)] = table.serve()
    table.say(0, client.respond(challenge))
    table.serve()
    waiting = int(table.wire.state.slots["reliable_count"][0])
    said(table, client, [(1, 8), (9, 4), (20, 9), (0, 20)])  # a kind of a later version
    assert table.wire.state.slots["reliable_count"][0] == waiting + 1
    said(table, client, [(2, 8), (1, 4), (50, 9), (5, 17), (6, 17), (2, 4), (0, 12)])  # a longer ping
    assert counted(table) == (1, 0)
    said(table, client, [(3, 8), (1, 4), (17, 9), (5, 17)])  # a shorter one: the rest are zero bits
    assert counted(table) == (2, 0)
    for wrong in ([(4, 8), (1, 4)], [(4, 8), (1, 4), (38, 9), (5, 17)], [(4, 8), (1, 4), (300, 9), (5, 17)]):
        said(table, client, wrong)
    said(table, client, [(4, 8), (1, 4), (17, 9), (5, 17)], b"\0")
    assert table.wire.drops_by_reason()["malformed"] == 4
    assert counted(table) == (2, 0)


@given(st.binary(max_size=80), st.integers(0, 700))
def test_a_message_ends_within_the_stream_or_nowhere(plain: bytes, at: int) -> None:
    words = np.zeros(datagrams.PLAIN_WORDS, np.uint64)
    words.view(np.uint8)[: len(plain)] = np.frombuffer(plain, np.uint8)
    end = said_end(words, at, len(plain) * 8)
    assert end == -1 or at + SAYS_BITS <= end <= len(plain) * 8
