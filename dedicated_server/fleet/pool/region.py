"""One region's fleet: its servers by state, and how many idle ones are wanted."""

from __future__ import annotations

from dedicated_server.fleet.autoscaling.replicas import Replicas
from dedicated_server.fleet.pool.gameserver import GameServer
from dedicated_server.fleet.pool.states import FINAL_STATES, STARTING_STATES, State

UNMET_TTL_S = 15.0  # a match that asked in vain is waited for so long; directors ask again within seconds


class Region:
    """The servers of one region.

    Attributes:
        idle_wanted: idle servers to keep; the autoscaler says.
        cordoned: none of its servers is given to a match. draining: nor is any kept idle.
        idle_server_s, used_server_s: seconds that servers were Ready, and Allocated, in all: the price of being warm, and of playing.
        in_state: the live servers by state and name, the one that entered it first leading.
    """

    def __init__(self, name: str, idle_wanted: int) -> None:
        self.name = name
        self.idle_wanted = idle_wanted
        self.cordoned = False
        self.draining = False
        self._unmet: dict[str, float] = {}  # keys of matches that found none Ready, and when they asked last
        self.in_state: dict[State, dict[str, GameServer]] = {state: {} for state in State}
        self._cordoned_ready = 0
        self.idle_server_s = self.used_server_s = 0.0
        self._counted_at: float | None = None

    def enter(self, server: GameServer) -> None:
        """A server is new."""
        self.in_state[server.state][server.name] = server

    def moved(self, server: GameServer, before: State) -> None:
        """A server has changed its state."""
        del self.in_state[before][server.name]
        self.in_state[server.state][server.name] = server
        if server.cordoned:
            self.recount()

    def gone(self, server: GameServer) -> None:
        """A server is gone."""
        del self.in_state[server.state][server.name]

    def recount(self) -> None:
        """A server was cordoned, or is no more."""
        self._cordoned_ready = sum(one.cordoned for one in self.in_state[State.READY].values())

    def count_time(self, now: float) -> None:
        """Add what servers have idled and played since the last call."""
        if self._counted_at is not None:
            passed_s = max(0.0, now - self._counted_at)
            self.idle_server_s += passed_s * len(self.in_state[State.READY])
            self.used_server_s += passed_s * len(self.in_state[State.ALLOCATED])
        self._counted_at = now

    def counts(self) -> dict[State, int]:
        """Servers by state; a state that nobody is in is left out, but Ready and Allocated never."""
        shown = (State.READY, State.ALLOCATED)
        return {state: len(servers) for state, servers in self.in_state.items() if servers or state in shown}

    def starting(self) -> int:
        """Servers that are to be Ready, but are not yet."""
        return sum(len(self.in_state[state]) for state in STARTING_STATES)

    def missing(self) -> int:
        """Idle servers that should be started; below 0 are too many."""
        wanted = 0 if self.draining else self.idle_wanted
        return wanted - self._idle() - self.starting()

    def surplus(self) -> int:
        """Ready servers beyond those wanted."""
        return max(0, self._idle() - (0 if self.draining else self.idle_wanted))

    def allocation_requested(self, key: str, unmet: bool, now: float) -> None:
        """A match asked for a server. However often it asks, it counts once."""
        if unmet:
            self._unmet[key] = now
        else:
            self._unmet.pop(key, None)

    def replicas(self, now: float) -> Replicas:
        """How an autoscaler sees it."""
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
