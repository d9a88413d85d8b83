"""A folder of key files, one for each process: all public keys, and the private ones of the process alone.

It lies where operators make keys; each process is given its own file. A key that takes another's place is
published first and signs later, and the other is kept for as long as what it has signed may be valid: so
nobody is logged out, in whatever order the files arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from launchday.identity.errors import KeyFileError
from launchday.identity.key_file import PUBLIC, read_key_file, write_key_file
from launchday.identity.keys import (
    ANY_SUBJECT,
    EDDSA,
    HS256,
    OPERATOR,
    PLAYER,
    REFRESH,
    SEED_BYTES,
    SERVICE,
    VIEWER,
    Key,
)

LEAD_S = 300.0  # for files to reach every machine; Kubernetes takes up to two minutes for a secret
RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True)
class Owner:
    """Whose key it is, and what it may sign.

    Attributes:
        name: of the file.
        roles: that it gives.
        subjects: that it names.
    """

    name: str
    roles: tuple[str, ...]
    subjects: tuple[str, ...] = (ANY_SUBJECT,)


OWNERS = (
    Owner("meta", (PLAYER, REFRESH)),
    Owner("matchmaker", (SERVICE,), ("matchmaker",)),
    Owner("director", (SERVICE,), ("director",)),
    # The fleet starts game servers, which go by their own names.
    Owner("fleet", (SERVICE,), ("fleet", "console", "autoscaler", ANY_SUBJECT)),
    Owner("server", (SERVICE,)),  # game servers under Agones
    Owner("loadtest", (SERVICE,), ("loadtest", "bench", "chaos", "tests")),
    Owner("operators", (OPERATOR, VIEWER)),
)


def make(folder: Path, random: RandomBytes, owners: Iterable[Owner] = OWNERS) -> list[Key]:
    """Make a key for each owner that has none, and write every file. Returns the new keys.

    Raises:
        KeyFileError: a file that is there cannot be read, or none can be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = read(folder)
    new = [
        Key.of_seed(random(SEED_BYTES), owner.roles, owner.subjects, owner=owner.name)
        for owner in owners
        if not any(key.owner == owner.name for key in keys)
    ]
    write(folder, [*keys, *new])
    return new


def rotate(
    folder: Path, owner: str, random: RandomBytes, now: float, *, lead_s: float = LEAD_S, keep_s: float
) -> Key:
    """Give an owner another key, and drop keys whose time is over. Returns the new key.

    Args:
        folder: of the key files.
        owner: whose key.
        random: draws the key.
        now: Unix seconds.
        lead_s: seconds until the new key signs: by then every process must have its file.
        keep_s: seconds for which the key before it is taken from then on: the life of what it has signed.

    Raises:
        KeyFileError: the owner has no key, or a file cannot be read or written.
    """
    keys = [key for key in read(folder) if key.ends_at > now]
    own = [key for key in keys if key.owner == owner]
    if not own:
        names = ", ".join(dict.fromkeys(key.owner for key in keys))
        raise KeyFileError(f"{folder} has no key of {owner!r:.80}: it is one of {names or 'none'}")
    newest = max(own, key=lambda key: key.signs_from)
    new = _successor(newest, random(SEED_BYTES), now + lead_s)
    ends_at = now + lead_s + keep_s
    write(folder, [*(_ending(key, owner, ends_at) for key in keys), new])
    return new


def revoke(folder: Path, key_id: str, random: RandomBytes, now: float) -> Key | None:
    """Take a key out at once: whatever it has signed is refused, and players log in again.

    Where its owner has no other key that signs by now, a new one takes its place at once, and is returned.

    Raises:
        KeyFileError: there is no such key, or a file cannot be read or written.
    """
    keys = read(folder)
    gone = next((key for key in keys if key.key_id == key_id), None)
    if gone is None:
        raise KeyFileError(f"{folder} has no key {key_id!r:.80}: launchday keys list {folder}")
    left = [key for key in keys if key is not gone]
    new = None
    if not any(key.owner == gone.owner and key.signs_from <= now < key.ends_at for key in left):
        new = _successor(gone, random(SEED_BYTES), now)
        left.append(new)
    write(folder, left)
    return new


def read(folder: Path) -> list[Key]:
    """Read all keys of a folder, each with its private part. Raises KeyFileError."""
    keys: dict[str, Key] = {}
    for path in sorted(folder.glob("*.json")):
        for key in read_key_file(path):
            if key.private or key.key_id not in keys:
                keys[key.key_id] = key
    return list(keys.values())


def write(folder: Path, keys: Sequence[Key]) -> None:
    """Write the file of every owner, and the one of those who only verify. Raises KeyFileError."""
    public = [key if key.algorithm == HS256 else replace(key, private=b"") for key in keys]
    try:
        for name in {PUBLIC, *(key.owner for key in keys)}:
            seen = [key if key.owner == name else other for key, other in zip(keys, public, strict=True)]
            write_key_file(folder / f"{name}.json", seen)
    except OSError as error:
        raise KeyFileError(f"no key file can be written in {folder}: {error.strerror}") from error


def _successor(key: Key, seed: bytes, signs_from: float) -> Key:
    if key.algorithm != EDDSA or key.roles is None:
        raise KeyFileError(f"the key {key.key_id!r:.80} is a secret that all share: launchday keys make")
    return Key.of_seed(seed, key.roles, key.subjects, signs_from, key.owner)


def _ending(key: Key, owner: str, ends_at: float) -> Key:
    return replace(key, ends_at=min(key.ends_at, ends_at)) if key.owner == owner else key
