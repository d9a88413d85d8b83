"""What is said of a ticket: as a document with stable keys, and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from launchday.escapes import escaped
from matchmaker.plans.why.changes import Change

SHOWN = 3  # names in a line


@dataclass(frozen=True, slots=True)
class Example:
    """A ticket that was turned away.

    Attributes:
        ticket: its id.
        team: where it was tried.
        limit: the number that it would have had to be within, such as ``maxDistance``; empty where a rule has
            none that could have let it in.
        measured: what came out; allowed: the number as it is. None where there is none.
        reads: the attributes that the rule reads, of the players of that ticket.
    """

    ticket: str
    team: str
    limit: str
    measured: float | None
    allowed: float | None
    reads: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """A rule at one step of its expansions, as if all had waited so long.

    Attributes:
        wait_s: seconds; 0 is before the first step.
        limits: the rule's numbers then, by their names.
        in_force: whether it holds at the ticket's age now.
        turned_away: tickets that this rule then turned away from the ticket's match.
        nearest: the one that lacked least.
    """

    wait_s: float
    limits: dict[str, float]
    in_force: bool
    turned_away: int
    nearest: Example | None


@dataclass(frozen=True, slots=True)
class RuleTally:
    """What one rule did.

    Attributes:
        rule, type: its name and type.
        turned_away: tickets refused by the match that is built around the ticket, now.
        nearest: of these the one that lacked least.
        refused_it: tickets around which a match was built that refused this ticket by the rule.
        refused_nearest: of these the one that asked least.
        alone: whether the ticket breaks the rule by itself.
        at_end: whether the match that was built breaks it when it is complete; ``end`` by how much.
        steps: of its expansions.
    """

    rule: str
    type: str
    turned_away: int
    nearest: Example | None
    refused_it: int
    refused_nearest: Example | None
    alone: bool
    at_end: bool
    end: Example | None
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class NeverAsked:
    """Tickets that never come to be asked: ``because`` hopeless, cross_play, region, equality, party_size or
    eligibility; by which rule (or empty); how many; the nearest one, what the rule reads of it, and a detail.
    """

    because: str
    rule: str
    tickets: int
    nearest: str
    reads: dict[str, list[Any]]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Short:
    """What is short among the tickets that may be asked: ``what``, how many a match needs at least, and how
    many there are.
    """

    what: str
    needed: int
    there: int


@dataclass(frozen=True, slots=True)
class Matched:
    """The match that a ticket has: region, players by team, tickets."""

    region: str | None
    teams: dict[str, list[str]]
    tickets: list[str]


@dataclass(frozen=True, slots=True)
class Why:
    """Why a ticket has no match, or which it has.

    Attributes:
        ticket: its id.
        waited_s: seconds, at the time asked about.
        matched: its match; all that follows is empty then.
        reason: one sentence.
        tickets: how many wait, itself included; ``in_matches`` of them play with others, ``left_out`` were
            not looked at, being farther away than those that were.
        asked: tickets that may be asked to join it; ``never_asked`` the others.
        seated: players of the largest match that could be built around it, of ``fewest`` that a match needs.
        region: where it was built, or None.
        holds: whether that match holds: then nothing need change, and others took its players or the work of
            a cycle did not suffice.
        rules: a tally each.
        short: what there is too little of.
        changes: each single change that gives it a match, waiting first, then the smallest; where there is
            none, one of two numbers or nothing.
    """

    ticket: str
    waited_s: float
    matched: Matched | None
    reason: str
    tickets: int
    in_matches: int
    left_out: int
    asked: int
    never_asked: tuple[NeverAsked, ...]
    seated: int
    fewest: int
    region: str | None
    holds: bool
    rules: tuple[RuleTally, ...]
    short: tuple[Short, ...]
    changes: tuple[Change, ...]

    def as_document(self) -> dict[str, Any]:
        """As JSON has it; the keys are those of the attributes."""
        document: dict[str, Any] = _plain(asdict(self))
        return document

    def lines(self) -> Iterator[str]:
        """A line each; the names of others are escaped."""
        name = escaped(self.ticket)
        if self.matched is not None:
            yield f"{name} has a match, region {escaped(self.matched.region or 'any')}"
            for team, players in self.matched.teams.items():
                yield f"  {escaped(team)}: {', '.join(map(escaped, players))}"
            return
        yield f"{name} has no match after {self.waited_s:g} s: {escaped(self.reason)}"
        left_out = f", {self.left_out} farther away were not looked at" if self.left_out else ""
        yield (
            f"{self.tickets} tickets wait, {self.in_matches} are in matches of others, {self.asked} may be "
            f"asked{left_out}"
        )
        for each in self.never_asked:
            yield f"  never asked: {_never(each)}"
        yield (
            f"around it {self.seated} players can be seated, a match needs {self.fewest}"
            + (f" (region {escaped(self.region)})" if self.region else "")
        )
        for tally in self.rules:
            yield from _tally(tally)
        for lack in self.short:
            yield f"short: {escaped(lack.what)}: {lack.needed} needed, {lack.there} there"
        for change in self.changes:
            yield f"would match: {sentence(change)}"
        if self.holds:
            yield "would match: as it is, where the players around it are not taken by others first"
        elif not self.changes:
            yield "would match: by no change of one number or two, among these tickets"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    return [_plain(member) for member in value] if isinstance(value, list | tuple) else value


def sentence(change: Change) -> str:
    """A change in words."""
    if change.seconds:
        text = f"after {change.seconds:g} s more, by the expansions"
    else:
        text = " and ".join(
            f"{escaped(place.target)} {place.new:.12g} instead of {place.old:.12g}"
            + (f" (from {place.wait_s:g} s on)" if place.wait_s else "")
            for place in change.places
        )
    ids = [escaped(each) for each in change.tickets]
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    alone = {None: "; not tried in a whole cycle", True: ""}.get(
        change.confirmed, "; in a whole cycle others take its partners first"
    )
    return f"{text}: {', '.join(ids[:SHOWN])}{more}{alone}"


def _never(each: NeverAsked) -> str:
    reasons = {
        "hopeless": "can never match anybody",
        "cross_play": "keep to another platform",
        "region": "share no region with it",
        "equality": "have another value",
        "party_size": "have no room beside its party",
        "eligibility": "may be in no team",
    }
    rule = f" ({escaped(each.rule)})" if each.rule else ""
    detail = f": {escaped(each.detail)}" if each.detail else ""
    nearest = f"the nearest {escaped(each.nearest)}{_reads(each.reads)}{detail}"
    return f"{each.tickets} {reasons[each.because]}{rule}, {nearest}"


def _tally(tally: RuleTally) -> Iterator[str]:
    name = f"rule {escaped(tally.rule)} ({tally.type})"
    said: list[str] = []
    if tally.alone:
        said.append("the ticket breaks it by itself")
    if tally.turned_away:
        said.append(f"turned away {tally.turned_away}{_example(tally.nearest)}")
    if tally.refused_it:
        said.append(f"refused it in {tally.refused_it} matches of others{_example(tally.refused_nearest)}")
    if tally.at_end:
        said.append(f"the full match breaks it{_example(tally.end)}")
    yield f"{name}: {'; '.join(said) or 'turned nobody away'}"
    if len(tally.steps) > 1:
        for step in tally.steps:
            limits = ", ".join(f"{limit} {value:g}" for limit, value in step.limits.items())
            now = ", in force now" if step.in_force else ""
            yield (
                f"  once all have waited {step.wait_s:g} s ({limits}{now}): turned away "
                f"{step.turned_away}{_example(step.nearest)}"
            )


def _example(example: Example | None) -> str:
    if example is None:
        return ""
    ticket = f" {escaped(example.ticket)}" if example.ticket else ""
    at = f", the nearest{ticket}" if ticket else ""
    if example.measured is None or example.allowed is None:
        return f"{at}{_reads(example.reads)}"
    return f"{at}: {example.limit} would have to be {example.measured:.12g}, is {example.allowed:.12g}"


def _reads(reads: dict[str, list[Any]]) -> str:
    parts = [
        f"{escaped(name)} {', '.join(escaped(_short(value)) for value in values[:SHOWN])}"
        for name, values in reads.items()
    ]
    return f" ({'; '.join(parts)})" if parts else ""


def _short(value: object) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
