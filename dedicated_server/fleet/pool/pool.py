"""The warm pool: starts game servers, follows each through its states, and replaces whatever leaves.

Every method is a plain function of the pool and ``now``, the monotonic seconds of its clock, and runs in one
event loop: an allocation is a dictionary lookup, and no two callers can get the same server. Only stamps that
operators see are Unix time, which the pool asks its clock for. The one input and output is the spawner's.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterable, Iterator

import structlog

from dedicated_server.fleet.pool import counters_and_lists, metrics
from dedicated_server.fleet.pool.changes import Changes
from dedicated_server.fleet.pool.config import ForkRequest, PoolConfig, Spawner
from dedicated_server.fleet.pool.fleet_counters import FleetCounters
from dedicated_server.fleet.pool.gameserver import GameServer
from dedicated_server.fleet.pool.liveness import Memory, private_bytes, unhealthy
from dedicated_server.fleet.pool.logs import ServerLogs
from dedicated_server.fleet.pool.openings import Openings
from dedicated_server.fleet.pool.region import Region
from dedicated_server.fleet.pool.roster import Roster
from dedicated_server.fleet.pool.start_window import StartWindow
from dedicated_server.fleet.pool.states import FINAL_STATES, STARTING_STATES, Ending, State
from launchday.clock import Clock

MAX_STARTING = 8  # forks in flight: they keep a core busy, and each still gets to its first heartbeat
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.1, 10.0  # between starts while servers end before they are Ready
ASKED_TO_END = ("exited with code 0", "SIGTERM", "SIGKILL")  # how servers end that were told to leave
MEMORY_PERIOD_S = 2.0  # between two measurements of the memory of servers in play; one takes 0.3 ms

log = structlog.get_logger()


class WarmPool:
    """All game servers of all regions.

    Args:
        config: sizes, limits and time-outs.
        spawner: forks servers and signals them.
        clock: stamps what operators see; ``now`` of every method is its monotonic time.
        logs: the servers' log files.
        game_ports: UDP ports for players, at least ``config.max_servers``.
        sdk_ports: TCP ports of the sidecars, at least as many.
        new_id: makes the ids in names of servers and of this pool's epoch.
        on_finished: called with a server, whether its match ended, and why not, once its match is over.
        was_played: whether a match was played to its end though its server has not said so.
        on_gone: called with a server that is gone.
        memory: measures a process's memory.

    Attributes:
        fleet_counters: what became of the matches.
        matches: which server each match was given.
        starts: the matches that are starting, and how many may.
        changes: what happened, in order.
        regions: by name, what there is and what is wanted in each.
        empty: set while no server is alive.

    Raises:
        ValueError: there are fewer game ports than servers.
    """

    def __init__(
        self,
        config: PoolConfig,
        spawner: Spawner,
        *,
        clock: Clock,
        logs: ServerLogs,
        game_ports: Iterable[int],
        sdk_ports: Iterable[int],
        new_id: Callable[[], str],
        on_finished: Callable[[GameServer, bool, str], None] | None = None,
        was_played: Callable[[GameServer], bool] = lambda _: False,
        on_gone: Callable[[GameServer], None] | None = None,
        memory: Memory = private_bytes,
    ) -> None:
        self.config = config
        self.clock = clock
        self.fleet_counters = FleetCounters()
        self.starts = StartWindow(config.starts_least, config.starts_most)
        self.changes = Changes(new_id())
        self.regions = {
            name: Region(name, config.ready_in(name), config.max_in(name)) for name in config.regions
        }
        self.openings = Openings(self.changes, self.regions, self.starts, clock.wall)
        self._spawner = spawner
        self._logs = logs
        self._roster = Roster(game_ports, sdk_ports, config.max_servers)
        self._live = self._roster.live
        self.matches = self._roster.matches
        self.empty = self._roster.empty
        self._new_id = new_id
        self._on_finished = on_finished
        self._was_played = was_played
        self._on_gone = on_gone
        self._memory = memory
        self._delayed: dict[str, GameServer] = {}
        self._failed_starts = 0
        self._start_not_before = 0.0
        self._memory_due = 0.0
        self._closing = False
        metrics.begin(config.regions)

    # --- what there is ----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[GameServer]:
        """Yield every live server, then those gone, the newest first."""
        return iter(self._roster)

    def get(self, name: str) -> GameServer | None:
        """Return the server of that name, gone or not; None where there is none."""
        return self._roster.get(name)

    def at_sdk_port(self, port: int) -> GameServer | None:
        """Return the server whose sidecar listens on a port."""
        return self._roster.at_sdk_port(port)

    def in_state(self, region: str, state: State) -> dict[str, GameServer]:
        """Return the live servers of a region in one state, by name; the one that entered it first leads."""
        return self.regions[region].in_state[state] if region in self.regions else {}

    def counts(self) -> dict[str, dict[State, int]]:
        """Count live servers by region and state. Empty states are left out, but for Ready and Allocated."""
        return {name: region.counts() for name, region in self.regions.items()}

    def matches_by_node(self) -> dict[str, int]:
        """Count the servers that are in a match by the warm parent that forked them."""
        found: dict[str, int] = {}
        for region in self.regions.values():
            for server in region.in_state[State.ALLOCATED].values():
                found[server.node] = found.get(server.node, 0) + 1
        return found

    # --- calls of the sidecar ---------------------------------------------------------------------------

    def sidecar_called(self, server: GameServer, now: float) -> None:
        """Note that a server called its sidecar, so it has a running process."""
        if server.state in (State.CREATING, State.STARTING):
            self._enter(server, State.SCHEDULED, now)

    def ready(self, server: GameServer, now: float) -> None:
        """A server says that it can take players; raises IllegalTransitionError."""
        self._enter(server, State.REQUEST_READY, now)
        self._enter(server, State.READY, now)
        self.matches.forget(server)
        server.clear_match()
        server.beat(self.clock.wall(), now)
        self._failed_starts = 0
        if server.draining:
            self.shut_down(server, now, "drained", Ending.DRAINED)
        self.fill(now)

    def heartbeat(self, server: GameServer, now: float) -> None:
        """Note a heartbeat of a server."""
        server.beat(self.clock.wall(), now)

    def annotated(self, server: GameServer, annotations: dict[str, str], now: float) -> None:
        """A server sets annotations of its own: its report on the match is one."""
        server.annotate(annotations)
        if server.claimed:
            self.starts.reported(server.name, now)
            self.openings.look(now)

    def reserve(self, server: GameServer, seconds: float, now: float) -> None:
        """Reserve a server, for ``seconds`` or, where that is 0, until it changes its state itself."""
        self._enter(server, State.RESERVED, now)
        server.reserved_until_mono_s = now + seconds if seconds else 0.0

    def shut_down(
        self, server: GameServer, now: float, reason: str = "", ending: Ending = Ending.ENDED
    ) -> None:
        """End a server:

        SIGTERM now, and SIGKILL after ``config.stop_timeout_s``. Asking twice changes nothing.
        """
        if server.state not in FINAL_STATES:
            self._end(server, State.SHUTDOWN, signal.SIGTERM, now, reason, ending)

    # --- calls of the allocator -------------------------------------------------------------------------

    def allocate(
        self, server: GameServer, now: float, annotations: dict[str, str], labels: dict[str, str]
    ) -> None:
        """Give a server to a match; raises IllegalTransitionError. ``fill`` starts its replacement."""
        has_match = server.has_match
        server.check_transition(State.ALLOCATED)
        server.annotate(annotations, labels)  # first, so that the change that is published names the match
        self.matches.given(server)
        self._enter(server, State.ALLOCATED, now)
        server.allocated_at, server.allocated_mono_s = self.clock.wall(), now
        if server.has_match and not has_match:
            self.fleet_counters.matches_started += 1
            self.starts.begin(server.name, now)
            if self.config.claim_s:
                server.claim_mono_s = now + self.config.claim_s

    def allocation_requested(self, region: str, key: str, unmet: bool, now: float) -> None:
        """Note that a match asked for a server of a region.

        The autoscaler counts ``unmet`` requests, so that a fleet that is scaled to zero grows by them.
        """
        if region in self.regions:
            self.regions[region].allocation_requested(key, unmet, now)
        if unmet:
            self.openings.turned_away(region, now)

    # --- calls of operators -----------------------------------------------------------------------------

    def cordon(self, server: GameServer, cordoned: bool) -> None:
        """Give a server to no match, or to matches again.

        A Ready server that is cordoned does not count as idle.
        """
        if server.cordoned != cordoned:
            server.cordoned = cordoned
            self.regions[server.region].recount()
            self._publish(server, "cordoned" if cordoned else "uncordoned")
            server.notify()

    def drain(self, server: GameServer, now: float) -> None:
        """End a server when its match ends; at once where it has none."""
        server.draining = True
        if server.state in (State.ALLOCATED, State.RESERVED) or server.state in STARTING_STATES:
            self._publish(server, "draining")
        else:
            self.shut_down(server, now, "drained", Ending.DRAINED)

    def drain_region(self, region: Region, draining: bool, now: float) -> None:
        """Keep no idle server in a region and give none of it to a match; running matches play on."""
        region.draining = draining
        if draining:
            for server in list(region.in_state[State.READY].values()):
                self.shut_down(server, now, "drained", Ending.DRAINED)

    def kill(self, server: GameServer, now: float, reason: str, ending: Ending = Ending.KILLED) -> None:
        """End a server and its match at once."""
        if server.state not in FINAL_STATES:
            self._end(server, _failure(server), signal.SIGKILL, now, reason, ending)
        else:
            self._spawner.signal(server.name, signal.SIGKILL)

    def end_match(self, match_id: str, now: float, reason: str) -> None:
        """End a match's server if it lives, and give the match none later. May be repeated.

        The allocation of a match that was given up may still be on its way when its end is asked for.
        """
        self.matches.end(match_id)
        server = self.matches.server_of(match_id)
        if server is None:
            return
        if server.state is State.ALLOCATED:
            server.taken_back = True
        elif server.match_failed and not server.given_up:
            server.given_up = True
            self.fleet_counters.matches_failed_given_up += 1
        if not server.gone:
            self.kill(server, now, reason, Ending.TAKEN_BACK)

    # --- reports of the warm parents --------------------------------------------------------------------

    def forked(self, name: str, pid: int, now: float) -> None:
        """Note that a server has a process."""
        if server := self._live.get(name):
            server.pid = pid
            if server.state is State.CREATING:
                self._enter(server, State.STARTING, now)

    def exited(self, name: str, how: str, now: float, ending: Ending = Ending.CRASHED) -> None:
        """Note that a server's process has ended: finish its match, take back its ports, start another."""
        server = self._live.get(name)
        if server is None:
            return
        untold = server.state in FINAL_STATES and not how.endswith(ASKED_TO_END)
        if server.state not in FINAL_STATES:
            failed = ending is Ending.CRASHED and server.state in STARTING_STATES
            self._enter(server, _failure(server), now, how, Ending.START_FAILED if failed else ending)
        log.log(_severity(server), "game server gone", server=name, state=server.state, how=how)
        self._forget(server, how if untold else "")
        if server.has_match or server.state is not State.SHUTDOWN:
            server.log = self._logs.keep(server.log, server.match_id)
        else:
            self._logs.discard(server.log)
        if all(entry.state is not State.READY for entry in server.history) and not server.draining:
            self._failed_starts += 1
            pause = min(FIRST_BACKOFF_S * 2**self._failed_starts, MAX_BACKOFF_S)
            self._start_not_before = now + pause
        self.fill(now)

    def parent_lost(self, node: str, now: float) -> None:
        """Note that a warm parent has ended, and all its servers with it."""
        for name, server in list(self._live.items()):
            if server.node == node:
                self.exited(name, "the warm parent ended", now, Ending.PARENT_LOST)

    def reconcile(self, node: str, alive: set[str], asked_at: float, now: float) -> None:
        """Compare with what a warm parent says it has: forget servers whose end was never heard of.

        Args:
            node: the parent's.
            alive: the servers that it has.
            asked_at: when it was asked; of servers that were forked later it may know nothing.
            now: monotonic seconds.
        """
        for name, server in list(self._live.items()):
            if (
                server.node == node
                and name not in alive
                and name not in self._delayed
                and server.fork_mono_s < asked_at
            ):
                self.exited(name, "its end was not heard of", now, Ending.UNHEARD)

    # --- time -------------------------------------------------------------------------------------------

    def step(self, now: float) -> None:
        """End servers that hang or ignored SIGTERM, stop surplus ones, start missing ones.

        Called a few times a second.
        """
        measure = self.config.max_memory_bytes > 0 and now >= self._memory_due
        if measure:
            self._memory_due = now + MEMORY_PERIOD_S
        for server in list(self._live.values()):
            if server.name in self._delayed:
                if now >= server.fork_mono_s:
                    self._fork(server, now)
            elif server.kill_mono_s is not None:
                if now >= server.kill_mono_s:
                    self._spawner.signal(server.name, signal.SIGKILL)
                    server.kill_mono_s = now + self.config.stop_timeout_s
            elif (trouble := self._trouble(server, now, measure)) is not None:
                ending, reason = trouble
                # SIGKILL at once: a process that hangs does not answer SIGTERM, and its match is lost
                # already.
                self._end(server, _failure(server), signal.SIGKILL, now, reason, ending)
            elif server.state is State.RESERVED and 0 < server.reserved_until_mono_s <= now:
                self._enter(server, State.READY, now)
        self.starts.step(now)
        self.openings.look(now)
        self._stop_surplus(now)
        self.fill(now)
        for region in self.regions.values():
            region.count_time(now)

    def resume(self, paused_s: float, now: float) -> None:
        """Grant every server a fresh time-out, because this process was stopped for ``paused_s`` seconds.

        What servers said meanwhile waits in the sockets and is read after this.
        """
        metrics.pauses.inc()
        log.warning("the fleet was stopped: every server gets a fresh time-out", paused_s=round(paused_s, 1))
        self.starts.pause(paused_s)
        for server in self._live.values():
            server.resume(paused_s, now)

    def fill(self, now: float) -> None:
        """Start servers until each region has its buffer or a limit is reached, the neediest region first.

        A region at its own limit does not hold the others up.
        """
        if self._closing or not self._spawner.warm or now < self._start_not_before:
            return
        while len(self._live) < self.config.max_servers:
            with_room = [region for region in self.regions.values() if not region.is_full()]
            neediest = max(with_room, key=Region.missing, default=None)
            if neediest is None or neediest.missing() <= 0:
                return
            delay_s = self.config.startup_delay_s.get(neediest.name, 0.0)
            if not delay_s and self._starting() >= MAX_STARTING:
                return
            self._start(neediest, now, delay_s)

    def close(self, now: float) -> None:
        """End every server and start no more. The pool is closed once `empty` is set."""
        self._closing = True
        for server in list(self._live.values()):
            if server.name in self._delayed:
                self._enter(server, State.SHUTDOWN, now, "the fleet is stopping", Ending.STOPPING)
                self._forget(server)
            elif server.kill_mono_s is None:
                self._end(
                    server, State.SHUTDOWN, signal.SIGTERM, now, "the fleet is stopping", Ending.STOPPING
                )

    # --- inside -----------------------------------------------------------------------------------------

    def _start(self, region: Region, now: float, delay_s: float) -> None:
        name = f"{region.name}-{self._new_id()}"
        port, sdk_port = self._roster.take_ports()
        server = GameServer(
            name=name,
            uid=self._new_id(),
            region=region.name,
            addresses=self.config.addresses_in(region.name),
            port=port,
            sdk_port=sdk_port,
            log=self._logs.path(name),
            created_at=self.clock.wall(),
            created_mono_s=now,
            health=self.config.health,
            fork_mono_s=now + delay_s,
            counters=counters_and_lists.parse_counters(self.config.counters_and_lists.get("counters", {})),
            lists=counters_and_lists.parse_lists(self.config.counters_and_lists.get("lists", {})),
        )
        self._roster.add(server)
        region.enter(server)
        self._enter(server, State.CREATING, now)
        self.fleet_counters.servers_started += 1
        self._delayed[name] = server
        if not delay_s:
            self._fork(server, now)

    def _fork(self, server: GameServer, now: float) -> None:
        if not self._spawner.warm:
            return
        del self._delayed[server.name]
        server.fork_mono_s = now
        server.node = self._spawner.fork(ForkRequest(server.name, server.sdk_port, server.log))

    def _enter(
        self,
        server: GameServer,
        state: State,
        now: float,
        reason: str = "",
        ending: Ending = Ending.ENDED,
    ) -> None:
        before = server.state
        server.enter(state, self.clock.wall(), now, reason)
        self.regions[server.region].moved(server, before)
        self._publish(server, reason)
        metrics.observe_state(server.region, before, now - server.history[-2].mono_s)
        if state in FINAL_STATES:
            metrics.servers_ended.labels(server.region, ending.value).inc()
        if before is State.ALLOCATED and state is not State.ALLOCATED:
            self.starts.ended(server.name)
            self.openings.look(now)
        if state is State.READY and not server.draining:
            self.openings.server_ready(server.region, now)
        if before is State.ALLOCATED and state is not State.ALLOCATED and server.has_match:
            if server.report.get("outcome") != "ended" and self._was_played(server):
                server.report = {**server.report, "outcome": "ended"}
            ended = self.fleet_counters.finish(server)
            why = "" if ended else str(server.report.get("error") or reason or f"it was {state}")
            if self._on_finished is not None:
                self._on_finished(server, ended, why)

    def _trouble(self, server: GameServer, now: float, measure: bool) -> tuple[Ending, str] | None:
        if measure and server.state is State.ALLOCATED and server.pid is not None:
            server.memory_bytes = self._memory(server.pid)
        return unhealthy(server, self.config, now)

    def _end(
        self,
        server: GameServer,
        state: State,
        number: signal.Signals,
        now: float,
        reason: str,
        ending: Ending,
    ) -> None:
        self._enter(server, state, now, reason, ending)
        if self._delayed.pop(server.name, None) is not None:  # it has no process yet
            self._forget(server)
            return
        server.kill_mono_s = now + self.config.stop_timeout_s
        server.deleted_at = self.clock.wall() + self.config.stop_timeout_s
        self._spawner.signal(server.name, number)

    def _stop_surplus(self, now: float) -> None:
        """End the idle servers beyond those wanted, the ones that became Ready last first."""
        for region in self.regions.values():
            for _ in range(region.surplus()):
                youngest = next(
                    (one for one in reversed(region.in_state[State.READY].values()) if not one.cordoned), None
                )
                if youngest is not None:
                    self.shut_down(youngest, now, "scaled down", Ending.SCALED_DOWN)

    def _forget(self, server: GameServer, how: str = "") -> None:
        self._delayed.pop(server.name, None)
        self.regions[server.region].gone(server)
        self._roster.remove(server)
        server.notify()
        self._publish(server, how)
        if self._on_gone is not None:
            self._on_gone(server)

    def _starting(self) -> int:
        return sum(region.starting() for region in self.regions.values()) - len(self._delayed)

    def _publish(self, server: GameServer, reason: str) -> None:
        self.changes.publish(
            "gameserver",
            self.clock.wall(),
            name=server.name,
            region=server.region,
            state=server.state,
            pid=server.pid,
            match_id=server.match_id or None,
            gone=server.gone,
            reason=reason,
        )


def _failure(server: GameServer) -> State:
    """The state of a server that fails: Error before it was ever Ready, Unhealthy after."""
    return State.ERROR if server.state in STARTING_STATES else State.UNHEALTHY


def _severity(server: GameServer) -> int:
    return logging.INFO if server.state is State.SHUTDOWN else logging.WARNING
