"""What makes a match, a mode at a time: a rule set, read into the few numbers that the matching kernel works
with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from matchmaker.rules.flexmatch.document import DocumentError, Mistake
from matchmaker.rules.flexmatch.rule_set import Expansion, Rule, RuleSet, Team

RATING = "skill"  # the attribute that the meta service keeps: a ticket cannot bring its own

Steps = tuple[tuple[float, float], ...]  # (seconds waited, value from then on), ascending
BackfillPriority = Literal["high", "normal", "low"]


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one mode; a mode has one queue.

    Attributes:
        mode: the mode's name, which is its queue's name too.
        players: players in a full match.
        min_players: players with which a match may start once its oldest ticket has waited ``fill_s``.
        fill_s: seconds the oldest ticket waits for a full match.
        max_latency_ms: round trip above which a region is never chosen for a ticket.
        match_s: seconds a match lasts at most.
        teams: teams of a full match, all of the same size.
        skill: widest difference of skill within a match, by seconds waited; empty: any.
        latency: longest round trip, by seconds waited, in milliseconds; empty: ``max_latency_ms`` always.
        team_gap: widest difference between the teams' mean skills, by seconds waited; empty: any.
        min_players_by_wait: players a match needs, by seconds waited; empty: all, then ``min_players`` after
            ``fill_s``.
        region_expansion_after_s: seconds after which a ticket may play away from its nearest region; None:
            half of ``fill_s``.
        max_low_population_factor: how many times faster at most the limits of skill and round trip widen
            where too few players search to fill a match before the last limit has widened; 1: by the clock
            alone.
        backfill: whether running matches are filled before full ones are formed (high), after them (normal),
            or last.
        backfill_until: part of a match, 0 to 1, during which it requests backfill; 0: never, as where
            players are asked to accept: a slot would wait for them while the match goes on.
        accept_s: seconds that players have to accept a match; 0: nobody is asked.
        each_alone: whether in a match of one team everybody is a team of their own, as the card of the game
            mode says.
        game_mode: what the game servers play, by which players are rated too; empty: the mode of that name.
    """

    mode: str
    players: int
    min_players: int
    fill_s: float
    max_latency_ms: float
    match_s: float
    teams: int = 1
    skill: Steps = ()
    latency: Steps = ()
    team_gap: Steps = ()
    min_players_by_wait: Steps = ()
    region_expansion_after_s: float | None = None
    max_low_population_factor: float = 8.0
    backfill: BackfillPriority = "normal"
    backfill_until: float = 0.0
    accept_s: float = 0.0
    each_alone: bool = True
    game_mode: str = ""

    @property
    def region_expansion_s(self) -> float:
        """Seconds after which a ticket may play away from its nearest region."""
        return self.fill_s / 2 if self.region_expansion_after_s is None else self.region_expansion_after_s

    @property
    def team_size(self) -> int:
        """Players in a full team, which is the largest party too."""
        return self.players // self.teams

    @property
    def fully_relaxed_s(self) -> float:
        """Seconds after which nothing widens any more; what bounds a wait counts from here."""
        waits = [
            wait_s
            for steps in (self.skill, self.latency, self.team_gap, self.min_players_by_wait)
            for wait_s, _ in steps
        ]
        return max([self.region_expansion_s, *waits] + ([] if self.min_players_by_wait else [self.fill_s]))


