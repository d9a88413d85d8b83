"""What becomes of distances, comparisons and batchDistance rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from matchmaker.plans.drafting.draft import Draft, Piece, join_pieces
from matchmaker.plans.drafting.forms import Form
from matchmaker.plans.layout import (
    ALIKE,
    ALL,
    AVG,
    BLOCK,
    COMPARE,
    COUNT,
    DEFERRABLE,
    DISTANCE,
    EACH,
    FINAL,
    JOIN,
    LESS,
    LESS_EQUAL,
    LITERAL,
    MAX,
    MIN,
    MORE,
    MORE_EQUAL,
    NONE,
    OF_TEAMS,
    PLAYERS,
    SPREAD,
    SUM,
    TEAM,
    UNEQUAL,
)
from matchmaker.plans.recipes import Alike, Eligibility, Strings, Value
from matchmaker.rules.flexmatch import program as programs

FUNCTION_WORDS: Final = ("least", "largest", "mean", "sum", "number")
OPERATION_WORDS: Final = ("<", "<=", "=", "!=", ">", ">=")


def absorb_numbers(draft: Draft, index: int) -> str | None:
    """Make a rule that stands alone part of buckets or eligibility; returns what it became, None where it
    must be tested.
    """
    row, rule = draft.program.rules[index], draft.rules[index]
    if row["kind"] == programs.BATCH_STRING:
        draft.alike.append(Alike(int(row["column"]), True))
        return "bucket"
    if row["kind"] == programs.BATCH_NUMBER:
        if not draft.always(int(row["first"]), 0.0):
            return None
        draft.alike.append(Alike(int(row["column"]), False))
        return "bucket"
    if row["reference_kind"] == programs.NO_REFERENCE and _single(draft, index):
        return "always holds"
    found = [form and _bounded(_alone(draft, form), row) for form in draft.forms(index)]
    forms = [form for form in found if form is not None and form.shape == EACH]
    if len(forms) < len(found) or not forms:
        return None
    if row["reference_kind"] == programs.EXPRESSION_REFERENCE:
        return None
    if row["reference_kind"] == programs.NO_REFERENCE:
        sources = {(form.source, form.column) for form in forms}
        if rule.operation != "=" or len(sources) > 1 or _union(forms) != draft.all_teams:
            return None
        draft.alike.append(Alike(forms[0].column, forms[0].source == "text"))
        return "bucket"
    for form in forms:
        texts = tuple(rule.reference) if isinstance(rule.reference, tuple) else ()
        draft.eligibility.append(
            Eligibility(
                rule.name,
                form.teams,
                "text" if form.source == "text" else "number",
                form.column,
                NONE if rule.type == "distance" else int(row["operation"]),
                NONE if texts else int(row["reference"]),
                int(row["first"]) if rule.type == "distance" else NONE,
                int(row["second"]) if rule.type == "distance" else NONE,
                texts,
            )
        )
    return "eligibility"


def number_piece(draft: Draft, index: int, within: bool) -> Piece | None:
    """What is tested of a rule; None where only the evaluator can. ``within``: inside a compound rule."""
    row = draft.program.rules[index]
    if row["kind"] in (programs.BATCH_NUMBER, programs.BATCH_STRING):
        return _spread(draft, index)
    found = [form and _alone(draft, form) for form in draft.forms(index)]
    forms = [form for form in found if form is not None]
    if len(forms) < len(found) or any(form.source == "list" for form in forms):
        return None
    if row["reference_kind"] == programs.NO_REFERENCE:
        differ = draft.rules[index].operation == "!=" and all(form.shape == EACH for form in forms)
        return _different(draft, index, forms, within) if differ else _among_themselves(draft, index, forms)
    pieces = []
    for form in forms:
        if row["reference_kind"] == programs.LITERAL_REFERENCE:
            piece = _against_text(draft, index, form)
        elif row["reference_kind"] == programs.NUMBER_REFERENCE:
            piece = _compared(draft, index, form, None)
        else:
            reference = draft.reference_form(index)
            piece = None if reference is None else _compared(draft, index, form, reference)
        if piece is None:
            return None
        pieces.append(piece)
    return join_pieces(pieces)


def column_of(draft: Draft, form: Form) -> int:
    """The value column of what a form reads; NONE of players."""
    return NONE if form.source == "players" else draft.value(Value("number", form.column))


def _alone(draft: Draft, form: Form) -> Form:
    """The mean, least or largest of one player is that player's value."""
    single = form.shape == ALL and draft.capacity(form.teams) == 1
    single |= form.shape == TEAM and all(draft.most(kind) == 1 for kind in draft.kinds_in(form.teams))
    if single and form.source == "number" and form.function in (MIN, MAX, AVG):
        return replace(form, shape=EACH, function=NONE)
    return form


