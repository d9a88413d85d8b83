"""The tickets of one queue as a plan reads them, kept between cycles: a row each, from when it came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matchmaker.plans.columns import Interned, make_columns
from matchmaker.plans.compile import CompiledPlan
from matchmaker.plans.layout import TicketColumns
from matchmaker.rules.flexmatch.program import compile_rules
from matchmaker.rules.flexmatch.table import Columns, Table, build_table
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket
from matchmaker.rules.flexmatch.ticket_table import (
    concatenate,
    ranges,
    renumbered,
    select_rows,
    used_strings,
)

Rows = NDArray[np.int64]

FIRST_CAPACITY = 1_024
MIN_NUMBERS = 16_384  # of strings, values and buckets, which are not worth to be given anew


class TicketStore:
    """Rows of tickets, in the order in which they came; T of them.

    Args:
        compiled: the rule set.
        regions: names, the columns of round trips.
    """

    def __init__(self, compiled: CompiledPlan, regions: Sequence[str]) -> None:
        self._compiled = compiled
        self._regions = list(regions)
        self._teams = [copy for team in compiled.rule_set.teams for copy in team.copies]
        self._strings: dict[str, int] = dict(compiled.strings)
        self._interned = Interned()
        self._text_columns: list[int] = []
        self._numbered = 0  # numbers in use when they were given last
        self._count = 0
        self._used_strings = 0  # of ``_columns.strings``
        self._tables: list[Table] = []
        self.no_table, self._columns = self._read([])

    def __len__(self) -> int:
        return self._count

    @property
    def strings(self) -> int:
        """How many strings, or values that stand for them in sets, have a number."""
        return max(len(self._strings), len(self._interned.numbers))

    @property
    def columns(self) -> TicketColumns:
        """The columns of all rows."""
        count = self._count
        found = self._columns
        return found._replace(
            **{
                name: getattr(found, name)[:count]
                for name in TicketColumns._fields
                if name not in ("strings",)
            },
            strings=found.strings[: self._used_strings],
        )

    def table(self) -> Table:
        """All rows as the evaluator and the search read them; ages are not filled in."""
        while len(self._tables) > 1:
            pairs = [self._tables[at : at + 2] for at in range(0, len(self._tables), 2)]
            self._tables = [concatenate(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        return self._tables[0] if self._tables else self.no_table

    def add(
        self, tickets: Sequence[FlexMatchTicket], group: NDArray[np.int32], platform: NDArray[np.int32]
    ) -> None:
        """Append tickets, each with whom it may meet and its platform."""
        table, added = self._read(tickets, group, platform)
        self._tables.append(table)
        self._append(added)

    def keep(self, rows: Rows) -> None:
        """Drop all rows but these, which are ascending."""
        starts = np.cumsum([0] + [len(table.tickets) for table in self._tables])
        kept = []
        for table, first, last in zip(self._tables, starts[:-1], starts[1:], strict=True):
            inside = rows[(rows >= first) & (rows < last)] - first
            if len(inside):
                kept.append(table if len(inside) == last - first else select_rows(table, inside))
        self._tables = kept
        columns = self.columns
        chosen = {
            name: np.ascontiguousarray(getattr(columns, name)[rows])
            for name in TicketColumns._fields
            if name != "strings"
        }
        counts = chosen["set_count"].astype(np.int64).ravel()
        firsts = chosen["set_first"].ravel()
        places = ranges(firsts, counts)
        chosen["set_first"] = (np.cumsum(counts) - counts).reshape(chosen["set_count"].shape)
        self._columns = TicketColumns(**chosen, strings=np.ascontiguousarray(columns.strings[places]))
        self._count, self._used_strings = len(rows), len(places)
        if self._numbers() > MIN_NUMBERS + 2 * self._numbered:
            self._renumber()

    def _numbers(self) -> int:
        return len(self._strings) + len(self._interned.numbers) + len(self._interned.buckets)

    def _renumber(self) -> None:
        """Forget strings, values and buckets that no ticket has any more: players could send new ones for
        ever. 100,000 rows take some 0.4 s, which is at most once for as many numbers as are in use.
        """
        table = self.table()
        literals = np.arange(len(self._compiled.strings))  # which keep their numbers
        used = np.union1d(literals, used_strings(table, self._text_columns))
        texts = list(self._strings)
        self._strings = {texts[number]: place for place, number in enumerate(used.tolist())}
        self._interned = Interned()
        table = renumbered(table, self._text_columns, used)
        self._tables = [table]
        self._columns = self._made(table, self.columns.start_s)
        self._used_strings = len(self._columns.strings)
        self._numbered = self._numbers()

    def _read(
        self,
        tickets: Sequence[FlexMatchTicket],
        group: NDArray[np.int32] | None = None,
        platform: NDArray[np.int32] | None = None,
    ) -> tuple[Table, TicketColumns]:
        count = len(tickets)
        columns = Columns(tickets, self._strings)
        compile_rules(self._compiled.rule_set, columns)
        table = build_table(tickets, columns, self._regions, self._teams, [True] * count, 0.0)
        if group is not None and platform is not None:
            table.tickets["group"], table.tickets["platform"] = group, platform
        self._text_columns = columns.text_columns()
        return table, self._made(table, np.array([ticket.start_time for ticket in tickets], np.float64))

    def _made(self, table: Table, start_s: NDArray[np.float64]) -> TicketColumns:
        return make_columns(
            self._compiled,
            table,
            start_s,
            np.ascontiguousarray(table.tickets["group"], np.int32),
            np.ascontiguousarray(table.tickets["platform"], np.int32),
            self._interned,
        )

    def _append(self, added: TicketColumns) -> None:
        first, last = self._count, self._count + len(added.size)
        first_string, last_string = self._used_strings, self._used_strings + len(added.strings)
        if last > len(self._columns.size):
            capacity = max(FIRST_CAPACITY, 2 * len(self._columns.size), last)
            grown: dict[str, Any] = {
                name: _grown(getattr(self._columns, name), capacity)
                for name in TicketColumns._fields
                if name != "strings"
            }
            self._columns = self._columns._replace(**grown)
        if last_string > len(self._columns.strings):
            capacity = max(FIRST_CAPACITY, 2 * len(self._columns.strings), last_string)
            self._columns = self._columns._replace(strings=_grown(self._columns.strings, capacity))
        for name in TicketColumns._fields:
            if name != "strings":
                getattr(self._columns, name)[first:last] = getattr(added, name)
        self._columns.set_first[first:last] += first_string
        self._columns.strings[first_string:last_string] = added.strings
        self._count, self._used_strings = last, last_string


def _grown(column: NDArray[Any], capacity: int) -> NDArray[Any]:
    grown = np.zeros((capacity, *column.shape[1:]), column.dtype)
    grown[: len(column)] = column
    return grown
