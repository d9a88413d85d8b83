"""The smallest change of a rule set with which a ticket would have had a match among the same tickets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from matchmaker.plans.why.joining import reads_means
from matchmaker.plans.why.levers import Lever
from matchmaker.plans.why.probe import Built, Probe
from matchmaker.rules.flexmatch.program import Program
from matchmaker.rules.flexmatch.rule_set import MAX_TICKET_PLAYERS, RuleSet
from matchmaker.rules.flexmatch.search import (
    NOT_TRIED,
    UNMATCHED,
    SearchBudget,
    SearchResult,
    new_workspace,
    search,
)

AROUND = 200  # tickets that are tried, the nearest first; regions likewise
REGIONS = 3
MAX_SEARCHED = 64  # tickets that are searched through where walks find nothing
SEARCHED = SearchBudget(4_000, 4_000)  # nodes, some 10 ms
NARROWINGS = 14
MAX_PAIRED = 8  # numbers of which pairs are tried
ENDLESS = 1e15
LITTLE = 1e-6  # less than a change, relative: with that much less there is no match

Forms = Callable[[RuleSet, float], bool | None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rule set is changed: ``target`` as an expansion names it, the number that holds from
    ``wait_s`` on (0: the rule's or team's own).
    """

    target: str
    wait_s: float
    old: float
    new: float


@dataclass(frozen=True, slots=True)
class Change:
    """A change with which the ticket has a match.

    Attributes:
        places: what becomes of the rule set; empty: nothing, it is waiting that helps.
        seconds: how long to wait; 0 where the rule set changes.
        relative: how large it is, summed over the places' numbers: of each its part of the old value.
        tickets: the match, its tickets by id, as it forms around this ticket.
        confirmed: whether a whole cycle with the changed rule set matches the ticket too, so that no other
            takes its partners first; None: not tried.
    """

    places: tuple[Place, ...]
    seconds: float
    relative: float
    tickets: tuple[str, ...]
    confirmed: bool | None = None


