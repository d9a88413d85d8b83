"""``launchday keys …``: makes the key files of a backend, and gives a key's owner another one.

The folder is an operator's own: it has every private key. Each process is given its own file of it, as
``LAUNCHDAY_IDENTITY_KEYS``; on one machine that may be the folder itself.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from launchday.cli.inputs import USAGE_ERROR, read_settings
from launchday.identity import ANY_SUBJECT, Key, KeyFileError, key_folder
from launchday.identity.key_file import PUBLIC
from launchday.settings import env_name
from launchday.terminal import Terminal, fail, table

DAY_S = 24 * 3600.0
MIN_KEPT_DAYS = 31.0  # services sign their tokens for 30

app = typer.Typer(name="keys", help="Make and rotate the keys that sign tokens.", no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(help="Folder of the key files.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def make(folder: Folder, as_json: AsJson = False) -> None:
    """Make a key for every process that signs tokens and has none yet, and write each process' file."""
    try:
        new = key_folder.make(folder, secrets.token_bytes)
    except (KeyFileError, OSError) as error:
        fail(str(error))
    _print(new, as_json, f"{folder} has a key for everyone already")
    if not as_json and new:
        Terminal().print(
            f"give each process its file of {folder}, or {PUBLIC}.json where it has none, as "
            f"{env_name('identity_keys')}; keep the folder where only operators can read it"
        )


@app.command(name="list")
def list_(folder: Folder, as_json: AsJson = False) -> None:
    """List the keys: whose they are, what they may sign, from when on, and until when they are taken."""
    _print(_keys(folder), as_json, f"{folder} has no keys: launchday keys make {folder}")


@app.command()
def rotate(
    folder: Folder,
    owner: Annotated[str, typer.Argument(help="Whose key.")] = "meta",
    within: Annotated[
        float,
        typer.Option(min=0, help="Seconds until the new key signs; until then every process gets its file."),
    ] = key_folder.LEAD_S,
    keep_days: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Days for which the key before it is taken from then on. Default: those of a refresh token "
            "and one more.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give an owner another key. Nobody is logged out: the one before is taken until its tokens end."""
    days = MIN_KEPT_DAYS if keep_days is None else keep_days
    keep_s = max(days * DAY_S, 0.0 if keep_days is not None else read_settings().refresh_ttl_s + DAY_S)
    try:
        new = key_folder.rotate(folder, owner, secrets.token_bytes, time.time(), lead_s=within, keep_s=keep_s)
    except KeyFileError as error:
        fail(str(error))
    _print([new], as_json, "")


@app.command()
def revoke(
    folder: Folder,
    key_id: Annotated[str, typer.Argument(help="The key, as launchday keys list shows it.")],
    as_json: AsJson = False,
) -> None:
    """Take a key that was stolen out at once. Whoever holds a token of it logs in again."""
    try:
        new = key_folder.revoke(folder, key_id, secrets.token_bytes, time.time())
    except KeyFileError as error:
        fail(str(error))
    _print([] if new is None else [new], as_json, f"{key_id} is out; another key of its owner signs already")


def _keys(folder: Path) -> list[Key]:
    if not folder.is_dir():
        fail(f"there is no folder {folder}: launchday keys make {folder}", USAGE_ERROR)
    try:
        return sorted(key_folder.read(folder), key=lambda key: (key.owner, key.signs_from))
    except KeyFileError as error:
        fail(str(error))


def _print(keys: list[Key], as_json: bool, otherwise: str) -> None:
    if as_json:
        print(json.dumps([_row(key) for key in keys]))
        return
    if not keys:
        Terminal().print(otherwise)
        return
    shown = table("key", "owner", "signs", "for", "signs from", "taken until", boxed=False)
    for key in keys:
        row = _row(key)
        shown.add_row(
            key.key_id,
            key.owner,
            ", ".join(row["roles"]),
            ", ".join("any other name" if name == ANY_SUBJECT else name for name in key.subjects),
            "its making" if row["signs_from"] is None else _utc(row["signs_from"]),
            "it is rotated" if row["ends_at"] is None else _utc(row["ends_at"]),
        )
    Terminal().print(shown)


def _row(key: Key) -> dict[str, Any]:
    return {
        "kid": key.key_id,
        "owner": key.owner,
        "algorithm": key.algorithm,
        "roles": sorted(key.roles or ()),
        "subjects": list(key.subjects),
        "signs_from": key.signs_from if math.isfinite(key.signs_from) else None,
        "ends_at": key.ends_at if math.isfinite(key.ends_at) else None,
    }


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
