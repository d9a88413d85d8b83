"""The figures of a run as JSON: what ``--json`` prints, and the file beside the report.

``compare`` reads it again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from launchday.outputs import write_whole
from launchday.percentiles import at_least, percentiles
from loadtest.flood.outcome import RunOutcome
from loadtest.players.player_records import PlayerState, WaitEnd
from loadtest.report import incidents, modes, quality, request_counts

VERSION = 1  # of the keys, as SCHEMA describes them
SCHEMA = Path(__file__).with_name("report.schema.json")
_WAIT_POINTS = (50, 95, 99, 100)


def write_run_json(outcome: RunOutcome, path: Path) -> None:
    """Write :func:`run_as_json` to ``path``, indented, as UTF-8. Raises OutputError."""
    write_whole(path, json.dumps(run_as_json(outcome), indent=2, allow_nan=False) + "\n")


def run_as_json(outcome: RunOutcome) -> dict[str, Any]:
    """Every figure of the report by its key.

    Keys end in their unit (``_s``, ``_ms``, ``_us``, ``_share``).
    """
    records, generator = outcome.records, outcome.generator
    waits_s = records.wait_times_s()
    return {
        "version": VERSION,
        "scenario": outcome.scenario.name,
        "seed": outcome.scenario.seed,
        "run_id": outcome.run_id,
        "started_at": round(outcome.started_at, 3),
        "wall_s": round(outcome.wall_s, 3),
        "target": outcome.target,
        "passed": outcome.passed,
        "interrupted": outcome.interrupted,
        "verdict": outcome.verdict,
        "players": len(records),
        "players_came": records.came,
        "players_lost": outcome.players_lost,
        "abandoned_share": round(records.abandoned_share, 6),
        "players_by_state": {state.name.lower(): records.count(state) for state in PlayerState},
        "reasons": records.count_reasons(),
        "matches": len(records.match_ids()),
        "match_counts": outcome.matches.as_json(),
        "modes": [figures.as_json() for figures in modes.figures_by_mode(outcome)],
        "tick_us": outcome.tick_us,
        "missed_tick_share": outcome.missed_tick_share,
        "wait_s": percentiles(waits_s, *_WAIT_POINTS, digits=4),
        "wait_at_least": at_least(waits_s, ~records.waits_ended(), *_WAIT_POINTS),
        "waits": {
            end.name.lower(): sum(wait.end is end for wait in (*records.waits, *records.vain_waits))
            for end in WaitEnd
        }
        | {"never_queued": records.never_queued},
        "rtt_ms": percentiles(records.rtt_ms, 50, 95, 99, digits=4),
        "kbit_per_client": percentiles(records.received_kbit_s, 50, 95, 100, digits=4),
        "sent_kbit_per_client": percentiles(records.sent_kbit_s, 50, 95, 100, digits=4),
        "ledger": outcome.ledger.as_json() | {"settled_s": outcome.settled_s},
        "objectives": [objective.as_json() for objective in outcome.objectives],
        "rate": outcome.rate.as_json(),
        "busy": outcome.machine.as_json(),
        "left_out": list(outcome.left_out),
        "not_measured": list(outcome.not_measured),
        "generator_saturated": generator.saturated,
        "generator": {
            "saturation_reasons": generator.saturation_reasons,
            "step_late_us": generator.step_late_us,
            "steps_missed_share": generator.steps_missed_share,
            "arrival_late_ms": generator.arrival_late_ms,
            "datagrams_overflowed": generator.datagrams_overflowed,
            "shortages": dict(generator.shortages),
            "stages_s": dict(generator.stages_s),
        },
        "cpu_cores": outcome.cpu_cores,
        "faults": [record.as_json() for record in outcome.fault_records],
        "requests": outcome.requests.as_json(),
        "request_counts": request_counts.as_json(outcome),
        "tickets": records.tickets,
        "requeues": int(records.requeues.sum()),
        "requeues_with_age": int(records.requeues_with_age.sum()),
        "players_backfilled": sum(report.get("players_backfilled", 0) for report in outcome.reports),
        "quits": int(records.quits.sum()),
        "disconnects": int(records.disconnects.sum()),
        "reconnects": int(records.reconnects.sum()),
        "return_s": percentiles(records.return_s, 50, 95, 100, digits=4) | {"count": len(records.return_s)},
        "roams": int(records.roams.sum()),
        "roam_back_s": percentiles(records.roam_back_s, 50, 95, 100, digits=4)
        | {"count": len(records.roam_back_s)},
        "tokens_expired": int(records.tokens_expired.sum()),
        "told": records.told(),
        "crashes": int(records.crashes.sum()),
        "back_s": percentiles(records.back_s, 50, 95, 100, digits=4) | {"count": len(records.back_s)},
        "refusals": outcome.requests.refusals,
        "deaths": list(outcome.deaths),
        "servers_peak": outcome.servers_peak,
        "match_quality": quality.quality_by_match(outcome),
        "kills_by_skill": dict(
            zip(("bands", "mean_kills", "rank_correlation"), quality.kills_by_skill(outcome), strict=True)
        ),
        "metrics": [history.as_json() for history in outcome.metrics],
        "incidents": [
            incident._asdict() | {"at_s": round(incident.at_s, 3)}
            for incident in incidents.find_incidents(outcome)
        ],
        "server_hours": round(outcome.server_hours, 4),
        "cost": round(outcome.cost, 4),
        "servers": outcome.reports,
    }
