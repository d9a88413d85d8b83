from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from dedicated_server.protocol import connect_token, datagrams, reasons
from dedicated_server.protocol.client.receive import RECEIVED_DROPPED, RECEIVED_SNAPSHOT
from dedicated_server.protocol.client.state import (
    CLIENT_CONNECTED,
    CLIENT_REFUSED,
    CLIENT_REQUESTING,
    CLIENT_TIMED_OUT,
)
from dedicated_server.protocol.datagrams import (
    ASK_AGAIN_S,
    DROP_REASONS,
    LEAST_RESPONSES_PER_BATCH,
    REQUESTS_PER_BATCH,
    SESSION_S,
)
from tests.dedicated_server.protocol.oracle import OracleClient
from tests.dedicated_server.protocol.rig import HOST, NOW_S, Table, token

BOTH_CIPHERS = pytest.mark.parametrize("cipher", list(connect_token.CIPHERS))


def drops(table: Table) -> dict[str, int]:
    return {reason: count for reason, count in table.wire.drops_by_reason().items() if count}


def challenged(table: Table, client: OracleClient, sender: int = 0) -> bytes:
    table.say(sender, client.request())
    [(receiver, challenge)] = [sent for sent in table.serve() if sent[1][0] == datagrams.CHALLENGE]
    assert receiver == sender
    return challenge


def admit(table: Table, client: OracleClient, sender: int = 0) -> bytes:
    response = client.respond(challenged(table, client, sender))
    table.say(sender, response)
    return response


@BOTH_CIPHERS
def test_the_oracle_client_gets_in_and_reads_its_first_snapshot(cipher: int) -> None:
    table = Table(3, join=False)
    client = OracleClient(token(1, cipher=cipher))
    admit(table, client, sender=1)
    [(receiver, datagram)] = table.serve()
    assert receiver == 1
    snapshot = client.open(datagram)
    assert snapshot is not None
    assert snapshot.tick == table.tick
    assert snapshot.full == {0, 1, 2}
    assert table.wire.status.tolist() == [0, 1, 0]
    assert table.wire.newly_connected.tolist() == [0, 1, 0]


@BOTH_CIPHERS
def test_the_compiled_client_gets_in(cipher: int) -> None:
    table = Table(2, cipher)
    table.connect()
    assert table.clients.sessions["state"].tolist() == [CLIENT_CONNECTED] * 2
    assert drops(table) == {}


def test_every_reply_before_the_slot_is_smaller_than_the_request() -> None:
    table = Table(1, join=False)
    client = OracleClient(token())
    challenge = challenged(table, client)
    assert len(challenge) < len(client.request())
    assert table.wire.status.tolist() == [0]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"match_id": UUID(int=7)}, "other_match"),
        ({"port": 7002}, "other_server"),
        ({"address": "203.0.113.8"}, "other_server"),
        ({"player_id": 77}, "other_player"),
        ({"entity": 9}, "other_player"),
    ],
)
@pytest.mark.parametrize("expired", [False, True])
def test_a_request_with_a_wrong_token_is_told_what_is_wrong(
    changed: dict[str, Any], reason: str, expired: bool
) -> None:
    table = Table(2, join=False)
    client = OracleClient(token(**changed, expires_at=NOW_S + (-1 if expired else 60)))
    table.say(0, client.request())
    [(_, refusal)] = table.serve()
    assert reasons.name_of(client.refused(refusal)[0]) == reason
    assert drops(table) == {"expired" if expired else reason: 1}


@pytest.mark.parametrize("expired", [False, True])
def test_a_token_that_does_not_open_is_answered_under_no_key(expired: bool) -> None:
    table = Table(2, join=False)
    client = OracleClient(token(fleet_key=bytes(32), expires_at=NOW_S + (-1 if expired else 60)))
    table.say(0, client.request())
    [(_, answer)] = table.serve()
    assert answer == bytes([datagrams.VERSION, reasons.UNKNOWN_TOKEN]) + b"LDWIRE03" + b"\x06"


