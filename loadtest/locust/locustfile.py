"""Floods the backend with Locust: for its web page, its report, and load from many machines.

    launchday up       # or a backend elsewhere, by LAUNCHDAY_META_URL and LAUNCHDAY_MATCHMAKER_URL
    locust -f loadtest/locust/locustfile.py --headless -u 200 -r 20 -t 60s --processes 2

There are two kinds of users: ``Player`` plays whole matches over UDP, ``Shopper`` uses the meta service over
HTTP. ``LAUNCHDAY_SCENARIO`` names a scenario file, or a shipped one; then users arrive by its curve, each
plays match after match until the test ends, and ``-u`` and ``-r`` have no effect.
"""

from __future__ import annotations

import itertools
import logging
import os
import secrets
from http import HTTPStatus
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
FAULT = "launchday-fault"  # a worker's message to its master
FAULT_EXIT_CODE = 1
CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 1.5, 5.0  # one SYN may be lost; our clients wait as long for an answer
SPAWN_RATE_PER_S = 1_000.0  # a shape says how many users there are; Locust starts them at once

log = logging.getLogger("launchday")


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


@events.init.add_listener
def _hear_of_faults(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, MasterRunner):
        environment.runner.register_message(
            FAULT, lambda environment, msg: _note_fault(environment, msg.data)
        )


@events.test_start.add_listener
def _start_bots(environment: Environment, **_: Any) -> None:
    global _link
    if isinstance(environment.runner, MasterRunner):
        return
    seats = environment.parsed_options.bot_seats if environment.parsed_options else 500

    def on_fault(line: str) -> None:
        if isinstance(environment.runner, WorkerRunner):
            environment.runner.send_message(FAULT, line)  # it is said once, where the figures are shown
        else:
            _note_fault(environment, line)

    _link = BotWorkerClient(
        reader.scenario_path(SCENARIO or DEFAULT_SCENARIO), seats, environment.events.request.fire, on_fault
    )


def _note_fault(environment: Environment, line: str) -> None:
    """Say what makes the load less than was asked for. Locust's exit code says so, too."""
    log.error("%s", line)
    environment.process_exit_code = FAULT_EXIT_CODE


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
    """Reads the profile, changes skins, buys what is free. Without a session it logs in first, at each task.

    Whatever a service answers, or does not, is a failed request; the user stays, and waits as after any task.
    """

    weight = 1
    host = settings().meta_url
    wait_time = between(0.5, 2.0)
    connection_timeout = CONNECT_TIMEOUT_S
    network_timeout = ANSWER_TIMEOUT_S
    skins: ClassVar = ("nightfall", "daybreak")

    def on_start(self) -> None:
        """Choose a device, a wardrobe and the key of the one purchase."""
        self._device_id = f"locust-{secrets.token_hex(8)}"
        self._token = ""
        self._skins = itertools.cycle(self.skins)
        self._purchase_key = secrets.token_hex(16)
        self._purchases = 2  # of the same idempotency key: it happens once

    @task(4)
    def read_profile(self) -> None:
        """Read the profile."""
        if self._has_session():
            self._ask("GET", "/v1/profile")

    @task(2)
    def change_skin(self) -> None:
        """Change the skin."""
        if self._has_session():
            self._ask("PUT", "/v1/profile/loadout", {"skin": next(self._skins)})

    @task(1)
    def browse(self) -> None:
        """Read the catalogue and the wallet."""
        if self._has_session():
            self._ask("GET", "/v1/store/catalogue")
            self._ask("GET", "/v1/wallet")

    def _has_session(self) -> bool:
        """Log in where there is no session, and buy once; returns whether there is one then."""
        if not self._token:
            answer = self._ask("POST", "/v1/login/device", {"device_id": self._device_id}, "session_token")
            self._token = "" if answer is None else str(answer["session_token"])
        while self._token and self._purchases:
            self._purchases -= 1
            self._ask("POST", "/v1/store/purchases", {"item_id": "wave"})
        return bool(self._token)

    def _ask(self, method: str, path: str, body: Any = None, needed: str = "") -> dict[str, Any] | None:
        """Send a request.

        Args:
            method, path: of the request, whose name the path is.
            body: sent as JSON, where there is one.
            needed: a key without which an answer is a failure; "": the answer is not read.

        Returns:
            the answer with that key; None where nobody reads it, or the request failed.
        """
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if method == "POST" and self._token:
            headers["Idempotency-Key"] = self._purchase_key
        with self.client.request(method, path, json=body, headers=headers, catch_response=True) as answer:
            if answer.status_code == HTTPStatus.UNAUTHORIZED:
                self._token = ""  # the next task logs in anew
            if not needed or not HTTPStatus.OK <= answer.status_code < HTTPStatus.MULTIPLE_CHOICES:
                return None
            try:
                found = answer.json()
            except ValueError:
                found = None
            if isinstance(found, dict) and needed in found:
                return found
            answer.failure(f"the answer has no {needed}")
        return None


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
