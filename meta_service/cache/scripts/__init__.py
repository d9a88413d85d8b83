"""The scripts that run inside the cache, each one file: what must happen together or not at all."""

from __future__ import annotations

import functools
from pathlib import Path

FOLDER = Path(__file__).parent


@functools.cache
def source(name: str) -> str:
    """The text of ``<name>.lua``."""
    return (FOLDER / f"{name}.lua").read_text(encoding="utf-8")
