"""Which players a part of a flood has: parties are dealt in turn, so that parts are disjoint and complete."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from loadtest.errors import PartError
from loadtest.scenario.population import Population

MAX_PARTS = 1_000


class Part(NamedTuple):
    """One part of a flood.

    Attributes:
        number: from 1.
        of: how many parts there are.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a part such as ``2/4``. Raises PartError."""
        found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text, re.ASCII)
        if found is not None:
            number, of = int(found[1]), int(found[2])
            if 1 <= number <= of <= MAX_PARTS:
                return cls(number, of)
        raise PartError(
            f"--part {text}: give a part and how many there are, such as 2/4 ({MAX_PARTS} at most)"
        )

    @property
    def file_name(self) -> str:
        """The name of the file that a part writes where none is given."""
        return f"part-{self.number}-of-{self.of}.zip"

    def __str__(self) -> str:
        return f"part {self.number} of {self.of}"

    def members(self, population: Population) -> npt.NDArray[np.int64]:
        """int64[m]: the players of this part by their numbers in the whole population, in order.

        A party is in one part, with all its members.
        """
        return np.flatnonzero(population.party % self.of == self.number - 1)

    def players(self, population: Population) -> Population:
        """The population of this part: the same players at the same times as in the whole."""
        mine = self.members(population)
        arrays: dict[str, Any] = {
            field.name: value[mine]
            for field in fields(population)
            if isinstance(value := getattr(population, field.name), np.ndarray)
        }
        return replace(population, **arrays)
