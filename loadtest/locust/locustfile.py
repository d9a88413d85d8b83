"""Floods the backend with Locust: for its web page, its report, and load from many machines.

    launchday up       # or a backend elsewhere, by LAUNCHDAY_META_URL and LAUNCHDAY_MATCHMAKER_URL
    locust -f loadtest/locust/locustfile.py --headless -u 200 -r 20 -t 60s --processes 2

There are two kinds of users: ``Player`` plays whole matches over UDP, one after the other (tag ``match``),
``Shopper`` uses the meta service over HTTP (tag ``shop``).

``LAUNCHDAY_SCENARIO`` names a scenario file, or a shipped one. Then all users are its players: they come by
its arrivals, each plays its session and goes, and the test ends when the last one has. ``-u``, ``-r`` and
``-t`` have no effect, and every worker must be given the same file. Its faults and objectives are for
``launchday flood``; docs/load-tests-locust.md says what workers on other machines need.
"""

from __future__ import annotations

import itertools
import logging
import os
import secrets
import sys
from http import HTTPStatus
from typing import Any, ClassVar

import locust.stats
from locust import FastHttpUser, LoadTestShape, User, between, constant, events, tag, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import STATE_MISSING, STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerRunner

from launchday.settings import Settings, SettingsError, settings
from loadtest.errors import LoadTestError, ScenarioError
from loadtest.locust.arrivals import share_of
from loadtest.locust.bot_worker_client import FAST_LANE, BotWorkerClient
from loadtest.locust.scenario_players import READY_S, ScenarioPlayers
from loadtest.scenario import reader
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import region_latencies_ms

