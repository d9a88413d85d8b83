"""A process of bots for another load generator: ``python -m loadtest.locust.bot_worker``.

Locust's workers run greenlets; bots are coroutines over compiled steps on a thread, and neither can run
inside the other. So each worker keeps one such process, with one event loop and one swarm. Standard input
takes orders, one JSON object per line: ``{"play": PLAYER}`` and ``{"stop": PLAYER}``, where PLAYER is a
number of the caller's; with ``--share`` it is the player's number in that share, and is played once. Standard
output gives reports: ``{"ready": true}``, ``{"player", "name", "ms",
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

from dedicated_server.cards import cards_in_force
from launchday import startup, telemetry
from launchday.settings import settings
from loadtest.bots.goals import load_hooks
from loadtest.bots.mode_table import max_players
from loadtest.bots.swarm import Swarm
from loadtest.errors import LoadTestError
from loadtest.locust.arrivals import share_of
from loadtest.locust.stages import MATCH, ROUND_TRIP, JourneyStages
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

log = structlog.get_logger()


class BotWorker:
    """Runs the journeys that are ordered, and reports their stages.

    Args:
        scenario: links, locations, mode and patience of the players; the caller decides on arrivals.
        seats: the most players at the same time.
        share: index and number of workers: play the scenario's own players of that share, each in the seat
            of their number; None: players who are like them.
    """

    def __init__(self, scenario: Scenario, seats: int, share: tuple[int, int] | None = None) -> None:
        self._scenario = scenario
        if share is None:
            self._scenario = _endless(scenario, SPARE_SEATS * seats)
            self._population = draw_population(self._scenario)
            self._seats = seats
        else:
            self._population = share_of(scenario, *share)
            self._seats = len(self._population)
        self._takes_own_seat = share is not None
        self._free = deque(range(len(self._population)))
        self._seat: dict[int, int] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._journeys = 0
        self._device: dict[int, str] = {}

    async def serve(self, orders: asyncio.StreamReader) -> None:
        """Carry out orders until ``orders`` ends.

        Raises LoadTestError where players reach no region of the backend.
        """
        configured = settings()
        population = self._population
        latencies_ms = region_latencies_ms(self._scenario, configured.region_names)
        run = secrets.token_hex(4)
        self.records = PlayerRecords(population.arrives_s)
        cards = cards_in_force(configured.modes)
        swarm = Swarm(
            population,
            cards=cards,
            players=max_players(cards, self._scenario, configured.match_players),
            scenario=self._scenario,
            longest_ms=max_one_way_ms(self._scenario, latencies_ms),
            hooks=load_hooks(cards),
            prefer=configured.bots_prefer or None,
        )
        async with swarm as self._swarm, HttpBackendClient(configured, len(population)) as backend:
            began_s = time.monotonic()
            links = PlayerLinks(self._scenario, population, latencies_ms)
            requests, ended_matches = RequestLog(), set[str]()

            def clock() -> float:
                return time.monotonic() - began_s

            if self._takes_own_seat:
                parties = BotParties.of_population(population, f"locust-{run}")
            else:  # they arrive one by one and queue alone
                parties = BotParties.alone(len(population))
            self.stages = JourneyStages(self.records, clock, write_report)
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
                parties=parties,
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
        if self._takes_own_seat:
            seat = player
        else:
            seat = self._free.popleft()
            _forget(self.records, seat)
            context.parties.by_player[seat] = BotParty("", [seat])
        self._journeys += 1
        self._device[seat] = str(self._journeys)
        self._seat[player] = seat
        self.stages.begin(seat)
        context.population.arrives_s[seat] = context.clock()  # by the caller's clock, now
        task = asyncio.create_task(run_player(context, seat))
        self._tasks[seat] = task
        task.add_done_callback(lambda done: self._over(player, seat, done))

    def _over(self, player: int, seat: int, task: asyncio.Task[None]) -> None:
        self.stages.end(player, seat)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("a bot's journey failed", exc_info=fault)
            write_report({"player": player, "name": MATCH, "ms": 0.0, "error": repr(fault)})
        del self._seat[player], self._tasks[seat]
        if not self._takes_own_seat:
            self._free.append(seat)
        write_report({"player": player, "over": True})

    async def _report(self) -> None:
        """Report stages as they end, and one round trip per second of every connected player."""
        turns = 0
        while True:
            await asyncio.sleep(REPORT_INTERVAL_S)
            turns += 1
            for player, seat in self._seat.items():
                self.stages.look(player, seat)
            if turns % REPORTS_PER_RTT == 0:
                rtt_ms = self._swarm.rtt_ms
                for player, seat in self._seat.items():
                    if not math.isnan(rtt_ms[seat]):
                        write_report(
                            {"player": player, "name": ROUND_TRIP, "ms": float(rtt_ms[seat]), "error": ""}
                        )


def _endless(scenario: Scenario, players: int) -> Scenario:
    """The scenario with so many players, other ones at each start, who are back soon after an outage."""
    retries = scenario.behaviours.retries
    retries = retries.model_copy(update={"max_pause_s": min(retries.max_pause_s, MAX_RETRY_PAUSE_S)})
    changed = {
        "players": scenario.players.model_copy(update={"count": players}),
        "behaviours": scenario.behaviours.model_copy(update={"retries": retries}),
        "seed": secrets.randbits(48),
    }
    return scenario.model_copy(update=changed)


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
    parser.add_argument(
        "--share",
        type=int,
        nargs=2,
        metavar=("INDEX", "OF"),
        help="play the scenario's own players of this worker, of so many workers",
    )
    options = parser.parse_args()
    telemetry.configure("bots", settings())
    share = None if options.share is None else (options.share[0], options.share[1])
    try:
        asyncio.run(_serve(BotWorker(reader.load_scenario(options.scenario), options.seats, share)))
    except LoadTestError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    startup.prepare()
    sys.exit(main())
