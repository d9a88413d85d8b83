from __future__ import annotations

import asyncio
import socket

import pytest

from dedicated_server.protocol.server_addresses import ServerAddresses, literals_of

PUBLIC = ("203.0.113.10", "2001:db8::10")


@pytest.mark.parametrize(
    "addresses",
    [
        ServerAddresses(("127.0.0.1",)),
        ServerAddresses(PUBLIC),
        ServerAddresses(("203.0.113.10",), "10.0.0.10"),
        ServerAddresses(PUBLIC, "10.0.0.10"),
    ],
)
def test_what_a_fleet_tells_is_read_as_it_was_meant(addresses: ServerAddresses) -> None:
    assert ServerAddresses.parse(addresses.address, addresses.as_json()) == addresses


def test_a_server_with_one_address_has_no_list_beside_it() -> None:
    assert ServerAddresses(("127.0.0.1",)).as_json() == []
    assert ServerAddresses.parse("127.0.0.1", None) == ServerAddresses(("127.0.0.1",))


def test_of_a_nodes_many_addresses_those_count_that_players_and_directors_reach() -> None:
    told = [
        {"type": "Hostname", "address": "node-7"},
        {"type": "InternalIP", "address": "10.0.0.10"},
        {"type": "ExternalIP", "address": "203.0.113.10"},
        {"type": "ExternalIP", "address": "2001:db8::10"},
        {"type": "PodIP", "address": "10.8.0.3"},
    ]
    found = ServerAddresses.parse("203.0.113.10", told)
    assert found == ServerAddresses(PUBLIC, "10.0.0.10")
    assert found.everywhere == (*PUBLIC, "10.0.0.10")
    assert (found.address, found.other) == PUBLIC


async def test_a_token_gets_the_first_address_and_the_first_one_of_the_other_family() -> None:
    assert await literals_of(PUBLIC) == PUBLIC
    assert await literals_of(["203.0.113.10", "203.0.113.11"]) == ("203.0.113.10", "")
    assert await literals_of(["2001:db8::10"]) == ("2001:db8::10", "")


async def test_a_name_is_looked_up_and_ipv4_comes_first_whatever_the_order_of_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def answer(*_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        return [
            (socket.AF_INET6, socket.SOCK_DGRAM, 0, "", ("2001:db8::10", 0)),
            (socket.AF_INET, socket.SOCK_DGRAM, 0, "", ("203.0.113.10", 0)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answer)
    assert await literals_of(["game.example"]) == PUBLIC


async def test_hosts_without_any_address_are_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match=r"\S"):
        await literals_of(["no-such-host.invalid"])
    with pytest.raises(OSError, match="without any address"):
        await literals_of([])
