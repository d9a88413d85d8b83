"""Erlang's formulas: how often all servers of a group are in use.

``load`` is arrivals per second × seconds that each stays. Erlang-B is the share of arrivals that find all
``servers`` in use where such arrivals leave; it depends on the mean stay alone, not on the distribution of
stays. Erlang-C is the share that has to wait where all arrivals wait. Source: A. K. Erlang, 1917; the
recursion is the usual one and loses no accuracy.
"""

from __future__ import annotations


def erlang_b(servers: int, load: float) -> float:
    """Return the share of arrivals that find all ``servers`` in use at ``load`` erlangs (ValueError: < 0)."""
    if servers < 0 or load < 0:
        raise ValueError("servers and load must be 0 or more")
    blocked = 1.0 if load > 0 else 0.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked


def erlang_c(servers: int, load: float) -> float:
    """Return the share of arrivals that wait for one of ``servers`` at ``load`` erlangs; overload: 1."""
    if load >= servers:
        return 1.0 if load > 0 else 0.0
    blocked = erlang_b(servers, load)
    return blocked / (1.0 - (load / servers) * (1.0 - blocked))


def servers_for(load: float, blocking: float, max_servers: int = 1_000_000) -> int:
    """Return the fewest servers of which at most a share ``blocking`` of arrivals finds all in use.

    At most ``max_servers``, even where these are too few. Raises ValueError.
    """
    if not 0.0 < blocking <= 1.0:
        raise ValueError("blocking must be above 0 and at most 1")
    if load < 0:
        raise ValueError("load must be 0 or more")
    blocked, servers = 1.0 if load > 0 else 0.0, 0
    while blocked > blocking and servers < max_servers:
        servers += 1
        blocked = load * blocked / (servers + load * blocked)
    return servers
