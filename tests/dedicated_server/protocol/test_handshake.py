from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from dedicated_server.protocol import connect_token, datagrams
from dedicated_server.protocol.client.receive import RECEIVED_DROPPED
from dedicated_server.protocol.client.state import CLIENT_CONNECTED, CLIENT_REFUSED, CLIENT_TIMED_OUT
from dedicated_server.protocol.datagrams import DROP_REASONS, HANDSHAKES_PER_BATCH
from tests.dedicated_server.protocol.oracle import OracleClient
from tests.dedicated_server.protocol.rig import NOW_S, Table, token

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
        ({"fleet_key": bytes(32)}, "token_forged"),
        ({"match_id": UUID(int=7)}, "other_match"),
        ({"port": 7002}, "other_server"),
        ({"address": "203.0.113.8"}, "other_server"),
        ({"player_id": 77}, "other_player"),
        ({"entity": 9}, "other_player"),
    ],
)
def test_a_request_with_a_wrong_token_is_dropped_silently(changed: dict[str, Any], reason: str) -> None:
    table = Table(2, join=False)
    table.say(0, OracleClient(token(**changed)).request())
    assert table.serve() == []
    assert drops(table) == {reason: 1}


@pytest.mark.parametrize("of_response", [False, True])
def test_a_player_is_told_that_their_token_has_expired(of_response: bool) -> None:
    table = Table(1, join=False)
    client = OracleClient(token(expires_at=NOW_S + 0.1))
    said = client.respond(challenged(table, client)) if of_response else client.request()
    table.wire.token_ahead_s = 300.0
    table.say(0, said)
    [(_, refusal)] = table.serve()
    reason, refused_ms = client.refused(refusal)
    assert (reason, refused_ms) == (datagrams.REFUSED_EXPIRED, int((table.now_s + 300.0) * 1000))
    assert len(refusal) < len(said)
    assert drops(table) == {"expired": 1}
    assert table.wire.counters_by_name()["refusals"] == 1


def test_the_compiled_client_asks_no_more_once_its_token_is_refused_and_again_with_a_newer_one() -> None:
    table = Table(1)
    table.wire.token_ahead_s = 7200.0
    table.step()
    assert table.clients.sessions["state"][0] == CLIENT_REFUSED
    assert table.clients.sessions["refusal"][0] == datagrams.REFUSED_EXPIRED
    table.now_s += 1.0
    assert table.transmit(0) == b""
    table.wire.token_ahead_s = 0.0
    table.clients.reconnect(0)
    table.connect()


def test_an_expired_token_that_this_server_would_not_take_anyway_is_not_answered() -> None:
    table = Table(1, join=False)
    for changed in ({"fleet_key": bytes(32)}, {"match_id": UUID(int=7)}, {"player_id": 77}):
        table.say(0, OracleClient(token(expires_at=NOW_S - 1, **changed)).request())
    assert table.serve() == []
    assert drops(table) == {"expired": 3}


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
    assert table.serve() == []
    assert drops(table) == {"other_player": 1}
    assert table.wire.status.tolist() == [0]


def test_a_director_of_another_match_is_not_answered() -> None:
    table = Table(1, join=False)
    stranger = token(entity=connect_token.DIRECTOR_ENTITY, player_id=0, match_id=UUID(int=7))
    table.say(0, OracleClient(stranger).request())
    assert table.serve() == []
    assert drops(table) == {"other_match": 1}


@pytest.mark.parametrize(
    ("place", "reason"),
    [(1, "version"), (9, "version"), (10, "token_forged"), (20, "token_forged"), (100, "token_forged")],
)
def test_a_request_changed_on_its_way_is_dropped_silently(place: int, reason: str) -> None:
    table = Table(1, join=False)
    request = bytearray(OracleClient(token()).request())
    request[place] ^= 0x80
    table.say(0, bytes(request))
    assert table.serve() == []
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
    table.say(0, old_response)
    table.serve()
    assert drops(table) == {"response_replayed": 1}


def test_a_token_serves_one_address_only() -> None:
    table = Table(1, join=False)
    client = OracleClient(token())
    admit(table, client, sender=0)
    table.serve()
    table.say(5, client.request())
    assert [receiver for receiver, _ in table.serve()] == [0]
    assert drops(table) == {"token_used": 1}


def test_a_token_issued_later_moves_the_player_to_another_address_and_voids_the_older() -> None:
    table = Table(1, join=False)
    first, second = OracleClient(token()), OracleClient(token(issued_at=NOW_S))
    admit(table, first, sender=0)
    table.serve()
    admit(table, second, sender=5)
    assert [receiver for receiver, _ in table.serve()] == [5]
    table.say(0, first.request())
    table.say(0, first.seal(b"\0" * 16))
    table.serve()
    assert drops(table) == {"token_used": 1, "unknown_address": 1}
    assert table.wire.counters_by_name()["reconnects"] == 1


def test_a_session_never_reuses_the_keys_of_an_earlier_one() -> None:
    table = Table(1, join=False)
    first, second = OracleClient(token()), OracleClient(b"")
    second.token = first.token
    admit(table, first)
    table.serve()
    admit(table, second)
    table.serve()
    assert first.send_key != second.send_key
    assert first.receive_key != second.receive_key
    assert first.send_key != second.receive_key


def test_a_flood_of_requests_is_looked_at_up_to_a_bound() -> None:
    table = Table(1, join=False)
    request = OracleClient(token(fleet_key=bytes(32))).request()
    for _ in range(HANDSHAKES_PER_BATCH + 40):
        table.say(3, request)
    table.serve()
    assert drops(table) == {"token_forged": HANDSHAKES_PER_BATCH, "handshake_rate": 40}


def test_a_full_batch_of_good_requests_fits_the_rows_to_send() -> None:
    table = Table(2)
    table.connect()
    request = b"\0" + table.clients.sessions["request"][0].tobytes()[1:]
    for _ in range(HANDSHAKES_PER_BATCH + 1):
        table.say(0, request)
    assert len(table.serve()) == HANDSHAKES_PER_BATCH + 2


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