def words_of(draft: Draft, form: Form) -> str:
    """What a form measures, in words."""
    names = [] if form.teams == draft.all_teams else draft.names_of(form.teams)
    what = "players" if form.source == "players" else draft.attributes.get(form.column, "")
    if form.shape == EACH:
        return f"each {what}" + (f" of {', '.join(names)}" if names else "")
    one = f"{FUNCTION_WORDS[form.function]} of {what}"
    if form.shape == ALL:
        return f"{one} of {', '.join(names) or 'all'}"
    of = f"of {', '.join(names)}" if names else "of the teams"
    if form.shape == TEAM:
        return f"each {one} {of}"
    return f"{FUNCTION_WORDS[form.outer]} {one} {of}"


def _numeral(draft: Draft, number: int) -> str:
    values = dict.fromkeys(f"{value:g}" for value in draft.numbers[number].tolist())
    return ", then ".join(values)


def _single(draft: Draft, index: int) -> bool:
    """Whether a rule compares one value with no other."""
    [form, *others] = draft.forms(index)
    return form is not None and not others and form.shape in (ALL, OF_TEAMS)


def _bounded(form: Form, row: np.void) -> Form:
    """The largest is at most a number where each player is, the least at least where each is."""
    if row["reference_kind"] != programs.NUMBER_REFERENCE or row["kind"] != programs.COMPARISON:
        return form
    below = form.function == MAX and row["operation"] in (LESS, LESS_EQUAL)
    above = form.function == MIN and row["operation"] in (MORE, MORE_EQUAL)
    return (
        replace(form, shape=EACH, function=NONE) if form.shape in (ALL, TEAM) and (below or above) else form
    )


def _union(forms: list[Form]) -> int:
    teams = 0
    for form in forms:
        teams |= form.teams
    return teams


def _spread(draft: Draft, index: int) -> Piece:
    row = draft.program.rules[index]
    if row["kind"] == programs.BATCH_STRING:
        return _alike(draft, index, Form(EACH, "text", int(row["column"]), draft.all_teams))
    return _spread_of(draft, index, Form(EACH, "number", int(row["column"]), draft.all_teams))


def _spread_of(draft: Draft, index: int, form: Form) -> Piece:
    """The largest less the least of all players of some teams."""
    column = column_of(draft, form)
    limit = int(draft.program.rules[index]["first"])
    atom = draft.atom(
        kind=SPREAD, rule=index, shape=EACH, teams=form.teams, column=column, high=column, first=limit
    )
    return Piece(((atom, 0),), JOIN, f"spread of {words_of(draft, replace(form, shape=EACH))}")


def _same_players(form: Form, reference: Form) -> bool:
    """Whether two forms are of all players of the same teams, in one attribute."""
    return form.shape == reference.shape == ALL and (form.teams, form.column) == (
        reference.teams,
        reference.column,
    )


def _alike(draft: Draft, index: int, form: Form) -> Piece:
    if form.source == "text":
        low, high = (draft.value(Value(kind, form.column)) for kind in ("least", "largest"))
    else:
        low = high = draft.value(Value("number", form.column))
    atom = draft.atom(kind=ALIKE, rule=index, shape=EACH, teams=form.teams, column=low, high=high)
    return Piece(((atom, 0),), JOIN, f"{words_of(draft, form)} alike")


def _different(draft: Draft, index: int, forms: list[Form], within: bool) -> Piece | None:
    """No two tickets have one value: each ticket's values block those of the others."""
    alone = sum(form.teams.bit_count() for form in forms) == draft.kinds and _union(forms) == draft.all_teams
    if within or not alone or len({(form.source, form.column) for form in forms}) > 1:
        return None  # a block list is tested before a ticket joins, which a part of a statement cannot be
    own = draft.strings(Strings("text" if forms[0].source == "text" else "number", forms[0].column))
    atom = draft.atom(kind=BLOCK, rule=index, shape=EACH, column=own, high=own)
    return Piece(((atom, 0),), JOIN, f"{words_of(draft, replace(forms[0], teams=draft.all_teams))} differs")


