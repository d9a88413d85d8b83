from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.native.mmsg import ADDRESS_BYTES, sockaddr
from dedicated_server.protocol.server.addresses import address_key, bind_address, find_slot
from dedicated_server.protocol.server.state import SLOT

HOSTS = ("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1", "2001:db8::1", "2001:db8::1:1", "2001:db8:1::1")
PORTS = range(1, 10)

Peer = tuple[str, int]
peers = st.tuples(st.sampled_from(HOSTS), st.sampled_from(PORTS))


@given(st.lists(st.tuples(st.integers(0, 15), peers), max_size=60))
def test_the_table_finds_what_a_dictionary_would(bindings: list[tuple[int, Peer]]) -> None:
    slots = np.zeros(16, SLOT)
    table = np.zeros((2, 64), np.int64)
    naive: dict[Peer, int] = {}
    for slot, peer in bindings:
        bind_address(table, slots, slot, sockaddr(*peer))
        naive = {p: s for p, s in naive.items() if s != slot and p != peer}
        naive[peer] = slot
    for host in HOSTS:
        for port in PORTS:
            assert find_slot(table, slots, sockaddr(host, port)) == naive.get((host, port), -1)
    assert find_slot(table, slots, np.zeros(ADDRESS_BYTES, np.uint8)) == -1


def test_an_address_whose_mix_is_that_of_another_is_not_taken_for_it() -> None:
    slots = np.zeros(2, SLOT)
    table = np.zeros((2, 8), np.int64)
    bind_address(table, slots, 0, sockaddr("192.0.2.1", 1))
    bind_address(table, slots, 1, sockaddr("192.0.2.1", 2))
    stranger = sockaddr("2001:db8::1", 3)
    place = (address_key(stranger) >> 8) & 7
    table[:] = 0
    table[0, place] = address_key(stranger)  # as if the mix of slot 0's address were the same

    assert find_slot(table, slots, stranger) == -1


@given(st.integers(0, ADDRESS_BYTES - 1), st.integers(1, 255))
def test_every_byte_of_an_address_counts(byte: int, change: int) -> None:
    here = np.array(sockaddr("2001:db8::1", 7_001))
    there = here.copy()
    there[byte] ^= change

    assert address_key(here) != address_key(there)
