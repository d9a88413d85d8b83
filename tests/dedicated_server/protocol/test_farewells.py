"""How a session ends by the server's word: with a reason, until the client has answered."""

from __future__ import annotations

import pytest

from dedicated_server.protocol import datagrams, reasons
from dedicated_server.protocol.client.receive import RECEIVED_FAREWELL, RECEIVED_HINT
from dedicated_server.protocol.client.state import CLIENT_CONNECTED, CLIENT_DISMISSED, CLIENT_REFUSED
from dedicated_server.protocol.datagrams import CONNECTED, LEFT, TIMED_OUT, VACANT
from dedicated_server.protocol.reliable_kinds import RELIABLE_HIT, RELIABLE_KILL, RELIABLE_MATCH_OVER
from dedicated_server.protocol.server.farewells import close_sessions
from dedicated_server.protocol.server.state import (
    RELIABLE_RING,
    SHUT,
    WORDS_ACKNOWLEDGED,
    WORDS_SAID,
)
from tests.dedicated_server.protocol.oracle import OracleClient, write_message
from tests.dedicated_server.protocol.rig import Table, token

KILL = (1, 2, 0, 2, 0)


def joined(players: int = 2) -> Table:
    table = Table(players)
    table.connect()
    return table


def said(table: Table, reason: int) -> tuple[int, int]:
    """How many sessions were told farewell for a reason, and how many of them answered."""
    words = table.wire.state.words
    return int(words[WORDS_SAID, reason]), int(words[WORDS_ACKNOWLEDGED, reason])


def kick(table: Table, entity: int, reason: int = reasons.KICKED) -> None:
    table.wire.state.slots["token_issued_ms"][entity] = SHUT
    table.wire.state.slots["dismissal"][entity] = reason


def test_names_and_numbers_of_reasons_are_one_list() -> None:
    assert [reason.number for reason in reasons.REASONS] == list(range(1, len(reasons.REASONS) + 1))
    assert len(set(reasons.NAMES)) == len(reasons.REASONS) + 1
    assert reasons.name_of(0) == ""
    assert reasons.name_of(63) == "reason 63"


def test_who_is_kicked_hears_why_answers_and_is_refused_for_the_same_reason() -> None:
    table = joined()
    kick(table, 1, reasons.BANNED)
    table.step()
    assert table.wire.status.tolist() == [CONNECTED, LEFT]
    assert table.clients.sessions["state"].tolist() == [CLIENT_CONNECTED, CLIENT_DISMISSED]
    assert table.clients.reason_of(1) == "banned"
    for _ in range(5):
        table.step()
    assert said(table, reasons.BANNED) == (1, 1)
    assert table.transmit(1) == b""
    table.clients.reconnect(1)
    table.step()
    assert table.clients.sessions["state"][1] == CLIENT_REFUSED
    assert table.clients.reason_of(1) == "banned"


def test_a_farewell_that_is_lost_is_said_again_and_after_that_only_to_who_goes_on_sending() -> None:
    table = Table(1)
    table.connect()
    kick(table, 0)
    times = sum(len(table.serve()) for _ in range(240))
    assert times == datagrams.FAREWELL_REPEATS
    for _ in range(30):  # it sends inputs all the time, and is told at most every 0.1 s
        table.say(0, table.transmit(0))
        times += len(table.serve())
    assert times == datagrams.FAREWELL_REPEATS + 5
    assert table.receive(0, _said_again(table)) == RECEIVED_FAREWELL
    table.step()
    assert said(table, reasons.KICKED) == (1, 1)
    assert [table.serve() for _ in range(60)] == [[]] * 60


def _said_again(table: Table) -> bytes:
    while True:
        table.say(0, table.transmit(0))
        if sent := table.serve():
            return sent[0][1]


def test_the_farewell_is_of_the_session_and_nobody_else_can_answer_it() -> None:
    table = Table(1, join=False)
    client = OracleClient(token())
    table.say(0, client.request())
    [(_, challenge)] = table.serve()
    table.say(0, client.respond(challenge))
    table.serve()
    kick(table, 0)
    [(_, farewell)] = table.serve()
    assert client.farewell(farewell) == reasons.KICKED
    leave = client.seal(b"\x01")
    table.say(0, leave[:-1] + bytes([leave[-1] ^ 1]))
    table.serve()
    assert said(table, reasons.KICKED) == (1, 0)
    table.say(0, leave)
    table.serve()
    assert said(table, reasons.KICKED) == (1, 1)


@pytest.mark.parametrize("reason", [reasons.MATCH_OVER, reasons.GOING_AWAY])
def test_a_server_that_closes_tells_everybody_and_refuses_who_comes_then(reason: int) -> None:
    table = joined(3)
    table.clients.leave(2)
    for _ in range(5):
        table.step()
    close_sessions(table.wire.state, reason)
    for _ in range(5):
        table.step()
    assert said(table, reason) == (2, 2)
    assert [table.clients.reason_of(index) for index in range(3)] == [reasons.name_of(reason)] * 2 + [""]
    table.clients.reconnect(2)
    table.step()
    assert table.clients.reason_of(2) == reasons.name_of(reason)
    assert table.wire.drops_by_reason()["closed"] == 1


