"""What lies in a folder, file by file, so that whoever compares sees every touch."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection
from pathlib import Path


def digests(folder: Path, without: Collection[str] = ()) -> dict[str, str]:
    """Return kind, mode, owner, time of change and content of each entry below a folder, by its path there.

    Args:
        folder: it is not entered through links.
        without: names of entries that do not count, at any depth.
    """
    found = {}
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in without]
        for name in (*folders, *files):
            if name not in without:
                path = Path(at, name)
                found[str(path.relative_to(folder))] = _digest(path)
    return found


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Say which entries have gone, are new, or are others, in order of their names."""
    return [
        f"{name} {'has gone' if name not in after else 'is new' if name not in before else 'was touched'}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _digest(path: Path) -> str:
    state = path.lstat()
    content = b""
    if stat.S_ISLNK(state.st_mode):
        content = os.fsencode(path.readlink())
    elif stat.S_ISREG(state.st_mode):
        content = path.read_bytes()
    changed = 0 if stat.S_ISDIR(state.st_mode) else state.st_mtime_ns
    digest = hashlib.blake2b(content, digest_size=8).hexdigest()
    return f"{state.st_mode:o} {state.st_uid} {changed} {digest}"