SCENARIO = os.environ.get("LAUNCHDAY_SCENARIO", "")
DEFAULT_SCENARIO = "tour"
PERCENTILES = (0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
FAULT = "launchday-fault"  # a worker's messages to its master
OVER = "launchday-over"
SHARE = "launchday-share"  # a master's message to a worker: which players are its own
FAULT_EXIT_CODE, USAGE_EXIT_CODE = 1, 2
CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 1.5, 5.0  # one SYN may be lost; our clients wait as long for an answer
WHOLE = (0, 1)  # the share of a process that has no master

log = logging.getLogger("launchday")


def _refuse(*lines: str) -> None:
    """End this process: what is wrong is a line each, as of every command of ours."""
    for line in lines:
        sys.stderr.write(f"error: {line}\n")
    sys.exit(USAGE_EXIT_CODE)


def _read_settings() -> Settings:
    try:
        return settings()
    except SettingsError as error:
        _refuse(str(error))
        raise


def _read_scenario(name: str) -> Scenario | None:
    """The scenario of that name, checked; None where there is no name."""
    if not name:
        return None
    path = reader.scenario_path(name)
    if not path.exists():
        names = ", ".join(reader.shipped_names())
        _refuse(f"LAUNCHDAY_SCENARIO: no scenario {name}: give a file, or one of those shipped: {names}")
    try:
        found = reader.load_scenario(path)
        region_latencies_ms(found, _read_settings().region_names)
    except ScenarioError as error:
        _refuse(*error.lines)
        raise
    except LoadTestError as error:
        _refuse(f"LAUNCHDAY_SCENARIO: {error}")
        raise
    return found


_settings = _read_settings()
_scenario = _read_scenario(SCENARIO)


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
_players: ScenarioPlayers | None = None
_share: tuple[int, int] | None = None  # of this worker, as its master says
_shares: dict[str, bool] = {}  # a master's workers who have one → whether all its players have gone
_numbers = itertools.count()


@events.init_command_line_parser.add_listener
def _options(parser: Any) -> None:
    parser.add_argument(
        "--bot-seats",
        type=int,
        default=500,
        help="The most players at the same time, in each worker; with LAUNCHDAY_SCENARIO as many as it has "
        "(launchday)",
    )


@events.init.add_listener
def _begin(environment: Environment, **_: Any) -> None:
    _keep_tagged(environment)
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        runner.register_message(FAULT, lambda environment, msg: _note_fault(environment, msg.data))
        runner.register_message(OVER, lambda environment, msg: _shares.update({msg.node_id: True}))
    elif isinstance(runner, WorkerRunner):
        runner.register_message(SHARE, lambda environment, msg: _take_share(msg.data))


def _take_share(data: Any) -> None:
    global _share
    _share = (int(data[0]), int(data[1]))


def _keep_tagged(environment: Environment) -> None:
    """Leave out the kinds of users to whom -T and -E leave nothing to do: Locust would start them all the
    same, each to fail.
    """
    options = environment.parsed_options
    wanted, unwanted = (
        set(getattr(options, "tags", None) or ()),
        set(getattr(options, "exclude_tags", None) or ()),
    )
    if not wanted and not unwanted:
        return
    kept, known = [], set()
    for kind in environment.user_classes:
        tags = [set(getattr(each, "locust_tag_set", ())) for each in kind.tasks]
        known |= set().union(*tags)
        if any((not wanted or each & wanted) and not each & unwanted for each in tags):
            kept.append(kind)
    if not kept:
        _refuse(f"--tags and --exclude-tags leave no task: there are {', '.join(sorted(known))}")
    environment.user_classes[:] = kept


@events.test_start.add_listener
def _start_bots(environment: Environment, **_: Any) -> None:
    global _link, _players
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        _deal(runner)
        return

    def on_fault(line: str) -> None:
        if isinstance(runner, WorkerRunner):
            runner.send_message(FAULT, line)  # it is said once, where the figures are shown
        else:
            _note_fault(environment, line)

    path, fire = reader.scenario_path(SCENARIO or DEFAULT_SCENARIO), environment.events.request.fire
    if Player not in environment.user_classes:
        return
    if _scenario is None:
        seats = environment.parsed_options.bot_seats if environment.parsed_options else 500
        _link = BotWorkerClient(path, seats, fire, on_fault)
        return
    share = _share if isinstance(runner, WorkerRunner) else WHOLE
    if share is None:
        on_fault("a worker came when the test had begun: it has no players")
        return
    arrives_s = [float(each) for each in share_of(_scenario, *share).arrives_s]
    if arrives_s:
        _link = BotWorkerClient(path, len(arrives_s), fire, on_fault, share=share)

    def start(number: int) -> None:
        player = Player(environment)
        player.number = number
        player.start(runner.user_greenlets)

    def on_over() -> None:
        if isinstance(runner, WorkerRunner):
            runner.send_message(OVER)
        else:
            _shares.update(here=True)

    _shares.clear()
    _players = ScenarioPlayers(
        arrives_s, start, lambda s: _link is not None and _link.await_ready(s), on_over, on_fault
    )


def _deal(runner: MasterRunner) -> None:
    """Tell each worker which share of the players is its own, before it is told to start."""
    _shares.clear()
    workers = [each.id for each in runner.clients.ready + runner.clients.spawning + runner.clients.running]
    for index, worker in enumerate(workers):
        _shares[worker] = False
        runner.send_message(SHARE, [index, len(workers)], worker)


def _note_fault(environment: Environment, line: str) -> None:
    """Say what makes the load less than was asked for. Locust's exit code says so, too."""
    log.error("%s", line)
    environment.process_exit_code = FAULT_EXIT_CODE


@events.test_stop.add_listener
def _stop_bots(**_: Any) -> None:
    global _link, _players, _share
    if _players is not None:
        _players.stop()
    if _link is not None:
        _link.close()
    _link = _players = _share = None
    _shares.clear()  # the next test of the web page begins with the first look of its shape


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
    """Logs in, queues, plays a match to its end, and starts again; a scenario's player plays one session."""

    weight = 9
    wait_time = constant(1)
    number = -1

    def on_start(self) -> None:
        """Take a number, where the scenario has not given one."""
        if self.number < 0:
            self.number = next(_numbers)

    @tag("match")
    @task
    def play(self) -> None:
        """One match; of a scenario's player, all of its session."""
        if _link is not None:
            _link.play(self.number, None if _scenario is None else READY_S)
        if _scenario is not None:
            raise StopUser

    def on_stop(self) -> None:
        """Leave, at whatever stage it is."""
        if _link is not None:
            _link.stop(self.number)
        if _players is not None:
            _players.left()

    def stop(self, force: bool = False) -> bool:
        """Be stopped by Locust; but a scenario's player stays until the session or the test is over.

        Locust counts users a worker, and would stop those it has not asked for when a worker comes or goes.
        """
        runner = self.environment.runner
        if _scenario is not None and runner is not None and runner.state in (STATE_SPAWNING, STATE_RUNNING):
            return False
        return bool(super().stop(force))


class Shopper(FastHttpUser):
    """Reads the profile, changes skins, buys what is free. Without a session it logs in first, at each task.

    Whatever a service answers, or does not, is a failed request; the user stays, and waits as after any task.
    """

    abstract = _scenario is not None  # whose players shop where its behaviours say so
    weight = 1
    host = _settings.meta_url
    wait_time = between(0.5, 2.0)
    connection_timeout = CONNECT_TIMEOUT_S
    network_timeout = ANSWER_TIMEOUT_S
    skins: ClassVar = ("recruit", "scout")  # free, so everybody may wear them

    def on_start(self) -> None:
        """Choose a device, a wardrobe and the key of the one purchase."""
        self._device_id = f"locust-{secrets.token_hex(8)}"
        self._token = ""
        self._skins = itertools.cycle(self.skins)
        self._purchase_key = secrets.token_hex(16)
        self._purchases = 2  # of the same idempotency key: it happens once

    @tag("shop")
    @task(4)
    def read_profile(self) -> None:
        """Read the profile."""
        if self._has_session():
            self._ask("GET", "/v1/profile")

    @tag("shop")
    @task(2)
    def change_skin(self) -> None:
        """Change the skin."""
        if self._has_session():
            self._ask("PUT", "/v1/profile/loadout", {"skin": next(self._skins)})

    @tag("shop")
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


class ScenarioArrivals(LoadTestShape):
    """Asks Locust for no user, for each worker lets the scenario's players come by itself; ends the test when
    all have gone.
    """

    abstract = _scenario is None

    def tick(self) -> tuple[int, float] | None:
        """How many users Locust is to keep; None once all players have gone."""
        over = [_is_over(self.runner, worker) for worker in _shares]
        return None if over and all(over) else (0, 1.0)


def _is_over(runner: Any, worker: str) -> bool:
    """Whether nobody of a worker's players will come or go any more, as a worker that has died."""
    if _shares[worker] or not isinstance(runner, MasterRunner):
        return _shares[worker]
    if worker not in runner.clients or runner.clients[worker].state == STATE_MISSING:
        _note_fault(runner.environment, f"worker {worker} has gone, and the players of its share with it")
        _shares[worker] = True
    return _shares[worker]