@pytest.mark.parametrize("kind", [datagrams.REQUEST, datagrams.RESPONSE])
@pytest.mark.parametrize("length", [12, 100, datagrams.REQUEST_BYTES, 1200])
@pytest.mark.parametrize("said", [b"LDWIRE02\x01", b"LDWIRE04\x01", b"LDWIRE99\x07", b"LDWIRE03\x07"])
def test_another_version_is_told_ours_in_fewer_bytes_than_it_sent(
    kind: int, length: int, said: bytes
) -> None:
    table = Table(1, join=False)
    table.say(0, (bytes([kind]) + said).ljust(length, b"\xaa"))
    [(_, answer)] = table.serve()
    assert answer == bytes([datagrams.VERSION, reasons.OTHER_VERSION]) + connect_token.VERSION + b"\x06"
    assert len(answer) < length
    assert drops(table) == {"version": 1}


@pytest.mark.parametrize("said", [b"LDWIRE02\x01", b"LDWIR", b"GETHTTP2" + bytes(90), bytes(1100)])
def test_what_is_no_larger_than_an_answer_or_of_no_version_gets_none(said: bytes) -> None:
    table = Table(1, join=False)
    table.say(0, bytes([datagrams.REQUEST]) + said)
    assert table.serve() == []


def test_a_flood_that_proves_nothing_gets_a_few_answers_a_batch() -> None:
    table = Table(1, join=False)
    for number in range(100):
        table.say(number, OracleClient(token(fleet_key=bytes(32))).request())
    assert len(table.serve()) == datagrams.UNSEALED_PER_BATCH
    assert table.serve() == []


def test_a_server_of_both_families_takes_tokens_that_name_either_of_its_addresses() -> None:
    table = Table(2, join=False, other_host="2001:db8::7")
    for number, name in enumerate((HOST, "2001:db8::7")):
        challenged(table, OracleClient(token(number, address=name)))
    stranger = OracleClient(token(address="2001:db8::8"))
    table.say(0, stranger.request())
    [(_, refusal)] = table.serve()
    assert stranger.refused(refusal)[0] == reasons.OTHER_SERVER
    assert drops(table) == {"other_server": 1}


@pytest.mark.parametrize("of_response", [False, True])
def test_a_player_is_told_that_their_token_has_expired(of_response: bool) -> None:
    table = Table(1, join=False)
    client = OracleClient(token(expires_at=NOW_S + 0.1))
    said = client.respond(challenged(table, client)) if of_response else client.request()
    table.wire.token_ahead_s = 300.0
    table.say(0, said)
    [(_, refusal)] = table.serve()
    reason, refused_ms = client.refused(refusal)
    assert (reason, refused_ms) == (reasons.EXPIRED, int((table.now_s + 300.0) * 1000))
    assert len(refusal) < len(said)
    assert drops(table) == {"expired": 1}
    assert table.wire.counters_by_name()["expired_told"] == 1


def test_the_compiled_client_asks_no_more_once_its_token_is_refused_and_again_with_a_newer_one() -> None:
    table = Table(1)
    table.wire.token_ahead_s = 7200.0
    table.step()
    assert table.clients.sessions["state"][0] == CLIENT_REFUSED
    assert table.clients.sessions["reason"][0] == reasons.EXPIRED
    table.now_s += 1.0
    assert table.transmit(0) == b""
    table.wire.token_ahead_s = 0.0
    table.clients.reconnect(0)
    table.connect()


def test_a_forged_refusal_does_not_stop_the_client() -> None:
    table = Table(1)
    table.transmit(0)
    for forged in (bytes([datagrams.REFUSAL, 1]) + bytes(24), bytes([datagrams.REFUSAL, 1])):
        assert table.receive(0, forged) == 0
    assert table.clients.drops_by_reason()["refusal_forged"] == 1
    table.connect()


def test_a_director_is_answered_whoever_has_the_slots_and_gets_none() -> None:
    table = Table(1, join=False)
    director = OracleClient(token(entity=connect_token.DIRECTOR_ENTITY, player_id=0))
    table.say(0, director.respond(challenged(table, director)))
    [(_, refusal)] = table.serve()
    assert reasons.name_of(director.refused(refusal)[0]) == "other_player"
    assert drops(table) == {"other_player": 1}
    assert table.wire.status.tolist() == [0]


