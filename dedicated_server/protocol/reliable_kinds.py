"""The kinds of reliable messages, a table each.

A message is its kind, the length of what follows in bits, and the fields of the kind's table. A reader
passes over a kind that it does not know, and over what a longer message has behind the fields that it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedicated_server.protocol.client_kinds import CLIENT_NUMBER_BITS
from dedicated_server.protocol.fields import CLIENT_TICK_BITS, INDEX_BITS, POSITION_BITS
from dedicated_server.protocol.tables import Field, Table, columns, leasts, length_of, widths

RELIABLE_HEAD_FIELDS = (
    Field("count", 4, "messages that follow"),
    Field("first", 16, "number of the first of them, its low 16 bits"),
)
RELIABLE_COUNT, RELIABLE_FIRST = columns(RELIABLE_HEAD_FIELDS, "count first")
RELIABLE_HEAD_WIDTHS, RELIABLE_HEAD_LEASTS = widths(RELIABLE_HEAD_FIELDS), leasts(RELIABLE_HEAD_FIELDS)
RELIABLE_HEAD_BITS = length_of(RELIABLE_HEAD_FIELDS)
RELIABLE_COUNT_BITS, RELIABLE_NUMBER_BITS = RELIABLE_HEAD_WIDTHS[:2]
RELIABLE_NUMBER_MASK = (1 << RELIABLE_NUMBER_BITS) - 1
MAX_RELIABLE_MESSAGES = (1 << RELIABLE_COUNT_BITS) - 1  # in one datagram
RELIABLE_KIND_BITS = 4
RELIABLE_LENGTH_BITS = 9  # of the length in bits of what follows
MAX_RELIABLE_KINDS = 1 << RELIABLE_KIND_BITS

MAX_NAME_BYTES = 32


class ReliableKind(NamedTuple):
    """A kind of reliable message: its number, whom it goes to, and its table."""

    number: int
    name: str
    to: str
    table: Table


RELIABLE_KINDS: tuple[ReliableKind, ...] = (
    ReliableKind(
        1,
        "kill",
        "everybody",
        (
            Field("killer", 12, "entity; −1: the zone, or who died left", least=-1),
            Field("victim", INDEX_BITS, "entity"),
            Field("weapon", 3, "place of the killer's weapon in the mode's card"),
            Field("players_left", 12, "players alive after it"),
            Field("assist", 12, "entity that had hurt the victim, too; −1: nobody", least=-1),
        ),
    ),
    ReliableKind(
        2,
        "hit",
        "the shooter",
        (
            Field("victim", INDEX_BITS, "entity"),
            Field("points", 10, "damage; 1,023: that or more"),
            Field("input_tick", CLIENT_TICK_BITS, "client tick of the shot, its low 16 bits"),
        ),
    ),
    ReliableKind(
        3,
        "match_over",
        "each",
        (
            Field("placement", 12, "the client's own; 1 is best"),
            Field("winner", 12, "entity that won, one of its team; −1: nobody", least=-1),
            Field("kills", 16, "the client's own"),
        ),
    ),
    ReliableKind(
        4,
        "roster",
        "everybody",
        (
            Field("entity", INDEX_BITS, "of the slot"),
            Field("team", 12, "of the slot"),
            Field("player", 63, "id of the player who has the slot; 0: nobody has"),
            Field("name_bytes", 6, "of the player's name, at most 32: UTF-8, the last bytes of the message"),
        ),
    ),
    ReliableKind(
        5,
        "ping",
        "the team of who pings",
        (
            Field("entity", INDEX_BITS, "who pings"),
            Field("x", POSITION_BITS, "metres east × 64, from −1,024 m"),
            Field("y", POSITION_BITS, "metres north × 64, from −1,024 m"),
            Field("what", 4, "as its client said it"),
        ),
    ),
    ReliableKind(
        6,
        "heard",
        "who said it",
        (
            Field("number", CLIENT_NUMBER_BITS, "of the client's message"),
            Field("taken", 1, "0: too many in too short a time, or nothing that the server knows"),
        ),
    ),
)
KILL, HIT, MATCH_OVER, ROSTER, PING, HEARD = RELIABLE_KINDS[:6]
RELIABLE_KILL, RELIABLE_HIT, RELIABLE_MATCH_OVER, RELIABLE_ROSTER, RELIABLE_PING, RELIABLE_HEARD = (
    kind.number for kind in (KILL, HIT, MATCH_OVER, ROSTER, PING, HEARD)
)

# A reliable message in a row, where it is queued and where it arrives: its kind, then a field a column.
RELIABLE_COLUMNS = 1 + max(len(kind.table) for kind in RELIABLE_KINDS)
RELIABLE_KIND = 0


def _row_columns(kind: ReliableKind, names: str) -> tuple[int, ...]:
    return tuple(1 + place for place in columns(kind.table, names))


KILL_KILLER, KILL_VICTIM, KILL_WEAPON, KILL_LEFT, KILL_ASSIST = _row_columns(
    KILL, "killer victim weapon players_left assist"
)
HIT_VICTIM, HIT_POINTS, HIT_INPUT_TICK = _row_columns(HIT, "victim points input_tick")
OVER_PLACEMENT, OVER_WINNER, OVER_KILLS = _row_columns(MATCH_OVER, "placement winner kills")
ROSTER_ENTITY, ROSTER_TEAM, ROSTER_PLAYER, ROSTER_NAME_BYTES = _row_columns(
    ROSTER, "entity team player name_bytes"
)
PING_ENTITY, PING_X, PING_Y, PING_WHAT = _row_columns(PING, "entity x y what")
HEARD_NUMBER, HEARD_TAKEN = _row_columns(HEARD, "number taken")


def _by_kind(of: Callable[[Table], Sequence[int]]) -> npt.NDArray[np.int64]:
    """An int64 row for each kind number, as `columns` of a message's row have it but for the kind."""
    rows = np.zeros((MAX_RELIABLE_KINDS, RELIABLE_COLUMNS - 1), np.int64)
    for kind in RELIABLE_KINDS:
        rows[kind.number, : len(kind.table)] = of(kind.table)
    return rows


KIND_WIDTHS, KIND_LEASTS = _by_kind(widths), _by_kind(leasts)
# Fields of each kind, and bits of all of them; 0 for a number that no kind has.
KIND_FIELDS = np.count_nonzero(KIND_WIDTHS, axis=1)
KIND_BITS = KIND_WIDTHS.sum(axis=1)
