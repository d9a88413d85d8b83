"""Packs what a part measured, so that it can be added to the others'."""

from __future__ import annotations

import numpy as np

from loadtest.flood.injection.faults import FaultRecord
from loadtest.flood.outcome import RunOutcome
from loadtest.flood.parts.file import FaultCame, PartRun


def pack_run(outcome: RunOutcome) -> PartRun:
    """What the file of a part holds of its run; ``outcome`` is that of the part's own players."""
    records = outcome.records
    columns = {name: value.tolist() for name, value in vars(records).items() if isinstance(value, np.ndarray)}
    words = {
        name: value
        for name, value in vars(records).items()
        if isinstance(value, list) and len(value) == len(records) and all(isinstance(x, str) for x in value)
    }
    return PartRun(
        wall_s=outcome.wall_s,
        played_s=outcome.wall_s if outcome.played_s is None else outcome.played_s,
        interrupted=outcome.interrupted,
        columns=columns,
        words=words,
        back_s=list(records.back_s),
        roam_back_s=list(records.roam_back_s),
        return_s=list(records.return_s),
        waits=list(records.waits),
        vain_waits=list(records.vain_waits),
        timeline=outcome.timeline,
        reports=list(outcome.reports),
        generator=outcome.generator,
        parties=outcome.parties,
        servers_used=outcome.matches.servers_used,
        faults=[
            FaultCame(_place(record, outcome), record.began_s, record.ended_s, record.killed, record.stopped)
            for record in outcome.fault_records
        ],
        failed_matches=list(outcome.failed_matches),
        lost_servers=list(outcome.lost_servers),
        requests=dict(outcome.requests.by_kind),
        failed_at_s=list(outcome.requests.failed_at_s),
        shortages=dict(outcome.requests.own_shortages),
        metrics=list(outcome.metrics),
        machine=outcome.machine,
        left_out=list(outcome.left_out),
        not_measured=list(outcome.not_measured),
    )


def _place(record: FaultRecord, outcome: RunOutcome) -> int:
    """Which of the scenario's faults it is of."""
    return next(index for index, fault in enumerate(outcome.scenario.faults) if fault is record.fault)
