"""From rules to what is tested: rules that stand alone, and the statements of compound rules."""

from __future__ import annotations

from dataclasses import dataclass, replace

from matchmaker.plans.drafting.collection_rules import (
    absorb_collection,
    absorb_latency,
    collection_piece,
    latency_piece,
)
from matchmaker.plans.drafting.draft import Draft, Piece, join_pieces
from matchmaker.plans.drafting.number_rules import absorb_numbers, number_piece
from matchmaker.plans.layout import (
    ALIKE,
    BLOCK,
    COMPARE,
    COUNT,
    DEFERRABLE,
    DISTANCE,
    EACH,
    FINAL,
    GENERIC,
    INTERSECT,
    JOIN,
    LATENCY,
    LATENCY_DISTANCE,
    LITERAL,
    NONE,
    SPREAD,
)
from matchmaker.rules.flexmatch.expressions import Expression
from matchmaker.rules.flexmatch.program import LOGIC

# Atoms that more players can break, and not mend: what is not so can be mended by more players.
_ONCE_BROKEN = (SPREAD, ALIKE, COUNT, INTERSECT, BLOCK, LATENCY, LATENCY_DISTANCE, GENERIC)


@dataclass(frozen=True, slots=True)
class Statement:
    """A compound rule's statement, or a part of it: an operator over parts, or a rule's place alone."""

    operator: str
    parts: tuple[Statement, ...] = ()
    rule: int = NONE


def add_tests(draft: Draft) -> None:
    """Add to the draft what becomes of each rule that a match must hold.

    What a compound rule asks by ``and`` at the top stands alone, as if it were a rule of its own.
    """
    for index, row in enumerate(draft.program.rules):
        if not row["enforced"]:
            continue
        for part in _conjuncts(_statement(draft, index)):
            if part.rule != NONE:
                _stand_alone(draft, part.rule, index)
            else:
                piece = _within(draft, part, False)
                draft.pieces.append((index, piece))
                draft.note(index, piece.words)


def _statement(draft: Draft, index: int) -> Statement:
    place = {rule.name: number for number, rule in enumerate(draft.rules)}
    stack: list[Statement] = []
    for item in draft.rules[index].statement or (draft.rules[index].name,):
        if isinstance(item, str):
            stack.append(Statement("", rule=place[item]))
        else:
            operator, count = item
            parts = tuple(stack[len(stack) - count :])
            del stack[len(stack) - count :]
            stack.append(Statement(operator, parts))
    return stack[0]


def _conjuncts(statement: Statement) -> list[Statement]:
    if statement.operator != "and":
        return [statement]
    return [each for part in statement.parts for each in _conjuncts(part)]


def _stand_alone(draft: Draft, index: int, enforced: int) -> None:
    kind = draft.rules[index].type
    if kind == "latency":
        absorbed = absorb_latency(draft, index)
        piece = latency_piece(draft, index, absorbed is not None)
    else:
        absorbed = (absorb_collection if kind == "collection" else absorb_numbers)(draft, index)
        piece = None if absorbed else _piece(draft, index, False)
    for words in (absorbed, piece and piece.words):
        if words:
            draft.note(enforced, words)
    if piece is not None:
        draft.pieces += [(enforced, each) for each in _split(piece)]


def _split(piece: Piece) -> list[Piece]:
    """The atoms of a piece that asks for all of them, each by itself."""
    *codes, last = piece.code
    if last != (LOGIC["and"], len(codes)) or any(code < 0 for code, _ in codes):
        return [piece]
    return [replace(piece, code=(code,)) for code in codes]


def _piece(draft: Draft, index: int, within: bool) -> Piece:
    kind = draft.rules[index].type
    made = len(draft.atoms)
    if kind == "latency":
        piece = latency_piece(draft, index, False)
    elif kind == "collection":
        piece = collection_piece(draft, index, within)
    else:
        piece = number_piece(draft, index, within)
    if piece is not None:
        return piece
    del draft.atoms[made:]  # those of a rule that turned out to be beyond them
    atom = draft.atom(kind=GENERIC, rule=index, shape=EACH)
    return Piece(((atom, 0),), _generic_stage(draft, index), "asked of the evaluator")


def _within(draft: Draft, statement: Statement, negated: bool) -> Piece:
    """A part of a statement; ``negated``: more players may mend it where they could break it otherwise."""
    if statement.rule != NONE:
        piece = _piece(draft, statement.rule, True)
        if any(_is_final(draft, atom, negated) for atom in piece.atoms):
            return replace(piece, stage=FINAL)
        apart = all(
            draft.atoms[atom]["kind"] == DISTANCE and draft.atoms[atom]["second"] != NONE
            for atom in piece.atoms
        )
        return replace(piece, stage=JOIN) if negated and apart else piece
    negated = negated or statement.operator in ("not", "xor")
    return join_pieces([_within(draft, part, negated) for part in statement.parts], statement.operator)


def _is_final(draft: Draft, atom: int, negated: bool) -> bool:
    row = draft.atoms[atom]
    if row["kind"] == COUNT and row["second"] != NONE:
        return True
    if not negated or row["kind"] in _ONCE_BROKEN:
        return negated
    if row["kind"] in (COMPARE, DISTANCE) and row["shape"] == EACH:
        return True
    # Not near, of what is measured of the same players: one player alone is near himself.
    same = row["reference_shape"] != LITERAL and row["teams"] & row["reference_teams"]
    return bool(row["kind"] == DISTANCE and row["first"] != NONE and same)


def _generic_stage(draft: Draft, index: int) -> int:
    rule = draft.rules[index]
    if draft.program.rules[index]["hereditary"]:
        return JOIN
    if rule.type == "collection":
        only_most = rule.limit("minCount") is None and rule.operation != "intersection"
        return JOIN if only_most else FINAL
    expressions = [*rule.measurements]
    if isinstance(rule.reference, Expression):
        expressions.append(rule.reference)
    if any({"sum", "count"} & set(expression.calls) for expression in expressions):
        return FINAL
    return DEFERRABLE if isinstance(rule.reference, Expression) else JOIN
