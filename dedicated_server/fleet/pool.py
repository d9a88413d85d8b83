"""The warm pool: starts game servers, follows each through its states, and replaces whatever leaves.

No clock and no I/O in here but the forker's: every method is a plain function of the pool and ``now`` (Unix seconds), run in
one event loop, so an allocation is a dictionary pop and no two callers can get the same server.
"""

from __future__ import annotations

import asyncio
import signal
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from dedicated_server.fleet.books import Books
from dedicated_server.fleet.gameserver import GameServer, HealthSpec
from dedicated_server.fleet.logs import ServerLogs
from dedicated_server.fleet.ports import PortPool
from dedicated_server.fleet.states import FINAL, ON_THE_WAY, UP, State

REMEMBERED = 1000  # servers that are gone but still shown
MAX_ON_THE_WAY = (
    8  # forks in flight: enough to keep a core busy, few enough that each gets to its first heartbeat
)
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.1, 10.0  # between starts while servers end before they are Ready

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What the pool keeps up, and how patient it is.

    Attributes:
        regions: a fleet each.
        ready_per_region: idle servers kept Ready in each.
        max_servers: servers at most, all regions together.
        address: host that servers bind and players are sent to.
        health: the heartbeats expected.
        start_timeout_s: from the fork to Ready.
        stop_timeout_s: from SIGTERM to SIGKILL.
    """

    regions: tuple[str, ...]
    ready_per_region: int
    max_servers: int
    address: str
    health: HealthSpec
    start_timeout_s: float = 30.0
    stop_timeout_s: float = 5.0


@dataclass(frozen=True, slots=True)
class ForkOrder:
    """What the warm parent needs to fork one server."""

    name: str
    sdk_port: int
    log: Path


class Forker(Protocol):
    """The warm parent, seen from the pool."""

    @property
    def warm(self) -> bool:
        """Whether it takes orders now."""

    def fork(self, order: ForkOrder) -> None:
        """Fork a server; ``WarmPool.forked`` and later ``WarmPool.exited`` follow."""

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a server that it forked, unless it has ended."""


