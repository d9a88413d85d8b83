"""A slot's path: the address that its player's datagrams come from, and what may be sent there.

A sealed datagram names its connection (entity and tag), so a slot is found without asking where the datagram
came from, and two slots may share an address. Where it came from another address than the slot's, is
authentic and newer than all before it, the slot *moves*: the player's address translator has forgotten them,
or they went from Wi-Fi to a mobile network.

A handshake's cookie has proved the address that it ends at. An address that a slot has moved to has proved
nothing: whoever has a token could write another's address into their datagrams, so that the server sends a
stranger 256 kbit/s. Until it has proved itself it is sent at most `AMPLIFICATION` times the bytes that came
from it, and a snapshot only in ticks that are drawn. Who is there acknowledges those and no others; who is
not there has to guess, once.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import INLINE, INNER, Bytes, Records, Row, int64, njit
from dedicated_server.native.mmsg import ADDRESS_BYTES
from dedicated_server.protocol import datagrams, sealing
from dedicated_server.protocol.bits import copy_bytes, read_uint, same_bytes, set_bits, write_uint
from dedicated_server.protocol.server.state import PROVED, ServerState

AMPLIFICATION = 3  # as QUIC has it, RFC 9000, 8.1
PROOFS = 16  # drawn snapshots that have to be acknowledged: a guess of them is right once in 65,536 times
FALSE_PROOF = -(1 << 32)  # of path_proofs, once a snapshot was acknowledged that was not sent

_ONE = np.uint64(1)
_WINDOW = 64  # ticks of which a path remembers whether they were drawn


@njit(cache=True, nogil=True, **INLINE)
def find_slot(slots: Records, datagram: Bytes) -> int:
    """The slot of the connection that a sealed datagram (uint8[≥ UP_HEADER_BYTES]) names; −1: of none."""
    entity = read_uint(datagram, datagrams.CONNECTION_AT, datagrams.CONNECTION_ENTITY_BYTES)
    if entity >= slots.shape[0]:
        return int64(-1)
    tag_at = datagrams.CONNECTION_AT + datagrams.CONNECTION_ENTITY_BYTES
    tag = read_uint(datagram, tag_at, datagrams.CONNECTION_TAG_BYTES)
    return entity if tag == slots[entity].connection_tag else int64(-1)


@njit(cache=True, nogil=True, **INNER)
def is_at(slot: Row, address: Bytes) -> bool:
    """Whether a slot's datagrams come from this address."""
    return same_bytes(slot.address, 0, address, 0, ADDRESS_BYTES)


@njit(cache=True, nogil=True, **INNER)
def begin_path(slot: Row, address: Bytes) -> None:
    """A session begins at an address that its cookie has proved."""
    copy_bytes(slot.address, 0, address, 0, ADDRESS_BYTES)
    slot.path_proofs = 0
    _prove(slot)


@njit(cache=True, nogil=True, **INNER)
def _prove(slot: Row) -> None:
    copy_bytes(slot.proved_address, 0, slot.address, 0, ADDRESS_BYTES)
    slot.path_credit_bytes = PROVED


@njit(cache=True, nogil=True, **INNER)
def move(slot: Row, address: Bytes) -> None:
    """An authentic datagram, newer than all before it, came from another address than the slot's."""
    copy_bytes(slot.address, 0, address, 0, ADDRESS_BYTES)
    # Who goes to and fro between two networks need not prove the first one again.
    back = same_bytes(slot.proved_address, 0, address, 0, ADDRESS_BYTES)
    slot.path_credit_bytes = PROVED if back else 0
    slot.path_began_tick = slot.path_drawn_tick = slot.sent_newest_tick
    slot.path_drawn = slot.path_acked = np.uint64(0)
    slot.path_proofs = min(slot.path_proofs, 0)  # a false proof stays one


@njit(cache=True, nogil=True, **INNER)
def credit_path(slot: Row, length: int) -> None:
    """An authentic datagram came from the slot's address."""
    if slot.path_credit_bytes != PROVED:
        slot.path_credit_bytes += AMPLIFICATION * length


@njit(cache=True, nogil=True, **INNER)
def spend_credit(state: ServerState, entity: int, length: int, is_snapshot: bool) -> bool:
    """Whether a datagram of ``length`` bytes may go to a slot whose path has not proved itself.

    Of snapshots it is noted, as the newest tick's.
    """
    slot = state.slots[entity]
    may: bool = slot.path_credit_bytes >= length
    if is_snapshot:
        tick = slot.sent_newest_tick
        may = may and _is_drawn(state, entity, tick)
        passed = tick - slot.path_drawn_tick
        slot.path_drawn = _aged(slot.path_drawn, passed) | np.uint64(may)
        slot.path_acked = _aged(slot.path_acked, passed)
        slot.path_drawn_tick = tick
    if may:
        slot.path_credit_bytes -= length
    else:
        state.counters[datagrams.HELD_BACK] += 1
    return may


@njit(cache=True, nogil=True, **INNER)
def prove_path(slot: Row, ack_tick: int, ack_bits: int) -> None:
    """Take what a client acknowledges for a proof that it is where its path leads, or for a false one."""
    if slot.path_credit_bytes == PROVED:
        return
    since = ack_tick - slot.path_began_tick
    age = slot.path_drawn_tick - ack_tick
    if since <= 0 or age < 0 or age >= _WINDOW:
        return
    claimed = np.uint64((ack_bits << 1) | 1)
    if since < _WINDOW:
        claimed &= (_ONE << np.uint64(since)) - _ONE
    claimed <<= np.uint64(age)
    if claimed & ~slot.path_drawn != 0:
        slot.path_proofs = FALSE_PROOF
    slot.path_proofs += set_bits(claimed & slot.path_drawn & ~slot.path_acked)
    slot.path_acked |= claimed
    if slot.path_proofs >= PROOFS:
        _prove(slot)


@njit(cache=True, nogil=True, **INNER)
def _aged(ticks: np.uint64, passed: int) -> np.uint64:
    return ticks << np.uint64(passed) if passed < _WINDOW else np.uint64(0)


@njit(cache=True, nogil=True, **INNER)
def _is_drawn(state: ServerState, entity: int, tick: int) -> bool:
    """Toss a coin that only this server knows, the same one for a tick however often it is asked."""
    work = state.workspace
    write_uint(work, datagrams.AT_HASHED, entity | tick << 16, 8)
    at = work.ctypes.data
    key_at = state.identity[0].draw_key.ctypes.data
    sealing.short_hash(at + datagrams.AT_MAC, at + datagrams.AT_HASHED, 8, key_at)
    return bool(work[datagrams.AT_MAC] & 1)
