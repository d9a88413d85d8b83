"""The queue's benchmark over HTTP: one process each of the API, the director, the cache, the stub services, a
control and this one, the generator, all on the same cores.

Players and the control take turns. The control is a bare ASGI route behind the same server as the API, which
gets the same requests for a ticket over as many connections, and answers the same bytes. ``api_ratio`` is the
processor time that the API's process uses for a ticket, whatever it does for it until its player knows the
match, divided by what the control's process uses for a request. Medians of the turns.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import psutil
import uvloop
from numpy.typing import NDArray

from launchday import child_processes
from launchday.engines import Valkey
from launchday.engines.base import exchange, free_port
from launchday.identity import signer_of
from launchday.settings import Settings, environment
from loadtest.bench.control.bare_route import Answer
from loadtest.bench.harness.statistics import ratio
from loadtest.bench.matchmaker.ticket_load import PlayerTimings, TicketLoad, figures, joined
from loadtest.errors import BenchError
from loadtest.garbage import rare_collections

REGIONS: Final = ("west-europe", "east-us", "japan-east", "brazil-south")
SHARES: Final = (0.4, 0.35, 0.2, 0.05)

TURNS: Final = 3
CONTROL_S: Final = 10.0  # of a turn of the control, at most
START_S: Final = 240.0  # the director may have to compile its kernels
SATURATED_LATE_MS: Final = 20.0
SATURATED_CORES: Final = 0.9
SHOWN: Final = ("director", "api", "cache", "generator", "stub")


def measure(settings: Settings, valkey: Valkey, rate: float, seconds: float, seed: int) -> dict[str, Any]:
    """Start the processes, let players come at ``rate`` for ``seconds`` in all, and return the figures.

    Raises BenchError: a process does not start.
    """
    players = _Players(settings, np.random.default_rng(seed))
    parts: list[PlayerTimings] = []
    cores: list[dict[str, float]] = []
    api_us: list[float] = []
    bare_us: list[float] = []
    with _Processes(settings, valkey) as processes, rare_collections():
        for _ in range(TURNS):
            load = players.load(settings.matchmaker_port, rate, seconds / TURNS)
            before = processes.used_s()
            timings, used = uvloop.run(_measured(load, processes, seconds / TURNS))
            api_us.append(_us_each(processes.used_s()["api"] - before["api"], timings))
            parts.append(timings)
            cores.append(used)
            control_port = processes.control(Answer.like(load.first_answer))
            control = players.load(
                control_port, rate, min(CONTROL_S, seconds / TURNS), connections=load.connections
            )
            before = processes.used_s()
            timings = uvloop.run(control.run())
            bare_us.append(_us_each(processes.used_s()["bare"] - before["bare"], timings))
    return _figures(joined(parts), cores, seconds) | {
        "api_us_a_ticket": round(statistics.median(api_us), 1),
        "bare_us_a_request": round(statistics.median(bare_us), 1),
        "api_ratio": ratio(statistics.median(api_us), statistics.median(bare_us), 2),
    }


def _figures(timings: PlayerTimings, cores: list[dict[str, float]], seconds: float) -> dict[str, Any]:
    timed = figures(timings)
    created, notified = _count(timings.created), _count(timings.notified)
    mean = {name: round(statistics.fmean(each[name] for each in cores), 3) for name in SHOWN}
    return {
        "offered_per_s": round(len(timings.due) / seconds, 1),
        "accepted_per_s": round(created / seconds, 1),
        "created": created,
        "refused": timings.refused,
        "lost": created - notified,
        "duplicated": sum(times - 1 for times in timings.notified_by_slot.values()),
        **timed,
        **{f"{name}_cpu": used for name, used in mean.items()},
        "generator_saturated": bool(
            timed["late_ms"]["p99"] > SATURATED_LATE_MS or mean["generator"] > SATURATED_CORES
        ),
    }


async def _measured(
    load: TicketLoad, processes: _Processes, seconds: float
) -> tuple[PlayerTimings, dict[str, float]]:
    """Return the players' timings, and the cores that each process used while players arrived."""
    before = processes.used_s()
    coming = asyncio.create_task(load.run())
    await asyncio.sleep(seconds)
    after = processes.used_s()
    return await coming, {name: (after[name] - before[name]) / seconds for name in before}


