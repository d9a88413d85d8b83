"""Compile ahead of time what matches by plans: some 85 s of a core after the search, from its cache a fifth
of one.
"""

from __future__ import annotations

import json

from launchday import kernel_cache
from matchmaker.plans.matching import match
from matchmaker.rules.flexmatch import warm_up as search
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer

DUEL = {
    "ruleLanguageVersion": "1.0",
    "playerAttributes": [{"name": "level", "type": "number"}],
    "teams": [{"name": "all", "minPlayers": 2, "maxPlayers": 2}],
    "rules": [{"name": "Near", "type": "batchDistance", "batchAttribute": "level", "maxDistance": 1}],
}


def warm_up() -> None:
    """Match two by a plan, which compiles and keeps the kernels, those of the search too: few tickets are
    searched beside it, and so are rule sets that have no plan.
    """
    search.warm_up()
    with kernel_cache.compiling("plans"):
        tickets = [
            FlexMatchTicket(name, 0.0, (TicketPlayer(name, None, {"level": 1.0}, {"here": 1.0}),))
            for name in "ab"
        ]
        match(read_rule_set(json.dumps(DUEL)), tickets, 0.0, live=True)
