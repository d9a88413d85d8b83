"""What the shipped rules give for events: read plainly, for whoever checks what rewards makes of them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parents[1] / "rewards" / "progression" / "rules.yaml"


@functools.cache
def xp_of(name: str) -> int:
    """The points of a line of the file's ``xp:`` that gives them to one player."""
    said: Any = yaml.safe_load(RULES.read_text(encoding="utf-8"))["xp"][name]
    return int(said["points"] if isinstance(said, dict) else said)
