"""The tables of a flood: a row for each ticket of a player, each match, and each sample of a state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from loadtest.errors import UnknownRegionError
from loadtest.flood.outcome import RunOutcome
from loadtest.players.player_records import Wait, WaitEnd
from loadtest.rows import columns, tables
from loadtest.rows.tables import RunTables
from loadtest.scenario.population import Population, draw_population
from loadtest.scenario.regions import regions

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FloodRows:
    """Makes the tables of one run.

    Attributes:
        outcome: of the run.
    """

    outcome: RunOutcome

    @cached_property
    def population(self) -> Population:
        """The players of the run."""
        return self.outcome.population or draw_population(self.outcome.scenario)

    @cached_property
    def numbers(self) -> Ints:
        """int64[n], the number of each player in the whole population, of which the run may have a part."""
        whole = draw_population(self.outcome.scenario)
        return np.flatnonzero(np.isin(whole.party, self.population.party))

    @cached_property
    def waits(self) -> list[Wait]:
        """All waits, in order of arrival."""
        records = self.outcome.records
        return sorted((*records.waits, *records.vain_waits), key=lambda wait: (wait.since_s, wait.bot))

    @cached_property
    def bots(self) -> Ints:
        """int64[N], who waited, in the order of ``waits``."""
        return np.array([wait.bot for wait in self.waits], np.int64)

    @cached_property
    def match_of_wait(self) -> Ints:
        """int64[N], the match that each wait ended in, or -1."""
        return np.array([self.match_numbers.get(wait.match_id, -1) for wait in self.waits], np.int64)

    @cached_property
    def match_numbers(self) -> dict[str, int]:
        """Id of a match → its number, in order of the first assignment."""
        matched = sorted((wait for wait in self.waits if wait.match_id), key=lambda wait: wait.until_s)
        numbers: dict[str, int] = {}
        for wait in matched:
            numbers.setdefault(wait.match_id, len(numbers))
        return numbers

    def tickets(self, schema: Any) -> Iterator[Any]:
        """Yield the rows of tickets."""
        people, bots, records = self.population, self.bots, self.outcome.records
        until_s = np.array([wait.until_s for wait in self.waits], np.float64)
        since_s = np.array([wait.since_s for wait in self.waits], np.float64)
        matched = np.array([wait.end is WaitEnd.MATCHED for wait in self.waits], np.bool_)
        number = _wait_numbers(bots)
        last = number == np.bincount(bots, minlength=len(records))[bots]
        queued_s = records.queued_s[bots]  # of the player's last ticket alone
        ends = list(WaitEnd)
        if not len(bots):
            return
        yield columns.batch(
            "tickets",
            schema,
            {
                "player": pa.array(self.numbers[bots]),
                "party": pa.array(people.party[bots]),
                "wait_number": columns.numbers(number, pa.int32()),
                "mode": columns.words(people.mode[bots], people.modes),
                "location": columns.words(people.location[bots], people.locations),
                "region": _named([wait.region for wait in self.waits]),
                "link": columns.words(people.link_kind[bots], people.link_kinds),
                "behaviour": columns.words(people.behaviour[bots], people.behaviours),
                "platform": columns.words(people.platform[bots], people.platforms),
                "skill": columns.numbers(people.skill[bots], pa.float32()),
                "arrived_s": pa.array(since_s),
                "queued_s": columns.numbers(queued_s, pa.float64(), last & (queued_s >= since_s)),
                "assigned_s": columns.numbers(until_s, pa.float64(), matched),
                "wait_s": pa.array(until_s - since_s),
                "censored": pa.array(~matched),
                "state": columns.words(
                    np.array([ends.index(wait.end) for wait in self.waits], np.int16),
                    [str(end) for end in ends],
                ),
                "match": columns.numbers(self.match_of_wait, pa.int64(), self.match_of_wait >= 0),
                "rtt_ms": columns.numbers(self._rtt_ms(), pa.float32()),
            },
        )

    def _rtt_ms(self) -> Floats:
        """float64[N], round trips by the table that clients report; NaN without a region in it."""
        people = self.population
        profiles = [self.outcome.scenario.links.profile(name) for name in people.link_kinds]
        access_ms = np.array([each.latency_ms for each in profiles], np.float64)
        found = np.full(len(self.waits), np.nan)
        for row, wait in enumerate(self.waits):
            location = people.locations[people.location[wait.bot]]
            rtt_ms = _between_ms(location, wait.region)
            if rtt_ms is not None:
                found[row] = rtt_ms + access_ms[people.link_kind[wait.bot]]
        return found

    def matches(self, schema: Any) -> Iterator[Any]:
        """Yield the rows of matches."""
        records, people, count = self.outcome.records, self.population, len(self.match_numbers)
        if not count:
            return
        rows = np.flatnonzero(self.match_of_wait >= 0)
        match, bots = self.match_of_wait[rows], self.bots[rows]
        formed_s, ended_s = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(formed_s, match, np.array([self.waits[row].until_s for row in rows]))
        last = np.array([self.match_numbers.get(name, -1) for name in records.match_id], np.int64)
        done = (last >= 0) & np.isfinite(records.ended_s)
        np.maximum.at(ended_s, last[done], records.ended_s[done])
        players = np.bincount(match, minlength=count)
        mean = np.bincount(match, people.skill[bots], count) / players
        squares = np.bincount(match, people.skill[bots] ** 2, count) / players
        mode, place = np.zeros(count, np.int64), [""] * count
        mode[match] = people.mode[bots]
        for row in rows:
            place[self.match_of_wait[row]] = self.waits[row].region
        reports = [self._reports.get(name, {}) for name in self.match_numbers]
        ticks = [report.get("tick_us") or {} for report in reports]
        yield columns.batch(
            "matches",
            schema,
            {
                "match": pa.array(np.arange(count)),
                "match_id": pa.array(list(self.match_numbers), pa.string()),
                "server": pa.array([self._server(report) for report in reports], pa.string()),
                "mode": columns.words(mode, people.modes),
                "region": _named(place),
                "players": columns.numbers(players, pa.int32()),
                "formed_s": pa.array(formed_s),
                "ended_s": columns.numbers(ended_s, pa.float64(), np.isfinite(ended_s)),
                "state": _named([self._state(name) for name in self.match_numbers]),
                "skill_mean": columns.numbers(mean, pa.float32()),
                "skill_spread": columns.numbers(np.sqrt(np.maximum(squares - mean**2, 0.0)), pa.float32()),
                "kills": _counts(reports, "kills"),
                "ticks": _counts(reports, "tick"),
                "missed_ticks": _counts(reports, "missed_ticks"),
                "tick_p50_us": pa.array([tick.get("p50") for tick in ticks], pa.float64()),
                "tick_p99_us": pa.array([tick.get("p99") for tick in ticks], pa.float64()),
            },
        )

    @cached_property
    def _reports(self) -> dict[str, dict[str, Any]]:
        """Id of a match → the last report of its server."""
        return {str(report.get("match_id")): report for report in self.outcome.reports}

    @staticmethod
    def _server(report: dict[str, Any]) -> str | None:
        return None if report.get("server") is None else str(report["server"])

    def _state(self, match_id: str) -> str:
        """The state of a match by what its server and the fleet last said; "" where nobody said anything."""
        report = self._reports.get(match_id, {})
        if report.get("server") in {failed.server for failed in self.outcome.failed_matches}:
            return "server died"
        if report.get("phase") == "over" or report.get("outcome") == "ended":
            return "over"
        return "playing" if report else ""

    def samples(self, schema: Any) -> Iterator[Any]:
        """Yield the rows of samples. Each count has the time at which it was told."""
        timeline = self.outcome.timeline
        rows: list[tuple[float, str, str, int]] = []
        for index, at_s in enumerate(timeline.at_s):
            rows += [
                (at_s, "players", state.label, counts[index]) for state, counts in timeline.players.items()
            ]
            if (told_s := timeline.fleet_at_s[index]) is not None:
                rows += [(told_s, "servers", name, counts[index]) for name, counts in timeline.fleet.items()]
            for name, levels in timeline.queue.items():
                level, told_s = levels[index], timeline.queue_at_s[name][index]
                if level is not None and told_s is not None:
                    rows.append((told_s, "queue", name, int(level)))
        if not rows:
            return
        yield columns.batch(
            "samples",
            schema,
            {
                "at_s": pa.array([row[0] for row in rows], pa.float64()),
                "thing": _named([row[1] for row in rows]),
                "state": _named([row[2] for row in rows]),
                "count": pa.array([row[3] for row in rows], pa.int64()),
            },
        )


def tables_of(outcome: RunOutcome) -> RunTables:
    """Return the tables of a flood."""
    rows = FloodRows(outcome)
    about = {
        "world": "flood",
        "scenario": outcome.scenario.name,
        "seed": str(outcome.scenario.seed),
        "run_id": outcome.run_id,
        "started_at": repr(outcome.started_at),
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


def write_flood_rows(outcome: RunOutcome, folder: Path) -> None:
    """Write the tables of a flood into a folder, as Parquet. Raises OutputError."""
    tables.write(tables_of(outcome), folder)


def _wait_numbers(bots: Ints) -> Ints:
    """Return int64[N], which wait of its player each is, from 1."""
    order = np.argsort(bots, kind="stable")
    first = np.searchsorted(bots[order], bots[order], side="left")
    found = np.empty(len(bots), np.int64)
    found[order] = np.arange(len(bots)) - first + 1
    return found


def _named(names: Sequence[str]) -> Any:
    """Return a dictionary column; "" is null."""
    known = sorted({name for name in names if name})
    places = {name: place for place, name in enumerate(known)}
    return columns.words(np.array([places.get(name, -1) for name in names], np.int16), known)


def _counts(reports: Sequence[dict[str, Any]], key: str) -> Any:
    return pa.array([None if report.get(key) is None else int(report[key]) for report in reports], pa.int64())


def _between_ms(location: str, region: str) -> float | None:
    """Round trip between two regions; None where none is published, or the region is a foreign name."""
    try:
        return regions().rtt_between_ms(location, region) if region else None
    except (UnknownRegionError, KeyError):
        return None
