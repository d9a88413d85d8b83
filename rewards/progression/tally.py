"""Tallies: what of an event counts, for whom and how much, named by fields of the schema.

Rules and challenges name a kind of event, the players for whom it counts, conditions and perhaps a number
that adds up. A field is named by its name, one of a list's entries by both, as in ``placements.player_id``. A
tally is checked against the schema when its file is read, and written as text and compiled once, as the
checks of events are (`rewards.events.checks`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from launchday.escapes import escaped
from rewards.events.kinds import FLOATS, INTEGERS, KINDS, is_player

Value = bool | int | float | str
"""What a condition compares with: a number, a text, yes or no, or a word of an enumeration."""

Amounts = Callable[[Any], Iterable[tuple[int, int]]]
"""Takes an event; gives (player id, amount) of each player for whom it counts."""

MAX_AMOUNT = 1_000_000_000  # of one event; no number of events overflows a bigint
NO_CONDITIONS: Mapping[str, Value] = MappingProxyType({})
_COMPARISONS = {"over_": ">", "min_": ">=", "max_": "<="}


@dataclass(frozen=True, slots=True)
class Tally:
    """What of one kind of event counts.

    Attributes:
        kind: of event.
        to: the players for whom: a field that holds one or more; "": whom the event is keyed by, or the
            players of its only list of players.
        adds: the number that adds up, in whole units; "": each event is one.
        where: the conditions, all of which must hold. A field's name: it is that. ``over_``, ``min_`` or
            ``max_`` before the name of a number: it is more than that, at least or at most that. Fields of
            the list that ``to`` or ``adds`` goes through are those of the entry.
    """

    kind: str
    to: str = ""
    adds: str = ""
    where: Mapping[str, Value] = field(default_factory=lambda: NO_CONDITIONS)

    def mistakes(self, name: str = "") -> list[str]:
        """Say what of it the schema does not have, a line each; ``name``: what the file calls the event."""
        if self.kind not in KINDS:
            return [f"there is no event called {escaped(self.kind)}, only {', '.join(sorted(KINDS))}"]
        return [escaped(line) for line in _Reading(self, name or self.kind).mistakes]

    def compiled(self) -> Amounts:
        """Return the function that counts events. Raises ValueError for what the schema does not have."""
        if told := self.mistakes():
            raise ValueError("; ".join(told))
        reading = _Reading(self, self.kind)
        text = "\n".join(["def amounts(event):", *(f"    {line}" for line in _lines(self, reading))])
        names: dict[str, Any] = {f"value_{n}": each.value for n, each in enumerate(reading.conditions)}
        exec(compile(text, f"<tally of {self.kind}>", "exec"), names)
        return cast(Amounts, names["amounts"])


class _Place(NamedTuple):
    """A field of an event, or of the entries of one of its lists."""

    field: FieldDescriptor
    of_list: FieldDescriptor | None = None


class _Condition(NamedTuple):
    place: _Place
    comparison: str
    value: Value


class _Reading:
    """A tally's names, found in the schema; ``mistakes`` has a line for each that is not there."""

    def __init__(self, tally: Tally, name: str) -> None:
        self._name = name
        self._message: Descriptor = KINDS[tally.kind].message
        self.mistakes: list[str] = []
        self.to = self._recipients(tally)
        self.adds = self._number(tally.adds) if tally.adds else None
        lists = [place.of_list for place in (self.to, self.adds) if place is not None and place.of_list]
        if len({each.name for each in lists}) > 1:
            self.mistakes.append(f"adds: {tally.adds} is of another list than {tally.to}")
        self.of_list = lists[0] if lists else None
        self.conditions = [
            found for key, value in tally.where.items() if (found := self._condition(key, value)) is not None
        ]

    def _recipients(self, tally: Tally) -> _Place | None:
        there = dict(_players(self._message))
        wanted = tally.to
        if not wanted:
            key = KINDS[tally.kind].key
            wanted = key if key in there else next(iter(there)) if len(there) == 1 else ""
        if wanted not in there:
            what = (
                f"{wanted} is no player of a {self._name}"
                if wanted
                else f"say which player of a {self._name}"
            )
            self.mistakes.append(f"to: {what}: {', '.join(there) or 'it has none'}")
        return there.get(wanted)

    def _number(self, name: str) -> _Place | None:
        there = dict(_numbers(self._message))
        if name not in there:
            self.mistakes.append(
                f"adds: {name} is no number of a {self._name}: {', '.join(there) or 'it has none'}"
            )
        return there.get(name)

    def _condition(self, key: str, value: Value) -> _Condition | None:
        there = {field.name: _Place(field) for field in self._message.fields if _is_comparable(field)}
        if self.of_list is not None:
            entry = self.of_list.message_type
            assert entry is not None
            there |= {each.name: _Place(each, self.of_list) for each in entry.fields if _is_comparable(each)}
        name, comparison = key, "=="
        if key not in there:
            for prefix, sign in _COMPARISONS.items():
                if key.startswith(prefix):
                    name, comparison = key.removeprefix(prefix), sign
        place = there.get(name)
        if place is None:
            self.mistakes.append(
                f"where.{key}: a {self._name} has no {name}, only {', '.join(sorted(there))}"
            )
            return None
        word = _known_value(place.field, comparison, value)
        if word is None:
            self.mistakes.append(f"where.{key}: {value!r} is not {_wanted(place.field, comparison)}")
            return None
        return _Condition(place, comparison, word)


