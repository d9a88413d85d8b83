"""Small pools of the book, and matches of them, for its tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.bench.matchmaker.rule_sets.judge import Judge, JudgedMatch
from matchmaker.plans.book import PlanCycle, TicketBook
from matchmaker.plans.cycle import CAPS, Caps
from matchmaker.rules.flexmatch.search import SearchBudget
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer
from tests.matchmaker.plans.written import ONE, Rule, compiled

REGIONS = ["eu", "us"]
NOW = 1_000.0
NEAR: Rule = {"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5}
ALONE = CAPS._replace(search=SearchBudget(0, 0))  # what the greedy does without the search of few tickets
ATTRIBUTES: dict[str, Any] = {"level": 1.0, "mode": "a", "maps": (), "blocked": (), "likes": {}}


def player(name: str, skill: float, team: str | None = None, **others: Any) -> TicketPlayer:
    latency_ms = others.pop("latency_ms", {"eu": 20.0, "us": 90.0})
    return TicketPlayer(name, team, {**ATTRIBUTES, "skill": skill, **others}, latency_ms)


def ticket(name: str, *skills: float, waits: float = 0.0, **others: Any) -> FlexMatchTicket:
    """A ticket of a player for each skill, which has waited so long."""
    party = tuple(player(f"{name}.{place}", skill, **others) for place, skill in enumerate(skills))
    return FlexMatchTicket(name, NOW - waits, party)


class Pool:
    """A book and who is in it.

    Attributes:
        book: the book; tickets: by row.
    """

    def __init__(
        self,
        rules: Sequence[Rule] = (NEAR,),
        teams: Sequence[Rule] = ONE,
        *,
        caps: Caps = ALONE,
        **others: Any,
    ) -> None:
        made = compiled(rules, teams, **others)
        self.caps = caps
        self.judge = Judge(made.rule_set)
        self.book = TicketBook(made, REGIONS)
        self.tickets: dict[int, FlexMatchTicket] = {}
        self.last: PlanCycle | None = None

    def add(
        self, *tickets: FlexMatchTicket, group: Sequence[int] = (), platform: Sequence[int] = ()
    ) -> NDArray[np.int64]:
        rows = self.book.add(
            tickets,
            np.array(group, np.int32) if group else None,
            np.array(platform, np.int32) if platform else None,
        )
        self.tickets |= dict(zip(rows.tolist(), tickets, strict=True))
        return rows

    def rows(self, *names: str) -> NDArray[np.int64]:
        own = {each.ticket_id: row for row, each in self.tickets.items()}
        return np.array([own[name] for name in names], np.int64)

    def form(self, now: float = NOW, **others: Any) -> list[list[str]]:
        """The names of each match's tickets, in order; every match is judged. ``last`` is the cycle."""
        cycle = self.book.form(now, caps=others.pop("caps", self.caps), **others)
        self.last = cycle
        found = []
        for number in range(len(cycle.region)):
            own = cycle.match == number
            tickets = [self.tickets[row] for row in cycle.rows[own].tolist()]
            found.append(sorted(each.ticket_id for each in tickets))
            if cycle.running[number] < 0:
                seats = tuple(zip(tickets, cycle.team[own].tolist(), strict=True))
                assert self.judge.broken(JudgedMatch(now, REGIONS[cycle.region[number]], seats)) is None
        return sorted(found)

    def take(self, now: float = NOW, **others: Any) -> list[list[str]]:
        """Form matches and remove who is in them."""
        found = self.form(now, **others)
        assert self.last is not None
        self.book.remove(self.last.rows)
        return found
