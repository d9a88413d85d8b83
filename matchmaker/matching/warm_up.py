"""Compile the matching kernel ahead of a run: ``python -m matchmaker.matching.warm_up``. Without a cache it
takes about 20 s, else a tenth of one.
"""

from __future__ import annotations

import numpy as np

from launchday import kernel_cache, startup
from matchmaker.matching.kernel import match_tickets
from matchmaker.matching.pool import Pool
from matchmaker.matching.team_balance import match_quality
from matchmaker.plans import warm_up as plans
from matchmaker.rules.rules import Rules


def warm_up(*, searching: bool = False) -> None:
    """Match a pool of one, which compiles and keeps the kernel; a lease is shorter than that takes.

    ``searching``: also what matches by the rule sets that the kernel is not for.
    """
    if searching:
        plans.warm_up()
    with kernel_cache.compiling("matchmaker"):
        tickets, _, _ = Pool(1).units(np.arange(1))
        match_quality(np.zeros(2, np.float32), np.ones(2, np.float32), (0, 1))
        match_tickets(Rules("", 2, 2, 0.0, 1.0, 1.0), 0.0, tickets)


if __name__ == "__main__":
    startup.prepare()
    warm_up()
