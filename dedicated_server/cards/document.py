"""The YAML of a card as a tree whose every value knows its line.

Strict on purpose, for it comes from outside: no anchors, aliases or tags, no key twice, few levels, and
scalars are what JSON has: numbers, true, false and text. It is read from the parser's events, so that nothing
is nested deeper than we look.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

import yaml

from dedicated_server.cards.mistakes import Mistake

MAX_BYTES: Final = 64 * 1024  # a card is a page of text
MAX_DEPTH: Final = 6
MAX_NODES: Final = 4_096

_WHOLE: Final = re.compile(r"[-+]?[0-9]{1,15}")
_NUMBER: Final = re.compile(r"[-+]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][-+]?[0-9]{1,4})?")
_NO_NUMBER: Final = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)

LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # its events alone are used

Scalar = bool | int | float | str | None


@dataclass(slots=True)
class Node:
    """A value, at the line on which its key or its item begins. Only one of the three is set."""

    line: int
    scalar: Scalar = None
    mapping: dict[str, Node] | None = None
    items: list[Node] | None = None


class Unreadable(Exception):
    """The text is no such document; holds the mistakes."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__()
        self.mistakes = mistakes


def read_text(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """The text of a file. Raises Unreadable where it is missing, too large or no UTF-8."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        missing = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise Unreadable([Mistake("", f"{missing}: {error.strerror}", 0, path.name)]) from error
    if len(data) > max_bytes:
        raise Unreadable([Mistake("", f"is longer than {max_bytes:,} bytes", 0, path.name)])
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable([Mistake("", "is not UTF-8 text", line, path.name)]) from error


def parse(text: str, file: str) -> tuple[Node, list[Mistake]]:
    """The tree of a text, and keys that stand in it twice. Raises Unreadable."""
    building = _Building(file)
    try:
        for event in yaml.parse(text, Loader=LOADER):
            building.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise Unreadable([Mistake("", f"is not YAML: {error.problem or error}", line, file)]) from error
    except yaml.YAMLError as error:
        reason = str(error).splitlines()[0]
        raise Unreadable([Mistake("", f"is not YAML: {reason}", 1, file)]) from error
    except ValueError as error:  # an escape beyond Unicode
        raise Unreadable([Mistake("", f"is not YAML: {error}", 1, file)]) from error
    if building.root is None or building.root.mapping is None:
        raise Unreadable([Mistake("", "must be a mapping of keys to values", 1, file)])
    return building.root, building.mistakes


@dataclass(slots=True)
class _Open:
    """A mapping or a list that has begun; ``key`` waits for its value."""

    node: Node
    place: str
    key: str | None = None
    key_line: int = 0


@dataclass(slots=True)
class _Building:
    file: str
    root: Node | None = None
    mistakes: list[Mistake] = field(default_factory=list)
    _open: list[_Open] = field(default_factory=list)
    _nodes: int = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        match event:
            case yaml.DocumentStartEvent() if self.root is not None:
                self._refuse(line, "has a second document; keep to one")
            case yaml.AliasEvent():
                self._refuse(line, f"has an alias (*{event.anchor}); write the value out")
            case yaml.ScalarEvent() | yaml.CollectionStartEvent():
                if event.anchor is not None:
                    self._refuse(line, f"has an anchor (&{event.anchor}); write values out where they stand")
                if event.tag is not None:
                    self._refuse(line, f"has a tag ({event.tag}); leave it out")
                self._value(event, line)
            case yaml.CollectionEndEvent():
                self._open.pop()

    def _value(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, line: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(line, f"has more than {MAX_NODES:,} values")
        around = self._open[-1] if self._open else None
        if around is not None and around.node.mapping is not None and around.key is None:
            if isinstance(event, yaml.ScalarEvent):
                self._key(around, event.value, line)
                return
            self._refuse(line, "has a key that is a mapping or a list; a key is a word")
        if around is not None and around.node.mapping is not None:
            line = around.key_line
        node = Node(line)
        place = self._put(around, node)
        if isinstance(event, yaml.ScalarEvent):
            node.scalar = event.value if event.style else _scalar(event.value)
            return
        if len(self._open) >= MAX_DEPTH:
            self._refuse(line, f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.MappingStartEvent):
            node.mapping = {}
        else:
            node.items = []
        self._open.append(_Open(node, place))

    def _key(self, around: _Open, key: str, line: int) -> None:
        around.key, around.key_line = key, line
        first = (around.node.mapping or {}).get(key)
        if first is not None:
            place = f"{around.place}/{key}" if around.place else key
            self.mistakes.append(
                Mistake(place, f"is given twice, first on line {first.line}", line, self.file)
            )

    def _put(self, around: _Open | None, node: Node) -> str:
        """Hang a value into what it is in; returns its place."""
        if around is None:
            self.root = node
            return ""
        if around.node.items is not None:
            around.node.items.append(node)
            name = str(len(around.node.items) - 1)
        else:
            name = around.key or ""
            assert around.node.mapping is not None
            around.node.mapping.setdefault(name, node)
            around.key = None
        return f"{around.place}/{name}" if around.place else name

    def _refuse(self, line: int, reason: str) -> NoReturn:
        place = self._open[-1].place if self._open else ""
        raise Unreadable([*self.mistakes, Mistake(place, reason, line, self.file)])


def _scalar(text: str) -> Scalar:
    """What an unquoted word is: numbers, true and false as in JSON; nothing; else text."""
    if text in ("true", "false"):
        return text == "true"
    if text in ("", "~", "null"):
        return None
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) or _NO_NUMBER.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
