"""``launchday bench upgrade``: from one release to the next, while players of both play.

The older release runs on its own schema and is flooded. The schema is upgraded under it. The newer release
comes beside it: meta service, write-behind, matchmaker, director, rewards; a load balancer gives each of both
half of the connections. Then the older director ends, so that the newer one leads, and a while later the rest
of the older release. Clients of both releases play from the beginning to the end. No request may fail, and
all must be counted alike.

There is one fleet, as there is one cluster: of the older release in one run, and of the newer in the other,
so that game servers of either stand between services of both.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launchday import child_processes
from launchday.engines import EngineError, free_port
from launchday.engines.stack import EngineStack
from launchday.identity import signer_of
from launchday.launcher.children import ServiceChild
from launchday.launcher.free_ports import free_ports
from launchday.launcher.kernels import FLOOD_PARTS, compile_kernels
from launchday.launcher.services import SERVICES
from launchday.resilience.http_client import NoAnswerError, ServiceClient
from launchday.settings import Settings, settings
from launchday.terminal import Terminal
from loadtest.bench.upgrade.books import lines, lines_of_store
from loadtest.bench.upgrade.relay import Relay
from loadtest.bench.upgrade.release import Release, install
from loadtest.errors import BenchError

RELEASED = "ea69035"  # the last commit of the release before this one
FLEETS = ("older", "newer")
READY_S = 180.0
STOP_S = 10.0
DRAIN_S = 3.0  # between the last new connection of a process and its end
SETTLE_S = 60.0
FLOOD_OVER_S = 240.0  # after the last arrival: matches and waits
SERVED = ("rewards", "meta service", "write-behind", "matchmaker", "director")  # by each release
SHARED = ("meta service", "matchmaker", "rewards")  # behind a load balancer each
PHASES = ("old", "upgraded schema", "side by side", "newer director", "new")
OVERRIDES: dict[str, Any] = {
    "ready_per_region": 1,
    "max_servers": 4,
    "match_players": 6,
    "match_min_players": 2,
    "match_fill_s": 5.0,
    "match_s": 10.0,
    "requests_per_address_s": 0.0,
    "logins_per_address_s": 0.0,
    "identity_plain": True,
}
SCENARIO = """
name: upgrade
description: Players who come while a backend is upgraded.
seed: {seed}
players:
  count: {players}
  locations: {{west-europe: 0.5, east-us: 0.5}}
arrivals: {{curve: constant, over_s: {over_s}}}
modes:
  battle_royale: {{players: 6, min_players: 2, fill_s: 5, duration_s: 10}}
behaviours:
  shares: {{fighter: 0.7, shopper: 0.3}}
  own:
    shopper: {{shops: 2}}
  rest_s: 0.3
  patience_s: 90
  matches: 2
