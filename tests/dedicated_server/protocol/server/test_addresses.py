from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.native.mmsg import sockaddr
from dedicated_server.protocol.server.admission import address_key, bind_address, find_slot
from dedicated_server.protocol.server.state import SLOT


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(1, 40)), max_size=60))
def test_the_table_finds_what_a_dictionary_would(bindings: list[tuple[int, int]]) -> None:
    slots = np.zeros(16, SLOT)
    table = np.zeros((2, 64), np.int64)
    naive: dict[int, int] = {}
    for slot, port in bindings:
        bind_address(table, slots, slot, sockaddr("192.0.2.1", port))
        naive = {p: s for p, s in naive.items() if s != slot and p != port}
        naive[port] = slot
    for port in range(1, 41):
        assert find_slot(table, address_key(sockaddr("192.0.2.1", port))) == naive.get(port, -1)
    assert find_slot(table, 0) == -1
