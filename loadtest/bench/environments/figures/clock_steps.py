"""A wall clock that is stepped under a whole backend, while matches are played and servers wait.

The clocks are those of every process of a flood, through the file that `launchday.clock` reads for tests; no
machine's clock is touched. Beside the flood, players who are logged in do nothing but ask for their profile,
and exchange their refresh token when they are told that the access token has expired, as a client does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dedicated_server.fleet.client import FleetAdminClient, FleetError
from launchday.clock import OFFSET_FILE
from launchday.identity import Signer
from launchday.resilience.http_client import NoAnswerError, ServiceClient
from launchday.settings import env_name, settings
from loadtest.bench.environments.commands import Beside, running
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.options import Options
from loadtest.errors import BenchError
from meta_service.client import MetaClient, MetaClientError, MetaRefusedError, MetaUnavailableError, Session

SCENARIO = Path(__file__).with_name("stepped.yaml")
STEPS_S = (300.0, -300.0, 3_600.0, -3_600.0)
SESSIONS = 8
START_S, PLAYING_S, END_S = 60.0, 30.0, 60.0
HOLD_S = 4.0  # after a step: two heartbeats, and four turns of whatever ends what is over
POLL_S = 0.1
METRIC = re.compile(r"^(\w+)(?:\{(.*)\})? ([0-9.e+]+)$", re.MULTILINE)
ENDS_AS_IT_SHOULD = {"ended", "scaled down", "fleet stopped", "drained"}


@dataclass(slots=True)
class Watched:
    """What was seen of the backend beside the flood.

    Attributes:
        told_expired, logged_out: access tokens that were refused and refresh tokens that were, by step.
        playing, idle: game servers that played and waited at each step.
        expired: leases that ended without a result.
        tickets_expired: tickets that did.
        servers_ended: game servers that ended as they should not, by why.
        matches_failed: as the fleet counts them.
        clock_steps: steps that the meta service has seen.
    """

    told_expired: Counter[float] = field(default_factory=Counter)
    logged_out: Counter[float] = field(default_factory=Counter)
    playing: dict[float, int] = field(default_factory=dict)
    idle: dict[float, int] = field(default_factory=dict)
    expired: int = 0
    tickets_expired: int = 0
    servers_ended: Counter[str] = field(default_factory=Counter)
    matches_failed: int = 0
    clock_steps: int = 0


def clock_steps(_: Options) -> Found:
    """Step the clock four times under a flood, and say what that did to whom."""
    offset = Path("clock-offset").absolute()
    offset.write_text("0")
    return asyncio.run(_clock_steps(offset))


async def _clock_steps(offset: Path) -> Found:
    secret = secrets.token_hex(32)
    env = {OFFSET_FILE: str(offset), env_name("identity_secret"): secret, env_name("log_level"): "info"}
    os.environ.update(env)
    watched, at = Watched(), [0.0]
    with running("flood", str(SCENARIO), "--json") as flood:
        token = Signer(secret).service_token("bench", time.time(), 24 * 3600.0)
        own = settings()
        urls = {
            name: f"http://127.0.0.1:{getattr(own, f'{name}_port')}"
            for name in ("meta", "matchmaker", "fleet")
        }
        async with (
            MetaClient(urls["meta"], token, retry=False) as meta,
            FleetAdminClient(urls["fleet"], token) as fleet,
            ServiceClient("", token=token) as http,
        ):
            sessions = await _log_in(meta, flood)
            watching = [asyncio.create_task(_play_client(meta, each, watched, at)) for each in sessions]
            watching.append(asyncio.create_task(_watch(http, urls, watched)))
            try:
                total_s = 0.0
                for step_s in STEPS_S:
                    await _until_playing(fleet, watched, step_s, flood)
                    total_s += step_s
                    at[0] = step_s
                    await asyncio.to_thread(offset.write_text, str(total_s))
                    await asyncio.sleep(HOLD_S)
                figures = await asyncio.to_thread(_figures_of, flood)
            finally:
                for task in watching:
                    task.cancel()
                await asyncio.gather(*watching, return_exceptions=True)
    return _judged(watched, figures)


async def _log_in(meta: MetaClient, flood: Beside) -> list[Session]:
    deadline = time.monotonic() + START_S
    while True:
        try:
            return [await meta.login_device(f"stepped-device-{number:02d}") for number in range(SESSIONS)]
        except (MetaUnavailableError, MetaRefusedError) as error:
            if time.monotonic() > deadline or flood.process.poll() is not None:
                raise BenchError(f"nobody could log in: {error}") from error
        await asyncio.sleep(POLL_S)


async def _play_client(meta: MetaClient, session: Session, watched: Watched, at: list[float]) -> None:
    """Ask for a profile, again and again; exchange the refresh token when told to log in again."""
    while True:
        try:
            await meta.profile(session.session_token)
        except MetaUnavailableError:
            pass  # it is ending
        except MetaRefusedError:
            watched.told_expired[at[0]] += 1
            try:
                session = await meta.refresh(session.refresh_token)
            except MetaRefusedError:
                watched.logged_out[at[0]] += 1
                return
            except MetaClientError:
                pass
        await asyncio.sleep(POLL_S)


async def _watch(http: ServiceClient, urls: Mapping[str, str], watched: Watched) -> None:
    """Keep what the services count, until they are gone."""
    while True:
        for read in (_read_counters, _read_fleet, _read_steps):
            with contextlib.suppress(NoAnswerError, ValueError, KeyError):  # not there yet, or not any more
                await read(http, urls, watched)
        await asyncio.sleep(POLL_S)


async def _read_counters(http: ServiceClient, urls: Mapping[str, str], watched: Watched) -> None:
    meta = (await http.request("GET", f"{urls['meta']}/v1/internal/counters")).json()
    queue = (await http.request("GET", f"{urls['matchmaker']}/v1/internal/counters")).json()
    watched.expired, watched.tickets_expired = meta["expired"], queue["expired"]


async def _read_fleet(http: ServiceClient, urls: Mapping[str, str], watched: Watched) -> None:
    ended: Counter[str] = Counter()
    for name, labels, value in METRIC.findall((await http.request("GET", f"{urls['fleet']}/metrics")).text):
        if name == "launchday_gameservers_ended_total" and float(value):
            ended[re.findall(r'reason="([^"]*)"', labels)[0]] += int(float(value))
        elif name == "launchday_fleet_matches_total" and 'outcome="failed"' in labels:
            watched.matches_failed = max(watched.matches_failed, int(float(value)))
    if (await http.request("GET", f"{urls['fleet']}/readyz")).json()["status"] != "stopping":
        watched.servers_ended = Counter({why: n for why, n in ended.items() if why not in ENDS_AS_IT_SHOULD})


async def _read_steps(http: ServiceClient, urls: Mapping[str, str], watched: Watched) -> None:
    for name, _, value in METRIC.findall((await http.request("GET", f"{urls['meta']}/metrics")).text):
        if name == "launchday_clock_steps_total":
            watched.clock_steps = int(float(value))


async def _until_playing(fleet: FleetAdminClient, watched: Watched, step_s: float, flood: Beside) -> None:
    """Wait until a match is played and a server waits for the next one."""
    deadline = time.monotonic() + PLAYING_S
    while time.monotonic() < deadline and flood.process.poll() is None:
        try:
            servers = await fleet.gameservers(live="true")
        except FleetError:
            servers = []
        playing = sum(server["report"].get("phase") == "playing" for server in servers)
        idle = sum(server["state"] == "Ready" for server in servers)
        if playing and idle:
            watched.playing[step_s], watched.idle[step_s] = playing, idle
            return
        await asyncio.sleep(POLL_S)
    last = flood.lines[-1] if flood.lines else "it said nothing"
    raise BenchError(f"no match was played to step the clock under: {last}")


def _figures_of(flood: Beside) -> dict[str, Any]:
    """Wait for the flood's end, and return its figures."""
    flood.process.wait(END_S)
    for line in reversed(flood.lines):
        if line.startswith("{"):
            figures: dict[str, Any] = json.loads(line)
            return figures
    raise BenchError(f"the flood ended without its figures: {flood.lines[-1] if flood.lines else 'no word'}")


