"""What is wrong with a card: every mistake with its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from dedicated_server.errors import DedicatedServerError

CLOSE = 0.6  # how alike two words are of which one may be meant by the other


class Mistake(NamedTuple):
    """One mistake.

    Attributes:
        place: the keys and numbers that lead to it, such as ``weapons/0/range_m``; "" for the whole file.
        reason: what is wrong and what to do, to be read after the place.
        line: of the file, from 1; 0 where it has none.
        file: in the mode's folder.
    """

    place: str
    reason: str
    line: int = 0
    file: str = "card.yaml"

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (where, self.place, self.reason) if part)


class CardError(DedicatedServerError, ValueError):
    """Raised when folders of modes cannot be used. The text has a line for each mistake.

    Attributes:
        mistakes: all of them, in the order of the files.
    """

    def __init__(self, lines: Iterable[str], mistakes: Iterable[Mistake]) -> None:
        super().__init__("\n".join(lines))
        self.mistakes = tuple(mistakes)

    @classmethod
    def of_folder(cls, folder: Path, mistakes: Sequence[Mistake]) -> CardError:
        """The error of one folder."""
        return cls((f"{folder}/{mistake}" for mistake in mistakes), mistakes)


def meant(word: str, known: Sequence[str]) -> str:
    """Return "; did you mean NAME?" for the known word that is probably meant; "" where none is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=CLOSE)
    return f"; did you mean {near[0]}?" if near else ""
