"""A backup comes back whole, into engines that nobody uses, or nothing changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from launchday.cli.backups import cache_copy, manifest, restoring, store_copy
from launchday.cli.backups.manifest import BackupError
from launchday.cli.backups.restoring import Target, restore
from launchday.clock import SystemClock
from launchday.settings import Settings
from meta_service.cache.cache import connect
from meta_service.cache.keys import ONE
from meta_service.client import MetaRefusedError
from meta_service.store.version import schema_fault
from rewards.analytics.lake import Lake, files
from tests.launchday.cli.backups.conftest import LATER_SKIN, Saved, execute, quiet
from tests.meta_service.conftest import Clock, running


async def bring_back(
    saved: Saved, settings: Settings, *, replace: bool = False, keep_waiting: bool = False, **options: Any
) -> dict[str, Any]:
    told: Callable[[str], None] = options.get("progress", quiet)
    return await restore(
        options.get("folder", saved.folder),
        Target(settings, (settings.cache_url,), replace, keep_waiting),
        SystemClock(),
        told,
        lambda what: bool(options.get("agreed", True)),
    )


async def rows(settings: Settings, question: str, *arguments: Any) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(settings.store_url)
    try:
        return [tuple(row) for row in await connection.fetch(question, *arguments)]
    finally:
        await connection.close()


async def test_everything_comes_back(saved: Saved, empty: Settings) -> None:
    done = await bring_back(saved, empty)

    assert done["store"]["accounts"] == done["store"]["purchases"] == 1
    assert (done["changes_applied"], done["changes_set_aside"]) == (1, 1)
    assert await rows(empty, "SELECT skin FROM loadouts") == [(LATER_SKIN,)], "what waited is stored"
    booked = "SELECT balance, (SELECT sum(amount) FROM ledger WHERE account = player_id) FROM wallets"
    assert await rows(empty, booked) == [(4_200, 4_200)]
    assert await rows(empty, "SELECT outcome FROM match_history") == [("expired",)]
    assert done["leases_ended"] == 1
    [(epoch,)] = await rows(empty, "SELECT epoch FROM cache_epochs")
    assert epoch == saved.epoch + 1, "caches ask the store again"
    assert await schema_fault(empty.store_url) is None
    assert (empty.state_dir / "fleet" / "policies.json").read_text() == '{"east-us": {}}'
    lake = Lake(empty.state_dir / "analytics").open()
    assert lake.positions()["t", 0].next_offset == 2
    assert len([*files(empty.state_dir / "analytics", "kill")]) == 2
    lake.close()
    cache = connect(empty.cache_url)
    [(_, aside)] = await cache.xrange(ONE.home.rejected)  # type: ignore[misc]
    assert aside == {"entry": "1-1", "reason": "it was wrong", "loadout": "{}"}
    await cache.aclose()

    async with running(empty, Clock()) as backend:  # who had logged in is the same player, and still is
        with pytest.raises(MetaRefusedError, match="401"):
            await backend.client.profile(saved.later_token)
        exchanged = await backend.client.refresh(saved.refresh_token)
        assert (await backend.client.profile(exchanged.session_token)).skin == LATER_SKIN
        session = await backend.client.login_device(saved.device)
        assert session.player_id == saved.player
        assert (await backend.client.profile(session.session_token)).skin == LATER_SKIN
        assert (await backend.client.wallet(session.session_token))["coins"] == 4_200


async def test_what_is_there_goes_only_where_somebody_agrees(saved: Saved, empty: Settings) -> None:
    await execute(
        empty.store_url, "CREATE TABLE accounts (a int)", "CREATE FUNCTION buy() RETURNS int RETURN 1"
    )
    cache = connect(empty.cache_url)
    await cache.set("{meta}:player:9", "x")
    await cache.set("another's", "x")
    await cache.xadd(ONE.home.stream, {"account": account(9)})
    lake = Lake(empty.state_dir / "analytics").open()
    lake.close()
    with pytest.raises(
        BackupError, match=r"2 tables and routines .*, 1 changes that wait .* or --replace it"
    ):
        await bring_back(saved, empty)
    with pytest.raises(BackupError, match="nothing was restored"):
        await bring_back(saved, empty, replace=True, agreed=False)
    assert await rows(empty, "SELECT * FROM accounts") == []

    done = await bring_back(saved, empty, replace=True, keep_waiting=True)

    assert done["changes_applied"] == 2
    assert sorted(await rows(empty, "SELECT player_id FROM accounts")) == sorted([(9,), (saved.player,)])
    assert await rows(empty, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'launchday%'") == []
    assert sorted(await cache.keys()) == sorted(["another's", ONE.home.rejected])
    await cache.aclose()


def account(player_id: int) -> str:
    fields = {"player_id": str(player_id), "device_hash": "00", "display_name": "Nina", "created_ms": "1"}
    return json.dumps(fields)


async def test_a_restore_that_fails_puts_back_what_was_there(
    saved: Saved, empty: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await execute(empty.store_url, "CREATE TABLE mine (a int)", "INSERT INTO mine VALUES (7)")
    lake = empty.state_dir / "analytics"
    Lake(lake).open().close()
    (lake / "day=2020-01-01").mkdir()

    async def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_copy, "set_aside", full)
    with pytest.raises(BackupError, match=r"nothing was restored: .*No space left on device"):
        await bring_back(saved, empty, replace=True)
    assert await rows(empty, "SELECT a FROM mine") == [(7,)]
    assert await rows(empty, "SELECT to_regclass('accounts')::text") == [(None,)]
    assert [path.name for path in lake.glob("day=*")] == ["day=2020-01-01"]
    assert [path.name for path in empty.state_dir.iterdir() if "analytics" in path.name] == ["analytics"]


async def test_a_restore_that_is_killed_is_done_anew_and_says_so(
    saved: Saved, empty: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(cache_copy, "set_aside", killed)
        patched.setattr(restoring, "_undo", lambda *_: SystemClock().sleep(0))
        with pytest.raises(KeyboardInterrupt):
            await bring_back(saved, empty)
    fault = await schema_fault(empty.store_url)
    assert fault is not None
    assert "cut short" in fault, "no service starts on it"
    told: list[str] = []

    done = await bring_back(saved, empty, progress=told.append)

    assert done["changes_applied"] == 1
    assert any("cut short here before" in line for line in told)
    assert await schema_fault(empty.store_url) is None
    assert len([*files(empty.state_dir / "analytics", "kill")]) == 2


async def test_engines_that_somebody_uses_are_left_alone(saved: Saved, empty: Settings) -> None:
    connection = await asyncpg.connect(empty.store_url, server_settings={"application_name": "a service"})
    with pytest.raises(
        BackupError, match=r"1 other connections use the store \(a service at 127.0.0.1\): stop"
    ):
        await bring_back(saved, empty)
    await connection.close()
    (empty.state_dir / "analytics").mkdir(parents=True)
    lake = Lake(empty.state_dir / "analytics").open()
    with pytest.raises(BackupError, match="stop analytics"):
        await bring_back(saved, empty)
    lake.close()


Damage = Callable[[Path], object]


def change(folder: Path, **fields: Any) -> None:
    """Forge a manifest whose own digest is right."""
    content = json.loads((folder / "manifest.json").read_text()) | fields
    content.pop("digest")
    content["digest"] = manifest._digest_of(content)
    (folder / "manifest.json").write_text(json.dumps(content))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "a bit of the store": (lambda folder: flip(folder / "store.dump"), "store.dump is not as it was written"),
    "a bit of the manifest": (
        lambda folder: flip(folder / "manifest.json"),
        "is damaged, nothing was restored",
    ),
    "a file less": (lambda folder: (folder / "changes.jsonl").unlink(), "changes.jsonl cannot be read"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "it is no backup"),
    "a path outside": (
        lambda folder: change(folder, files=[{"name": "../x", "bytes": 1, "sha256": ""}]),
        "which is outside",
    ),
    "a manifest of brackets": (
        lambda folder: (folder / "manifest.json").write_text("[" * 100_000),
        "manifest.json cannot be read",
    ),
    "files of another shape": (lambda folder: change(folder, files=[{"name": "x"}]), "cannot be read"),
    "no word of the store": (lambda folder: change(folder, store=None), "manifest.json lacks something"),
    "another form": (lambda folder: change(folder, format=2), r"pip install launchday==0\.1\.0"),
    "a newer schema": (
        lambda folder: change(folder, store={"schema": "r9999_later"}),
        r"r9999_later and this release knows it to r\d+.*pip install launchday==",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
async def test_a_damaged_backup_is_refused_before_anything_is_asked(
    saved: Saved, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "backup"
    shutil.copytree(saved.folder, folder)
    damage, said = DAMAGES[kind]
    damage(folder)
    nowhere = saved.settings.model_copy(update={"store_url": "postgresql://127.0.0.1:1/x"})
    with pytest.raises(BackupError, match=said):
        await bring_back(saved, nowhere, folder=folder)


async def test_a_dump_that_breaks_off_changes_nothing(saved: Saved, empty: Settings, tmp_path: Path) -> None:
    dump = tmp_path / "store.dump"
    dump.write_bytes((saved.folder / "store.dump").read_bytes()[:60_000])
    with pytest.raises(BackupError, match="the store cannot be restored"):
        await store_copy.bring_back(empty.store_url, None, dump, "it's", move_aside=False)
    assert await rows(empty, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


async def test_only_what_the_manifest_names_comes_back(saved: Saved, empty: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "it's \udcff"
    shutil.copytree(saved.folder, folder)
    extra = folder / "analytics" / "day=2020-01-01" / "kind=kill" / "part-000000000001.parquet"
    extra.parent.mkdir(parents=True)
    extra.write_bytes(b"of somebody else")
    done = await bring_back(saved, empty, folder=folder)
    lake = empty.state_dir / "analytics"
    assert len([*lake.rglob("*.parquet")]) == done["analytics_files"]
    assert await rows(empty, "SELECT count(*) FROM accounts") == [(1,)]


async def test_a_schema_of_somebody_else_of_the_name_that_we_use_is_left_alone(
    saved: Saved, empty: Settings
) -> None:
    await execute(empty.store_url, "CREATE SCHEMA launchday_replaced CREATE TABLE theirs (a int)")
    with pytest.raises(BackupError, match=r"launchday_replaced\.theirs outside"):
        await bring_back(saved, empty)
    assert await rows(empty, "SELECT count(*) FROM launchday_replaced.theirs") == [(0,)]
