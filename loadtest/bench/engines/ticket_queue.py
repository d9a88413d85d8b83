"""``ticket_queue``: players queue at the matchmaker on a cluster, whose primary of the queues dies or stops.

One process of the tickets API and two directors, one on standby; the meta service and the fleet are stubs. A
change is acknowledged once a replica has it (``LAUNCHDAY_CACHE_WAIT_REPLICAS=1``), so every ticket that was
acknowledged has to have one end afterwards, and no player is ever told of two matches.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr
from redis.crc import key_slot

from launchday import child_processes
from launchday.engines.base import free_port
from launchday.identity import Signer, signer_of
from launchday.settings import Settings, environment
from loadtest.bench.engines.measuring import Audit, EngineFault
from loadtest.bench.engines.node_faults import NodeFaults
from loadtest.bench.engines.valkey_nodes import Cluster, Node, running
from loadtest.errors import BenchError
from matchmaker.client import MatchmakerClient, MatchmakerUnavailableError, NoSuchTicketError, TicketView
from matchmaker.queue.scripts import TAG

ENGINE = "valkey cluster"
REGIONS = ("west-europe", "east-us")
PAUSE_S = 10.0
START_S = 240.0  # the directors may have to compile their kernels
SETTLE_S = 60.0
FOLLOWERS = 64  # tickets that are polled at the same time
PACE_S = 0.02  # between two tickets of a worker: the measure is the fault, not the machine
# Of those who come before the load and after it; the load's own count from 0.
FIRST_PLAYERS, LAST_PLAYERS = 1_000_000, 2_000_000

Inject = Callable[["QueueOnCluster"], None]


@dataclass
class QueueOnCluster(NodeFaults):
    """Players, and the matchmaker on a cluster; see `measuring.Subject`.

    Attributes:
        client: of the tickets API.
        signer: of the players' tokens.
        tickets: those that were acknowledged, by number.
        told: what each player was told first of how their ticket ended.
    """

    client: MatchmakerClient
    signer: Signer
    tickets: dict[int, str] = field(default_factory=dict)
    told: dict[int, TicketView] = field(default_factory=dict)
    _following: set[asyncio.Task[None]] = field(default_factory=set)
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(FOLLOWERS))

    @property
    def owner(self) -> Node:
        """The primary of the queues."""
        return self.cluster.primary_of(key_slot(TAG.encode()))

    async def ask(self, number: int) -> bool:
        """Make a ticket of a new player, whose end is waited for beside."""
        await asyncio.sleep(PACE_S)
        latencies = {REGIONS[number % 2]: 20.0, REGIONS[1 - number % 2]: 90.0}
        player = self._player(number)
        made = await player.create_ticket("battle_royale", latencies, client_key=f"ticket-{number}")
        self.tickets[number] = made.ticket_id
        task = asyncio.create_task(self._follow(number))
        self._following.add(task)
        task.add_done_callback(self._following.discard)
        return True

    async def audit(self, acknowledged: Sequence[int]) -> Audit:
        """Each ticket has one end, each seat one player, and nobody was told of two matches."""
        await asyncio.to_thread(self.cluster.settled)
        until, more = time.monotonic() + SETTLE_S, LAST_PLAYERS
        while self._following and time.monotonic() < until:
            with contextlib.suppress(MatchmakerUnavailableError):  # nobody is left to play with the last one
                await self.ask(more)
            more += 1
            await asyncio.sleep(0.5)
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        lost = doubled = 0
        seats: Counter[tuple[str, int]] = Counter()
        for number, ticket_id in self.tickets.items():
            now, told = await self._read(number, ticket_id), self.told.get(number)
            if now is None or not now.final:
                lost += 1
            elif told is not None and _match(now) != _match(told):
                doubled += 1
            elif now.assignment is not None:
                seats[now.assignment.match_id, now.assignment.entity] += 1
        doubled += sum(times - 1 for times in seats.values())
        counters = await self.client.counters()
        ends = sum(counters[name] for name in ("matched", "cancelled", "expired", "failed"))
        return Audit(lost, doubled, counters["queued"] == ends + counters["searching"])

    def _player(self, number: int) -> MatchmakerClient:
        return self.client.with_token(self.signer.player_token(number + 1, time.time(), 3_600.0))

    async def _follow(self, number: int) -> None:
        """Poll until the player is told of an end, or that there is no such ticket."""
        async with self._turn:
            player = self._player(number)
            while True:
                try:
                    view = await player.read_ticket(self.tickets[number], wait_s=5.0)
                except NoSuchTicketError:
                    return
                except MatchmakerUnavailableError:
                    await asyncio.sleep(0.1)
                    continue
                if view.final:
                    self.told[number] = view
                    return

    async def _read(self, number: int, ticket_id: str) -> TicketView | None:
        with contextlib.suppress(NoSuchTicketError):
            return await self._player(number).read_ticket(ticket_id)
        return None


def _match(view: TicketView) -> tuple[str, str]:
    return view.state, "" if view.assignment is None else view.assignment.match_id


def kill_owner(subject: QueueOnCluster) -> None:
    """The primary of the queues dies."""
    subject.kill(subject.owner)


def pause_owner(subject: QueueOnCluster) -> None:
    """The primary of the queues stops, and goes on after its replica was promoted."""
    subject.pause(subject.owner)


@contextlib.asynccontextmanager
async def queue_on_cluster(inject: Inject) -> AsyncIterator[QueueOnCluster]:
    """A cluster with the matchmaker on it, ready for players. Raises BenchError where a process ends."""
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as name:
        folder = Path(name)
        with running(Cluster(folder / "cluster")) as cluster:
            stub_port = free_port()
            stub = f"http://127.0.0.1:{stub_port}"
            settings = Settings(
                state_dir=folder,
                cache_url=cluster.address,
                cache_wait_replicas=1,
                cache_wait_ms=500,
                meta_url=stub,
                fleet_url=stub,
                matchmaker_port=free_port(),
                regions=",".join(REGIONS),
                match_players=8,
                match_min_players=2,
                match_fill_s=1.0,
                matching_period_s=0.1,
                director_queues="battle_royale",
                server_answer_s=0.0,  # nobody listens at the addresses of the stub's servers
                director_port=0,  # two of them run here
                tickets_per_player_s=0.0,
                identity_secret=SecretStr("ticket-queue-" + "0" * 32),
                fleet_key=SecretStr("ab" * 32),
                log_level="warning",
            )
            env = {**os.environ, **environment(settings)}
            processes: list[subprocess.Popen[bytes]] = []
            with contextlib.ExitStack() as ends:
                for number, arguments in enumerate(
                    (
                        ("loadtest.bench.matchmaker.stub_services", str(stub_port)),
                        ("matchmaker",),
                        ("matchmaker.director",),
                        ("matchmaker.director",),
                    )
                ):
                    process = child_processes.spawn(
                        [sys.executable, "-m", *arguments], log=folder / f"{number}.log", env=env
                    )
                    ends.callback(child_processes.stop, process, 5.0)
                    processes.append(process)
                signer = signer_of(settings, "loadtest")
                token = signer.service_token("bench", time.time())
                url = f"http://127.0.0.1:{settings.matchmaker_port}"
                async with MatchmakerClient(url, token) as client:
                    subject = QueueOnCluster(cluster, inject, client, signer)
                    await _until_assigned(subject, processes, folder)
                    yield subject


async def _until_assigned(
    subject: QueueOnCluster, processes: Sequence[subprocess.Popen[bytes]], folder: Path
) -> None:
    """Wait until a player has been assigned to a match."""
    deadline, number = time.monotonic() + START_S, FIRST_PLAYERS
    while not any(view.state == "assigned" for view in subject.told.values()):
        for index, process in enumerate(processes):
            if process.poll() is not None:
                raise BenchError(f"a process ended: {child_processes.last_line(folder / f'{index}.log')}")
        if time.monotonic() > deadline:
            raise BenchError(f"no player was assigned within {START_S:g} s")
        with contextlib.suppress(MatchmakerUnavailableError):
            await subject.ask(number)
        number += 1
        await asyncio.sleep(0.2)


FAULTS: Sequence[EngineFault] = (
    EngineFault(ENGINE, "ticket queue's primary killed", functools.partial(queue_on_cluster, kill_owner)),
    EngineFault(
        ENGINE,
        "ticket queue's primary paused for 10 s",
        functools.partial(queue_on_cluster, pause_owner),
        lasts_s=PAUSE_S,
        ends_outside=True,
    ),
)
