"""What of a folder is ours to remove. A folder that a setting names may hold anything of anybody.

- A folder is cleared only where it carries `MARK`. The mark is set when we first use a folder in which none
  of the names is taken that we write, so what has these names later is ours. Other names are never touched.
- Links are left alone and never followed. So are files of other users, where the folder is shared.
- What one process removes at its start lies in a folder that it alone has (`OwnFolder`), so that two that are
  given the same folder do not remove each other's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Self

from launchday.errors import LaunchdayError

MARK: Final = ".made-by-launchday"
MARK_TEXT: Final = (
    b"launchday made what it needs in this folder, and removes it again. Other files it leaves alone.\n"
)
# What services write into folders of the state folder that a launcher clears, see `claim`.
ANALYTICS_NAMES: Final = ("day=????-??-??/kind=*/part-*.parquet*", "manifest.json*", "lock")
FLEET_NAMES: Final = ("policies.*", "access.*", "allocations.*")
MAX_OWN_FOLDERS: Final = 100  # of one name, each with a living process


class FolderError(LaunchdayError):
    """Raised when a folder cannot be cleared: it was not made by us, or refuses.

    Nothing was removed. The message is one line that says what to do.
    """


def claim(folder: Path, own: Collection[str]) -> bool:
    """Make a folder where it is missing, and mark it where no name of ours is taken in it.

    Args:
        folder: may hold files of others.
        own: the names that we write, as patterns of `fnmatch`, with a / for names in folders below.

    Returns:
        whether it carries the mark.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if is_marked(folder):
        return True
    if folder.is_symlink() or _taken(folder, own):
        return False
    with contextlib.suppress(OSError):
        _set_mark(folder)
    return is_marked(folder)


def is_marked(folder: Path) -> bool:
    """Whether a folder carries the mark, as a file of ours or of the folder's owner."""
    try:
        mark, at = os.lstat(folder / MARK), os.lstat(folder)
    except OSError:
        return False
    return (
        stat.S_ISREG(mark.st_mode) and stat.S_ISDIR(at.st_mode) and mark.st_uid in (os.geteuid(), at.st_uid)
    )


def why_not_cleared(folder: Path, own: Collection[str]) -> str:
    """Why `clear` would refuse, in a few words; "" where it would not."""
    if folder.is_symlink():
        return f"{folder} is a link"
    if is_marked(folder) or not _taken(folder, own):
        return ""
    return f"{folder} was not made by launchday (if an earlier version made it, touch {folder / MARK})"


def clear(folder: Path, own: Collection[str]) -> None:
    """Remove what has our names in a folder that carries the mark; what else is in it stays.

    A folder that is missing, or that holds nothing of our names, is fine. Raises FolderError.

    Args:
        folder: the folder, which stays.
        own: as in `claim`.
    """
    if reason := why_not_cleared(folder, own):
        raise FolderError(f"{reason}: move it away")
    if not is_marked(folder):
        return
    try:
        _remove(folder, own, {os.geteuid(), os.lstat(folder).st_uid})
    except OSError as error:
        raise FolderError(f"{folder} cannot be emptied ({error.strerror or error}): empty it") from error


def remove_files(folder: Path, patterns: Collection[str]) -> None:
    """Remove the files of these names from a folder, as far as they are ours: no links, no other user's.

    What cannot be removed stays.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if any(fnmatchcase(entry.name, pattern) for pattern in patterns) and is_own_file(entry.path):
                    os.unlink(entry.path)


def is_own_file(path: str | Path) -> bool:
    """Whether this is a regular file of this user; a link is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()


def create_new(path: Path, mode: int = 0o600, flags: int = 0) -> int:
    """Create a file of our own name anew, and return its descriptor, open to read and write.

    What has the name is removed, a link as well, and not what it points to. Raises OSError.
    """
    path.unlink(missing_ok=True)
    return os.open(path, flags | os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace a file of our own name, whole or not at all. Raises OSError, and then it is as it was.

    Args:
        path: the file; a link there is replaced, and what it points to stays.
        data: all of it.
        mode: its permissions.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        with os.fdopen(create_new(fresh, mode), "wb") as file:
            file.write(data)
        os.replace(fresh, path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise


class OwnFolder:
    """A folder that one process has to itself, below one that others use, too.

    It is locked for as long as the process lives, so that its successor may empty it and nobody else does.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def take(cls, parent: Path, name: str) -> Self:
        """Take the folder ``name`` below ``parent``, or ``name-1`` and so on where others have it.

        Raises OSError where none can be made.
        """
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(MAX_OWN_FOLDERS):
            path = parent / (f"{name}-{number}" if number else name)
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
            found = os.lstat(path)
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                continue
            if (lock := _lock(path / MARK)) is not None:
                return cls(path, lock)
        raise FileExistsError(f"{MAX_OWN_FOLDERS} folders {name} are in use in {parent}")

    def remove_files(self, patterns: Collection[str]) -> None:
        """See `remove_files`."""
        remove_files(self.path, patterns)

    def close(self, patterns: Collection[str]) -> None:
        """Remove the files of these names, and the folder where nothing else is in it. Safe to call twice."""
        if self._lock < 0:
            return
        self.remove_files(patterns)
        with contextlib.suppress(OSError):
            if os.listdir(self.path) == [MARK]:
                (self.path / MARK).unlink()
                self.path.rmdir()
        os.close(self._lock)
        self._lock = -1


def _taken(folder: Path, own: Collection[str]) -> bool:
    """Whether an entry has one of our names, of any kind and of anybody."""
    heads = {pattern.partition("/")[0] for pattern in own}
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return False
    return any(fnmatchcase(name, head) for name in names for head in heads)


def _set_mark(folder: Path) -> None:
    mark = os.open(folder / MARK, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with contextlib.suppress(OSError):  # a full disk takes the name, and that is enough
        os.write(mark, MARK_TEXT)
    os.close(mark)


def _lock(mark: Path) -> int | None:
    """Lock a mark; None where another process has, or where it is no file of ours."""
    try:
        lock = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if mark.is_symlink() or not mark.parent.is_dir():  # a link; or its owner has just removed all
            return None
        raise error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except OSError:  # a file system without locks
        return lock
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(lock), os.lstat(mark)):
            return lock
    os.close(lock)  # its owner removed it between our open and our lock
    return None


def _remove(folder: Path, own: Collection[str], owners: set[int]) -> None:
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        parts = (pattern.partition("/") for pattern in own)
        rests = [rest for head, _, rest in parts if fnmatchcase(entry.name, head)]
        if not rests or entry.is_symlink() or entry.stat(follow_symlinks=False).st_uid not in owners:
            continue
        if "" not in rests:
            if entry.is_dir(follow_symlinks=False):
                _remove(Path(entry.path), rests, owners)
                with contextlib.suppress(OSError):  # somebody else's file is in it
                    os.rmdir(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
