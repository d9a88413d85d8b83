"""Drives the locust file's users and its bots' client in a process of its own, for Locust replaces the
standard library's blocking calls. Prints what became of them as one JSON object.

The meta service is a stub that says no to the first logins, then answers what nobody can read, and ends one
session. The process of bots is a script that ends in the middle of a match, and has no seat for the second
player; that of a scenario's players plays each match in a moment.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from locust import constant, events  # first: it replaces what others import
from locust.env import Environment
from locust.runners import MasterRunner

# isort: split
import gevent
from gevent.event import Event
from gevent.pywsgi import WSGIServer

REFUSED, UNREADABLE = 6, 2  # answers to logins
PROFILES = 4  # that are enough
PATIENCE_S = 30.0

answers = Counter[str]()
enough = Event()


def stub(request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    path = request["PATH_INFO"]
    answers[path] += 1
    status, body = "200 OK", b'{"session_token": "t"}'
    if path == "/v1/login/device" and answers[path] <= REFUSED + UNREADABLE:
        status = "503 Service Unavailable" if answers[path] <= REFUSED else "200 OK"
        body = b"<html>" if answers[path] % 2 else b"[]"
    elif "HTTP_AUTHORIZATION" not in request and path != "/v1/login/device":
        status = "403 Forbidden"
    elif path == "/v1/profile" and answers[path] == 1:
        status = "401 Unauthorized"
    if path == "/v1/profile" and answers[path] == PROFILES:
        enough.set()
    start(status, [("Content-Type", "application/json")])
    return [body]


def shop() -> dict[str, Any]:
    """Let three shoppers meet the stub; return their requests, and what Locust counts as exceptions."""
    server = WSGIServer(("127.0.0.1", 0), stub, log=None)
    server.start()
    os.environ["LAUNCHDAY_META_URL"] = f"http://127.0.0.1:{server.server_port}"
    from loadtest.locust import locustfile

    class Hurried(locustfile.Shopper):
        wait_time = constant(0.01)
        tasks = (locustfile.Shopper.read_profile,)

    environment = Environment(user_classes=[Hurried], events=events)
    runner = environment.create_local_runner()
    starting = list(environment.events.test_start._handlers)
    environment.events.test_start._handlers.clear()  # no bots
    runner.start(3, spawn_rate=100)
    enough.wait(PATIENCE_S)
    users = runner.user_count
    runner.stop()
    server.stop()
    environment.events.test_start._handlers += starting
    return {
        "users": users,
        "exceptions": [found["msg"] for found in runner.exceptions.values()],
        "requests": {
            name: [entry.num_requests, entry.num_failures]
            for (name, _), entry in runner.stats.entries.items()
        },
        "purchases": answers["/v1/store/purchases"],
    }


def play() -> dict[str, Any]:
    """Let two players play with bots that end and come again; return requests, faults and lives."""
    from loadtest.locust.bot_worker_client import BotWorkerClient

    fired: list[list[Any]] = []
    faults: list[str] = []

    def fire(*, name: str, exception: Exception | None, **_: Any) -> None:
        fired.append([name, None if exception is None else str(exception)])

    bots = [
        sys.executable,
        "-S",
        "-E",
        str(Path(__file__).with_name("mortal_bots.py")),
        str(Path.cwd() / "lives"),
    ]
    client = BotWorkerClient(Path("scenario"), 1, fire, faults.append, command=bots)
    client.play(0)  # in the life that ends
    client.play(0)
    for _ in range(2):
        client.play(1)  # without a seat
    client.close()
    return {"fired": fired, "faults": faults, "lives": int(Path("lives").read_text())}


def play_scenario() -> dict[str, Any]:
    """Let a scenario's six players come, play and go; return what Locust was asked, and what it counted."""
    from loadtest.locust import locustfile
    from loadtest.locust.bot_worker_client import BotWorkerClient
    from loadtest.scenario import reader
    from loadtest.scenario.arrivals import Constant

    smoke = reader.load_scenario(reader.scenario_path("smoke"))
    locustfile._scenario = smoke.model_copy(
        update={
            "players": smoke.players.model_copy(update={"count": 6}),
            "arrivals": Constant(over_s=0.5),
        }
    )
    bots = [sys.executable, "-S", "-E", str(Path(__file__).with_name("prompt_bots.py"))]
    vars(locustfile)["BotWorkerClient"] = partial(BotWorkerClient, command=bots)
    asked: list[Any] = []

    class Watched(locustfile.ScenarioArrivals):
        def tick(self) -> tuple[int, float] | None:
            asked.append(super().tick())
            return asked[-1]  # type: ignore[no-any-return]

    shape = Watched()
    environment = Environment(user_classes=[locustfile.Player], events=events, shape_class=shape)
    runner = environment.create_local_runner()
    runner.start_shape()
    shape_over = runner.shape_greenlet
    while not runner.user_count:
        gevent.sleep(0.01)
    runner.stop_users({"Player": 6})  # as when a worker comes or goes: nobody goes before the session is over
    shape_over.join()
    matches = runner.stats.get("match", "UDP")
    code_of_all = environment.process_exit_code
    # As on a master whose only worker has gone: there is nobody to wait for, and it is no success.
    master = MasterRunner.__new__(MasterRunner)
    master.clients, master.environment, master.greenlet = {}, environment, None
    locustfile._shares["worker"] = False
    shape.runner = master
    return {
        "codes": [code_of_all, None if shape.tick() else environment.process_exit_code],
        "asked": [list(each) for each in asked if each is not None],
        "ended": asked[-1] is None,
        "played": [matches.num_requests, matches.num_failures],
        "left": runner.user_count,
        "scenario_exceptions": [found["msg"] for found in runner.exceptions.values()],
    }


def main() -> None:
    with gevent.Timeout(PATIENCE_S):
        found = shop() | play() | play_scenario()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
