"""Which tickets are never asked to join a ticket's match, and what keeps them apart from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matchmaker.plans.why.probe import Probe
from matchmaker.plans.why.walk import NO_SEAT
from matchmaker.rules.flexmatch.evaluate import ALL_HOLD
from matchmaker.rules.flexmatch.program import AGGREGATIONS, NONE
from matchmaker.rules.flexmatch.rule_set import Rule

# In this order: a ticket is counted once, by the first that keeps it apart.
REASONS = ("hopeless", "cross_play", "region", "equality", "party_size", "eligibility")


@dataclass(frozen=True, slots=True)
class Apart:
    """Tickets that one thing keeps apart from the ticket.

    Attributes:
        because: of REASONS.
        rule: the rule that does, or empty.
        tickets: rows, the nearest first.
    """

    because: str
    rule: str
    tickets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Meeting:
    """Whom a ticket may meet.

    Attributes:
        order: int32[…], rows of those who are asked, in the order in which they are.
        apart: the others.
        fits: bool[T, K], the teams in which each may be.
        alone: the rule that keeps the ticket out of every team, or empty.
    """

    order: NDArray[np.int32]
    apart: list[Apart]
    fits: NDArray[np.bool_]
    alone: str


def meet(
    probe: Probe,
    row: int,
    order: NDArray[np.int32],
    group: Sequence[int] | None = None,
    platform: Sequence[int] | None = None,
) -> Meeting:
    """Tell those who are asked from those who never are.

    Args:
        probe: the tickets.
        row: the ticket.
        order: all others, in the order in which they would be asked.
        group, platform: cross-play, as of the pool's tickets; None: all cross-play.
    """
    everybody = np.arange(len(probe.tickets), dtype=np.int32)
    fits, broken = probe.fits(everybody)
    because: dict[int, tuple[str, str]] = {}
    left = [each for each in order.tolist() if each != row]

    def sort_out(reason: str, apart: dict[int, str]) -> None:
        for each, rule in apart.items():
            because[each] = (reason, rule)
        left[:] = [each for each in left if each not in apart]

    sort_out("hopeless", {each: "" for each in left if probe.hopeless[each] is not None})
    if group is not None and platform is not None:
        meets = cross_play(row, group, platform)
        sort_out("cross_play", {each: "" for each in left if not meets[each]})
    if probe.program.by_region:
        near = _common_region(probe, row)
        sort_out("region", {each: near[each] for each in left if each in near})
    sort_out("equality", _unequal(probe, row, left))
    sort_out("party_size", {each: "" for each in left if not _room_beside(probe, row, each)})
    nowhere = {
        each: probe.rule_of(int(broken[each].max())) if broken[each].max() > ALL_HOLD else ""
        for each in left
        if not fits[each].any()
    }
    sort_out("eligibility", nowhere)
    found: dict[tuple[str, str], list[int]] = {}
    for each in order.tolist():
        if each in because:
            found.setdefault(because[each], []).append(each)
    apart = [Apart(reason, rule, tuple(rows)) for (reason, rule), rows in found.items()]
    apart.sort(key=lambda each: REASONS.index(each.because))
    own = "" if fits[row].any() else probe.rule_of(max(0, int(broken[row].max())))
    return Meeting(np.array(left, np.int32), apart, fits, own)


def is_equality(rule: Rule, probe: Probe) -> bool:
    """Whether a rule asks that all players have one value, so that those of another never meet."""
    if rule.type == "batchDistance":
        types = {attribute.name: attribute.type for attribute in probe.rules.attributes}
        return types[rule.attribute] == "string"
    alike = rule.type == "comparison" and rule.operation == "=" and rule.limit("referenceValue") is None
    everywhere = {team.name for team in probe.rules.teams}
    return (
        alike
        and rule.reference is None
        and all(each.plain and set(each.teams) == everywhere for each in rule.measurements)
    )


def cross_play(row: int, group: Sequence[int], platform: Sequence[int]) -> list[bool]:
    """Whom a ticket may meet: all who cross-play meet; who keeps to a platform meets all of it."""
    own, where = group[row], platform[row]
    return [
        own == other
        or (own > 0 and other == 0 and at == own - 1)
        or (other > 0 and own == 0 and where == other - 1)
        for other, at in zip(group, platform, strict=True)
    ]


def _common_region(probe: Probe, row: int) -> dict[int, str]:
    """Tickets that have no region in common with one, each with the rule that leaves none, or empty."""
    latency = probe.table.latency_ms
    measured = np.isfinite(latency[2])
    both = measured & measured[row]
    apart = {int(each): "" for each in np.flatnonzero(~both.any(axis=1))}
    inside = {item for rule in probe.ordered for item in rule.statement if isinstance(item, str)}
    ages = probe.table.tickets["age_s"]
    age = np.minimum(ages, ages[row]) if probe.program.newest else np.maximum(ages, ages[row])
    for index, rule in enumerate(probe.ordered):
        number = int(probe.program.rules[index]["first"])
        if rule.type != "latency" or rule.name in inside or number == NONE:
            continue
        limits = {each: probe.limits_at(each)[number] for each in set(age.tolist())}
        limit = np.array([limits[each] for each in age.tolist()])[:, None]
        within = latency[AGGREGATIONS.index(rule.party_aggregation)] <= limit * (1 + 1e-7)
        own = latency[AGGREGATIONS.index(rule.party_aggregation), row][None, :] <= limit * (1 + 1e-7)
        both = both & within & own
        for each in np.flatnonzero(~both.any(axis=1)).tolist():
            apart.setdefault(int(each), rule.name)
    return apart


def _unequal(probe: Probe, row: int, others: Sequence[int]) -> dict[int, str]:
    inside = {item for rule in probe.ordered for item in rule.statement if isinstance(item, str)}
    alike = [rule.name not in inside and is_equality(rule, probe) for rule in probe.ordered]
    if not any(alike) or not others:
        return {}
    rules = probe.program.rules.copy()
    rules["enforced"] &= np.array(alike, np.bool_)
    rows = np.array(others, np.int32)
    broken = probe.stand(probe.program._replace(rules=rules), rows, row, probe.representatives())
    # Where it holds in any team it holds.
    broken = np.where((broken == ALL_HOLD).any(axis=1), ALL_HOLD, broken.max(axis=1))
    return {
        each: probe.rule_of(rule)
        for each, rule in zip(others, broken.tolist(), strict=True)
        if rule not in (ALL_HOLD, NO_SEAT)
    }


def _room_beside(probe: Probe, row: int, other: int) -> bool:
    """Whether two tickets have room in one match, each in one team."""
    tickets = probe.table.tickets
    if tickets["backfill"][row] or tickets["backfill"][other]:
        return not (tickets["backfill"][row] and tickets["backfill"][other])
    one, two = (int(tickets["last"][each] - tickets["first"][each]) for each in (row, other))
    most = [probe.lax_number(int(team["most"])) for team in probe.program.teams]
    return any(
        one <= room and two <= (room - one if a == b else other_room)
        for a, room in enumerate(most)
        for b, other_room in enumerate(most)
    )
