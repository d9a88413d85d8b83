"""What becomes of collection and latency rules."""

from __future__ import annotations

from dataclasses import replace

from matchmaker.plans.drafting.draft import Draft, Piece, join_pieces
from matchmaker.plans.drafting.forms import Form, listed_form
from matchmaker.plans.layout import (
    ALL,
    AVG,
    BLOCK,
    COUNT,
    EACH,
    EQUAL,
    FINAL,
    INTERSECT,
    JOIN,
    LATENCY,
    LATENCY_DISTANCE,
    MIN,
    NONE,
    TEAM,
    UNEQUAL,
)
from matchmaker.plans.recipes import Eligibility, RoundTrip, Strings, Value
from matchmaker.rules.flexmatch.expressions import Expression


def absorb_collection(draft: Draft, index: int) -> str | None:
    """Make a rule that stands alone part of buckets or eligibility; returns what it became, None where it
    must be tested.
    """
    rule = draft.rules[index]
    most, least = _limits(draft, index)
    measured = [_of_players(draft, index, place) for place in range(len(rule.measurements))]
    forms = [form for form in measured if form is not None]
    if len(forms) < len(measured):
        return None
    if rule.operation == "intersection" or not isinstance(rule.reference, tuple):
        return None
    none = draft.always(most, 0.0) and (least == NONE or draft.always(least, 0.0))
    if not none and not all(_each(draft, index, place) for place in range(len(measured))):
        return None
    for form in forms:
        if form.source == "text":
            recipe = Eligibility(
                rule.name, form.teams, "text", form.column, UNEQUAL if none else EQUAL, texts=rule.reference
            )
        else:
            recipe = Eligibility(
                rule.name, form.teams, "list", form.column, first=most, second=least, texts=rule.reference
            )
        draft.eligibility.append(recipe)
    return "eligibility"


def collection_piece(draft: Draft, index: int, within: bool) -> Piece | None:
    """What is tested of a rule; None where only the evaluator can. ``within``: inside a compound rule."""
    rule = draft.rules[index]
    if rule.operation == "intersection":
        return _intersection(draft, index)
    if rule.operation == "contains":
        pieces = [_count(draft, index, place) for place in range(len(rule.measurements))]
    elif isinstance(rule.reference, Expression):
        # A block list is tested before a ticket joins, which a part of a statement cannot be.
        pieces = [None if within else _block(draft, index, place) for place in range(len(rule.measurements))]
    else:
        pieces = [_named(draft, index, place) for place in range(len(rule.measurements))]
    known = [piece for piece in pieces if piece is not None]
    return join_pieces(known) if len(known) == len(pieces) else None


def absorb_latency(draft: Draft, index: int) -> str | None:
    """Make the longest round trip of a rule that stands alone part of the first mask."""
    row = draft.program.rules[index]
    if row["first"] == NONE:
        return None
    draft.masks[0].append(RoundTrip(int(row["column"]), int(row["first"])))
    return "mask"


def latency_piece(draft: Draft, index: int, absorbed: bool) -> Piece | None:
    """What is tested of a rule: a mask of its own, unless that was ``absorbed``, and the distance."""
    row, pieces = draft.program.rules[index], []
    if row["first"] != NONE and not absorbed:
        mask = draft.mask(RoundTrip(int(row["column"]), int(row["first"])))
        atom = draft.atom(kind=LATENCY, rule=index, shape=EACH, column=mask, first=int(row["first"]))
        pieces.append(Piece(((atom, 0),), JOIN, "mask"))
    if row["second"] != NONE:
        draft.latency_distances.append(int(row["column"]))
        atom = draft.atom(
            kind=LATENCY_DISTANCE,
            rule=index,
            shape=EACH,
            column=len(draft.latency_distances) - 1,
            reference_shape=ALL,
            reference_function=MIN if row["distance_to_min"] else AVG,
            first=int(row["second"]),
        )
        pieces.append(Piece(((atom, 0),), JOIN, "distance of round trips"))
    return join_pieces(pieces) if pieces else None


def _limits(draft: Draft, index: int) -> tuple[int, int]:
    row = draft.program.rules[index]
    return int(row["first"]), int(row["second"])


def _of_players(draft: Draft, index: int, place: int) -> Form | None:
    """What a measurement reads of each player, if it only lists."""
    expression = draft.rules[index].measurements[place]
    if not expression.plain:
        return None
    number = int(draft.program.rules[index]["measure_from"]) + place
    return listed_form(expression, number, draft.program)


def _depth(draft: Draft, index: int, place: int) -> int:
    """Levels of lists of a measurement, as the evaluator reads it: a string may be a list of one."""
    row = draft.program.expressions[int(draft.program.rules[index]["measure_from"]) + place]
    return 1 + int(row["grouped"]) + int(row["is_set"]) - int(row["call_count"])


def _lists(draft: Draft, index: int, place: int, form: Form) -> bool:
    """Whether a measurement still has a list a player: the lists of lists have not been joined."""
    return form.source == "list" and _depth(draft, index, place) >= 2


