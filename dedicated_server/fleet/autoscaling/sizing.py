"""Our own policy: as many idle servers as the forecast asks for, and not one more.

A buffer whose servers are replaced as they are taken is short exactly when more matches began within one start-up than it holds. The
servers on their way are then a group of which each arrival takes one for the length of a start-up, and the share of matches that find none is
Erlang-B of the buffer at the load arrivals × start-up (the lost-sales case of the (S − 1, S) stock rule; start-ups may vary as they like).
So the buffer follows from the arrival rate and the start-up delay; the servers in play, arrivals × match length, come on top.
"""

from __future__ import annotations

from dataclasses import dataclass

from dedicated_server.fleet.autoscaling.buffer import MAX_REPLICAS
from dedicated_server.fleet.autoscaling.erlang import erlang_b, servers_for
from dedicated_server.fleet.autoscaling.replicas import Decision, Replicas, clamp, round_up


@dataclass(frozen=True, slots=True)
class Demand:
    """What is known of the matches to come.

    Attributes:
        matches_per_s: matches that begin, lately.
        players_per_s: players who join the queue, lately.
        queued_players: players who wait now.
        players_per_match: players a match takes, on average.
        match_s: seconds a server is taken by a match, on average.
    """

    matches_per_s: float
    players_per_s: float
    queued_players: int
    players_per_match: float
    match_s: float


@dataclass(frozen=True, slots=True)
class Sizing:
    """The policy.

    Attributes:
        startup_s: from the decision to a Ready server.
        sync_s: between two decisions.
        blocking: share of matches that may find no server Ready.
        least_idle: idle servers at least, however quiet it is.
        most: replicas at most.
    """

    startup_s: float
    sync_s: float = 1.0
    blocking: float = 0.001
    min_idle: int = 1
    max_replicas: int = MAX_REPLICAS

    def decide(self, fleet: Replicas, demand: Demand) -> Decision:
        """Replicas for what is in play, what waits, and what will have come before a server asked for now is Ready."""
        lead_s = self.startup_s + self.sync_s
        # The players that arrive make matches too, though none of them began yet: a rush shows there first.
        per_s = max(demand.matches_per_s, demand.players_per_s / max(demand.players_per_match, 1.0))
        waiting = max(int(demand.queued_players / max(demand.players_per_match, 1.0)), fleet.unmet)
        # Servers that end within the lead time are not here for long; nothing is gained by counting them again.
        idle = max(servers_for(per_s * lead_s, self.blocking), self.min_idle) + waiting
        in_use = fleet.allocated + fleet.reserved
        reason = (
            f"{per_s:.3g} matches/s × {lead_s:.3g} s until a new server is Ready, at most {self.blocking:.2g} in vain: "
            f"{idle - waiting} idle, {waiting} for those who wait, {in_use} in use"
        )
        return clamp(Decision(in_use + idle, False, reason), 0, self.max_replicas)

    def blocking_of(self, idle: int, matches_per_s: float) -> float:
        """Share of matches that find none of ``idle`` servers Ready."""
        return erlang_b(idle, matches_per_s * (self.startup_s + self.sync_s))


def servers_in_play(matches_per_s: float, match_s: float, blocking: float) -> int:
    """Servers that a fleet of fixed size needs, so that at most a share ``blocking`` of matches finds all of them in play."""
    return servers_for(matches_per_s * match_s, blocking)


def steady_replicas(demand: Demand, policy: Sizing) -> int:
    """Replicas that the policy settles at under a steady demand: the price of being warm."""
    idle = max(
        servers_for(demand.matches_per_s * (policy.startup_s + policy.sync_s), policy.blocking),
        policy.min_idle,
    )
    return min(round_up(demand.matches_per_s * demand.match_s) + idle, policy.max_replicas)
