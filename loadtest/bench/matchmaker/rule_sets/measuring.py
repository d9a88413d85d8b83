"""``rule-sets``: a cycle of each of the forty rule sets, in pools of several sizes.

Times are processor time of one core, of the cycle alone: tickets become rows when they come, which is timed
on its own. Each match is judged by the guide's words. Beside what the plan seats stand, in small pools, the
plain greedy and the depth-first search with a live cycle's work, and in the largest one what both orders seat
with twenty times the work.
"""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from loadtest.bench.matchmaker.rule_sets.catalogue import CatalogueEntry, chosen
from loadtest.bench.matchmaker.rule_sets.judge import Judge, JudgedMatch
from loadtest.bench.matchmaker.rule_sets.plain_greedy import plain_greedy
from loadtest.bench.matchmaker.rule_sets.pools import NOW, DrawnPool, draw_pool
from loadtest.errors import BenchError
from matchmaker.plans import cycle as plan_cycle
from matchmaker.plans.book import AGAIN_S, PlanCycle, TicketBook
from matchmaker.plans.compile import CompiledPlan, compile_plan
from matchmaker.plans.cycle import CAPS, Caps
from matchmaker.rules.flexmatch.cycle import match
from matchmaker.rules.flexmatch.search import SearchBudget
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket

SIZES: Final = (1_000, 5_000, 10_000, 100_000)
GREEDY_SIZES: Final = (1_000, 5_000)
LARGE: Final = 100_000
WITHIN_MS: Final = {1_000: 25.0, 10_000: 120.0, LARGE: 250.0}
RUNS: Final = 3
NEW: Final = 1_700  # tickets that come at once, as in a second of launch day
FIRST_COMPILE_BOUND_S: Final = 1_800
SETTLING_CYCLES: Final = 30
LIVE_SEARCH: Final = SearchBudget(per_ticket=20_000, per_cycle=200_000)
# "Without caps" has to end: twenty times a cycle's work suffices for all but one of the forty, which takes
# minutes with a hundred times; the line says how many seeds even that put off.
GENEROUS: Final = Caps(2_000.0, 1_000.0, 1_200.0, 600.0, 10_000_000)
FIRST_COMPILE: Final = (
    "from loadtest.bench.matchmaker.rule_sets.measuring import compile_first; compile_first()"
)


