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
from matchmaker.plans.why.probe import Built, Lever, Probe, neat
from matchmaker.plans.why.report import Example, RuleTally, Step
from matchmaker.plans.why.walk import SEATED, Walked
from matchmaker.rules.flexmatch.expressions import Expression
from matchmaker.rules.flexmatch.rule_set import Rule

SEEDS = 24  # tickets around which a match is built to see whether it takes the ticket
MAX_STEPS = 12  # waits that are looked at
MAX_READ = 8  # values of an attribute that are shown


@dataclass(frozen=True, slots=True)
class Tallies:
    """What the walks said: a tally a rule; players seated at most around the ticket, and the region; whether
    a match held; rows of those seated.
    """

    rules: tuple[RuleTally, ...]
    seated: int
    region: int
    holds: bool
    rows: tuple[int, ...]


def tally(probe: Probe, row: int, meeting: Meeting) -> Tallies:
    """Build matches around a ticket and around those that could have taken it, and count refusals."""
    order = probe.roles_first(meeting.order)
    now, built, region = probe.walk(row, order, meeting.fits)
    waits = sorted({0.0, *(wait_s for e in probe.rules.expansions for wait_s, _ in e.steps)})[:MAX_STEPS]
    at = {wait_s: probe.walk(row, order, meeting.fits, wait_s, regions=[region])[0] for wait_s in waits}
    others = _around_others(probe, row, meeting)
    age_s = float(probe.table.tickets["age_s"][row])
    rules = tuple(
        _of_rule(probe, row, index, rule, now, at, others, age_s) for index, rule in enumerate(probe.ordered)
    )
    seated = tuple(int(each) for each in np.flatnonzero(now.refused == SEATED))
    return Tallies(rules, int(now.result[0]), region, built is not None, seated)


def _around_others(probe: Probe, row: int, meeting: Meeting) -> list[tuple[int, Walked]]:
    """Matches around the nearest of those whom the ticket may meet, each asking it with the others."""
    found = []
    for seed in meeting.order[:SEEDS].tolist():
        # The ticket is asked first: by whom it is refused then, it is refused whoever else is there.
        order = np.concatenate((np.array([row], np.int32), meeting.order[meeting.order != seed]))
        walked, _, _ = probe.walk(seed, order[: SEEDS + 1], meeting.fits, regions=probe.regions_of(seed)[:1])
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
    age_s: float,
) -> RuleTally:
    alone = int(now.refused[row]) == index
    away = _turned_away(now, index, row)
    refusing = [(seed, walked) for seed, walked in others if int(walked.refused[row]) == index]
    nearest = min(refusing, key=lambda pair: _lack(pair[1], row), default=None)
    complete = int(now.refused[row]) == SEATED and int(now.result[1]) == index
    return RuleTally(
        rule.name,
        rule.type,
        len(away),
        _nearest(probe, rule, now, away),
        len(refusing),
        None if nearest is None else _example(probe, rule, nearest[1], row, nearest[0]),
        alone,
        complete,
        _example(probe, rule, now, row, row)
        if alone
        else _end(probe, rule, index, now)
        if complete
        else None,
        tuple(_steps(probe, row, rule, index, at, age_s)),
    )


def _steps(
    probe: Probe, row: int, rule: Rule, index: int, at: dict[float, Walked], age_s: float
) -> list[Step]:
    names = {rule.name, *(item for item in rule.statement if isinstance(item, str))}
    levers = [lever for lever in probe.levers if lever.kind == "rules" and lever.name in names]
    own = [e for e in probe.rules.expansions if e.kind == "rules" and e.name in names]
    waits = [wait_s for wait_s in sorted({0.0, *(w for e in own for w, _ in e.steps)}) if wait_s in at]
    force = max((wait_s for wait_s in waits if wait_s <= age_s), default=0.0)
    steps = []
    for wait_s in waits:
        walked = at[wait_s]
        away = _turned_away(walked, index, row)
        limits = probe.limits_at(wait_s)
        steps.append(
            Step(
                wait_s,
                {_field(lever, rule): limits[lever.number] for lever in levers},
                wait_s == force,
                len(away),
                _nearest(probe, rule, walked, away),
            )
        )
    return steps


def _turned_away(walked: Walked, index: int, row: int) -> NDArray[np.int64]:
    rows: NDArray[np.int64] = np.flatnonzero(walked.refused == index)
    others: NDArray[np.int64] = rows[rows != row]
    return others


def _nearest(probe: Probe, rule: Rule, walked: Walked, rows: NDArray[np.int64]) -> Example | None:
    if not len(rows):
        return None
    best = min(rows.tolist(), key=lambda each: _lack(walked, each))
    return _example(probe, rule, walked, best, best)


def _lack(walked: Walked, row: int) -> float:
    """How far a ticket was from being let in, relative to the limit; infinite where no number tells."""
    if walked.number[row] < 0:
        return math.inf
    allowed = float(walked.allowed[row])
    return abs(float(walked.value[row]) - allowed) / (1.0 + abs(allowed))


def _example(probe: Probe, rule: Rule, walked: Walked, row: int, shown: int) -> Example:
    """A refusal of the ticket of ``row``, told of that of ``shown``."""
    ticket, team = probe.tickets[shown].ticket_id, probe.copies[int(walked.team[row])]
    reads = read_by(probe, rule, shown)
    lever = next((each for each in probe.levers if walked.number[row] in each.numbers), None)
    if lever is None:
        return Example(ticket, team, "", None, None, reads)
    value = neat(float(walked.value[row]), float(walked.way[row]), lever.whole)
    return Example(ticket, team, _field(lever, rule), value, float(walked.allowed[row]), reads)


def _field(lever: Lever, rule: Rule) -> str:
    return lever.field if lever.name == rule.name else f"{lever.name}.{lever.field}"


def _end(probe: Probe, rule: Rule, index: int, walked: Walked) -> Example | None:
    """By how much the match that was built breaks a rule."""
    rows = np.flatnonzero(walked.refused == SEATED)
    if not len(rows):
        return None
    built = Built(tuple(rows.tolist()), tuple(walked.team[rows].tolist()), int(walked.result[4]))
    best: Example | None = None
    lack = math.inf
    names = {rule.name, *(item for item in rule.statement if isinstance(item, str))}
    limits = probe.limits_at(probe.age_of(built))
    for lever in probe.levers:
        if lever.kind != "rules" or lever.name not in names:
            continue
        for direction in lever.directions:
            value = probe.needed(built, lever, direction, index)
            allowed = limits[lever.number]
            apart = abs(value - allowed) / (1.0 + abs(allowed))
            if math.isfinite(value) and apart < lack:
                best, lack = Example("", "", _field(lever, rule), value, allowed), apart
    return best


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
