"""Draws the players of a rule set: parties, ages, round trips and attributes, the same for the same seed."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.bench.matchmaker.rule_sets.catalogue import CatalogueEntry, catalogue
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer

NOW = 1_000_000.0
MEAN_AGE_S = 6.0
MAX_AGE_S = 60.0
PARTY_SHARES = (0.68, 0.16, 0.07, 0.05, 0.04)  # of tickets of one to five players
HOME_MS, STEP_MS, SPREAD_MS = (
    36.0,
    72.0,
    10.0,
)  # of a ring of regions: home, each region farther, and how unlike


@dataclass(frozen=True, slots=True)
class DrawnPool:
    """A pool of tickets and the regions that their players have measured.

    Attributes:
        tickets: in no order of age.
        regions: names.
        players: how many there are in all tickets.
    """

    tickets: list[FlexMatchTicket]
    regions: list[str]
    players: int


def pool(rule_set_name: str, tickets: int, seed: int) -> list[FlexMatchTicket]:
    """The tickets of a pool for a rule set of the catalogue; see `draw_pool`."""
    return draw_pool(catalogue()[rule_set_name], tickets, seed).tickets


def draw_pool(
    entry: CatalogueEntry,
    tickets: int,
    seed: int,
    newest_s: float | None = None,
    prefix: str = "t",
    now: float = NOW,
) -> DrawnPool:
    """Draw a pool.

    Args:
        entry: the rule set.
        tickets: how many.
        seed: of all that is drawn.
        newest_s: ages are below this, in seconds; None: exponential, of `MEAN_AGE_S`.
        prefix: of the ids, so that two pools can be joined.
        now: when they wait, in seconds.
    """
    rng = np.random.default_rng(seed)
    shares = np.array(PARTY_SHARES[: entry.largest_party])
    size = rng.choice(len(shares), tickets, p=shares / shares.sum()) + 1
    chosen = {
        name: _chosen(rng, given, size) for name, given in entry.attributes.items() if "choice" in given
    }
    players = int(size.sum())
    owner = np.repeat(np.arange(tickets), size)
    if newest_s is None:
        age = np.minimum(rng.exponential(MEAN_AGE_S, tickets), MAX_AGE_S)
    else:
        age = rng.uniform(0.0, newest_s, tickets)
    regions = [f"region-{number:02}" for number in range(entry.regions)]
    latency_ms = _latencies(rng, entry.regions, tickets, owner)
    names = list(entry.attributes)
    drawn = [
        [chosen[name][ticket] for ticket in owner.tolist()]
        if name in chosen
        else _attribute(rng, entry.attributes[name], tickets, owner, prefix)
        for name in names
    ]
    with _without_collection():
        rows = zip(*drawn, strict=True) if drawn else ((),) * players
        members = [
            TicketPlayer(
                f"{prefix}{number}",
                None,
                dict(zip(names, row, strict=True)),
                dict(zip(regions, round_trips, strict=True)),
            )
            for number, (row, round_trips) in enumerate(zip(rows, latency_ms.tolist(), strict=True))
        ]
        ends = np.cumsum(size).tolist()
        starts = (now - age).tolist()
        found = [
            FlexMatchTicket(f"{prefix}-{number:07}", start, tuple(members[end - count : end]))
            for number, (start, end, count) in enumerate(zip(starts, ends, size.tolist(), strict=True))
        ]
    return DrawnPool(found, regions, players)


@contextmanager
def _without_collection() -> Iterator[None]:
    """A hundred thousand tickets are a million objects: looking for garbage among them takes the longest."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _latencies(
    rng: np.random.Generator, regions: int, tickets: int, owner: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Milliseconds of each player to each region: regions lie on a ring, a party's players live in one."""
    home = rng.integers(0, regions, tickets)[owner]
    apart = np.abs(np.arange(regions)[None, :] - home[:, None])
    steps = np.minimum(apart, regions - apart) * (5 / regions)
    spread = rng.normal(0.0, SPREAD_MS, (len(owner), regions))
    latency_ms: NDArray[np.float64] = np.round(np.maximum(HOME_MS + STEP_MS * steps + spread, 2.0), 1)
    return latency_ms


def _chosen(rng: np.random.Generator, given: dict[str, Any], size: NDArray[np.int64]) -> list[Any]:
    """One value a ticket; those of the value ``alone`` are of one player, in ``size`` too."""
    options = [float(value) if isinstance(value, int) else value for value in given["choice"]]
    picked = rng.choice(len(options), len(size), p=given["shares"])
    if "alone" in given:
        size[picked == given["choice"].index(given["alone"])] = 1
    return [options[index] for index in picked.tolist()]


def _attribute(
    rng: np.random.Generator, given: dict[str, Any], tickets: int, owner: NDArray[np.int64], prefix: str
) -> list[Any]:
    """One value a player. On what has to be equal in a match a party agrees."""
    players = len(owner)
    if "normal" in given:
        mean, spread = given["normal"]
        return list(np.round(rng.normal(mean, spread, players), 2).tolist())
    if "whole" in given:
        least, most = given["whole"]
        return list(rng.integers(least, most + 1, tickets)[owner].astype(np.float64).tolist())
    if "of_tickets" in given:
        codes = max(1, int(tickets / given["of_tickets"]))
        return [f"code {code}" for code in rng.integers(0, codes, tickets)[owner].tolist()]
    if "several" in given:
        options = given.get("names") or [f"map {number}" for number in range(given["of"])]
        order = np.argsort(rng.random((players, len(options))), axis=1)[:, : given["several"]]
        return [tuple(options[index] for index in row) for row in order.tolist()]
    if "players" in given:
        least, most = given["players"]
        counts = rng.integers(least, most + 1, players).tolist()
        others = iter(rng.integers(0, players, sum(counts)).tolist())
        return [
            tuple({f"{prefix}{other}" for _ in range(count) if (other := next(others)) != player})
            for player, count in enumerate(counts)
        ]
    raise ValueError(f"no way of drawing an attribute: {given}")
