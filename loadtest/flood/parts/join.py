"""Adds the parts of a flood up: the records of all players, one timeline, and what each generator did.

Each part has a clock of its own, which began when it did; the merged run's began with the earliest. A player
whose part began late was to come at the time at which the whole flood would have had them come, so a part
that began late has late arrivals, as the verdict says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
from pydantic import ValidationError

from launchday.percentiles import percentiles
from loadtest.errors import PartError
from loadtest.flood.conditions import LATE_S, MachineUse
from loadtest.flood.injection.faults import FaultRecord, describe_fault
from loadtest.flood.metrics.history import MetricsHistory
from loadtest.flood.outcome import GeneratorHealth
from loadtest.flood.parts.file import FaultCame, PartFile, PartRun
from loadtest.flood.parts.join_timelines import join_timelines
from loadtest.flood.watching.allocations import FailedMatch, LostServer
from loadtest.flood.watching.timeline import Timeline
from loadtest.players.player_records import PlayerRecords, Wait
from loadtest.players.requests import RequestLog, RequestStatistics
from loadtest.scenario.model import Scenario
from loadtest.scenario.part import Part
from loadtest.scenario.population import Population, draw_population

T = TypeVar("T")

SAME_TIME_S = 1e-6  # two draws of the same players agree to this


@dataclass(frozen=True, slots=True)
class Parts:
    """Files of parts that belong together.

    Attributes:
        scenario: of all of them.
        files: those that were given, by their numbers.
        faults: why the merged run cannot pass: parts that are missing, have not ended, or were interrupted.
    """

    scenario: Scenario
    files: tuple[PartFile, ...]
    faults: tuple[str, ...]

    @property
    def first(self) -> PartFile:
        """The part that began first; its counters are those before the flood."""
        return min(self.files, key=lambda file: file.header.started_at)

    @property
    def ended(self) -> list[tuple[PartFile, PartRun]]:
        """The parts that have ended, with what they measured."""
        return [(file, file.run) for file in self.files if file.run is not None]


def gather(files: Sequence[PartFile]) -> Parts:
    """Check that parts are of one flood.

    Raises:
        PartError: they are of different floods, one is given twice, or none has ended.
    """
    first, *others = files
    for other in others:
        if (what := _difference(first, other)) is not None:
            raise PartError(f"{first.path} and {other.path} are of different floods: {what}")
    by_number: dict[int, PartFile] = {}
    for file in files:
        if (same := by_number.get(file.header.part)) is not None:
            raise PartError(f"{file.part} is given twice: {same.path} and {file.path}")
        by_number[file.header.part] = file
    if all(file.run is None for file in files):
        raise PartError("none of these parts has ended: there is nothing to add up")
    of = first.header.of
    faults = []
    for number in range(1, of + 1):
        found = by_number.get(number)
        if found is None:
            faults.append(f"{Part(number, of)} is missing")
        elif found.run is None:
            faults.append(f"{found.part} ({found.path}) has not ended: it was killed, or still plays")
        elif found.run.interrupted:
            faults.append(f"{found.part}: {found.run.interrupted}")
    try:
        scenario = Scenario.model_validate_json(first.header.scenario)
    except (ValidationError, RecursionError) as error:
        raise PartError(f"{first.path}: its scenario cannot be used here: {_first_line(error)}") from error
    return Parts(scenario, tuple(by_number[number] for number in sorted(by_number)), tuple(faults))


def late_parts(parts: Parts) -> list[str]:
    """A line for each part that began later than the first by more than an arrival may be late."""
    first = parts.first
    return [
        f"{file.part} began {late_s:.1f} s after {first.part}: give all parts the same --begin"
        for file in parts.files
        if (late_s := file.header.started_at - first.header.started_at) > LATE_S
    ]


def _difference(a: PartFile, b: PartFile) -> str | None:
    for what, one, other in (
        ("scenario", a.header.name, b.header.name),
        ("seed", a.header.seed, b.header.seed),
        ("number of parts", a.header.of, b.header.of),
        ("target", a.header.target or "our own backend", b.header.target or "our own backend"),
    ):
        if one != other:
            return f"{what} {one} and {other}"
    return None if a.header.scenario == b.header.scenario else "their scenario files differ"


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


@dataclass(frozen=True, slots=True)
class Joined:
    """What the parts measured, added up; times are seconds since the first of them began.

    Attributes:
        population: all players, those of missing parts too.
        apart_s: seconds from the first beginning to the last.
        parties: parties that were matched, and how many of them are in one match.
    """

    population: Population
    records: PlayerRecords
    timeline: Timeline
    generator: GeneratorHealth
    wall_s: float
    played_s: float
    apart_s: float
    parties: tuple[int, int]
    servers_used: int
    reports: list[dict[str, object]]
    fault_records: list[FaultRecord]
    failed_matches: list[FailedMatch]
    lost_servers: list[LostServer]
    requests: RequestLog
    metrics: list[MetricsHistory]
    machine: MachineUse
    left_out: list[str]
    not_measured: list[str]


def join(parts: Parts) -> Joined:
    """Add the parts up. Raises PartError where a file has other players than the scenario gives its part."""
    population = draw_population(parts.scenario)
    ended, first_at = parts.ended, parts.first.header.started_at
    shifts_s = [file.header.started_at - first_at for file, _ in ended]
    runs = [run for _, run in ended]
    records = PlayerRecords(population.arrives_s)
    for (file, run), shift_s in zip(ended, shifts_s, strict=True):
        _add_records(records, run, _members(file, run, population), shift_s)
    shifted = list(zip(runs, shifts_s, strict=True))
    return Joined(
        population=population,
        records=records,
        timeline=join_timelines([(run.timeline, shift_s) for run, shift_s in shifted]),
        generator=_join_generators(runs, records),
        wall_s=max(run.wall_s + shift_s for run, shift_s in shifted),
        played_s=max(run.played_s + shift_s for run, shift_s in shifted),
        apart_s=max(shifts_s),
        parties=(sum(run.parties[0] for run in runs), sum(run.parties[1] for run in runs)),
        servers_used=max(run.servers_used for run in runs),
        reports=join_reports(report for run in runs for report in run.reports),
        fault_records=_join_faults(parts.scenario, shifted),
        failed_matches=_unique(
            ((match.server, match.reason), replace(match, at_s=match.at_s + shift_s))
            for run, shift_s in shifted
            for match in run.failed_matches
        ),
        lost_servers=_unique(
            (lost.server, replace(lost, at_s=lost.at_s + shift_s))
            for run, shift_s in shifted
            for lost in run.lost_servers
        ),
        requests=_join_requests(shifted),
        metrics=_join_metrics(shifted),
        machine=max((run.machine for run in runs), key=lambda machine: machine.others_share or 0.0),
        left_out=list(dict.fromkeys(what for run in runs for what in run.left_out)),
        not_measured=list(dict.fromkeys(what for run in runs for what in run.not_measured)),
    )


def join_reports(reports: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    """The last report of each match, ordered by region and match."""
    found: dict[str, dict[str, object]] = {}
    for report in reports:
        match_id = str(report.get("match_id") or "")
        known = found.get(match_id)
        if match_id and (known is None or _tick(report) >= _tick(known)):
            found[match_id] = {"region": (known or {}).get("region", ""), **report}
    return sorted(found.values(), key=lambda item: (str(item.get("region")), str(item.get("match_id"))))


def _tick(report: Mapping[str, object]) -> float:
    tick = report.get("tick")
    return float(tick) if isinstance(tick, int | float) else 0.0


def _members(
    file: PartFile, run: PartRun, population: Population
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    members = file.part.members(population)
    intended_s = np.array(run.columns.get("intended_s", []))
    if len(intended_s) != len(members) or not np.allclose(
        intended_s, population.arrives_s[members], rtol=0.0, atol=SAME_TIME_S
    ):
        raise PartError(
            f"{file.path} has other players than {file.part} of its scenario: flood and merge with the same "
            "release"
        )
    return members


def _add_records(
    records: PlayerRecords, run: PartRun, members: np.ndarray[tuple[int], np.dtype[np.int64]], shift_s: float
) -> None:
    for name, values in run.columns.items():
        column = getattr(records, name, None)
        if name != "intended_s" and isinstance(column, np.ndarray):
            moved = shift_s if name.endswith("_s") and not name.endswith("kbit_s") else 0.0
            with np.errstate(invalid="ignore"):
                column[members] = (np.array(values) + moved).astype(column.dtype)
    for name, words in run.words.items():
        texts = getattr(records, name, None)
        if isinstance(texts, list) and len(texts) == len(records):
            for bot, text in zip(members.tolist(), words, strict=True):
                texts[bot] = text
    records.back_s += run.back_s
    records.roam_back_s += run.roam_back_s
    records.return_s += run.return_s
    for mine, found in ((records.waits, run.waits), (records.vain_waits, run.vain_waits)):
        mine += [_shifted_wait(wait, int(members[wait.bot]), shift_s) for wait in found]


def _shifted_wait(wait: Wait, bot: int, shift_s: float) -> Wait:
    return wait._replace(bot=bot, since_s=wait.since_s + shift_s, until_s=wait.until_s + shift_s)


def _join_generators(runs: Sequence[PartRun], records: PlayerRecords) -> GeneratorHealth:
    """The worst of each, for a run is as good as the worst of its generators; what is counted, in all."""
    each = [run.generator for run in runs]
    late_ms = (records.arrived_s - records.intended_s) * 1e3
    shortages: Counter[str] = Counter()
    stages: Counter[str] = Counter()
    for run in runs:
        shortages.update(run.generator.shortages)
        stages.update(run.generator.stages_s)
    return GeneratorHealth(
        step_late_us=_worst([one.step_late_us for one in each]),
        steps_missed_share=max(one.steps_missed_share for one in each),
        arrival_late_ms=percentiles(late_ms, 50, 99, 100, digits=4),
        datagrams_overflowed=sum(one.datagrams_overflowed for one in each),
        cpu_cores=sum(one.cpu_cores for one in each),
        stages_s=dict(stages),
        shortages=dict(shortages),
    )


def _worst(found: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    names = dict.fromkeys(name for one in found for name in one)
    return {
        name: max((value for one in found if (value := one.get(name)) is not None), default=None)
        for name in names
    }


def _join_faults(scenario: Scenario, shifted: Sequence[tuple[PartRun, float]]) -> list[FaultRecord]:
    """Each fault of the scenario, as the part that injected it tells; of some, every part does."""
    found: dict[int, FaultRecord] = {}
    for run, shift_s in shifted:
        for came in run.faults:
            if 0 <= came.index < len(scenario.faults):
                fault = scenario.faults[came.index]
                record = found.setdefault(came.index, FaultRecord(fault, describe_fault(fault)))
                _add_fault(record, came, shift_s)
    return [found[index] for index in sorted(found)]


def _add_fault(record: FaultRecord, came: FaultCame, shift_s: float) -> None:
    if came.began_s is not None:
        begins = [came.began_s + shift_s, *([] if record.began_s is None else [record.began_s])]
        record.began_s = round(min(begins), 2)
    if came.ended_s is not None:
        ends = [came.ended_s + shift_s, *([] if record.ended_s is None else [record.ended_s])]
        record.ended_s = round(max(ends), 2)
    record.killed = list(dict.fromkeys([*record.killed, *came.killed]))
    record.stopped = list(dict.fromkeys([*record.stopped, *came.stopped]))


def _unique(keyed: Iterable[tuple[object, T]]) -> list[T]:
    """One of each: all parts hear of the same game servers."""
    found: dict[object, T] = {}
    for key, value in keyed:
        found.setdefault(key, value)
    return list(found.values())


def _join_requests(shifted: Sequence[tuple[PartRun, float]]) -> RequestLog:
    log = RequestLog()
    for run, shift_s in shifted:
        for kind, statistics in run.requests.items():
            mine = log.by_kind.setdefault(kind, RequestStatistics())
            for field in fields(statistics):
                setattr(mine, field.name, getattr(mine, field.name) + getattr(statistics, field.name))
        log.failed_at_s += [at_s + shift_s for at_s in run.failed_at_s]
        log.own_shortages.update(run.shortages)
    log.failed_at_s.sort()
    return log


def _join_metrics(shifted: Sequence[tuple[PartRun, float]]) -> list[MetricsHistory]:
    """Each address once: by the part that has most samples of it."""
    found: dict[str, MetricsHistory] = {}
    for run, shift_s in shifted:
        for history in run.metrics:
            known = found.get(history.address)
            if known is None or len(known.at_s) < len(history.at_s):
                found[history.address] = history.shifted(shift_s)
    return list(found.values())
