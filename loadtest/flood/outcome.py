"""The outcome of a run: measurements, objectives and ledger.

The report, the summary and the JSON only read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dedicated_server.protocol.fields import TICK_HZ
from launchday.percentiles import at_least, percentiles
from loadtest.flood.conditions import LATE_S, ArrivalRate, MachineUse
from loadtest.flood.injection.faults import FaultRecord
from loadtest.flood.ledger import Ledger, MatchCounts
from loadtest.flood.metrics.history import MetricsHistory
from loadtest.flood.watching.allocations import FailedMatch, LostServer
from loadtest.flood.watching.counters import RequestCounts
from loadtest.flood.watching.events import MatchResult
from loadtest.flood.watching.timeline import Timeline
from loadtest.players.player_records import PlayerRecords, PlayerState
from loadtest.players.requests import RequestLog
from loadtest.scenario.model import Objectives, Scenario
from loadtest.scenario.population import Population

TICK_US = 1e6 / TICK_HZ  # the budget of one tick


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective of the scenario.

    Attributes:
        name: what is limited.
        limit: the largest value that meets it.
        measured: None where there was nothing to measure, which does not meet the objective.
        unit: of both, or "".
        at_least: whether ``measured`` is a lower limit: it falls on what was given up, such as a wait, which
            counts with the time that it took until then.
        known: False where it falls on what the end of the run cut off. Nobody knows what would have come of
            that, which does not meet the objective.
    """

    name: str
    limit: float
    measured: float | None
    unit: str = ""
    at_least: bool = False
    known: bool = True

    @property
    def met(self) -> bool:
        """Whether it was measured and is within the limit."""
        return self.measured is not None and self.known and self.measured <= self.limit

    @property
    def figure(self) -> str:
        """What was measured, with its unit and, where it is a lower limit, with ``≥``."""
        if self.measured is None:
            return "not measured"
        digits = f"{self.measured:.3g}" if abs(self.measured) < 1_000 else f"{self.measured:,.0f}"
        return f"{'≥ ' if self.at_least else ''}{digits} {self.unit}".rstrip()

    def as_json(self) -> dict[str, Any]:
        """The objective, as the run's JSON shows it."""
        return {
            "name": self.name,
            "limit": self.limit,
            "measured": self.measured,
            "unit": self.unit,
            "at_least": self.at_least,
            "met": self.met,
        }


