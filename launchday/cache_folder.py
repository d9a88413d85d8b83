"""Where what can be made again is kept: the user's cache, or the next best folder that may be written.

A pod with a user id of its own has no home, or `/`, and a tree that it may only read. None of that ends a
command: each folder is tried, and the last answer is that there is none.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

OWN_FOLDER_MODE = 0o700
TEMPORARY_FOLDERS = ("/tmp", "/var/tmp")
STATE_DIR_VARIABLE, DEFAULT_STATE_DIR = "LAUNCHDAY_STATE_DIR", ".launchday"  # of `launchday.settings`


def user_cache() -> Path | None:
    """Return the user's cache folder, which may be missing; None where the user has none.

    ``XDG_CACHE_HOME`` and ``HOME`` count where they are absolute (XDG Base Directory Specification 0.8), then
    the home that the system's list of users knows.
    """
    if (named := os.environ.get("XDG_CACHE_HOME", "")).startswith("/"):
        return Path(named)
    home = os.environ.get("HOME", "")
    if not home:
        with contextlib.suppress(KeyError):  # a user id that the system does not know
            home = pwd.getpwuid(os.getuid()).pw_dir
    return Path(home, ".cache") if home.startswith("/") else None


def writable_folder(name: str) -> Path | None:
    """Make a folder for what can be made again, and return it; None where there is no place for one.

    The first of these that can be made and written: one in the user's cache, one in the state folder, one of
    this user's own below the temporary folder.

    Args:
        name: of the folder, such as ``"kernels"``.
    """
    for folder in _candidates(name):
        if is_writable(folder):
            return folder
    for temporary in _temporary_folders():
        own = temporary / f"launchday-{name}-{os.geteuid()}"
        if _is_our_own(own):
            return own
    return None


def is_writable(folder: Path) -> bool:
    """Whether a folder is there, or can be made, and takes files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True)


def _candidates(name: str) -> Iterator[Path]:
    if (cache := user_cache()) is not None:
        yield cache / "launchday" / name
    yield Path(os.environ.get(STATE_DIR_VARIABLE) or DEFAULT_STATE_DIR).absolute() / "cache" / name


def _temporary_folders() -> Iterator[Path]:
    for named in (os.environ.get("TMPDIR", ""), *TEMPORARY_FOLDERS):
        if named.startswith("/"):
            yield Path(named)


def _is_our_own(folder: Path) -> bool:
    """Whether a folder that lies where everybody writes is ours alone: its files are loaded as code."""
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=OWN_FOLDER_MODE)
        found = folder.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and stat.S_IMODE(found.st_mode) == OWN_FOLDER_MODE
        and is_writable(folder)
    )