def test_who_fell_silent_is_told_when_they_send_again() -> None:
    table = Table(1)
    table.connect()
    quiet = [len(table.serve()) for _ in range(330)]
    assert table.wire.status.tolist() == [TIMED_OUT]
    assert quiet[-20:] == [0] * 20
    table.clients.sessions["received_at_s"] = table.now_s  # it still hears the server, so it goes on
    table.step()
    assert table.clients.reason_of(0) == "timed_out"
    table.clients.reconnect(0)
    table.connect()


def test_a_ring_that_overflows_ends_the_session_and_who_comes_back_hears_what_comes_then() -> None:
    table = joined()
    state = table.wire.state
    for _ in range(RELIABLE_RING):
        table.wire.queue_reliable(0, RELIABLE_HIT, 1, 5, 9)
    table.serve()
    assert table.wire.status.tolist() == [CONNECTED, CONNECTED]
    table.wire.queue_reliable(-1, RELIABLE_KILL, *KILL)
    table.step()
    assert table.wire.status.tolist() == [TIMED_OUT, CONNECTED]
    assert table.clients.reason_of(0) == "too_slow"
    assert table.wire.counters_by_name()["reliable_overflow"] == 1
    assert state.slots["reliable_count"][0] == 0
    heard = int(table.clients.sessions["events_count"][0])
    table.step()  # it answers
    table.clients.reconnect(0)
    table.now_s += datagrams.SESSION_S
    for _ in range(10):
        table.step()
    table.wire.queue_reliable(0, RELIABLE_KILL, *KILL)
    table.step()
    assert table.wire.status.tolist() == [CONNECTED, CONNECTED]
    assert table.clients.sessions["events_count"][0] == heard + 1
    assert said(table, reasons.TOO_SLOW) == (1, 1)


def test_a_newcomer_hears_nothing_of_who_had_the_slot_before_but_how_the_match_ended() -> None:
    table = Table(2, join=False)
    for _ in range(3):
        table.wire.queue_reliable(1, RELIABLE_HIT, 0, 10, 7)
        table.wire.queue_reliable(-1, RELIABLE_KILL, *KILL)
    assert table.wire.status.tolist() == [VACANT, VACANT]
    table.wire.queue_reliable(1, RELIABLE_MATCH_OVER, 2, 0, 0)
    assert table.wire.state.slots["reliable_count"].tolist() == [0, 1]


def test_a_session_that_another_address_takes_over_is_told_so_where_it_was() -> None:
    table = Table(1, join=False)
    first, second = OracleClient(token()), OracleClient(token(issued_at=1_800_000_001.0))
    for sender, client in ((0, first), (1, second)):
        table.now_s += datagrams.SESSION_S
        table.say(sender, client.request())
        challenge = next(
            data for to, data in table.serve() if to == sender and data[0] == datagrams.CHALLENGE
        )
        table.say(sender, client.respond(challenge))
        heard = table.serve()
    replaced = [data for to, data in heard if to == 0]
    for _ in range(60):
        table.say(1, second.seal(write_message(0, 0, 0, 1, [])))
        replaced += [data for to, data in table.serve() if to == 0]
    assert [first.farewell(data) for data in replaced] == [reasons.REPLACED] * datagrams.REPLACED_REPEATS
    assert said(table, reasons.REPLACED) == (1, 0)
    assert table.wire.state.identity["replaced"][0] == 0


def test_a_client_believes_an_unsealed_answer_when_nothing_authentic_follows() -> None:
    table = Table(1)
    answer = bytes([datagrams.VERSION, reasons.OTHER_VERSION]) + b"LDWIRE04\x02"
    table.transmit(0)
    assert table.receive(0, answer) == RECEIVED_HINT
    table.connect()  # the server was there all the same
    assert table.receive(0, answer) == RECEIVED_HINT
    table.step()
    table.now_s += 1.5
    table.step()
    assert table.clients.sessions["state"][0] == CLIENT_CONNECTED
    assert table.receive(0, answer) == RECEIVED_HINT
    table.now_s += datagrams.UNSEALED_PATIENCE_S + 0.1
    assert table.transmit(0) == b""
    assert table.clients.sessions["state"][0] == CLIENT_REFUSED
    assert table.clients.reason_of(0) == "other_version"


def test_who_sends_to_a_server_that_does_not_know_them_is_told_in_fewer_bytes() -> None:
    table, other = joined(1), Table(1, join=False)
    said_up = table.transmit(0)
    other.say(0, said_up)
    [(_, answer)] = other.serve()
    assert answer[:2] == bytes([datagrams.VERSION, reasons.UNKNOWN_SESSION])
    assert len(answer) < len(said_up)
    assert table.receive(0, answer) == RECEIVED_HINT
    table.now_s += datagrams.UNSEALED_PATIENCE_S + 0.1
    assert table.transmit(0) == b""
    assert table.clients.reason_of(0) == "unknown_session"
