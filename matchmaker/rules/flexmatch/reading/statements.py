"""Statements of compound rules: ``or(Close, and(Same mode, not(Far)))``, read into postfix order.

Read with a stack of its own, so that no text is too deep for the interpreter.
"""

from __future__ import annotations

import re
from collections.abc import Collection

OPERATORS = {"and": (2, None), "or": (2, None), "xor": (2, 2), "not": (1, 1)}  # fewest and most arguments
MAX_DEPTH = 64  # of operators in each other
MAX_NAMES = 64  # so that a stack of as many verdicts suffices to judge any statement
SHAPE = "must be like or(RuleA, and(RuleB, not(RuleC)))"

_OPENING = re.compile(r"\s*(\w+)\s*\(")
_WORD = re.compile(r"[^,()]*")

Postfix = tuple[str | tuple[str, int], ...]


class StatementError(ValueError):
    """Raised when text is no statement; says what is wrong with it."""


def parse_statement(text: str, names: Collection[str]) -> Postfix:
    """Read a statement.

    Args:
        text: as FlexMatch writes it.
        names: the rules that stand before it; they may have any characters, blanks and brackets included.

    Returns:
        Postfix order: names of rules, and operators with the number of their arguments.

    Raises:
        StatementError: it is none.
    """
    by_length = sorted(names, key=len, reverse=True)
    postfix: list[str | tuple[str, int]] = []
    open_operators: list[tuple[str, int]] = []  # each with the arguments that it has so far
    at, named = 0, 0
    while True:
        if (opening := _OPENING.match(text, at)) and opening[1] in OPERATORS:
            open_operators.append((opening[1], 0))
            if len(open_operators) > MAX_DEPTH:
                raise StatementError(f"nests operators too deeply: {MAX_DEPTH} are the most")
            at = opening.end()
            continue
        if opening and not _named_at(text, at, by_length):
            raise StatementError(f"there is no operator {opening[1]}; operators: {', '.join(OPERATORS)}")
        name = _named_at(text, at, by_length)
        if name is None:
            word = _WORD.match(text, at)
            found = word[0].strip() if word else ""
            raise StatementError(f"{found} is no rule declared before this one" if found else SHAPE)
        postfix.append(name)
        named += 1
        if named > MAX_NAMES:
            raise StatementError(f"names more than {MAX_NAMES} rules")
        at = text.index(name, at) + len(name)
        at = _close(text, at, open_operators, postfix)
        if not open_operators:
            break
    if text[at:].strip():
        raise StatementError(SHAPE)
    if len(postfix) == 1:
        raise StatementError("needs and, or, xor or not around its rules")
    return tuple(postfix)


def _named_at(text: str, at: int, by_length: Collection[str]) -> str | None:
    """The longest name that stands here and ends before a comma, a parenthesis or the end; or None."""
    begin = at + len(text[at:]) - len(text[at:].lstrip())
    for name in by_length:
        for start in (at, begin):
            if text.startswith(name, start) and re.match(r"\s*(?:[,)]|\Z)", text[start + len(name) :]):
                return name
    return None


def _close(
    text: str, at: int, open_operators: list[tuple[str, int]], postfix: list[str | tuple[str, int]]
) -> int:
    """Go on behind an argument: over the parentheses that close, and the comma; returns where."""
    while open_operators:
        operator, arguments = open_operators.pop()
        arguments += 1
        sign = re.compile(r"\s*([,)]?)").match(text, at)
        assert sign is not None  # it matches nothing at all, too
        at = sign.end()
        if sign[1] == ",":
            open_operators.append((operator, arguments))
            return at
        if sign[1] != ")":
            raise StatementError(SHAPE)
        fewest, most = OPERATORS[operator]
        if arguments < fewest or (most is not None and arguments > most):
            raise StatementError(f"{operator} takes {'one argument' if most == 1 else 'two arguments'}")
        postfix.append((operator, arguments))
    return at
