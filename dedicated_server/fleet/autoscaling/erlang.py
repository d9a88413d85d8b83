"""Erlang's formulas: how often all servers of a group are taken.

Erlang-B is the share of arrivals that find all ``servers`` taken, where ``load`` = arrivals per second × seconds each stays, and who finds
none goes away; it depends on the mean stay alone, not on how stays are spread. Erlang-C is the share that has to wait, where all wait.
Source: A. K. Erlang, 1917; the recursion is the usual one and loses no accuracy.
"""

from __future__ import annotations


def erlang_b(servers: int, load: float) -> float:
    """Share of arrivals that find all ``servers`` taken, at ``load`` erlangs; 0 to 1."""
    if servers < 0 or load < 0:
        raise ValueError("servers and load must be 0 or more")
    blocked = 1.0 if load > 0 else 0.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked


def erlang_c(servers: int, load: float) -> float:
    """Share of arrivals that have to wait for one of ``servers``, at ``load`` erlangs; 1 where the load is too much."""
    if load >= servers:
        return 1.0 if load > 0 else 0.0
    blocked = erlang_b(servers, load)
    return blocked / (1.0 - (load / servers) * (1.0 - blocked))


def servers_for(load: float, blocking: float, max_servers: int = 1_000_000) -> int:
    """The fewest servers of which at most a share ``blocking`` of arrivals finds all taken; ``most`` where even those are too few."""
    if not 0.0 < blocking <= 1.0:
        raise ValueError("blocking must be above 0 and at most 1")
    if load < 0:
        raise ValueError("load must be 0 or more")
    blocked, servers = 1.0 if load > 0 else 0.0, 0
    while blocked > blocking and servers < max_servers:
        servers += 1
        blocked = load * blocked / (servers + load * blocked)
    return servers
