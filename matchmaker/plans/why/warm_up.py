"""Compile ahead of time what says why a ticket has no match: some 60 s of a core, the search included."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

from launchday import kernel_cache
from matchmaker.plans.why.reasons import why
from matchmaker.plans.why.whole_cycle import searched
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer

DUEL = {
    "ruleLanguageVersion": "1.0",
    "playerAttributes": [{"name": "level", "type": "number"}],
    "teams": [{"name": "all", "minPlayers": 2, "maxPlayers": 2}],
    "rules": [{"name": "Near", "type": "batchDistance", "batchAttribute": "level", "maxDistance": 1}],
}
# The folder of compiled kernels has to be named before numba is imported.
COMPILE = (
    "from launchday import startup; startup.prepare(); "
    "from matchmaker.plans.why.warm_up import warm_up; warm_up()"
)


def warm_up() -> None:
    """Ask about one of two who never meet, which compiles and keeps the kernels."""
    with kernel_cache.compiling("why"):
        tickets = [
            FlexMatchTicket(name, 0.0, (TicketPlayer(name, None, {"level": level}, {}),))
            for name, level in (("one", 1.0), ("other", 9.0))
        ]
        # By the search: a queue that the fast kernel matches needs no plan's kernels for this.
        why(read_rule_set(json.dumps(DUEL)), tickets, "one", 0.0, cycle=searched)


def compile_aside(timeout_s: float = 600.0) -> bool:
    """Compile in a process of its own, where it is not compiled yet; returns whether it is then. Blocks: call
    it in a thread. Compiling in the process itself would hold up its event loop for half a minute.
    """
    if not kernel_cache.is_compiled("why"):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                [sys.executable, "-c", COMPILE],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=timeout_s,
            )
    return kernel_cache.is_compiled("why")