class WarmPool:
    """All game servers of all regions.

    Attributes:
        books: what the matches came to.
        empty: set while no server is alive.
    """

    def __init__(
        self,
        plan: PoolPlan,
        forker: Forker,
        *,
        logs: ServerLogs,
        game_ports: Iterable[int],
        sdk_ports: Iterable[int],
        new_id: Callable[[], str],
    ) -> None:
        self.plan = plan
        self.books = Books()
        self._forker = forker
        self._logs = logs
        self._game_ports = PortPool(game_ports)
        self._sdk_ports = PortPool(sdk_ports)
        if len(self._game_ports) < plan.max_servers:
            raise ValueError(
                f"max_servers is {plan.max_servers}, but there are only {len(self._game_ports)} game ports: "
                "widen LAUNCHDAY_GAME_PORT_MIN to LAUNCHDAY_GAME_PORT_MAX or lower LAUNCHDAY_MAX_SERVERS"
            )
        self._new_id = new_id
        self._live: dict[str, GameServer] = {}
        self._by_sdk_port: dict[int, GameServer] = {}
        self._in_state: dict[str, dict[State, dict[str, GameServer]]] = {
            region: {state: {} for state in State} for region in plan.regions
        }
        self._gone: OrderedDict[str, GameServer] = OrderedDict()
        self._failed_starts = 0
        self._start_not_before = 0.0
        self._closing = False
        self.empty = asyncio.Event()
        self.empty.set()

    # --- what there is ----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[GameServer]:
        """Every live server, then those gone, the newest first."""
        yield from self._live.values()
        yield from reversed(self._gone.values())

    def get(self, name: str) -> GameServer | None:
        """The server of that name, gone or not."""
        return self._live.get(name) or self._gone.get(name)

    def at_sdk_port(self, port: int) -> GameServer | None:
        """The server whose sidecar listens there."""
        return self._by_sdk_port.get(port)

    def in_state(self, region: str, state: State) -> dict[str, GameServer]:
        """The live servers of a region in one state, by name, the one that entered it first leading."""
        return self._in_state[region][state] if region in self._in_state else {}

    def counts(self) -> dict[str, dict[State, int]]:
        """Live servers by region and state; a state that nobody is in is left out, but Ready and Allocated never."""
        shown = (State.READY, State.ALLOCATED)
        return {
            region: {state: len(servers) for state, servers in by_state.items() if servers or state in shown}
            for region, by_state in self._in_state.items()
        }

    # --- what the sidecar passes on -----------------------------------------------------------------------------------

    def heard(self, server: GameServer, now: float) -> None:
        """A server called its sidecar: it has a running process."""
        if server.state in (State.CREATING, State.STARTING):
            self._enter(server, State.SCHEDULED, now)

    def ready(self, server: GameServer, now: float) -> None:
        """A server says that it can take players; raises IllegalTransition."""
        self._enter(server, State.REQUEST_READY, now)
        self._enter(server, State.READY, now)
        server.forget_match()
        server.last_health_at = now
        self._failed_starts = 0

    def heartbeat(self, server: GameServer, now: float) -> None:
        """A server says that it is well."""
        server.last_health_at = now

    def reserve(self, server: GameServer, seconds: float, now: float) -> None:
        """Keep a server back, until it changes its state itself or, where ``seconds`` is not 0, for so long."""
        self._enter(server, State.RESERVED, now)
        server.reserved_until = now + seconds if seconds else 0.0

    def shut_down(self, server: GameServer, now: float) -> None:
        """A server is done: it gets SIGTERM, and SIGKILL when that does not end it. Asking twice changes nothing."""
        if server.state not in FINAL:
            self._end(server, State.SHUTDOWN, signal.SIGTERM, now)

    # --- what the allocator does --------------------------------------------------------------------------------------

    def allocate(
        self, server: GameServer, now: float, annotations: dict[str, str], labels: dict[str, str]
    ) -> None:
        """Give a server to a match, and start its replacement; raises IllegalTransition."""
        self._enter(server, State.ALLOCATED, now)
        server.annotate(annotations, labels)
        if server.has_match:
            self.books.matches_started += 1
        self.fill(now)

    # --- what the warm parent reports ---------------------------------------------------------------------------------

    def forked(self, name: str, pid: int, now: float) -> None:
        """A server has a process now."""
        if server := self._live.get(name):
            server.pid = pid
            if server.state is State.CREATING:
                self._enter(server, State.STARTING, now)

    def exited(self, name: str, how: str, now: float) -> None:
        """A server's process has ended: settle its match, recycle its ports, and start another."""
        server = self._live.get(name)
        if server is None:
            return
        if server.state not in FINAL:
            self._enter(server, _failure(server), now, how)
        log.log(_severity(server), "game server gone", server=name, state=server.state, how=how)
        self._forget(server)
        self._game_ports.give_back(server.port)
        self._sdk_ports.give_back(server.sdk_port)
        if server.has_match or server.state is not State.SHUTDOWN:
            server.log = self._logs.keep(server.log, server.match_id)
        else:
            self._logs.discard(server.log)
        if all(entry.state is not State.READY for entry in server.history):
            self._failed_starts += 1
            pause = min(FIRST_BACKOFF_S * 2**self._failed_starts, LONGEST_BACKOFF_S)
            self._start_not_before = now + pause
        self.fill(now)

    def parent_lost(self, now: float) -> None:
        """The warm parent has ended, and all its servers with it."""
        for name in list(self._live):
            self.exited(name, "the warm parent ended", now)

    # --- what time brings ---------------------------------------------------------------------------------------------

    def step(self, now: float) -> None:
        """Find servers that hang, end what was told to go and did not, and fill up. Call it a few times a second."""
        for server in list(self._live.values()):
            if server.deadline is not None:
                if now >= server.deadline:
                    self._forker.signal(server.name, signal.SIGKILL)
                    server.deadline = now + self.plan.stop_timeout_s
            elif server.state in ON_THE_WAY and now - server.created_at > self.plan.start_timeout_s:
                self._give_up(server, f"not Ready after {self.plan.start_timeout_s:g} s", now)
            elif server.state in UP and now - server.last_health_at > self.plan.health.timeout_s:
                self._give_up(server, f"no heartbeat for {self.plan.health.timeout_s:g} s", now)
            elif server.state is State.RESERVED and 0 < server.reserved_until <= now:
                self._enter(server, State.READY, now)
        self.fill(now)

    def fill(self, now: float) -> None:
        """Start servers until each region has its buffer or a limit is reached, the neediest region first."""
        if self._closing or not self._forker.warm or now < self._start_not_before:
            return
        while len(self._live) < self.plan.max_servers:
            on_the_way = {region: self._on_the_way(region) for region in self.plan.regions}
            missing = {
                region: self.plan.ready_per_region - len(self.in_state(region, State.READY)) - coming
                for region, coming in on_the_way.items()
            }
            neediest = max(missing, key=missing.__getitem__, default=None)
            if neediest is None or missing[neediest] <= 0 or sum(on_the_way.values()) >= MAX_ON_THE_WAY:
                return
            self._start(neediest, now)

    def close(self, now: float) -> None:
        """End every server and start no more; the pool is closed when it is empty."""
        self._closing = True
        for server in list(self._live.values()):
            if server.deadline is None:
                self._end(server, State.SHUTDOWN, signal.SIGTERM, now, "the fleet is stopping")

    # --- inside -------------------------------------------------------------------------------------------------------

    def _start(self, region: str, now: float) -> None:
        name = f"{region}-{self._new_id()}"
        server = GameServer(
            name=name,
            uid=self._new_id(),
            region=region,
            address=self.plan.address,
            port=self._game_ports.take(),
            sdk_port=self._sdk_ports.take(),
            log=self._logs.path(name),
            created_at=now,
            health=self.plan.health,
        )
        self._live[name] = server
        self.empty.clear()
        self._by_sdk_port[server.sdk_port] = server
        self._in_state[region][server.state][name] = server
        self._enter(server, State.CREATING, now)
        self.books.servers_started += 1
        self._forker.fork(ForkOrder(name, server.sdk_port, server.log))

    def _enter(self, server: GameServer, state: State, now: float, reason: str = "") -> None:
        before = server.state
        server.enter(state, now, reason)
        by_state = self._in_state[server.region]
        del by_state[before][server.name]
        by_state[state][server.name] = server
        if before is State.ALLOCATED and state is not State.ALLOCATED and server.has_match:
            self.books.settle(server)

    def _give_up(self, server: GameServer, reason: str, now: float) -> None:
        # SIGKILL at once: a process that hangs does not answer SIGTERM either, and its match is lost already.
        self._end(server, _failure(server), signal.SIGKILL, now, reason)

    def _end(
        self, server: GameServer, state: State, number: signal.Signals, now: float, reason: str = ""
    ) -> None:
        self._enter(server, state, now, reason)
        server.deadline = now + self.plan.stop_timeout_s
        self._forker.signal(server.name, number)

    def _forget(self, server: GameServer) -> None:
        del self._live[server.name]
        if not self._live:
            self.empty.set()
        del self._by_sdk_port[server.sdk_port]
        del self._in_state[server.region][server.state][server.name]
        server.gone = True
        server.touch()
        self._gone[server.name] = server
        if len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)

    def _on_the_way(self, region: str) -> int:
        return sum(len(self._in_state[region][state]) for state in ON_THE_WAY)


def _failure(server: GameServer) -> State:
    """Before it was ever Ready, a server that ends is an Error; after, it is Unhealthy."""
    return State.ERROR if server.state in ON_THE_WAY else State.UNHEALTHY


def _severity(server: GameServer) -> int:
    return 20 if server.state is State.SHUTDOWN else 30  # logging.INFO, logging.WARNING
