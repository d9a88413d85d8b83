"""Real matches: floods of both regions' game servers, and a party of players of both regions."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from launchday import child_processes
from launchday.launcher.children import module_command
from launchday.settings import environment
from loadtest.bench.engines.regions.world import STOP_S, Region
from loadtest.errors import BenchError
from matchmaker.client import MatchmakerClient
from meta_service.client import MetaClient, MetaRefusedError

PLAYERS = 6
FLOOD_S = 120.0
LOOK_S = 0.2
QUEUED_S = 30.0
MODE = "battle_royale"
SCENARIO = """
name: one_region
description: A few players of one region.
players: {{count: {players}, locations: {{{region}: 1.0}}}}
arrivals: {{curve: constant, over_s: 3}}
modes:
  battle_royale: {{players: 4, min_players: 2, fill_s: 3, duration_s: 5}}
behaviours: {{shares: {{fighter: 1.0}}, rest_s: 0.3, patience_s: 60, matches: 1}}
"""


async def flooded(region: Region) -> dict[str, int]:
    """Let bots play a match or two on a region's own servers, from the ticket to the result.

    Raises BenchError where the flood has no figures.
    """
    folder = region.settings.state_dir / "flood"
    scenario, figures, log = folder / "players.yaml", folder / "flood.json", folder / "flood.log"
    await asyncio.to_thread(_write, scenario, SCENARIO.format(region=region.name, players=PLAYERS))
    command = [*module_command("launchday.cli"), "flood", str(scenario), "--running"]
    command += ["--save", str(figures), "--report", str(folder / "report.html")]
    env = {**os.environ, **environment(region.settings)}
    process = child_processes.spawn(command, log=log, env=env)
    try:
        await asyncio.to_thread(process.wait, FLOOD_S)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"the flood of {region.name} does not end") from error
    finally:
        child_processes.stop(process, STOP_S)
    try:
        found: dict[str, Any] = json.loads(await asyncio.to_thread(figures.read_text))
    except (OSError, ValueError) as error:
        said = child_processes.last_line(log)
        raise BenchError(f"the flood of {region.name} has no figures: {said}") from error
    return {name: int(found[name]) for name in ("players", "players_lost", "matches")}


async def party_across(home: Region, away: Region) -> str:
    """Let a player of ``away`` join a party of ``home``, at its API; say why not, "" for one match."""
    leader = await home.client.login_device("a-leader-of-two-regions")
    guest = await away.client.login_device("a-guest-of-two-regions")
    meta: MetaClient = home.client
    party = await meta.create_party(leader.session_token)
    await _invited(meta, leader.session_token, guest.player_id)
    await meta.accept_party(guest.session_token, party.party_id)
    await meta.set_ready(guest.session_token)
    await meta.queue_party(leader.session_token, MODE)
    other = await home.client.login_device("who-plays-against-the-party")
    tickets = []
    async with MatchmakerClient(home.settings.matchmaker_url) as queue:
        await queue.with_token(other.session_token).create_ticket(MODE, {home.name: 30.0})
        for session in (leader, guest):
            mine = (await meta.my_party(session.session_token)).queue
            assert mine is not None
            own = queue.with_token(session.session_token)
            made = await own.create_ticket(MODE, {home.name: 30.0}, party=mine.claim)
            tickets.append(own.wait_for_end(made.ticket_id, QUEUED_S))
        views = await asyncio.gather(*tickets)
    matches = {view.assignment.match_id if view.assignment else view.ticket_id for view in views}
    if len(matches) == 1:
        return ""
    return "; ".join(f"{view.state}: {view.reason}" for view in views)


async def _invited(meta: MetaClient, token: str, guest: int) -> None:
    """Invite a player of whom the store may hear only now."""
    until = time.monotonic() + QUEUED_S
    while True:
        try:
            await meta.invite_to_party(token, guest)
            return
        except MetaRefusedError as error:
            if error.kind != "unknown-player" or time.monotonic() > until:
                raise
            await asyncio.sleep(LOOK_S)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
