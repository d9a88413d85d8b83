"""``unrest``: players queue while directors are killed with -9 and the cache is killed and started again; then the books are audited.

A director in office and one that stands by, the real API, the real cache with every write on disk; the fleet is a stub that remembers which server it gave for
which request. Each kill comes at a random moment of a loaded queue, after the new director has assigned a match.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
from pydantic import SecretStr

from launchday import child_processes
from launchday.engines import Valkey
from launchday.engines.base import free_port
from launchday.engines.stack import environment
from launchday.identity import Signer
from launchday.settings import Settings
from loadtest.bench.errors import BenchError
from matchmaker.client import (
    MatchmakerClient,
    MatchmakerUnavailableError,
    TicketEndedError,
    TicketExistsError,
    TicketStatus,
)
from matchmaker.queue.cache import open_cache
from matchmaker.queue.scripts import KEYS
from matchmaker.rules.rules import BATTLE_ROYALE

REGIONS: Final = ("west-europe", "east-us")
PLAYERS_PER_S: Final = 60.0
CANCELS: Final = 0.1  # share of the players who change their mind
LEASE_S: Final = 0.4
FILL_S: Final = 1.0
START_S: Final = 240.0
SETTLE_S: Final = 60.0
RETRY_S: Final = 0.05


@dataclass(frozen=True)
class Audit:
    """What is wrong at the end of a run: each is empty in a run that went well.

    Attributes:
        without_end: tickets that have no final state.
        two_ends: tickets of which the player was told another end than the cache has.
        two_matches: players with a seat in two matches, and seats with two players.
        idle_servers: servers that were allocated for a match that nobody was assigned to.
        without_server: matches that players were assigned to and no server was allocated for.
    """

    unfinished: list[str] = field(default_factory=list)
    conflicting_ends: list[str] = field(default_factory=list)
    double_assigned: list[str] = field(default_factory=list)
    unused_servers: list[str] = field(default_factory=list)
    matches_without_server: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """How many."""
        return sum(map(len, vars(self).values()))


def audit(
    notified: Mapping[str, tuple[int, TicketStatus]],
    stored: Mapping[str, str | None],
    allocated: Iterable[str],
) -> Audit:
    """Compare what players were told (ticket → player, status) with the cache's states and the fleet's allocations."""
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
    seats: Counter[tuple[str, int]] = Counter()
    players: Counter[int] = Counter()
    matches = set()
    for player, status in notified.values():
        if status.assignment is not None:
            matches.add(status.assignment.match_id)
            seats[status.assignment.match_id, status.assignment.entity] += 1
            players[player] += 1
    found.double_assigned.extend(str(seat) for seat, times in seats.items() if times > 1)
    found.double_assigned.extend(str(player) for player, times in players.items() if times > 1)
    servers = set(allocated)
    found.unused_servers.extend(sorted(servers - matches))
    found.matches_without_server.extend(sorted(matches - servers))
    return found


def run(kills: int = 50, restarts: int = 5, seed: int = 1) -> dict[str, Any]:
    """Kill, restart, audit. Raises BenchError when a process does not start."""
    with tempfile.TemporaryDirectory(prefix="launchday-unrest-") as name:
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
            director_queues=BATTLE_ROYALE,
            server_answer_s=0.0,
            identity_secret=SecretStr("unrest-" + "0" * 32),
            fleet_key=SecretStr("ab" * 32),
        )
        unrest = _QueueChaos(settings, valkey, folder, stub_port, np.random.default_rng(seed))
        try:
            return asyncio.run(unrest.run(kills, restarts))
        finally:
            unrest.stop()
            valkey.stop()


class _QueueChaos:
    def __init__(
        self, settings: Settings, valkey: Valkey, folder: Path, stub_port: int, rng: np.random.Generator
    ) -> None:
        self.settings = settings
        self.valkey = valkey
        self.folder = folder
        self.stub_port = stub_port
        self.rng = rng
        self.signer = Signer(settings.identity_secret.get_secret_value())
        self.env = {**os.environ, **environment(settings)}
        self.others: list[subprocess.Popen[bytes]] = []
        self.directors: deque[subprocess.Popen[bytes]] = deque()
        self.told: dict[str, tuple[int, TicketStatus]] = {}
        self.made: set[str] = set()
        self.players = 0
        self.playing: set[asyncio.Task[None]] = set()

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        log = self.folder / f"{arguments[0]}.log"
        return child_processes.spawn([sys.executable, "-m", *arguments], log=log, env=self.env)

    def stop(self) -> None:
        for process in (*self.directors, *self.others):
            process.kill()
            process.wait()

    async def run(self, kills: int, restarts: int) -> dict[str, Any]:
        begun = time.monotonic()
        self.others = [
            self.start("loadtest.bench.matchmaker.stub_services", str(self.stub_port)),
            self.start("matchmaker"),
        ]
        self.directors.extend(self.start("matchmaker.director.director") for _ in range(2))
        limits = httpx.Limits(max_connections=None)
        async with (
            httpx.AsyncClient(timeout=10.0, limits=limits, trust_env=False) as http,
            asyncio.TaskGroup() as tasks,
        ):
            players = MatchmakerClient(f"http://127.0.0.1:{self.settings.matchmaker_port}", http=http)
            quiet = asyncio.Event()
            coming = tasks.create_task(self._come(players, tasks, quiet))
            await self._progress()
            blows = ["director"] * kills + ["cache"] * restarts
            for blow in self.rng.permutation(np.array(blows)).tolist():
                await asyncio.sleep(float(self.rng.uniform(0.0, 0.3)))
                if blow == "director":
                    self.directors.append(self.start("matchmaker.director.director"))
                    fallen = self.directors.popleft()
                    fallen.kill()
                    await asyncio.to_thread(fallen.wait)
                else:
                    self.valkey.kill()
                    self.valkey.start(self.valkey.port)
                await self._progress()
            quiet.set()
            await coming
            while self.playing:
                await asyncio.sleep(2 * FILL_S)
                if self.playing:  # one who is left over alone would wait for his ticket's end
                    self._send(players, tasks, changes_his_mind=False)
        async with httpx.AsyncClient(trust_env=False) as http:  # now that every player has an end
            answer = await http.get(f"http://127.0.0.1:{self.stub_port}/")
        allocated = answer.json()["matches"]
        stored = await self._states()
        found = audit(self.told, stored, allocated)
        return {
            "bench": "unrest",
            "director_kills": kills,
            "cache_restarts": restarts,
            "seconds": round(time.monotonic() - begun, 1),
            "tickets": len(self.made),
            "ends": dict(Counter(status.state for _, status in self.told.values())),
            "matches": len(set(allocated)),
            **{name: len(faults) for name, faults in vars(found).items()},
            "faults": found.faults,
        }

    async def _come(self, client: MatchmakerClient, tasks: asyncio.TaskGroup, quiet: asyncio.Event) -> None:
        while not quiet.is_set():
            self._send(client, tasks, changes_his_mind=bool(self.rng.random() < CANCELS))
            await asyncio.sleep(1 / PLAYERS_PER_S)

    def _send(self, client: MatchmakerClient, tasks: asyncio.TaskGroup, *, changes_his_mind: bool) -> None:
        self.players += 1
        playing = tasks.create_task(self._play(client, self.players, changes_his_mind))
        self.playing.add(playing)
        playing.add_done_callback(self.playing.discard)

    async def _play(self, client: MatchmakerClient, player: int, changes_his_mind: bool) -> None:
        """Make a ticket and hold it to its end, whatever answers are lost on the way."""
        own = client.with_token(self.signer.player_token(player, time.time(), 3_600.0))
        latencies = {REGIONS[player % 2]: 20.0, REGIONS[1 - player % 2]: 90.0}
        deadline = time.monotonic() + START_S + SETTLE_S
        ticket_id = ""
        while time.monotonic() < deadline:
            try:
                if not ticket_id:
                    made = await own.create_ticket(BATTLE_ROYALE, latencies, client_key=f"player-{player}")
                    ticket_id = made.ticket_id
                    self.made.add(ticket_id)
                if changes_his_mind:
                    changes_his_mind = False
                    await own.cancel_ticket(ticket_id)
                status = await own.read_ticket(ticket_id, wait_s=5.0)
                if status.final:
                    self.told[ticket_id] = (player, status)
                    return
            except TicketEndedError:
                pass
            except (MatchmakerUnavailableError, TicketExistsError):
                await asyncio.sleep(RETRY_S)

    async def _progress(self) -> None:
        """Wait until another player has been assigned."""
        before = sum(status.state == "assigned" for _, status in self.told.values())
        deadline = time.monotonic() + START_S
        while sum(status.state == "assigned" for _, status in self.told.values()) == before:
            for process in (*self.others, *self.directors):
                if process.poll() is not None:
                    raise BenchError(f"a process ended with code {process.returncode}")
            if time.monotonic() > deadline:
                raise BenchError("nobody was assigned any more")
            await asyncio.sleep(0.02)

    async def _states(self) -> dict[str, str | None]:
        """Each ticket's state in the cache."""
        async with open_cache(self.settings.cache_url) as cache:
            states: Sequence[Any] = [
                await cache.hget(KEYS["ticket"] + ticket_id, "state") for ticket_id in sorted(self.made)
            ]
        return {
            ticket_id: state.decode() if state else None
            for ticket_id, state in zip(sorted(self.made), states, strict=True)
        }
