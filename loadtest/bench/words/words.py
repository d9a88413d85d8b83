"""``words``: each reason for which a server parts from a player, provoked and followed to who must hear it.

The real engine over loopback sockets, and the load test's own bots. What the server has said is what its
report says (`words`); what was heard is counted as a flood counts it (`told`), and both are compared by the
lines of a flood's ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from dedicated_server.match.warm_up import warm_up
from dedicated_server.protocol.reasons import FAREWELL, REASONS, REFUSAL, UNSEALED
from dedicated_server.tick.engine import Engine
from loadtest.bench.options import Options
from loadtest.bench.words.bots import Bots
from loadtest.bench.words.scenes import SCENES
from loadtest.bench.words.stage import Stage
from loadtest.errors import BenchError
from loadtest.flood.ledger import LedgerLine, told_lines

KINDS: Final = {REFUSAL: "refusals", FAREWELL: "farewells", UNSEALED: "unsealed"}  # in a report, by the way


def run(options: Options | None = None, *, engine: type[Engine] = Engine) -> dict[str, Any]:
    """Provoke each reason once, in each of the words in which a server says it.

    ``options``: ``only`` are reasons; all where it is empty, or None. ``engine``: what serves.

    Returns:
        What is printed: of each reason and way how often it was ``said`` and by how many sessions ``heard``;
        the reports' ``words`` and the flood's ``told`` as they print them; the ledger's lines, and whether
        each is balanced. ``missed`` has a line for each reason that did not arrive.

    Raises BenchError for an unknown name.
    """
    names = (options or Options()).chosen([reason.name for reason in REASONS])
    warm_up()
    return asyncio.run(_run(names, engine))


async def _run(names: Sequence[str], engine: type[Engine]) -> dict[str, Any]:
    missed = []
    async with Bots() as bots:
        stage = Stage(engine, bots)
        for name in names:
            if name not in SCENES:
                missed.append(f"{name}: nothing here provokes it")
                continue
            try:
                await SCENES[name](stage)
            except BenchError as error:
                missed.append(f"{name}: {error}")
        told = bots.records.told()
    return describe(names, stage, told, missed)


def describe(names: Sequence[str], stage: Stage, told: dict[str, int], missed: list[str]) -> dict[str, Any]:
    """Return what is printed; ``missed``: scenes that could not be played to their end."""
    ways = {
        reason.name: {way: _counts(stage, reason.name, way) for way in reason.said}
        for reason in REASONS
        if reason.name in names
    }
    lines = told_lines({f"told_{kind}": counts for kind, counts in stage.said.items()}, told)
    missed = [*missed, *_unheard(ways), *_unbalanced(names, lines)]
    return {
        "bench": "words",
        "reasons": len(names),
        "arrived": sum(told.get(name, 0) > 0 for name in names),
        "ways": ways,
        "words": {kind: dict(counts) for kind, counts in stage.said.items()},
        "told": told,
        "ledger": {
            line.name: {
                "balanced": line.balanced,
                **{entry.label: entry.detail or entry.count for entry in line.entries},
            }
            for line in lines
        },
        "missed": missed,
        "passed": not missed,
    }


def _counts(stage: Stage, name: str, way: str) -> dict[str, int]:
    return {"said": stage.said[KINDS[way]][name], "heard": stage.heard[way, name]}


def _unheard(ways: dict[str, dict[str, dict[str, int]]]) -> list[str]:
    """A line for each reason and way that nobody has heard, or more than it was said to. It may be said
    several times before it is heard.
    """
    return [
        f"{name}, {way}: said {counts['said']}, heard {counts['heard']}"
        for name, by_way in ways.items()
        for way, counts in by_way.items()
        if not 1 <= counts["heard"] <= counts["said"]
    ]


def _unbalanced(names: Sequence[str], lines: Sequence[LedgerLine]) -> list[str]:
    """A line for each reason that the ledger does not have, or that does not balance there."""
    balanced = {line.name for line in lines if line.balanced}
    return [f"{name}: not balanced in the ledger" for name in names if f"told {name}" not in balanced]
