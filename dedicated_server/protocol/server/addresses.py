"""The address table: which slot a datagram's source address belongs to.

An open hash table, at most a quarter full: a mix of the whole address, and the slot. What is found there is
compared with the slot's own address, byte by byte, so that two addresses of one mix are never taken for each
other. It holds only addresses that answered a challenge, so nobody can fill it from outside.
"""

from __future__ import annotations

from dedicated_server.native.compilation import INNER, STAGE, Bytes, Longs, Records, int64, njit
from dedicated_server.native.mmsg import ADDRESS_BYTES
from dedicated_server.protocol.bits import copy_bytes, same_bytes

_SPREAD = int64(-7046029254386353131)  # odd, 2^64 divided by the golden ratio
_WORDS = ADDRESS_BYTES // 4


@njit(cache=True, nogil=True, **STAGE)
def address_key(address: Bytes) -> int:
    """Mix an address (uint8[ADDRESS_BYTES], ``sockaddr_in`` or ``sockaddr_in6``) to a key; 0: no address."""
    key = int64(0)
    for word in range(_WORDS):
        part = int64(0)
        for byte in range(4):
            part |= int64(address[4 * word + byte]) << int64(8 * byte)
        key = (key ^ part) * _SPREAD
        key ^= key >> int64(32)
    return key | int64(1) if address[0] != 0 else int64(0)


@njit(cache=True, nogil=True, **INNER)
def same_address(a: Bytes, b: Bytes) -> bool:
    """Whether two addresses are one."""
    return same_bytes(a, 0, b, 0, ADDRESS_BYTES)


@njit(cache=True, nogil=True, **INNER)
def _place(table: Longs, slots: Records, key: int, address: Bytes) -> int:
    """The place of the address in the table, or the empty place where it would go."""
    mask = table.shape[1] - 1
    place: int = (key >> int64(8)) & mask
    while table[0, place] != 0 and not (
        table[0, place] == key and same_address(slots[table[1, place]].address, address)
    ):
        place = (place + 1) & mask
    return place


@njit(cache=True, nogil=True, **STAGE)
def find_slot(table: Longs, slots: Records, address: Bytes) -> int:
    """The slot of an address; −1 where there is none. ``table``: int64[2, T], keys and slots."""
    key = address_key(address)
    if key == 0:
        return int64(-1)
    place = _place(table, slots, key, address)
    return table[1, place] if table[0, place] == key else int64(-1)


@njit(cache=True, nogil=True, **STAGE)
def bind_address(table: Longs, slots: Records, slot: int, address: Bytes) -> None:
    """Give an address to a slot; a slot that had it loses it. Rebuilds the table, as handshakes are rare."""
    for other in range(slots.shape[0]):
        if same_address(slots[other].address, address):
            slots[other].address[:] = 0
    copy_bytes(slots[slot].address, 0, address, 0, ADDRESS_BYTES)
    table[0, :] = 0
    for other in range(slots.shape[0]):
        key = address_key(slots[other].address)
        if key != 0:
            place = _place(table, slots, key, slots[other].address)
            table[0, place] = key
            table[1, place] = other
