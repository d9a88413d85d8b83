"""Makes what a plan reads of tickets from their table: once, when they come."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from matchmaker.plans.compile import CompiledPlan
from matchmaker.plans.eligible import eligible_bits, holding
from matchmaker.plans.layout import BLOCK, MAX_REGIONS, NONE, TicketColumns
from matchmaker.plans.recipes import RoundTrip, Strings, Value
from matchmaker.rules.flexmatch.program import AGGREGATIONS
from matchmaker.rules.flexmatch.table import Table
from matchmaker.rules.flexmatch.ticket_table import ranges
from matchmaker.rules.flexmatch.tolerance import TOLERANCE

NOBODY = -1  # the bucket of a ticket that never matches

Places = NDArray[np.int64]
Pairs = tuple[Places, Places]  # tickets and their strings, ascending, each once


@dataclass(slots=True)
class Interned:
    """What outlives a call.

    Attributes:
        buckets: the number of each, by the bytes of what its tickets are alike in.
        numbers: the number of each value of attributes in which all must differ; in sets of strings these
            stand for strings, so that a kernel's room for strings must suffice for them too.
    """

    buckets: dict[bytes, int] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


def make_columns(
    compiled: CompiledPlan,
    table: Table,
    start_s: NDArray[np.float64],
    group: NDArray[np.int32],
    platform: NDArray[np.int32],
    interned: Interned,
) -> TicketColumns:
    """The columns of some tickets.

    Args:
        compiled: a rule set that has a plan.
        table: T tickets, as ``build_table`` gives them; its strings were numbered after those of
            ``compiled.strings``.
        start_s: float64[T], when each began to wait.
        group, platform: int32[T], as in a table.
        interned: of all tickets that may meet the same.
    """
    plan = compiled.plan
    assert plan is not None
    first = table.tickets["first"].astype(np.int64)
    size = (table.tickets["last"] - first).astype(np.int32)
    regions = min(table.latency_ms.shape[2], MAX_REGIONS)
    mask = _masks(compiled, table, regions)
    sets = [_strings_of(compiled, table, first, size, recipe, interned) for recipe in compiled.sets]
    strings, set_first, set_count = _laid_out(sets, len(first))
    bucket = _buckets(compiled, table, first, interned)
    bucket[_blocks_itself(compiled, sets)] = NOBODY
    return TicketColumns(
        np.ascontiguousarray(start_s, np.float64),
        size,
        np.ascontiguousarray(group, np.int32),
        np.ascontiguousarray(platform, np.int32),
        _values(compiled, table, first),
        mask,
        eligible_bits(compiled, table, first, size),
        bucket,
        _homes(table, mask, regions),
        np.ascontiguousarray(table.latency_ms[AGGREGATIONS.index("avg")], np.float32),
        set_first,
        set_count,
        strings,
    )


def _values(compiled: CompiledPlan, table: Table, first: Places) -> NDArray[np.float64]:
    tickets, regions = len(first), table.latency_ms.shape[2]
    distances = len(compiled.latency_distances)
    columns = len(compiled.values)
    value = np.empty((tickets, columns + regions * distances), np.float64)
    if tickets:
        for column, recipe in enumerate(compiled.values):
            value[:, column] = _value(compiled, table, first, recipe)
        for place, aggregation in enumerate(compiled.latency_distances):
            begin = columns + regions * place
            value[:, begin : begin + regions] = table.latency_ms[aggregation]
    return value


def _value(compiled: CompiledPlan, table: Table, first: Places, recipe: Value) -> NDArray[np.float64]:
    if recipe.kind == "number":
        return np.asarray(table.number[recipe.column, first])
    if recipe.kind == "holds":
        holds = holding(table, recipe.column, [float(compiled.strings[recipe.text])])[0]
        return np.add.reduceat((holds & table.heads).astype(np.float64), first)
    own = table.number[recipe.column]
    if recipe.kind == "least":
        return np.minimum.reduceat(own, first)
    if recipe.kind == "largest":
        return np.maximum.reduceat(own, first)
    same = own == float(compiled.strings[recipe.text])
    return np.add.reduceat((same == (recipe.kind == "players")).astype(np.float64), first)


def _masks(compiled: CompiledPlan, table: Table, regions: int) -> NDArray[np.uint64]:
    plan = compiled.plan
    assert plan is not None
    levels, tickets = len(plan.wait_s), table.latency_ms.shape[1]
    mask = np.zeros((tickets, len(compiled.masks), levels), np.uint64)
    for row, limits in enumerate(compiled.masks):
        if row == 0 and not plan.by_region:
            mask[:, row] = (np.uint64(1) << np.uint64(MAX_REGIONS)) - np.uint64(1)
            continue
        known: dict[tuple[float, ...], NDArray[np.uint64]] = {}
        for level in range(levels):
            most = tuple(float(plan.number[level, limit.most]) for limit in limits)
            if most not in known:
                known[most] = _mask(table, limits, most, regions)
            mask[:, row, level] = known[most]
    return mask


def _mask(
    table: Table, limits: tuple[RoundTrip, ...], most: tuple[float, ...], regions: int
) -> NDArray[np.uint64]:
    bits = np.zeros(table.latency_ms.shape[1], np.uint64)
    for region in range(regions):
        near = table.latency_ms[AGGREGATIONS.index("max"), :, region] < np.inf
        for limit, value in zip(limits, most, strict=True):
            latency = table.latency_ms[limit.aggregation, :, region].astype(np.float64)
            near &= latency <= value + TOLERANCE * (1.0 + abs(value))
        bits |= near.astype(np.uint64) << np.uint64(region)
    return bits


def _homes(table: Table, mask: NDArray[np.uint64], regions: int) -> NDArray[np.int32]:
    """int32[T], where each may ever play and is nearest."""
    tickets = len(mask)
    if not regions or not tickets:
        return np.full(tickets, NONE, np.int32)
    ever = np.bitwise_or.reduce(mask[:, 0], axis=1)
    latency = table.latency_ms[AGGREGATIONS.index("avg"), :, :regions].astype(np.float64)
    allowed = (ever[:, np.newaxis] >> np.arange(regions, dtype=np.uint64)) & np.uint64(1) > 0
    near = np.where(allowed, latency, np.inf)
    home = near.argmin(axis=1)
    return np.where(np.isfinite(near[np.arange(tickets), home]), home, NONE).astype(np.int32)


def _buckets(compiled: CompiledPlan, table: Table, first: Places, interned: Interned) -> NDArray[np.int32]:
    """int32[T]; tickets whose players differ where all must be alike, or lack an attribute, meet nobody."""
    tickets = len(first)
    bucket = np.zeros(tickets, np.int32)
    if not tickets:
        return bucket
    never = np.zeros(tickets, np.bool_)
    for column in table.number:
        never |= np.logical_or.reduceat(np.isnan(column), first)
    keys = np.empty((tickets, len(compiled.alike)), np.float64)
    for place, recipe in enumerate(compiled.alike):
        own = table.number[recipe.column]
        never |= np.minimum.reduceat(own, first) != np.maximum.reduceat(own, first)
        keys[:, place] = own[first] + 0.0  # one nought, not two
    if compiled.alike:
        kinds, inverse = _distinct(keys)
        numbers = [interned.buckets.setdefault(key.tobytes(), len(interned.buckets)) for key in kinds]
        bucket = np.array(numbers, np.int32)[inverse]
    bucket[never] = NOBODY
    return bucket


def _distinct(keys: NDArray[np.float64]) -> tuple[NDArray[np.float64], Places]:
    """Rows that differ, and which of them each row is: ``np.unique`` of rows is slower."""
    order = np.lexsort(keys.T)
    ordered = keys[order]
    begins = np.ones(len(keys), np.bool_)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    inverse = np.empty(len(keys), np.int64)
    inverse[order] = np.cumsum(begins) - 1
    return ordered[begins], inverse


def _blocks_itself(compiled: CompiledPlan, sets: list[Pairs]) -> Places:
    """Tickets whose own players name one another where nobody may."""
    plan = compiled.plan
    assert plan is not None
    found = [np.zeros(0, np.int64)]
    for atom in plan.atoms[(plan.atoms["kind"] == BLOCK) & (plan.atoms["column"] != plan.atoms["high"])]:
        (ticket, own), (other_ticket, other) = sets[atom["column"]], sets[atom["high"]]
        width = np.int64(max(own.max(initial=0), other.max(initial=0)) + 1)
        both = np.intersect1d(ticket * width + own, other_ticket * width + other, assume_unique=True)
        found.append(both // width)
    return np.concatenate(found)


def _laid_out(sets: list[Pairs], tickets: int) -> tuple[NDArray[np.int32], Places, NDArray[np.int32]]:
    """All sets one after the other: strings, where each ticket's begin, and how many they are."""
    set_count = np.zeros((tickets, len(sets)), np.int32)
    set_first = np.zeros((tickets, len(sets)), np.int64)
    begin = 0
    for column, (ticket, string) in enumerate(sets):
        counts = np.bincount(ticket, minlength=tickets)
        set_count[:, column] = counts
        set_first[:, column] = begin + np.cumsum(counts) - counts
        begin += len(string)
    strings = np.concatenate([string for _, string in sets] or [np.zeros(0, np.int64)]).astype(np.int32)
    return strings, set_first, set_count


