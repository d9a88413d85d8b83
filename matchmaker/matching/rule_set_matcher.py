"""Matches of a live queue by any rule set: the pool's tickets as the rows of a roster, searched once a cycle.

A ticket becomes a row when it comes, a party when the last of its players has come; a cycle does nothing for
each that was there already but to take it up in arrays. The search is what ``launchday match`` runs, on
another thread: it holds no lock of the interpreter, and placements go on beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from launchday.clock import Clock
from matchmaker.matching.matcher import NO_COMMON_REGION, MatchingResult, OpenSlots
from matchmaker.matching.pool import EXPIRY_GRACE_S, FREE, SEARCHING, Pool
from matchmaker.rules.flexmatch.cycle import form_matches, unmatchable_reason
from matchmaker.rules.flexmatch.search import NOT_TRIED, UNMATCHED, SearchBudget
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer
from matchmaker.rules.flexmatch.ticket_table import Rows, TicketTable, ranges
from matchmaker.rules.modes import SearchRules
from matchmaker.tickets.ticket import text_ids

BUDGET = SearchBudget(per_ticket=20_000, per_cycle=200_000)  # most rule sets: 0.54 to 0.63 s on a busy core
# Of a cycle. Nodes of some rule sets cost ten times as much as others' (8.7 s a cycle for 100 against 100
# with four distances), so the nodes of a cycle follow the time that the last one took.
MAX_SEARCH_S = 1.0
MIN_SHARE = 0.01  # of them
RULES_CHANGED = "the rules have changed: make a new ticket"
MIN_ENDED_TO_SWEEP = 256  # rows of tickets that have ended, which are not worth an own sweep


@dataclass(slots=True)
class SearchPlace:
    """Where the next search of a queue begins: it outlives the matcher, so that a director that loses its
    lead and takes it again goes on instead of beginning anew.

    Attributes:
        ticket: uint64[2], the ticket at which the last search had used its work up; None: it was done.
        share: of the budget's nodes, that the next search may look at.
    """

    ticket: NDArray[np.uint64] | None = None
    share: float = 1.0


class RuleSetMatcher:
    """Finds the matches of one queue by a rule set.

    Args:
        rules: the mode's rules.
        regions: the fleet's regions, columns of the pool's latencies.
        clock: runs the search in a thread, and times it.
        place: where the search goes on; None: at the beginning.
    """

    def __init__(
        self, rules: SearchRules, regions: Sequence[str], clock: Clock, place: SearchPlace | None = None
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._place = place or SearchPlace()
        self._column = np.argsort(np.array(regions, dtype=str), kind="stable")  # the search goes by name
        self._regions = [regions[column] for column in self._column]
        self._table = TicketTable(rules.rule_set, self._regions)
        self._row = np.zeros(0, np.int64)  # [P] the pool's row of each player of the roster
        self._id = np.zeros((0, 2), np.uint64)  # [P] and its ticket, for a row may have another one later
        self._new: dict[int, str] = {}  # the attributes of rows that the roster has not, by the pool's row

    def add_tickets(self, rows: Rows, attributes: Sequence[str]) -> None:
        """Learn of tickets that have come into the pool; see ``Matcher.add_tickets``."""
        self._new.update(zip(rows.tolist(), attributes or [""] * len(rows), strict=True))

    async def match(
        self, pool: Pool, now: float, seed: int, open_slots: OpenSlots | None = None
    ) -> MatchingResult:
        """Form the matches that can be formed at ``now`` with bounded work; where it ends, the next call goes
        on.

        A search fills no open slots. See ``Matcher.match``.
        """
        unmatchable = self._admit(pool)
        units = self._searching(pool, now)
        table = self._table.at(units, now)
        first, size = self._spans(units)
        rows = self._row[ranges(first, size)]
        place, begin = self._place, 0
        if place.ticket is not None:
            begin = int((self._id[first] == place.ticket).all(axis=1).argmax()) if len(first) else 0
        budget = BUDGET._replace(per_cycle=max(1, int(BUDGET.per_cycle * place.share)))
        begun = self._clock.monotonic()
        formed, found = await self._clock.run_in_thread(
            form_matches, self._rules.rule_set, self._table.program, table, seed, budget, begin
        )
        self._follow(self._clock.monotonic() - begun)
        untried = np.flatnonzero((found.obstacle == NOT_TRIED) & (found.match_of == UNMATCHED))
        place.ticket = None
        if len(untried):
            place.ticket = self._id[first[untried[((untried - begin) % len(units)).argmin()]]].copy()
        return MatchingResult(
            rows,
            np.repeat(found.match_of, size),
            found.team_of,
            self._column[found.region_of[:formed]].astype(np.int32),
            unmatchable=unmatchable,
        )

    def _follow(self, took_s: float) -> None:
        """Bound the next search by what this one took, in seconds."""
        place = self._place
        if took_s > MAX_SEARCH_S:
            place.share = max(MIN_SHARE, place.share * MAX_SEARCH_S / took_s)
        elif took_s < MAX_SEARCH_S / 2:
            place.share = min(1.0, 2 * place.share)

    def _admit(self, pool: Pool) -> dict[str, Rows]:
        """Enter new tickets and complete parties into the roster; returns those that can never match."""
        for row in [row for row in self._new if pool.state[row] == FREE]:
            del self._new[row]
        if not self._new:
            return {}
        rows = np.fromiter(self._new, np.int64, len(self._new))
        rows = rows[np.lexsort((pool.player_id[rows], pool.party[rows]))]
        alone = rows[pool.party[rows] == 0]
        together = rows[pool.party[rows] != 0]
        _, begin, count = np.unique(pool.party[together], return_index=True, return_counts=True)
        complete = count == pool.party_size[together[begin]]
        units = [[row] for row in alone.tolist()] + [
            together[at : at + players].tolist()
            for at, players in zip(begin[complete], count[complete], strict=True)
        ]
        tickets: list[FlexMatchTicket] = []
        entered: list[int] = []
        never: dict[str, list[int]] = {}
        for unit in units:
            ticket = self._ticket(pool, unit)
            if ticket is None:
                never.setdefault(RULES_CHANGED, []).extend(unit)
            elif not self._reachable(ticket):
                never.setdefault(NO_COMMON_REGION if len(unit) > 1 else RULES_CHANGED, []).extend(unit)
            else:
                tickets.append(ticket)
                entered += unit
            for row in unit:
                del self._new[row]
        if tickets:
            players = np.array(entered, np.int64)
            heads = players[np.cumsum([0] + [len(ticket.players) for ticket in tickets[:-1]])]
            self._table.add(tickets, pool.group[heads], pool.platform[heads])
            self._row = np.append(self._row, players)
            self._id = np.concatenate((self._id, pool.ticket_id[players]))
        return {reason: np.array(found, np.int64) for reason, found in never.items()}

    def _ticket(self, pool: Pool, unit: list[int]) -> FlexMatchTicket | None:
        """A player's, or a party's ticket as the rules read it; None where its attributes suit the rules no
        more.
        """
        players = []
        for row in unit:
            try:
                attributes = self._rules.attributes.read(self._new[row], float(pool.skill[row]))
            except (TypeError, ValueError, LookupError):  # damaged in the cache: it ends alone
                attributes = None
            if attributes is None:
                return None
            latency_ms = pool.latency_ms[row, self._column].tolist()
            near = {
                region: value
                for region, value in zip(self._regions, latency_ms, strict=True)
                if value <= self._rules.max_latency_ms
            }
            players.append(TicketPlayer(str(pool.player_id[row]), None, attributes, near))
        [ticket_id] = text_ids(pool.ticket_id[unit[:1]])
        return FlexMatchTicket(ticket_id, float(pool.enqueued_at[unit].max()), tuple(players))

    def _reachable(self, ticket: FlexMatchTicket) -> bool:
        common = set.intersection(*(set(player.latency_ms) for player in ticket.players))
        used = set(self._rules.attributes.used)
        return bool(common) and unmatchable_reason(self._rules.rule_set, ticket, used) is None

    def _searching(self, pool: Pool, now: float) -> Rows:
        """The roster's tickets whose players all may be matched, in order of age; sweeps out those that have
        ended.
        """
        if not len(self._table):
            return np.zeros(0, np.int64)
        first, _ = self._spans(np.arange(len(self._table)))
        same = (pool.state[self._row] != FREE) & (pool.ticket_id[self._row] == self._id).all(axis=1)
        alive = np.logical_and.reduceat(same, first)
        gone = len(alive) - int(alive.sum())
        if gone > max(MIN_ENDED_TO_SWEEP, len(alive) // 2):
            kept = np.flatnonzero(alive)
            players = ranges(*self._spans(kept))
            self._table.keep(kept)
            self._row, self._id = self._row[players], self._id[players]
            return self._searching(pool, now)
        # A ticket may have grown older since it came: its player lost a match (requeue.py).
        self._table.start_time = np.maximum.reduceat(pool.enqueued_at[self._row], first)
        free = (
            same & (pool.state[self._row] == SEARCHING) & (pool.expires_at[self._row] + EXPIRY_GRACE_S > now)
        )
        units = np.flatnonzero(np.logical_and.reduceat(free, first))
        head = np.ascontiguousarray(self._id[first[units]]).byteswap()  # the order of the ids as text
        return units[np.lexsort((head[:, 1], head[:, 0], self._table.start_time[units]))]

    def _spans(self, units: Rows) -> tuple[Rows, Rows]:
        """Where each ticket's players begin in the roster, and how many they are."""
        tickets = self._table.table.tickets[units]
        first = tickets["first"].astype(np.int64)
        return first, tickets["last"] - first
