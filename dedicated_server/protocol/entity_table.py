"""The table of entities' fields, one row a field, and how the fields lie in a record.

Everything that the protocol says of entities follows from ENTITY_KINDS: records and the functions that read
and write their fields (`entities`), whole records and differences on the wire (`delta`), what a client reads
(`client.records`), and PROTOCOL.md. A field more is a row more at the end of a kind.

The kinds' numbers are those of `cards.kinds`. An entity keeps its kind for as long as the match runs. So the
kind goes in whole records alone, and a difference is read by the kind of its baseline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dedicated_server.cards.kinds import KIND_NAMES
from dedicated_server.protocol.fields import POSITION_BITS, POSITION_UNITS_PER_M, WORLD_HALF_M

WORD_BITS: Final = 63  # of a word's 64; the sign stays clear, so that plain Python's numbers are the same
MAX_RECORD_WORDS: Final = 3  # lengths of codes have a byte, and readers slack for so much
KIND_BITS: Final = 3
ALL_KINDS: Final = 1 << KIND_BITS  # that the wire has numbers for

# How a difference says that a field has changed.
CONSTANT: Final = "constant"  # never
POSITION: Final = "position"  # both coordinates together: not, tight, wide, or absolute
ANGLE: Final = "angle"  # not, a small turn, or absolute
PLAIN: Final = "plain"  # all that are plain together: not, or absolute


class EntityField(NamedTuple):
    """One field of an entity: its bits, how differences say it, and what its numbers mean."""

    name: str
    bits: int
    difference: str
    meaning: str
    scale: float = 1.0  # units of the wire in one of the value's
    least: float = 0.0  # value of unit 0


_METRES = POSITION_UNITS_PER_M
COMMON_FIELDS: Final = (
    EntityField("kind", KIND_BITS, CONSTANT, "which fields follow"),
    EntityField("x", POSITION_BITS, POSITION, "metres east × 64, from −1,024 m", _METRES, -WORLD_HALF_M),
    EntityField("y", POSITION_BITS, POSITION, "metres north × 64, from −1,024 m", _METRES, -WORLD_HALF_M),
)
_YAW = EntityField("yaw", 10, ANGLE, "1/1024 turn, counter-clockwise from east", 1024 / (2.0 * math.pi))

ENTITY_KINDS: Final[dict[str, tuple[EntityField, ...]]] = {
    "player": (
        _YAW,
        EntityField("health", 7, PLAIN, "points, 0 to 100; 127: not told"),
        EntityField("flags", 5, PLAIN, "bits: 1 alive, 2 firing, 4 outside the zone, 8 hurt, 16 connected"),
    ),
    "flag": (
        EntityField("team", 5, PLAIN, "whose it is"),
        EntityField("carrier", 12, PLAIN, "entity of the carrier + 1; 0: nobody"),
        EntityField("state", 2, PLAIN, "0 at home, 1 carried, 2 dropped"),
    ),
    "item": (
        EntityField("what", 6, PLAIN, "by the mode"),
        EntityField("taken", 12, PLAIN, "entity that took it + 1; 0: nobody"),
    ),
    "projectile": (
        _YAW,
        EntityField("owner", 12, PLAIN, "entity that launched it + 1; 0: nobody"),
        EntityField("weapon", 3, PLAIN, "of the mode's card, from 0"),
    ),
    "obstacle": (
        EntityField("half_east", 10, PLAIN, "half its side from west to east, metres × 8", 8.0),
        EntityField("half_north", 10, PLAIN, "half its side from south to north, metres × 8", 8.0),
        EntityField("standing", 1, PLAIN, "1: stops movement and shots"),
    ),
}


class Place(NamedTuple):
    """Where a field lies in a record; a constant of the kernels that use it."""

    kinds: int  # bit k: kind k has the field
    word: int
    at: int  # its lowest bit in that word
    mask: int


class Layout(NamedTuple):
    """How the fields of a kind lie in a record: in the table's order, and none in two words."""

    fields: tuple[EntityField, ...]
    word: tuple[int, ...]  # of each field
    at: tuple[int, ...]


def lay_out(kind: Sequence[EntityField]) -> Layout:
    """Place the fields of a kind. Raises ValueError for rows that the wire cannot express."""
    table = (*COMMON_FIELDS, *kind)
    if any(field.difference != PLAIN for field in kind[1:]) or kind[0].difference not in (ANGLE, PLAIN):
        raise ValueError(
            "the rows of a kind are plain, but the first may be an angle; put a new row at the end"
        )
    words, ats = [], []
    word = at = 0
    for field in table:
        if not 0 < field.bits <= WORD_BITS:
            raise ValueError(f"{field.name} has {field.bits} bits; 1 to {WORD_BITS} can be told")
        if at + field.bits > WORD_BITS:
            word, at = word + 1, 0
        words.append(word)
        ats.append(at)
        at += field.bits
    if word >= MAX_RECORD_WORDS:
        raise ValueError(f"the fields of a kind take more than {MAX_RECORD_WORDS} words; make them smaller")
    if kind[0].difference == ANGLE and words[len(COMMON_FIELDS)] > 0:
        raise ValueError(f"{kind[0].name} has {kind[0].bits} bits; an angle lies in the first word")
    return Layout(table, tuple(words), tuple(ats))


LAYOUTS: Final = tuple(lay_out(ENTITY_KINDS[name]) for name in KIND_NAMES)
KINDS: Final = len(LAYOUTS)
RECORD_WORDS: Final = 1 + max(layout.word[-1] for layout in LAYOUTS)


def _bits(*differences: str) -> npt.NDArray[np.int64]:
    """Bits of such fields by kind and word: int64[ALL_KINDS, RECORD_WORDS]. Of a kind that a newer server may
    have, what is common to all.
    """
    table = np.zeros((ALL_KINDS, RECORD_WORDS), np.int64)
    for kind in range(ALL_KINDS):
        layout = LAYOUTS[kind] if kind < KINDS else Layout(COMMON_FIELDS, (0, 0, 0), (0, 0, 0))
        for field, word in zip(layout.fields, layout.word, strict=True):
            if field.difference in differences:
                table[kind, word] += field.bits
    return table


# By kind and word. Plain fields come last, so that they lie in one run of bits in each word.
FIELD_BITS: Final = _bits(CONSTANT, POSITION, ANGLE, PLAIN)
PLAIN_BITS: Final = _bits(PLAIN)
PLAIN_AT: Final = FIELD_BITS - PLAIN_BITS
# By kind: bits of a whole record, of its plain fields, and of its angle, which begins behind what is common.
WHOLE_BITS: Final = FIELD_BITS.sum(axis=1)
ALL_PLAIN_BITS: Final = PLAIN_BITS.sum(axis=1)
ANGLE_BITS: Final = _bits(ANGLE).sum(axis=1)
COMMON_BITS: Final = sum(field.bits for field in COMMON_FIELDS)


def place_of(name: str) -> Place:
    """Where a field lies. Raises ValueError where no kind has it, or kinds have it in different places."""
    kinds, found = 0, set()
    for kind, layout in enumerate(LAYOUTS):
        for field, word, at in zip(*layout, strict=True):
            if field.name == name:
                kinds |= 1 << kind
                found.add((word, at, (1 << field.bits) - 1))
    if len(found) != 1:
        raise ValueError(f"{name} lies in {len(found)} places; kinds that share a field have it first")
    return Place(kinds, *found.pop())


def field_named(name: str) -> EntityField:
    """The row of a field. Raises KeyError where no kind has it."""
    for layout in LAYOUTS:
        for field in layout.fields:
            if field.name == name:
                return field
    raise KeyError(name)