def _strings_of(
    compiled: CompiledPlan,
    table: Table,
    first: Places,
    size: NDArray[np.int32],
    recipe: Strings,
    interned: Interned,
) -> Pairs:
    """Pairs of tickets and their strings, ascending, each once."""
    ticket_of = np.repeat(np.arange(len(first)), size)
    if recipe.kind == "number":
        player = np.flatnonzero(table.heads)
        values, inverse = np.unique(table.number[recipe.column, player], return_inverse=True)
        # By nine digits: values that are equal but for rounding are one.
        known = [interned.numbers.setdefault(f"{value:.9g}", len(interned.numbers)) for value in values]
        string = np.array(known, np.float64)[inverse]
    elif recipe.kind == "text":
        string = table.number[recipe.column]
        player = np.flatnonzero(~np.isnan(string))
        string = string[player]
    else:
        # A party's players all have the party's list: that of the one who speaks for them.
        speaking = np.flatnonzero(table.heads)
        starts = table.string_start[recipe.column]
        counts = np.diff(starts)[speaking]
        string = table.string[ranges(starts[speaking], counts)]
        player = np.repeat(speaking, counts)
    number = string.astype(np.int64)
    if recipe.among is not None:
        chosen = np.isin(number, [compiled.strings[text] for text in recipe.among])
        player, number = player[chosen], number[chosen]
    if recipe.kind == "shared" and table.tickets["backfill"].any():
        player, number, _ = _each_once(player, number)  # of a running match, what all of its players have
        ticket, number, times = _each_once(ticket_of[player], number)
        everyone = times == np.add.reduceat(table.heads.astype(np.int64), first)[ticket]
        return ticket[everyone], number[everyone]
    return _each_once(ticket_of[player], number)[:2]


def _each_once(of: Places, number: Places) -> tuple[Places, Places, Places]:
    """Pairs, ascending, each once, and how often each was there."""
    width = np.int64(number.max(initial=0) + 1)
    key = np.sort(of * width + number)
    distinct = np.ones(len(key), np.bool_)
    distinct[1:] = key[1:] != key[:-1]
    begins = np.flatnonzero(distinct)
    return key[begins] // width, key[begins] % width, np.diff(begins, append=len(key))
