"""Typed values of a document: each is what it has to be, or a mistake is noted and None is returned."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dedicated_server.cards.document import Node
from dedicated_server.cards.mistakes import Mistake, meant

NAME: Final = re.compile(r"[a-z0-9_]{1,64}")
SHOWN_CHARACTERS: Final = 40


class Value:
    """A value of a document at its place, or the lack of one.

    What is asked of it either holds, or is noted as a mistake. Reading goes on with what is right.
    """

    def __init__(self, node: Node | None, place: str, line: int, file: str, mistakes: list[Mistake]) -> None:
        self.node, self.place, self.line = node, place, line
        self._file, self._mistakes = file, mistakes

    @property
    def given(self) -> bool:
        """Whether it stands in the document."""
        return self.node is not None

    def refuse(self, reason: str) -> None:
        """Note a mistake here."""
        self._mistakes.append(Mistake(self.place, reason, self.line, self._file))

    def keys(self, known: Sequence[str], required: Iterable[str] = ()) -> Mapping[str, Value]:
        """The values of a mapping by ``known`` keys, whether given or not; {} where it is no mapping.

        Other keys, and required ones that are missing, are noted.
        """
        if self.node is None or self.node.mapping is None:
            if self.node is not None:
                self.refuse(f"must be a mapping of {', '.join(known)}{self._shown()}")
            return {key: self._below(key, None) for key in known}
        for key, node in self.node.mapping.items():
            if key not in known:
                near = meant(key, known) or f"; known are {', '.join(known)}"
                self._below(key, node).refuse(f"is not a key here{near}")
        for key in required:
            if key not in self.node.mapping:
                self._below(key, None).refuse("is missing")
        return {key: self._below(key, self.node.mapping.get(key)) for key in known}

    def items(self, most: int, fewest: int = 0) -> list[Value]:
        """The items of a list of so many; [] where it is none or not given."""
        if self.node is None:
            return []
        if self.node.items is None:
            self.refuse(f"must be a list{self._shown()}")
            return []
        if not fewest <= len(self.node.items) <= most:
            size = f"{most}" if fewest == most else f"{fewest} to {most}" if fewest else f"at most {most}"
            self.refuse(f"must have {size} items (it has {len(self.node.items)})")
        return [self._below(str(index), node) for index, node in enumerate(self.node.items[:most])]

    def named(self, names: Sequence[str]) -> Mapping[str, Value]:
        """The values of a mapping whose keys are some of ``names``; {} where it is none or not given."""
        if self.node is None:
            return {}
        return {name: value for name, value in self.keys(names).items() if value.given}

    def at(self, *path: str | int) -> Value:
        """The value at a path of keys and numbers below this one; as deep as there is one."""
        value = self
        for step in path:
            node = value.node
            below: Node | None = None
            if node is not None and node.mapping is not None:
                below = node.mapping.get(str(step))
            elif node is not None and node.items is not None and int(step) < len(node.items):
                below = node.items[int(step)]
            value = value._below(str(step), below)
        return value

    def number(self, lowest: float, highest: float, *, above: bool = False) -> float | None:
        """A finite number from ``lowest`` (or above it) to ``highest``."""
        if self.node is None:
            return None
        span = f"{'above' if above else 'from'} {lowest:,g} {'and at most' if above else 'to'} {highest:,g}"
        value = self.node.scalar
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(f"must be a number {span}{self._shown()}")
            return None
        if not math.isfinite(value):
            self.refuse(f"must be a finite number {span}")
            return None
        if not lowest <= value <= highest or (above and value == lowest):
            self.refuse(f"must be {span}{self._shown()}")
            return None
        return float(value)

    def whole(self, lowest: int, highest: int) -> int | None:
        """A whole number from ``lowest`` to ``highest``."""
        if self.node is None:
            return None
        value = self.node.scalar
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            self.refuse(f"must be a whole number from {lowest:,} to {highest:,}{self._shown()}")
            return None
        return value

    def flag(self) -> bool | None:
        """True or false."""
        if self.node is None:
            return None
        if not isinstance(self.node.scalar, bool):
            self.refuse(f"must be true or false{self._shown()}")
            return None
        return self.node.scalar

    def text(self, longest: int) -> str | None:
        """Printable text on one line, of 1 to ``longest`` characters."""
        if self.node is None:
            return None
        value = self.node.scalar
        if not isinstance(value, str) or not value.strip():
            self.refuse(f"must be text{self._shown()}")
            return None
        if len(value) > longest:
            self.refuse(f"must have at most {longest} characters (it has {len(value)})")
            return None
        if not value.isprintable():
            self.refuse("must be printable text on one line")
            return None
        return value

    def name(self) -> str | None:
        """A name: small letters, digits and underscores."""
        if self.node is None:
            return None
        value = self.node.scalar
        if not isinstance(value, str) or not NAME.fullmatch(value):
            self.refuse(
                f"must be a name of small letters, digits and _, at most 64{self._shown()}"
                + ("; put a number into quotes" if isinstance(value, int | float) else "")
            )
            return None
        return value

    def names(self, most: int) -> tuple[str, ...]:
        """A list of different names; () where it is none or not given."""
        found: list[str] = []
        for item in self.items(most):
            name = item.name()
            if name in found:
                item.refuse(f"{name} is given twice")
            elif name is not None:
                found.append(name)
        return tuple(found)

    def choice(self, known: Sequence[str]) -> str | None:
        """One of ``known``."""
        if self.node is None:
            return None
        value = self.node.scalar
        if value not in known or not isinstance(value, str):
            near = meant(value, known) if isinstance(value, str) else ""
            self.refuse(f"must be one of {', '.join(known)}{self._shown()}{near}")
            return None
        return value

    def _below(self, key: str, node: Node | None) -> Value:
        place = f"{self.place}/{key}" if self.place else key
        return Value(node, place, node.line if node else self.line, self._file, self._mistakes)

    def _shown(self) -> str:
        assert self.node is not None
        if self.node.mapping is not None:
            return " (it is a mapping)"
        if self.node.items is not None:
            return " (it is a list)"
        if self.node.scalar is None:
            return " (it is empty)"
        text = repr(self.node.scalar) if isinstance(self.node.scalar, str) else f"{self.node.scalar}"
        shown = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
        return f" (it is {shown.lower() if isinstance(self.node.scalar, bool) else shown})"