class _Players:
    """Makes loads of players who are all different.

    Args:
        settings: sign the players' tokens.
        rng: draws arrivals and latencies.
    """

    def __init__(self, settings: Settings, rng: np.random.Generator) -> None:
        self._signer = signer_of(settings, "loadtest")
        self._rng = rng
        self._known = 0

    def load(self, port: int, rate: float, seconds: float, connections: int = 0) -> TicketLoad:
        """Players who arrive at ``rate`` for ``seconds``, and follow their tickets; where ``connections`` are
        given, they ask over those and follow nothing.
        """
        count = round(rate * seconds)
        players = range(self._known + 1, self._known + count + 1)
        self._known += count
        due_s = np.sort(self._rng.uniform(0.0, seconds, count))  # a Poisson process, given its arrivals
        tokens = [self._signer.player_token(player, time.time(), 3_600.0) for player in players]
        bodies = [_request_body(self._rng, player) for player in players]
        return TicketLoad(
            "127.0.0.1", port, tokens, bodies, due_s, follow=not connections, connections=connections
        )


def _request_body(rng: np.random.Generator, player: int) -> bytes:
    """Return a player's ticket request, some 300 bytes of JSON."""
    home = int(rng.choice(len(REGIONS), p=SHARES))
    far_ms = rng.uniform(80.0, 220.0, len(REGIONS)).round(1).tolist()
    latencies = dict(zip(REGIONS, far_ms, strict=True)) | {
        REGIONS[home]: round(float(rng.gamma(4.0, 8.0)), 1)
    }
    return json.dumps(
        {
            "mode": "battle_royale",
            "latencies_ms": latencies,
            "platform": ("pc", "playstation", "xbox")[player % 3],
            "cross_play": True,
            "client_key": f"bench-{player:012d}-{rng.integers(10**12):012d}",
        }
    ).encode()


class _Processes:
    """The processes of a run: a context manager that starts them and waits until they are ready.

    Raises BenchError where one ends.
    """

    def __init__(self, settings: Settings, valkey: Valkey) -> None:
        self._settings = settings
        self._valkey = valkey
        self._folder = settings.state_dir
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._control_port = 0

    def __enter__(self) -> _Processes:
        port = self._settings.matchmaker_port
        try:
            self._start(
                "stub", "loadtest.bench.matchmaker.stub_services", self._settings.meta_url.rpartition(":")[2]
            )
            self._start("api", "matchmaker")
            self._start("director", "matchmaker.director")
            self._wait(lambda: _accepts(port) and _led(self._valkey.port))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(list(self._started.values())):
            child_processes.stop(process, 5.0)

    def control(self, answer: Answer) -> int:
        """Return the port of the control, which is started at the first call, with that answer."""
        if not self._control_port:
            self._control_port = free_port()
            answer.write(self._folder / "answer")
            self._start(
                "bare",
                "loadtest.bench.control.bare_route",
                str(self._control_port),
                "matchmaker",
                str(self._folder / "answer"),
            )
            self._wait(lambda: _accepts(self._control_port))
        return self._control_port

    def used_s(self) -> dict[str, float]:
        """The seconds of processor time that each process has used, this one and the cache among them."""
        pids = {name: process.pid for name, process in self._started.items()}
        assert self._valkey.process is not None
        pids |= {"cache": self._valkey.process.pid, "generator": os.getpid()}
        return {name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in pids.items()}

    def _start(self, name: str, *arguments: str) -> None:
        self._started[name] = child_processes.spawn(
            [sys.executable, "-m", *arguments],
            log=self._folder / f"{name}.log",
            env={**os.environ, **environment(self._settings)},
        )

    def _wait(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while not ready():
            for name, process in self._started.items():
                if process.poll() is not None:
                    log = self._folder / f"{name}.log"
                    raise BenchError(f"the {name} ended: {child_processes.last_line(log)}")
            if time.monotonic() > deadline:
                raise BenchError("the matchmaker was not ready in time")
            time.sleep(0.05)


def _accepts(port: int) -> bool:
    return exchange(port, b"GET /healthz HTTP/1.1\r\nhost: m\r\n\r\n", 9) == b"HTTP/1.1 "


def _led(cache_port: int) -> bool:
    """Whether a director leads the queue."""
    lease = b"{mm}:lease:battle_royale"
    return exchange(cache_port, b"*2\r\n$6\r\nEXISTS\r\n$%d\r\n%b\r\n" % (len(lease), lease), 4) == b":1\r\n"


def _us_each(used_s: float, timings: PlayerTimings) -> float:
    return 1e6 * ratio(used_s, _count(timings.created), 9)


def _count(times: NDArray[np.float64]) -> int:
    return int((~np.isnan(times)).sum())
