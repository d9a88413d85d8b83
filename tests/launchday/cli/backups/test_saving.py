"""A backup is whole, of any name, and beside a backend that goes on; or there is none."""

from __future__ import annotations

import json
import resource
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from launchday.cli import main
from launchday.cli.backups import cache_copy, lake_copy, manifest, postgres_tools, store_copy
from launchday.cli.backups.manifest import BackupError
from launchday.cli.backups.saving import Source, save
from launchday.clock import SystemClock
from launchday.settings import Settings
from meta_service.cache.cache import connect
from meta_service.cache.keys import ONE
from meta_service.cache.partitions import agree
from rewards.analytics.lake import Lake
from tests.launchday.cli.backups.conftest import Saved, quiet
from tests.rewards.examples import a_kill

HOSTILE = "-rf *\n'\"$(reboot);\x1b[31mü\u202e"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def backup(settings: Settings, folder: Path, told: list[str] | None = None) -> dict[str, Any]:
    progress = quiet if told is None else told.append
    return await save(Source(settings, (settings.cache_url,), 0.0), folder, SystemClock(), progress)


def test_the_manifest_says_what_is_in_it_and_what_is_not(saved: Saved) -> None:
    content = manifest.read(saved.folder)
    assert content["store"]["rows"] | {"accounts": 1, "purchases": 1} == content["store"]["rows"]
    assert content["cache"] == {"caches": 1, "waiting": 1, "rejected": 1}
    assert content["analytics"]["files"] == 2
    assert content["bus"]["unread"] == 0
    assert content["not_saved"]["secrets"] == ["LAUNCHDAY_IDENTITY_SECRET", "LAUNCHDAY_FLEET_KEY"]
    text = json.dumps(content)
    assert saved.settings.identity_secret.get_secret_value() not in text
    assert saved.settings.store_url not in text
    assert {path.stat().st_mode & 0o077 for path in [saved.folder, *saved.folder.glob("*.*")]} == {0}


async def test_a_folder_may_have_any_name_and_nothing_is_overwritten(saved: Saved, tmp_path: Path) -> None:
    folder = tmp_path / HOSTILE
    await backup(saved.settings, folder)
    assert manifest.read(folder)["store"]["rows"]["accounts"] == 1
    with pytest.raises(BackupError, match="is there already: name another"):
        await backup(saved.settings, folder)
    assert names(tmp_path) == [HOSTILE]


def test_a_folder_may_lie_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "backups").symlink_to(tmp_path / "disk")
    with manifest.new_folder(tmp_path / "backups" / "first") as (written, _):
        manifest.write_manifest(written, {})
    assert names(tmp_path / "disk") == ["first"]


async def test_a_store_that_was_never_ours_and_a_cache_without_an_address_are_said_in_one_line(
    saved: Saved, empty: Settings, tmp_path: Path
) -> None:
    with pytest.raises(BackupError, match="has no schema of launchday's"):
        await backup(empty, tmp_path / "backup")
    with pytest.raises(BackupError, match="'there' is no cache: an address"):
        async with cache_copy.opened("there"):
            pass
    assert not (tmp_path / "backup").exists()


async def test_one_that_was_killed_leaves_nothing_that_looks_whole(saved: Saved, tmp_path: Path) -> None:
    folder, told = tmp_path / "backup", list[str]()
    killed = manifest.new_folder(folder)
    written, _ = killed.__enter__()
    (written / "store.dump").write_bytes(b"half")
    kept = written.rename(tmp_path / "kept")  # as it is where nobody cleans up
    with pytest.raises(BackupError):
        killed.__exit__(None, None, None)
    kept.rename(written)
    with pytest.raises(BackupError, match="was cut short and cannot be restored"):
        manifest.read(tmp_path / "backup.unfinished")
    await backup(saved.settings, folder, told)
    assert "was cut short before: it is gone" in told[0]
    assert names(tmp_path) == ["backup"]
    (tmp_path / "another.unfinished").mkdir()
    with pytest.raises(BackupError, match="is in the way: move it"):
        await backup(saved.settings, tmp_path / "another")


def test_two_do_not_write_one_backup(tmp_path: Path) -> None:
    with manifest.new_folder(tmp_path / "backup") as (written, _):
        (written / "x").touch()
        with (
            pytest.raises(BackupError, match="another process writes"),
            manifest.new_folder(tmp_path / "backup"),
        ):
            pass
    assert (tmp_path / "backup" / "x").exists()


