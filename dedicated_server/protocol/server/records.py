"""The records of a snapshot: which of them fit, and their bits, most of which other clients get as well.

A record is three parts, bit-packed behind each other::

    gap       the entity indexes between the previous record's and this one (−1 before the first), as a Rice
              code: gap >> gap_bits one bits and a zero bit, then the low gap_bits bits of the gap
    baseline  0: base_age ticks ago, as the head says
              1: its own age in 6 bits; an age of 0 means none: the record is whole
    body      whole, or a difference, as `delta` has it

Two caches live for a tick. A body is the same for every client that needs it: each (entity, age) is encoded
once, 650 encodings instead of 8,500 for 100 players who all see each other. And where all see all, whole runs
are the same: the records of the same entities out of 64, all against the head's baseline, are put together
once and copied a word at a time, which takes 45 µs a tick instead of 140.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import INNER, Ints, Longs, Words, int64, njit
from dedicated_server.protocol import datagrams
from dedicated_server.protocol.bits import bit_length, put, set_bits, trailing_zeros
from dedicated_server.protocol.delta import CODE_WORDS, write_difference, write_whole
from dedicated_server.protocol.fields import AGE_BITS, HISTORY_TICKS
from dedicated_server.protocol.server.state import (
    BASELINE,
    GROUP,
    MAX_RECORDS,
    MEMBERS,
    ODD,
    RUN_AGES,
    ServerState,
)

VOTERS = 16  # records that the head's baseline is chosen by
TYPICAL_BITS = 30  # of a record
MIN_RUN_RECORDS = 8  # records worth being put together for others
# A run: who is in it, for which tick and code, its length and what the counters need; then the bits.
RUN_MEMBERS, RUN_STAMP, RUN_BITS, RUN_CHANGED, RUN_CHANGED_BITS, RUN_HEAD = range(6)

_AGE_MASK = HISTORY_TICKS - 1
_ONE = np.uint64(1)
_63 = np.uint64(63)
_LONG_GAP = 32


@njit(cache=True, nogil=True, **INNER)
def age_of(baseline: int, tick: int) -> int:
    """Age of an acknowledged record that is still in the history; 0 where there is none."""
    age = tick - int64(baseline)
    return age if baseline > 0 and age < HISTORY_TICKS else int64(0)


@njit(cache=True, nogil=True, **INNER)
def common_age(baselines: Ints, selected: Ints, count: int, tick: int) -> int:
    """The age that most of the selected entities' baselines have, if one has a majority.

    By Boyer and Moore's majority vote, over about VOTERS of them.
    """
    elected = votes = int64(0)
    for place in range(0, count, 1 + count // VOTERS):
        age = age_of(baselines[selected[place]], tick)
        if votes == 0:
            elected = age
        votes += 2 * int64(age == elected) - 1
    return elected


@njit(cache=True, nogil=True, **INNER)
def gap_bits_for(entities: int, count: int, bits_left: int) -> int:
    """The Rice code's parameter: half the mean gap, rounded down to a power of two."""
    expected = max(min(count, bits_left // TYPICAL_BITS), 1)
    return max(bit_length(entities // expected) - 1, 0)


@njit(cache=True, nogil=True, **INNER)
def select_what_fits(
    state: ServerState,
    tick: int,
    client: int,
    selected: Ints,
    selected_count: int,
    base_age: int,
    gap_bits: int,
    bits_left: int,
) -> int:
    """Put the entities whose records fit into the set ``members``, in order of importance.

    Return how many fitted.

    Those whose baseline is not the head's go into the set ``odd`` too. The cost of all gaps beyond their
    fixed part is bounded by the number of entities, whichever entities are in the set. Subtracting that bound
    beforehand makes the cost of every record its own, and wastes 1 % of a full datagram.
    """
    members, odd = state.sets[MEMBERS], state.sets[ODD]
    members[:] = np.uint64(0)
    odd[:] = np.uint64(0)
    baselines = state.views[BASELINE, client]
    codes = state.codes
    bits_left -= state.history.shape[1] >> gap_bits
    encodings = 0
    fitting = 0
    for place in range(min(selected_count, MAX_RECORDS)):
        entity = int64(selected[place])
        age = age_of(baselines[entity], tick)
        if int64(codes[age, entity, CODE_WORDS] >> np.uint64(8)) != tick:
            _encode(codes, state.history, tick, entity, age)
            encodings += 1
        own = int64(age != base_age)
        bits_left -= int64(codes[age, entity, CODE_WORDS] & np.uint64(0xFF)) + 2 + gap_bits + own * AGE_BITS
        if bits_left < 0:
            break
        members[entity >> 6] |= _ONE << np.uint64(entity & 63)
        odd[entity >> 6] |= np.uint64(own) << np.uint64(entity & 63)
        fitting += 1
    state.counters[datagrams.ENCODINGS] += encodings
    return fitting


@njit(cache=True, nogil=True, **INNER)
def write_records(
    state: ServerState, words: Words, position: int, tick: int, client: int, base_age: int, gap_bits: int
) -> int:
    """Write the records of the set ``members`` by ascending entity index; return the position behind them."""
    baselines = state.views[BASELINE, client]
    begin = position
    carry = words[position >> 6]
    stamp = np.uint64((tick << 16) | (base_age << 8) | gap_bits)
    previous = int64(-1)
    records = changed = changed_bits = full = int64(0)
    for group in range(state.sets.shape[1]):
        members = state.sets[MEMBERS, group]
        if members == 0:
            continue
        first = group * GROUP
        count = set_bits(members)
        records += count
        if state.sets[ODD, group] == 0 and count >= MIN_RUN_RECORDS:
            run = state.runs[group, base_age % RUN_AGES]
            before = first + trailing_zeros(members) - 1
            if run[RUN_MEMBERS] != members or run[RUN_STAMP] != stamp:
                run_end, run_carry, run_changed, run_changed_bits, _ = _write_group(
                    run, int64(RUN_HEAD * 64), np.uint64(0), state.codes, baselines, members, first, before,
                    tick, base_age, gap_bits,
                )  # fmt: skip
                run[run_end >> 6] = run_carry
                run[RUN_MEMBERS] = members
                run[RUN_STAMP] = stamp
                run[RUN_BITS] = run_end - RUN_HEAD * 64
                run[RUN_CHANGED] = run_changed
                run[RUN_CHANGED_BITS] = run_changed_bits
            # The run begins as if it followed the entity before it; here it follows another.
            position, carry = _put_gap(words, position, carry, before - previous, gap_bits)
            begun_bits = 1 + gap_bits
            position, carry = _copy(
                words, position, carry, run, RUN_HEAD * 64 + begun_bits, int64(run[RUN_BITS]) - begun_bits
            )
            changed += int64(run[RUN_CHANGED])
            changed_bits += int64(run[RUN_CHANGED_BITS])
            full += count * int64(base_age == 0)
        else:
            position, carry, some, some_bits, whole = _write_group(
                words,
                position,
                carry,
                state.codes,
                baselines,
                members,
                first,
                previous,
                tick,
                base_age,
                gap_bits,
            )
            changed += some
            changed_bits += some_bits
            full += whole
        previous = first + bit_length(members) - 1
    words[position >> 6] = carry
    counters = state.counters
    counters[datagrams.RECORD_BITS] += position - begin
    counters[datagrams.CHANGED_RECORDS] += changed
    counters[datagrams.CHANGED_BITS] += changed_bits
    counters[datagrams.FULL_RECORDS] += full
    counters[datagrams.RECORDS] += records
    return position


@njit(cache=True, nogil=True, **INNER)
def _write_group(
    words: Words,
    position: int,
    carry: np.uint64,
    codes: Words,
    baselines: Ints,
    members: np.uint64,
    first: int,
    previous: int,
    tick: int,
    base_age: int,
    gap_bits: int,
) -> tuple[int, np.uint64, int, int, int]:
    """Write the records of up to 64 entities from ``first`` on.

    Returns position, carry, number of changed records, their bits, number of whole records.
    """
    changed = changed_bits = full = int64(0)
    while members != 0:
        entity = first + trailing_zeros(members)
        members &= members - _ONE
        age = age_of(baselines[entity], tick)
        code = codes[age, entity]
        length = int64(code[CODE_WORDS] & np.uint64(0xFF))
        begin = position
        position, carry = _put_gap(words, position, carry, entity - previous - 1, gap_bits)
        own = int64(age != base_age)
        position, carry = put(words, position, carry, np.uint64(own | ((own * age) << 1)), 1 + own * AGE_BITS)
        position, carry = put(words, position, carry, code[0], min(length, 64))
        for word in range(1, CODE_WORDS):
            if length > 64 * word:
                position, carry = put(words, position, carry, code[word], min(length - 64 * word, 64))
        is_change = int64(length > 1)
        changed += is_change
        changed_bits += is_change * (position - begin)
        full += int64(age == 0)
        previous = entity
    return position, carry, changed, changed_bits, full


@njit(cache=True, nogil=True, **INNER)
def _put_gap(words: Words, position: int, carry: np.uint64, gap: int, gap_bits: int) -> tuple[int, np.uint64]:
    ones = gap >> gap_bits
    while ones >= _LONG_GAP:
        position, carry = put(words, position, carry, np.uint64(0xFFFFFFFF), _LONG_GAP)
        ones -= _LONG_GAP
    low = gap & ((1 << gap_bits) - 1)
    return put(
        words, position, carry, np.uint64(((1 << ones) - 1) | (low << (ones + 1))), ones + 1 + gap_bits
    )


@njit(cache=True, nogil=True, **INNER)
def _copy(
    words: Words, position: int, carry: np.uint64, source: Words, at: int, bits: int
) -> tuple[int, np.uint64]:
    """Append ``bits`` bits of another stream, from bit ``at`` on."""
    shift, word = np.uint64(at & 63), at >> 6
    for _ in range(bits >> 6):
        value = (source[word] >> shift) | ((source[word + 1] << _ONE) << (_63 - shift))
        position, carry = put(words, position, carry, value, 64)
        word += 1
    rest = bits & 63
    if rest:
        value = (source[word] >> shift) | ((source[word + 1] << _ONE) << (_63 - shift))
        position, carry = put(words, position, carry, value & ((_ONE << np.uint64(rest)) - _ONE), rest)
    return position, carry


@njit(cache=True, nogil=True, **INNER)
def _encode(codes: Words, history: Longs, tick: int, entity: int, age: int) -> None:
    """Encode the entity's body against a baseline of this age, for all clients that need it in this tick."""
    code, row = codes[age, entity], history[tick & _AGE_MASK, entity]
    if age == 0:
        length = write_whole(code, row)
    else:
        length = write_difference(code, row, history[(tick - age) & _AGE_MASK, entity], age)
    code[CODE_WORDS] = (np.uint64(tick) << np.uint64(8)) | np.uint64(length)
