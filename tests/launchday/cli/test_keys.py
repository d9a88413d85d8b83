"""``launchday keys``, and the operators' tokens that are signed with what it makes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from typer.testing import CliRunner, Result

from launchday.cli.main import app
from launchday.identity import OPERATOR, signer_of
from launchday.settings import Settings
from launchday.settings import settings as read_settings


def cli(*arguments: str, **more: str) -> Result:
    env: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("LAUNCHDAY_"))
    read_settings.cache_clear()
    try:
        return CliRunner().invoke(app, arguments, env=env | {"COLUMNS": "200", **more})
    finally:
        read_settings.cache_clear()


def test_keys_are_made_listed_rotated_and_revoked(tmp_path: Path) -> None:
    folder = str(tmp_path / "keys")
    assert "launchday keys make" in cli("keys", "list", folder).output
    made = json.loads(cli("keys", "make", folder, "--json").stdout)
    assert {"meta", "director", "operators"} < {key["owner"] for key in made}
    assert json.loads(cli("keys", "make", folder, "--json").stdout) == []  # once
    assert all(path.stat().st_mode & 0o077 == 0 for path in Path(folder).iterdir())

    before = time.time()
    (new,) = json.loads(cli("keys", "rotate", folder, "--within", "60", "--json").stdout)
    assert before + 60 <= new["signs_from"] <= time.time() + 60
    listed = json.loads(cli("keys", "list", folder, "--json").stdout)
    (old,) = (key for key in listed if key["owner"] == "meta" and key["kid"] != new["kid"])
    assert old["ends_at"] == new["signs_from"] + 31 * 24 * 3600
    assert new["kid"] in cli("keys", "list", folder).stdout

    (stolen,) = (key["kid"] for key in listed if key["owner"] == "director")
    (instead,) = json.loads(cli("keys", "revoke", folder, stolen, "--json").stdout)
    assert (instead["owner"], instead["subjects"]) == ("director", ["director"])
    refused = cli("keys", "rotate", folder, "nobody")
    assert (refused.exit_code, "it is one of" in refused.output) == (1, True)


def test_operators_tokens_are_signed_with_their_own_key(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    cli("keys", "make", str(folder))
    asked = ("fleet", "token", "--role", "operator", "--name", "ann")
    token = cli(*asked, LAUNCHDAY_IDENTITY_KEYS=str(folder / "operators.json")).stdout.strip()
    caller = signer_of(Settings(identity_keys=str(folder)), "fleet").verify(token, time.time())
    assert (caller.subject, set(caller.roles)) == ("ann", {OPERATOR})
    refused = cli(*asked, LAUNCHDAY_IDENTITY_KEYS=str(folder / "fleet.json"))
    assert (refused.exit_code, "LAUNCHDAY_IDENTITY_KEYS" in refused.output) == (2, True)
