"""Which client a datagram is from: a table from source address to slot, at most a quarter full.

Only addresses that answered a challenge are in it, so nobody can fill it from outside.
"""

from __future__ import annotations

from dedicated_server.native.compilation import INNER, STAGE, njit
from dedicated_server.protocol.arrays import Bytes, Longs, Records, int64

_SPREAD = int64(-7046029254386353131)  # odd, 2^64 divided by the golden ratio


@njit(cache=True, nogil=True, **STAGE)
def address_key(address: Bytes) -> int:
    """The 8 identifying bytes of a ``sockaddr_in`` (family, port, IPv4 address) as int64."""
    key = int64(0)
    for byte in range(8):
        key |= int64(address[byte]) << int64(8 * byte)
    return key


@njit(cache=True, nogil=True, **INNER)
def _place(table: Longs, key: int) -> int:
    """Where the key is, or where it would go."""
    mask = table.shape[1] - 1
    place: int = ((key * _SPREAD) >> int64(32)) & mask
    while table[0, place] != 0 and table[0, place] != key:
        place = (place + 1) & mask
    return place


@njit(cache=True, nogil=True, **STAGE)
def find(table: Longs, key: int) -> int:
    """The slot of an address, or −1."""
    place = _place(table, key)
    return table[1, place] if key != 0 and table[0, place] == key else int64(-1)


@njit(cache=True, nogil=True, **STAGE)
def bind(table: Longs, slots: Records, slot: int, address: Bytes) -> None:
    """Give an address to a slot; whoever had it loses it. Builds the table anew: handshakes are rare."""
    key = address_key(address)
    for other in range(slots.shape[0]):
        if address_key(slots[other].address) == key:
            slots[other].address[:] = 0
    for byte in range(16):
        slots[slot].address[byte] = address[byte]
    table[0, :] = 0
    for other in range(slots.shape[0]):
        key = address_key(slots[other].address)
        if key != 0:
            place = _place(table, key)
            table[0, place] = key
            table[1, place] = other