def run(tickets: int | None = None, name: str | None = None, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Measure pools of ``tickets`` (None: of each of `SIZES`), of one rule set or of all; yields a line for
    each, and last the counts of all.

    Raises BenchError where there is no rule set of that name.
    """
    entries = chosen(name)
    first_compile_cpu_s = first_compile()
    lines = []
    for size in SIZES if tickets is None else (tickets,):
        for entry in entries:
            found = measure(entry, size, seed)
            lines.append(found)
            yield found
    yield {**summary(lines), "first_compile_cpu_s": first_compile_cpu_s, "peak_memory_mb": _peak_memory_mb()}


def measure(entry: CatalogueEntry, size: int, seed: int) -> dict[str, Any]:
    """One rule set in one pool."""
    drawn = draw_pool(entry, size, seed)
    compiled = compile_plan(entry.rules, live=True)
    line: dict[str, Any] = {
        "name": entry.name,
        "form": entry.form,
        "tickets": size,
        "by": "plan" if compiled.plan is not None else "searched",
    }
    if compiled.plan is None:
        line |= _searched_figures(entry, drawn)
    else:
        line |= _plan_figures(entry, compiled, drawn, seed)
    line["of_players"] = drawn.players
    if size in GREEDY_SIZES:
        greedy = plain_greedy(entry.rules, drawn.tickets, drawn.regions, NOW)
        line["greedy_matched"], line["greedy_cut"] = greedy.players, greedy.cut
        line["search_matched"] = search_matched(entry, drawn)
    return line


def summary(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The counts of all lines."""
    large = [line for line in lines if line["tickets"] == LARGE]
    found: dict[str, Any] = {
        "bench": "rule-sets",
        "rule_sets": len({line["name"] for line in lines}),
        "within_250_ms": sum(line["ms"] <= WITHIN_MS[LARGE] for line in large),
        "within_1_s": sum(line["ms"] <= 1_000 for line in large),
        "ms_max": max((line["ms"] for line in large), default=None),
        "within_120_ms_of_10000": _within(lines, 10_000),
        "within_25_ms_of_1000": _within(lines, 1_000),
    }
    compared = [line for line in lines if "greedy_matched" in line]
    ratios = [line["matched_players"] / line["greedy_matched"] for line in compared if line["greedy_matched"]]
    found["matched_of_greedy_min"] = round(min(ratios), 4) if ratios else None
    found["below_98_of_greedy"] = [
        f"{line['name']} {line['tickets']}"
        for line in compared
        if line["matched_players"] < 0.98 * line["greedy_matched"]
    ]
    found["fewer_than_search"] = [
        f"{line['name']} {line['tickets']}"
        for line in compared
        if line["matched_players"] < line["search_matched"]
    ]
    shares = [line["of_uncapped"] for line in large if line.get("of_uncapped") is not None]
    found["of_uncapped_min"] = min(shares) if shares else None
    found["wrong_matches"] = sum(line["wrong_matches"] for line in lines)
    idle = [line["idle_ms"] for line in lines if line.get("idle_ms") is not None]
    found["idle_ms_max"] = max(idle) if idle else None
    new = [line["new_1700_ms"] for line in large if line.get("new_1700_ms") is not None]
    found["new_1700_ms"] = max(new) if new else None
    found["new_within_30_ms"] = sum(value <= 30 for value in new)
    return found


def _within(lines: Sequence[dict[str, Any]], size: int) -> int | None:
    sized = [line for line in lines if line["tickets"] == size]
    return sum(line["ms"] <= WITHIN_MS[size] for line in sized) if sized else None


def _plan_figures(
    entry: CatalogueEntry, compiled: CompiledPlan, drawn: DrawnPool, seed: int
) -> dict[str, Any]:
    book = TicketBook(compiled, drawn.regions, live=True)
    begun = time.process_time()
    rows = book.add(drawn.tickets)
    add_us = (time.process_time() - begun) / len(drawn.tickets) * 1e6
    book.form(NOW, everything=True)  # compiles what is not yet
    with _no_garbage():
        costs_ms = []
        for _ in range(RUNS):
            cost_ms, cycle = _timed(lambda: book.form(NOW, everything=True))
            costs_ms.append(cost_ms)
    place = {row: index for index, row in enumerate(rows.tolist())}
    wrong, kinds = judge_cycle(entry, drawn, cycle, place)
    sizes = np.array([len(ticket.players) for ticket in drawn.tickets])
    matched = _players(cycle, sizes, place)
    orders = 2 if len(drawn.tickets) <= plan_cycle.SMALL else 1
    line: dict[str, Any] = {
        "ms": round(float(np.median(costs_ms)), 2),
        "add_us": round(add_us, 1),
        "orders": orders,
        "matched_players": matched,
        "matches": len(cycle.region),
        "cut": cycle.cut,
        "looks": cycle.looks,
        "joins": cycle.joins,
        "wrong_matches": wrong,
    }
    if kinds:
        line["wrong"] = kinds
    if len(drawn.tickets) >= LARGE:
        with _both_orders():
            better = book.form(NOW, caps=GENEROUS, everything=True)
        line["uncapped_matched"] = _players(better, sizes, place)
        line["of_uncapped"] = round(matched / max(1, line["uncapped_matched"]), 4)
        line["uncapped_cut"] = better.cut
    return line | _idle_figures(entry, book, cycle, seed)


def _idle_figures(entry: CatalogueEntry, book: TicketBook, cycle: PlanCycle, seed: int) -> dict[str, Any]:
    """A cycle in which nothing has come, and one in which `NEW` tickets have, among those that are left."""
    book.remove(cycle.rows)
    now, settling = NOW, 0
    while settling < SETTLING_CYCLES and not book.is_idle(now):
        settling += 1
        now += AGAIN_S
        book.remove(book.form(now).rows)
    with _no_garbage():
        idle_ms = [_timed(lambda: book.form(now))[0] for _ in range(RUNS)] if book.is_idle(now) else []
        left = len(book)
        new_ms = []
        for batch in range(RUNS):
            new = draw_pool(entry, NEW, seed + 1 + batch, newest_s=1.0, prefix=f"new{batch}", now=now)
            book.add(new.tickets)
            cost_ms, formed = _timed(lambda: book.form(now))
            new_ms.append(cost_ms)
            book.remove(formed.rows)
    return {
        "idle_ms": round(float(np.median(idle_ms)), 4) if idle_ms else None,
        "settling_cycles": settling,
        "left": left,
        "new_1700_ms": round(float(np.median(new_ms)), 2),
    }


def _searched_figures(entry: CatalogueEntry, drawn: DrawnPool) -> dict[str, Any]:
    """Of a rule set that no plan can express: one search with a live cycle's work."""
    cost_ms, found = _timed(lambda: match(entry.rules, drawn.tickets, NOW, 0, LIVE_SEARCH, live=True))
    sizes = {ticket.ticket_id: len(ticket.players) for ticket in drawn.tickets}
    left = {each.ticket for each in found.unmatched}
    return {
        "ms": round(cost_ms, 2),
        "matched_players": sum(count for ticket, count in sizes.items() if ticket not in left),
        "matches": len(found.matches),
        "wrong_matches": 0,
    }


def search_matched(entry: CatalogueEntry, drawn: DrawnPool) -> int:
    """Players that one cycle of the depth-first search seats."""
    found = match(entry.rules, drawn.tickets, NOW, 0, LIVE_SEARCH, live=True)
    return sum(len(players) for each in found.matches for players in each.teams.values())


def judge_cycle(
    entry: CatalogueEntry, drawn: DrawnPool, cycle: PlanCycle, place: dict[int, int]
) -> tuple[int, dict[str, int]]:
    """Judge all matches of a cycle; returns how many are wrong, and how many by what.

    ``place``: the index in the pool of each row of the book.
    """
    return judge_matches(Judge(entry.rules), drawn.tickets, drawn.regions, cycle, place, NOW)


def judge_matches(
    judge: Judge,
    tickets: Sequence[FlexMatchTicket],
    regions: Sequence[str],
    cycle: PlanCycle,
    place: dict[int, int],
    now: float,
) -> tuple[int, dict[str, int]]:
    """See `judge_cycle`."""
    seats: list[list[tuple[FlexMatchTicket, int]]] = [[] for _ in range(len(cycle.region))]
    twice = len(cycle.rows) - len(set(cycle.rows.tolist()))
    for row, number, team in zip(cycle.rows.tolist(), cycle.match.tolist(), cycle.team.tolist(), strict=True):
        seats[number].append((tickets[place[row]], team))
    kinds: dict[str, int] = {"a ticket in two matches": twice} if twice else {}
    for seated, region in zip(seats, cycle.region.tolist(), strict=True):
        broken = judge.broken(JudgedMatch(now, regions[region] if region >= 0 else None, tuple(seated)))
        if broken is not None:
            kinds[broken] = kinds.get(broken, 0) + 1
    return sum(kinds.values()), kinds


def _players(cycle: PlanCycle, sizes: np.ndarray[Any, np.dtype[np.int64]], place: dict[int, int]) -> int:
    return int(sizes[[place[row] for row in cycle.rows.tolist()]].sum())


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds of processor time, and what was returned."""
    begun = time.process_time()
    found = work()
    return (time.process_time() - begun) * 1e3, found


@contextmanager
def _no_garbage() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _both_orders() -> Iterator[None]:
    """Both orders in pools of any size."""
    small, plan_cycle.SMALL = plan_cycle.SMALL, 1 << 40
    try:
        yield
    finally:
        plan_cycle.SMALL = small


def first_compile() -> float:
    """Processor seconds in which a process without a cache compiles all that a cycle needs."""
    with tempfile.TemporaryDirectory() as folder:
        command, environment = [sys.executable, "-c", FIRST_COMPILE], os.environ | {"NUMBA_CACHE_DIR": folder}
        try:
            ended = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=FIRST_COMPILE_BOUND_S
            )
        except subprocess.TimeoutExpired:
            raise BenchError(
                f"the first compile took over {FIRST_COMPILE_BOUND_S} s: try again when the machine is idle"
            ) from None
    if ended.returncode:
        raise BenchError(f"the first compile failed: {ended.stderr.strip().splitlines()[-1:]}")
    return float(ended.stdout.split()[-1])


def compile_first() -> None:
    """Form one cycle of the smallest pool, and print the processor seconds that it took."""
    entry = chosen("duel_open")[0]
    drawn = draw_pool(entry, 200, 1)
    begun = time.process_time()
    book = TicketBook(compile_plan(entry.rules, live=True), drawn.regions, live=True)
    book.add(drawn.tickets)
    book.form(NOW, caps=CAPS)
    sys.stdout.write(f"{time.process_time() - begun:.1f}\n")


def _peak_memory_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
