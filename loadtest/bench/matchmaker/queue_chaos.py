"""``queue-chaos``: players queue while directors and the cache are killed, and directors stopped for a while
and woken; then every ticket is audited.

There are a leading director and one on standby, the real API, and the real cache with every write on disk.
The fleet is a stub that remembers which server it allocated for which request. Each kill comes at a random
moment of a loaded queue, after the new leader has assigned a match. A director that is stopped (SIGSTOP) for
longer than its lease wakes as one that leads no more, in the middle of whatever it did.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import SecretStr

from launchday import child_processes
from launchday.engines import Valkey
from launchday.engines.base import free_port
from launchday.identity import signer_of
from launchday.resilience.http_client import ServiceClient
from launchday.settings import Settings, environment
from loadtest.errors import BenchError
from matchmaker.client import (
    MatchmakerClient,
    MatchmakerUnavailableError,
    TicketEndedError,
    TicketExistsError,
    TicketView,
)
from matchmaker.queue.cache import open_cache
from matchmaker.queue.scripts import KEYS

REGIONS: Final = ("west-europe", "east-us")
PLAYERS_PER_S: Final = 60.0
CANCELS: Final = 0.1  # share of the players who cancel
LEASE_S: Final = 0.4
PAUSE_S: Final = (0.2, 2.0)  # of a director that is stopped: shorter and longer than the lease
FILL_S: Final = 1.0
START_S: Final = 240.0
SETTLE_S: Final = 60.0
RETRY_S: Final = 0.05


@dataclass(frozen=True)
class Audit:
    """The faults at the end of a run; all lists are empty where nothing went wrong.

    Attributes:
        unfinished: tickets without a final state.
        conflicting_ends: tickets whose player was told another end than the cache has.
        double_assigned: players with a slot in two matches, and slots with two players.
        unused_servers: servers allocated for a match to which nobody was assigned.
        matches_without_server: matches to which players were assigned and for which no server was allocated.
    """

    unfinished: list[str] = field(default_factory=list)
    conflicting_ends: list[str] = field(default_factory=list)
    double_assigned: list[str] = field(default_factory=list)
    unused_servers: list[str] = field(default_factory=list)
    matches_without_server: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """The number of faults."""
        return sum(map(len, vars(self).values()))


def audit(
    notified: Mapping[str, tuple[int, TicketView]],
    stored: Mapping[str, str | None],
    allocated: Iterable[str],
) -> Audit:
    """Compare what players were told with the states in the cache and the allocations of the fleet.

    Args:
        notified: ticket → player and final status.
        stored: ticket → state in the cache, None where it is gone.
        allocated: matches for which the fleet allocated a server.
    """
    found = Audit()
    for ticket_id, state in stored.items():
        if (
            ticket_id not in notified
            or not notified[ticket_id][1].final
            or state in (None, "searching", "proposed", "accepted")
        ):
            found.unfinished.append(ticket_id)
        elif state != notified[ticket_id][1].state:
            found.conflicting_ends.append(ticket_id)
    slots: Counter[tuple[str, int]] = Counter()
    players: Counter[int] = Counter()
    matches = set()
    for player, status in notified.values():
        if status.assignment is not None:
            matches.add(status.assignment.match_id)
            slots[status.assignment.match_id, status.assignment.entity] += 1
            players[player] += 1
    found.double_assigned.extend(str(slot) for slot, times in slots.items() if times > 1)
    found.double_assigned.extend(str(player) for player, times in players.items() if times > 1)
    servers = set(allocated)
    found.unused_servers.extend(sorted(servers - matches))
    found.matches_without_server.extend(sorted(matches - servers))
    return found


def run(kills: int = 50, restarts: int = 5, pauses: int = 10, seed: int = 1) -> dict[str, Any]:
    """Kill, restart, stop for a while and audit; return what is printed.

    Args:
        kills: of directors.
        restarts: of the cache.
        pauses: of directors.
        seed: of the order and the moments of the kills.

    Raises:
        BenchError: a process does not start or ends by itself, or nobody is assigned any more.
    """
    with tempfile.TemporaryDirectory(prefix="launchday-queue-chaos-") as name:
        folder = Path(name)
        stub_port = free_port()
        valkey = Valkey(folder / "valkey", folder / "valkey.log")
        valkey.start()
        settings = Settings(
            state_dir=folder,
            cache_url=valkey.address,
            meta_url=f"http://127.0.0.1:{stub_port}",
            fleet_url=f"http://127.0.0.1:{stub_port}",
            matchmaker_port=free_port(),
            regions=",".join(REGIONS),
            match_players=4,
            match_min_players=2,
            match_fill_s=FILL_S,
            matching_period_s=0.05,
            director_lease_s=LEASE_S,
            director_queues="battle_royale",
            server_answer_s=0.0,
            director_port=0,  # two of them run here
            identity_secret=SecretStr("queue-chaos-" + "0" * 32),
            fleet_key=SecretStr("ab" * 32),
        )
        chaos = _QueueChaos(settings, valkey, folder, stub_port, np.random.default_rng(seed))
        try:
            return asyncio.run(chaos.run(kills, restarts, pauses))
        finally:
            chaos.stop()
            valkey.stop()


class _QueueChaos:
    """The processes of a run and the players who queue."""

    def __init__(
        self, settings: Settings, valkey: Valkey, folder: Path, stub_port: int, rng: np.random.Generator
    ) -> None:
        self.settings = settings
        self.valkey = valkey
        self.folder = folder
        self.stub_port = stub_port
        self.rng = rng
        self.signer = signer_of(settings, "loadtest")
        self.env = {**os.environ, **environment(settings)}
        self.others: list[subprocess.Popen[bytes]] = []
        self.directors: deque[subprocess.Popen[bytes]] = deque()
        self.final: dict[str, tuple[int, TicketView]] = {}
        self.tickets: set[str] = set()
        self.players = 0
        self.playing: set[asyncio.Task[None]] = set()

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        log = self.folder / f"{arguments[0]}.log"
        return child_processes.spawn([sys.executable, "-m", *arguments], log=log, env=self.env)

    def stop(self) -> None:
        for process in (*self.directors, *self.others):
            process.kill()
            process.wait()

    async def run(self, kills: int, restarts: int, pauses: int) -> dict[str, Any]:
        begun = time.monotonic()
        self.others = [
            self.start("loadtest.bench.matchmaker.stub_services", str(self.stub_port)),
            self.start("matchmaker"),
        ]
        self.directors.extend(self.start("matchmaker.director") for _ in range(2))
        url = f"http://127.0.0.1:{self.settings.matchmaker_port}"
        async with MatchmakerClient(url) as players, asyncio.TaskGroup() as tasks:
            quiet = asyncio.Event()
            arriving = tasks.create_task(self._arrive(players, tasks, quiet))
            await self._until_assigned()
            victims = ["director"] * kills + ["cache"] * restarts + ["pause"] * pauses
            for victim in self.rng.permutation(np.array(victims)).tolist():
                await asyncio.sleep(float(self.rng.uniform(0.0, 0.3)))
                if victim == "director":
                    self.directors.append(self.start("matchmaker.director"))
                    killed = self.directors.popleft()
                    killed.kill()
                    await asyncio.to_thread(killed.wait)
                elif victim == "pause":
                    await self._pause(self.directors[0])
                else:
                    self.valkey.kill()
                    self.valkey.start(self.valkey.port)
                await self._until_assigned()
            quiet.set()
            await arriving
            while self.playing:
                await asyncio.sleep(2 * FILL_S)
                if self.playing:  # a player who is left over alone would wait until the ticket expires
                    self._send(players, tasks, cancels=False)
        async with ServiceClient(f"http://127.0.0.1:{self.stub_port}") as stub:  # every player has an end now
            answer = await stub.request("GET", "/")
        allocated = answer.json()["matches"]
        stored = await self._states()
        found = audit(self.final, stored, allocated)
        return {
            "bench": "queue-chaos",
            "director_kills": kills,
            "cache_restarts": restarts,
            "director_pauses": pauses,
            "seconds": round(time.monotonic() - begun, 1),
            "tickets": len(self.tickets),
            "final_states": dict(Counter(status.state for _, status in self.final.values())),
            "matches": len(set(allocated)),
            **{name: len(faults) for name, faults in vars(found).items()},
            "faults": found.faults,
        }

    async def _pause(self, director: subprocess.Popen[bytes]) -> None:
        """Stop a director, which is the leader most of the time, and let it go on."""
        director.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(float(self.rng.uniform(*PAUSE_S)))
        finally:
            director.send_signal(signal.SIGCONT)

    async def _arrive(self, client: MatchmakerClient, tasks: asyncio.TaskGroup, quiet: asyncio.Event) -> None:
        while not quiet.is_set():
            self._send(client, tasks, cancels=bool(self.rng.random() < CANCELS))
            await asyncio.sleep(1 / PLAYERS_PER_S)

    def _send(self, client: MatchmakerClient, tasks: asyncio.TaskGroup, *, cancels: bool) -> None:
        self.players += 1
        playing = tasks.create_task(self._play(client, self.players, cancels))
        self.playing.add(playing)
        playing.add_done_callback(self.playing.discard)

    async def _play(self, client: MatchmakerClient, player: int, cancels: bool) -> None:
        """Create a ticket and follow it to its end, whatever answers get lost."""
        own = client.with_token(self.signer.player_token(player, time.time(), 3_600.0))
        latencies = {REGIONS[player % 2]: 20.0, REGIONS[1 - player % 2]: 90.0}
        deadline = time.monotonic() + START_S + SETTLE_S
        ticket_id = ""
        while time.monotonic() < deadline:
            try:
                if not ticket_id:
                    created = await own.create_ticket(
                        "battle_royale", latencies, client_key=f"player-{player}"
                    )
                    ticket_id = created.ticket_id
                    self.tickets.add(ticket_id)
                if cancels:
                    cancels = False
                    await own.cancel_ticket(ticket_id)
                status = await own.read_ticket(ticket_id, wait_s=5.0)
                if status.final:
                    self.final[ticket_id] = (player, status)
                    return
            except TicketEndedError:
                pass
            except (MatchmakerUnavailableError, TicketExistsError):
                await asyncio.sleep(RETRY_S)

    async def _until_assigned(self) -> None:
        """Wait until another player has been assigned."""
        before = sum(status.state == "assigned" for _, status in self.final.values())
        deadline = time.monotonic() + START_S
        while sum(status.state == "assigned" for _, status in self.final.values()) == before:
            for process in (*self.others, *self.directors):
                if process.poll() is not None:
                    raise BenchError(f"a process ended with exit code {process.returncode}")
            if time.monotonic() > deadline:
                raise BenchError(f"no player was assigned for {START_S:g} s")
            await asyncio.sleep(0.02)

    async def _states(self) -> dict[str, str | None]:
        """Return each ticket's state in the cache."""
        async with open_cache(self.settings.cache_url) as cache:
            states: Sequence[Any] = [
                await cache.hget(KEYS["ticket"] + ticket_id, "state") for ticket_id in sorted(self.tickets)
            ]
        return {
            ticket_id: state.decode() if state else None
            for ticket_id, state in zip(sorted(self.tickets), states, strict=True)
        }