def rules_of(rule_set: RuleSet, max_latency_ms: float, match_s: float) -> Rules:
    """A rule set as the kernel's numbers.

    The kernel forms matches of equal teams from whole pools, by the rating, a limit of the round trip and a
    limit of the difference between teams; DocumentRefused names what a rule set asks for beyond that, for
    which ``rule_set_matcher`` is.
    """
    mistakes: list[Mistake] = []
    sides = sum(each.quantity for each in rule_set.teams)
    shapes = {(team.min_players, team.max_players) for team in rule_set.teams}
    if len(shapes) > 1 or any(team.min_players < 1 for team in rule_set.teams):
        mistakes.append(Mistake("/teams", "teams of different sizes, or of nobody, are not supported here"))
    elif sides > 1 and any(team.min_players < team.max_players for team in rule_set.teams):
        mistakes.append(
            Mistake(
                "/teams", "several teams that may be short are not supported here: they would differ in size"
            )
        )
    for index, expansion in enumerate(rule_set.expansions):
        whole = expansion.field == "minPlayers" and min(value for _, value in expansion.steps) >= 1
        if expansion.kind == "teams" and (sides > 1 or not whole):
            mistakes.append(Mistake(f"/expansions/{index}", "such a change of a team is not supported here"))
    if rule_set.algorithm.expansion_age_selection != "oldest":
        mistakes.append(
            Mistake(
                "/algorithm/expansionAgeSelection",
                'must be "oldest" here: the oldest is never passed over',
            )
        )
    steps: dict[str, Steps] = {"skill": (), "latency": (), "fair": ()}
    for index, rule in enumerate(rule_set.rules):
        if rule.type.endswith("Sort"):
            continue  # the kernel gathers the nearest in skill anyway
        kind = _kind(rule, rule_set)
        if kind is None or steps[kind]:
            mistakes.append(Mistake(f"/rules/{index}", f"{rule.name} ({rule.type}) is not supported here"))
            continue
        field = "maxLatency" if kind == "latency" else "maxDistance"
        steps[kind] = _steps(rule_set, "rules", rule.name, field, float(rule.limit(field) or 0))
    if mistakes:
        raise DocumentError("rule set", mistakes)
    team: Team = rule_set.teams[0]
    fewest = tuple(
        (wait_s, value * sides)
        for wait_s, value in _steps(rule_set, "teams", team.name, "minPlayers", team.min_players)
    )
    waits = sorted({wait_s for limit in steps.values() for wait_s, _ in limit if wait_s > 0})
    latency = tuple((wait_s, min(value, max_latency_ms)) for wait_s, value in steps["latency"])
    return Rules(
        mode=rule_set.name,
        players=team.max_players * sides,
        min_players=int(min(value for _, value in fewest)),
        fill_s=fewest[-1][0],
        max_latency_ms=max((value for _, value in latency), default=max_latency_ms),
        match_s=match_s,
        teams=sides,
        skill=steps["skill"],
        latency=latency,
        team_gap=steps["fair"],
        min_players_by_wait=fewest,
        region_expansion_after_s=waits[0] if waits else 0.0,
        backfill=rule_set.algorithm.backfill_priority,  # type: ignore[arg-type]
    )


def _kind(rule: Rule, rule_set: RuleSet) -> Literal["skill", "latency", "fair"] | None:
    """Which of the kernel's limits a rule is, or None."""
    if rule.type == "latency" and rule.limit("maxDistance") is None:
        return (
            None if rule.party_aggregation == "min" else "latency"
        )  # a party is as far as its farthest player
    if rule.party_aggregation != "avg":
        return None
    if rule.type == "batchDistance" and rule.limit("maxDistance") is not None:
        return "skill" if rule.attribute == RATING else None
    if rule.type != "distance" or rule.limit("minDistance") is not None or len(rule.measurements) != 1:
        return None
    measured, reference = rule.measurements[0], rule.reference
    if reference is None or isinstance(reference, tuple) or len(rule_set.teams) != 2:
        return None
    means = (
        measured.calls == reference.calls == ("avg",) and measured.attribute == reference.attribute == RATING
    )
    return (
        "fair"
        if means and {measured.teams[0], reference.teams[0]} == {t.name for t in rule_set.teams}
        else None
    )


def _steps(rule_set: RuleSet, kind: str, name: str, field: str, base: float) -> Steps:
    found: list[Expansion] = [
        each for each in rule_set.expansions if (each.kind, each.name, each.field) == (kind, name, field)
    ]
    return ((0.0, base), *(step for each in found for step in each.steps))


def value_at(steps: Steps, waited_s: float, otherwise: float = math.inf) -> float:
    """The value of some steps after ``waited_s``; ``otherwise`` where there are none."""
    return next((value for wait_s, value in reversed(steps) if wait_s <= waited_s), otherwise)
