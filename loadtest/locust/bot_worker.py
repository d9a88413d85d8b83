"""A process of bots for another load generator: ``python -m loadtest.locust.bot_worker``.

Locust's workers run greenlets; bots are coroutines over compiled steps on a thread, and neither can run
inside the other. So each worker keeps one such process, with one event loop and one swarm. Standard input
takes orders, one JSON object per line: ``{"play": PLAYER}`` and ``{"stop": PLAYER}``, where PLAYER is a
number of the caller's. Standard output gives reports: ``{"ready": true}``, ``{"player", "name", "ms",
"error"}`` for each stage of a journey, and ``{"player", "over": true}`` at its end, before which ``{"player",
"no_seat": true}`` says that it did not begin. When standard input ends, all players leave in good order and
the process ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import secrets
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from launchday import startup, telemetry
from launchday.settings import settings
from loadtest.bots.swarm import Swarm
from loadtest.errors import LoadTestError
from loadtest.players.backend_client import HttpBackendClient
from loadtest.players.journey import run_player
from loadtest.players.own_backend import OwnBackend
from loadtest.players.parties import BotParties, BotParty
from loadtest.players.player_links import PlayerLinks
from loadtest.players.player_records import PlayerRecords, PlayerState
from loadtest.players.requests import RequestLog
from loadtest.players.run_context import RunContext
from loadtest.scenario import reader
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import draw_population, max_one_way_ms, region_latencies_ms

REPORT_INTERVAL_S = 0.1  # between two reports of what has happened
REPORTS_PER_RTT = 10  # a round trip of each connected player a second
MAX_RETRY_PAUSE_S = 1.5  # with its chance up to 2.25: the load is back within 3 s of an outage's end
SPARE_SEATS = 2  # a bot's socket stays open for a moment after its good-bye, so its seat rests for a turn

LOGIN, WAIT, CONNECT, ROUND_TRIP, MATCH = (
    "log in and queue",
    "wait for a match",
    "connect",
    "round trip",
    "match",
)

log = structlog.get_logger()


class BotWorker:
    """Runs the journeys that are ordered, and reports their stages.

    Args:
        scenario: links, locations, mode and patience of the players; the caller decides on arrivals.
        seats: the most players at the same time.
    """

    def __init__(self, scenario: Scenario, seats: int) -> None:
        players = scenario.players.model_copy(update={"count": SPARE_SEATS * seats})
        retries = scenario.behaviours.retries
        retries = retries.model_copy(update={"max_pause_s": min(retries.max_pause_s, MAX_RETRY_PAUSE_S)})
        behaviours = scenario.behaviours.model_copy(update={"retries": retries})
        changed = {"players": players, "behaviours": behaviours, "seed": secrets.randbits(48)}
        self._scenario = scenario.model_copy(update=changed)
        self._seats = seats
        self._free = deque(range(SPARE_SEATS * seats))
        self._seat: dict[int, int] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._reported: dict[int, set[str]] = {}
        self._journeys = 0
        self._device: dict[int, str] = {}

    async def serve(self, orders: asyncio.StreamReader) -> None:
        """Carry out orders until ``orders`` ends.

        Raises LoadTestError where players reach no region of the backend.
        """
        configured = settings()
        population = draw_population(self._scenario)
        population.arrives_s[:] = 0.0
        latencies_ms = region_latencies_ms(self._scenario, configured.region_names)
        run = secrets.token_hex(4)
        self.records = PlayerRecords(population.arrives_s)
        swarm = Swarm(
            population,
            entities=max(self._scenario.max_match_players, configured.match_players),
            scenario=self._scenario,
            longest_ms=max_one_way_ms(self._scenario, latencies_ms),
        )
        async with swarm as self._swarm, HttpBackendClient(configured, len(population)) as backend:
            began_s = time.monotonic()
            links = PlayerLinks(self._scenario, population, latencies_ms)
            requests, ended_matches = RequestLog(), set[str]()

            def clock() -> float:
                return time.monotonic() - began_s

            context = RunContext(
                scenario=self._scenario,
                population=population,
                records=self.records,
                target=OwnBackend(
                    backend, swarm, self.records, requests, links.link_to, clock, ended_matches
                ),
                links=links,
                requests=requests,
                ended_matches=ended_matches,
                clock=clock,
                device_id=lambda bot: f"locust-{run}-{self._device[bot]}",
                parties=BotParties.alone(len(population)),  # players arrive one by one and queue alone
            )
            write_report({"ready": True})
            reporting = asyncio.create_task(self._report())
            while line := await orders.readline():
                self._carry_out(json.loads(line), context)
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            reporting.cancel()

    def _carry_out(self, order: dict[str, int], context: RunContext) -> None:
        if (player := order.get("stop")) is not None:
            if player in self._seat:
                self._tasks[self._seat[player]].cancel()
            return
        player = order["play"]
        if len(self._seat) >= self._seats:
            write_report({"player": player, "no_seat": True})
            write_report({"player": player, "over": True})
            return
        seat = self._free.popleft()
        self._journeys += 1
        self._device[seat] = str(self._journeys)
        self._seat[player] = seat
        self._reported[seat] = set()
        _forget(self.records, seat)
        context.parties.by_player[seat] = BotParty("", [seat])
        task = asyncio.create_task(run_player(context, seat))
        self._tasks[seat] = task
        task.add_done_callback(lambda done: self._over(player, seat, done))

    def _over(self, player: int, seat: int, task: asyncio.Task[None]) -> None:
        self._report_stages(player, seat)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("a bot's journey failed", exc_info=fault)
            write_report({"player": player, "name": MATCH, "ms": 0.0, "error": repr(fault)})
        del self._seat[player], self._tasks[seat], self._reported[seat]
        self._free.append(seat)
        write_report({"player": player, "over": True})

    async def _report(self) -> None:
        """Report stages as they end, and one round trip per second of every connected player."""
        turns = 0
        while True:
            await asyncio.sleep(REPORT_INTERVAL_S)
            turns += 1
            for player, seat in self._seat.items():
                self._report_stages(player, seat)
            if turns % REPORTS_PER_RTT == 0:
                rtt_ms = self._swarm.rtt_ms
                for player, seat in self._seat.items():
                    if not math.isnan(rtt_ms[seat]):
                        write_report(
                            {"player": player, "name": ROUND_TRIP, "ms": float(rtt_ms[seat]), "error": ""}
                        )

    def _report_stages(self, player: int, seat: int) -> None:
        records = self.records
        begun = records.arrived_s[seat]
        for name, ended in (
            (LOGIN, records.queued_s[seat]),
            (WAIT, records.assigned_s[seat]),
            (CONNECT, records.connected_s[seat]),
            (MATCH, records.ended_s[seat]),
        ):
            lost = bool(records.state[seat] in (PlayerState.LOST, PlayerState.UNMATCHED))
            if name == MATCH and records.state[seat] in (PlayerState.CANCELLED, PlayerState.STOPPED):
                return
            if math.isnan(ended):
                took_ms = float(records.ended_s[seat] - begun) * 1e3
                if lost and name not in self._reported[seat] and not math.isnan(took_ms):  # it is what failed
                    self._reported[seat].add(name)
                    error = records.reason[seat] or "the player was lost"
                    write_report({"player": player, "name": name, "ms": took_ms, "error": error})
                return
            if name not in self._reported[seat]:
                self._reported[seat].add(name)
                error = records.reason[seat] if lost and name == MATCH else ""
                write_report(
                    {"player": player, "name": name, "ms": float(ended - begun) * 1e3, "error": error}
                )
            begun = ended


def _forget(records: PlayerRecords, seat: int) -> None:
    """Reset the record of a seat."""
    records.state[seat] = PlayerState.AWAY
    records.region[seat] = records.match_id[seat] = records.reason[seat] = ""
    records.tickets_opened[seat] = 0
    for times in (
        records.arrived_s,
        records.queued_s,
        records.assigned_s,
        records.connected_s,
        records.died_s,
        records.ended_s,
    ):
        times[seat] = np.nan


def write_report(report: dict[str, Any]) -> None:
    """Write a report as one line."""
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


async def _serve(host: BotWorker) -> None:
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    await host.serve(orders)


def main() -> int:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="bot_host", description="Bots for another load generator.")
    parser.add_argument("--scenario", type=Path, default=reader.SHIPPED / "tour.yaml")
    parser.add_argument("--seats", type=int, default=500, help="the most players at the same time")
    options = parser.parse_args()
    telemetry.configure("bots", settings())
    try:
        asyncio.run(_serve(BotWorker(reader.load_scenario(options.scenario), options.seats)))
    except LoadTestError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    startup.prepare()
    sys.exit(main())
