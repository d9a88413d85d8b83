"""One region's fleet: its servers by state, and how many idle ones are wanted."""

from __future__ import annotations

from dedicated_server.fleet.autoscaling.replicas import Replicas
from dedicated_server.fleet.pool.gameserver import GameServer
from dedicated_server.fleet.pool.states import FINAL_STATES, STARTING_STATES, State

UNMET_TTL_S = 15.0  # for which an unmet request counts; directors repeat theirs within seconds


class Region:
    """The servers of one region.

    Attributes:
        idle_wanted: idle servers to keep, as the autoscaler decided.
        max_servers: limit on its servers.
        cordoned: none of its servers is given to a match.
        draining: as cordoned, and none is kept idle.
        idle_server_s, used_server_s: server-seconds in Ready and in Allocated: the price of being warm, and
            of playing.
        in_state: the live servers by state and name; the one that entered it first leads.
    """

    def __init__(self, name: str, idle_wanted: int, max_servers: int) -> None:
        self.name = name
        self.idle_wanted = idle_wanted
        self.max_servers = max_servers
        self.cordoned = False
        self.draining = False
        self._unmet: dict[str, float] = {}  # keys of matches that found none Ready, and when they asked last
        self.in_state: dict[State, dict[str, GameServer]] = {state: {} for state in State}
        self._cordoned_ready = 0
        self.idle_server_s = self.used_server_s = 0.0
        self._counted_at: float | None = None

    def enter(self, server: GameServer) -> None:
        """Add a new server."""
        self.in_state[server.state][server.name] = server

    def moved(self, server: GameServer, before: State) -> None:
        """Note that a server has left the state ``before``."""
        del self.in_state[before][server.name]
        self.in_state[server.state][server.name] = server
        if server.cordoned:
            self.recount()

    def gone(self, server: GameServer) -> None:
        """Remove a server that is gone."""
        del self.in_state[server.state][server.name]

    def recount(self) -> None:
        """Count the cordoned Ready servers anew, after one was cordoned or uncordoned."""
        self._cordoned_ready = sum(one.cordoned for one in self.in_state[State.READY].values())

    def count_time(self, now: float) -> None:
        """Add the server-seconds since the last call; ``now`` is monotonic seconds."""
        if self._counted_at is not None:
            passed_s = now - self._counted_at
            self.idle_server_s += passed_s * len(self.in_state[State.READY])
            self.used_server_s += passed_s * len(self.in_state[State.ALLOCATED])
        self._counted_at = now

    def counts(self) -> dict[State, int]:
        """Count servers by state. Empty states are left out, but for Ready and Allocated."""
        shown = (State.READY, State.ALLOCATED)
        return {state: len(servers) for state, servers in self.in_state.items() if servers or state in shown}

    def starting(self) -> int:
        """Count the servers that are on their way to Ready."""
        return sum(len(self.in_state[state]) for state in STARTING_STATES)

    def is_full(self) -> bool:
        """Whether it has as many servers as it may, those that are ending included."""
        return sum(len(servers) for servers in self.in_state.values()) >= self.max_servers

    def awaits_first(self) -> bool:
        """Whether idle servers are wanted while none is ready, nor in a match: none has become so yet."""
        there = any(self.in_state[state] for state in (State.READY, State.RESERVED, State.ALLOCATED))
        return not there and not self.draining and min(self.idle_wanted, self.max_servers) > 0

    def missing(self) -> int:
        """Return how many idle servers are wanted and not there; below 0: how many there are too many."""
        wanted = 0 if self.draining else self.idle_wanted
        return wanted - self._idle() - self.starting()

    def surplus(self) -> int:
        """Return how many Ready servers there are beyond those wanted."""
        return max(0, self._idle() - (0 if self.draining else self.idle_wanted))

    def allocation_requested(self, key: str, unmet: bool, now: float) -> None:
        """Note that a match asked for a server at ``now`` (monotonic).

        A key counts once, however often it asks.
        """
        if unmet:
            self._unmet[key] = now
        else:
            self._unmet.pop(key, None)

    def replicas(self, now: float) -> Replicas:
        """Return the region as an autoscaler sees it; ``now`` is monotonic seconds."""
        self._unmet = {key: at for key, at in self._unmet.items() if now - at < UNMET_TTL_S}
        alive = sum(len(servers) for state, servers in self.in_state.items() if state not in FINAL_STATES)
        return Replicas(
            replicas=alive,
            ready=len(self.in_state[State.READY]),
            reserved=len(self.in_state[State.RESERVED]),
            allocated=len(self.in_state[State.ALLOCATED]),
            unmet=len(self._unmet),
        )

    def _idle(self) -> int:
        return len(self.in_state[State.READY]) - self._cordoned_ready
