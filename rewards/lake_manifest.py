"""The manifest of a folder of Parquet files, as those read it who need no Arrow for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
_ALWAYS_THERE = {"sequence", "files", "offsets"}


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The content of a manifest; None where there is none, or something else has its name."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    ours = isinstance(content, dict) and content.keys() >= _ALWAYS_THERE
    return content if ours else None