@dataclass(frozen=True, slots=True)
class GeneratorHealth:
    """How well the load generator kept up. A late generator measures itself, not the backend.

    Attributes:
        step_late_us: percentiles of how late each step of the bots began.
        steps_missed_share: share of the steps that were skipped because the bots were a frame behind.
        arrival_late_ms: percentiles of how late players started.
        datagrams_overflowed: datagrams that found an emulated link's queue full.
        cpu_cores: processor time of this process divided by wall time.
        stages_s: seconds of it by stage of the bots' step; the rest went to HTTP requests.
        shortages: sockets that this process could not open, by what it lacks.
    """

    step_late_us: dict[str, float | None]
    steps_missed_share: float
    arrival_late_ms: dict[str, float | None]
    datagrams_overflowed: int
    cpu_cores: float
    stages_s: Mapping[str, float] = field(default_factory=dict)
    shortages: Mapping[str, int] = field(default_factory=dict)

    # A step that is more than one frame late bunches up inputs, and the measured round trip is the
    # generator's own. Below 57 of 60 inputs a second the bots do not behave like players. Arrivals half a
    # second late are not the scenario's curve.
    MAX_STEP_LATE_US = TICK_US
    MAX_MISSED_SHARE = 0.05
    MAX_ARRIVAL_LATE_MS = LATE_S * 1e3

    @property
    def saturation_reasons(self) -> list[str]:
        """Why the figures are the generator's and not the backend's; empty where it kept up."""
        found = [f"{count:,} sockets could not be opened: {why}" for why, count in self.shortages.items()]
        if (late_us := self.step_late_us.get("p99") or 0.0) > self.MAX_STEP_LATE_US:
            found.append(f"the bots' steps began {late_us / 1e3:.1f} ms late (p99)")
        if self.steps_missed_share > self.MAX_MISSED_SHARE:
            found.append(f"the bots skipped {self.steps_missed_share:.1%} of its steps")
        if (late_ms := self.arrival_late_ms.get("p99") or 0.0) > self.MAX_ARRIVAL_LATE_MS:
            found.append(f"players started {late_ms:.0f} ms late (p99)")
        if self.datagrams_overflowed:
            found.append(f"{self.datagrams_overflowed} datagrams found an emulated link's queue full")
        return found

    @property
    def saturated(self) -> bool:
        """Whether the generator was the limit, and not the backend."""
        return bool(self.saturation_reasons)


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """A finished, or interrupted, run.

    Attributes:
        run_id: eight hexadecimal digits.
        started_at: Unix seconds.
        wall_s: seconds from the first possible arrival to the end.
        reports: the last report of each game server that ran one of our matches, with its ``region``.
        settled_s: seconds after the last player left until the ledger balanced; None if it never did.
        interrupted: why the run ended early, or "".
        fault_records: the scenario's faults, and what came of them.
        matches: what became of the matches.
        failed_matches: those of them that had a server and no result.
        lost_servers: game servers that ended by themselves, with a match or without.
        deaths: one line for each process of the backend that died by itself.
        requests: how the HTTP services answered.
        cpu_s: seconds of processor time by kind of process: servers, services, engines; empty where it is not
            known.
        kills_by_player: player id → kills, as Kafka has them.
        match_results: match id → what the match told at its end, of all matches of the backend meanwhile.
        event_kinds: match id → kind of event → how many Kafka has, likewise.
        population: the players; None where they are not needed.
        metrics: what each address of ``--metrics`` told.
        parties: parties that were matched, and how many of them are in one match.
        played_s: seconds from the first possible arrival until the last player had left or the run was
            stopped; None: ``wall_s``.
        machine: what others used of the machine while the run played.
        request_counts: requests that the services counted among each other.
        left_out: what the scenario asks for and this run did not do, in words.
        target: the name of the target that was flooded; "" for our own backend.
        not_measured: names of objectives that nobody can measure there; they are no objectives of the run.
    """

    scenario: Scenario
    run_id: str
    started_at: float
    wall_s: float
    records: PlayerRecords
    timeline: Timeline
    ledger: Ledger
    reports: list[dict[str, Any]]
    generator: GeneratorHealth
    settled_s: float | None
    interrupted: str = ""
    fault_records: Sequence[FaultRecord] = ()
    matches: MatchCounts = field(default_factory=MatchCounts)
    failed_matches: Sequence[FailedMatch] = ()
    lost_servers: Sequence[LostServer] = ()
    deaths: Sequence[str] = ()
    requests: RequestLog = field(default_factory=RequestLog)
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    kills_by_player: Mapping[int, int] = field(default_factory=dict)
    match_results: Mapping[str, MatchResult] = field(default_factory=dict)
    event_kinds: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    population: Population | None = None
    metrics: Sequence[MetricsHistory] = ()
    parties: tuple[int, int] = (0, 0)
    played_s: float | None = None
    machine: MachineUse = field(default_factory=MachineUse)
    request_counts: RequestCounts = field(default_factory=RequestCounts)
    left_out: Sequence[str] = ()
    target: str = ""
    not_measured: Sequence[str] = ()

    @property
    def rate(self) -> ArrivalRate:
        """How fast players were to arrive, and how fast they did."""
        return ArrivalRate.of(self.records, self.wall_s if self.played_s is None else self.played_s)

    @property
    def players_lost(self) -> int:
        """Players who lost their match or never got one, by the count of the bots or of the servers: the
        larger. Whom an operator threw out of a match is not among them.
        """
        kicked = sum(int(report.get("players_kicked", 0)) for report in self.reports)
        by_bots = max(self.records.count(PlayerState.LOST, PlayerState.UNMATCHED) - kicked, 0)
        by_servers = sum(int(report.get("players_lost", 0)) for report in self.reports)
        gone_on_purpose = int(self.records.quits.sum())
        return max(by_bots, by_servers - gone_on_purpose)

    @property
    def faults_missed(self) -> int:
        """Faults that were never injected, because the run ended before their time."""
        return sum(record.began_s is None for record in self.fault_records)

    @property
    def cpu_cores(self) -> dict[str, float]:
        """Processor time divided by wall time, by kind of process; "generator" is this process."""
        backend = {kind: round(seconds / max(self.wall_s, 1e-9), 3) for kind, seconds in self.cpu_s.items()}
        return {**backend, "generator": round(self.generator.cpu_cores, 3)}

    @property
    def servers_peak(self) -> int:
        """The most game servers that had a match at the same time, by the samples."""
        return max(self.timeline.fleet.get("Allocated", []), default=0)

    @property
    def server_hours(self) -> float:
        """Hours of game servers that existed, playing or not."""
        return self.timeline.server_hours()

    @property
    def cost(self) -> float:
        """The cost of the server-hours at the scenario's price."""
        return self.server_hours * self.scenario.fleet.price_per_server_hour

    def players_in(self, match_id: str) -> int:
        """Players of this run who were assigned to a match."""
        return self.records.match_id.count(match_id)

    @property
    def tick_us(self) -> dict[str, float | None]:
        """Tick time in µs: p50 of the median server, p99 and max of the slowest."""
        ticks = [report["tick_us"] for report in self.reports if report.get("tick_us")]
        if not ticks:
            return {"p50": None, "p99": None, "max": None}
        return {
            "p50": round(float(np.median([tick["p50"] for tick in ticks])), 1),
            "p99": round(max(float(tick["p99"]) for tick in ticks), 1),
            "max": round(max(float(tick["max"]) for tick in ticks), 1),
        }

    @property
    def missed_tick_share(self) -> float | None:
        """Share of the due ticks that did not start in time, over all servers; None where none were due."""
        due = sum(int(report.get("tick", 0)) for report in self.reports)
        missed = sum(int(report.get("missed_ticks", 0)) for report in self.reports)
        return round(missed / due, 6) if due else None

    @property
    def objectives(self) -> list[Objective]:
        """Each objective of the scenario with what was measured."""
        asked: Objectives = self.scenario.objectives
        tick_p99 = self.tick_us["p99"]
        measured: list[tuple[str, float | None, float | None, str]] = [
            ("tick p99", asked.tick_p99_ms, None if tick_p99 is None else tick_p99 / 1e3, "ms"),
            ("missed ticks", asked.missed_tick_share, self.missed_tick_share, ""),
            ("players lost", asked.players_lost, float(self.players_lost), ""),
            ("gave up waiting", asked.abandoned_share, self.records.abandoned_share, ""),
            ("cost", asked.cost, self.cost, ""),
            ("faults not injected", 0 if self.fault_records else None, float(self.faults_missed), ""),
            ("processes died", 0 if self.deaths else None, float(len(self.deaths)), ""),
            ("unbalanced ledger lines", 0, float(sum(not line.balanced for line in self.ledger.lines)), ""),
        ]
        found = [
            *self._times(asked),
            *(
                Objective(name, limit, seen, unit)
                for name, limit, seen, unit in measured
                if limit is not None
            ),
        ]
        return [objective for objective in found if objective.name not in self.not_measured]

    def _times(self, asked: Objectives) -> Iterator[Objective]:
        """The objectives about times that players may have given up."""
        records, requests = self.records, self.requests
        waits = (records.wait_times_s(), ~records.waits_ended(), records.waits_cut_off())
        for name, limit_s, (times_s, vain, cut_off) in (
            ("wait p95", asked.wait_p95_s, waits),
            ("login p95", asked.login_p95_s, requests.times_s("log in")),
            ("purchase p95", asked.purchase_p95_s, requests.times_s("purchase")),
        ):
            if limit_s is not None:
                measured_s = percentiles(times_s, 95, digits=4)["p95"]
                bounds, unknown = at_least(times_s, vain, 95), at_least(times_s, cut_off, 95)
                yield Objective(name, limit_s, measured_s, "s", bool(bounds), not unknown)

    @property
    def passed(self) -> bool:
        """Whether every objective was met, the players came at their rate, the generator kept up, and nothing
        interrupted the run.
        """
        return (
            not self.interrupted
            and not self.generator.saturated
            and self.rate.reached
            and all(o.met for o in self.objectives)
        )

    @property
    def busy_sentence(self) -> str:
        """What the verdict says of others on the machine; "" where they did not take it."""
        if not self.machine.busy:
            return ""
        return f"But {self.machine.sentence}, so the figures may be theirs."

    @property
    def generator_sentence(self) -> str:
        """Whose the figures are: the backend's, the generator's, or also those of others on the machine."""
        if self.generator.saturated:
            return (
                f"The load generator was saturated: {'; '.join(self.generator.saturation_reasons)}. "
                "The figures are the generator's own, not the backend's."
            )
        if not self.rate.reached:
            return f"{_capital(self.rate.sentence)}. The figures are not those of the scenario's load."
        if self.machine.busy:
            return f"The load generator kept up. {self.busy_sentence}"
        if self.machine.others_share is None:
            return "The load generator kept up. What else its machine did is not known."
        return "The load generator kept up, so the figures are the backend's."

    @property
    def verdict(self) -> str:
        """The result in one line, with every objective that was missed."""
        return " ".join(said for said in (self._judgement(), self.busy_sentence) if said)

    def _judgement(self) -> str:
        if self.interrupted:
            return f"Interrupted: {self.interrupted}. These are the figures so far."
        if self.passed:
            return "Passed: every objective was met" + (
                " and the ledger balances." if self.ledger.lines else "."
            )
        failures = [
            f"{o.name} {o.figure} (limit {o.limit:g} {o.unit}".rstrip()
            + ("" if o.known else ", cut off by the end of the run")
            + ")"
            for o in self.objectives
            if not o.met
        ]
        failures += [f"generator saturated: {complaint}" for complaint in self.generator.saturation_reasons]
        failures += [self.rate.sentence] if not self.rate.reached else []
        return "Failed: " + "; ".join(failures) + "."


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
