"""What the file of a part says when it begins."""

from __future__ import annotations

from loadtest.errors import PartError
from loadtest.flood.parts.file import VERSION, PartHeader
from loadtest.flood.surroundings.base import Run, Surroundings
from loadtest.target import target_name


def header_of(run: Run, around: Surroundings) -> PartHeader:
    """The header of a part whose clock has begun. Raises PartError where the run is no part."""
    if run.part is None:
        raise PartError("a run of all players has no part's file")
    scenario, target = run.scenario, run.options.target
    return PartHeader(
        version=VERSION,
        part=run.part.number,
        of=run.part.of,
        scenario=scenario.model_dump_json(exclude_unset=True),
        name=scenario.name,
        seed=scenario.seed,
        run_id=run.run_id,
        started_at=run.started_at,
        target="" if target is None else target_name(target),
        before=around.counted_before(),
    )
