"""From a player's ticket to a slot on a game server.

A ticket's life, in the order of the packages: ``api`` takes it and writes it with others of the same moment,
``queue`` carries it to the director that leads, whose ``matching`` keeps it as a row of arrays and groups it
by the ``rules`` of its mode; ``director`` finds a server for its match, and ``api`` notifies its player.
``tickets`` is its form on the way, ``messages`` what is said over HTTP.

Others use ``matchmaker.client`` alone.

Errors::

    MatchmakerError
    ├── LeaseLostError          another director leads: stop, forget the pool, ask for the lease again
    │   └── QueueWentBackError  a replica without its last changes took over: forget the pool, begin anew
    ├── KeysUnsettledError      a script's keys changed at each try: repeat it (``queue.scripts.script``)
    ├── SkillsUnavailableError  the meta service gave no skills: answer 503, the player tries again
    │   ├── SkillsRefusedError  it refuses one of these players: ask for fewer
    │   └── WriterFullError     too many new tickets wait to be written
    ├── TokenRefusedError       a game server takes no token now: its clock differs (``director.reach``)
    ├── UnknownTicketError      no such ticket waits: look at its spelling (``plans.why``)
    ├── RuleSetsError           the operator's rule sets cannot be used: say why, and end
    └── DocumentError           a rule set, tickets or attributes have mistakes (``rules.flexmatch.document``)

``matchmaker.client`` draws its own tree, of what a caller may see.
"""

import launchday  # noqa: F401 - tells numba where to keep compiled kernels, which it learns once, when it is imported
