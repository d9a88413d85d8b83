"""``launchday player`` against a real meta service: what an operator types, reads, and finds in the audit."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from launchday.cli.main import app
from launchday.settings import Settings
from launchday.settings import settings as read_settings
from meta_service.app import build
from meta_service.client import MetaClient, MetaRefusedError
from tests.matchmaker.conftest import served


class Operator:
    """Types commands, with nothing but a token and an address in the environment."""

    def __init__(self, meta_url: str, token: str) -> None:
        self._own = {"LAUNCHDAY_META_URL": meta_url, "LAUNCHDAY_OPERATOR_TOKEN": token, "COLUMNS": "200"}

    async def types(self, *words: str, said: str = "", **more: str) -> Result:
        env: dict[str, str | None] = dict.fromkeys(
            each for each in os.environ if each.startswith("LAUNCHDAY_")
        )
        read_settings.cache_clear()
        try:
            return await asyncio.to_thread(
                CliRunner().invoke, app, ["player", *words], said, env | self._own | more
            )
        finally:
            read_settings.cache_clear()

    async def reads(self, *words: str) -> Any:
        """The JSON of a command that succeeds."""
        done = await self.types(*words, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout.splitlines()[-1])  # before it, what the service logs in this process


@pytest.fixture
async def meta_url(settings: Settings) -> AsyncIterator[str]:
    async with served(build(settings)) as url:
        yield url


@pytest.fixture
def token(settings: Settings) -> str:
    from launchday.identity import OPERATOR, signer_of

    return signer_of(settings, "operators").service_token("nina", time.time(), roles=(OPERATOR,))


async def test_an_operators_round_is_said_in_a_line_each_and_noted_by_name(
    meta_url: str, token: str, tmp_path: Path
) -> None:
    operator = Operator(meta_url, token)
    async with MetaClient(meta_url, token) as meta:
        login = await meta.login_device("a-device-of-an-operators-player")
        player = str(login.player_id)

        done = await operator.types("ban", player, "--reason", "spawn camping", "--for", "7d")
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith(f"{player}: banned until 20")
        with pytest.raises(MetaRefusedError, match="spawn camping"):
            await meta.profile(login.session_token)
        shown = await operator.reads("show", player)
        assert (shown["player_id"], shown["bans"][0]["holds"]) == (player, True)
        assert "spawn camping" in (await operator.types("show", player)).stdout
        assert await operator.reads("unban", player, "--reason", "pardoned") == {
            "player_id": player, "lifted": True,
        }  # fmt: skip
        await meta.profile(login.session_token)

        for words, says in (
            (("grant", player, "500", "coins"), "+500 coins, now 500"),
            (("debit", player, "200", "coins"), "-200 coins, now 300"),
            (("give", player, "nightfall"), "+1 nightfall, now 1"),
            (("take", player, "nightfall"), "-1 nightfall, now 0"),
        ):
            done = await operator.types(*words, "--reason", "support 4711")
            assert (done.exit_code, done.stdout.strip()) == (0, f"{player}: {says}")
        told = (await operator.types("statement", player)).stdout
        assert all(each in told for each in ("operator:nina", "-200 coins", "-1 nightfall", "support 4711"))
        refused = await operator.types("debit", player, "301", "coins", "--reason", "too much")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr.startswith("error: 409 insufficient-funds")

        listed = (await operator.types("audit", "--player", player, "--json")).stdout.splitlines()
        assert [(act["operator"], act["action"]) for act in map(json.loads, listed)] == [
            ("nina", each) for each in ("take", "give", "debit", "grant", "unban", "ban")
        ]
        assert "support 4711" in (await operator.types("audit", "--operator", "nina")).stdout

        path = tmp_path / "export.json"
        assert (await operator.types("export", player, "--output", str(path))).exit_code == 0
        assert (json.loads(path.read_text())["player_id"], path.stat().st_mode & 0o077) == (player, 0)
        again = await operator.types("export", player, "--output", str(path))
        assert (again.exit_code, "File exists" in again.stderr) == (2, True)
        unsure = await operator.types("delete", player, "--reason", "asked for", said="n\n")
        assert unsure.exit_code == 1
        gone = await operator.reads("delete", player, "--reason", "asked for", "--yes")
        assert gone["deleted"]
        assert (await operator.types("show", player)).exit_code == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("ban", "7", "--reason", "r"), "say how long: --for, --until or --for-good"),
        (("ban", "7", "--reason", "r", "--for", "7d", "--for-good"), "say how long"),
        (("ban", "7", "--reason", "r", "--for", "week"), "--for is a number with s, m, h, d or w"),
        (("ban", "7", "--reason", "r", "--until", "soon"), "--until is a date or a time"),
        (("ban", "7", "--reason", "r", "--until", "2020-01-01"), "is over"),
        (("ban", "7", "--reason", " ", "--for-good"), "reason"),
        (("delete", "7", "--reason", "r"), "--yes"),
    ],
)
async def test_what_makes_no_sense_is_one_line_and_asks_nobody(words: tuple[str, ...], says: str) -> None:
    done = await Operator("http://127.0.0.1:1", "none").types(*words)
    assert done.exit_code == 2
    *_, said = done.stderr.splitlines()
    assert said.startswith("error: ")
    assert says in said


async def test_whom_there_is_not_and_who_may_not_is_said(
    meta_url: str, token: str, settings: Settings
) -> None:
    unknown = await Operator(meta_url, token).types("ban", "7", "--reason", "r", "--for-good")
    assert (unknown.exit_code, "404 unknown-player" in unknown.stderr) == (1, True)
    wrong = await Operator(meta_url, "not-a-token").types("show", "7")
    assert (wrong.exit_code, "401 invalid-token" in wrong.stderr) == (1, True)
    nothing = await Operator(meta_url, "").types("show", "7", LAUNCHDAY_STATE_DIR=str(settings.state_dir))
    assert (nothing.exit_code, "LAUNCHDAY_OPERATOR_TOKEN" in nothing.stderr) == (2, True)