"""


@dataclass
class Side:
    """The processes of one release."""

    release: Release
    settings: Settings
    children: dict[str, ServiceChild] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        """Start services."""
        for service in SERVICES:
            if service.name not in names:
                continue
            arguments = ("--name", self.settings.state_dir.name) if service.name == "write-behind" else ()
            base_url = service.base_url(self.settings)
            child = ServiceChild(
                service.name,
                self.release.module(service.module, *arguments),
                self.settings.state_dir / "logs" / f"{service.name}.log",
                self.release.environment(self.settings),
                f"{base_url}/readyz" if base_url else "",
            )
            self.children[service.name] = child
            child.start()

    async def ready(self) -> None:
        """Wait until all that were started are ready. Raises BenchError."""
        until = time.monotonic() + READY_S
        for child in self.children.values():
            while not await asyncio.to_thread(child.is_ready):
                if child.process is None or child.process.poll() is not None or time.monotonic() > until:
                    raise BenchError(f"{child.name} of {self.settings.state_dir.name}: {child.last_words()}")
                await asyncio.sleep(0.1)

    async def stop(self, *names: str) -> None:
        """End services in good order, or all."""
        for name in reversed([name for name in self.children if not names or name in names]):
            await asyncio.to_thread(self.children.pop(name).stop, STOP_S)

    def dead(self) -> list[str]:
        """Processes that ended by themselves."""
        return [
            f"{child.name} of {self.settings.state_dir.name}: {child.last_words()}"
            for child in self.children.values()
            if child.process is not None and child.process.poll() is not None
        ]


def run(
    old: str = RELEASED,
    seconds: float = 120.0,
    players: int = 60,
    seed: int = 1,
    fleets: Sequence[str] = FLEETS,
) -> dict[str, Any]:
    """Upgrade under a flood; return what failed and what does not balance.

    Args:
        old: a revision, or a wheel, of the older release.
        seconds: in which the players of each of the two generators come; each phase takes a fifth.
        players: of each generator.
        seed: of both.
        fleets: whose game servers, a run each.

    Raises BenchError where the older release cannot be built, or a part does not start.
    """
    console = Terminal(stderr=True)
    runs: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="launchday-upgrade-") as name:
        folder = Path(name)
        older, newer = install(old, folder / "release"), Release()
        schemas = {"old_schema": older.head, "new_schema": newer.head}
        compile_kernels(console.print, FLOOD_PARTS)
        older.run("-m", "launchday.cli", "compile")
        for fleet in fleets:
            base = settings().model_copy(update={**OVERRIDES, "state_dir": folder / fleet})
            stack = EngineStack(base, fresh=True)
            console.print(f"game servers of the {fleet} release")
            try:
                base = stack.start(console.print)
                runs[f"{fleet}_fleet"] = asyncio.run(
                    _upgrade(base, older, newer, fleet, seconds, players, seed, console)
                )
            except EngineError as error:
                raise BenchError(str(error)) from error
            finally:
                stack.stop()
    return {
        "bench": "upgrade",
        **schemas,
        **{name: sum(one[name] for one in runs.values()) for name in ("failed_requests", "players_lost")},
        "ledger_balanced": all(one["ledger_balanced"] for one in runs.values()),
        **runs,
    }


async def _upgrade(
    base: Settings,
    older: Release,
    newer: Release,
    fleet: str,
    seconds: float,
    players: int,
    seed: int,
    console: Terminal,
) -> dict[str, Any]:
    step_s = seconds / len(PHASES)
    async with AsyncExitStack() as stack:
        relays = {name: await stack.enter_async_context(Relay()) for name in SHARED}
        base = base.model_copy(
            update={
                "meta_url": f"http://127.0.0.1:{relays['meta service'].port}",
                "matchmaker_url": f"http://127.0.0.1:{relays['matchmaker'].port}",
                "rewards_url": f"http://127.0.0.1:{relays['rewards'].port}",
            }
        )
        base = base.model_copy(update={"fleet_port": free_port()})
        base = base.model_copy(update={"fleet_url": f"http://127.0.0.1:{base.fleet_port}"})
        old, new = (_side(release, base, name) for release, name in ((older, "older"), (newer, "newer")))
        floods: list[_Flood] = []
        try:
            console.print(f"the older release, its schema {older.head}")
            older.run("-m", "meta_service.store.schema", env=older.environment(base))
            old.start(*SERVED)
            {"older": old, "newer": new}[fleet].start("fleet")
            _join(relays, old)
            await old.ready()
            await new.ready()
            for number, side in enumerate((old, new)):
                floods.append(_Flood(side, seconds, players, seed + number))
            await asyncio.sleep(step_s)

            console.print(f"the schema, {newer.head}")
            began = time.monotonic()
            await asyncio.to_thread(newer.run, "-m", "meta_service.store.schema", env=newer.environment(base))
            schema_s = time.monotonic() - began
            await asyncio.sleep(max(step_s - schema_s, 0.0))

            console.print("the newer release beside it")
            new.start(*SERVED)
            await new.ready()
            _join(relays, new)
            await asyncio.sleep(step_s)

            console.print("the newer director")
            await old.stop("director")
            await asyncio.sleep(step_s)

            console.print("the newer release alone")
            _leave(relays, old)
            await asyncio.sleep(DRAIN_S)
            await old.stop(*SERVED)
            outcomes = [await flood.outcome() for flood in floods]
            return {
                "schema_s": round(schema_s, 2),
                **_failures(outcomes),
                **await _balance(new),
                "dead": old.dead() + new.dead(),
                "connections": {name: dict(relay.carried) for name, relay in relays.items()},
            }
        finally:
            for flood in floods:
                flood.stop()
            await new.stop()
            await old.stop()


def _side(release: Release, base: Settings, name: str) -> Side:
    folder = base.state_dir / name
    folder.mkdir(parents=True)
    own = base.model_copy(update={"state_dir": folder})
    game_ports = {key: value for key, value in free_ports(own).items() if key.startswith("game_port")}
    ports = {each.port_setting: free_port() for each in SERVICES if each.name != "fleet"}
    return Side(release, own.model_copy(update={**game_ports, **ports}))


def _ports(side: Side) -> dict[str, int]:
    own = side.settings
    return {"meta service": own.meta_port, "matchmaker": own.matchmaker_port, "rewards": own.rewards_port}


def _join(relays: dict[str, Relay], side: Side) -> None:
    for name, port in _ports(side).items():
        relays[name].servers.append(port)


def _leave(relays: dict[str, Relay], side: Side) -> None:
    for name, port in _ports(side).items():
        relays[name].servers.remove(port)


class _Flood:
    """Players of one release, in a process of its own."""

    def __init__(self, side: Side, seconds: float, players: int, seed: int) -> None:
        folder = side.settings.state_dir / "flood"
        folder.mkdir()
        scenario, self._json = folder / "upgrade.yaml", folder / "flood.json"
        scenario.write_text(SCENARIO.format(seed=seed, players=players, over_s=seconds))
        self._log = folder / "flood.log"
        self._seconds = seconds
        command = side.release.module("launchday.cli", "flood", str(scenario), "--running")
        command += ["--save", str(self._json), "--report", str(folder / "report.html")]
        env = {**os.environ, **side.release.environment(side.settings)}
        self._process = child_processes.spawn(command, log=self._log, env=env)

    async def outcome(self) -> dict[str, Any]:
        """What its players met. Raises BenchError."""
        until = time.monotonic() + self._seconds + FLOOD_OVER_S
        while self._process.poll() is None:
            if time.monotonic() > until:
                raise BenchError(f"a flood does not end: {child_processes.last_line(self._log, 0)}")
            await asyncio.sleep(0.2)
        try:
            found: dict[str, Any] = json.loads(self._json.read_text())
        except (OSError, ValueError) as error:
            said = child_processes.last_line(self._log, 0)
            raise BenchError(f"a flood has no figures: {said}") from error
        return found

    def stop(self) -> None:
        """End it, where it has not ended."""
        child_processes.stop(self._process, STOP_S)


def _failures(outcomes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Requests that failed for good, and players who were lost, of both generators."""
    kinds: dict[str, dict[str, int]] = {}
    for outcome in outcomes:
        for kind, figures in outcome["requests"].items():
            sums = kinds.setdefault(kind, {"answered": 0, "retries": 0, "given_up": 0})
            for name in sums:
                sums[name] += int(figures[name])
    return {
        "requests": kinds,
        "failed_requests": sum(sums["given_up"] for sums in kinds.values()),
        "players": sum(int(outcome["players"]) for outcome in outcomes),
        "players_lost": sum(int(outcome["players_lost"]) for outcome in outcomes),
        "reasons": [outcome.get("reasons", {}) for outcome in outcomes],
    }


