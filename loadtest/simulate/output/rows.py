"""The tables of a simulation: a row for each ticket of a player, each match, and each sample of a state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from loadtest.rows import columns, tables
from loadtest.rows.tables import BATCH_ROWS, RunTables
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import Population, draw_population
from loadtest.simulate.result import SimulationResult
from loadtest.simulate.world import Counter, MatchState, TicketState, session_of

# How a wait ended, in the words of a flood's records (loadtest.players.player_records.WaitEnd).
TICKET_STATES = {
    TicketState.MATCHED: "matched",
    TicketState.ABANDONED: "gave up",
    TicketState.WAITING: "cut off",
    TicketState.REFUSED: "refused",
}
MATCH_STATES = {
    MatchState.PLAYING: "playing",
    MatchState.OVER: "over",
    MatchState.CRASHED: "server died",
    MatchState.DESERTED: "deserted",
}
# What a sample counts, in Agones' words for servers and a flood's for players.
SAMPLE_THINGS = ("players", "servers", "queue")
SAMPLE_STATES = ("queued", "playing", "gave up", "Starting", "Ready", "Allocated", "players searching")

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SimulationRows:
    """Makes the tables of one run.

    Attributes:
        scenario: that was simulated.
        result: of the run, whole.
    """

    scenario: Scenario
    result: SimulationResult

    @cached_property
    def population(self) -> Population:
        """The players, drawn again as the run has drawn them."""
        return draw_population(self.scenario)

    @cached_property
    def _rows(self) -> tuple[Ints, Ints]:
        """Return int64[N] twice: ticket and player of each row, in order of arrival."""
        world = self.result.run.world
        tickets = np.flatnonzero(self.result.arrived)
        party, member = whose_tickets(self.result)
        first_of_party = np.searchsorted(self.population.party, np.arange(self.population.party[-1] + 1))
        sizes = world.tickets.size[tickets]
        ticket = np.repeat(tickets, sizes)
        place = np.arange(len(ticket)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        alone = member[ticket]  # of a party whose server died, who queues again by themselves
        player = first_of_party[party[ticket]] + np.where(alone >= 0, alone, place)
        order = np.lexsort((player, world.tickets.arrives_s[ticket]))
        return ticket[order], player[order]

    @cached_property
    def _wait_numbers(self) -> Ints:
        """int64[N], which wait of its player each row is, from 1."""
        _, player = self._rows
        order = np.argsort(player, kind="stable")
        first = np.searchsorted(player[order], player[order], side="left")
        found = np.empty(len(player), np.int64)
        found[order] = np.arange(len(player)) - first + 1
        return found

    def tickets(self, schema: Any) -> Iterator[Any]:
        """Yield the rows of tickets."""
        ticket, player = self._rows
        for begin in range(0, len(ticket), BATCH_ROWS):
            part = slice(begin, begin + BATCH_ROWS)
            yield self._tickets(schema, ticket[part], player[part], self._wait_numbers[part])

    def _tickets(self, schema: Any, ticket: Ints, player: Ints, number: Ints) -> Any:
        world, people = self.result.run.world, self.population
        records, state = world.records, world.records.state[ticket]
        matched, refused = state == TicketState.MATCHED, state == TicketState.REFUSED
        match = np.where(matched, records.match[ticket], -1)
        region = np.full(len(ticket), -1)
        region[matched] = world.matches.region[match[matched]]
        location = world.tickets.location[ticket]
        access_ms = np.array([self.scenario.links.profile(name).latency_ms for name in people.link_kinds])
        arrived_s = world.tickets.arrives_s[ticket]
        return columns.batch(
            "tickets",
            schema,
            {
                "player": pa.array(player),
                "party": pa.array(people.party[player]),
                "wait_number": columns.numbers(number, pa.int32()),
                "mode": columns.words(world.tickets.mode[ticket], self.result.run.setup.mode_names),
                "location": columns.words(location, people.locations),
                "region": columns.words(region, self.result.run.setup.regions),
                "link": columns.words(people.link_kind[player], people.link_kinds),
                "behaviour": columns.words(people.behaviour[player], people.behaviours),
                "platform": columns.words(people.platform[player], people.platforms),
                "skill": columns.numbers(people.skill[player], pa.float32()),
                "arrived_s": pa.array(arrived_s),
                "queued_s": columns.numbers(arrived_s, pa.float64(), ~refused),
                "assigned_s": columns.numbers(records.assigned_s[ticket], pa.float64(), matched),
                "wait_s": columns.numbers(self._waits_s[ticket], pa.float64()),
                "censored": pa.array(~matched & ~refused),
                "state": columns.words(state.astype(np.int16), _by_code(TICKET_STATES)),
                "match": columns.numbers(match, pa.int64(), matched),
                "rtt_ms": columns.numbers(
                    world.tickets.rtt_ms[location, region] + access_ms[people.link_kind[player]],
                    pa.float32(),
                    matched,
                ),
            },
        )

    @cached_property
    def _waits_s(self) -> NDArray[np.float64]:
        """float64[T], the wait of each ticket; NaN where it never queued."""
        found = np.full(len(self.result.run.world.tickets.arrives_s), np.nan)
        found[self.result.waited] = self.result.wait_of_waited_s
        return found

    def matches(self, schema: Any) -> Iterator[Any]:
        """Yield the rows of matches."""
        world, setup = self.result.run.world, self.result.run.setup
        count = int(world.counters[Counter.MATCHES])
        ticket, player = self._rows
        rows = world.records.match[ticket] >= 0
        match, skill = world.records.match[ticket][rows], self.population.skill[player][rows]
        players = np.maximum(np.bincount(match, minlength=count), 1)
        mean = np.bincount(match, skill, count) / players
        squares = np.bincount(match, skill**2, count) / players
        spread = np.sqrt(np.maximum(squares - mean**2, 0.0))
        state = world.matches.state[:count]
        ended = state != MatchState.PLAYING
        for begin in range(0, count, BATCH_ROWS):
            part = slice(begin, min(begin + BATCH_ROWS, count))
            yield columns.batch(
                "matches",
                schema,
                {
                    "match": pa.array(np.arange(count)[part]),
                    "mode": columns.words(world.matches.mode[part], setup.mode_names),
                    "region": columns.words(world.matches.region[part], setup.regions),
                    "players": columns.numbers(world.matches.players[part], pa.int32()),
                    "formed_s": pa.array(world.matches.formed_s[part]),
                    "ended_s": columns.numbers(world.matches.ends_s[part], pa.float64(), ended[part]),
                    "state": columns.words(state[part].astype(np.int16), _by_code(MATCH_STATES)),
                    "skill_mean": columns.numbers(mean[part], pa.float32()),
                    "skill_spread": columns.numbers(spread[part], pa.float32()),
                },
            )

    def samples(self, schema: Any) -> Iterator[Any]:
        """Yield the rows of samples: players of all regions, then servers and the queue by region."""
        world, regions = self.result.run.world, self.result.run.setup.regions
        count = int(world.counters[Counter.SAMPLES])
        samples = world.samples
        everywhere, each = -1, range(len(regions))
        curves: list[tuple[str, str, int, Any]] = [
            ("players", "queued", everywhere, samples.waiting[:count].sum(axis=1)),
            ("players", "playing", everywhere, samples.playing[:count]),
            ("players", "gave up", everywhere, samples.abandoned[:count]),
            *(("servers", "Starting", region, samples.starting[:count, region]) for region in each),
            *(("servers", "Ready", region, samples.ready[:count, region]) for region in each),
            *(("servers", "Allocated", region, samples.allocated[:count, region]) for region in each),
            *(("queue", "players searching", region, samples.waiting[:count, region]) for region in each),
        ]
        things = np.array([SAMPLE_THINGS.index(thing) for thing, _, _, _ in curves])
        states = np.array([SAMPLE_STATES.index(state) for _, state, _, _ in curves])
        places = np.array([region for _, _, region, _ in curves])
        yield columns.batch(
            "samples",
            schema,
            {
                "at_s": pa.array(np.repeat(samples.at_s[:count], len(curves))),
                "thing": columns.words(np.tile(things, count), SAMPLE_THINGS),
                "state": columns.words(np.tile(states, count), SAMPLE_STATES),
                "region": columns.words(np.tile(places, count), regions),
                "count": pa.array(
                    np.stack([values for _, _, _, values in curves], axis=1).ravel().astype(np.int64)
                ),
            },
        )


def tables_of(scenario: Scenario, result: SimulationResult) -> RunTables:
    """Return the tables of a run. The same scenario and seed give the same rows.

    Args:
        scenario: that was simulated, with its seed.
        result: of the run; the rows are those of the whole run, whatever its window.
    """
    rows = SimulationRows(scenario, SimulationResult(result.run, result.price_per_server_hour))
    about = {
        "world": "simulation",
        "scenario": scenario.name,
        "seed": str(scenario.seed),
        "digest": result.digest,
    }
    schemas = {name: columns.schema(name, **about) for name in columns.TABLES}
    return RunTables(
        schemas,
        {
            "tickets": lambda: rows.tickets(schemas["tickets"]),
            "matches": lambda: rows.matches(schemas["matches"]),
            "samples": lambda: rows.samples(schemas["samples"]),
        },
    )


def write_rows(scenario: Scenario, result: SimulationResult, folder: Path) -> None:
    """Write the tables of a run into a folder, as Parquet. Raises OutputError."""
    tables.write(tables_of(scenario, result), folder)


def whose_tickets(result: SimulationResult) -> tuple[Ints, Ints]:
    """Return int64[T] twice: the party that each ticket is of; and its member, where it is of one alone, or
    -1.
    """
    world = result.run.world
    member = np.full(len(world.tickets.arrives_s), -1)
    drawn = int(world.tickets.drawn_count[0])
    member[drawn:] = world.requeues.member
    return session_of(world).astype(np.int64), member


def _by_code(names: dict[Any, str]) -> list[str]:
    """Return names in the order of their codes; a code without one gets its number."""
    return [names.get(code, str(code)) for code in range(int(max(names)) + 1)]
