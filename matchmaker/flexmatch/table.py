"""Tickets as arrays: a row a ticket, a column a value that some rule reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from matchmaker.flexmatch.ticket_file import TicketRequest

PLAYER_ID = "playerId"  # as a column of strings; an attribute of that name is told apart by its kind
NO_TEAM = -1


TICKET = np.dtype(
    [("first", "i4"), ("last", "i4"), ("age_s", "f8"), ("group", "i4"), ("backfill", "?"), ("eligible", "?")],
    align=True,
)


class Table(NamedTuple):
    """T tickets of P players in all, R regions.

    Attributes:
        tickets: TICKET[T]: its players, from first to before last; seconds waited; only tickets of one group may meet
            (cross-play); whether it is a running match; whether it may be matched at all.
        number: float64[C, P], number columns, and strings by their number; a party's value stands at each of its players.
        string_start: int64[S, P + 1] into ``string``: the strings of each player in each column of lists.
        string: float64[N], by number.
        latency_ms: float32[3, T, R], a party's least, largest and mean round trip; inf: not measured.
        seat: int32[P], the team of a player of a running match, or NO_TEAM.
    """

    tickets: NDArray[Any]
    number: NDArray[np.float64]
    string_start: NDArray[np.int64]
    string: NDArray[np.float64]
    latency_ms: NDArray[np.float32]
    seat: NDArray[np.int32]


class Columns:
    """Makes the columns that rules ask for, from tickets with attributes."""

    def __init__(self, tickets: Sequence[TicketRequest]) -> None:
        self._players = [player for ticket in tickets for player in ticket.players]
        self._parties = [ticket.players for ticket in tickets]
        self._strings: dict[str, int] = {}
        self._numbers: list[NDArray[np.float64]] = []
        self._lists: list[list[tuple[float, ...]]] = []
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

    def map(self, name: str, party: str) -> tuple[int, int]:
        """All keys of a map attribute, a column each, NaN where a player has none: from, to."""
        key = ("map", name, party)
        maps = [player.attributes.get(name) for player in self._players]
        keys = sorted({key for each in maps if isinstance(each, dict) for key in each})
        if key not in self._known:
            self.used.add(name)
            self._known[key] = len(self._numbers)
            for each_key in keys:
                values: list[float] = []
                for players in self._parties:
                    held = [player.attributes.get(name) for player in players]
                    own = [m[each_key] for m in held if isinstance(m, dict) and each_key in m]
                    values += [aggregate(own, party)] * len(players)
                self._numbers.append(np.array(values, np.float64))
        return self._known[key], self._known[key] + len(keys)

    def strings(self, name: str, party: str) -> int:
        """A list attribute; with ``union`` and ``intersection`` a party's players all have the party's list."""
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

    def string_columns(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Starts int64[S, P + 1] and strings float64[N] of the list columns."""
        starts = np.zeros((len(self._lists), len(self._players) + 1), np.int64)
        flat: list[float] = []
        for row, column in enumerate(self._lists):
            for place, items in enumerate(column):
                starts[row, place] = len(flat)
                flat += items
            starts[row, len(column)] = len(flat)
        return starts, np.array(flat, np.float64)

    def _text(self, value: object) -> float:
        return self.string(value) if isinstance(value, str) else np.nan

    def _add_number(self, key: tuple[str, ...], values: list[float]) -> None:
        self._known[key] = len(self._numbers)
        self._numbers.append(np.array(values, np.float64))


def build_table(
    tickets: Sequence[TicketRequest],
    columns: Columns,
    regions: Sequence[str],
    teams: Sequence[str],
    eligible: Sequence[bool],
    now: float,
) -> Table:
    """The table of some tickets, at ``now`` (seconds, on the clock of their start times)."""
    starts, strings = columns.string_columns()
    latency = np.full((3, len(tickets), len(regions)), np.inf, np.float32)
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
    return Table(rows, columns.number_columns(), starts, strings, latency, np.array(seats, np.int32))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


def _texts(value: object) -> tuple[str, ...]:
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