def test_a_director_of_another_match_is_told_so() -> None:
    table = Table(1, join=False)
    stranger = token(entity=connect_token.DIRECTOR_ENTITY, player_id=0, match_id=UUID(int=7))
    table.say(0, OracleClient(stranger).request())
    [(_, refusal)] = table.serve()
    assert reasons.name_of(OracleClient(stranger).refused(refusal)[0]) == "other_match"
    assert drops(table) == {"other_match": 1}


@pytest.mark.parametrize(
    ("place", "reason"),
    [(1, "version"), (9, "version"), (10, "token_forged"), (20, "token_forged"), (100, "token_forged")],
)
def test_a_request_changed_on_its_way_begins_nothing(place: int, reason: str) -> None:
    table = Table(1, join=False)
    request = bytearray(OracleClient(token()).request())
    request[place] ^= 0x80
    table.say(0, bytes(request))
    assert all(answer[0] == datagrams.VERSION for _, answer in table.serve())
    assert drops(table) == {reason: 1}


def test_handshake_datagrams_of_other_lengths_are_dropped() -> None:
    table = Table(1, join=False)
    client = OracleClient(token())
    response = client.respond(challenged(table, client))
    for datagram in (client.request()[:-1], client.request() + b"\0", response[:-1], response + b"\0"):
        table.say(0, datagram)
    assert table.serve() == []
    assert drops(table) == {"length": 4}


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (176, "response_forged"),  # the lengths of the client's tables
        (186, "cookie_forged"),
        (207, "cookie_forged"),
        (208, "cookie_forged"),
        (223, "cookie_forged"),
        (232, "response_forged"),
    ],
)
def test_a_response_changed_on_its_way_gets_no_slot(place: int, reason: str) -> None:
    table = Table(1, join=False)
    client = OracleClient(token())
    response = bytearray(client.respond(challenged(table, client)))
    response[place] ^= 0x80 if place != 208 else 0x01
    table.say(0, bytes(response))
    assert table.serve() == []
    assert table.wire.status.tolist() == [0]
    assert set(drops(table)) <= {reason, "challenge_expired"}


def test_a_challenge_answered_from_another_address_gets_no_slot() -> None:
    table = Table(1, join=False)
    client = OracleClient(token())
    table.say(7, client.respond(challenged(table, client, sender=0)))
    assert table.serve() == []
    assert drops(table) == {"cookie_forged": 1}


def test_a_challenge_is_void_after_five_seconds() -> None:
    table = Table(1, join=False)
    client = OracleClient(token())
    response = client.respond(challenged(table, client))
    table.now_s += 5.1
    table.say(0, response)
    assert table.serve() == []
    assert drops(table) == {"challenge_expired": 1}


def test_a_replayed_response_does_not_begin_the_session_again() -> None:
    table = Table(1, join=False)
    client = OracleClient(token())
    response = admit(table, client)
    first = table.serve()
    table.say(0, response)
    assert [datagram[1:5] for _, datagram in table.serve()] == [b"\x01\0\0\0"]
    assert client.open(first[0][1]) is not None
    assert drops(table) == {"response_replayed": 1}


def test_an_older_challenge_cannot_replace_a_newer_session() -> None:
    table = Table(1, join=False)
    old, new = OracleClient(token()), OracleClient(b"")
    new.token = old.token
    old_response = old.respond(challenged(table, old))
    admit(table, new)
    table.serve()
    table.now_s += SESSION_S
    table.say(0, old_response)
    table.serve()
    assert drops(table) == {"response_replayed": 1}


def test_the_same_token_from_another_address_takes_the_slot_with_a_valid_response() -> None:
    """A restarted client: it has the token it had, and another port."""
    table = Table(1, join=False)
    client = OracleClient(token())
    admit(table, client, sender=0)
    table.serve()
    table.now_s += SESSION_S
    again = OracleClient(client.token)
    admit(table, again, sender=5)
    [(receiver, snapshot), (old, _)] = table.serve()
    assert (receiver, old) == (5, 0)  # where it was it is told that it is replaced
    assert again.open(snapshot) is not None
    assert drops(table) == {}
    assert table.wire.counters_by_name()["reconnects"] == 1


