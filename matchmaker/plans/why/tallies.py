"""Which rule turned whom away: of a match around the ticket, at each step of the expansions, and of matches
around others that might have taken it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matchmaker.plans.why.asked import Meeting
from matchmaker.plans.why.levers import Lack, Lever
from matchmaker.plans.why.probe import Probe
from matchmaker.plans.why.report import Example, RuleTally, Step
from matchmaker.plans.why.walk import SEATED, Walked
from matchmaker.rules.flexmatch.expressions import Expression
from matchmaker.rules.flexmatch.rule_set import Rule

SEEDS = 24  # tickets around which a match is built to see whether it takes the ticket
MAX_STEPS = 12  # waits that are looked at
MEASURED = 40  # tickets turned away of which it is looked for what they lacked: some 0.1 ms each
MAX_READ = 8  # values of an attribute that are shown


@dataclass(frozen=True, slots=True)
class Tallies:
    """What the walks said: a tally a rule; players seated at most around the ticket, and the region; whether
    a match held.
    """

    rules: tuple[RuleTally, ...]
    seated: int
    region: int
    holds: bool


def tally(probe: Probe, row: int, meeting: Meeting) -> Tallies:
    """Build matches around a ticket and around those that could have taken it, and count refusals."""
    order = probe.roles_first(meeting.order)
    now, built, region = probe.walk(row, order, meeting.fits)
    waits = sorted({0.0, *(wait_s for e in probe.rules.expansions for wait_s, _ in e.steps)})[:MAX_STEPS]
    at = {wait_s: probe.walk(row, order, meeting.fits, wait_s, regions=[region])[0] for wait_s in waits}
    others = _around_others(probe, row, meeting)
    rules = tuple(
        _of_rule(probe, row, index, rule, now, at, others) for index, rule in enumerate(probe.ordered)
    )
    return Tallies(rules, int(now.result[0]), region, built is not None)


def _around_others(probe: Probe, row: int, meeting: Meeting) -> list[tuple[int, Walked]]:
    """Matches around the nearest of those whom the ticket may meet, each asking it before others."""
    found = []
    for seed in meeting.order[:SEEDS].tolist():
        # Asked first: by whom it is refused then, it is refused whoever else is there.
        order = np.array([row], np.int32)
        walked, _, _ = probe.walk(seed, order, meeting.fits, regions=probe.regions_of(seed)[:1])
        found.append((seed, walked))
    return found


def _of_rule(
    probe: Probe,
    row: int,
    index: int,
    rule: Rule,
    now: Walked,
    at: dict[float, Walked],
    others: Sequence[tuple[int, Walked]],
) -> RuleTally:
    away = _turned_away(now, index, row)
    refusing = [(seed, walked) for seed, walked in others if int(walked.refused[row]) == index]
    asked_least = min(
        ((probe.lacked(walked, row, math.nan), seed, walked) for seed, walked in refusing),
        key=lambda found: _apart(found[0]),
        default=None,
    )
    alone = int(now.refused[row]) == index
    complete = int(now.refused[row]) == SEATED and int(now.result[1]) == index
    end = probe.lacked(now, row, math.nan) if alone else probe.lacks_at_end(now) if complete else None
    return RuleTally(
        rule.name,
        rule.type,
        len(away),
        _nearest(probe, rule, now, away, math.nan),
        len(refusing),
        None
        if asked_least is None
        else _example(probe, rule, asked_least[2], row, asked_least[0], asked_least[1]),
        alone,
        complete,
        None if end is None else Example("", "", _field(end.lever, rule), end.value, end.allowed),
        tuple(_steps(probe, row, rule, index, at)),
    )


def _steps(probe: Probe, row: int, rule: Rule, index: int, at: dict[float, Walked]) -> list[Step]:
    names = {rule.name, *(item for item in rule.statement if isinstance(item, str))}
    levers = [lever for lever in probe.levers if lever.kind == "rules" and lever.name in names]
    own = [e for e in probe.rules.expansions if e.kind == "rules" and e.name in names]
    waits = [wait_s for wait_s in sorted({0.0, *(w for e in own for w, _ in e.steps)}) if wait_s in at]
    age_s = float(probe.table.tickets["age_s"][row])
    force = max((wait_s for wait_s in waits if wait_s <= age_s), default=0.0)
    steps = []
    for wait_s in waits:
        away = _turned_away(at[wait_s], index, row)
        numbers = probe.limits_at(wait_s)
        limits = {_field(lever, rule): numbers[lever.number] for lever in levers}
        nearest = _nearest(probe, rule, at[wait_s], away, wait_s)
        steps.append(Step(wait_s, limits, wait_s == force, len(away), nearest))
    return steps


def _turned_away(walked: Walked, index: int, row: int) -> NDArray[np.int64]:
    """Rows that a rule turned away, in the order in which they were seated beside."""
    rows: NDArray[np.int64] = np.flatnonzero(walked.refused == index)
    others: NDArray[np.int64] = rows[rows != row]
    return others


def _nearest(
    probe: Probe, rule: Rule, walked: Walked, rows: NDArray[np.int64], age_s: float
) -> Example | None:
    """Of tickets that were turned away the one that lacked least, among the first that were asked."""
    found = [(probe.lacked(walked, each, age_s), each) for each in rows[:MEASURED].tolist()]
    if not found:
        return None
    lack, best = min(found, key=lambda pair: _apart(pair[0]))
    return _example(probe, rule, walked, best, lack, best)


def _apart(lack: Lack | None) -> float:
    return math.inf if lack is None else lack.apart


def _example(probe: Probe, rule: Rule, walked: Walked, row: int, lack: Lack | None, shown: int) -> Example:
    """A refusal of the ticket of ``row``, told of that of ``shown``."""
    ticket, team = probe.tickets[shown].ticket_id, probe.copies[int(walked.team[row])]
    reads = read_by(probe, rule, shown)
    if lack is None:
        return Example(ticket, team, "", None, None, reads)
    return Example(ticket, team, _field(lack.lever, rule), lack.value, lack.allowed, reads)


def _field(lever: Lever, rule: Rule) -> str:
    return lever.field if lever.name == rule.name else f"{lever.name}.{lever.field}"


def read_by(probe: Probe, rule: Rule, row: int) -> dict[str, list[Any]]:
    """The attributes that a rule reads, of a ticket's players."""
    named = {each.name: each for each in probe.ordered}
    inside = [named[item] for item in rule.statement if isinstance(item, str)]
    names: dict[str, None] = {}
    for each in inside or [rule]:
        if each.attribute:
            names[each.attribute] = None
        reference = each.reference
        for expression in (*each.measurements, reference):
            if isinstance(expression, Expression) and expression.attribute:
                names[expression.attribute] = None
    players = probe.tickets[row].players[:MAX_READ]
    return {name: [_plain(player.attributes.get(name)) for player in players] for name in names}


def _plain(value: object) -> Any:
    if isinstance(value, tuple):
        return list(value[:MAX_READ])
    return value
