"""The folder of a backup: written under another name and renamed at the end, checked before it is used."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from launchday import folders
from launchday.errors import LaunchdayError
from launchday.terminal import reason

MANIFEST = "manifest.json"
STORE, CHANGES, REJECTED, POLICIES = "store.dump", "changes.jsonl", "rejected.jsonl", "policies.json"
ANALYTICS = "analytics"
FORMAT = 1
UNFINISHED = ".unfinished"  # behind the name of a backup that is being written
FOLDER_MODE, FILE_MODE = 0o700, 0o600  # hashes of passwords and devices are in it
CHUNK = 1 << 20


class BackupError(LaunchdayError):
    """Raised where a backup cannot be made or used; the message says what to do. Nothing half is left."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class SavedFile:
    """One file of a backup.

    Attributes:
        name: within the folder, with / between its parts.
        bytes: its length.
        sha256: its digest, hexadecimal.
    """

    name: str
    bytes: int
    sha256: str


@contextmanager
def new_folder(target: Path) -> Iterator[tuple[Path, bool]]:
    """Give a folder to write a backup into; it gets the name ``target`` at the end of the block.

    Yields the folder, and whether there was one of a backup that was cut short, which is gone now. Where the
    block fails the folder is removed.

    Raises:
        BackupError: there is something of that name, somebody writes to it, or the folder cannot be made.
    """
    place = target.absolute()
    try:
        if os.path.lexists(place) and not (
            place.is_dir() and not place.is_symlink() and not any(place.iterdir())
        ):
            raise BackupError(f"{target} is there already: name another folder")
        if not place.name:
            raise BackupError(f"{target} cannot be a backup: name a folder in it")
        place.parent.mkdir(parents=True, exist_ok=True)
        written = place.with_name(place.name + UNFINISHED)
        lock, was_cut_short = _take(written)
    except OSError as error:
        raise BackupError(
            f"no backup can be written to {target}: {reason(error)}: name another folder"
        ) from error
    try:
        try:
            yield written, was_cut_short
            (written / folders.MARK).unlink()
            _sync_all(written)
            written.rename(place)
            _sync(place.parent.resolve())  # which may be a link, as /backups often is
        except OSError as error:
            raise BackupError(
                f"the backup cannot be written to {target}: {reason(error)}: mend that, or name "
                "another folder"
            ) from error
    except BaseException:
        shutil.rmtree(written, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def _take(written: Path) -> tuple[int, bool]:
    """Make the folder, or empty one that a killed command has left; it is locked until the lock is closed."""
    was_cut_short = os.path.lexists(written)
    if was_cut_short and not folders.is_marked(written):
        raise BackupError(f"{written} is in the way: move it")
    written.mkdir(mode=FOLDER_MODE, exist_ok=True)
    lock = os.open(written / folders.MARK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise BackupError(f"another process writes {written}: wait until it is done") from None
    for entry in list(written.iterdir()):
        if entry.name == folders.MARK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return lock, was_cut_short


def create(path: Path) -> Any:
    """Open a new file of a backup to write bytes into."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    return os.fdopen(folders.create_new(path, FILE_MODE), "wb")


def write_manifest(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Digest every file of a folder, and write the manifest with ``content``; returns it whole."""
    files = [
        asdict(digest(folder, path.relative_to(folder).as_posix()))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != folders.MARK
    ]
    whole = {"format": FORMAT, **content, "files": files}
    whole["digest"] = _digest_of(whole)
    with create(folder / MANIFEST) as file:
        file.write(json.dumps(whole, indent=1).encode())
    return whole


def read(folder: Path) -> dict[str, Any]:
    """Return the manifest of a backup of which every byte is as it was written.

    Raises BackupError, which says what is missing or damaged.
    """
    content = _read_manifest(folder)
    try:
        files = [SavedFile(**row) for row in content["files"]]
        places = [PurePosixPath(wanted.name) for wanted in files]
    except (LookupError, TypeError) as error:
        raise _damaged(folder, f"{MANIFEST} cannot be read") from error
    for wanted, parts in zip(files, places, strict=True):
        if parts.is_absolute() or ".." in parts.parts:
            raise _damaged(folder, f"it names {wanted.name!r}, which is outside")
        try:
            found = digest(folder, wanted.name)
        except OSError as error:
            raise _damaged(folder, f"{wanted.name} cannot be read ({reason(error)})") from error
        if found != wanted:
            raise _damaged(folder, f"{wanted.name} is not as it was written")
    return content


def names(content: Mapping[str, Any], within: str = "") -> list[str]:
    """Files of a manifest in one of its folders, by their names in that; whatever else lies there is no part
    of the backup."""
    begin = f"{within}/" if within else ""
    return [row["name"].removeprefix(begin) for row in content["files"] if row["name"].startswith(begin)]


def digest(folder: Path, name: str) -> SavedFile:
    """Read a file of a backup; a link is none. Raises OSError."""
    path = folder / name
    if not stat.S_ISREG(path.lstat().st_mode):
        raise OSError(errno.EINVAL, "it is no file", str(path))
    made, length = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            made.update(chunk)
            length += len(chunk)
    return SavedFile(name, length, made.hexdigest())


def copy(source: Path, target: Path) -> None:
    """Copy a file's bytes, down to the disk. Raises OSError."""
    with source.open("rb") as read_from, create(target) as written:
        shutil.copyfileobj(read_from, written, CHUNK)
        written.flush()
        os.fsync(written.fileno())


def _read_manifest(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise BackupError(f"there is no backup {folder}: give the folder that launchday backup has made")
    if folder.name.endswith(UNFINISHED):
        raise BackupError(f"{folder} was cut short and cannot be restored: take another backup")
    try:
        content = json.loads((folder / MANIFEST).read_bytes())
        version, said = content["format"], content.pop("digest")
    except FileNotFoundError:
        raise BackupError(f"{folder} has no {MANIFEST}: it is no backup, take another") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(folder, f"{MANIFEST} cannot be read") from error
    if version != FORMAT:
        raise BackupError(
            f"{folder} has form {version!r} and this release reads {FORMAT}: restore it with the release "
            f"that made it (pip install launchday=={content.get('launchday', '…')})"
        )
    if said != _digest_of(content):
        raise _damaged(folder, f"{MANIFEST} is not as it was written")
    return dict(content)


def require_whole(folder: Path, content: Mapping[str, Any]) -> None:
    """Raise BackupError where a manifest lacks what a restore asks for, though its digest is right."""
    if not _is_whole(content):
        raise _damaged(folder, f"{MANIFEST} lacks something")


def _is_whole(content: Mapping[str, Any]) -> bool:
    try:
        rows, store = [SavedFile(**row) for row in content["files"]], content["store"]
        texts = [content["launchday"], content["ended"], store["schema"], *(row.name for row in rows)]
        counts = [store["rows"]["accounts"], *store["rows"].values()]
        analytics = content["analytics"]
        counts += [] if analytics is None else [analytics["files"]]
        return (
            all(isinstance(text, str) for text in texts)
            and all(isinstance(count, int) for count in counts)
            and isinstance(content["bus"], dict)
            and {STORE, CHANGES, REJECTED} <= {row.name for row in rows}
        )
    except (LookupError, TypeError, AttributeError):
        return False


def _digest_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _damaged(folder: Path, how: str) -> BackupError:
    return BackupError(f"{folder} is damaged, nothing was restored: {how}: take another backup")


def _sync_all(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a file system that syncs no folders
            os.fsync(handle)
    finally:
        os.close(handle)
