"""A run that is dealt to parts, as if each had been flooded by a generator of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from loadtest.flood.outcome import RunOutcome
from loadtest.flood.parts.before import Before, LogPosition
from loadtest.flood.parts.file import PartHeader, write_part
from loadtest.flood.parts.pack import pack_run
from loadtest.flood.watching.counters import RequestCounts
from loadtest.players.player_records import PlayerRecords, PlayerState
from loadtest.scenario.part import Part
from loadtest.scenario.population import draw_population


def outcome_of_part(whole: RunOutcome, part: Part) -> RunOutcome:
    """What the generator of a part would have measured of this run."""
    members = part.members(draw_population(whole.scenario))
    records = PlayerRecords(whole.records.intended_s[members])
    place = {int(bot): index for index, bot in enumerate(members)}
    for name, value in vars(whole.records).items():
        if isinstance(value, np.ndarray):
            setattr(records, name, value[members])
        elif value and isinstance(value[0], str):
            setattr(records, name, [value[bot] for bot in members])
    for name in ("waits", "vain_waits"):
        mine = [wait for wait in getattr(whole.records, name) if wait.bot in place]
        setattr(records, name, [wait._replace(bot=place[wait.bot]) for wait in mine])
    share = len(members) / len(whole.records)
    players = {
        state: [round(count * share) for count in counts] for state, counts in whole.timeline.players.items()
    }
    players[PlayerState.AWAY] = [
        len(members)
        - sum(counts[index] for state, counts in players.items() if state is not PlayerState.AWAY)
        for index in range(len(whole.timeline.at_s))
    ]
    return replace(whole, records=records, timeline=replace(whole.timeline, players=players))


def header_of_part(whole: RunOutcome, part: Part, *, late_s: float = 0.0) -> PartHeader:
    """The header of a part that began ``late_s`` seconds after the run."""
    scenario = whole.scenario
    return PartHeader(
        version=1,
        part=part.number,
        of=part.of,
        scenario=scenario.model_dump_json(exclude_unset=True),
        name=scenario.name,
        seed=scenario.seed,
        run_id=f"{part.number:08x}",
        started_at=whole.started_at + late_s,
        before=Before.of(
            {"fleet": {"kills": 3}},
            RequestCounts({"meta": {("POST", "/v1/login"): 7}}, {"fleet": "answers 503"}),
            [LogPosition("events", 0, 12, "0" * 32, 1)],
        ),
    )


def write_parts(whole: RunOutcome, of: int, folder: Path, *, late_s: float = 0.0) -> list[Path]:
    """Write a file for each part; the last one began ``late_s`` seconds after the others."""
    paths = []
    for number in range(1, of + 1):
        part = Part(number, of)
        path = folder / part.file_name
        header = header_of_part(whole, part, late_s=late_s if number == of else 0.0)
        write_part(path, header, pack_run(outcome_of_part(whole, part)))
        paths.append(path)
    return paths
