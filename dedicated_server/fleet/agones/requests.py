"""Agones' allocation request and answer, in the JSON of its allocator.

64-bit integers may be numbers or strings, and unknown fields are ignored, as by gRPC's gateway.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

NAMESPACE = "default"

Whole = int | str
Labels = dict[str, str]


class _Agones(msgspec.Struct, rename="camel", omit_defaults=False):
    """Fields in camelCase."""


class Expression(_Agones):
    """A condition on one label, as Kubernetes has it."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []


class CounterSelector(_Agones):
    """The counts that a server may have; a maximum of 0 is no limit."""

    min_count: Whole = 0
    max_count: Whole = 0
    min_available: Whole = 0
    max_available: Whole = 0


class ListSelector(_Agones):
    """The lists that a server may have; a maximum of 0 is no limit."""

    contains_value: str = ""
    min_available: Whole = 0
    max_available: Whole = 0


class Selector(_Agones):
    """The game servers that may be chosen: all conditions hold."""

    match_labels: Labels = {}
    match_expressions: list[Expression] = []
    game_server_state: Literal["READY", "ALLOCATED"] = "READY"
    counters: dict[str, CounterSelector] = {}
    lists: dict[str, ListSelector] = {}


class Priority(_Agones):
    """Which server goes first by what a counter or list has left: the fullest (ascending) or emptiest."""

    key: str
    type: Literal["Counter", "List"] = "Counter"
    order: Literal["Ascending", "Descending"] = "Ascending"


class CounterAction(_Agones):
    """What to do to a counter of the chosen server."""

    action: Literal["", "Increment", "Decrement"] = ""
    amount: Whole = 0
    capacity: Whole | None = None


class ListAction(_Agones):
    """What to do to a list of the chosen server."""

    add_values: list[str] = []
    delete_values: list[str] = []
    capacity: Whole | None = None


class Metadata(_Agones):
    """What to put on the chosen server, which sees it through its SDK."""

    labels: Labels = {}
    annotations: Labels = {}


class AllocationRequest(_Agones):
    """Agones' request. ``selectors`` are tried in order. A node is a warm parent here."""

    namespace: str = NAMESPACE
    selectors: Annotated[list[Selector], msgspec.Meta(max_length=64)] = msgspec.field(
        name="gameServerSelectors", default_factory=list
    )
    scheduling: Literal["Packed", "Distributed"] = "Packed"
    priorities: Annotated[list[Priority], msgspec.Meta(max_length=16)] = []
    counters: dict[str, CounterAction] = {}
    lists: dict[str, ListAction] = {}
    metadata: Metadata = msgspec.field(default_factory=Metadata)


class Port(_Agones):
    """A named port of a game server."""

    name: str
    port: int


class AllocationAnswer(_Agones):
    """Agones' answer."""

    name: str = msgspec.field(name="gameServerName")
    ports: list[Port]
    address: str
    metadata: Metadata
    addresses: list[dict[str, str]] = []
    node_name: str = "local"
    source: str = "local"
    counters: dict[str, dict[str, Any]] = {}
    lists: dict[str, dict[str, Any]] = {}


REQUEST_SCHEMA, REQUEST_COMPONENTS = msgspec.json.schema_components(
    (AllocationRequest, AllocationAnswer), ref_template="#/components/schemas/{name}"
)
decode = msgspec.json.Decoder(AllocationRequest).decode
encode = msgspec.json.Encoder().encode
