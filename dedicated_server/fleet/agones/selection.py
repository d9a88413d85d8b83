"""Which game server an allocation gets, by selectors in order, then the strategy, then the priorities."""

from __future__ import annotations

from collections.abc import Iterable

from dedicated_server.agones_sdk import FLEET_LABEL
from dedicated_server.fleet.agones.requests import (
    AllocationRequest,
    CounterSelector,
    Expression,
    ListSelector,
    Priority,
    Selector,
)
from dedicated_server.fleet.pool.counters_and_lists import Counter, ValueList, parse_int64
from dedicated_server.fleet.pool.gameserver import GameServer
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import State

STATES = {"READY": State.READY, "ALLOCATED": State.ALLOCATED}


def choose(pool: WarmPool, request: AllocationRequest) -> GameServer | None:
    """Return the best server of the first selector that any server matches, or None.

    Raises CounterListError.
    """
    for selector in request.selectors or [Selector()]:
        found = _candidates(pool, selector)
        if request.priorities or pool.config.warm_parents > 1:
            best = _best(pool, request, list(found))
        else:
            best = next(iter(found), None)  # the one that has been Ready for the longest
        if best is not None:
            return best
    return None


def wanted_region(pool: WarmPool, request: AllocationRequest) -> str | None:
    """Return the region that the first selector names, or the only region that exists."""
    for selector in request.selectors:
        if (region := selector.match_labels.get(FLEET_LABEL)) is not None:
            return region
    return next(iter(pool.regions)) if len(pool.regions) == 1 else None


def _candidates(pool: WarmPool, selector: Selector) -> Iterable[GameServer]:
    state = STATES[selector.game_server_state]
    fleet = selector.match_labels.get(FLEET_LABEL)
    plain = not (selector.match_expressions or selector.counters or selector.lists)
    for name in pool.regions if fleet is None else (fleet,):
        region = pool.regions.get(name)
        if region is None or region.cordoned or (region.draining and state is State.READY):
            continue
        for server in region.in_state[state].values():
            if server.cordoned or server.draining:
                continue
            if selector.match_labels.items() <= server.labels.items() and (
                plain or _matches(server, selector)
            ):
                yield server


def _best(pool: WarmPool, request: AllocationRequest, found: list[GameServer]) -> GameServer | None:
    """Return the best of several servers. Among equals ``min`` takes the one that entered its state first.

    Packed fills the node with the most matches first, so that other nodes can be released; priorities decide
    among its servers. Distributed follows the priorities first, and spreads equal servers over the nodes.
    """
    if not found:
        return None
    matches = pool.matches_by_node()
    left = [_remaining(server, request.priorities) for server in found]
    if request.scheduling == "Packed":
        ranks = [
            (-matches.get(server.node, 0), server.node, of) for server, of in zip(found, left, strict=True)
        ]
        return found[min(range(len(found)), key=ranks.__getitem__)]
    spread = [(of, matches.get(server.node, 0), server.node) for server, of in zip(found, left, strict=True)]
    return found[min(range(len(found)), key=spread.__getitem__)]


def _remaining(server: GameServer, priorities: list[Priority]) -> tuple[tuple[bool, int], ...]:
    """Return what a server has left of each priority. The smallest goes first, without a counter last."""
    ranks = []
    for priority in priorities:
        tallies: dict[str, Counter] | dict[str, ValueList] = (
            server.counters if priority.type == "Counter" else server.lists
        )
        tally = tallies.get(priority.key)
        available = 0 if tally is None else tally.available
        ranks.append((tally is None, available if priority.order == "Ascending" else -available))
    return tuple(ranks)


def _matches(server: GameServer, selector: Selector) -> bool:
    return (
        all(_label_matches(server.labels, expression) for expression in selector.match_expressions)
        and all(
            _counter_matches(server.counters.get(name), wanted) for name, wanted in selector.counters.items()
        )
        and all(_list_matches(server.lists.get(name), wanted) for name, wanted in selector.lists.items())
    )


def _label_matches(labels: dict[str, str], expression: Expression) -> bool:
    value = labels.get(expression.key)
    match expression.operator:
        case "In":
            return value is not None and value in expression.values
        case "NotIn":
            return value is None or value not in expression.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


def _counter_matches(counter: Counter | None, wanted: CounterSelector) -> bool:
    if counter is None:
        return False
    return _within(counter.count, wanted.min_count, wanted.max_count, "Count") and _within(
        counter.available, wanted.min_available, wanted.max_available, "Available"
    )


def _list_matches(values: ValueList | None, wanted: ListSelector) -> bool:
    if values is None or (wanted.contains_value and wanted.contains_value not in values.values):
        return False
    return _within(values.available, wanted.min_available, wanted.max_available, "Available")


def _within(value: int, least: int | str, most: int | str, name: str) -> bool:
    highest = parse_int64(most, f"max{name}")
    return value >= parse_int64(least, f"min{name}") and (highest == 0 or value <= highest)
