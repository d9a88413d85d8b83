"""Matches of a live queue by any rule set: the pool's tickets as the rows of a roster, searched once a cycle.

A ticket becomes a row when it comes, a party when the last of its players has come; a cycle does nothing for each that was there already but
to take it up in arrays. The search is what ``launchday match`` runs, on another thread: it holds no lock of the interpreter, and
placements go on beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from matchmaker.flexmatch.matching import form, why_never
from matchmaker.flexmatch.roster import Roster, Rows, runs
from matchmaker.flexmatch.search import NOT_TRIED, UNMATCHED, Effort
from matchmaker.flexmatch.ticket_file import Player, TicketRequest
from matchmaker.grouping import NO_COMMON_REGION, Grouping
from matchmaker.modes import SearchedRules
from matchmaker.pool import FREE, SEARCHING, Pool
from matchmaker.queue import Entry
from matchmaker.tickets import text_ids

EFFORT = Effort(around_ticket=20_000, in_cycle=200_000)  # 0.54 to 0.63 s on a busy core: a fifth of a lease
CHANGED = "the rules have changed: make a new ticket"
FEW_GONE = 256  # rows of tickets that have ended, which are not worth an own sweep


class RuleSetMatcher:
    """Finds the matches of one queue by a rule set.

    Args:
        rules: the mode's rules.
        regions: the fleet's regions, columns of the pool's latencies.
    """

    def __init__(self, rules: SearchedRules, regions: Sequence[str]) -> None:
        self._rules = rules
        self._column = np.argsort(np.array(regions, dtype=str), kind="stable")  # the search goes by name
        self._regions = [regions[column] for column in self._column]
        self._roster = Roster(rules.rule_set, self._regions)
        self._row = np.zeros(0, np.int64)  # [P] the pool's row of each player of the roster
        self._id = np.zeros((0, 2), np.uint64)  # [P] and its ticket, for a row may have another one later
        self._new: dict[int, str] = {}  # the attributes of rows that the roster has not, by the pool's row
        self._begin: NDArray[np.uint64] | None = None  # where the last search used its work up

    def take_in(self, rows: Rows, entry: Entry) -> None:
        """Learn of tickets that have come into the pool, in these rows."""
        self._new.update(zip(rows.tolist(), entry.attributes or [""] * len(rows), strict=True))

    async def match(self, pool: Pool, now: float, seed: int) -> Grouping:
        """Form the matches that can be formed at ``now`` with a bounded effort; where it ends, the next call goes on."""
        never = self._admit(pool)
        units = self._searching(pool, now)
        table = self._roster.at(units, now)
        first, size = self._spans(units)
        rows = self._row[runs(first, size)]
        begin = 0
        if self._begin is not None:
            begin = int((self._id[first] == self._begin).all(axis=1).argmax()) if len(first) else 0
        formed, found = await asyncio.to_thread(
            form, self._rules.rule_set, self._roster.program, table, seed, EFFORT, begin
        )
        untried = np.flatnonzero((found.obstacle == NOT_TRIED) & (found.match_of == UNMATCHED))
        self._begin = None
        if len(untried):
            self._begin = self._id[first[untried[((untried - begin) % len(units)).argmin()]]]
        return Grouping(
            rows,
            np.repeat(found.match_of, size),
            found.team_of,
            self._column[found.region_of[:formed]].astype(np.int32),
            never=never,
        )

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
        tickets: list[TicketRequest] = []
        entered: list[int] = []
        never: dict[str, list[int]] = {}
        for unit in units:
            ticket = self._ticket(pool, unit)
            if ticket is None:
                never.setdefault(CHANGED, []).extend(unit)
            elif not self._reachable(ticket):
                never.setdefault(NO_COMMON_REGION if len(unit) > 1 else CHANGED, []).extend(unit)
            else:
                tickets.append(ticket)
                entered += unit
            for row in unit:
                del self._new[row]
        if tickets:
            players = np.array(entered, np.int64)
            heads = players[np.cumsum([0] + [len(ticket.players) for ticket in tickets[:-1]])]
            self._roster.add(tickets, pool.group[heads], pool.platform[heads])
            self._row = np.append(self._row, players)
            self._id = np.concatenate((self._id, pool.ticket_id[players]))
        return {reason: np.array(found, np.int64) for reason, found in never.items()}

    def _ticket(self, pool: Pool, unit: list[int]) -> TicketRequest | None:
        """A player's, or a party's ticket as the rules read it; None where its attributes suit the rules no more."""
        players = []
        for row in unit:
            attributes = self._rules.attributes.read(self._new[row], float(pool.skill[row]))
            if attributes is None:
                return None
            latency_ms = pool.latency_ms[row, self._column].tolist()
            near = {
                region: value
                for region, value in zip(self._regions, latency_ms, strict=True)
                if value <= self._rules.max_latency_ms
            }
            players.append(Player(str(pool.player_id[row]), None, attributes, near))
        [ticket_id] = text_ids(pool.ticket_id[unit[:1]])
        return TicketRequest(ticket_id, float(pool.enqueued_at[unit].max()), tuple(players))

    def _reachable(self, ticket: TicketRequest) -> bool:
        common = set.intersection(*(set(player.latency_ms) for player in ticket.players))
        used = set(self._rules.attributes.used)
        return bool(common) and why_never(self._rules.rule_set, ticket, used) is None

    def _searching(self, pool: Pool, now: float) -> Rows:
        """The roster's tickets whose players all may be matched, in order of age; sweeps out those that have ended."""
        if not len(self._roster):
            return np.zeros(0, np.int64)
        first, _ = self._spans(np.arange(len(self._roster)))
        same = (pool.state[self._row] != FREE) & (pool.ticket_id[self._row] == self._id).all(axis=1)
        alive = np.logical_and.reduceat(same, first)
        gone = len(alive) - int(alive.sum())
        if gone > max(FEW_GONE, len(alive) // 2):
            kept = np.flatnonzero(alive)
            players = runs(*self._spans(kept))
            self._roster.keep(kept)
            self._row, self._id = self._row[players], self._id[players]
            return self._searching(pool, now)
        # A ticket may have grown older since it came: its player lost a match (salvage.py).
        self._roster.start_time = np.maximum.reduceat(pool.enqueued_at[self._row], first)
        free = same & (pool.state[self._row] == SEARCHING) & (pool.expires_at[self._row] > now)
        units = np.flatnonzero(np.logical_and.reduceat(free, first))
        head = np.ascontiguousarray(self._id[first[units]]).byteswap()  # the order of the ids as text
        return units[np.lexsort((head[:, 1], head[:, 0], self._roster.start_time[units]))]

    def _spans(self, units: Rows) -> tuple[Rows, Rows]:
        """Where each ticket's players begin in the roster, and how many they are."""
        tickets = self._roster.table.tickets[units]
        first = tickets["first"].astype(np.int64)
        return first, tickets["last"] - first
