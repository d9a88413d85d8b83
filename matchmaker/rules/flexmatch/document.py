"""A JSON document being checked: every value knows its JSON pointer, and mistakes are collected, not raised
one by one.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matchmaker.errors import MatchmakerError
from matchmaker.rules.flexmatch.json_text import JsonTextError, RepeatedNames, load

MAX_NUMBER = sys.float_info.max  # an integer of JSON may be larger, and is no float then
MAX_REPEATED = 100  # names that are told of, of those that are there twice

_NUMBER = re.compile(r"\s*-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\s*")


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a document, and where: a JSON pointer (RFC 6901; empty: the whole document)."""

    pointer: str
    reason: str


class DocumentError(MatchmakerError):
    """Raised when a rule set or a ticket file has mistakes, all of them in ``mistakes``. Correct the file."""

    def __init__(self, what: str, mistakes: Sequence[Mistake]) -> None:
        super().__init__("; ".join(f"{what}#{m.pointer}: {m.reason}" for m in mistakes))
        self.what = what
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the document. The ``as_`` methods note a mistake and return None where the value is not of
    that kind.
    """

    raw: Any
    pointer: str
    mistakes: list[Mistake]

    def add_mistake(self, reason: str) -> None:
        """Note a mistake at this value."""
        self.mistakes.append(Mistake(self.pointer, reason))

    def child(self, key: str | int) -> Value:
        """The member ``key``, which must be there."""
        return Value(self.raw[key], f"{self.pointer}/{_token(key)}", self.mistakes)

    def get(self, key: str) -> Value | None:
        """The member ``key`` of an object; None where it is absent or null."""
        return None if self.raw.get(key) is None else self.child(key)

    def as_object(self, known: Sequence[str] | None = None, required: Sequence[str] = ()) -> Value | None:
        """Check an object: its members are among ``known`` (None: any), and ``required`` ones are there."""
        if not isinstance(self.raw, dict):
            self.add_mistake("must be an object")
            return None
        for key in self.raw:
            if known is not None and key not in known:
                self.child(key).add_mistake(f"is not supported here; supported: {', '.join(known)}")
        absent = [key for key in required if self.raw.get(key) is None]
        for key in absent:
            self.add_mistake(f"needs {key}")
        return None if absent else self

    def items(self) -> Iterator[Value]:
        """The members of an array; notes a mistake where it is none."""
        if not isinstance(self.raw, list):
            self.add_mistake("must be an array")
            return
        for index in range(len(self.raw)):
            yield self.child(index)

    def as_text(self, empty: bool = False) -> str | None:
        """A string; one that is not empty, unless ``empty`` may be."""
        if isinstance(self.raw, str) and (self.raw or empty):
            return self.raw
        self.add_mistake("must be a string" if empty else "must be a string that is not empty")
        return None

    def as_number(self, at_least: float = -math.inf, text: bool = True) -> float | None:
        """A finite number; with ``text`` also a string that holds one, as the guide's examples have it."""
        raw = self.raw
        if text and isinstance(raw, str) and _NUMBER.fullmatch(raw):
            raw = float(raw)
        if isinstance(raw, int | float) and not isinstance(raw, bool) and abs(raw) <= MAX_NUMBER:
            if raw >= at_least:
                return float(raw)
            self.add_mistake(f"must be at least {at_least:g}")
        else:
            self.add_mistake("must be a number")
        return None

    def as_count(self, at_least: int = 0, at_most: int | None = None) -> int | None:
        """A whole number within limits."""
        number = self.as_number(at_least)
        if number is None:
            return None
        if number != int(number):
            self.add_mistake("must be a whole number")
            return None
        if at_most is not None and number > at_most:
            self.add_mistake(f"must be at most {at_most}")
            return None
        return int(number)

    def as_choice(self, choices: Sequence[str]) -> str | None:
        """One of ``choices``."""
        if self.raw in choices:
            return str(self.raw)
        self.add_mistake(f"must be one of {', '.join(choices)}")
        return None

    def as_texts(self) -> tuple[str, ...] | None:
        """An array of strings, which may be empty."""
        texts = [item.as_text(empty=True) for item in self.items()]
        return None if not isinstance(self.raw, list) or None in texts else tuple(str(t) for t in texts)


def parse(text: str, what: str) -> Value:
    """Read JSON; names that are there twice in one object are mistakes of it already.

    Raises DocumentError where it is none.
    """
    try:
        raw, repeats = load(text)
    except JsonTextError as error:
        raise DocumentError(what, [Mistake("", str(error))]) from error
    document = Value(raw, "", [])
    if repeats:
        _note_repeated(document)
    return document


def _note_repeated(document: Value) -> None:
    """Note each name that is there twice. Walks without recursion: the text decides how deep it goes."""
    left = [document]
    while left and len(document.mistakes) < MAX_REPEATED:
        value = left.pop()
        if isinstance(value.raw, RepeatedNames):
            for name in value.raw.repeated:
                value.child(name).add_mistake(
                    "is there twice in one object: of two only the last would count"
                )
        if isinstance(value.raw, dict):
            left += [value.child(name) for name in reversed(value.raw)]
        elif isinstance(value.raw, list):
            left += [value.child(index) for index in reversed(range(len(value.raw)))]


def _token(key: str | int) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")
