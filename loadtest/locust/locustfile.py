"""Floods the backend with Locust: for its web page, its report, and load from many machines.

    launchday up       # or a backend elsewhere, by LAUNCHDAY_META_URL and LAUNCHDAY_MATCHMAKER_URL
    locust -f loadtest/locust/locustfile.py --headless -u 200 -r 20 -t 60s --processes 2

There are two kinds of users: ``Player`` plays whole matches over UDP, ``Shopper`` uses the meta service over
HTTP. ``LAUNCHDAY_SCENARIO`` names a scenario file, or a shipped one; then users arrive by its curve, each
plays match after match until the test ends, and ``-u`` and ``-r`` have no effect.
"""

from __future__ import annotations

import itertools
import os
import secrets
from typing import Any, ClassVar

import locust.stats
from locust import FastHttpUser, LoadTestShape, User, between, constant, events, task
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from launchday.settings import settings
from loadtest.locust.arrival_shape import ArrivalShape
from loadtest.locust.bot_worker_client import FAST_LANE, BotWorkerClient
from loadtest.scenario import reader

SCENARIO = os.environ.get("LAUNCHDAY_SCENARIO", "")
DEFAULT_SCENARIO = "tour"
PERCENTILES = (0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
SPAWN_RATE_PER_S = 1_000.0  # a shape says how many users there are; Locust starts them at once


def bucket(response_ms: float) -> float:
    """The bin of a histogram that a time belongs to: three significant digits, and no finer than 10 µs.

    Locust's own bins are whole milliseconds, which hide a change of the UDP stages from 0.2 to 1.4 ms.
    """
    if response_ms < 10.0:
        return round(response_ms, 2)
    if response_ms < 100.0:
        return round(response_ms, 1)
    return float(f"{response_ms:.3g}")


locust.stats.bucket_response_time = bucket

_link: BotWorkerClient | None = None
_numbers = itertools.count()


@events.init_command_line_parser.add_listener
def _options(parser: Any) -> None:
    parser.add_argument(
        "--bot-seats",
        type=int,
        default=500,
        help="The most players at the same time, in each worker (launchday)",
    )


@events.test_start.add_listener
def _start_bots(environment: Environment, **_: Any) -> None:
    global _link
    if isinstance(environment.runner, MasterRunner):
        return
    seats = environment.parsed_options.bot_seats if environment.parsed_options else 500
    _link = BotWorkerClient(
        reader.scenario_path(SCENARIO or DEFAULT_SCENARIO), seats, environment.events.request.fire
    )


@events.test_stop.add_listener
def _stop_bots(**_: Any) -> None:
    global _link
    if _link is not None:
        _link.close()
        _link = None


@events.quitting.add_listener
def _show_fine(environment: Environment, **_: Any) -> None:
    """Print the percentiles of the UDP stages, which Locust's own tables round to whole milliseconds."""
    if isinstance(environment.runner, WorkerRunner):
        return
    rows = [entry for (_, method), entry in sorted(environment.stats.entries.items()) if method == FAST_LANE]
    if rows:
        print(f"{FAST_LANE + ', ms':<14}" + "".join(f"{f'{100 * share:g}%':>10}" for share in PERCENTILES))
    for entry in rows:
        times = (f"{entry.get_response_time_percentile(share):10.2f}" for share in PERCENTILES)
        print(f"{entry.name:<14}" + "".join(times))


class Player(User):
    """Logs in, queues, plays a match to its end, and starts again."""

    weight = 9
    wait_time = constant(1)

    def on_start(self) -> None:
        """Take a number."""
        self.number = next(_numbers)

    @task
    def play(self) -> None:
        """One match."""
        if _link is not None:
            _link.play(self.number)

    def on_stop(self) -> None:
        """Leave, at whatever stage it is."""
        if _link is not None:
            _link.stop(self.number)


class Shopper(FastHttpUser):
    """Reads the profile, changes skins, buys what is free."""

    weight = 1
    host = settings().meta_url
    wait_time = between(0.5, 2.0)
    skins: ClassVar = ("nightfall", "daybreak")

    def on_start(self) -> None:
        """Log in, and buy once."""
        answer = self.client.post("/v1/login/device", json={"device_id": f"locust-{secrets.token_hex(8)}"})
        self.client.auth_header = f"Bearer {answer.json()['session_token']}"
        self._skins = itertools.cycle(self.skins)
        key = {"Idempotency-Key": secrets.token_hex(16)}
        order = {"item_id": "wave"}
        for _ in range(2):  # the same idempotency key: it happens once
            self.client.post("/v1/store/purchases", json=order, headers={**self._auth(), **key})

    @task(4)
    def read_profile(self) -> None:
        """Read the profile."""
        self.client.get("/v1/profile", headers=self._auth())

    @task(2)
    def change_skin(self) -> None:
        """Change the skin."""
        self.client.put("/v1/profile/loadout", json={"skin": next(self._skins)}, headers=self._auth())

    @task(1)
    def browse(self) -> None:
        """Read the catalogue and the wallet."""
        self.client.get("/v1/store/catalogue", headers=self._auth())
        self.client.get("/v1/wallet", headers=self._auth())

    def _auth(self) -> dict[str, str]:
        return {"Authorization": str(self.client.auth_header)}


if SCENARIO:

    class Arrivals(LoadTestShape):
        """As many users as have arrived by the scenario's curve; the test ends when the last match must be
        over.
        """

        _shape = ArrivalShape(reader.load_scenario(reader.scenario_path(SCENARIO)))

        def tick(self) -> tuple[int, float] | None:
            """How many users there are to be now."""
            users = self._shape.users_at(self.get_run_time())
            return None if users is None else (users, SPAWN_RATE_PER_S)