class Changes:
    """Looks for changes.

    Args:
        probe: the ticket and those that no match has, of which it may be one.
        row: the ticket.
        order: rows of those whom it may meet, whatever the limits, the nearest first.
        forms: whether a whole cycle of a rule set, after so many seconds more, matches the ticket; None:
            no more work is left to try it.
    """

    def __init__(self, probe: Probe, row: int, order: NDArray[np.int32], forms: Forms) -> None:
        self._probe = probe
        self._row = row
        self._order = order[:AROUND]
        # Nearest first; then those whom a rule asks for before all others.
        roles = probe.roles_first(self._order)
        self._orders = [self._order] if np.array_equal(roles, self._order) else [self._order, roles]
        self._forms = forms
        self._program: Program = probe.program
        self._ages = probe.table.tickets["age_s"].copy()
        named = {rule.name: rule for rule in probe.ordered}
        self._means = any(reads_means(rule, named) for rule in probe.ordered)

    def single(self) -> list[Change]:
        """Each change of one number, the smallest first; before them how long to wait, where that does.

        None where nothing need change: a match around the ticket holds.
        """
        if self._around({}) is not None:
            return []
        found = [self._waiting(), *(self._lever(lever) for lever in self._probe.levers)]
        smallest = sorted(filter(None, found), key=lambda change: (not change.seconds, change.relative))
        return [self._confirmed(change) for change in smallest]

    def pair(self) -> Change | None:
        """The smallest change of two numbers, where none of one does."""
        best: Change | None = None
        useful = [lever for lever in self._probe.levers if lever.field != "maxPlayers"][:MAX_PAIRED]
        for one, two in combinations(useful, 2):
            for first in one.directions:
                for second in two.directions:
                    lax = {one: (self._lax(one, first), first), two: (self._lax(two, second), second)}
                    if (built := self._around(lax)) is None:
                        continue
                    value = self._least(one, first, {two: lax[two]}, built)
                    held = {one: (value, first)}
                    if (built := self._around({**held, two: lax[two]})) is None:
                        continue
                    other = self._least(two, second, held, built)
                    change = self._change({**held, two: (other, second)})
                    if change is not None and (best is None or change.relative < best.relative):
                        best = change
        return None if best is None else self._confirmed(best)

    def _lever(self, lever: Lever) -> Change | None:
        """The least change of one number, either way."""
        found = []
        for direction in lever.directions:
            lax = {lever: (self._lax(lever, direction), direction)}
            built = self._around(lax)
            if built is not None:
                value = self._least(lever, direction, {}, built)
                found.append(self._change({lever: (value, direction)}))
        return min(filter(None, found), key=lambda change: change.relative, default=None)

    def _least(
        self, lever: Lever, direction: float, held: Mapping[Lever, tuple[float, float]], built: Built
    ) -> float:
        """Narrow a number that does down to the least that does: each match that forms says how much it
        needs, and whether a little less forms another.
        """
        high = self._need(lever, direction, held, built)
        low = self._now(lever)
        for turn in range(NARROWINGS):
            less = 1.0 if lever.whole else LITTLE * (1.0 + abs(high))
            trial = high - direction * less if turn % 2 == 0 else (low + high) / 2
            if lever.whole:
                trial = math.floor(trial) if direction > 0 else math.ceil(trial)
            if (trial - low) * direction <= 0:
                if turn % 2 == 0:
                    break
                continue
            other = self._around({**held, lever: (trial, direction)})
            if other is None:
                if turn % 2 == 0:
                    break
                low = trial
                continue
            needed = self._need(lever, direction, held, other)
            high = needed if (high - needed) * direction > 0 else trial
        return high

    def _need(
        self, lever: Lever, direction: float, held: Mapping[Lever, tuple[float, float]], built: Built
    ) -> float:
        """The number that a match needs, all others as they are."""
        probe = self._probe
        if lever.kind == "teams":
            sizes = [0] * len(probe.copies)
            for row, team in zip(built.tickets, built.teams, strict=True):
                span = probe.table.tickets[row]
                for seat in probe.table.seat[span["first"] : span["last"]].tolist():
                    sizes[team if seat < 0 else seat] += 1
            column = "fewest" if lever.field == "minPlayers" else "most"
            own = [
                size
                for size, team in zip(sizes, probe.program.teams, strict=True)
                if int(team[column]) in lever.numbers
            ]
            return float(max(own) if direction > 0 else min(own))
        self._set(held)
        try:
            value = probe.needed(built, lever, direction)
        finally:
            self._set({})
        now = self._now(lever)
        return (
            value if math.isfinite(value) and (value - now) * direction > 0 else self._lax(lever, direction)
        )

    def _change(self, numbers: Mapping[Lever, tuple[float, float]]) -> Change | None:
        """The change, with as few places as do; None where it does not form a match after all."""
        built = self._around(numbers)
        if built is None or any(abs(value) >= ENDLESS for value, _ in numbers.values()):
            return None
        places = [
            Place(lever.target, wait_s, old, value)
            for lever, (value, direction) in numbers.items()
            for wait_s, old in self._entries(lever)
            if (value - old) * direction > 0
        ]
        ids = tuple(self._probe.tickets[row].ticket_id for row in built.tickets)
        return Change(*_sized(places), ids, None)

    def _confirmed(self, change: Change) -> Change:
        """The change in as few places as do in a whole cycle: those in force at some age, or all of them."""
        if change.seconds:
            return replace(change, confirmed=self._forms(self._probe.rules, change.seconds))
        known = {ticket.ticket_id: row for row, ticket in enumerate(self._probe.tickets)}
        ages = self._ages[[known[each] for each in change.tickets]]
        age_s = float(ages.min() if self._program.newest else ages.max())
        fewest = [each for each in change.places if each.wait_s == self._in_force(each.target, age_s)]
        told: bool | None = False
        for places in (fewest, list(change.places)):
            if {each.target for each in places} == {each.target for each in change.places}:
                told = self._forms(changed(self._probe.rules, places), 0.0)
                if told is not False:
                    return replace(change, places=tuple(places), relative=_sized(places)[2], confirmed=told)
        return replace(change, confirmed=told)

    def _waiting(self) -> Change | None:
        """The least time after which the steps that the tickets have reached by then do."""
        waits = sorted(
            {wait_s for expansion in self._probe.rules.expansions for wait_s, _ in expansion.steps}
        )
        rows = [self._row, *self._order.tolist()]
        moments = sorted(
            {wait_s - float(age) for wait_s in waits for age in self._ages[rows] if wait_s > age}
        )
        if not moments or self._after(moments[-1]) is None:
            return None
        low, high = 0, len(moments) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._after(moments[middle]) is not None else (middle + 1, high)
        # Thousandths, rounded up: a step is reached when its time has passed.
        seconds = math.ceil(moments[high] * 1000 - 1e-3) / 1000
        built = self._after(seconds)
        if built is None:
            return None
        ids = tuple(self._probe.tickets[row].ticket_id for row in built.tickets)
        return Change((), seconds, 0.0, ids, None)

    def _after(self, seconds: float) -> Built | None:
        tickets = self._probe.table.tickets
        tickets["age_s"] = self._ages + seconds
        try:
            return self._around({})
        finally:
            tickets["age_s"] = self._ages

    def _around(self, numbers: Mapping[Lever, tuple[float, float]]) -> Built | None:
        """A match around the ticket with some numbers changed, or None: by walks, then by a short search."""
        self._set(numbers)
        probe = self._probe
        try:
            asked = np.append(self._order, np.int32(self._row))
            fits, _ = probe.fits(asked)
            regions = probe.regions_of(self._row)[:REGIONS]
            for deferred in (False, True) if self._means else (False,):
                for order in self._orders:
                    _, built, _ = probe.walk(
                        self._row, order, fits, deferred=deferred, regions=regions, until_formed=True
                    )
                    if built is not None:
                        return built
            return self._search() if len(self._order) <= MAX_SEARCHED else None
        finally:
            self._set({})

    def _search(self) -> Built | None:
        probe, count = self._probe, len(self._probe.tickets)
        found = SearchResult(
            np.full(count, UNMATCHED, np.int32),
            np.zeros(len(probe.table.seat), np.int32),
            np.full(count, -1, np.int32),
            np.full(count, NOT_TRIED, np.int32),
        )
        desk = new_workspace(probe.program, count, probe.room)
        eligible = probe.table.tickets["eligible"]
        before = eligible.copy()
        eligible[:] = False
        eligible[self._order], eligible[self._row] = True, True
        try:
            anchor = np.array([self._row], np.int32)
            formed = search(
                probe.program, probe.table, anchor, self._order, SEARCHED, probe.match, desk, found, 0
            )
        finally:
            eligible[:] = before
        if not formed:
            return None
        rows = np.flatnonzero(found.match_of == 0).tolist()
        teams = [int(found.team_of[probe.table.tickets["first"][row]]) for row in rows]
        region = int(found.region_of[0]) if probe.program.by_region else -1
        return Built(tuple(rows), tuple(teams), region)

    def _set(self, numbers: Mapping[Lever, tuple[float, float]]) -> None:
        """Let the probe have some numbers at least as lax as given; none: its own."""
        program = self._program
        if numbers:
            rows, steps = program.numbers.copy(), program.steps.copy()
            for lever, (value, direction) in numbers.items():
                laxer = max if direction > 0 else min
                for number in lever.numbers:
                    rows[number]["base"] = laxer(float(rows[number]["base"]), value)
                    for step in range(rows[number]["step_from"], rows[number]["step_to"]):
                        steps[step]["value"] = laxer(float(steps[step]["value"]), value)
            program = program._replace(numbers=rows, steps=steps)
        self._probe.use(program)

    def _lax(self, lever: Lever, direction: float) -> float:
        if lever.field == "minPlayers" or lever.field == "minCount":
            return 0.0
        if lever.field == "maxPlayers":
            return max(old for _, old in self._entries(lever)) + MAX_TICKET_PLAYERS
        if lever.field == "minDistance":
            return 0.0
        return direction * ENDLESS

    def _now(self, lever: Lever) -> float:
        """The number that holds at the ticket's own age."""
        age_s = float(self._ages[self._row])
        return [value for wait_s, value in self._entries(lever) if wait_s <= age_s][-1]

    def _entries(self, lever: Lever) -> list[tuple[float, float]]:
        number = self._program.numbers[lever.number]
        steps = self._program.steps[number["step_from"] : number["step_to"]]
        return [(0.0, float(number["base"])), *((float(s["wait_s"]), float(s["value"])) for s in steps)]

    def _in_force(self, target: str, age_s: float) -> float:
        lever = next(each for each in self._probe.levers if each.target == target)
        return [wait_s for wait_s, _ in self._entries(lever) if wait_s <= age_s][-1]


