from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.native import sodium_library
from dedicated_server.protocol import connect_token
from dedicated_server.protocol.connect_token import ConnectTokenError
from tests.dedicated_server.protocol.rig import FLEET_KEY, HOST, MATCH_ID, NOW_S, PORT, token


def test_both_parts_of_a_token_say_the_same() -> None:
    sealed = token(3)
    public = connect_token.read_public(sealed)
    private = connect_token.open_private(FLEET_KEY, sealed)
    assert (private.match_id, private.player_id, private.entity, private.team) == (MATCH_ID, 1003, 3, 3)
    assert (private.address, private.port) == (public.address, public.port) == (HOST, PORT)
    assert (private.issued_at, private.expires_at) == (NOW_S - 1.0, NOW_S + 3600.0)
    assert private.client_to_server_key == public.client_to_server_key
    assert private.server_to_client_key == public.server_to_client_key
    assert private.client_to_server_key != private.server_to_client_key


def test_the_part_that_travels_over_udp_holds_no_key_in_the_clear() -> None:
    sealed = token()
    public = connect_token.read_public(sealed)
    assert public.client_to_server_key not in public.request_part
    assert public.server_to_client_key not in public.request_part


def test_no_two_tokens_share_a_key() -> None:
    first, second = connect_token.read_public(token()), connect_token.read_public(token())
    assert first.client_to_server_key != second.client_to_server_key


def test_another_fleets_key_does_not_open_it() -> None:
    with pytest.raises(ConnectTokenError, match="not sealed with this fleet's key"):
        connect_token.open_private(bytes(32), token())


@given(st.integers(0, 174), st.integers(1, 255))
def test_any_change_to_the_request_part_is_noticed(place: int, change: int) -> None:
    sealed = bytearray(token())
    sealed[place] ^= change
    with pytest.raises(ConnectTokenError):
        connect_token.open_private(FLEET_KEY, bytes(sealed))


@given(st.binary(max_size=400))
def test_random_bytes_are_no_token(data: bytes) -> None:
    with pytest.raises(ConnectTokenError):
        connect_token.read_public(data)
    with pytest.raises(ConnectTokenError):
        connect_token.open_private(FLEET_KEY, data)


@pytest.mark.parametrize("address", ["127.0.0.1", "2001:db8::7"])
def test_addresses_of_both_kinds_survive(address: str) -> None:
    public = connect_token.read_public(token(address=address))
    assert (public.address, public.other_address) == (address, "")
    assert public.addresses() == public.addresses("ipv6") == public.addresses("ipv4") == (address,)


def test_one_token_has_an_address_of_each_family_and_a_client_takes_the_one_it_prefers() -> None:
    public = connect_token.read_public(token(address="203.0.113.7", other_address="2001:db8::7"))
    assert (public.address, public.other_address) == ("203.0.113.7", "2001:db8::7")
    assert public.addresses() == public.addresses("ipv4") == ("203.0.113.7", "2001:db8::7")
    assert public.addresses("ipv6") == ("2001:db8::7", "203.0.113.7")


def test_a_short_key_and_an_unknown_cipher_are_refused_at_the_source() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        token(fleet_key=b"short")
    with pytest.raises(ValueError, match="no such cipher"):
        token(cipher=9)


def test_the_tokens_of_seats_are_those_that_would_be_sealed_one_by_one() -> None:
    drawn = bytes((7 * place + place // 88) % 256 for place in range(3 * connect_token.RANDOM_BYTES))
    roster = [(1000, 0, 0), (2**63 - 1, 5, 1), (7, 2, 0)]
    terms: dict[str, Any] = {
        "match_id": MATCH_ID,
        "address": HOST,
        "port": PORT,
        "issued_at": NOW_S,
        "expires_at": NOW_S + 60.0,
    }
    ciphers = [1, 2, 1]
    tokens = connect_token.seal_roster(FLEET_KEY, roster, random=drawn, ciphers=ciphers, **terms)
    assert tokens == [
        connect_token.seal(
            FLEET_KEY, player_id=player, entity=entity, team=team, **terms,
            cipher=ciphers[place], random=drawn[88 * place : 88 * (place + 1)],
        )
        for place, (player, entity, team) in enumerate(roster)
    ]  # fmt: skip
    assert len(set(tokens)) == 3
    with pytest.raises(ValueError, match="32 bytes"):
        connect_token.seal_roster(b"short", roster, random=drawn, ciphers=ciphers, **terms)
    with pytest.raises(ValueError, match="88 random bytes each"):
        connect_token.seal_roster(FLEET_KEY, roster, random=drawn[1:], ciphers=ciphers, **terms)
    with pytest.raises(ValueError, match="88 random bytes, not 87"):
        token(random=drawn[:87])


@pytest.mark.parametrize("aes", [False, True])
def test_aegis_is_for_clients_that_have_it_where_servers_have_aes(
    aes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sodium_library, "has_aes", lambda: aes)
    chacha, aegis = connect_token.CIPHER_CHACHA20_POLY1305, connect_token.CIPHER_AEGIS_128L
    for names, cipher in (
        ((), chacha),
        (("chacha20-poly1305",), chacha),
        (("rot13", "aegis-256"), chacha),
        (("aegis-128l",), aegis if aes else chacha),
        (("aegis-128l", "chacha20-poly1305", "aegis-128l"), aegis if aes else chacha),
    ):
        assert connect_token.cipher_for(connect_token.known_ciphers(names)) == cipher
    assert connect_token.cipher_for(0) == chacha  # a ticket of an earlier release, which did not say
