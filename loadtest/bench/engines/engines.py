"""All faults of all engines, one after the other, and the line that sums them up."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from launchday.engines import EngineError
from loadtest.bench.engines.measuring import EngineFault, measure
from loadtest.bench.options import Options
from loadtest.errors import BenchError

PARTS: Sequence[str] = (
    "kafka",
    "valkey_cluster",
    "sentinel",
    "postgresql",
    "ticket_queue",
    "regions",
    "drill",
)
"""Modules of this package that offer ``FAULTS``, in the order in which they are run."""

RECOVERY_LIMIT_S = 15.0


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Measure the faults whose part ``options.only`` names, or all; yield a line each, and the sum.

    What cannot be measured, such as on a machine that lacks an engine, says why; the others go on.

    Raises BenchError for a part that there is not.
    """
    lines: list[Mapping[str, Any]] = []
    others: list[Mapping[str, Any]] = []
    for part in options.chosen(PARTS):
        module = importlib.import_module(f"loadtest.bench.engines.{part}")
        for fault in module.FAULTS:
            line = _measured(fault)
            (lines if "recovery_s" in line else others).append(line)
            yield line
        if hasattr(module, "figures"):
            for line in _figures(module.figures(options), part):
                (lines if "fault" in line else others).append(line)
                yield line
    yield summed_up(lines, others)


def _measured(fault: EngineFault) -> dict[str, Any]:
    try:
        return asyncio.run(measure(fault))
    except (BenchError, EngineError) as error:
        return _not_measured(fault.engine, error) | {"fault": fault.name}


def _figures(figures: Iterator[dict[str, Any]], part: str) -> Iterator[dict[str, Any]]:
    try:
        yield from figures
    except (BenchError, EngineError) as error:
        yield _not_measured(part, error)


def _not_measured(engine: str, error: Exception) -> dict[str, Any]:
    return {"bench": "engines", "engine": engine, "not_measured": str(error), "passed": False}


def summed_up(lines: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The last line: how many faults, and the worst of what they did.

    Args:
        lines: of faults.
        others: further lines of parts; one that says ``passed`` has to have.
    """
    worst = max((line["recovery_s"] for line in lines), default=0.0)
    lost, doubled = sum(line["lost"] for line in lines), sum(line["doubled"] for line in lines)
    balanced = all(line["balanced"] for line in lines)
    return {
        "bench": "engines",
        "faults": len(lines),
        "lost": lost,
        "doubled": doubled,
        "ledger_balanced": balanced,
        "worst_recovery_s": worst,
        "passed": bool(lines or others)
        and not lost
        and not doubled
        and balanced
        and worst <= RECOVERY_LIMIT_S
        and all(line.get("passed", True) for line in others),
    }
