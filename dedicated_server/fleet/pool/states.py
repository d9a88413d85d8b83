"""The states of a game server by Agones' names, and which state may follow which."""

from __future__ import annotations

import enum

from dedicated_server.errors import DedicatedServerError


class State(enum.StrEnum):
    """Where a game server is in its life. In a local fleet the states mean:

    - PortAllocation: its ports are taken from the pools.
    - Creating: the warm parent was asked to fork it.
    - Starting: it has a process.
    - Scheduled: the process has called its sidecar.
    - RequestReady, Ready: it says that it can take players.
    - Allocated: it belongs to a match.
    - Reserved: kept back for a while at its own request.
    - Shutdown: it was told to end, or asked for it.
    - Unhealthy: it crashed, or its heartbeats stopped.
    - Error: it could not be started.
    """

    PORT_ALLOCATION = "PortAllocation"
    CREATING = "Creating"
    STARTING = "Starting"
    SCHEDULED = "Scheduled"
    REQUEST_READY = "RequestReady"
    READY = "Ready"
    ALLOCATED = "Allocated"
    RESERVED = "Reserved"
    SHUTDOWN = "Shutdown"
    ERROR = "Error"
    UNHEALTHY = "Unhealthy"


class Ending(enum.StrEnum):
    """Why a game server ended, as metrics count it; the reason beside it is for people."""

    ENDED = "ended"  # it asked for it, or its match was over
    START_FAILED = "start failed"  # it was never Ready
    CRASHED = "crashed"
    PARENT_LOST = "warm parent ended"
    UNHEARD = "end not heard of"  # its process was gone, and nobody had said so
    HUNG = "no heartbeat"
    UNCLAIMED = "match not begun"
    TOO_LONG = "match too long"
    MEMORY = "memory"
    KILLED = "killed"
    TAKEN_BACK = "match ended by its owner"
    DRAINED = "drained"
    SCALED_DOWN = "scaled down"
    STOPPING = "fleet stopped"


STARTING_STATES = frozenset(
    {State.PORT_ALLOCATION, State.CREATING, State.STARTING, State.SCHEDULED, State.REQUEST_READY}
)
RUNNING_STATES = frozenset(
    {State.SCHEDULED, State.REQUEST_READY, State.READY, State.ALLOCATED, State.RESERVED}
)
FINAL_STATES = frozenset({State.SHUTDOWN, State.ERROR, State.UNHEALTHY})

# Every live server may shut down, fail or turn unhealthy. A server that calls its sidecar before its fork was
# reported to the fleet skips Starting.
NEXT_STATES: dict[State, frozenset[State]] = {
    State.PORT_ALLOCATION: frozenset({State.CREATING}),
    State.CREATING: frozenset({State.STARTING, State.SCHEDULED}),
    State.STARTING: frozenset({State.SCHEDULED}),
    State.SCHEDULED: frozenset({State.REQUEST_READY, State.ALLOCATED, State.RESERVED}),
    State.REQUEST_READY: frozenset({State.READY}),
    State.READY: frozenset({State.ALLOCATED, State.RESERVED, State.REQUEST_READY}),
    State.ALLOCATED: frozenset({State.ALLOCATED, State.RESERVED, State.REQUEST_READY}),
    State.RESERVED: frozenset({State.ALLOCATED, State.RESERVED, State.REQUEST_READY, State.READY}),
    State.SHUTDOWN: frozenset(),
    State.ERROR: frozenset(),
    State.UNHEALTHY: frozenset(),
}


class IllegalTransitionError(DedicatedServerError):
    """Raised when a game server asks for a state that may not follow its own.

    Nothing changes; the sidecar answers 400, the allocator 422. Repeating the call is no use.
    """