def _among_themselves(draft: Draft, index: int, forms: list[Form]) -> Piece | None:
    """A comparison without reference: all values equal, or all different."""
    equal = draft.rules[index].operation == "="
    if all(form.shape == EACH for form in forms):
        if len({(form.source, form.column) for form in forms}) > 1:
            return None
        return _alike(draft, index, replace(forms[0], teams=_union(forms)))
    # An empty team's mean is left out, and with it would be the least of all teams', or what others equal.
    two = len(forms) == 2 and all(form.shape in (ALL, OF_TEAMS) for form in forms)
    if (
        not two
        and draft.may_be_empty(_union(forms))
        and any(form.function not in (SUM, PLAYERS) for form in forms)
    ):
        return None
    if not equal:
        singles = all(form.shape in (ALL, OF_TEAMS) for form in forms)
        return _compared(draft, index, forms[0], forms[1]) if singles and len(forms) == 2 else None
    if any(form.shape == EACH for form in forms):
        return None
    first, pieces = forms[0], []
    for form in forms:
        if form.shape == TEAM:  # every team's value is the least of the teams'
            least = replace(form, shape=OF_TEAMS, outer=MIN)
            pieces.append(_compared(draft, index, form, least))
            first = least if first is form else first
    pieces += [_compared(draft, index, _value(form), _value(first)) for form in forms[1:]]
    known = [piece for piece in pieces if piece is not None]
    return join_pieces(known) if known and len(known) == len(pieces) else None


def _value(form: Form) -> Form:
    """Of values that are equal among themselves any: the least."""
    return replace(form, shape=OF_TEAMS, outer=MIN) if form.shape == TEAM else form


def _against_text(draft: Draft, index: int, form: Form) -> Piece | None:
    """A comparison of each player's string: how many have another (or this one) is nought."""
    rule = draft.rules[index]
    if form.source != "text" or form.shape != EACH or not isinstance(rule.reference, tuple):
        return None
    wrong = draft.value(
        Value("others" if rule.operation == "=" else "players", form.column, rule.reference[0])
    )
    none = draft.constant(0.0)
    atom = draft.atom(kind=COUNT, rule=index, shape=ALL, teams=form.teams, column=wrong, first=none)
    return Piece(((atom, 0),), JOIN, f"how many are {'not ' * (rule.operation == '=')}{rule.reference[0]!r}")


def _compared(draft: Draft, index: int, form: Form, reference: Form | None) -> Piece | None:
    """A distance or comparison of numbers; ``reference`` None: a literal."""
    row, rule = draft.program.rules[index], draft.rules[index]
    distance = rule.type == "distance"
    if form.source in ("text", "list") or (reference and reference.source in ("text", "list")):
        return None
    second = int(row["second"]) if distance else NONE
    if second != NONE and (draft.numbers[second] <= 0.0).all():
        second = NONE
    operation = NONE if distance else int(row["operation"])
    if form.shape == EACH and (second != NONE or operation == UNEQUAL):
        return None  # whom a value is too near to is not known by the least and the largest
    if reference is not None and reference.shape == EACH:
        if draft.capacity(reference.teams) != 1:
            return None
        reference = replace(reference, shape=ALL, function=MIN)
    if reference is not None and reference.shape == TEAM:
        return None
    extremes = reference is not None and {form.function, reference.function} == {MIN, MAX}
    if distance and second == NONE and reference is not None and extremes and _same_players(form, reference):
        return _spread_of(draft, index, form)
    fields = {"reference_shape": LITERAL, "reference": int(row["reference"])}
    if reference is not None:
        fields = {
            "reference_teams": reference.teams,
            "reference_shape": reference.shape,
            "reference_column": column_of(draft, reference),
            "reference_function": reference.function,
            "reference_outer": reference.outer,
        }
    atom = draft.atom(
        kind=DISTANCE if distance else COMPARE,
        rule=index,
        teams=form.teams,
        shape=form.shape,
        column=column_of(draft, form),
        function=form.function,
        outer=form.outer,
        operation=operation,
        first=int(row["first"]) if distance else NONE,
        second=second,
        **fields,
    )
    how = "apart from" if distance else OPERATION_WORDS[operation]
    to = _numeral(draft, int(row["reference"])) if reference is None else words_of(draft, reference)
    stage = _stage(draft, operation, form, reference)
    if second != NONE and reference is not None and form.teams & reference.teams:
        stage = FINAL  # one player alone is not apart from himself
    return Piece(((atom, 0),), stage, f"{words_of(draft, form)} {how} {to}")


def _stage(draft: Draft, operation: int, form: Form, reference: Form | None) -> int:
    if form.grows or (reference is not None and reference.grows):
        bounded = reference is None and operation in (LESS, LESS_EQUAL) and form.shape != OF_TEAMS
        return JOIN if bounded else FINAL
    if reference is None or form.shape == EACH:
        return JOIN
    whole = form.shape == ALL and form.teams == draft.all_teams
    fair = not whole and form.column == reference.column  # else no swap of two brings it nearer
    return DEFERRABLE if fair else JOIN