def _sized(places: Sequence[Place]) -> tuple[tuple[Place, ...], float, float]:
    """Places as a change begins, and how large it is: of each number the largest part of its old value."""
    relative = sum(
        max(
            abs(place.new - place.old) / (abs(place.old) or 1.0) for place in places if place.target == target
        )
        for target in {place.target for place in places}
    )
    return tuple(places), 0.0, relative


def changed(rules: RuleSet, places: Sequence[Place]) -> RuleSet:
    """The rule set with some of its numbers changed."""
    new = {(place.target, place.wait_s): place.new for place in places}

    def value(target: str, wait_s: float, old: float) -> float:
        return new.get((target, wait_s), old)

    def size(name: str, field: str, old: int) -> int:
        return int(value(f"teams[{name}].{field}", 0.0, old))

    return replace(
        rules,
        rules=tuple(
            replace(
                rule,
                limits=tuple(
                    (field, value(f"rules[{rule.name}].{field}", 0.0, old)) for field, old in rule.limits
                ),
            )
            for rule in rules.rules
        ),
        teams=tuple(
            replace(
                team,
                min_players=size(team.name, "minPlayers", team.min_players),
                max_players=size(team.name, "maxPlayers", team.max_players),
            )
            for team in rules.teams
        ),
        expansions=tuple(
            replace(
                each,
                steps=tuple(
                    (wait_s, value(f"{each.kind}[{each.name}].{each.field}", wait_s, old))
                    for wait_s, old in each.steps
                ),
            )
            for each in rules.expansions
        ),
    )
