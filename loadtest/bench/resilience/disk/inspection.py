"""Which files of a fleet are there only in half. The form of each kind of file says when it is whole."""

from __future__ import annotations

import json
from pathlib import Path

from dedicated_server.recording.file import HEAD, MAGIC
from rewards.errors import SpoolDamagedError
from rewards.events import spool

LEFTOVERS = (".new", ".partial")  # names under which files are written before they are whole


def half_written(folder: Path) -> list[str]:
    """Return a line for each file below a folder that is there only in half, in order of the names."""
    found = []
    for path in sorted(entry for entry in folder.rglob("*") if entry.is_file()):
        if path.suffix in LEFTOVERS:
            found.append(f"{path.name}: left over")
        elif (trouble := _trouble(path)) is not None:
            found.append(f"{path.name}: {trouble}")
    return found


def _trouble(path: Path) -> str | None:
    match path.suffix:
        case ".jsonl":
            return _lines(path.read_bytes())
        case ".json":
            return _json(path.read_bytes())
        case ".spool":
            return _spool(path.read_bytes())
        case ".ldr":
            return _recording(path.read_bytes())
    return None  # a log: its last line may be cut


def _lines(text: bytes) -> str | None:
    if text and not text.endswith(b"\n"):
        return "the last line is cut"
    return next((trouble for line in text.split(b"\n") if line and (trouble := _json(line))), None)


def _json(text: bytes) -> str | None:
    try:
        json.loads(text)
    except ValueError as error:
        return f"no JSON: {error}"
    return None


def _spool(data: bytes) -> str | None:
    try:
        spool.decode(data)
    except SpoolDamagedError as error:
        return str(error)
    return None


def _recording(data: bytes) -> str | None:
    if not data.startswith(MAGIC):
        return "no recording"
    at = len(MAGIC)
    while at < len(data):
        if at + HEAD.size > len(data):
            return "a section's head is cut"
        at += HEAD.size + int(HEAD.unpack_from(data, at)[1])
    return None if at == len(data) else "the last section is cut"
