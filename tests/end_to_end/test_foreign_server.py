"""A fleet of game servers that are not ours, as docs/own-game-server.md has it: flooded, and all adds up."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import shlex
import signal
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from dedicated_server.fleet.client import FleetAdminClient
from launchday import identity
from launchday.identity import Signer
from loadtest.shipped_worth import xp_of
from meta_service.client import MetaClient
from rewards.events.generate import generate
from tests.end_to_end.conftest import Start
from tests.end_to_end.test_run import await_output
from tests.waiting import until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "loadtest" / "examples"
GUIDE = (ROOT / "docs" / "own-game-server.md").read_text(encoding="utf-8")
SECRET = "end-to-end-0123456789abcdef0123456789"
PLAYERS, MATCHES = 12, 3


def guides_commands() -> list[str]:
    """What the guide types."""
    return [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
        if line and not line.startswith("#")
    ]


def settings_of_the_guide() -> dict[str, str]:
    """The settings that the guide exports, with the paths of this tree and the Python of this test."""
    found = {}
    for line in guides_commands():
        if line.startswith("export "):
            name, _, value = shlex.split(line)[1].partition("=")
            found[name] = re.sub(r"^python ", f"{sys.executable} ", value.replace("$PWD", str(ROOT)))
    return found


def test_the_foreign_server_imports_nothing_of_ours() -> None:
    tree = ast.parse((EXAMPLES / "foreign_server.py").read_text(encoding="utf-8"))
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names - sys.stdlib_module_names == {"aiohttp", "aiokafka", "jwt", "nacl"}


def test_the_guide_shows_the_code_that_runs() -> None:
    code = (EXAMPLES / "foreign_server.py").read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert len(shown) >= 4
    for block in shown:
        assert block in code


@pytest.mark.timeout(420)
async def test_players_get_matches_on_a_foreign_fleet_and_all_adds_up(
    start: Start, environment: dict[str, str], tmp_path: Path
) -> None:
    schema = tmp_path / "schema"
    schema.mkdir()
    generate(schema)
    environment.update(settings_of_the_guide())
    assert "foreign_server.py" in environment["LAUNCHDAY_GAME_SERVER_COMMAND"]
    environment.update(
        PYTHONPATH=f"{schema}:{environment.get('PYTHONPATH', '')}",
        LAUNCHDAY_IDENTITY_SECRET=SECRET,
        LAUNCHDAY_REGIONS="west-europe",
        LAUNCHDAY_READY_PER_REGION="2",
        LAUNCHDAY_MATCH_PLAYERS="4",
        LAUNCHDAY_MATCH_FILL_S="60",
        LAUNCHDAY_MATCH_S="2",
    )
    backend = start("up")
    await asyncio.to_thread(await_output, backend, "the backend is up")
    assert backend.stdout is not None
    shown = [await asyncio.to_thread(backend.stdout.readline) for _ in range(7)]
    store_url = next(line.partition("=")[2].strip() for line in shown if "LAUNCHDAY_STORE_URL=" in line)
    urls = {
        service: f"http://127.0.0.1:{environment[f'LAUNCHDAY_{service}_PORT']}"
        for service in ("META", "MATCHMAKER", "FLEET")
    }
    environment.update({f"LAUNCHDAY_{service}_URL": url for service, url in urls.items()})
    figures = tmp_path / "figures.json"
    [flood] = [line for line in guides_commands() if line.startswith("launchday flood")]
    arguments = shlex.split(flood)[1:]
    arguments[1] = str(ROOT / arguments[1])
    process = start(*arguments, "--save", str(figures))
    output, _ = await asyncio.to_thread(process.communicate)
    assert figures.exists(), output
    run = json.loads(figures.read_text())
    assert run["players_by_state"]["done"] == run["players"] == PLAYERS, output

    operator = Signer(SECRET).service_token("tests", time.time(), roles=(identity.OPERATOR, identity.SERVICE))
    async with MetaClient(urls["META"], operator) as meta, FleetAdminClient(urls["FLEET"], operator) as fleet:

        async def all_committed() -> bool:
            return (await meta.counters()).commits == PLAYERS

        await until(all_committed, "every player is committed")
        assert (await meta.counters()).checkouts == PLAYERS
        counted = await fleet.counters()
        names = ("matches_started", "matches_ended", "matches_failed")
        assert [counted[name] for name in names] == [MATCHES, MATCHES, 0]

    store = await asyncpg.connect(store_url)
    try:

        async def earned() -> tuple[int, int]:
            row = await store.fetchrow("SELECT count(*), coalesce(sum(xp), 0) FROM progression")
            return int(row[0]), int(row[1])

        async def all_rewarded() -> bool:
            return (await earned())[0] == PLAYERS

        await until(all_rewarded, "every player's match is rewarded")
        assert (await earned())[1] == PLAYERS * xp_of("match_played") + MATCHES * xp_of("win")
    finally:
        await store.close()
    backend.send_signal(signal.SIGINT)
    await asyncio.to_thread(backend.wait)