def _each(draft: Draft, index: int, place: int) -> bool:
    """Whether a rule that names strings says something of each player of a measurement alone."""
    rule = draft.rules[index]
    form = _of_players(draft, index, place)
    if form is None:
        return False
    if rule.operation == "reference_intersection_count":
        return _lists(draft, index, place, form)
    # Of a team of one the number of players that hold it is that player's.
    alone = [draft.most(kind) == 1 and draft.fewest(kind) == 1 for kind in draft.kinds_in(form.teams)]
    by_team = _depth(draft, index, place) - (form.source == "list") == 2 or draft.capacity(form.teams) == 1
    most, least = _limits(draft, index)
    asked = draft.always(least, 1.0) and (most == NONE or bool((draft.numbers[most] >= 1.0).all()))
    whole = form.source == "text" or _lists(draft, index, place, form)
    return all(alone) and by_team and asked and whole


def _count(draft: Draft, index: int, place: int) -> Piece | None:
    """``contains``: how many players, or parties by their lists, have a string."""
    rule = draft.rules[index]
    form = _of_players(draft, index, place)
    if form is None or not isinstance(rule.reference, tuple) or form.source not in ("text", "list"):
        return None
    lists = _lists(draft, index, place, form)
    if form.source == "list" and not lists:
        return None
    most, least = _limits(draft, index)
    column = draft.value(Value("holds" if lists else "players", form.column, rule.reference[0]))
    by_team = _depth(draft, index, place) - lists == 2
    atom = draft.atom(
        kind=COUNT,
        rule=index,
        teams=form.teams,
        shape=TEAM if by_team else ALL,
        column=column,
        first=most,
        second=least,
    )
    words = f"how many have {rule.reference[0]!r}"
    return Piece(((atom, 0),), JOIN, words)


def _named(draft: Draft, index: int, place: int) -> Piece | None:
    """How many of the strings that a rule names are in each player's list, or in the list that all share."""
    rule = draft.rules[index]
    most, least = _limits(draft, index)
    if not isinstance(rule.reference, tuple):
        return None
    shared = _shared(draft, index, place)
    if shared is not None and most == NONE:
        return _shares(draft, index, shared, rule.reference)
    form = _of_players(draft, index, place)
    if form is None or form.source != "text" or not draft.always(most, 0.0) or least != NONE:
        return None
    pieces = []
    for text in rule.reference:  # none of the players may have any
        column, none = draft.value(Value("players", form.column, text)), draft.constant(0.0)
        atom = draft.atom(kind=COUNT, rule=index, teams=form.teams, shape=ALL, column=column, first=none)
        pieces.append(Piece(((atom, 0),), JOIN, f"how many have {text!r}"))
    return join_pieces(pieces) if pieces else None


def _block(draft: Draft, index: int, place: int) -> Piece | None:
    """No string of a list is one of another: block lists and ids."""
    rule = draft.rules[index]
    most, least = _limits(draft, index)
    form = _of_players(draft, index, place)
    other = _reference(draft, index)
    if form is None or other is None or form.source == "number" or other.source == "number":
        return None
    if least != NONE and not draft.always(least, 0.0):
        return None
    if not draft.always(most, 0.0) or form.teams != draft.all_teams or other.teams != draft.all_teams:
        return None
    atom = draft.atom(
        kind=BLOCK,
        rule=index,
        shape=EACH,
        column=draft.strings(Strings("list" if form.source == "list" else "text", form.column)),
        high=draft.strings(Strings("list" if other.source == "list" else "text", other.column)),
        first=most,
    )
    return Piece(((atom, 0),), JOIN, f"nobody's {rule.measurements[place].attribute} names another")


def _reference(draft: Draft, index: int) -> Form | None:
    reference = draft.rules[index].reference
    if not isinstance(reference, Expression) or not reference.plain:
        return None
    number = int(draft.program.rules[index]["reference"])
    return listed_form(reference, number, draft.program)


def _intersection(draft: Draft, index: int) -> Piece | None:
    """What the lists of all players have in common."""
    shared = [_shared(draft, index, place) for place in range(len(draft.rules[index].measurements))]
    forms = [form for form in shared if form is not None]
    if len(forms) < len(shared) or len({form.column for form in forms}) > 1:
        return None
    teams = 0
    for form in forms:
        teams |= form.teams
    return _shares(draft, index, replace(forms[0], teams=teams), None)


def _shares(draft: Draft, index: int, form: Form, among: tuple[str, ...] | None) -> Piece | None:
    if form.teams != draft.all_teams:
        return None
    most, least = _limits(draft, index)
    column = draft.strings(Strings("shared", form.column, among))
    atom = draft.atom(kind=INTERSECT, rule=index, shape=ALL, column=column, first=most, second=least)
    return Piece(((atom, 0),), JOIN if most == NONE else FINAL, "strings that all share")


def _shared(draft: Draft, index: int, place: int) -> Form | None:
    """A list attribute whose strings a measurement intersects over all of its players, one way or another."""
    rule = draft.rules[index]
    expression = rule.measurements[place]
    number = int(draft.program.rules[index]["measure_from"]) + place
    form = listed_form(expression, number, draft.program)
    if form is None or form.source != "list":
        return None
    calls = list(expression.calls)
    grouped = expression.grouped
    if calls and calls[0] == "flatten":
        calls.pop(0)
        if not grouped:
            return None  # lists joined into one
        grouped = False
    if set(calls) - {"set_intersection"}:
        return None
    if grouped and calls and draft.may_be_empty(form.teams):
        return None  # an empty team shares nothing with the others
    if rule.operation == "reference_intersection_count" and _depth(draft, index, place) != 1:
        return None  # a list a player, or a team
    return form