def test_who_only_overheard_a_token_takes_no_slot_with_it() -> None:
    table = Table(1, join=False)
    client, thief = OracleClient(token()), OracleClient(b"")
    admit(table, client)
    table.serve()
    table.now_s += SESSION_S
    table.say(5, client.request())
    [challenge] = [datagram for receiver, datagram in table.serve() if receiver == 5]
    thief.token = client.token[:175] + bytes(86)  # what goes over the line
    response = b"\2" + thief.request()[1:] + challenge[1:49]
    table.say(5, response + bytes(16))
    assert [receiver for receiver, _ in table.serve()] == [0]
    assert drops(table) == {"response_forged": 1}


def test_a_token_issued_later_moves_the_player_to_another_address_and_voids_the_older() -> None:
    table = Table(1, join=False)
    first, second = OracleClient(token()), OracleClient(token(issued_at=NOW_S))
    admit(table, first, sender=0)
    table.serve()
    table.now_s += SESSION_S
    admit(table, second, sender=5)
    assert [receiver for receiver, _ in table.serve()] == [5, 0]  # and the older one that it is replaced
    table.say(0, first.request())
    table.say(0, first.seal(b"\0" * 16))
    table.serve()
    assert drops(table) == {"token_used": 1, "unknown_connection": 1}
    assert table.wire.counters_by_name()["reconnects"] == 1


def test_a_session_never_reuses_the_keys_of_an_earlier_one() -> None:
    table = Table(1, join=False)
    first, second = OracleClient(token()), OracleClient(b"")
    second.token = first.token
    admit(table, first)
    table.serve()
    table.now_s += SESSION_S
    admit(table, second)
    table.serve()
    assert first.send_key != second.send_key
    assert first.receive_key != second.receive_key
    assert first.send_key != second.receive_key


def test_a_slot_begins_one_session_a_second_however_often_its_player_asks() -> None:
    table = Table(2, join=False)
    client = OracleClient(token())
    responses = []
    for _ in range(40):
        table.say(0, client.request())
    responses = [client.respond(challenge) for _, challenge in table.serve()]
    for response in responses:
        table.say(0, response)
    table.serve()
    assert drops(table) == {"session_rate": 39}
    assert table.wire.counters_by_name()["connects"] == 1
    table.now_s += SESSION_S
    for response in responses:
        table.say(0, response)
    table.serve()
    assert drops(table) == {"session_rate": 39 + 38, "response_replayed": 1}
    assert table.wire.counters_by_name()["reconnects"] == 1


def test_forged_responses_take_nothing_of_what_real_ones_may_cost() -> None:
    """They are found by their cookie, before a token is opened, and are not counted as handshakes."""
    table = Table(2, join=False)
    clients = [OracleClient(token(entity)) for entity in range(2)]
    responses = [client.respond(challenged(table, client, number)) for number, client in enumerate(clients)]
    forged = bytearray(responses[0])
    forged[220] ^= 1
    for _ in range(2 * REQUESTS_PER_BATCH):
        table.say(7, bytes(forged))
    for number, response in enumerate(responses):
        table.say(number, response)
    table.serve()
    assert drops(table) == {"cookie_forged": 2 * REQUESTS_PER_BATCH}
    assert table.wire.status.tolist() == [1, 1]


def test_a_flood_of_requests_keeps_nobody_out_who_was_challenged() -> None:
    table = Table(2, join=False)
    client = OracleClient(token())
    response = client.respond(challenged(table, client))
    request = OracleClient(token(1, fleet_key=bytes(32))).request()
    for _ in range(REQUESTS_PER_BATCH + 40):
        table.say(3, request)
    table.say(0, response)
    table.serve()
    assert table.wire.status.tolist() == [1, 0]


