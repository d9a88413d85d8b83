"""Three directors allocate at one allocator at once, in turns with the same calls of a bare route.

The control is a bare ASGI route behind the same server as the fleet: it gets the same requests of the same
clients over as many connections, and answers the bytes of an allocation. ``allocate_ratio`` is the processor
time that the fleet's process uses for an allocation divided by what the control's uses for a request. What
follows an allocation on a processless fleet is in it: the end of an earlier match, and a new server.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Final

import psutil

from launchday import child_processes
from launchday.engines.base import exchange, free_port
from launchday.settings import Settings, environment
from loadtest.bench.control.bare_route import Answer
from loadtest.bench.fleet.allocation_clients import one_answer
from loadtest.bench.harness.statistics import percentiles, ratio
from loadtest.errors import BenchError

CALLERS: Final = 8
DIRECTORS: Final = 3
TURNS: Final = 3
START_S: Final = 60.0


@dataclass
class _Figures:
    """What the turns gave: each allocation's server and milliseconds, a second's allocations of each turn,
    and microseconds of processor time of each turn.
    """

    servers: list[str] = field(default_factory=list)
    calls_ms: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    fleet_us: list[float] = field(default_factory=list)
    bare_us: list[float] = field(default_factory=list)


def allocate_in_turns(settings: Settings, fleet_pid: int, token: str, allocations: int) -> dict[str, Any]:
    """Return the figures of ``allocations`` allocations at the fleet that the settings name.

    Raises BenchError: a director could not allocate all its servers, or the control did not start.
    """
    found, fleet = _Figures(), psutil.Process(fleet_pid)
    share = allocations // (DIRECTORS * TURNS)
    answer = Answer.like(asyncio.run(one_answer(settings.fleet_port, token, "first")))
    control_port = free_port()
    control = _start_control(settings, control_port, answer)
    try:
        for turn in range(TURNS):
            began, used_s = time.perf_counter(), _used_s(fleet)
            calls = _direct(settings, settings.fleet_port, token, share, f"turn-{turn}")
            elapsed = time.perf_counter() - began
            found.fleet_us.append(1e6 * ratio(_used_s(fleet) - used_s, DIRECTORS * share, 9))
            found.per_s.append(DIRECTORS * share / elapsed)
            found.servers += [name for each in calls for name in each["servers"]]
            found.calls_ms += [ms for each in calls for ms in each["calls_ms"]]
            used_s = _used_s(control)
            _direct(settings, control_port, token, share, f"control-{turn}")
            found.bare_us.append(1e6 * ratio(_used_s(control) - used_s, DIRECTORS * share, 9))
    finally:
        control.terminate()
    if len(found.servers) != share * DIRECTORS * TURNS:
        raise BenchError(
            f"only {len(found.servers)} of {share * DIRECTORS * TURNS} allocations were answered"
        )
    return {
        "allocations": len(found.servers),
        "allocated_twice": len(found.servers) - len(set(found.servers)),
        "per_s": round(statistics.median(found.per_s)),
        "allocate_ms": percentiles(found.calls_ms, 50, 99, digits=2),
        "fleet_us_an_allocation": round(statistics.median(found.fleet_us), 1),
        "bare_us_a_request": round(statistics.median(found.bare_us), 1),
        "allocate_ratio": ratio(statistics.median(found.fleet_us), statistics.median(found.bare_us), 2),
    }


def _direct(settings: Settings, port: int, token: str, share: int, name: str) -> list[dict[str, Any]]:
    """Let the directors ask, each in a process of its own, and return what each got."""
    command = [
        sys.executable,
        "-m",
        "loadtest.bench.fleet.allocation_clients",
        str(port),
        token,
        str(CALLERS),
    ]
    files = [settings.state_dir / f"{name}-{number}.json" for number in range(DIRECTORS)]
    callers = [subprocess.Popen([*command, str(share), file.stem, str(file)]) for file in files]
    for caller in callers:
        if caller.wait():
            raise BenchError("a director could not allocate all its servers")
    return [json.loads(file.read_text()) for file in files]


def _start_control(settings: Settings, port: int, answer: Answer) -> psutil.Process:
    file, log = settings.state_dir / "answer", settings.state_dir / "bare.log"
    answer.write(file)
    process = child_processes.spawn(
        [sys.executable, "-m", "loadtest.bench.control.bare_route", str(port), "fleet", str(file)],
        log=log,
        env={**os.environ, **environment(settings)},
    )
    deadline = time.monotonic() + START_S
    while exchange(port, b"GET /healthz HTTP/1.1\r\nhost: f\r\n\r\n", 9) != b"HTTP/1.1 ":
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"the control did not start: {child_processes.last_line(log)}")
        time.sleep(0.05)
    return psutil.Process(process.pid)


def _used_s(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))
