"""JSON as people write rule sets: strict where a mistake could hide, lenient where the guide's examples are.

A name that is there twice in one object, NaN and infinities are mistakes, which the standard reader takes
without a word. Comments are read over: the FlexMatch guide's own examples have them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

MAX_DEPTH = 100  # of lists and objects in each other: a rule set needs 6

# A string, or a comment; in a string nothing is a comment. What is not closed reaches to the end: each
# character is looked at once, whatever the text.
_STRING = r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_BRACKET = re.compile(rf"{_STRING}|[\[{{]|[\]}}]", re.DOTALL)


class JsonTextError(ValueError):
    """Raised when text is not JSON that can be used; says why, in one line."""


class RepeatedNames(dict[str, Any]):
    """An object in which names are there twice: ``repeated`` are those; the last value stands."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(name for name, _ in pairs)
        self.repeated = tuple(name for name, count in counts.items() if count > 1)


def load(text: str) -> tuple[Any, bool]:
    """Read JSON; returns it, and whether any object in it is a `RepeatedNames`.

    Raises JsonTextError.
    """
    text = text.removeprefix("\ufeff")  # the mark that some editors begin a file with
    repeats = False

    def pairs_as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeats
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        repeats = True
        return RepeatedNames(pairs)

    def read(text: str) -> Any:
        return json.loads(text, object_pairs_hook=pairs_as_object, parse_constant=_refused)

    try:
        try:
            return read(text), repeats
        except json.JSONDecodeError:
            bare = _without_comments(text)
            if bare == text:
                raise
            repeats = False
            return read(bare), repeats
    except JsonTextError:
        raise
    except RecursionError:
        raise JsonTextError(f"nests lists and objects too deeply: {MAX_DEPTH} are the most") from None
    except json.JSONDecodeError as error:
        if too_deep(text):
            raise JsonTextError(f"nests lists and objects too deeply: {MAX_DEPTH} are the most") from None
        raise JsonTextError(f"is not JSON: {error}") from None
    except ValueError:  # int() refuses what has thousands of digits
        raise JsonTextError("has a number with too many digits") from None


def too_deep(text: str) -> bool:
    """Whether more than MAX_DEPTH lists and objects stand in each other."""
    depth = 0
    for found in _BRACKET.finditer(text):
        sign = found[0]
        depth += (sign in "[{") - (sign in "]}")
        if depth > MAX_DEPTH:
            return True
    return False


def _without_comments(text: str) -> str:
    """Comments become blanks, line breaks stay: a mistake is then told at its line and column."""
    if "//" not in text and "/*" not in text:
        return text
    return _COMMENT.sub(lambda found: found[0] if found[0][0] == '"' else _blank(found[0]), text)


def _blank(comment: str) -> str:
    return re.sub(r"[^\n]", " ", comment)


def _refused(constant: str) -> Any:
    raise JsonTextError(f"is not JSON: {constant} is no number of it")