def _lines(tally: Tally, reading: _Reading) -> Iterator[str]:
    to, adds, of_list = reading.to, reading.adds, reading.of_list
    assert to is not None
    of_event, of_entry = (
        [
            _expression(number, each)
            for number, each in enumerate(reading.conditions)
            if (each.place.of_list is None) == is_of_event
        ]
        for is_of_event in (True, False)
    )
    if to.of_list is None and to.field.has_presence:
        of_event.append(f"event.HasField({to.field.name!r})")
    if of_event:
        yield f"if not ({' and '.join(of_event)}):"
        yield "    return ()"
    if adds is not None and not (adds.of_list is not None and to.of_list is not None):
        number = f"event.{adds.field.name}"
        if adds.of_list is not None:
            # Whole units of each event: sums of floats would depend on the order of events.
            number = f"sum(each.{adds.field.name} for each in event.{adds.of_list.name}{_if(of_entry)})"
        yield f"amount = min(int({number}), {MAX_AMOUNT})"
        yield "if amount <= 0:"
        yield "    return ()"
    amount = "1" if adds is None else "amount"
    if of_list is not None and to.of_list is not None:
        if adds is not None and adds.of_list is not None:
            of_entry.append(f"(amount := min(int(each.{adds.field.name}), {MAX_AMOUNT})) > 0")
        yield f"return [(each.{to.field.name}, {amount}) for each in event.{of_list.name}{_if(of_entry)}]"
    elif to.field.is_repeated:
        yield f"return [(player, {amount}) for player in event.{to.field.name}]"
    else:
        yield f"return ((event.{to.field.name}, {amount}),)"


def _if(conditions: list[str]) -> str:
    return f" if {' and '.join(conditions)}" if conditions else ""


def _expression(number: int, condition: _Condition) -> str:
    variable, field = _variable(condition.place), condition.place.field
    compared = f"{variable}.{field.name} {condition.comparison} value_{number}"
    return f"{variable}.HasField({field.name!r}) and {compared}" if field.has_presence else compared


def _variable(place: _Place) -> str:
    return "event" if place.of_list is None else "each"


def _players(message: Descriptor) -> Iterator[tuple[str, _Place]]:
    for found in message.fields:
        if is_player(found):
            yield found.name, _Place(found)
        elif found.message_type is not None and found.is_repeated:
            for inner in found.message_type.fields:
                if is_player(inner) and not inner.is_repeated:
                    yield f"{found.name}.{inner.name}", _Place(inner, found)


def _numbers(message: Descriptor) -> Iterator[tuple[str, _Place]]:
    for found in message.fields:
        if _is_number(found):
            yield found.name, _Place(found)
        elif found.message_type is not None and found.is_repeated:
            for inner in found.message_type.fields:
                if _is_number(inner):
                    yield f"{found.name}.{inner.name}", _Place(inner, found)


def _is_number(found: FieldDescriptor) -> bool:
    return found.type in (*INTEGERS, *FLOATS) and not found.is_repeated and not is_player(found)


def _is_comparable(found: FieldDescriptor) -> bool:
    others = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_ENUM)
    return _is_number(found) or (found.type in others and not found.is_repeated)


def _known_value(found: FieldDescriptor, comparison: str, value: Value) -> Value | None:
    """What a field is compared with, or None where the two cannot be compared."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if comparison != "==":
        return value if _is_number(found) and is_number else None
    if found.type == FieldDescriptor.TYPE_STRING:
        return value if isinstance(value, str) and value else None
    if found.type == FieldDescriptor.TYPE_BOOL:
        return value if isinstance(value, bool) else None
    if found.enum_type is not None:
        return _words(found).get(str(value))
    is_whole = isinstance(value, int) and is_number and found.type in INTEGERS
    return value if is_whole else None  # two floats are the same by chance alone


def _wanted(found: FieldDescriptor, comparison: str) -> str:
    if comparison != "==" or found.type in INTEGERS:
        return "a number" if _is_number(found) else f"to be compared: {found.name} is no number"
    if found.type in FLOATS:
        return f"to be equal to: give {', '.join(f'{sign}{found.name}' for sign in _COMPARISONS)}"
    if found.enum_type is not None:
        return f"one of {', '.join(_words(found))}"
    return "yes or no" if found.type == FieldDescriptor.TYPE_BOOL else "a text"


def _words(found: FieldDescriptor) -> dict[str, int]:
    """The words of an enumeration, as columns have them: without its name before them."""
    assert found.enum_type is not None
    return {each.name.split("_", 1)[1].lower(): each.number for each in found.enum_type.values}