def _judged(watched: Watched, flood: Mapping[str, Any]) -> Found:
    refreshed = {f"{step_s:+.0f}": watched.told_expired[step_s] for step_s in STEPS_S}
    small = sum(watched.told_expired[step_s] for step_s in STEPS_S if abs(step_s) <= 300.0)
    most = max(watched.told_expired[step_s] for step_s in STEPS_S)
    logged_out = watched.logged_out.total()
    well = (
        not (small or logged_out or watched.expired or watched.tickets_expired or watched.matches_failed)
        and most <= SESSIONS
        and not watched.servers_ended
        and watched.clock_steps >= len(STEPS_S)
        and flood["ledger"][
            "balanced"
        ]  # how fast its bots are, and so whether it passed, is no matter of clocks
        and not (flood["players_lost"] or flood["interrupted"] or flood["tokens_expired"])
    )
    figures = {
        "steps_s": list(STEPS_S),
        "sessions": SESSIONS,
        "refreshed_by_step": refreshed,
        "logged_out": logged_out,
        "leases_lost": watched.expired,
        "tickets_expired": watched.tickets_expired,
        "matches_failed": watched.matches_failed,
        "servers_ended": dict(watched.servers_ended),
        "playing_at_step": {f"{step_s:+.0f}": count for step_s, count in watched.playing.items()},
        "idle_at_step": {f"{step_s:+.0f}": count for step_s, count in watched.idle.items()},
        "connect_tokens_expired": flood["tokens_expired"],
        "players_lost": flood["players_lost"],
        "flood": flood["verdict"],
        "clock_steps_seen": watched.clock_steps,
    }
    told = ", ".join(f"{count} at {step} s" for step, count in refreshed.items())
    servers = watched.servers_ended.total()
    said = (
        f"access tokens of {SESSIONS} players refreshed: {told}; {logged_out} logged out, "
        f"{watched.expired} leases lost, {watched.matches_failed} matches failed, {servers} servers ended, "
        f"{flood['players_lost']} players lost. {flood['verdict']}"
    )
    return Found(well, said, figures)


CASES: tuple[Case, ...] = (Case("clock_steps", clock_steps, bound_s=150.0),)
