"""Agones' Counters and Lists of a game server, which its SDK v1beta1 changes and its allocator selects by.

A change that would leave a counter outside 0 … capacity, or a list longer than its capacity, is refused as a
whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dedicated_server.errors import DedicatedServerError

MAX_INT64 = 2**63 - 1
MAX_VALUES = 1000  # Agones' own limit on a list
MAX_COUNTERS_AND_LISTS = 100


class CounterListError(DedicatedServerError, ValueError):
    """Raised when a change is out of range or malformed. Nothing changes; the sidecar answers 400."""


class UnknownCounterListError(CounterListError, LookupError):
    """Raised when a game server has no counter or list of a name, or a list lacks a value.

    The sidecar answers 404.
    """


class DuplicateValueError(CounterListError):
    """Raised when a value is added to a list that has it. The sidecar answers 409."""


@dataclass(slots=True)
class Counter:
    """A number from 0 to ``capacity``."""

    count: int = 0
    capacity: int = 0

    @property
    def available(self) -> int:
        """How much more it can count."""
        return self.capacity - self.count

    def change(self, *, count: int | None = None, diff: int = 0, capacity: int | None = None) -> None:
        """Set what is given, then add ``diff``.

        Raises CounterListError and changes nothing where that is out of range.
        """
        new_capacity = self.capacity if capacity is None else capacity
        new_count = (self.count if count is None else count) + diff
        if not 0 <= new_capacity <= MAX_INT64:
            raise CounterListError(f"the capacity must be from 0 to {MAX_INT64}")
        if not 0 <= new_count <= new_capacity:
            raise CounterListError(f"a count of {new_count} is not within 0 to {new_capacity}")
        self.count, self.capacity = new_count, new_capacity

    def as_json(self) -> dict[str, str]:
        """Return Agones' record of it: 64-bit integers as strings."""
        return {"count": str(self.count), "capacity": str(self.capacity)}


@dataclass(slots=True)
class ValueList:
    """A list of distinct strings, at most ``capacity`` of them."""

    values: list[str] = field(default_factory=list)
    capacity: int = 0

    @property
    def available(self) -> int:
        """How many more values it can hold."""
        return self.capacity - len(self.values)

    def change(self, *, values: list[str] | None = None, capacity: int | None = None) -> None:
        """Set what is given. Raises CounterListError and changes nothing where that is out of range."""
        new_capacity = self.capacity if capacity is None else capacity
        new_values = self.values if values is None else list(dict.fromkeys(values))
        if not 0 <= new_capacity <= MAX_VALUES:
            raise CounterListError(f"the capacity of a list must be from 0 to {MAX_VALUES}")
        if len(new_values) > new_capacity:
            raise CounterListError(f"{len(new_values)} values are more than the capacity of {new_capacity}")
        self.values, self.capacity = new_values, new_capacity

    def add(self, value: str) -> None:
        """Append a value; raises DuplicateValueError, and CounterListError where the list is full."""
        if value in self.values:
            raise DuplicateValueError(f"{value!r:.60} is in the list")
        if len(self.values) >= self.capacity:
            raise CounterListError(f"the list is full: {self.capacity}")
        self.values.append(value)

    def remove(self, value: str) -> None:
        """Remove a value; raises UnknownCounterListError."""
        if value not in self.values:
            raise UnknownCounterListError(f"{value!r:.60} is not in the list")
        self.values.remove(value)

    def as_json(self) -> dict[str, Any]:
        """Return Agones' record of it."""
        return {"capacity": str(self.capacity), "values": list(self.values)}


def parse_int64(value: Any, name: str) -> int:
    """Read a 64-bit integer as gRPC's gateway does, from a number or a string; raises CounterListError."""
    if isinstance(value, str) and len(value) < 21:
        try:
            value = int(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, int) or not -MAX_INT64 - 1 <= value <= MAX_INT64:
        raise CounterListError(f"{name} must be a whole number")
    return value


def parse_strings(value: Any, name: str) -> list[str]:
    """Read a list of strings; raises CounterListError."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise CounterListError(f"{name} must be a list of strings")
    return list(value)


def parse_counters(spec: dict[str, Any]) -> dict[str, Counter]:
    """Read a fleet's counters: name → ``{"count", "capacity"}``; raises CounterListError."""
    found = {}
    for name, fields in spec.items():
        counter = Counter()
        counter.change(
            count=parse_int64(fields.get("count", 0), "count"),
            capacity=parse_int64(fields.get("capacity", 0), "capacity"),
        )
        found[name] = counter
    return found


def parse_lists(spec: dict[str, Any]) -> dict[str, ValueList]:
    """Read a fleet's lists: name → ``{"values", "capacity"}``; raises CounterListError."""
    found = {}
    for name, fields in spec.items():
        values = ValueList()
        values.change(
            values=parse_strings(fields.get("values", []), "values"),
            capacity=parse_int64(fields.get("capacity", 0), "capacity"),
        )
        found[name] = values
    return found