def test_a_match_that_fills_at_once_is_let_in_over_some_ticks() -> None:
    players = 3 * LEAST_RESPONSES_PER_BATCH
    table = Table(players)
    table.step()
    table.step()
    assert int((table.wire.status == 1).sum()) == LEAST_RESPONSES_PER_BATCH
    assert drops(table) == {"handshake_rate": players - LEAST_RESPONSES_PER_BATCH}
    for _ in range(18):
        table.step()
    assert table.wire.status.tolist() == [1] * players


def test_a_flood_of_requests_is_looked_at_up_to_a_bound() -> None:
    table = Table(1, join=False)
    request = OracleClient(token(fleet_key=bytes(32))).request()
    for _ in range(REQUESTS_PER_BATCH + 40):
        table.say(3, request)
    table.serve()
    assert drops(table) == {"token_forged": REQUESTS_PER_BATCH, "handshake_rate": 40}


def test_a_full_batch_of_good_requests_fits_the_rows_to_send() -> None:
    table = Table(2)
    table.connect()
    request = b"\0" + table.clients.sessions["request"][0].tobytes()[1:]
    for _ in range(REQUESTS_PER_BATCH + 1):
        table.say(0, request)
    assert len(table.serve()) == REQUESTS_PER_BATCH + 2


def test_a_forged_challenge_does_not_distract_the_client() -> None:
    table = Table(1)
    table.say(0, table.transmit(0))
    [(_, challenge)] = table.serve()
    forged = challenge[:-1] + bytes([challenge[-1] ^ 1])
    assert table.receive(0, forged) == RECEIVED_DROPPED
    assert table.receive(0, challenge[:-1]) == RECEIVED_DROPPED
    table.receive(0, challenge)
    assert table.receive(0, challenge) == RECEIVED_DROPPED
    table.connect()
    names = {name for name, count in table.clients.drops_by_reason().items() if count}
    assert names == {"challenge_forged", "length", "state"}


def step_losing(table: Table, client: int, kind: int, ticks: int) -> None:
    """Ticks of client 0 in which nothing of one kind arrives."""
    for _ in range(ticks):
        said = table.transmit(client)
        if said and said[0] != kind:
            table.say(client, said)
        for _, datagram in table.serve():
            if datagram[0] != kind:
                table.receive(client, datagram)


def test_a_client_whose_responses_were_lost_asks_again_and_gets_in() -> None:
    """The challenge that it answers is void by then."""
    table = Table(1)
    step_losing(table, 0, datagrams.RESPONSE, 330)
    assert table.clients.sessions["state"][0] != CLIENT_CONNECTED
    step_losing(table, 0, -1, 9)
    assert table.clients.sessions["state"][0] == CLIENT_CONNECTED
    assert drops(table) == {}


def test_a_client_that_asks_again_still_hears_the_session_that_it_began() -> None:
    """A line of more than a second: the first snapshot comes when the client is asking again."""
    table = Table(1)
    step_losing(table, 0, datagrams.FROM_SERVER, 5)
    late = [datagram for _, datagram in table.serve()]
    step_losing(table, 0, datagrams.FROM_SERVER, round(ASK_AGAIN_S * 60) - 2)
    said: list[bytes] = []
    while not said or said[-1][:1] != bytes([datagrams.REQUEST]):
        said.append(table.transmit(0))
        table.now_s += 1 / 60
    assert table.clients.sessions["state"][0] == CLIENT_REQUESTING
    assert table.receive(0, late[0]) == RECEIVED_SNAPSHOT
    assert table.clients.sessions["state"][0] == CLIENT_CONNECTED


def test_a_client_repeats_each_tenth_of_a_second_and_gives_up_after_ten() -> None:
    table = Table(1)
    sent = []
    for _ in range(640):
        sent.append(len(table.transmit(0)))
        table.now_s += 1 / 60
    assert 95 <= sum(length > 0 for length in sent) <= 101
    assert set(sent) == {0, datagrams.REQUEST_BYTES}
    assert table.clients.sessions["state"][0] == CLIENT_TIMED_OUT


def test_all_reasons_have_a_name_of_their_own() -> None:
    assert len(set(DROP_REASONS)) == len(DROP_REASONS)
