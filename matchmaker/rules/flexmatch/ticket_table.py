"""Tickets that wait for a match of a rule set, as a table that grows: a ticket becomes a row once, when it
comes.

A cycle takes the rows that it may match out of the table, in order of age: a few gathers, whatever the number
of tickets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from matchmaker.rules.flexmatch.program import Program, compile_rules
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.table import Columns, Table, build_table
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket

MIN_STRINGS_TO_RENUMBER = 4_096  # not worth to be numbered anew

Rows = NDArray[np.int64]


class TicketTable:
    """The tickets of one queue.

    Args:
        rules: the queue's rule set.
        regions: the fleet's regions, in the order of the table's latencies.
    """

    def __init__(self, rules: RuleSet, regions: Sequence[str]) -> None:
        self._rules = rules
        self._regions = list(regions)
        self._strings: dict[str, int] = {}
        self.program, self.table, self._text_columns = self._compiled([])
        self.start_time = np.zeros(0, np.float64)

    def __len__(self) -> int:
        return len(self.start_time)

    def add(
        self, tickets: Sequence[FlexMatchTicket], group: NDArray[np.int32], platform: NDArray[np.int32]
    ) -> None:
        """Append tickets, each with whom it may meet and its platform."""
        self.program, added, _ = self._compiled(tickets)
        added.tickets["group"], added.tickets["platform"] = group, platform
        self.table = concatenate(self.table, added)
        self.start_time = np.append(self.start_time, [ticket.start_time for ticket in tickets])

    def keep(self, rows: Rows) -> None:
        """Drop all tickets but these, which stand in this order from now on."""
        self.table, self.start_time = select_rows(self.table, rows), self.start_time[rows]
        used = used_strings(self.table, self._text_columns)
        if len(self._strings) > MIN_STRINGS_TO_RENUMBER + 2 * len(used):
            self._renumber_strings(used)

    def at(self, rows: Rows, now: float) -> Table:
        """The table of some tickets at ``now``, in this order."""
        table = select_rows(self.table, rows)
        table.tickets["age_s"] = np.maximum(0.0, now - self.start_time[rows])
        return table

    def _compiled(self, tickets: Sequence[FlexMatchTicket]) -> tuple[Program, Table, list[int]]:
        columns = Columns(tickets, self._strings)
        program = compile_rules(self._rules, columns)._replace(by_region=True)
        teams = [copy for team in self._rules.teams for copy in team.copies]
        table = build_table(tickets, columns, self._regions, teams, [True] * len(tickets), 0.0)
        return program, table, columns.text_columns()

    def _renumber_strings(self, used: NDArray[np.int64]) -> None:
        """Forget strings that no ticket has any more, of which players could send new ones for ever."""
        texts = list(self._strings)
        self._strings = {texts[number]: place for place, number in enumerate(used.tolist())}
        self.table = renumbered(self.table, self._text_columns, used)
        self.program, _, _ = self._compiled([])


def used_strings(table: Table, text_columns: Sequence[int]) -> Rows:
    """The numbers of the strings that its tickets have, ascending; ``text_columns``: its number columns that
    hold strings.
    """
    found = np.unique(np.concatenate((table.string, table.number[list(text_columns)].ravel())))
    return found[~np.isnan(found)].astype(np.int64)


def renumbered(table: Table, text_columns: Sequence[int], used: Rows) -> Table:
    """The table with each string's place in ``used``, ascending, as its number."""
    number = np.array(table.number)
    for column in text_columns:
        known = ~np.isnan(number[column])
        number[column, known] = np.searchsorted(used, number[column, known])
    return table._replace(number=number, string=np.searchsorted(used, table.string).astype(np.float64))


def select_rows(table: Table, rows: Rows) -> Table:
    """The table of some of its tickets, in this order."""
    tickets = table.tickets[rows]
    size = (tickets["last"] - tickets["first"]).astype(np.int64)
    players = ranges(tickets["first"].astype(np.int64), size)
    tickets["last"] = np.cumsum(size)
    tickets["first"] = tickets["last"] - size
    counts = np.diff(table.string_start, axis=1)[:, players]
    items = ranges(table.string_start[:, :-1][:, players].ravel(), counts.ravel())
    return Table(
        tickets,
        np.ascontiguousarray(table.number[:, players]),
        _starts(counts),
        table.string[items],
        table.string_value[items],
        np.ascontiguousarray(table.latency_ms[:, rows]),
        table.seat[players],
        table.heads[players],
    )


def concatenate(one: Table, other: Table) -> Table:
    """The tickets of two tables of the same columns, in one."""
    tickets = np.concatenate((one.tickets, other.tickets))
    tickets["first"][len(one.tickets) :] += len(one.seat)
    tickets["last"][len(one.tickets) :] += len(one.seat)
    counts = np.concatenate((np.diff(one.string_start, axis=1), np.diff(other.string_start, axis=1)), axis=1)
    columns = range(len(counts))

    def items(name: str) -> NDArray[np.float64]:
        parts = [
            getattr(table, name)[table.string_start[column, 0] : table.string_start[column, -1]]
            for column in columns
            for table in (one, other)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.float64)

    return Table(
        tickets,
        np.concatenate((one.number, other.number), axis=1),
        _starts(counts),
        items("string"),
        items("string_value"),
        np.concatenate((one.latency_ms, other.latency_ms), axis=1),
        np.concatenate((one.seat, other.seat)),
        np.concatenate((one.heads, other.heads)),
    )


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[S, P + 1], where each player's items begin, of int64[S, P] how many each has."""
    starts = np.zeros((counts.shape[0], counts.shape[1] + 1), np.int64)
    starts[:, 1:] = np.cumsum(counts, axis=1)
    before = np.concatenate((np.zeros(1, np.int64), np.cumsum(starts[:, -1])))[:-1]
    starts += before[:, np.newaxis]
    return starts


def ranges(first: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.int64]:
    """``first[0], first[0] + 1, … first[0] + size[0] - 1, first[1], …``."""
    ends = np.cumsum(size)
    places: Rows = np.repeat(first - (ends - size), size)
    return places + np.arange(len(places))