@contextmanager
def files_of(most: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_disk_without_room_leaves_nothing(saved: Saved, tmp_path: Path) -> None:
    with pytest.raises(BackupError) as refused, files_of(50_000):
        await backup(saved.settings, tmp_path / "backup")
    assert "the store cannot be saved: " in str(refused.value)
    assert "File too large" in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(BackupError, match=r"cannot be written to .*File too large"), files_of(10):
        await backup(saved.settings, tmp_path / "backup")
    assert not names(tmp_path)


async def test_what_waits_is_found_though_it_moves(redis: Redis, cache_url: str) -> None:
    """Set aside and sent again while the streams are read: it is in one of three looks."""
    entry = await redis.xadd(ONE.home.rejected, {"entry": "1-1", "reason": "no", "loadout": "{}"})
    read = redis.xrange

    async def moving(stream: str, *rest: Any, **options: Any) -> Any:
        found = await read(stream, *rest, **options)
        if stream == ONE.home.stream and options["min"] == "-":
            await redis.xdel(ONE.home.rejected, entry)
            await redis.xadd(ONE.home.stream, {"loadout": "{}"})
        return found

    redis.xrange = moving  # type: ignore[method-assign, assignment]
    found = await cache_copy.read(redis)
    assert [row["changes"]["reason"] for row in (*found.waiting, *found.rejected)] == ["no"]


async def test_every_partition_of_a_cache_is_read_and_emptied(redis: Redis) -> None:
    partitions = (await agree(redis, 4)).partitions
    for each in partitions:
        await redis.xadd(each.stream, {"loadout": "{}"})
        await redis.xadd(each.rejected, {"entry": "1-1", "reason": "no", "loadout": "{}"})
        await redis.set(each.player(each.number), "x")
    await redis.set("{mm}:counters", "x")
    found = await cache_copy.read(redis)
    assert [row["stream"] for row in found.waiting] == [each.stream for each in partitions]
    assert len(found.rejected) == 4
    assert await cache_copy.our_keys(redis, most=5) == 6
    assert await cache_copy.clear(redis) > 12
    assert await redis.keys() == []


@pytest.fixture
async def redis(cache_url: str) -> Any:
    cache = connect(cache_url)
    yield cache
    await cache.aclose()


def test_the_analytics_folder_is_saved_at_one_of_its_commits(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake").open()
    lake.add([a_kill(1, 2)], {("t", 0): (1, uuid.uuid4())})
    first = (lake._folder / "manifest.json").read_text()
    lake.add([a_kill(2, 1)], {("t", 0): (2, uuid.uuid4())})
    newest = sorted(tmp_path.rglob("part-*2.parquet"))[0]
    newest.rename(newest.with_name(newest.name + ".partial"))  # committed, and its writer is not that far
    said = lake_copy.save(tmp_path / "lake", tmp_path / "copy")
    assert said is not None
    assert (said["files"], said["sequence"]) == (2, 2)
    (tmp_path / "lake" / "manifest.json").write_text(first)  # a commit goes on while it is saved
    said = lake_copy.save(tmp_path / "lake", tmp_path / "older")
    assert said is not None
    assert (said["files"], said["offsets"][0]["next"]) == (1, 1)
    lake.close()
    again = Lake(tmp_path / "copy").open()
    assert len(list((tmp_path / "copy").rglob("part-*.parquet"))) == 2
    again.close()
    assert lake_copy.save(tmp_path / "nowhere", tmp_path / "none") is None


def test_an_analytics_folder_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    lake = tmp_path / "analytics"
    assert lake_copy.save(lake, tmp_path / "copy") is None
    lake.mkdir()
    (lake / "manifest.json").write_text('{"sequence": 1')
    with pytest.raises(BackupError, match=r"manifest\.json cannot be read"):
        lake_copy.save(lake, tmp_path / "copy")


def test_files_that_go_meanwhile_make_it_begin_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path / "lake").open()
    lake.add([a_kill(1, 2)], {("t", 0): (1, uuid.uuid4())})
    copy, erased = manifest.copy, list[int]()

    def copy_slowly(source: Path, target: Path) -> None:
        if not erased:
            erased.append(lake.replace_players({1: 77}))
        copy(source, target)

    monkeypatch.setattr(manifest, "copy", copy_slowly)
    said = lake_copy.save(tmp_path / "lake", tmp_path / "copy")
    assert said is not None
    assert (said["files"], said["sequence"]) == (1, 2)
    lake.close()


async def test_a_store_that_cannot_be_saved_is_said_in_one_line(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooled = saved.settings.store_url + "&pooler=transaction"
    with pytest.raises(BackupError, match="set LAUNCHDAY_STORE_DIRECT_URL to the address"):
        await store_copy.save(pooled, tmp_path)
    monkeypatch.setattr(postgres_tools, "major_version", lambda: 9)
    with pytest.raises(BackupError, match=r"PostgreSQL \d+ and our pg_dump knows it to 9: pip install"):
        await store_copy.save(saved.settings.store_url, tmp_path)
    with pytest.raises(BackupError, match="the store cannot be reached: "):
        await store_copy.save("postgresql://127.0.0.1:1/x", tmp_path)


def test_no_password_is_on_a_command_line(tmp_path: Path) -> None:
    url = "postgresql://us%20er:se%2Fcret@a:1,b/db?sslmode=require&target_session_attrs=read-write"
    with postgres_tools.environment(url) as env:
        assert env["PGPASSWORD"] == "se/cret"
        words = Path(env["PGSERVICEFILE"]).read_text()
    assert "cret" not in words
    assert {"host=a,b", "port=1,5432", "user=us er", "dbname=db", "sslmode=require"} <= set(words.split("\n"))
    assert not Path(env["PGSERVICEFILE"]).exists()


def test_what_is_missing_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCHDAY_STATE_DIR", str(tmp_path))
    for arguments, said in (
        (["backup", "x"], "no cache runs here: launchday up, or set LAUNCHDAY_CACHE_URL"),
        (["restore", str(tmp_path / "x")], "there is no backup"),
    ):
        done = CliRunner().invoke(main.app, arguments)
        assert done.exit_code != 0
        assert said in str(done.exception) + done.output
