"""The analytics folder at one of its commits, while its writer goes on.

The manifest is read first: it names how far the writer had read, and the files of its last flush. Files
that are there never change, and later flushes have higher numbers, so all with numbers up to the manifest's
are copied. Only where the writer takes files out (a player was deleted, a newer event was taken up) the
copy begins again. Bytes are copied: a link to a file would be gone with the disk that it is on.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from launchday import folders
from launchday.cli.backups import manifest
from launchday.cli.backups.manifest import BackupError
from rewards.lake_manifest import MANIFEST, read_manifest

PARTIAL = ".partial"
TRIES = 20
RESTORING = ".restoring"  # behind the folder's name while it is brought back
REPLACED = ".replaced"  # behind the name of what it takes the place of, until the end
NOT_YET = ".not-restored-yet"  # a file in it until the restore is done
_PART = re.compile(r"part-(\d{12})\.parquet")


def offsets(lake: Path) -> dict[tuple[str, int], int] | None:
    """How far the writer of a folder has read, by topic and partition; None where there is no such folder."""
    content = read_manifest(lake / MANIFEST)
    return None if content is None else offsets_of(content)


def offsets_of(content: Mapping[str, Any]) -> dict[tuple[str, int], int]:
    """The same of a manifest that was read."""
    return {(row["topic"], row["partition"]): int(row["next"]) for row in content["offsets"]}


def save(lake: Path, target: Path) -> dict[str, Any] | None:
    """Copy a folder of Parquet files; returns what the manifest of the backup says of it.

    None where nothing was written yet. Raises OSError, and BackupError where files go faster than they are
    copied, or cannot be told from those of no commit.
    """
    for _ in range(TRIES):
        content = read_manifest(lake / MANIFEST)
        if content is None:
            if os.path.lexists(lake / MANIFEST) or any(lake.glob("day=*/kind=*/part-*.parquet")):
                raise BackupError(
                    f"{lake / MANIFEST} cannot be read, and without it nobody knows what analytics has "
                    f"written: run this as its user, or move {lake} away"
                )
            return None
        shutil.rmtree(target, ignore_errors=True)
        try:
            copied = _copy(lake, target, content)
        except FileNotFoundError:
            continue  # taken out meanwhile
        now = read_manifest(lake / MANIFEST)
        if now is not None and not _is_gone(lake, copied):
            return {
                "files": len(copied),
                "bytes": sum((target / name).stat().st_size for name in copied),
                "sequence": content["sequence"],
                "offsets": content["offsets"],
            }
    raise BackupError(f"the files of {lake} go faster than they are copied: stop analytics, and try again")


def _copy(lake: Path, target: Path, content: Mapping[str, Any]) -> list[str]:
    """Copy the files of a commit, and its manifest. Raises FileNotFoundError where one is gone."""
    own, gone = set(content["files"]), set(content.get("gone", ()))
    names = {
        path.relative_to(lake).as_posix()
        for path in lake.glob("day=*/kind=*/part-*.parquet")
        if (found := _PART.fullmatch(path.name)) and int(found[1]) <= content["sequence"]
    }
    names = (names | own) - gone
    for name in sorted(names):
        try:
            manifest.copy(lake / name, target / name)
        except FileNotFoundError:
            if name not in own:
                raise
            try:
                manifest.copy(lake / (name + PARTIAL), target / name)  # committed, and not renamed yet
            except FileNotFoundError:
                manifest.copy(lake / name, target / name)  # it was renamed just now
    with manifest.create(target / MANIFEST) as file:
        file.write(json.dumps({**content, "gone": []}).encode())
    return sorted(names)


def _is_gone(lake: Path, names: list[str]) -> bool:
    """Whether a file of a commit was taken out since."""
    return any(not (lake / name).exists() and not (lake / (name + PARTIAL)).exists() for name in names)


def is_empty(lake: Path) -> bool:
    """Whether a folder holds nothing that a writer has written."""
    return not (lake / MANIFEST).exists() and not any(lake.glob("day=*"))


def is_in_use(lake: Path) -> bool:
    """Whether a writer has the folder."""
    try:
        lock = os.open(lake / "lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def prepare(source: Path, names: Sequence[str], lake: Path) -> Path:
    """Copy what was saved, the files of those names, beside the folder, for `put`.

    Raises OSError, and BackupError where something else has that name.
    """
    beside = lake.with_name(lake.name + RESTORING)
    drop(beside)
    folders.claim(beside, folders.ANALYTICS_NAMES)
    (beside / NOT_YET).touch()
    for name in sorted(names):
        manifest.copy(source / name, beside / name)
    return beside


def put(beside: Path, lake: Path) -> None:
    """Give a copy its name; the former folder has another one until `keep`. Raises OSError, BackupError."""
    if os.path.lexists(lake):
        aside = lake.with_name(lake.name + REPLACED)
        drop(aside)
        lake.rename(aside)
    beside.rename(lake)


def keep(lake: Path) -> Path | None:
    """The restore is done: its copy stays, and what it took the place of goes.

    Returns the former folder where it is none of ours to remove. Raises OSError.
    """
    settle(lake)
    aside = lake.with_name(lake.name + REPLACED)
    if os.path.lexists(aside) and not folders.is_marked(aside):
        return aside
    drop(aside)
    drop(lake.with_name(lake.name + RESTORING))
    return None


def settle(lake: Path) -> None:
    """The folder is what it is to be: a later `take_back` leaves it, of a restore that was killed when it was
    done, too. Raises OSError."""
    (lake / NOT_YET).unlink(missing_ok=True)


def take_back(lake: Path) -> None:
    """The restore is not done: what `prepare` and `put` did is undone. Raises OSError, BackupError."""
    drop(lake.with_name(lake.name + RESTORING))
    if (lake / NOT_YET).exists():
        drop(lake)
    aside = lake.with_name(lake.name + REPLACED)
    if os.path.lexists(aside) and not os.path.lexists(lake):
        aside.rename(lake)


def drop(folder: Path) -> None:
    """Remove a folder of ours; raises BackupError for one of somebody else's."""
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folders.is_marked(folder):
        raise BackupError(f"{folder} is in the way: move it")
    shutil.rmtree(folder)
