"""Modes whose matches the plan of their rule set forms, as the director's does: their cycles stand outside of
compiled time.

A mode has a book of its tickets (`matchmaker.plans.book`), which it keeps from cycle to cycle. A ticket comes
into it with those that arrive after it, a block at a time, and is held until it waits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loadtest.simulate.drawn_attributes import DrawnAttributes
from loadtest.simulate.matching_cycle import allocate_found, waiting_window
from loadtest.simulate.world import Parameters, SimulatedWorld, Tickets, TicketState
from matchmaker.plans.book import TicketBook
from matchmaker.plans.compile import CompiledPlan
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer

BLOCK = 1_024  # tickets that come into the book together

_UNKNOWN, _HELD, _WAITING, _GONE = range(4)


class PlannedMode:
    """One mode.

    Args:
        mode: its number.
        compiled: its rule set.
        regions: the fleet's regions, columns of the round trips.
        max_latency_ms: of a region that a player may be sent to.
        attributes: what players bring.
        origin: int64[D], the first ticket of the session of each ticket that is drawn.
    """

    def __init__(
        self,
        mode: int,
        compiled: CompiledPlan,
        regions: Sequence[str],
        max_latency_ms: float,
        attributes: DrawnAttributes,
        origin: NDArray[np.int64],
    ) -> None:
        self._mode = mode
        self._regions = list(regions)
        self._max_latency_ms = max_latency_ms
        self._attributes = attributes
        self._origin = origin
        self._book = TicketBook(compiled, self._regions, live=True)
        self._state = np.zeros(0, np.uint8)  # [T] of each of the run's tickets
        self._row = np.zeros(0, np.int64)  # [T] in the book
        self._ticket: NDArray[np.int64] = np.zeros(0, np.int64)  # of each row of the book
        self._waiting = np.zeros(0, np.int64)  # tickets that wait in the book
        self.cut = 0

    def cycle(self, world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
        """Run the cycle at ``now_s``, in which the mode's queue has been pruned."""
        room, rows, aged_s = waiting_window(world, parameters, self._mode)
        self._update(world, rows.astype(np.int64), aged_s)
        found = self._book.form(now_s - parameters.login_s)
        self.cut += found.cut
        match_of = np.full(len(rows), -1, np.int32)
        if len(found.region):
            tickets = self._ticket[found.rows]
            place = np.full(len(self._state), -1, np.int64)
            place[rows] = np.arange(len(rows))
            match_of[place[tickets]] = found.match
        allocate_found(
            world,
            parameters,
            self._mode,
            room,
            rows,
            aged_s,
            match_of,
            found.region,
            len(found.region),
            now_s,
        )

    def _update(self, world: SimulatedWorld, rows: NDArray[np.int64], aged_s: NDArray[np.float64]) -> None:
        """Let those wait in the book who wait in the queue."""
        if len(self._state) < len(world.tickets.arrives_s):
            more = len(world.tickets.arrives_s) - len(self._state)
            self._state = np.append(self._state, np.zeros(more, np.uint8))
            self._row = np.append(self._row, np.full(more, -1, np.int64))
        there = np.zeros(len(self._state), np.bool_)
        there[rows] = True
        left = self._waiting[~there[self._waiting]]
        if len(left):
            waits = world.records.state[left] == TicketState.WAITING  # beyond the window for now
            self._change(left[waits], _HELD)
            self._change(left[~waits], _GONE)
        new = np.flatnonzero(self._state[rows] != _WAITING)
        if len(new):
            unknown = rows[new[self._state[rows[new]] == _UNKNOWN]]
            if len(unknown):
                self._enter(world, unknown)
            self._book.wait_since(self._row[rows[new]], aged_s[new])
            self._book.release(self._row[rows[new]])
            self._state[rows[new]] = _WAITING
        self._waiting = rows

    def _change(self, tickets: NDArray[np.int64], state: int) -> None:
        if len(tickets):
            self._state[tickets] = state
            (self._book.hold if state == _HELD else self._book.remove)(self._row[tickets])

    def _enter(self, world: SimulatedWorld, unknown: NDArray[np.int64]) -> None:
        """Enter tickets that have come, with the block of those that arrive next by themselves."""
        alone = int(world.tickets.independent_count[0])
        arrived = unknown[unknown < alone]
        coming = np.zeros(0, np.int64)
        if len(arrived):
            begin = int(arrived.max()) + 1
            later = begin + np.flatnonzero(world.tickets.mode[begin:alone] == self._mode)[:BLOCK]
            coming = later[self._state[later] == _UNKNOWN]
        entered = np.concatenate((unknown, coming))
        rows = self._book.add(
            [self._ticket_of(world, ticket) for ticket in entered.tolist()],
            world.tickets.group[entered],
            world.tickets.platform[entered],
        )
        self._row[entered], self._state[entered] = rows, _HELD
        self._ticket = np.append(self._ticket, entered)
        self._book.hold(rows)

    def _ticket_of(self, world: SimulatedWorld, ticket: int) -> FlexMatchTicket:
        tickets, drawn = world.tickets, int(world.tickets.drawn_count[0])
        member, first = -1, ticket
        if ticket >= drawn:
            member, first = (
                int(world.requeues.member[ticket - drawn]),
                int(world.requeues.origin[ticket - drawn]),
            )
        first = int(self._origin[first])
        near = self._near(tickets, ticket)
        members = range(int(tickets.size[ticket])) if member < 0 else (member,)
        return FlexMatchTicket(
            str(ticket),
            float(tickets.arrives_s[ticket]),
            tuple(
                TicketPlayer(
                    f"{first}.{each}",
                    None,
                    self._attributes.of(first, each, float(tickets.skill[ticket])),
                    near,
                )
                for each in members
            ),
        )

    def _near(self, tickets: Tickets, ticket: int) -> dict[str, float]:
        latency_ms = tickets.rtt_ms[tickets.location[ticket]] + tickets.access_ms[ticket]
        return {
            region: value
            for region, value in zip(self._regions, latency_ms.tolist(), strict=True)
            if value <= self._max_latency_ms
        }
