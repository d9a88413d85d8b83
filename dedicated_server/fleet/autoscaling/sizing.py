"""Our own policy: it sizes the buffer of idle servers by the demand.

A buffer whose servers are replaced as they are taken runs out exactly when more matches begin within one
start-up than it holds servers. Each arrival then takes one of them for the length of a start-up, so the share
of matches that find none is Erlang-B of the buffer at the load arrivals × start-up. Source: the lost-sales
case of the (S − 1, S) stock rule, which holds however start-ups vary. The buffer follows from the arrival
rate and the start-up time; the servers in use come on top.
"""

from __future__ import annotations

from dataclasses import dataclass

from dedicated_server.fleet.autoscaling.erlang import erlang_b, servers_for
from dedicated_server.fleet.autoscaling.replicas import MAX_REPLICAS, Decision, Replicas, clamp, round_up


@dataclass(frozen=True, slots=True)
class Demand:
    """The demand of the last half minute.

    Attributes:
        matches_per_s: matches that begin.
        players_per_s: players who join the queue.
        queued_players: players who wait now.
        players_per_match: players of a match, on average.
        match_s: seconds that a match takes a server, on average.
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
        startup_s: seconds from a decision to a Ready server.
        sync_s: seconds between two decisions.
        blocking: share of matches that may find no Ready server, 0 to 1.
        min_idle: idle servers to keep however low the demand is.
        max_replicas: limit on all servers.
    """

    startup_s: float
    sync_s: float = 1.0
    blocking: float = 0.001
    min_idle: int = 1
    max_replicas: int = MAX_REPLICAS

    def decide(self, fleet: Replicas, demand: Demand) -> Decision:
        """Return the servers for running matches, waiting players and the arrivals of one start-up time."""
        lead_s = self.startup_s + self.sync_s
        # Players who arrive make matches too, although none of these has begun: a rush shows there first.
        per_s = max(demand.matches_per_s, demand.players_per_s / max(demand.players_per_match, 1.0))
        waiting = max(int(demand.queued_players / max(demand.players_per_match, 1.0)), fleet.unmet)
        # Servers that end within the lead time are not counted as free: they are gone when they would be
        # needed.
        idle = max(servers_for(per_s * lead_s, self.blocking), self.min_idle) + waiting
        in_use = fleet.allocated + fleet.reserved
        reason = (
            f"{per_s:.3g} matches/s × {lead_s:.3g} s until a new server is Ready, "
            f"at most {self.blocking:.2g} without a server: {idle - waiting} idle, "
            f"{waiting} for waiting matches, {in_use} in use"
        )
        return clamp(Decision(in_use + idle, False, reason), 0, self.max_replicas)

    def blocking_of(self, idle: int, matches_per_s: float) -> float:
        """Return the share of matches that find none of ``idle`` servers Ready."""
        return erlang_b(idle, matches_per_s * (self.startup_s + self.sync_s))


def servers_in_play(matches_per_s: float, match_s: float, blocking: float) -> int:
    """Return how many servers a fixed fleet needs so that a share ``blocking`` of matches finds none free."""
    return servers_for(matches_per_s * match_s, blocking)


def steady_replicas(demand: Demand, policy: Sizing) -> int:
    """Return the replicas at which the policy settles under a steady demand: the price of being warm."""
    idle = max(
        servers_for(demand.matches_per_s * (policy.startup_s + policy.sync_s), policy.blocking),
        policy.min_idle,
    )
    return min(round_up(demand.matches_per_s * demand.match_s) + idle, policy.max_replicas)