async def _balance(new: Side) -> dict[str, Any]:
    """Wait until all counters agree, or `SETTLE_S`; return the lines that do not."""
    token = signer_of(new.settings, "loadtest").service_token("upgrade", time.time())
    until = time.monotonic() + SETTLE_S
    async with AsyncExitStack() as stack:

        async def client(url: str) -> ServiceClient:
            found = ServiceClient(url, token=token, patience_s=5.0, connections=1)
            stack.push_async_callback(found.aclose)
            return found

        own = new.settings
        meta, queue = await client(own.meta_url), await client(own.matchmaker_url)
        fleet, rewards = await client(own.fleet_url), await client(own.rewards_url)
        found: list[Any] = []
        while True:
            with suppress(NoAnswerError):
                counted = await _read(meta, "/v1/internal/counters")
                found = [
                    *lines(
                        await _read(queue, "/v1/internal/counters"),
                        await _read(fleet, "/v1/counters"),
                        counted,
                        int((await _read(rewards, "/v1/internal/counters"))["kills_applied"]),
                    ),
                    *await lines_of_store(new.settings.store_url, int(counted["commits"])),
                ]
                if all(line.balanced for line in found):
                    break
            if time.monotonic() > until:
                break
            await asyncio.sleep(1.0)
    return {
        "ledger_balanced": bool(found) and all(line.balanced for line in found),
        "ledger": {line.name: {entry.label: entry.count for entry in line.entries} for line in found},
    }


async def _read(client: ServiceClient, path: str) -> dict[str, Any]:
    answer = await client.request("GET", path)
    if not answer.is_success:
        raise BenchError(f"{client.base_url}{path} answers {answer.status_code}: {answer.text[:200]}")
    found: dict[str, Any] = answer.json()
    return found
