"""Tickets as arrays: a row a ticket, a column a value that some rule reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket

PLAYER_ID = "playerId"  # as a column of strings; an attribute of that name is told apart by its kind
NO_TEAM = -1
SORTED_BYTES = 6  # of a text, as one float holds them without rounding


TICKET = np.dtype(
    [
        ("first", "i4"),
        ("last", "i4"),
        ("age_s", "f8"),
        ("group", "i4"),
        ("platform", "i4"),
        ("backfill", "?"),
        ("eligible", "?"),
    ],
    align=True,
)


class Table(NamedTuple):
    """T tickets of P players in all, R regions.

    Attributes:
        tickets: TICKET[T]: its players, from first to before last; seconds waited; who may meet (0: all who
            cross-play, else 1 + the platform that it keeps to), and the platform; whether it is a running
            match; whether it may be matched at all.
        number: float64[C, P], number columns, and strings by their number; a party's value stands at each of
            its players.
        string_start: int64[S, P + 1] into ``string``: the strings of each player in each column of lists, or
            the keys in each column of maps, in their order as text.
        string: float64[N], by number.
        string_value: float64[N], the value of each key of a map; 0 in lists.
        latency_ms: float64[3, T, R], a party's least, largest and mean round trip; inf: not measured.
        seat: int32[P], the team of a player of a running match, or NO_TEAM.
        heads: bool[P], who speaks for a party where it counts once: its first player. Players of a running
            match are no party: each of them speaks.
    """

    tickets: NDArray[Any]
    number: NDArray[np.float64]
    string_start: NDArray[np.int64]
    string: NDArray[np.float64]
    string_value: NDArray[np.float64]
    latency_ms: NDArray[np.float64]
    seat: NDArray[np.int32]
    heads: NDArray[np.bool_]


class Columns:
    """Makes the columns that rules ask for, from tickets with attributes.

    Args:
        tickets: whose columns.
        strings: the number of each string, which grows; of tables that are to be joined the same one.
    """

    def __init__(self, tickets: Sequence[FlexMatchTicket], strings: dict[str, int] | None = None) -> None:
        self._players = [player for ticket in tickets for player in ticket.players]
        # A running match is no party: its players stand for themselves.
        self._parties = [
            party
            for ticket in tickets
            for party in ([(player,) for player in ticket.players] if ticket.backfill else [ticket.players])
        ]
        self._strings = {} if strings is None else strings
        self._numbers: list[NDArray[np.float64]] = []
        self._lists: list[list[tuple[float, ...]]] = []
        self._values: dict[int, list[tuple[float, ...]]] = {}  # by the place of a column of maps
        self._known: dict[tuple[str, ...], int] = {}
        self.used: set[str] = set()

    def string(self, text: str) -> float:
        """The number of a string."""
        return float(self._strings.setdefault(text, len(self._strings)))

    def text(self, name: str) -> int:
        """A column of strings: an attribute, or the players' ids."""
        key = ("text", name)
        if key not in self._known:
            if name == PLAYER_ID:
                values = [self.string(player.player_id) for player in self._players]
            else:
                self.used.add(name)
                values = [self._text(player.attributes.get(name)) for player in self._players]
            self._add_number(key, values)
        return self._known[key]

    def number(self, name: str, party: str) -> int:
        """A number attribute, a party's players all with the party's minimum, maximum or mean."""
        key = ("number", name, party)
        if key not in self._known:
            self.used.add(name)
            values: list[float] = []
            for players in self._parties:
                own = [_number(player.attributes.get(name)) for player in players]
                values += [aggregate(own, party)] * len(own)
            self._add_number(key, values)
        return self._known[key]

    def alphabetical(self, name: str, place: int) -> int:
        """A column of numbers in the order of an attribute's text: of its piece of 6 bytes at ``place``.

        A list is the text of its strings in their order, a map that of its keys and values in the order of
        the keys. A party's players all have the least of the party's.
        """
        key = ("alphabetical", name, str(place))
        if key not in self._known:
            self.used.add(name)
            values: list[float] = []
            for players in self._parties:
                texts = [_as_text(player.attributes.get(name)) for player in players]
                least = min((text for text in texts if text is not None), default=None)
                values += [np.nan if least is None else _piece(least, place)] * len(players)
            self._add_number(key, values)
        return self._known[key]

    def map(self, name: str, party: str) -> int:
        """A map attribute; a party's players all have the party's keys, each with those of its values
        aggregated.
        """
        key = ("map", name, party)
        if key not in self._known:
            self.used.add(name)
            self._known[key] = len(self._lists)
            keys: list[tuple[float, ...]] = []
            values: list[tuple[float, ...]] = []
            for players in self._parties:
                maps = [held for p in players if isinstance(held := p.attributes.get(name), dict)]
                named = sorted({each for held in maps for each in held})
                keys += [tuple(map(self.string, named))] * len(players)
                own = [aggregate([held[each] for held in maps if each in held], party) for each in named]
                values += [tuple(own)] * len(players)
            self._values[len(self._lists)] = values
            self._lists.append(keys)
        return self._known[key]

    def strings(self, name: str, party: str) -> int:
        """A list attribute, or a string as a list of one; with ``union`` and ``intersection`` a party's
        players all have its list.
        """
        key = ("strings", name, party)
        if key not in self._known:
            self.used.add(name)
            self._known[key] = len(self._lists)
            column: list[tuple[float, ...]] = []
            for players in self._parties:
                own = [_texts(player.attributes.get(name)) for player in players]
                if party == "union":
                    shared = list(dict.fromkeys(text for texts in own for text in texts))
                elif party == "intersection":
                    shared = [text for text in own[0] if all(text in texts for texts in own)] if own else []
                for texts in own:
                    chosen = shared if party in ("union", "intersection") and len(own) > 1 else texts
                    column.append(tuple(self.string(text) for text in chosen))
            self._lists.append(column)
        return self._known[key]

    def number_columns(self) -> NDArray[np.float64]:
        """float64[C, P]."""
        return np.array(self._numbers, np.float64).reshape(len(self._numbers), len(self._players))

    def string_columns(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Starts int64[S, P + 1], strings and their values float64[N] of the columns of lists and maps."""
        starts = np.zeros((len(self._lists), len(self._players) + 1), np.int64)
        flat: list[float] = []
        values: list[float] = []
        for row, column in enumerate(self._lists):
            held = self._values.get(row)
            values += [
                value
                for place, items in enumerate(column)
                for value in (held[place] if held is not None else (0.0,) * len(items))
            ]
            for place, items in enumerate(column):
                starts[row, place] = len(flat)
                flat += items
            starts[row, len(column)] = len(flat)
        return starts, np.array(flat, np.float64), np.array(values, np.float64)

    def text_columns(self) -> list[int]:
        """The number columns that hold strings by their number."""
        return [column for (kind, *_), column in self._known.items() if kind == "text"]

    def _text(self, value: object) -> float:
        return self.string(value) if isinstance(value, str) else np.nan

    def _add_number(self, key: tuple[str, ...], values: list[float]) -> None:
        self._known[key] = len(self._numbers)
        self._numbers.append(np.array(values, np.float64))


def build_table(
    tickets: Sequence[FlexMatchTicket],
    columns: Columns,
    regions: Sequence[str],
    teams: Sequence[str],
    eligible: Sequence[bool],
    now: float,
) -> Table:
    """The table of some tickets, at ``now`` (seconds, on the clock of their start times)."""
    starts, strings, values = columns.string_columns()
    latency = np.full((3, len(tickets), len(regions)), np.inf)
    for row, ticket in enumerate(tickets):
        for column, region in enumerate(regions):
            own = [player.latency_ms.get(region, np.inf) for player in ticket.players]
            latency[:, row, column] = min(own), max(own), aggregate(own, "avg")
    rows = np.zeros(len(tickets), TICKET)
    rows["last"] = np.cumsum([len(ticket.players) for ticket in tickets])
    rows["first"][1:] = rows["last"][:-1]
    rows["age_s"] = [max(0.0, now - ticket.start_time) for ticket in tickets]
    rows["backfill"] = [ticket.backfill for ticket in tickets]
    rows["eligible"] = eligible
    seats = [
        NO_TEAM if player.team is None else teams.index(player.team)
        for ticket in tickets
        for player in ticket.players
    ]
    heads = np.zeros(len(seats), np.bool_)
    heads[rows["first"]] = True
    heads |= np.array(seats, np.int32) != NO_TEAM
    numbers = columns.number_columns()
    return Table(rows, numbers, starts, strings, values, latency, np.array(seats, np.int32), heads)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


def _as_text(value: object) -> bytes | None:
    """An attribute's value as bytes that compare as it does."""
    if isinstance(value, str):
        return _bytes(value)
    if isinstance(value, tuple):
        return b"\0".join(map(_bytes, value))
    if isinstance(value, dict):
        return b"\0".join(_bytes(f"{key}\0{value[key]:g}") for key in sorted(value))
    return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # bytes of UTF-8 compare as the characters do


def _piece(text: bytes, place: int) -> float:
    piece = text[SORTED_BYTES * place : SORTED_BYTES * (place + 1)]
    return float(int.from_bytes(piece.ljust(SORTED_BYTES, b"\0"), "big"))


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return value if isinstance(value, tuple) else ()


def aggregate(values: Sequence[float], party: str) -> float:
    """A party's value: ``min``, ``max`` or ``avg`` of its players' values; NaN of none."""
    if not values:
        return np.nan
    if party == "min":
        return min(values)
    if party == "max":
        return max(values)
    return sum(values) / len(values)
